package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

const diffLong = `Compare any two of: a state directory, an export directory, an archive. One
of them may come from a pipe (-).

Compared are block height, artifact mode, the content of each artifact (heap
snapshots unpacked, however they are stored) and each record of the export data.
A state directory is taken as an export of it would be: in the artifact mode of
the other side, or of two stores in the most complete one that both satisfy.
Where one side has no export data, none is compared, and the summary says so.

Every difference is a line on stdout, like "only in A: artifact bundle.b1-00",
and in the end there is a summary; --json makes one object of it.

Exit codes: 0 the same, 1 failed, 2 usage, 3 they differ, 130 stopped by SIGINT,
143 by SIGTERM.`

const diffExample = `  # is the backup what the node has now?
  swingport diff ~/.agoric/data/agoric backup.tar.zst

  # two machines
  ssh other-host swingport export -o - | swingport diff ~/.agoric/data/agoric -`

// maxDifferences is how many differences --json lists; it counts them all.
const maxDifferences = 1000

// diffCommand is "swingport diff".
func (a *app) diffCommand() *cobra.Command {
	var h howFlags
	var l limitFlags
	var o pipeline.DiffOptions
	var g flagGroups
	cmd := &cobra.Command{
		Use:     "diff A B",
		Short:   "Compare any two of stores, exports and archives",
		Long:    diffLong,
		Example: diffExample,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) < 2:
				return usagef("diff needs two paths")
			case args[0] == stdio && args[1] == stdio:
				return usagef("only one side can be stdin")
			}
			return refuseArgs(args, 2)
		},
	}
	g.group(cmd, "Where", func(f *pflag.FlagSet) {
		f.StringVar(&h.tempDir, "temp-dir", "", "`DIR` for temporary files (default the system's)")
	})
	g.group(cmd, "What", func(f *pflag.FlagSet) {
		addValue(f, &o.ArtifactMode, format.ParseArtifactMode, "artifact-mode", "the `MODE` in which state directories are compared")
		l.addBoth(f)
	})
	g.group(cmd, "How", h.add)
	completeDirs(cmd)
	completeFlag(cmd, "artifact-mode", artifactModes...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, path := range args {
			if err := a.refuseTerminal(path); err != nil {
				return err
			}
		}
		o.A, o.B, o.Stdin = args[0], args[1], a.stdin
		o.MaxItem, o.MaxWindow, o.Workers, o.TempDir = l.item, l.window, h.workers, h.tempDir
		return a.runDiff(cmd, o, &h)
	}
	return cmd
}

// diffJSON is what --json prints.
type diffJSON struct {
	pipeline.DiffReport
	Differences []pipeline.Difference `json:"differences"` // the first of them
}

func (a *app) runDiff(cmd *cobra.Command, o pipeline.DiffOptions, h *howFlags) error {
	ctx, out := a.printer(cmd.Context())
	defer out.close()
	object := diffJSON{Differences: []pipeline.Difference{}}
	o.Each = func(d pipeline.Difference) {
		switch {
		case !h.json:
			out.line(differenceLine(d))
		case len(object.Differences) < maxDifferences:
			object.Differences = append(object.Differences, d)
		}
	}
	var stop func()
	o.Status, o.Log, stop = a.watch(h)
	report, err := a.diff(ctx, o)
	stop()
	a.warnings(report.Warnings)
	if err != nil {
		return err
	}
	if h.json {
		object.DiffReport = report
		out.json(object)
	} else {
		out.line(diffLine(report))
	}
	switch {
	case out.err != nil:
		return out.err
	case report.Differences > 0:
		return &noError{}
	}
	return nil
}

func differenceLine(d pipeline.Difference) string {
	line := "differs: " + d.What
	switch d.In {
	case pipeline.OnlyA:
		line = "only in A: " + d.What
	case pipeline.OnlyB:
		line = "only in B: " + d.What
	}
	if d.Name != "" {
		line += " " + d.Name
	}
	if d.Detail != "" {
		line += ": " + d.Detail
	}
	return line
}

func diffLine(r pipeline.DiffReport) string {
	line := "no differences"
	if r.Differences > 0 {
		line = plural(r.Differences, "difference")
	}
	line += " in " + artifacts(r.Artifacts)
	if r.ExportData {
		line += " and " + plural(r.Keys, "record") + " of export data"
	} else {
		line += ", and no export data to compare"
	}
	return line + fmt.Sprintf(" (%s), in %s", r.ArtifactMode, formatSeconds(r.Seconds))
}
