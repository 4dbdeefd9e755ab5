package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"swingport/stages"
	"swingport/testdata"
)

// copyTemplate is a copy over an old store whose last commit is in its log, and a way to get fresh ones: sources are made by name, since a
// fault may keep a copy from tidying up behind itself.
func copyTemplate(t *testing.T, source string) (fresh func() CopyOptions, oldText, newText string) {
	old := oldStore(t)
	commits(t, old)
	o := CopyOptions{StateDir: source, KeepOld: true, Workers: 2}
	fresh = func() CopyOptions {
		c := o
		c.ToStateDir = t.TempDir()
		if err := os.CopyFS(c.ToStateDir, os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	oldText = strings.Replace(dump(t, old), "pragma journal_mode wal", "pragma journal_mode delete", 1)
	to, _, err := runCopy(t, CopyOptions{StateDir: source})
	if err != nil {
		t.Fatal(err)
	}
	return fresh, oldText, dump(t, to)
}

// tidy fails a test where the source is not as it was. What opening it made and a fault kept from being removed means nothing; it goes.
func tidy(t *testing.T, source string, before []string, what string) {
	t.Helper()
	after := dirContent(t, source)
	for _, line := range after {
		name, size, _ := strings.Cut(line, " ")
		if !slices.Contains(before, line) && (strings.HasSuffix(name, "-shm") || strings.HasSuffix(name, "-wal") && strings.HasPrefix(size, "0 ")) {
			remove(t, source, name)
		}
	}
	if after = dirContent(t, source); !slices.Equal(after, before) {
		t.Fatalf("%s: the source has %q, before %q", what, after, before)
	}
}

// Cancelled at any operation, a copy is never a success with half a store, and says why it ended.
func TestCopyCancelled(t *testing.T) {
	for name, source := range faultStores(t) {
		t.Run(name, func(t *testing.T) { copyCancelled(t, source) })
	}
}

func copyCancelled(t *testing.T, source string) {
	noLeaks(t)
	fresh, oldText, newText := copyTemplate(t, source)
	before := dirContent(t, source)
	why := errors.New("somebody pressed a key")
	step := int64(2)
	if testing.Short() {
		step = 20
	}
	done := false
	for n := int64(-1); !done; n += step {
		o := fresh()
		ctx, cancel := context.WithCancelCause(context.Background())
		if n < 0 {
			cancel(why)
		}
		var count atomic.Int64
		o.fs = &stages.FS{Before: func(stages.Op) error {
			if count.Add(1)-1 == n {
				cancel(why)
			}
			return nil
		}}
		_, err := Copy(ctx, o)
		done = n >= 0 && count.Load() <= n
		isNew := checkOldOrNew(t, o.ToStateDir, oldText, newText)
		if isNew != (err == nil) || err != nil && !errors.Is(err, why) {
			t.Fatalf("cancelled at operation %d: new store: %v, error %v", n, isNew, err)
		}
		if left := leftovers(t, o.ToStateDir); left != "" {
			t.Fatalf("cancelled at operation %d: left over: %s", n, left)
		}
		tidy(t, source, before, fmt.Sprint("cancelled at operation ", n))
		cancel(nil)
	}
}

// Where both halves fail at once, or one after the other, the error is what the first one met and never that it was stopped.
func TestCopyTwoFaults(t *testing.T) {
	noLeaks(t)
	fresh, oldText, newText := copyTemplate(t, faultStore(t))
	reading, writing := errors.New("the source's disk"), errors.New("the target's disk")
	for n := range 40 {
		o := fresh()
		var reads, writes atomic.Int64
		o.fs = &stages.FS{Before: func(op stages.Op) error {
			switch {
			case op.Kind == stages.OpRead && strings.HasPrefix(op.Path, o.StateDir) && reads.Add(1) > int64(n):
				return fmt.Errorf("%w: %w", reading, syscall.EIO)
			case op.Kind == stages.OpWrite && strings.HasPrefix(op.Path, o.ToStateDir) && writes.Add(1) > int64(n)/4:
				return fmt.Errorf("%w: %w", writing, syscall.ENOSPC)
			}
			return nil
		}}
		_, err := Copy(context.Background(), o)
		if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "I/O") && !errors.Is(err, syscall.EIO) && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d: %v", n, err)
		}
		if checkOldOrNew(t, o.ToStateDir, oldText, newText) {
			t.Errorf("%d: a new store", n)
		}
	}
}

