package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"swingport/pipeline"
)

// measured is a run that a fake made: compress is busy for nearly all of it.
func measured(seconds float64) benchRun {
	peak := int64(100 << 20)
	return benchRun{
		Seconds: seconds, Bytes: 1e9, CPUSeconds: seconds, PeakBytes: &peak,
		Memory: []memorySample{{0, 50 << 20}, {seconds / 2, 100 << 20}, {seconds, 80 << 20}},
		Phases: []pipeline.PhaseStats{{Name: "open", Seconds: 0.01 * seconds}, {Name: "export", Seconds: 0.99 * seconds}},
		Stages: []pipeline.StageStats{
			{Name: "read rows", Workers: 1, Seconds: seconds, Busy: 0.2 * seconds, After: 0.8 * seconds},
			{Name: "compress", Workers: 2, Seconds: 2 * seconds, Busy: 1.92 * seconds, Before: 0.08 * seconds},
		},
	}
}

// Runs go by turns, a row is the median one, and its limit is named.
func TestBenchReport(t *testing.T) {
	f := newFake()
	var order []string
	seconds := map[string][]float64{"none": {4, 1, 2}, "fastest": {9, 6, 30}}
	f.measure = func(_ context.Context, job benchJob) (benchRun, error) {
		order = append(order, job.Level)
		s := seconds[job.Level][0]
		seconds[job.Level] = seconds[job.Level][1:]
		return measured(s), nil
	}
	if rc := f.run(strings.Fields("bench --workers 4 --levels none,fastest")); rc != 0 {
		t.Fatalf("exit code %d: %s", rc, f.err.String())
	}
	if got := strings.Join(order, " "); got != "none fastest none fastest none fastest" {
		t.Errorf("order %s", got)
	}
	out := f.out.String()
	for _, want := range []string{
		"export        4  none        500.0     2.00       100         -  compress 96%\n",
		"export        4  fastest     111.1     9.00       100         -  compress 96%\n",
		"compress                        2     4.00      96%             4%            0%\n",
		"compress",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, "  ") && len(line) > 100 {
			t.Errorf("too wide: %q", line)
		}
	}
}

// An error of a run ends the measuring, and leaves no page.
func TestBenchFails(t *testing.T) {
	f, dir := newFake(), t.TempDir()
	f.measure = func(context.Context, benchJob) (benchRun, error) { return benchRun{}, errors.New("no luck") }
	if rc := f.run([]string{"bench", "--workers", "1", "--html", filepath.Join(dir, "page.html")}); rc != exitFailed {
		t.Errorf("exit code %d", rc)
	}
	if !strings.HasSuffix(f.err.String(), "swingport: error: export, level none, 1 worker: no luck\n") {
		t.Errorf("stderr %q", f.err.String())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

var loads = regexp.MustCompile(`(?i)https?:|\bsrc=|\bhref=|<script|@import|url\(`)

// The page loads nothing, is well-formed, escapes what it is given, and every plot has data.
func TestBenchPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.html")
	p, err := newPage(path)
	if err != nil {
		t.Fatal(err)
	}
	r := benchReport{StateDir: `/a<b>&"c`, StoreBytes: 1e9, Cores: 2, Rounds: 1}
	for i, what := range []string{"export", "export", "import"} {
		r.Results = append(r.Results, benchResult{What: what, Level: "fastest", Workers: 1 + i, MBPerSecond: float64(10 + i), benchRun: measured(2)})
	}
	r.find("export")
	r.find("import")
	if err := p.write(r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if found := loads.FindString(string(text)); found != "" {
		t.Errorf("the page has %q", found)
	}
	d := xml.NewDecoder(strings.NewReader(string(text)))
	d.Strict, d.AutoClose, d.Entity = false, []string{"meta"}, xml.HTMLEntity
	plots := map[string]int{}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range e.Attr {
			if e.Name.Local == "svg" && a.Name.Local == "class" {
				plots[a.Value]++
			}
			if a.Name.Local == "points" && strings.Count(a.Value, ",") < 3 || a.Value == "0.00" && e.Name.Local == "rect" && a.Name.Local == "height" {
				t.Errorf("an empty plot: %v", e)
			}
		}
	}
	if plots["speed"] != 3 || plots["stage"] != 4 || plots["memory"] != 2 {
		t.Errorf("plots: %v", plots)
	}
	if strings.Contains(string(text), "<b>&\"c") || !strings.Contains(string(text), "/a&lt;b&gt;&amp;") {
		t.Error("the path is not escaped")
	}
}
