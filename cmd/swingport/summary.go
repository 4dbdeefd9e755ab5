package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/dustin/go-humanize"

	"swingport/format"
	"swingport/pipeline"
)

// transfer runs an export or import under a progress bar and prints its
// warnings and its summary.
func (a *app) transfer(t *transferFlags, verb string, job func(*pipeline.Status, *slog.Logger) (pipeline.Summary, error)) error {
	status, log, stop := a.watch(&t.howFlags)
	sum, err := job(status, log)
	stop()
	a.warnings(sum.Warnings)
	for _, text := range sum.Defects {
		a.warn("defect", text)
	}
	if err != nil {
		return err
	}
	line := []byte(summaryLine(verb, sum) + "\n")
	if t.json {
		if line, err = summaryJSON(sum); err != nil {
			return err
		}
	}
	switch {
	case !t.binary:
		return a.print(line)
	case !t.json:
		line = append([]byte("swingport: "), line...)
	}
	_, err = a.stderr.Write(line)
	return err
}

// watch shows how far a run is, until stop is called; status and log are for
// its options.
func (a *app) watch(h *howFlags) (status *pipeline.Status, log *slog.Logger, stop func()) {
	if h.nice {
		if err := a.beNice(); err != nil {
			a.warn("warning", "the priority stays as it is: "+err.Error())
		}
	}
	status = new(pipeline.Status)
	return status, a.logger(h.verbose), a.stderr.watch(status, h.verbose)
}

func (a *app) warnings(texts []string) {
	for _, text := range texts {
		a.warn("warning", text)
	}
}

// logger is where the library tells what happens, nil unless somebody asked.
// What it tells of each artifact is left out: there can be a million.
func (a *app) logger(verbose bool) *slog.Logger {
	if !verbose {
		return nil
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// print writes to stdout, which is for data and nothing else.
func (a *app) print(text []byte) error {
	if _, err := a.stderr.above(a.stdout, text); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

// A printer prints lines to stdout until one fails, which cancels the work and
// is remembered: nobody reads what is still to come.
type printer struct {
	a      *app
	cancel context.CancelCauseFunc
	err    error
}

// printer has the context of the work.
func (a *app) printer(ctx context.Context) (context.Context, *printer) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &printer{a: a, cancel: cancel}
}

func (p *printer) close() { p.cancel(nil) }

// line prints text, in which names may have been anything.
func (p *printer) line(text string) { p.print([]byte(clean(text)+"\n"), nil) }

// json prints v as one line.
func (p *printer) json(v any) { p.print(jsonLine(v)) }

func (p *printer) print(text []byte, err error) {
	if p.err != nil {
		return
	}
	if err == nil {
		err = p.a.print(text)
	}
	if p.err = err; err != nil {
		p.cancel(err)
	}
}

// summaryJSON is the line for --json.
func summaryJSON(sum pipeline.Summary) ([]byte, error) {
	sum.Warnings, sum.Defects = list(sum.Warnings), list(sum.Defects)
	return jsonLine(sum)
}

// list makes lists of what is none, for who reads the JSON.
func list(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}

func jsonLine(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err
}

func summaryLine(verb string, sum pipeline.Summary) string {
	line := fmt.Sprintf("%s %s at height %s (%s): %s in %s",
		verb, artifacts(int64(sum.Artifacts)), format.AppendNumber(nil, sum.BlockHeight), sum.ArtifactMode,
		formatBytes(float64(sum.Bytes)), formatSeconds(sum.Seconds))
	if sum.Seconds > 0 {
		line += fmt.Sprintf(", %s/s", formatBytes(float64(sum.Bytes)/sum.Seconds))
	}
	if sum.Kept > 0 {
		line += fmt.Sprintf("; %d of them kept from an unfinished export", sum.Kept)
	}
	if sum.ArchiveBytes > 0 {
		line += fmt.Sprintf("; archive of %s", formatBytes(float64(sum.ArchiveBytes)))
	}
	line += logGrowth(sum.LogGrowth)
	if sum.ExportDataSHA256 != "" {
		line += "; export data sha256 " + sum.ExportDataSHA256
	}
	line += genesisHash(sum.GenesisHash)
	if sum.KeptOld != "" {
		line += "; old store kept as " + sum.KeptOld
	}
	if sum.MovedAside != "" {
		line += "; damaged old store moved to " + sum.MovedAside
	}
	return line
}

// logGrowth says how the log of a store grew; of one without a log there is nothing to say.
func logGrowth(g pipeline.LogGrowth) string {
	if g.LogBytes == 0 {
		return ""
	}
	return fmt.Sprintf("; -wal grew by %s to %s", formatBytes(float64(g.LogGrowth)), formatBytes(float64(g.LogBytes)))
}

// genesisHash is there where somebody asked for it.
func genesisHash(hash string) string {
	if hash == "" {
		return ""
	}
	return "; genesis hash " + hash
}

func artifacts(n int64) string { return plural(n, "artifact") }

// plural is "1 artifact", "2 artifacts".
func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// formatBytes has three digits: "1.24 GB", "302 MB"; bytes are whole.
func formatBytes(n float64) string {
	if n < 1000 {
		return fmt.Sprintf("%.0f B", max(n, 0))
	}
	return humanize.BytesN(uint64(n), 3)
}

// formatSeconds has two digits or more below a minute: "0.012 s", "4.1 s",
// "42 s", then "2m5s" and "1h2m5s".
func formatSeconds(s float64) string {
	switch {
	case s < 1:
		return fmt.Sprintf("%.3f s", s)
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 59.5:
		return fmt.Sprintf("%.0f s", s)
	}
	return (time.Duration(s+0.5) * time.Second).String()
}
