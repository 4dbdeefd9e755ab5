package main

import (
	"errors"
	"fmt"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

// envPrefix begins the names under which the environment sets the flags of the
// reference: AG_CHAIN_COSMOS_STATE_DIR is --state-dir.
const envPrefix = "AG_CHAIN_COSMOS_"

// The flags that the environment can set: all those of the reference where it
// has the command too, else those that say where the store is.
var (
	envFlags      = []string{"home", "state-dir", "export-dir", "artifact-mode", "export-data-mode", "check-block-height", "verbose"}
	envStoreFlags = envFlags[:2]
)

// replacedFlags are flags that the reference refuses, and what it tells to use.
var replacedFlags = map[string]string{
	"include-export-data": "export-data-mode",
	"export-mode":         "artifact-mode",
	"include-historical":  "artifact-mode",
}

// A usageError is a command line or an environment that cannot be run.
type usageError struct {
	err  error
	hint string // "" points to the help of the command
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{err: fmt.Errorf(format, args...)}
}

// environment makes a map of KEY=VALUE strings; of two of a name the last wins.
func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, kv := range environ {
		if key, value, ok := strings.Cut(kv, "="); ok {
			env[key] = value
		}
	}
	return env
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that the command line did not. A verbose that
// is no boolean is false, as in the reference; all other nonsense is an error.
func fromEnvironment(flags *pflag.FlagSet, env map[string]string, names []string) error {
	for _, name := range names {
		flag, value, set := flags.Lookup(name), "", false
		if flag != nil && !flag.Changed {
			value, set = env[envName(name)]
		}
		if !set || name == "check-block-height" && value == "" {
			continue
		}
		if err := flag.Value.Set(value); err != nil && name != "verbose" {
			return usagef("%s %q: %w", envName(name), value, err)
		}
	}
	return nil
}

// refuseReplaced fails where the environment sets one of the flags that the
// reference refuses. It reads include-... as booleans and so overlooks others.
func refuseReplaced(env map[string]string, names ...string) error {
	for _, name := range names {
		value, set := env[envName(name)]
		if _, err := parseBool(value); set && (err == nil || name == "export-mode") {
			return replacedFlag(name)
		}
	}
	return nil
}

func replacedFlag(name string) error {
	return &usageError{
		err:  fmt.Errorf("deprecated %q options, use %q instead", name, replacedFlags[name]),
		hint: fmt.Sprintf("leave out --%s and %s", name, envName(name)),
	}
}

// checkArgs finds what the flag parser would take silently or explain badly:
// unknown commands, flags that the reference refuses, and values that are the
// next flag ("--state-dir --verbose").
func checkArgs(root *cobra.Command, args []string) error {
	if strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return nil
	}
	takesValue := valueFlags(root)
	if _, _, err := root.Find(args); err != nil {
		return unknownCommand(root, firstWord(args, takesValue))
	}
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		name, isFlag := flagName(args[i])
		name, _, hasValue := strings.Cut(name, "=")
		switch {
		case !isFlag:
		case replacedFlags[name] != "":
			return replacedFlag(name)
		case takesValue[name] && !hasValue:
			if i++; i == len(args) || strings.HasPrefix(args[i], "--") {
				return usagef("--%s needs a value", name)
			}
		}
	}
	return nil
}

// shortFlags are the flags that can be given as one letter and a value.
var shortFlags = map[string]string{"-o": "output", "-i": "input"}

// flagName is arg without its dashes, or the long name for a letter that stands alone.
func flagName(arg string) (name string, isFlag bool) {
	if long, ok := shortFlags[arg]; ok {
		return long, true
	}
	return strings.CutPrefix(arg, "--")
}

// valueFlags has the names of all flags, of any command, that are followed by a value.
func valueFlags(root *cobra.Command) map[string]bool {
	names := map[string]bool{}
	for _, cmd := range root.Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.NoOptDefVal == "" {
				names[f.Name] = true
			}
		})
	}
	return names
}

// firstWord is the first argument that is no flag and no flag's value.
func firstWord(args []string, takesValue map[string]bool) string {
	for i := 0; i < len(args); i++ {
		name, isFlag := flagName(args[i])
		if !isFlag {
			return args[i]
		}
		if takesValue[name] {
			i++
		}
	}
	return ""
}

func unknownCommand(root *cobra.Command, word string) error {
	e := &usageError{err: fmt.Errorf("unknown command %q", word), hint: "see swingport --help"}
	if near := root.SuggestionsFor(word); len(near) > 0 {
		e.hint = fmt.Sprintf("did you mean %q?", near[0])
	}
	return e
}

