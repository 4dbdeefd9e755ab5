package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// largeStore exports to some megabytes that no encoder makes smaller: more than any pipe holds.
func largeStore(t *testing.T) string {
	b := goodStore(t)
	defer b.Close()
	noise := make([]byte, 8<<20)
	x := uint64(1)
	for i := range noise {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		noise[i] = byte(x)
	}
	b.Heap("v2", 1, true, noise)
	return b.Dir
}

// wholeArchive is what an export of the store writes to a file.
func wholeArchive(t *testing.T, state string) []byte {
	t.Helper()
	path, _, err := toArchive(t, ExportOptions{StateDir: state}, "x.tar.zst")
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// pipes are the two kinds of standard output that have a reader: a pipe, and the socket that sshd gives.
func pipes(t *testing.T) map[string]func() (r io.ReadCloser, w *os.File) {
	return map[string]func() (io.ReadCloser, *os.File){
		"pipe": func() (io.ReadCloser, *os.File) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return r, w
		},
		"socket": func() (io.ReadCloser, *os.File) {
			fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			r := os.NewFile(uintptr(fds[0]), "reader")
			defer r.Close()
			conn, err := net.FileConn(r)
			if err != nil {
				t.Fatal(err)
			}
			return conn, os.NewFile(uintptr(fds[1]), "writer")
		},
	}
}

// Through a pipe, a socket, a fifo, another writer and to /dev/null: the bytes of a file.
func TestArchiveTargets(t *testing.T) {
	noLeaks(t)
	state := largeStore(t)
	want := wholeArchive(t, state)
	same := func(what string, got []byte, sum Summary, err error) {
		t.Helper()
		if err != nil || sum.ArchiveBytes != int64(len(want)) || got != nil && !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, summary says %d, want %d, %v", what, len(got), sum.ArchiveBytes, len(want), err)
		}
	}
	for name, open := range pipes(t) {
		r, w := open()
		got := reading(r)
		sum, err := Export(t.Context(), ExportOptions{StateDir: state, Archive: "-", Stdout: w})
		if err := w.Close(); err != nil {
			t.Errorf("%s: what was not opened here was closed: %v", name, err)
		}
		same(name, <-got, sum, err)
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte)
	go func() {
		b, _ := os.ReadFile(fifo)
		got <- b
	}()
	sum, err := Export(t.Context(), ExportOptions{StateDir: state, Archive: fifo})
	same("fifo", <-got, sum, err)
	if info, err := os.Stat(fifo); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
		t.Errorf("the fifo is now %v, %v", info, err)
	}
	var buf bytes.Buffer
	sum, err = Export(t.Context(), ExportOptions{StateDir: state, Archive: "-", Stdout: &buf})
	same("buffer", buf.Bytes(), sum, err)
	sum, err = Export(t.Context(), ExportOptions{StateDir: state, Archive: os.DevNull})
	same(os.DevNull, nil, sum, err)
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode().Type() != fs.ModeDevice|fs.ModeCharDevice {
		t.Errorf("%s is now %v, %v", os.DevNull, info, err)
	}
}

// reading reads all of r.
func reading(r io.ReadCloser) chan []byte {
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(r)
		r.Close()
		got <- b
	}()
	return got
}

// A reader that goes away ends the export, with an error that says so.
func TestArchiveReaderGone(t *testing.T) {
	noLeaks(t)
	state := largeStore(t)
	for name, open := range pipes(t) {
		for _, first := range []int64{0, 1, 3 << 20} {
			r, w := open()
			go func() {
				io.CopyN(io.Discard, r, first)
				r.Close()
			}()
			_, err := Export(t.Context(), ExportOptions{StateDir: state, Archive: "-", Stdout: w})
			w.Close()
			if !errors.Is(err, ErrReaderGone) || !strings.Contains(err.Error(), "standard output") {
				t.Errorf("%s, gone after %d bytes: %v", name, first, err)
			}
		}
	}
}

