package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// Lines of n-1, n and n+1 bytes around the size of a chunk, with and without a last newline, read whole and byte by byte.
func TestLineCutter(t *testing.T) {
	const size = 64
	var inputs []string
	for _, n := range []int{0, 1, 31, 32, 62, 63, 64, 65, 127, 128, 129, 1000} {
		l := strings.Repeat("x", n)
		inputs = append(inputs, l, l+"\n", l+"\n"+l, l+"\n"+l+"\n", "a\n"+l+"\nb\n", strings.Repeat(l+"\n", 5)+"end")
	}
	for _, input := range inputs {
		for name, r := range map[string]io.Reader{"whole": strings.NewReader(input), "bytes": iotest.OneByteReader(strings.NewReader(input)),
			"data and EOF": iotest.DataErrReader(strings.NewReader(input))} {
			pool := NewPool(1, size)
			cut := lineCutter{r: r, pool: pool}
			got := ""
			for {
				chunk, err := cut.next(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				if chunk == nil {
					break
				}
				got += string(chunk.Data)
				if n := len(got); got[n-1] != '\n' && n != len(input) {
					t.Fatalf("%s: a chunk of %q ends within a line", name, input)
				}
				releaseLines(chunk, pool)
			}
			if got != input {
				t.Errorf("%s: %q came out as %q", name, input, got)
			}
			if c := pool.tryGet(); c == nil || cap(c.Data) != size {
				t.Errorf("%s: the pool did not get its chunk back", name)
			}
		}
	}
}

func TestLineCutterError(t *testing.T) {
	broken := errors.New("broken")
	pool := NewPool(1, 64)
	cut := lineCutter{r: io.MultiReader(strings.NewReader("abc\nde"), iotest.ErrReader(broken)), pool: pool}
	if _, err := cut.next(context.Background()); err != broken {
		t.Errorf("error %v", err)
	}
	if pool.tryGet() == nil {
		t.Error("the chunk was not released")
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(broken)
	cut = lineCutter{r: strings.NewReader("abc\n"), pool: NewPool(1, 64)}
	if _, err := cut.next(ctx); err != broken {
		t.Errorf("cancelled: error %v", err)
	}
}

func TestSpools(t *testing.T) {
	dir := t.TempDir()
	spools := newSpools(2*spoolChunk, dir, nil)
	for _, n := range []int{0, 1, spoolChunk - 1, spoolChunk, spoolChunk + 1, 2*spoolChunk - 1, 2 * spoolChunk, 2*spoolChunk + 1, 5 * spoolChunk} {
		want := make([]byte, n)
		for i := range want {
			want[i] = byte(i * 7 >> 3)
		}
		s := spools.new()
		for piece := want; len(piece) > 0; {
			m := min(len(piece), 100_003)
			if k, err := s.Write(piece[:m]); err != nil || k != m {
				t.Fatal(k, err)
			}
			piece = piece[m:]
		}
		if s.size != int64(n) || (s.file != nil) != (n > 2*spoolChunk) {
			t.Errorf("%d bytes: size %d, in a file %v", n, s.size, s.file != nil)
		}
		got := make([]byte, 0, n)
		err := s.each(context.Background(), func(p []byte, off int64) error {
			if off != int64(len(got)) {
				t.Errorf("%d bytes: piece at %d after %d", n, off, len(got))
			}
			got = append(got, p...)
			return nil
		})
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back as others: %v", n, err)
		}
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	}
	a, b := spools.pool.tryGet(), spools.pool.tryGet()
	if a == nil || b == nil || spools.pool.tryGet() != nil {
		t.Error("the spools did not give back what they took")
	}
}

func TestSplitItems(t *testing.T) {
	for in, want := range map[string][]string{
		"":                        {},
		"\n":                      {""},
		"a":                       {"a"},
		"a\nb\n":                  {"a", "b"},
		"a \t\r\n\u00a0\nb\ufeff": {"a", "", "b"},
		"\xe2\x82\nx\xff\n":       {"\ufffd", "x\ufffd"},
		"\n\n":                    {"", ""},
	} {
		var got []string
		for _, item := range splitItems([]byte(in)) {
			got = append(got, string(item))
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Of large lines there is one at a time, whatever the pool has; small ones do not wait for it.
func TestLineCutterLarge(t *testing.T) {
	const size = 64
	large := strings.Repeat("x", 2*largeLine*size) + "\n"
	small := strings.Repeat(strings.Repeat("y", size-2)+"\n", 200)
	input := large + small + large + large + small
	pool := NewPool(3, size)
	cut := lineCutter{r: strings.NewReader(input), pool: pool}

	stopped := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(context.Background())
	timer := time.AfterFunc(20*time.Millisecond, func() { cancel(stopped) })
	defer timer.Stop()
	first, err := cut.next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := len(first.Data)
	for {
		c, err := cut.next(ctx)
		if err == stopped {
			break
		}
		if err != nil || c == nil {
			t.Fatal("no chunk", err)
		}
		got += len(c.Data)
		releaseLines(c, pool)
	}
	if most := len(large) + len(small); got > most || got < most-size {
		t.Errorf("%d bytes came while the first large line was there, want all up to the second one: %d", got, most)
	}
	releaseLines(first, pool)

	cut.reset(strings.NewReader(input), 0)
	link := NewLink(3, (*Chunk).Release)
	done := make(chan string)
	go func() {
		all := ""
		Each(context.Background(), link, func(c *Chunk) error { all += string(c.Data); releaseLines(c, pool); return nil })
		done <- all
	}()
	for {
		c, err := cut.next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			break
		}
		link.Send(context.Background(), c)
	}
	link.Close()
	if all := <-done; all != input {
		t.Errorf("%d bytes came out as %d others", len(input), len(all))
	}
	for range 3 {
		if c := pool.tryGet(); c == nil || cap(c.Data) != size {
			t.Error("the pool did not get its chunks back")
		}
	}
}
