// Command livenode measures what an export does to a node that goes on working: a process commits to a copy of a store 20 times a second as
// a node does, alone and beside exports, and says how long its commits took.
//
//	go run ./bench/livenode --store DIR [--work DIR] [--rounds N]
//
// bench/README.md says what is measured and how to read it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"swingport/bench/measure"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the whole program, and returns its exit code: 1 if something failed, 2 if the command line is wrong.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "livenode: error: %v\n", err)
		return 2
	}
	if err := livenode(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "livenode: error: %v\n", err)
		return 1
	}
	return 0
}

// options are the command line.
type options struct {
	store, work, out string
	rounds           int
	interval, window time.Duration
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("livenode", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.store, "store", "", "state `DIR` of a stopped node, which is copied; required")
	f.StringVar(&o.work, "work", os.TempDir(), "`DIR` to work in: about three times the store")
	f.StringVar(&o.out, "out", "", "write the report to `FILE` instead of stdout")
	f.IntVar(&o.rounds, "rounds", 5, "`N` rounds")
	f.DurationVar(&o.interval, "interval", 50*time.Millisecond, "`TIME` from one commit to the next")
	f.DurationVar(&o.window, "window", 10*time.Second, "`TIME` for which commits are measured, alone and beside one export after the other")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.store == "":
		return o, errors.New("--store is missing")
	case o.rounds < 1 || o.interval <= 0 || o.window < o.interval:
		return o, errors.New("--rounds is at least 1, --interval above 0, and --window no less")
	}
	return o, nil
}

// livenode does what the options say. The report is written whole, at the end, or not at all.
func livenode(ctx context.Context, o options, stdout, progress io.Writer) (err error) {
	t, err := newTrial(ctx, o, progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	results, err := t.run(ctx)
	if err != nil {
		return err
	}
	var report bytes.Buffer
	facts := append(measure.Facts(ctx, o.work, ""),
		measure.Fact{What: "commits", Is: fmt.Sprintf("one every %v, for %v at a time, %d times", o.interval, o.window, o.rounds)})
	writeReport(&report, facts, results)
	if o.out != "" {
		return os.WriteFile(o.out, report.Bytes(), 0o644)
	}
	_, err = stdout.Write(report.Bytes())
	return err
}
