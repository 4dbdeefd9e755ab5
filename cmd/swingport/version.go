package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"swingport/stages"
)

// versionCommand is "swingport version".
func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of swingport and of what it is built with",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.print(fmt.Appendf(nil, "swingport %s\n%s %s/%s\nSQLite %s\n",
				versionLine(), runtime.Version(), runtime.GOOS, runtime.GOARCH, stages.EngineVersion()))
		},
	}
}

// versionLine is the module's version and, where it was built in a checkout,
// the commit.
func versionLine() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown version)"
	}
	line := info.Main.Version
	if line == "" {
		line = "(devel)"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			line += " commit " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			line += " with local changes"
		}
	}
	return line
}
