package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// killOptions are the flags of kills.
type killOptions struct {
	kills  int
	seed   uint64
	dir    string
	size   string
	only   *regexp.Regexp
	random int // percent of the kills
	stderr io.Writer
}

func parseKills(args []string, stderr io.Writer) (o killOptions, err error) {
	o.stderr, o.only = stderr, regexp.MustCompile("")
	f := flag.NewFlagSet("torture kills", flag.ContinueOnError)
	f.IntVar(&o.kills, "kills", 360, "`N` runs that are killed")
	f.Uint64Var(&o.seed, "seed", 1, "`N`: other places to be killed at for another number")
	f.StringVar(&o.dir, "dir", "", "`DIR` to work in (default the system's for temporary files)")
	f.StringVar(&o.size, "size", "200M", "`BYTES` of the large store, with K, M or G")
	f.IntVar(&o.random, "random", 15, "`PERCENT` of the kills that hit runs of the large store at a random time")
	f.Func("only", "only scenarios whose names `REGEXP` matches", func(s string) (err error) {
		o.only, err = regexp.Compile(s)
		return err
	})
	if err := parseFlags(f, args, stderr); err != nil {
		return o, err
	}
	if o.kills < 1 || o.random < 0 || o.random > 100 {
		return o, usageError{errors.New("--kills is at least 1, --random from 0 to 100")}
	}
	return o, nil
}

func kills(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseKills(args, stderr)
	if err != nil {
		return err
	}
	return killRuns(ctx, o, stdout)
}

func killRuns(ctx context.Context, o killOptions, stdout io.Writer) error {
	work, done, err := workFolder(o.dir)
	if err != nil {
		return err
	}
	rows, err := killAll(ctx, o, work)
	writeKills(stdout, rows)
	for _, r := range rows {
		for _, b := range r.broken {
			err = errors.Join(err, b)
		}
	}
	var b *broken
	return errors.Join(err, done(errors.As(err, &b)))
}

// killAll makes the stores and kills runs of all scenarios, as many side by side as there are cores.
func killAll(ctx context.Context, o killOptions, work string) ([]*row, error) {
	stores, err := makeStores(ctx, work)
	if err != nil {
		return nil, err
	}
	var small, large []*scenario
	for _, s := range scenarios() {
		if o.only.MatchString(s.name) {
			small = append(small, s)
		}
	}
	for _, s := range largeScenarios() {
		if o.only.MatchString(s.name) && o.random > 0 {
			large = append(large, s)
		}
	}
	if len(small)+len(large) == 0 {
		return nil, usageError{errors.New("--only leaves no scenario")}
	}
	if len(large) > 0 {
		stores.large = filepath.Join(work, "large")
		if err := stores.generate(ctx, stores.large, o.size, 3); err != nil {
			return nil, err
		}
	}
	random := o.kills * o.random / 100
	if len(small) == 0 {
		random = o.kills
	} else if len(large) == 0 {
		random = 0
	}
	var rows []*row
	for i, s := range small {
		rows = append(rows, &row{scenario: s, kills: share(o.kills-random, i, len(small))})
	}
	for i, s := range large {
		rows = append(rows, &row{scenario: s, kills: share(random, i, len(large)), large: true})
	}
	return rows, killRows(ctx, o, stores, work, rows)
}

// kill does one trial. A broken promise is noted, and ends nothing.
func (r *row) kill(ctx context.Context, name string, b blow) error {
	result, err := r.try(ctx, name, b)
	var promise *broken
	if errors.As(err, &promise) {
		r.broken = append(r.broken, promise)
		result = bad
	} else if err != nil {
		return err
	}
	if r.outcomes == nil {
		r.outcomes = map[outcome]int{}
	}
	r.outcomes[result]++
	if result != missed && b.at != nil && b.at.Torn {
		r.torn++
	}
	return nil
}

// share is the i-th of n nearly equal parts of a whole.
func share(whole, i, n int) int { return whole*(i+1)/n - whole*i/n }

func killRows(ctx context.Context, o killOptions, stores *stores, work string, rows []*row) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(2, runtime.NumCPU()))
	var mu sync.Mutex
	for i, r := range rows {
		g.Go(func() error {
			if r.kills == 0 {
				return nil
			}
			start := time.Now()
			rng := rand.New(rand.NewPCG(o.seed, uint64(i)))
			err := r.run(ctx, stores, filepath.Join(work, fmt.Sprintf("scenario-%02d", i)), rng)
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(o.stderr, "%s: %d kills, %.0f s\n", r.name, r.killed(), time.Since(start).Seconds())
			return err
		})
	}
	return g.Wait()
}

// run does the kills of one scenario.
func (r *row) run(ctx context.Context, stores *stores, dir string, rng *rand.Rand) (err error) {
	if r.large {
		r.input = stores.large
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.prepare(ctx, stores, dir); err != nil {
		return err
	}
	if r.large {
		return r.atRandom(ctx, rng)
	}
	for i, at := range points(r.ops, r.kills, rng) {
		if err := r.kill(ctx, fmt.Sprintf("kill-%d", i), blow{at: &at}); err != nil {
			return err
		}
	}
	for i := 0; r.killed() < r.kills; i++ { // for those that came too late
		at := at2point(r.ops, rng.IntN((len(r.ops)+1)/2))
		if err := r.kill(ctx, fmt.Sprintf("kill-again-%d", i), blow{at: &at}); err != nil {
			return err
		}
		if i > 20+r.kills {
			return fmt.Errorf("%s: too few runs live long enough to be killed", r.name)
		}
	}
	return nil
}

// bounded is what the program does without a word.
func bounded(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseKills(args, stderr)
	if err != nil {
		return err
	}
	err = killRuns(ctx, o, stdout)
	if ctx.Err() == nil {
		fmt.Fprintln(stdout)
		err = errors.Join(err, failPower(ctx, powerOptions{seed: o.seed, every: 10, dir: o.dir, only: o.only}, stdout))
	}
	return err
}