// Also while there is nothing to write, and no sooner.
func TestTargetWatch(t *testing.T) {
	noLeaks(t)
	for name, open := range pipes(t) {
		r, w := open()
		target, err := stages.OpenTarget(t.Context(), "-", w, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := target.Watch(ctx); err != nil {
			t.Errorf("%s: the reader is there: %v", name, err)
		}
		stop()
		ended := make(chan error)
		go func() { ended <- target.Watch(t.Context()) }()
		r.Close()
		if err := <-ended; !errors.Is(err, ErrReaderGone) {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(target.Abort(), w.Close()); err != nil {
			t.Error(err)
		}
	}
}

// A reader that does not read keeps nobody from cancelling; nor does a fifo without one.
func TestArchiveCancelledInWrite(t *testing.T) {
	noLeaks(t)
	state := largeStore(t)
	why := errors.New("the user has enough")
	cancelled := func(o ExportOptions) error {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(300*time.Millisecond, func() { cancel(why) })
		_, err := Export(ctx, o)
		return err
	}
	for name, open := range pipes(t) {
		r, w := open()
		if err := cancelled(ExportOptions{StateDir: state, Archive: "-", Stdout: w}); !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
		w.Close()
		r.Close()
	}
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cancelled(ExportOptions{StateDir: state, Archive: fifo}); !errors.Is(err, why) {
		t.Errorf("fifo: %v", err)
	}
}

// What is there is never replaced, whatever it is and whenever it came.
func TestArchiveExists(t *testing.T) {
	b := goodStore(t)
	b.Close()
	for name, c := range map[string]struct {
		make func(path string) error
		is   error
	}{
		"file":            {func(path string) error { return os.WriteFile(path, []byte("mine"), 0o600) }, os.ErrExist},
		"empty file":      {func(path string) error { return os.WriteFile(path, nil, 0o600) }, os.ErrExist},
		"link to nothing": {func(path string) error { return os.Symlink("nothing", path) }, os.ErrExist},
		"directory":       {func(path string) error { return os.Mkdir(path, 0o700) }, syscall.EISDIR},
	} {
		path := filepath.Join(t.TempDir(), "x.tar")
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(path)
		if _, err := Export(t.Context(), ExportOptions{StateDir: b.Dir, Archive: path}); !errors.Is(err, c.is) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		after, err := os.Lstat(path)
		entries, _ := os.ReadDir(filepath.Dir(path))
		if err != nil || !os.SameFile(before, after) || before.Size() != after.Size() || len(entries) != 1 {
			t.Errorf("%s: there are %v, %v", name, entries, err)
		}
	}
	// A file that comes while the export runs.
	path := filepath.Join(t.TempDir(), "x.tar")
	late := ExportOptions{StateDir: b.Dir, Archive: path}
	late.fs = &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpSync {
			put(t, path, "mine")
		}
		return nil
	}}
	if _, err := Export(t.Context(), late); !errors.Is(err, os.ErrExist) {
		t.Errorf("%v", err)
	}
	if got := dirContent(t, filepath.Dir(path)); len(got) != 1 || !strings.HasPrefix(got[0], "x.tar 4 ") {
		t.Errorf("there are %q", got)
	}
	missing := filepath.Join(t.TempDir(), "no", "x.tar")
	if _, err := Export(t.Context(), ExportOptions{StateDir: b.Dir, Archive: missing}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// What killed exports left is removed, and what a living one writes is not; of several to one name one is made.
func TestArchiveLeftovers(t *testing.T) {
	b := goodStore(t)
	b.Close()
	dir := t.TempDir()
	put(t, filepath.Join(dir, ".swingport-archive-DEAD"), "half of one")
	put(t, filepath.Join(dir, "mine"), "mine")
	alive, err := os.Create(filepath.Join(dir, ".swingport-archive-ALIVE"))
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	if err := syscall.Flock(int(alive.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = Export(t.Context(), ExportOptions{StateDir: b.Dir, Archive: filepath.Join(dir, "x.tar")})
		})
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else if !errors.Is(err, os.ErrExist) {
			t.Error(err)
		}
	}
	entries, _ := os.ReadDir(dir)
	if made != 1 || len(entries) != 3 {
		t.Errorf("%d made, and there are %v", made, entries)
	}
}

// The mode that a store can satisfy is taken. What is cheap to see decides before anything is written; an item that is missing in the middle is
// found by reading, and then a file or a directory is begun again, and a stream ends.
func TestExportAuto(t *testing.T) {
	for name, c := range map[string]struct {
		remove string
		mode   format.ArtifactMode // "" if there is none
		late   bool
	}{
		"all":                      {"", format.Archival, false},
		"first span lacks its end": {"position=1", format.Replay, false},
		"hole in the first span":   {"position=1 AND vatID='v3'", format.Replay, true},
		"hole in the incarnation":  {"position=3 AND vatID='v1'", format.Operational, true},
		"hole in the current span": {"position=6 AND vatID='v1'", "", true},
		"no items":                 {"1", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := goodStore(t)
			b.Exec("DELETE FROM transcriptSpans WHERE vatID='v1' AND isCurrent=1")
			b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position>=5")
			b.Span("v1", 5, 1, true, "load again", "x", "y")
			b.Span("v3", 0, 0, false, "a", "b", "c")
			b.Span("v3", 3, 1, true, "d")
			if c.remove == "position=1" {
				b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position<2")
			} else if c.remove != "" {
				b.Exec("DELETE FROM transcriptItems WHERE " + c.remove)
			}
			b.Close()
			o := ExportOptions{StateDir: b.Dir, ArtifactMode: AutoMode, ExportDataMode: format.All, Status: &Status{}}
			dir, sum, err := runExport(t, o)
			if c.mode == "" {
				if !errors.As(err, new(*IncompleteError)) {
					t.Errorf("%v", err)
				}
				nothingLeft(t, dir)
				return
			}
			if err != nil || sum.ArtifactMode != string(c.mode) || c.late != (len(sum.Warnings) == 1) {
				t.Fatalf("%+v, %v", sum, err)
			}
			if p := o.Status.Snapshot(); p.Artifacts != int64(sum.Artifacts) || p.ArtifactsTotal != p.Artifacts {
				t.Errorf("%+v", p)
			}
			if m := manifest(t, dir); m.ArtifactMode != string(c.mode) {
				t.Errorf("the manifest says %s", m.ArtifactMode)
			}
			sameAsDirectory(t, o, dir, nil)
			_, err = Export(t.Context(), ExportOptions{StateDir: b.Dir, Archive: "-", Stdout: io.Discard})
			if !c.late && err != nil || c.late && (!errors.As(err, new(*IncompleteError)) || !strings.Contains(err.Error(), fmt.Sprint("--artifact-mode ", c.mode))) {
				t.Errorf("to a stream: %v", err)
			}
		})
	}
	for store, mode := range map[string]format.ArtifactMode{"tiny": format.Archival, "tiny1a": format.Archival} {
		if path, sum, err := toArchive(t, ExportOptions{StateDir: testdata.Store(t, store)}, "x.tar"); err != nil || sum.ArtifactMode != string(mode) || sum.ExportDataSHA256 == "" {
			t.Errorf("%s: %+v, %v, %s", store, sum, err, path)
		}
	}
}

// A reader that goes as soon as it has the last byte had all of it.
func TestArchiveReaderLeavesAtTheEnd(t *testing.T) {
	b := goodStore(t)
	b.Close()
	size := int64(len(wholeArchive(t, b.Dir)))
	for name, open := range pipes(t) {
		for range 20 {
			r, w := open()
			go func() {
				io.CopyN(io.Discard, r, size)
				r.Close()
			}()
			if _, err := Export(t.Context(), ExportOptions{StateDir: b.Dir, Archive: "-", Stdout: w}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			w.Close()
		}
	}
}
