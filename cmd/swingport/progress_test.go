package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cheggaaa/pb/v3"

	"swingport/pipeline"
)

func progress(phase string, done, total int64) pipeline.Progress {
	return pipeline.Progress{Phase: phase, Done: done, Total: total, Artifacts: 12, ArtifactsTotal: 2082}
}

func since(seconds float64, p pipeline.Progress) pipeline.Progress {
	p.Elapsed = time.Duration(seconds * float64(time.Second))
	return p
}

// No bar is wider than the terminal, and each says at least what goes on.
func TestBarWidths(t *testing.T) {
	for _, color := range []bool{false, true} {
		for width := range 200 {
			for _, total := range []int64{0, 1e9} {
				b := bar{color: color}
				text := b.render(progress("reading", 512e6, total), width)
				if cells := pb.CellCount(text); cells > width {
					t.Errorf("%d columns of %d: %q", cells, width, text)
				}
				if width > 6 && !strings.HasPrefix(text, "reading") {
					t.Errorf("width %d: no phase in %q", width, text)
				}
				if strings.ContainsAny(text, "\r\n") || strings.Contains(text, "%!") {
					t.Errorf("width %d: %q", width, text)
				}
				if !color && strings.Contains(text, "\x1b") {
					t.Errorf("width %d: colours in %q", width, text)
				}
			}
		}
	}
}

func TestBar(t *testing.T) {
	for _, test := range []struct {
		p     pipeline.Progress
		width int
		want  string
	}{
		{pipeline.Progress{}, 80, ""},
		{progress("checking", 0, 0), 80, "checking  0s"},
		{progress("reading", 1, 0), 80, "reading 1 B, 12 of 2082 artifacts"},
		{progress("reading", 512e6, 1024e6), 40, "reading 50%"},
		{progress("reading", 512e6, 1024e6), 80, "reading [====================>                     ]  50%  512.00 MB of 1.02 GB"},
		{progress("reading", 512e6, 1024e6), 120, "reading [=============================>                              ]  50%  512.00 MB of 1.02 GB, 12 of 2082 artifacts"},
		{progress("reading", 2, 1), 80, "reading [===================================================>] 100%  1 B of 1 B"},
	} {
		b := bar{}
		if got := b.render(test.p, test.width); got != test.want {
			t.Errorf("width %d: %q", test.width, got)
		}
	}
}

// Rate and time left are those of the phase: a new one starts from nothing.
func TestBarRate(t *testing.T) {
	var b bar
	b.render(progress("reading", 0, 100e6), 120)
	time.Sleep(600 * time.Millisecond) // pb measures no shorter times
	if got := b.render(progress("reading", 50e6, 100e6), 120); !strings.Contains(got, "MB/s") || !strings.Contains(got, "s left") {
		t.Errorf("no rate in %q", got)
	}
	if got := b.render(progress("sorting", 50e6, 100e6), 120); strings.Contains(got, "/s") || strings.Contains(got, "left") {
		t.Errorf("the rate of another phase in %q", got)
	}
}

func TestPlainLine(t *testing.T) {
	start := time.Unix(1000, 0)
	var l plainLine
	for _, test := range []struct {
		p    pipeline.Progress
		at   float64 // seconds
		want string
	}{
		{pipeline.Progress{}, 0, ""},
		{progress("reading", 500e6, 2e9), 10, "reading: 500 MB of 2.00 GB (25%), 12 of 2082 artifacts"},
		{progress("reading", 1000e6, 2e9), 20, "reading: 1.00 GB of 2.00 GB (50%), 12 of 2082 artifacts, 50.0 MB/s, 20 s left"},
		{progress("reading", 1000e6, 2e9), 30, "reading: 1.00 GB of 2.00 GB (50%), 12 of 2082 artifacts"},
		{since(25, progress("reading", 1000e6, 2e9)), 35, "reading: 1.00 GB of 2.00 GB (50%), 12 of 2082 artifacts, 25 s so far"},
		{progress("reading", 3000e6, 2e9), 40, "reading: 3.00 GB of 2.00 GB (100%), 12 of 2082 artifacts, 400 MB/s"},
		{pipeline.Progress{Phase: "checking"}, 45, "checking"},
		{pipeline.Progress{Phase: "checking", Done: 5}, 50, "checking: 5 B, 1 B/s"},
		{pipeline.Progress{Phase: "checking", Done: 25, Artifacts: 1}, 60, "checking: 25 B, 1 artifact, 2 B/s"},
		{since(5, progress("copying", 50, 100)), 65, "copying: 50 B of 100 B (50%), 12 of 2082 artifacts, 10 B/s, 5.0 s left"}, // the phase's own rate
		{since(125, pipeline.Progress{Phase: "sync"}), 600, "sync, 2m5s so far"},
	} {
		got := l.render(test.p, start.Add(time.Duration(test.at*float64(time.Second))))
		if got != test.want {
			t.Errorf("after %v s: %q, not %q", test.at, got, test.want)
		}
	}
}

// Lines stand above the bar, whole, and nothing of the bar stays.
func TestScreen(t *testing.T) {
	var out bytes.Buffer
	s := screen{w: &out, color: true}
	s.draw("[==  ]")
	s.line("warning", "look")
	s.draw("[=== ]")
	s.clear()
	s.clear()
	want := "\r[==  ]\x1b[K\r\x1b[K\x1b[33mswingport: warning:\x1b[0m look\n\r[=== ]\x1b[K\r\x1b[K"
	if out.String() != want {
		t.Errorf("%q", out.String())
	}
}

// Lines of stdout, which may be the same terminal, have no bar in front of them either.
func TestStdoutAboveTheBar(t *testing.T) {
	f := newFake()
	f.stderr.draw("[==  ]")
	if err := f.print([]byte("defect: x\n")); err != nil || f.out.String() != "defect: x\n" || f.err.String() != "\r[==  ]\x1b[K\r\x1b[K" {
		t.Errorf("%v, stdout %q, stderr %q", err, f.out.String(), f.err.String())
	}
}

func TestNoBarWithoutATerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, w := range []*screen{newScreen(&bytes.Buffer{}, map[string]string{"TERM": "xterm"}), newScreen(f, map[string]string{"TERM": "xterm"})} {
		if w.width != nil || w.color {
			t.Errorf("a bar on %T", w.w)
		}
	}
}

func TestWatch(t *testing.T) {
	var out bytes.Buffer
	s := screen{w: &out, width: func() int { return 83 }}
	status := new(pipeline.Status)
	status.SetPhase("reading", 100)
	status.AddBytes(50)
	shown := make(chan struct{}, 100)
	s.width = func() int { shown <- struct{}{}; return 83 }
	stop := s.watch(status, false)
	<-shown
	<-shown
	stop()
	want := fmt.Sprintf("\r%s\x1b[K", "reading [========================>                        ]  50%  50 B of 100 B")
	if got := out.String(); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("%q", got)
	}
}

// Stopping at once shows nothing: a short run leaves no trace.
func TestWatchStopsAtOnce(t *testing.T) {
	var out bytes.Buffer
	for _, verbose := range []bool{false, true} {
		s := screen{w: &out}
		s.watch(new(pipeline.Status), verbose)()
	}
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}
