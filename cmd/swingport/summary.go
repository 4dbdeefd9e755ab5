package main

import (
	"bytes"
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
	status := new(pipeline.Status)
	stop := a.stderr.watch(status, t.verbose)
	sum, err := job(status, a.logger(t.verbose))
	stop()
	for _, text := range sum.Warnings {
		a.warn("warning", text)
	}
	for _, text := range sum.Defects {
		a.warn("defect", text)
	}
	if err != nil {
		return err
	}
	if t.json {
		return a.printJSON(sum)
	}
	return a.print([]byte(summaryLine(verb, sum) + "\n"))
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
	if _, err := a.stdout.Write(text); err != nil {
		return fmt.Errorf("write to stdout: %w", err)
	}
	return nil
}

func (a *app) printJSON(sum pipeline.Summary) error {
	// Lists are lists, for who reads them, also where they are empty.
	if sum.Warnings == nil {
		sum.Warnings = []string{}
	}
	if sum.Defects == nil {
		sum.Defects = []string{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(sum); err != nil {
		return err
	}
	return a.print(b.Bytes())
}

func summaryLine(verb string, sum pipeline.Summary) string {
	line := fmt.Sprintf("%s %s at height %s (%s): %s in %s",
		verb, artifacts(int64(sum.Artifacts)), format.AppendNumber(nil, sum.BlockHeight), sum.ArtifactMode,
		formatBytes(float64(sum.Bytes)), formatSeconds(sum.Seconds))
	if sum.Seconds > 0 {
		line += fmt.Sprintf(", %s/s", formatBytes(float64(sum.Bytes)/sum.Seconds))
	}
	if sum.ExportDataSHA256 != "" {
		line += "; export data sha256 " + sum.ExportDataSHA256
	}
	if sum.KeptOld != "" {
		line += "; old store kept as " + sum.KeptOld
	}
	if sum.MovedAside != "" {
		line += "; damaged old store moved to " + sum.MovedAside
	}
	return line
}

func artifacts(n int64) string {
	if n == 1 {
		return "1 artifact"
	}
	return fmt.Sprintf("%d artifacts", n)
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
