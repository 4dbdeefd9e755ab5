package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"swingport/bench/measure"
	"swingport/pipeline"
	"swingport/testdata"
)

func samplesOf(seconds ...float64) (s measure.Samples) {
	for _, sec := range seconds {
		d := time.Duration(sec * float64(time.Second))
		s = append(s, measure.Sample{Wall: d, CPU: d / 2, Peak: int64(sec*100) << 20, Floor: 16 << 20})
	}
	return s
}

// sections are two of them, with a row for each kind of entry.
func sections() []section {
	of := func(bytes int64, slower float64) section {
		return section{warm, bytes, pipeline.Summary{Bytes: 2e6, Artifacts: 3, Items: 4, KVRows: 5}, []result{
			{row: row{name: copyAndHash, job: reading, chart: "cp <&>", command: []string{"sh", "-c", `cp "$DB" x`}}, made: 3e6, Samples: samplesOf(0.1, 0.12, 0.11)},
			{row: row{name: "ours", job: export, against: copyAndHash, chart: "swingport", command: []string{"$SWINGPORT", "export"}}, made: 3e6, Samples: samplesOf(0.24*slower, 0.2*slower)},
			{row: row{name: "theirs", job: export, against: copyAndHash, chart: "reference", reference: true, command: []string{"theirs"}}, made: 3e6, Samples: samplesOf(2.2)},
			{row: row{name: "import", job: imports, against: copyAndHash, command: []string{"import", "a b"}}, made: 3e6, Samples: samplesOf(1)},
			{row: row{name: "absent", job: imports, reference: true, chart: "absent", command: []string{"absent"}}, missing: "no such program"},
			{row: row{name: tarExport, job: archive, command: []string{"tar"}}, made: 3e6, Samples: samplesOf(0.5)},
			{row: row{name: "packed", job: archive, against: tarExport, command: []string{"pack"}}, made: 3e6, Samples: samplesOf(0.6)},
			{row: row{name: "out | in", job: pipe, halves: []string{"import", tarExport}, command: []string{"pipe"}}, made: 3e6, Samples: samplesOf(1.5)},
		}}
	}
	return []section{of(1e6, 1), of(1e8, 10)}
}

