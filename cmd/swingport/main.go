// Command swingport exports, imports, copies, verifies and compares Agoric
// swing-stores.
//
// The work is done by the pipeline package; here are flags, texts, progress,
// hints and exit codes. One file is one command; progress.go is the only one
// that knows of bars, hints.go the only one that knows exit codes; args.go,
// environment.go, values.go and flags.go are about what the user said, signals.go
// about what the system says meanwhile.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"sync/atomic"

	"github.com/spf13/cobra"

	"swingport/pipeline"
	"swingport/stages"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())) }

// run is the whole program, and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, environ []string) int {
	a := newApp(stdin, stdout, stderr, environ)
	limitMemory(a.env, 0)
	return a.run(args)
}

// app is one run of the program: its streams, its environment, and the
// library calls, which tests replace.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr *screen
	env    map[string]string

	export     func(context.Context, pipeline.ExportOptions) (pipeline.Summary, error)
	importInto func(context.Context, pipeline.ImportOptions) (pipeline.Summary, error)
	verify     func(context.Context, pipeline.VerifyOptions) (pipeline.VerifyReport, error)
	diff       func(context.Context, pipeline.DiffOptions) (pipeline.DiffReport, error)
	list       func(context.Context, pipeline.ListOptions) (pipeline.Listing, error)
	extract    func(context.Context, pipeline.ExtractOptions) (pipeline.ExtractSummary, error)
	copy       func(context.Context, pipeline.CopyOptions) (pipeline.CopySummary, error)
	planExport func(context.Context, pipeline.ExportOptions) (pipeline.Plan, error)
	planImport func(context.Context, pipeline.ImportOptions) (pipeline.Plan, error)
	planCopy   func(context.Context, pipeline.CopyOptions) (pipeline.Plan, error)
	height     func(ctx context.Context, stateDir string) (float64, error)
	get        func(ctx context.Context, stateDir, key string) ([]byte, bool, error)
	measure    func(context.Context, benchJob) (benchRun, error)
	beNice     func() error

	keeps  atomic.Bool // what is finished stays after a signal
	parsed bool        // the command line was fine: what fails from here on is no usage error
}

func newApp(stdin io.Reader, stdout, stderr io.Writer, environ []string) *app {
	env := environment(environ)
	return &app{
		stdin: stdin, stdout: stdout, stderr: newScreen(stderr, env), env: env,
		export: pipeline.Export, importInto: pipeline.Import, copy: pipeline.Copy,
		verify: pipeline.Verify, list: pipeline.List, extract: pipeline.Extract, diff: pipeline.Diff,
		planExport: pipeline.PlanExport, planImport: pipeline.PlanImport, planCopy: pipeline.PlanCopy,
		height: pipeline.Height, get: pipeline.Get, beNice: lowerPriority, measure: measureJob,
	}
}

// limitMemory keeps the process within the 300 MiB that it promises at any
// size of the store. The limit is for Go's heap only: the engine's page caches
// come on top. Collecting at half again the live heap instead of at twice its
// size costs a few per cent of CPU, since the large buffers are pooled. Who
// sets GOMEMLIMIT or GOGC knows better. An item that is larger than the default
// allows is with the engine once, outside of Go's heap.
func limitMemory(env map[string]string, maxItem int64) {
	if env["GOMEMLIMIT"] == "" {
		debug.SetMemoryLimit(pipeline.HeapLimit - min(max(maxItem-stages.DefaultMaxItem, 0), 64<<20))
	}
	if env["GOGC"] == "" {
		debug.SetGCPercent(50)
	}
}

// run executes one command line and reports its error.
func (a *app) run(args []string) int {
	ctx, stop := a.withSignals(context.Background())
	defer stop()
	cmd, err := a.execute(ctx, args)
	if err == nil {
		return exitDone
	}
	if !a.parsed && !errors.As(err, new(*usageError)) {
		err = &usageError{err: err}
	}
	err = blameSignal(ctx, err)
	a.report(err, cmd)
	return exitCode(err)
}

// execute finds and runs the command. The command it returns is the one that
// an error is about; it is never nil.
func (a *app) execute(ctx context.Context, args []string) (*cobra.Command, error) {
	root := a.rootCommand()
	if len(args) == 0 {
		root.SetOut(a.stderr)
		root.Help() //nolint:errcheck // only a failing write to stderr
		return root, usagef("no command given")
	}
	if err := checkArgs(root, args); err != nil {
		cmd, _, findErr := root.Find(args)
		if findErr != nil {
			cmd = root
		}
		return cmd, err
	}
	root.SetArgs(joinVerbose(args))
	return root.ExecuteContextC(ctx)
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "swingport",
		Short: "Export, import and verify Agoric swing-stores",
		Long: `swingport exports Agoric swing-stores (swingstore.sqlite) and imports them again,
byte for byte what Agoric's own export-kernel-db and import-kernel-db do, only
faster, verified on the way, and never half done. An export is a directory or an
archive, which can go through a pipe to another machine and be verified, listed,
compared and picked from without importing it.

Exit codes:
  0    done
  1    failed; stderr says why
  2    the command line or the environment is wrong; nothing was touched
  3    the answer is no: verify found defects, diff found differences,
       extract no such file, get no such key
  130  stopped by SIGINT (143 by SIGTERM, 129 by SIGHUP); everything
       unfinished was removed, unless export --resume keeps it

SIGUSR1 prints how far a run is.`,
		Example: `  swingport export --export-dir backup --artifact-mode replay \
      --export-data-mode all
  swingport import --state-dir /new/data/agoric --export-dir backup
  swingport export --output backup.tar.zst
  swingport export --output - | ssh new-host swingport import --input -
  swingport verify backup.tar.zst
  swingport height
  swingport get v1.options`,
		Version:                    versionLine(),
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableSuggestions:         true, // they are made into hints
		SuggestionsMinimumDistance: 2,
		PersistentPreRun:           func(*cobra.Command, []string) { a.parsed = true },
	}
	root.SetVersionTemplate("swingport {{.Version}}\n")
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	root.SetHelpCommand(helpCommand())
	root.AddCommand(a.exportCommand(), a.importCommand(), a.verifyCommand(), a.diffCommand(), a.copyCommand(), a.extractCommand(), a.listCommand(),
		a.benchCommand(), a.benchChildCommand(), a.heightCommand(), a.getCommand(), a.versionCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// helpCommand differs from cobra's own only in that an unknown command is an error.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, _, err := cmd.Root().Find(args)
			if err != nil {
				return unknownCommand(cmd.Root(), args[0])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
