// Command bigstore measures exports of a store that is larger than memory, on a disk as clouds have them: each command runs with nothing
// cached, in a control group with little memory and few reads a second, in turn with dd, which reads the file once from front to back.
//
//	sudo "$(which go)" run ./bench/bigstore --store DIR [--reference DIR] [flags]
//
// It needs root, for the control groups and to drop caches, and a store of 4 GB or more, since SQLite maps at most 2 GiB of a file
// into memory. bench/README.md says what is measured and how to read it.
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
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"swingport/bench/measure"
	"swingport/stages"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == joinArgument {
		join(os.Args[2:])
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program, and returns its exit code: 1 if something failed, 2 if the command line is wrong.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "bigstore: error: %v\n", err)
		return 2
	}
	if err := bigstore(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "bigstore: error: %v\n", err)
		return 1
	}
	return 0
}

// options are the command line.
type options struct {
	store          string
	work           string
	reference      string
	referenceLimit time.Duration
	rounds         int
	only           *regexp.Regexp
	out            string
	anySize        bool
	limits
}

// limits are what a command is confined to.
type limits struct{ memory, bytesPerSecond, readsPerSecond int64 }

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{only: regexp.MustCompile("")}
	f := flag.NewFlagSet("bigstore", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.store, "store", "", "state `DIR` of a stopped node, which is only read; required")
	f.StringVar(&o.work, "work", os.TempDir(), "`DIR` for what exports write, on the disk of the store")
	f.StringVar(&o.reference, "reference", "", "`DIR` printed by testdata/reference/install.sh")
	f.DurationVar(&o.referenceLimit, "reference-limit", 10*time.Minute, "stop the reference after this `TIME`; it runs once")
	f.IntVar(&o.rounds, "rounds", 3, "`N` rounds")
	f.StringVar(&o.out, "out", "", "write the report to `FILE` instead of stdout")
	f.BoolVar(&o.anySize, "any-size", false, "take a store below 4 GB too")
	f.Int64Var(&o.memory, "memory", 256<<20, "`BYTES` of memory, page cache included")
	f.Int64Var(&o.bytesPerSecond, "read-bytes", 125_000_000, "`BYTES` to read a second")
	f.Int64Var(&o.readsPerSecond, "read-ops", 3000, "`N` reads a second")
	f.Func("only", "run only what `REGEXP` matches the name of", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.store == "":
		return o, errors.New("--store is missing")
	case o.rounds < 1:
		return o, errors.New("--rounds is at least 1")
	case o.memory <= 0 || o.bytesPerSecond <= 0 || o.readsPerSecond <= 0:
		return o, errors.New("limits are above 0")
	}
	return o, nil
}

// leastStore is how large a store must be, in bytes.
const leastStore = 4_000_000_000

// bigstore does what the options say. The report is written whole, at the end, or not at all.
func bigstore(ctx context.Context, o options, stdout, progress io.Writer) (err error) {
	db := filepath.Join(o.store, stages.StoreFile)
	info, err := os.Stat(db)
	switch {
	case err != nil:
		return err
	case info.Size() < leastStore && !o.anySize:
		return fmt.Errorf("%s has %d bytes, and at least %d are needed: SQLite maps 2 GiB of a file into memory, which flatters small stores (--any-size takes it)",
			db, info.Size(), int64(leastStore))
	case os.Geteuid() != 0:
		return errors.New("control groups and dropping caches need root")
	}
	t, err := newTrial(ctx, o, db, progress)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	results, err := t.run(ctx)
	if err != nil {
		return err
	}
	var report bytes.Buffer
	facts := append(measure.Facts(ctx, o.work, o.reference), t.facts(info.Size())...)
	writeReport(&report, facts, results)
	if o.out != "" {
		return os.WriteFile(o.out, report.Bytes(), 0o644)
	}
	_, err = stdout.Write(report.Bytes())
	return err
}
