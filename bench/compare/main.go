// Command compare runs whole programs in turn on one swing-store, or on several of different sizes, swingport and others that do the
// same job, and writes markdown tables: wall-clock time, CPU time and peak memory of each, and how they stand to each other.
//
//	go run ./bench/compare [--size 1G | --store DIR] [--reference DIR] [flags]
//
// The programs are the table in rows.go. They run interleaved (A B C A B C), one round to warm up and then --rounds rounds
// that count, on a store in a folder that is removed at the end. A command that fails ends the comparison: it
// gives no figure. bench/README.md says what is measured and how to read it.
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
	"strings"
	"syscall"

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
		fmt.Fprintf(stderr, "compare: error: %v\n", err)
		return 2
	}
	if err := compare(ctx, o, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "compare: error: %v\n", err)
		return 1
	}
	return 0
}

// The states of the page cache before a run.
const (
	warm = "warm"
	cold = "cold"
)

// options are the command line.
type options struct {
	store           string   // the state directory to copy; "" where sizes are given
	sizes           []string // of the stores to make
	work            string   // where the work folder is made
	reference       string   // folder of ref-swingport; "" if there is none
	out             string   // file for the report; "" is stdout
	svg             string   // file for the chart; "" is none
	rounds          int
	referenceRounds int
	only            *regexp.Regexp
	caches          []string // warm, cold
	holdMemory      bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{only: regexp.MustCompile(""), caches: []string{warm}}
	list := func(to *[]string) func(string) error {
		return func(s string) error {
			*to = strings.Split(s, ",")
			return nil
		}
	}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.store, "store", "", "state `DIR` of a stopped node, which is copied, instead of a store that is made")
	f.Func("size", "make stores of these `SIZES` with genstore, like 200M,1G,4G (default 1G)", list(&o.sizes))
	f.StringVar(&o.work, "work", os.TempDir(), "`DIR` to work in: about six times the store, on the disk that is to be measured")
	f.StringVar(&o.reference, "reference", "", "`DIR` printed by testdata/reference/install.sh")
	f.StringVar(&o.out, "out", "", "write the report to `FILE` instead of stdout")
	f.StringVar(&o.svg, "svg", "", "draw a chart of the first table into `FILE`")
	f.IntVar(&o.rounds, "rounds", 5, "`N` rounds that count")
	f.IntVar(&o.referenceRounds, "reference-rounds", 2, "the reference, which is slow, runs in the first `N` of them only")
	f.Func("caches", "before each run the `STATE` of the system's caches: warm, cold (needs root) or warm,cold (default warm)", list(&o.caches))
	f.BoolVar(&o.holdMemory, "hold-memory", false, "keep free memory from going back to the host, see bench/hold; Linux")
	f.Func("only", "run only what `REGEXP` matches the name of", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	return o, o.check()
}

func (o *options) check() (err error) {
	switch {
	case o.store != "" && o.sizes != nil:
		return errors.New("--store and --size exclude each other")
	case o.rounds < 1 || o.referenceRounds < 1:
		return errors.New("rounds are at least 1")
	}
	for _, state := range o.caches {
		if state != warm && state != cold {
			return fmt.Errorf("--caches %s: it is warm or cold, or both", state)
		}
	}
	if o.store == "" && o.sizes == nil {
		o.sizes = []string{"1G"}
	}
	if o.reference == "" {
		return nil
	}
	if o.reference, err = filepath.Abs(o.reference); err != nil {
		return err
	}
	_, err = os.Stat(filepath.Join(o.reference, "ref-swingport"))
	return err
}

// compare does what the options say. The report is written whole, at the end, or not at all.
func compare(ctx context.Context, o options, stdout, progress io.Writer) error {
	var all []section
	if o.store != "" {
		o.sizes = []string{""}
	}
	for _, size := range o.sizes {
		s, err := compareOn(ctx, o, size, progress)
		if err != nil {
			return err
		}
		all = append(all, s...)
	}
	if o.svg != "" {
		if err := os.WriteFile(o.svg, chart(all[0]), 0o644); err != nil {
			return err
		}
	}
	var report bytes.Buffer
	facts := append(measure.Facts(ctx, o.work, o.reference),
		measure.Fact{What: "runs", Is: fmt.Sprintf("%d, of the reference %d, after one to warm up", o.rounds, o.referenceRounds)})
	if o.holdMemory {
		facts = append(facts, measure.Fact{What: "memory", Is: "free memory is held by bench/hold, and given away as it is needed"})
	}
	writeReport(&report, facts, all)
	if o.out != "" {
		return os.WriteFile(o.out, report.Bytes(), 0o644)
	}
	_, err := stdout.Write(report.Bytes())
	return err
}

// compareOn compares on one store, of a size or the one that was named: a section of the report for each state of the caches.
func compareOn(ctx context.Context, o options, size string, progress io.Writer) (all []section, err error) {
	t, err := newTrial(o, progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	if err := t.prepare(ctx, size); err != nil {
		return nil, err
	}
	for _, caches := range o.caches {
		results, err := t.run(ctx, chosen(rows, o.only), caches)
		if err != nil {
			return nil, err
		}
		all = append(all, section{caches, t.dbBytes, t.summary, results})
	}
	return all, nil
}
