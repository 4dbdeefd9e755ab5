package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"swingport/stages"
)

// powerRow is what became of one scenario under power failures.
type powerRow struct {
	*scenario
	operations, cuts int
	outcomes         map[outcome]int
	broken           []*broken
}

// powerOptions are the flags of power.
type powerOptions struct {
	seed  uint64
	every int
	dir   string
	only  *regexp.Regexp
}

// power runs commands one operation at a time, and looks, before each, at what would be left if the power failed there.
func power(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o := powerOptions{only: regexp.MustCompile("")}
	f := flag.NewFlagSet("torture power", flag.ContinueOnError)
	f.Uint64Var(&o.seed, "seed", 1, "`N`: others of the unsynced writes are lost for another number")
	f.IntVar(&o.every, "every", 1, "fail before each `N`th write; before all else anyway")
	f.StringVar(&o.dir, "dir", "", "`DIR` to work in (default the system's for temporary files)")
	f.Func("only", "only scenarios whose names `REGEXP` matches", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	if err := parseFlags(f, args, stderr); err != nil {
		return err
	}
	if o.every < 1 {
		return usageError{errors.New("--every is at least 1")}
	}
	return failPower(ctx, o, stdout)
}

func failPower(ctx context.Context, o powerOptions, stdout io.Writer) error {
	work, done, err := workFolder(o.dir)
	if err != nil {
		return err
	}
	stores, err := makeStores(ctx, work)
	if err != nil {
		return errors.Join(err, done(false))
	}
	var rows []*powerRow
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(2, runtime.NumCPU()))
	for i, s := range scenarios() {
		if s.source == live || s.old == live || s.source == damaged || !o.only.MatchString(s.name) {
			continue
		}
		r := &powerRow{scenario: s, outcomes: map[outcome]int{}}
		rows = append(rows, r)
		g.Go(func() error {
			err := r.run(gctx, stores, filepath.Join(work, fmt.Sprintf("power-%02d", i)), o.every, rand.New(rand.NewPCG(o.seed, uint64(i))))
			if err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			return nil
		})
	}
	err = g.Wait()
	writePower(stdout, rows)
	for _, r := range rows {
		for _, b := range r.broken {
			err = errors.Join(err, b)
		}
	}
	var b *broken
	return errors.Join(err, done(errors.As(err, &b)))
}

func (r *powerRow) run(ctx context.Context, stores *stores, dir string, every int, rng *rand.Rand) (err error) {
	if err := r.prepare(ctx, stores, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	t, err := r.newTrial(ctx, "power")
	if err != nil {
		return err
	}
	d, err := newDisk(filepath.Join(t.dir, "target"), filepath.Join(t.dir, "pins"))
	if err != nil {
		return err
	}
	writes := 0
	said, err := stepwise(ctx, t.job(), t.dir, func(op stages.Op) error {
		if err := d.look(); err != nil {
			return err
		}
		r.operations++
		write := op.Kind == stages.OpWrite || op.Kind == stages.OpOpen
		if write {
			writes++
		}
		if !write || writes%every == 0 {
			for _, c := range cuts {
				when := fmt.Sprintf("before operation %d, %s %s", r.operations, op.Kind, d.below(op.Path))
				again := r.cuts%10 == 0 && strings.HasPrefix(op.Path, d.root) // else the child may hold a lock on what is read
				if err := r.fail(ctx, d, t, c, rng, when, again, false); err != nil {
					return err
				}
			}
		}
		return d.did(op)
	})
	if err != nil {
		return err
	}
	if said.Error != "" {
		return errors.New(said.Error)
	}
	if err := d.look(); err != nil {
		return err
	}
	for _, c := range cuts {
		if err := r.fail(ctx, d, t, c, rng, "at the end", true, true); err != nil {
			return err
		}
	}
	if r.broken != nil {
		return nil
	}
	return os.RemoveAll(t.dir)
}

// fail looks at what a power failure leaves. After the end that is the new one. If
// it is asked to it runs the job again.
func (r *powerRow) fail(ctx context.Context, d *disk, of *trial, c cut, rng *rand.Rand, when string, again, ended bool) error {
	r.cuts++
	t := &trial{s: r.scenario, dir: filepath.Join(of.dir, fmt.Sprintf("cut-%d", r.cuts))}
	t.state = filepath.Join(t.dir, "target", "agoric")
	for _, name := range []string{"target", "cwd", "tmp"} {
		if err := os.MkdirAll(filepath.Join(t.dir, name), 0o755); err != nil {
			return err
		}
	}
	if err := d.image(filepath.Join(t.dir, "target"), c, rng); err != nil {
		return err
	}
	result, lines, err := t.left(ctx, again)
	if err != nil {
		return err
	}
	if ended && lines == nil && result != newOne {
		lines = []string{fmt.Sprintf("the run has ended, and what is left is %s", result)}
	}
	if lines == nil {
		r.outcomes[result]++
		return os.RemoveAll(t.dir)
	}
	r.outcomes[bad]++
	r.broken = append(r.broken, &broken{r.name, fmt.Sprintf("by a power failure %s, which took %s", when, c), t.dir, lines})
	return nil
}

// stepwise has a child do a job, and calls before ahead of each of its operations but reads.
func stepwise(ctx context.Context, j job, dir string, before func(stages.Op) error) (s said, err error) {
	j.Ask = true
	cmd, err := child(ctx, j, dir)
	if err != nil {
		return s, err
	}
	answers, answer, err := os.Pipe()
	if err != nil {
		return s, err
	}
	ops, say, err := os.Pipe()
	if err != nil {
		return s, errors.Join(err, answers.Close(), answer.Close())
	}
	defer func() { err = errors.Join(err, answer.Close(), ops.Close()) }()
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.ExtraFiles = []*os.File{answers, say}
	err = cmd.Start()
	if err := errors.Join(err, answers.Close(), say.Close()); err != nil {
		return s, err
	}
	for dec := json.NewDecoder(bufio.NewReader(ops)); ; {
		var op stages.Op
		if err = dec.Decode(&op); err == nil {
			err = before(op)
		}
		if err == nil {
			_, err = answer.Write([]byte{1})
		}
		if err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	} else {
		cmd.Process.Kill() //nolint:errcheck // it has ended by itself
	}
	if waited := cmd.Wait(); err == nil {
		err = waited
	}
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &s)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, complaint.Bytes())
	}
	return s, err
}

func writePower(w io.Writer, rows []*powerRow) {
	fmt.Fprintf(w, "| power failed | operations | failures | left: nothing | the old store | the new one | a broken promise |\n|---|--:|--:|--:|--:|--:|--:|\n")
	all := powerRow{scenario: &scenario{name: "all"}, outcomes: map[outcome]int{}}
	for _, r := range append(rows, &all) {
		fmt.Fprintf(w, "| %s | %d | %d |", r.name, r.operations, r.cuts)
		for _, o := range outcomes {
			fmt.Fprintf(w, " %d |", r.outcomes[o])
			all.outcomes[o] += r.outcomes[o]
		}
		fmt.Fprintln(w)
		all.operations, all.cuts = all.operations+r.operations, all.cuts+r.cuts
	}
}