func TestReport(t *testing.T) {
	var b strings.Builder
	writeReport(&b, []measure.Fact{{What: "machine", Is: "none"}}, sections()[:1])
	cores := strconv.Itoa(runtime.NumCPU())
	want := "- machine: none\n" + `
### 1.0 MB, warm

A store of 1,000,000 bytes; its archival export: 2,000,000 bytes, 3 artifacts, 4 items, 5 kv rows.

| what | runs | wall s: median (min-max) | CPU s | peak MiB | made MB | yardstick | wall / it | reference / wall |
|---|--:|--:|--:|--:|--:|---|--:|--:|
| cp + sha256sum | 3 | 0.11 (0.10-0.12) | 0.06 | < 16 | 3 |  | - | - |
| ours | 2 | 0.22 (0.20-0.24) | 0.11 | 24 | 3 | cp + sha256sum | 2.00 | 10.00 |
| theirs | 1 | 2.20 (2.20-2.20) | 1.10 | 220 | 3 | cp + sha256sum | 20.00 | 1.00 |
| import | 1 | 1.00 (1.00-1.00) | 0.50 | 100 | 3 | cp + sha256sum | 9.09 | - |
| absent | 0 | not run: no such program | | | | | | |
| tar c export \| zstd -3 -T0 | 1 | 0.50 (0.50-0.50) | 0.25 | 50 | 3 |  | - | - |
| packed | 1 | 0.60 (0.60-0.60) | 0.30 | 60 | 3 | tar c export \| zstd -3 -T0 | 1.20 | - |
| out \| in | 1 | 1.50 (1.50-1.50) | 0.75 | 150 | 3 | its halves | 1.50 | - |

The yardstick of a pipe is the longer of its slower half and both halves' CPU time over ` + cores + ` cores.

The commands; ` + meaning + ":\n\n```sh\n" + `sh -c 'cp "$DB" x'
$SWINGPORT export
theirs
import "a b"
absent
tar
pack
pipe
` + "```\n"
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Of stores of several sizes the report says how time and memory grow.
func TestGrowth(t *testing.T) {
	var b strings.Builder
	writeGrowth(&b, sections())
	for _, want := range []string{
		"### Growth, warm", "| what | 1.0 MB | 100 MB | p, wall | p, CPU |", "| cp + sha256sum | 0.11 s, < 16 | 0.11 s, < 16 | 0.00 | 0.00 |", "| ours | 0.22 s, 24 | 2.20 s, 240 | 0.50 | 0.50 |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	b.Reset()
	if writeGrowth(&b, sections()[:1]); b.Len() > 0 {
		t.Errorf("of one size: %s", b.String())
	}
}

func TestExponent(t *testing.T) {
	for _, c := range []struct {
		y    []float64
		want float64
	}{
		{[]float64{1, 10, 100}, 1}, {[]float64{7, 7, 7}, 0}, {[]float64{1, 100, 10000}, 2}, {[]float64{1, 20, 100}, 1},
	} {
		if got := exponent([]float64{10, 100, 1000}, c.y); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: %v, want %v", c.y, got, c.want)
		}
	}
}

// The chart is XML, has a bar for each row that was run and is to be in it, and nothing of what it draws lies outside.
func TestChart(t *testing.T) {
	svg := chart(sections()[0])
	var drawn struct {
		Width  float64 `xml:"width,attr"`
		Height float64 `xml:"height,attr"`
		Rect   []struct {
			X      float64 `xml:"x,attr"`
			Y      float64 `xml:"y,attr"`
			Width  float64 `xml:"width,attr"`
			Height float64 `xml:"height,attr"`
		} `xml:"rect"`
		Text []string `xml:"text"`
	}
	if err := xml.Unmarshal(svg, &drawn); err != nil {
		t.Fatalf("%v\n%s", err, svg)
	}
	if len(drawn.Rect) != 3 || !strings.Contains(strings.Join(drawn.Text, ";"), "copy the database;cp <&>;0.1 s;export to a directory;swingport;0.2 s;reference;2.2 s") {
		t.Errorf("%d bars, texts %q", len(drawn.Rect), drawn.Text)
	}
	for _, r := range drawn.Rect {
		if r.Width <= 0 || r.X+r.Width+chartValues > drawn.Width || r.Y+r.Height > drawn.Height {
			t.Errorf("a bar outside: %+v", r)
		}
	}
}

// newTestTrial is a trial without the preparation.
func newTestTrial(t *testing.T, rounds, referenceRounds int) *trial {
	o := options{work: t.TempDir(), rounds: rounds, referenceRounds: referenceRounds}
	tr, err := newTrial(o, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	tr.vars["STORE"] = testdata.Store(t, "tiny")
	return tr
}

func TestRowsRunInTurnInNewTargets(t *testing.T) {
	tr := newTestTrial(t, 3, 1)
	tr.vars["LOG"] = filepath.Join(tr.work, "log")
	script := `test -z "$(ls -A "$TARGET")" && touch "$TARGET/file" && printf %s NAME >>"$LOG"`
	named := func(name string) row {
		return row{name: name, reads: "$STORE", command: []string{"sh", "-c", strings.Replace(script, "NAME", name, 1)}}
	}
	// The row that has no program says so, and the others run.
	absent := row{name: "x", reads: "$STORE", command: []string{"no-such-program"}, source: "nowhere"}
	rows := []row{named("a"), named("r"), absent, named("b")}
	rows[1].reference = true
	results, err := tr.run(t.Context(), rows, warm)
	if err != nil {
		t.Fatal(err)
	}
	if log := measure.ReadText(tr.vars["LOG"]); log != "arb"+"arb"+"ab"+"ab" {
		t.Errorf("ran in the order %q", log)
	}
	for i, want := range []int{3, 1, 0, 3} {
		if got := len(results[i].Samples); got != want {
			t.Errorf("row %s has %d samples, want %d", results[i].name, got, want)
		}
	}
	if got, want := results[2].missing, "no-such-program is missing: nowhere"; got != want {
		t.Errorf("missing: %q, want %q", got, want)
	}
	if _, err := os.Stat(tr.vars["TARGET"]); !os.IsNotExist(err) {
		t.Errorf("the target is left behind: %v", err)
	}
}

func TestFailedCommandIsNoFigure(t *testing.T) {
	tr := newTestTrial(t, 1, 1)
	_, err := tr.run(t.Context(), []row{{name: "bad", reads: "$STORE", command: []string{"sh", "-c", "echo disk on fire >&2; exit 3"}}}, warm)
	if err == nil || !strings.Contains(err.Error(), "bad: ") || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("got %v", err)
	}
}

func TestRowsMentionKnownVariables(t *testing.T) {
	tr := newTestTrial(t, 1, 1)
	for _, r := range rows {
		for _, s := range append(r.command, r.reads) {
			for _, m := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(s, -1) {
				if _, ok := tr.vars[m[1]]; !ok || !strings.Contains(meaning, m[0]+" ") {
					t.Errorf("%s: unknown variable in %q", r.name, s)
				}
			}
		}
	}
}

func TestCompareTiny(t *testing.T) {
	work, report := t.TempDir(), filepath.Join(t.TempDir(), "report.md")
	// The item and the kv row more of tinywal are in its log only.
	for store, content := range map[string]string{"tiny": "70 artifacts, 151 items, 244 kv rows", "tinywal": "70 artifacts, 152 items, 245 kv rows"} {
		var stdout, stderr bytes.Buffer
		args := []string{"--store", testdata.Store(t, store), "--work", work, "--out", report, "--rounds=1", "--reference-rounds=1", "--only=^cp|port|reference export"}
		if rc := run(args, &stdout, &stderr); rc != 0 {
			t.Fatalf("exit code %d\n%s", rc, stderr.String())
		}
		text := measure.ReadText(report)
		for _, want := range []string{
			content, "| cp + sha256sum | 1 |", "| swingport export | 1 |", "| swingport import | 1 |", "| swingport import --no-check | 1 |",
			"| reference export | 0 | not run: ref-swingport is missing: testdata/reference/install.sh and --reference |",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in\n%s", store, want, text)
			}
		}
		if strings.Contains(text, work) || stdout.Len() > 0 {
			t.Errorf("%s: paths in the report, or output: %s\n%s", store, text, stdout.String())
		}
	}
	if left, _ := os.ReadDir(work); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Stores of several sizes are made, each is measured, and a chart is drawn.
func TestCompareSizes(t *testing.T) {
	var stdout, stderr bytes.Buffer
	svg := filepath.Join(t.TempDir(), "chart.svg")
	args := []string{"--size=1M,3M", "--work", t.TempDir(), "--svg", svg, "--rounds=1", "--only=^(cp|swingport export)"}
	if rc := run(args, &stdout, &stderr); rc != 0 {
		t.Fatalf("exit code %d\n%s", rc, stderr.String())
	}
	if text := stdout.String(); strings.Count(text, "| swingport export | 1 |") != 2 || !strings.Contains(text, "### Growth, warm") {
		t.Errorf("report:\n%s", text)
	}
	if text := measure.ReadText(svg); !strings.Contains(text, ">swingport</text>") {
		t.Errorf("chart:\n%s", text)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range []string{"--store=x --rounds=0", "--store=x --size=1G", "--caches=hot", "--caches=", "--store=x --reference-rounds=0", "--store=x y", "--store=x --only=(", "--store=x --reference=/nowhere", "--unknown"} {
		if rc := run(strings.Fields(args), io.Discard, io.Discard); rc != 2 {
			t.Errorf("%q: exit code %d", args, rc)
		}
	}
}

func TestNoStore(t *testing.T) {
	var stderr bytes.Buffer
	work := t.TempDir()
	if rc := run([]string{"--store", t.TempDir(), "--work", work}, io.Discard, &stderr); rc != 1 || !strings.Contains(stderr.String(), "swingstore.sqlite") {
		t.Errorf("exit code %d: %s", rc, stderr.String())
	}
	if left, _ := os.ReadDir(work); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
