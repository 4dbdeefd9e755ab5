package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
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

// usageHint is usagef with a hint of its own.
func usageHint(hint, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), hint}
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
