package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"

	"swingport/pipeline"
)

const (
	barEvery  = 200 * time.Millisecond // on a terminal
	lineEvery = 10 * time.Second       // elsewhere
)

// A screen is stderr: lines and, below them on a terminal, one bar. All
// methods may be called at the same time.
type screen struct {
	mu    sync.Mutex
	w     io.Writer
	width func() int // columns of the terminal; nil where there is none to draw on
	color bool
	drawn bool // a bar stands in the last line

	hurried chan struct{} // is closed when nobody may be waited for any more
	unread  io.Writer     // somebody was, and did not read this

	status atomic.Pointer[pipeline.Status] // of the run that is watched, or that was
}

// newScreen looks at w and at the environment: a bar needs a terminal that is
// not dumb, and colours are for who did not set NO_COLOR.
func newScreen(w io.Writer, env map[string]string) *screen {
	s := &screen{w: w, hurried: make(chan struct{})}
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || env["TERM"] == "dumb" || env["TERM"] == "" {
		return s
	}
	s.color = env["NO_COLOR"] == ""
	s.width = func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil || width <= 0 {
			return 80
		}
		return width
	}
	return s
}

// Write writes whole lines above the bar.
func (s *screen) Write(p []byte) (int, error) { return s.above(s.w, p) }

// above writes whole lines to w, which may be the same terminal, above the bar.
func (s *screen) above(w io.Writer, p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearLocked()
	return s.write(w, p)
}

// errUnread: a signal came, and nobody reads what is written.
var errUnread = errors.New("nobody reads it")

// write writes to w; the caller has the lock. What was written to and is full
// keeps the writer, but once hurried nobody waits for it.
func (s *screen) write(w io.Writer, p []byte) (int, error) {
	if w == s.unread {
		return 0, errUnread
	}
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	p = bytes.Clone(p)
	go func() {
		n, err := w.Write(p)
		done <- result{n, err}
	}()
	select {
	case r := <-done:
		return r.n, r.err
	case <-s.hurried:
	}
	select {
	case r := <-done:
		return r.n, r.err
	case <-time.After(grace):
		s.unread = w
		return 0, errUnread
	}
}

// hurry ends the waiting for readers after some time.
func (s *screen) hurry(after time.Duration) { time.AfterFunc(after, func() { close(s.hurried) }) }

// line writes "swingport: what: text".
func (s *screen) line(what, text string) {
	colors := map[string]string{"error": "\x1b[31m", "defect": "\x1b[31m", "warning": "\x1b[33m", "hint": "\x1b[36m"}
	prefix := "swingport: " + what + ":"
	if color := colors[what]; s.color && color != "" {
		prefix = color + prefix + "\x1b[0m"
	}
	fmt.Fprintf(s, "%s %s\n", prefix, text)
}

// draw puts bar into the last line, in the place of the one before.
func (s *screen) draw(bar string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn = true
	s.write(s.w, []byte("\r"+bar+"\x1b[K")) //nolint:errcheck // nobody to tell
}

func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearLocked()
}

func (s *screen) clearLocked() {
	if s.drawn {
		s.write(s.w, []byte("\r\x1b[K")) //nolint:errcheck // nobody to tell
		s.drawn = false
	}
}

// watch shows what status counts until stop is called: as a bar on a terminal,
// as a line now and then elsewhere for who asked.
func (s *screen) watch(status *pipeline.Status, verbose bool) (stop func()) {
	s.status.Store(status)
	switch {
	case s.width != nil:
		b := bar{color: s.color}
		return poll(barEvery, func(time.Time) {
			// Three columns stay free, so that neither a filled line nor the
			// ^C that the terminal echoes wraps.
			if text := b.render(status.Snapshot(), s.width()-3); text != "" {
				s.draw(text)
			}
		}, s.clear)
	case verbose:
		var l plainLine
		return poll(lineEvery, func(now time.Time) {
			if text := l.render(status.Snapshot(), now); text != "" {
				fmt.Fprintf(s, "swingport: %s\n", text)
			}
		}, func() {})
	}
	return func() {}
}

// poll calls show once an interval, until stop is called, which calls end.
func poll(interval time.Duration, show func(time.Time), end func()) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case now := <-tick.C:
				show(now)
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done; end() }
}

