package main

import (
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

// storeFlags say where the store is.
type storeFlags struct {
	home     *string // nil where nobody said
	stateDir string
}

func (s *storeFlags) add(f *pflag.FlagSet) {
	f.StringVar(&s.stateDir, "state-dir", "", "`DIR` that holds swingstore.sqlite (default data/agoric in --home)")
	addValue(f, &s.home, func(dir string) (*string, error) { return &dir, nil }, "home", "`DIR` of the node (default ~/.agoric)")
}

// dir is the state directory. With an empty --home the reference takes
// /data/agoric; nobody means that.
func (s *storeFlags) dir(env map[string]string) (string, error) {
	switch {
	case s.stateDir != "":
		return s.stateDir, nil
	case s.home == nil:
		home, err := userHome(env)
		if err != nil {
			return "", usagef("no home directory, so --home or --state-dir is needed: %w", err)
		}
		return filepath.Join(home, ".agoric", "data", "agoric"), nil
	case *s.home == "":
		return "", usagef("--home is empty")
	}
	return filepath.Join(*s.home, "data", "agoric"), nil
}

// finish completes the flags from the environment and returns the state directory.
func (s *storeFlags) finish(flags *pflag.FlagSet, env map[string]string) (stateDir string, err error) {
	if err := fromEnvironment(flags, env, envStoreFlags); err != nil {
		return "", err
	}
	return s.dir(env)
}

// howFlags change nothing in the result.
type howFlags struct {
	workers       int
	tempDir       string
	nice          bool
	json, verbose bool
}

// add adds the flags but that of the temporary files, whose default is the command's.
func (h *howFlags) add(f *pflag.FlagSet) {
	addValue(f, &h.workers, parseWorkers, "workers", "work `N` wide, 16 at most (default 0: as wide as the machine)")
	addBool(f, &h.nice, "nice", "work with the lowest priority for the CPU, and a low one for the disk")
	h.addOutput(f)
}

// addOutput adds those about what is printed.
func (h *howFlags) addOutput(f *pflag.FlagSet) {
	addBool(f, &h.json, "json", "print the summary as one JSON object")
	addBool(f, &h.verbose, "verbose", "say what happens; without a terminal, how far it is")
}

// liveFlags are about a node that goes on working.
type liveFlags struct{ rateLimit, logLimit int64 }

// defaultLogLimit is little beside a store, and some hundred times what a node's log has by itself.
const defaultLogLimit = 1 << 30

func (l *liveFlags) add(f *pflag.FlagSet) {
	addValue(f, &l.rateLimit, parseSize, "rate-limit", "read at most `SIZE` a second, like 50MB, of the store and of temporary files")
	l.logLimit = defaultLogLimit
	addValue(f, &l.logLimit, parseSizeOrNone, "wal-limit", "warn when the store's write-ahead log grows by `SIZE` meanwhile; 0 never (default 1GiB)")
}

// live are the options.
func (l *liveFlags) live(a *app) pipeline.Live {
	return pipeline.Live{RateLimit: l.rateLimit, LogLimit: l.logLimit, Warn: a.warnAtOnce}
}

// transferFlags are those that export and import have in common.
type transferFlags struct {
	storeFlags
	exportDir      string
	artifactMode   format.ArtifactMode
	exportDataMode format.ExportDataMode
	checkHeight    *float64
	howFlags
	binary bool // stdout is an archive, and the summary goes to stderr
}

// finish completes the flags from the environment and returns the state
// directory. The replaced flags are those that this command of the reference
// refuses.
func (t *transferFlags) finish(flags *pflag.FlagSet, env map[string]string, replaced ...string) (stateDir string, err error) {
	if err := refuseReplaced(env, replaced...); err != nil {
		return "", err
	}
	if err := fromEnvironment(flags, env, envFlags); err != nil {
		return "", err
	}
	if t.exportDir == "" {
		t.exportDir = "."
	}
	return t.dir(env)
}

// Artifact modes, for shells: the reference's, and those of exports.
var (
	artifactModes = []string{"none", "operational", "replay", "archival", "debug"}
	exportModes   = append(slices.Clip(artifactModes), string(pipeline.AutoMode))
)

// completeModes tells shells which modes there are.
func completeModes(cmd *cobra.Command, artifactModes []string, exportDataModes ...string) {
	completeFlag(cmd, "artifact-mode", artifactModes...)
	completeFlag(cmd, "export-data-mode", exportDataModes...)
}

// completeDirs tells shells which flags of cmd take directories.
func completeDirs(cmd *cobra.Command) {
	for _, name := range []string{"home", "state-dir", "to-state-dir", "export-dir", "to", "temp-dir"} {
		cmd.MarkFlagDirname(name) //nolint:errcheck // fails only for a flag that is not there
	}
}

func completeFlag(cmd *cobra.Command, name string, values ...string) {
	complete := cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
	cmd.RegisterFlagCompletionFunc(name, complete) //nolint:errcheck // fails only for a flag that is not there
}

var readers = []string{pipeline.ReaderSweep, pipeline.ReaderEngine}

func addReader(f *pflag.FlagSet, to *string) {
	addValue(f, to, oneOf(readers), "reader", "read the large tables by `WAY`: sweep, page by page, or engine, by SQL, which is slower (default sweep)")
}

func completeReader(cmd *cobra.Command) {
	completeFlag(cmd, "reader", readers...)
}
