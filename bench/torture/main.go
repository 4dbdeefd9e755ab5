// Command torture kills exports, imports and copies, cuts their power, and runs them for an hour beside a writer, and looks at what is left.
//
//	go run ./bench/torture [kills|power|loop|large|hostile] [flags]
//
// Without a word it does a bounded set: kills and power. It makes the stores that it needs, prints tables, and ends with 1 where a promise was
// broken; what was left then is kept, under --dir.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"swingport/bench/torture/hostile"
)

func main() {
	if text := os.Getenv(jobVariable); text != "" {
		os.Exit(runJob(text, os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// A command tortures in one way; args are its flags.
type command func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// commands are the words of the command line; "" is the bounded set.
var commands = map[string]command{
	"":        bounded,
	"kills":   kills,
	"power":   power,
	"loop":    loop,
	"large":   large,
	"hostile": hostile.Run,
}

// usageError is a command line that is wrong.
type usageError struct{ error }

// run is the whole program, and returns its exit code: 1 if a promise was broken or something failed, 2 if the command line is wrong.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	word := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		word, args = args[0], args[1:]
	}
	do, ok := commands[word]
	if !ok {
		fmt.Fprintf(stderr, "torture: error: unknown word %q: one of %s\n", word, strings.Join(words(), ", "))
		return 2
	}
	err := do(ctx, args, stdout, stderr)
	var usage usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "torture: error: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "torture: error: %v\n", err)
	return 1
}

func words() (list []string) {
	for word := range commands {
		if word != "" {
			list = append(list, word)
		}
	}
	slices.Sort(list)
	return list
}

// parseFlags parses the flags of one word.
func parseFlags(f *flag.FlagSet, args []string, stderr io.Writer) error {
	f.SetOutput(stderr)
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return usageError{err}
	}
	if f.NArg() > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", f.Arg(0))}
	}
	return nil
}

// workFolder is a new folder in dir, "" for the system's. done removes it, unless something is to be looked at.
func workFolder(dir string) (work string, done func(keep bool) error, err error) {
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", nil, err
		}
	}
	if work, err = os.MkdirTemp(dir, "swingport-torture."); err != nil {
		return "", nil, err
	}
	return work, func(keep bool) error {
		if keep {
			return nil
		}
		return os.RemoveAll(work)
	}, nil
}
