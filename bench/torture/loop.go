package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"swingport/bench/measure"
)

// A looper exports a store to which a node writes all the time, verifies and imports that, exports what it imported, and compares, again and
// again. Some of the runs are killed, and run again.
type looper struct {
	length time.Duration
	rng    *rand.Rand
	stdout io.Writer

	work, dir, state, swingport string // dir is what the processes work in, and nothing else
	round                       int
	export, imported            time.Duration // the last ones took

	totals struct {
		runs       map[string]int
		peak       map[string]int64
		kills      int
		whole      int // kills that came when the result was in place
		bytes      int64
		commits    int
		inProcess  int
		first, now string // heights
	}
}

func loop(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("torture loop", flag.ContinueOnError)
	length := f.Duration("for", time.Hour, "go on for this `TIME`")
	dir := f.String("dir", "", "`DIR` to work in (default the system's for temporary files)")
	size := f.String("size", "50M", "`BYTES` of the store at the beginning, with K, M or G")
	seed := f.Uint64("seed", 1, "`N`: another store, and other kills, for another number")
	if err := parseFlags(f, args, stderr); err != nil {
		return err
	}
	work, done, err := workFolder(*dir)
	if err != nil {
		return err
	}
	l := &looper{length: *length, rng: rand.New(rand.NewPCG(*seed, 7)), stdout: stdout, work: work}
	err = l.prepare(ctx, *size, *seed)
	if err == nil {
		err = l.run(ctx)
	}
	l.report()
	return errors.Join(err, done(err != nil && ctx.Err() == nil))
}

func (l *looper) prepare(ctx context.Context, size string, seed uint64) error {
	l.totals.runs, l.totals.peak = map[string]int{}, map[string]int64{}
	l.dir, l.state, l.swingport = filepath.Join(l.work, "dir"), filepath.Join(l.work, "state"), filepath.Join(l.work, "swingport")
	for _, name := range []string{l.dir, filepath.Join(l.work, "cwd"), filepath.Join(l.work, "tmp")} {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return err
		}
	}
	genstore := filepath.Join(l.work, "genstore")
	for _, argv := range [][]string{
		{"go", "build", "-o", l.swingport, "swingport/cmd/swingport"},
		{"go", "build", "-o", genstore, "swingport/bench/genstore"},
		{genstore, "--size", size, "--seed", fmt.Sprint(seed), "--out", l.state},
	} {
		if _, _, err := measure.Run(ctx, argv); err != nil {
			return err
		}
	}
	return os.Setenv("TMPDIR", filepath.Join(l.work, "tmp"))
}

// run goes round until the time is over; a round that has begun is ended.
func (l *looper) run(ctx context.Context) (err error) {
	w, err := startWriter(ctx, job{Do: "node", State: l.state}, l.work)
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, w.stop())
		}
	}()
	for end := time.Now().Add(l.length); time.Now().Before(end) || l.round == 0; l.round++ {
		if err := l.once(ctx); err != nil {
			return fmt.Errorf("round %d: %w", l.round, err)
		}
	}
	stopped = true
	if err := w.stop(); err != nil {
		return err
	}
	l.totals.commits = w.commits
	_, err = l.swing(ctx, "verify", "--state-dir", l.state, "--deep")
	return err
}

// once is a round.
func (l *looper) once(ctx context.Context) error {
	began := time.Now()
	r := l.choose()
	for _, step := range []func(context.Context) error{r.exportIt, r.verify, r.importIt, r.exportAgain, r.compare, r.copyIt, r.inProcess, r.tidy} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.name(), err)
		}
	}
	fmt.Fprintf(l.stdout, "%s round %d: %s: %.1f s; export %.1f s, import %.1f s; %d kills so far, peak %s\n",
		time.Now().UTC().Format(time.TimeOnly), l.round, r.name(), time.Since(began).Seconds(), l.export.Seconds(), l.imported.Seconds(), l.totals.kills, l.peaks())
	return nil
}

func (l *looper) peaks() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(l.totals.peak)) {
		words = append(words, fmt.Sprintf("%s %d MiB", name, l.totals.peak[name]>>20))
	}
	return strings.Join(words, ", ")
}

// swing runs swingport to its end, and holds its memory against the budget.
func (l *looper) swing(ctx context.Context, args ...string) (took time.Duration, err error) {
	s, _, err := measure.Run(ctx, append([]string{l.swingport}, args...))
	l.totals.runs[args[0]]++
	l.totals.peak[args[0]] = max(l.totals.peak[args[0]], s.Peak)
	if err == nil && s.Peak > budget {
		err = fmt.Errorf("%s took %d MiB of memory", strings.Join(args, " "), s.Peak>>20)
	}
	return s.Wall, err
}

// killed runs swingport and kills it after a random part of the time that it takes; whole is where its result would be.
func (l *looper) killed(ctx context.Context, length time.Duration, whole string, args ...string) error {
	if length == 0 {
		return nil // nobody knows how long it takes
	}
	after := time.Duration(l.rng.Float64() * 1.05 * float64(length))
	limited, cancel := context.WithTimeout(ctx, max(after, time.Millisecond))
	defer cancel()
	_, _, err := measure.Run(limited, append([]string{l.swingport}, args...))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil: // it was faster
	case limited.Err() == nil:
		return err
	default:
		l.totals.kills++
	}
	if _, err := os.Stat(whole); whole != "" && err == nil {
		l.totals.whole++
	}
	return nil
}

func (l *looper) report() {
	t := &l.totals
	fmt.Fprintf(l.stdout, "\n%d rounds, %d commits meanwhile; runs:", l.round, t.commits)
	for _, name := range slices.Sorted(maps.Keys(t.runs)) {
		fmt.Fprintf(l.stdout, " %s %d,", name, t.runs[name])
	}
	fmt.Fprintf(l.stdout, " in one process %d\n%d runs killed, %d of them with the result in place; exports of %d bytes in all; peak %s\n",
		t.inProcess, t.kills, t.whole, t.bytes, l.peaks())
}
