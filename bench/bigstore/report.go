package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/dustin/go-humanize"

	"swingport/bench/measure"
	"swingport/stages"
)

// writeReport writes the facts and the table, as markdown.
func writeReport(w io.Writer, facts []measure.Fact, results []result) {
	measure.WriteFacts(w, facts)
	fmt.Fprintln(w, "\n| export | runs | wall s: median (min-max) | CPU s | peak MiB | read MB | reads | wall / dd | read / wanted |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	yardstick := 0.0
	for _, r := range results {
		if r.name == dd {
			yardstick = r.Wall().Median
		}
	}
	for _, r := range results {
		fmt.Fprintln(w, r.tableRow(yardstick))
	}
}

func (r result) tableRow(yardstick float64) string {
	if r.missing != "" {
		return fmt.Sprintf("| %s | 0 | not run: %s | | | | | | |", r.name, r.missing)
	}
	slower := measure.Ratio(r.Wall().Median, yardstick)
	if r.stopped > 0 {
		slower = "> " + slower
	}
	return fmt.Sprintf("| %s | %d | %s | %.2f | %s | %.0f | %s | %s | %s |", r.name, len(r.Samples), r.seconds(), r.CPU().Median, r.Peak(),
		float64(r.bytes)/1e6, comma(r.ops), slower, measure.Ratio(float64(r.bytes), float64(r.wantedBytes)))
}

// seconds are the wall-clock times; of what was stopped only the least is known.
func (r result) seconds() string {
	if r.stopped > 0 {
		return fmt.Sprintf("> %.0f", r.stopped.Seconds())
	}
	return r.Wall().String()
}

func comma(n int64) string { return humanize.Comma(n) }

// wantedBytes is how many bytes an operational export wants of a store, as they are stored: items of current spans, heaps in use, bundles,
// and the rows of kvStore.
func wantedBytes(ctx context.Context, store string) (n int64, err error) {
	db, err := stages.OpenDB(filepath.Join(store, stages.StoreFile), stages.ReadOnly, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, query := range []string{
		`SELECT total(octet_length(i.item)) FROM transcriptSpans s JOIN transcriptItems i ON i.vatID=s.vatID AND i.position>=s.startPos AND i.position<s.endPos WHERE s.isCurrent=1`,
		`SELECT total(octet_length(compressedSnapshot)) FROM snapshots WHERE inUse=1`,
		`SELECT total(octet_length(bundle)) FROM bundles`,
		`SELECT total(octet_length(key)+octet_length(value)) FROM kvStore`,
	} {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if err := db.Query(query, func(q *stages.Stmt) error { n += int64(q.Real(0)); return nil }); err != nil {
			return 0, err
		}
	}
	return n, nil
}