// A bar renders progress for a terminal. Each phase gets a bar of pb's of its
// own, because rate and time left are those of the phase.
type bar struct {
	color bool
	pb    *pb.ProgressBar
	last  pipeline.Progress
}

// render returns one line of at most width columns, "" before the first phase.
func (b *bar) render(p pipeline.Progress, width int) string {
	if p.Phase == "" || width <= 0 {
		return ""
	}
	if b.pb == nil || p.Phase != b.last.Phase || p.Done < b.last.Done {
		b.pb = pb.New64(p.Total).Set(pb.Static, true).Set(pb.Bytes, true).Set(pb.SIBytesPrefix, true)
	}
	b.last = p
	if p.Total > 0 {
		p.Done = min(p.Done, p.Total)
	}
	b.pb.Set("phase", p.Phase).Set("artifacts", artifactCount(p))
	b.pb.SetTotal(p.Total).SetCurrent(p.Done).SetWidth(width)
	b.pb.SetTemplateString(barTemplate(p, width, b.color))
	// pb pads what it shortens.
	return strings.TrimRight(pb.StripString(b.pb.String(), width), " ")
}

// barTemplate shows as much as fits.
func barTemplate(p pipeline.Progress, width int, color bool) string {
	switch {
	case p.Total <= 0 && p.Done <= 0: // a phase that counts nothing
		return `{{string . "phase"}}  {{etime .}}`
	case p.Total <= 0:
		return `{{string . "phase"}} {{counters .}}{{string . "artifacts"}}{{speed . "  %s/s" " "}}`
	case width < 57 && width < len(p.Phase)+30:
		return `{{string . "phase"}} {{percent . "%.0f%%"}}{{rtime . "  %s left" "" ""}}`
	case width < 57:
		return `{{string . "phase"}} {{percent . "%.0f%%"}}{{speed . "  %s/s" " "}}{{rtime . "  %s left" "" ""}}`
	}
	fill := `"="`
	if color {
		fill = `"\x1b[32m=\x1b[0m"`
	}
	t := `{{string . "phase"}} {{bar . "[" ` + fill + ` ">" " " "]"}} {{percent . "%3.0f%%"}}`
	if width >= 74 {
		t += `  {{counters . "%s of %s"}}`
	}
	if width >= 108 {
		t += `{{string . "artifacts"}}`
	}
	return t + `{{speed . "  %s/s" " "}}{{rtime . "  %s left" "" ""}}`
}

// artifactCount is ", 12 of 40 artifacts", or "" where there are none.
func artifactCount(p pipeline.Progress) string {
	switch {
	case p.ArtifactsTotal > 0:
		return fmt.Sprintf(", %d of %s", p.Artifacts, artifacts(p.ArtifactsTotal))
	case p.Artifacts > 0:
		return ", " + artifacts(p.Artifacts)
	}
	return ""
}

// A plainLine renders progress for a file or a pipe.
type plainLine struct {
	last pipeline.Progress
	at   time.Time
}

// render returns one line, "" before the first phase. The rate is that since
// the line before, or since the phase began; what has none says how long it
// goes on.
func (l *plainLine) render(p pipeline.Progress, now time.Time) string {
	last, since := l.last, now.Sub(l.at).Seconds()
	if p.Phase != last.Phase || p.Done < last.Done {
		last, since = pipeline.Progress{}, p.Elapsed.Seconds()
	}
	l.last, l.at = p, now
	line := p.Phase
	if p.Total > 0 || p.Done > 0 {
		line += ": " + formatBytes(float64(p.Done))
	}
	if p.Total > 0 {
		line += fmt.Sprintf(" of %s (%d%%)", formatBytes(float64(p.Total)), min(100, p.Done*100/p.Total))
	}
	line += artifactCount(p)
	switch {
	case p.Phase == "":
		return ""
	case p.Done > last.Done && since > 0:
		rate := float64(p.Done-last.Done) / since
		line += fmt.Sprintf(", %s/s", formatBytes(rate))
		if p.Total > p.Done {
			line += fmt.Sprintf(", %s left", formatSeconds(float64(p.Total-p.Done)/rate))
		}
	case p.Elapsed > 0:
		line += fmt.Sprintf(", %s so far", formatSeconds(p.Elapsed.Seconds()))
	}
	return line
}