// busyStore has more spans open at once than little memory holds, a few large items, heaps and bundles, and rows of all sizes. With -short
// there are as many heaps and bundles, an eighth as long.
func busyStore(t *testing.T, vats, rounds, itemBytes int) string {
	heapBytes, sources := 3<<20, 1<<17
	if testing.Short() {
		heapBytes, sources = heapBytes/8, sources/8
	}
	b := testdata.Build(t)
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, itemBytes*2)
	for i := range text {
		text[i] = 'a' + byte(r.IntN(26))
	}
	items := make([][]string, vats)
	for v := range items {
		for range rounds {
			at := r.IntN(itemBytes)
			items[v] = append(items[v], string(text[at:at+r.IntN(itemBytes)])+".")
		}
	}
	items[0][rounds/2] = strings.Repeat(string(text), 20<<20/len(text)) // more than everything on the way may take
	b.KV("host.height", 7)
	b.Many("INSERT INTO transcriptItems VALUES (?,?,?,0)", vats*rounds, func(i int) []any {
		return []any{fmt.Sprint("v", i%vats), i / vats, items[i%vats][i/vats]}
	})
	for v := range items {
		b.SpanRow(fmt.Sprint("v", v), 0, rounds, 0, true, testdata.SpanHash(items[v]...))
	}
	b.Many("INSERT INTO kvStore VALUES (?,?)", 5000, func(i int) []any {
		return []any{fmt.Sprint("k", r.Uint64()), string(text[:r.IntN(itemBytes)>>r.IntN(9)])}
	})
	b.KV("large", strings.Repeat(string(text), 9<<20/len(text)))
	for i := range 12 {
		heap := make([]byte, heapBytes)
		for j := range heap {
			heap[j] = byte(r.Uint32())
		}
		b.Heap(fmt.Sprint("v", i), 1, true, heap)
		b.B0(strings.Repeat(fmt.Sprint("source ", i), sources))
	}
	b.Close()
	return b.Dir
}

// With one worker and hardly any memory nobody waits for somebody who waits for him.
func TestCopyLittleMemory(t *testing.T) {
	vats, rounds := 60, 40
	if testing.Short() {
		vats, rounds = 20, 12
	}
	state := busyStore(t, vats, rounds, 40<<10)
	var want string
	for _, c := range []struct {
		workers   int
		openSpans int64
		reader    string
	}{{4, 0, ReaderSweep}, {1, 1, ReaderSweep}, {1, 1 << 20, ReaderEngine}, {1, 4 << 20, ReaderSweep}, {2, 1, ReaderEngine}, {16, 2 << 20, ReaderSweep}} {
		ctx, cancel := context.WithTimeoutCause(context.Background(), 2*time.Minute, errors.New("it waits for ever"))
		o := CopyOptions{StateDir: state, ToStateDir: t.TempDir(), TempDir: t.TempDir(), Workers: c.workers, Reader: c.reader, openSpans: c.openSpans}
		_, err := Copy(ctx, o)
		cancel()
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if left := names(t, o.TempDir); left != "" {
			t.Errorf("%+v: left over: %s", c, left)
		}
		text := dump(t, o.ToStateDir)
		if want == "" {
			want = text
		}
		if text != want {
			t.Errorf("%+v: another store: %q", c, testdata.CompareDumps(text, want))
		}
	}
}

// Cancelled while everything is at work, a copy ends soon and leaves nothing.
func TestCopyCancelledBusy(t *testing.T) {
	noLeaks(t)
	state := busyStore(t, 20, 30, 40<<10)
	why := errors.New("somebody pressed a key")
	for n := range 15 {
		if testing.Short() && n%4 != 2 {
			continue
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		o := CopyOptions{StateDir: state, ToStateDir: filepath.Join(t.TempDir(), "copy"), TempDir: t.TempDir(), Workers: 1 + n%3, openSpans: int64(1 + n%2<<20)}
		timer := time.AfterFunc(time.Duration(n*n)*time.Millisecond, func() { cancel(why) })
		_, err := Copy(ctx, o)
		timer.Stop()
		if err != nil {
			if !errors.Is(err, why) {
				t.Errorf("after %d ms: %v", n*n, err)
			}
			nothingLeft(t, o.ToStateDir)
		}
		if left := names(t, o.TempDir); left != "" {
			t.Errorf("after %d ms: left over: %s", n*n, left)
		}
		cancel(nil)
	}
}
