package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"swingport/bench/measure"
	"swingport/testdata"
)

func TestQuantile(t *testing.T) {
	took := []time.Duration{5, 1, 4, 2, 3}
	for share, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.95: 5, 1: 5} {
		if got := quantile(took, share); got != want {
			t.Errorf("%v: %v, want %v", share, got, want)
		}
	}
	if median(nil) != 0 || mean(nil) != 0 || mean(took) != 3 {
		t.Errorf("of none %v and %v, mean %v", median(nil), mean(nil), mean(took))
	}
}

func TestReport(t *testing.T) {
	var b strings.Builder
	writeReport(&b, []measure.Fact{{What: "day", Is: "none"}}, []result{
		{row: row{name: alone}, took: []time.Duration{2e6, 4e6}},
		{row: row{name: "export"}, took: []time.Duration{8e6}, exports: 2, seconds: 3, growth: 5e6},
	})
	want := `- day: none

| beside the node | commits | ms: median | mean | 95% | most | median / alone | mean / alone | exports | s each | -wal grew by MB |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
| alone | 2 | 4.00 | 3.00 | 4.00 | 4.0 | 1.00 | 1.00 | 0 | - | 0.0 |
| export | 1 | 8.00 | 8.00 | 8.00 | 8.0 | 2.00 | 2.67 | 2 | 1.5 | 5.0 |
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// On a small store every row has commits, and nothing is left.
func TestLivenodeTiny(t *testing.T) {
	work := t.TempDir()
	var stdout, stderr strings.Builder
	args := []string{"--store", testdata.Store(t, "tiny"), "--work", work, "--rounds=1", "--window=700ms", "--interval=10ms"}
	if rc := run(args, &stdout, &stderr); rc != 0 {
		t.Fatalf("exit code %d: %s", rc, stderr.String())
	}
	for _, r := range rows {
		if !strings.Contains(stdout.String(), "\n| "+r.name+" | ") || strings.Contains(stdout.String(), "| "+r.name+" | 0 |") {
			t.Errorf("no commits beside %s in\n%s", r.name, stdout.String())
		}
	}
	if left, _ := os.ReadDir(work); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"", "--store=x y", "--store=x --rounds=0", "--store=x --interval=0", "--store=x --window=1ms", "--unknown"} {
		if rc := run(strings.Fields(args), io.Discard, io.Discard); rc != 2 {
			t.Errorf("%q: exit code %d", args, rc)
		}
	}
}