// flagError puts the parser's errors into our words.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	var needs *pflag.ValueRequiredError
	switch {
	case errors.As(err, &invalid) && errors.Is(err, format.ErrMode):
		return &usageError{err: invalid.Unwrap()} // names flag and value, in the reference's words
	case errors.As(err, &invalid):
		return usagef("--%s %q: %w", invalid.GetFlag().Name, invalid.GetValue(), invalid.Unwrap())
	case errors.As(err, &needs):
		return usagef("--%s needs a value", needs.GetSpecifiedName())
	}
	return &usageError{err: err}
}

// noArgs refuses words that belong to no flag.
func noArgs(_ *cobra.Command, args []string) error { return refuseArgs(args, 0) }

// atMost refuses more than n words that belong to no flag.
func atMost(n int) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error { return refuseArgs(args, n) }
}

func refuseArgs(args []string, n int) error {
	if len(args) > n {
		return usagef("unexpected argument %q", args[n])
	}
	return nil
}

// value makes a flag of a parse function. A repeated flag: the last one wins.
type value[T any] struct {
	to    *T
	parse func(string) (T, error)
	text  string
}

func (v *value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err == nil {
		*v.to, v.text = parsed, s
	}
	return err
}

func (v *value[T]) String() string { return v.text }
func (v *value[T]) Type() string   { return "value" }

func addValue[T any](f *pflag.FlagSet, to *T, parse func(string) (T, error), name, usage string) {
	f.Var(&value[T]{to: to, parse: parse}, name, usage)
}

// addBool adds a flag that needs no value.
func addBool(f *pflag.FlagSet, to *bool, name, usage string) {
	f.VarPF(&boolValue{value[bool]{to: to, parse: parseBool}}, name, "", usage).NoOptDefVal = "true"
}

// boolValue says that it is one, so that help does not show a value.
type boolValue struct{ value[bool] }

func (*boolValue) Type() string { return "bool" }

// parseBool reads a boolean as the reference does.
func parseBool(s string) (bool, error) {
	switch s {
	case "1", "true", "":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, errors.New("not one of true, false, 1, 0")
}

// parseHeight takes integers in the one form in which JavaScript prints them;
// the reference ignores all others in silence.
func parseHeight(s string) (*float64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != s || n > 1<<53 || n < -1<<53 {
		return nil, errors.New("not a block height, which is a whole number")
	}
	height := float64(n)
	return &height, nil
}

func parseWorkers(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1024 {
		return 0, errors.New("not a whole number from 0 to 1024")
	}
	return n, nil
}

func parseReader(s string) (string, error) {
	if s != "sweep" && s != "engine" {
		return "", errors.New("not one of sweep, engine")
	}
	return s, nil
}

func addReader(f *pflag.FlagSet, to *string) {
	addValue(f, to, parseReader, "reader", "read the large tables by `WAY`: sweep, page by page, or engine, by SQL, which is slower (default sweep)")
}

func completeReader(cmd *cobra.Command) {
	completeFlag(cmd, "reader", pipeline.ReaderSweep, pipeline.ReaderEngine)
}

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

func userHome(env map[string]string) (string, error) {
	if home := env["HOME"]; home != "" {
		return home, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", err
	}
	return u.HomeDir, nil
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

// howFlags change nothing in the result.
type howFlags struct {
	workers       int
	tempDir       string
	json, verbose bool
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

// add adds the flags but that of the temporary files, whose default is the command's.
func (h *howFlags) add(f *pflag.FlagSet) {
	addValue(f, &h.workers, parseWorkers, "workers", "work `N` wide, 16 at most (default 0: as wide as the machine)")
	h.addOutput(f)
}

// addOutput adds those about what is printed.
func (h *howFlags) addOutput(f *pflag.FlagSet) {
	addBool(f, &h.json, "json", "print the summary as one JSON object")
	addBool(f, &h.verbose, "verbose", "say what happens; without a terminal, how far it is")
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

// joinVerbose makes "--verbose 0" one argument: flags that need no value take
// none from the next argument, except this one of the reference's.
func joinVerbose(args []string) []string {
	joined := make([]string, 0, len(args))
	for i, arg := range args {
		if arg == "--" {
			return append(joined, args[i:]...)
		}
		last := len(joined) - 1
		if _, err := parseBool(arg); err == nil && arg != "" && last >= 0 && joined[last] == "--verbose" {
			joined[last] += "=" + arg
			continue
		}
		joined = append(joined, arg)
	}
	return joined
}
