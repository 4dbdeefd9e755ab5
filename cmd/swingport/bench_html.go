package main

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"strings"
	"time"

	"swingport/pipeline"
	"swingport/stages"
)

//go:embed bench.html
var pageText string

var pageTemplate = template.Must(template.New("bench").Funcs(template.FuncMap{
	"bytes":   func(n int64) string { return formatBytes(float64(n)) },
	"seconds": formatSeconds,
	"units":   units,
	"percent": percent,
	"sum":     func(a, b float64) float64 { return a + b },
	"busiest": func(r benchResult) string { return share100(r.limit()) },
	"count":   func(n int, what string) string { return plural(int64(n), what) },
	"today":   func() string { return time.Now().UTC().Format(time.DateOnly) },
}).Parse(pageText))

// A page is the file for --html, under another name until it is whole. A nil one is none.
type page struct {
	f    *stages.File
	mode os.FileMode // when it is whole
	path string
}

// newPage makes the file, so that one that cannot be made is known before anything is measured.
func newPage(path string) (*page, error) {
	if path == "" {
		return nil, nil
	}
	if isDir(path) {
		return nil, usagef("--html %s: a directory", path)
	}
	var fsys *stages.FS
	f, mode, err := fsys.CreateHidden(filepath.Join(filepath.Dir(path), ".swingport-bench-"+rand.Text()+".html"))
	if err != nil {
		return nil, fmt.Errorf("page for --html: %w", err)
	}
	return &page{f, mode, path}, nil
}

// write writes the page and gives the file its name.
func (p *page) write(r benchReport) error {
	if p == nil {
		return nil
	}
	if err := pageTemplate.Execute(p.f, newPageData(r)); err != nil {
		return fmt.Errorf("write %s: %w", p.path, err)
	}
	if err := p.f.Chmod(p.mode); err != nil {
		return err
	}
	if err := p.f.Sync(); err != nil {
		return err
	}
	if err := p.f.Close(); err != nil {
		return err
	}
	if err := os.Rename(p.f.Name(), p.path); err != nil {
		return err
	}
	p.f = nil
	return nil
}

// abort removes what is not whole.
func (p *page) abort() error {
	if p == nil || p.f == nil {
		return nil
	}
	p.f.Close() //nolint:errcheck // it goes
	return os.Remove(p.f.Name())
}

// pageData is a report as the page shows it.
type pageData struct {
	benchReport
	Caches string
	Bars   []pageBar
	Plots  []pagePlot
}

// A pageBar is the speed of a row, in percent of the fastest.
type pageBar struct {
	benchResult
	Width float64
}

// A pagePlot is what the page shows of the fastest run of a kind.
type pagePlot struct {
	benchFinding
	Row    benchResult
	Stages []pipeline.StageStats
	Line   string // points of the memory over time, 100 wide and 100 high
	Most   int64  // bytes at the top
}

func newPageData(r benchReport) pageData {
	d := pageData{benchReport: r, Caches: r.caches()}
	fastest := 0.0
	for _, row := range r.Results {
		fastest = max(fastest, row.MBPerSecond)
	}
	for _, row := range r.Results {
		width := 0.0
		if fastest > 0 {
			width = 100 * row.MBPerSecond / fastest
		}
		d.Bars = append(d.Bars, pageBar{row, width})
	}
	for _, f := range r.Findings {
		row := r.Results[f.Result]
		p := pagePlot{benchFinding: f, Row: row, Stages: row.Stages}
		p.Line, p.Most = memoryLine(row.Memory)
		d.Plots = append(d.Plots, p)
	}
	return d
}

// memoryLine makes points of samples; one sample is a level line.
func memoryLine(samples []memorySample) (points string, most int64) {
	if len(samples) == 0 {
		return "", 0
	}
	for _, s := range samples {
		most = max(most, s.Bytes)
	}
	var b strings.Builder
	last := samples[len(samples)-1]
	for _, s := range append(samples[:len(samples):len(samples)], memorySample{max(last.Seconds, 1e-9), last.Bytes}) {
		fmt.Fprintf(&b, "%.2f,%.2f ", 100*s.Seconds/max(last.Seconds, 1e-9), 100-100*float64(s.Bytes)/float64(max(most, 1)))
	}
	return strings.TrimSpace(b.String()), most
}
