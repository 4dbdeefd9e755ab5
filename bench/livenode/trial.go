package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"swingport/bench/measure"
	"swingport/pipeline"
	"swingport/stages"
)

// A row is what runs beside the node.
type row struct {
	name string
	args []string // of swingport; nil for nothing
}

const alone = "alone"

var rows = []row{
	{name: alone},
	{name: "export .tar.zst", args: export()},
	{name: "export .tar.zst --nice", args: export("--nice")},
	{name: "export .tar.zst --nice --rate-limit 50MB", args: export("--nice", "--rate-limit=50MB")},
	{name: "a reader that waits", args: export("--rate-limit=10KB")},
}

func export(flags ...string) []string {
	return append([]string{"export", "--json", "--artifact-mode=archival", "--snapshots=gzip"}, flags...)
}

// A result is a row and how long commits took beside it.
type result struct {
	row
	took    []time.Duration
	exports int
	seconds float64 // of all exports
	growth  int64   // of the log, in bytes, the most of any export
}

// A trial is one measurement: its work folder and what is in it.
type trial struct {
	options
	progress              io.Writer
	dir, state, swingport string
	node                  *node
}

func newTrial(ctx context.Context, o options, progress io.Writer) (*trial, error) {
	dir, err := os.MkdirTemp(o.work, "swingport-livenode.")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	t := &trial{options: o, progress: progress, dir: dir, state: filepath.Join(dir, "state"), swingport: filepath.Join(dir, "swingport")}
	if err := t.prepare(ctx); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// prepare copies the store by swingport, so that it is whole whatever its log holds, and opens it.
func (t *trial) prepare(ctx context.Context) (err error) {
	if _, _, err = measure.Run(ctx, []string{"go", "build", "-o", t.swingport, "swingport/cmd/swingport"}); err != nil {
		return err
	}
	if _, _, err = measure.Run(ctx, []string{t.swingport, "copy", "--state-dir", t.store, "--to-state-dir", t.state, "--artifact-mode=archival"}); err != nil {
		return err
	}
	t.node, err = openNode(t.state)
	return err
}

func (t *trial) close() (err error) {
	if t.node != nil {
		err = t.node.close()
	}
	return errors.Join(err, os.RemoveAll(t.dir))
}

// run measures the rows in turn, round after round; one more in front, which does not count, fills caches.
func (t *trial) run(ctx context.Context) ([]result, error) {
	results := make([]result, len(rows))
	for i, r := range rows {
		results[i].row = r
	}
	for round := range 1 + t.rounds {
		for i := range results {
			r := result{row: results[i].row}
			if err := t.measureRow(ctx, &r); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			fmt.Fprintf(t.progress, "%s: %v, %d commits (%d of %d)\n", r.name, median(r.took), len(r.took), round, t.rounds)
			if round > 0 {
				results[i].add(r)
			}
		}
	}
	return results, nil
}

func (r *result) add(x result) {
	r.took = append(r.took, x.took...)
	r.exports, r.seconds, r.growth = r.exports+x.exports, r.seconds+x.seconds, max(r.growth, x.growth)
}

// measureRow measures commits for a window, beside one export after the other. An export that is under way at the end is stopped with it.
func (t *trial) measureRow(ctx context.Context, r *result) error {
	// What was before must not count: the log is emptied, and everything written.
	if err := errors.Join(t.node.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"), stages.SyncFile(ctx, filepath.Join(t.state, stages.StoreFile), nil)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.options.window)
	defer cancel()
	exported := make(chan error, 1)
	go func() { exported <- t.exports(ctx, r) }()
	took, err := t.node.commits(ctx, t.interval)
	cancel()
	r.took = took
	return errors.Join(err, <-exported)
}

func (t *trial) exports(ctx context.Context, r *result) error {
	out := filepath.Join(t.dir, "x.tar.zst")
	for r.args != nil && ctx.Err() == nil {
		if err := os.Remove(out); err != nil && !errors.Is(err, fs.ErrNotExist) { // of the one before, which may have been stopped
			return err
		}
		s, text, err := measure.Run(ctx, append(append([]string{t.swingport}, r.args...), "--state-dir", t.state, "--output", out))
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		var sum pipeline.Summary
		if err := json.Unmarshal(text, &sum); err != nil {
			return err
		}
		r.exports, r.seconds, r.growth = r.exports+1, r.seconds+s.Wall.Seconds(), max(r.growth, sum.LogGrowth.LogGrowth)
	}
	return nil
}

// median is 0 of none.
func median(took []time.Duration) time.Duration { return quantile(took, 0.5) }

// quantile is the least of some times that a share of them does not exceed.
func quantile(took []time.Duration, share float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

// writeReport writes the facts and the table, as markdown.
func writeReport(w io.Writer, facts []measure.Fact, results []result) {
	measure.WriteFacts(w, facts)
	fmt.Fprintln(w, "\n| beside the node | commits | ms: median | mean | 95% | most | median / alone | mean / alone | exports | s each | -wal grew by MB |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		each := "-"
		if r.exports > 0 {
			each = fmt.Sprintf("%.1f", r.seconds/float64(r.exports))
		}
		fmt.Fprintf(w, "| %s | %d | %.2f | %.2f | %.2f | %.1f | %s | %s | %d | %s | %.1f |\n", r.name, len(r.took),
			ms(median(r.took)), ms(mean(r.took)), ms(quantile(r.took, 0.95)), ms(quantile(r.took, 1)),
			measure.Ratio(ms(median(r.took)), ms(median(results[0].took))), measure.Ratio(ms(mean(r.took)), ms(mean(results[0].took))),
			r.exports, each, float64(r.growth)/1e6)
	}
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

func mean(took []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range took {
		sum += d
	}
	return sum / time.Duration(max(1, len(took)))
}
