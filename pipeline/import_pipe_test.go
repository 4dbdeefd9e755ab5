package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// inputs are the kinds of pipes that an archive may come through.
var inputs = map[string]func(t *testing.T) (r io.Reader, w io.WriteCloser){
	"pipe": func(t *testing.T) (io.Reader, io.WriteCloser) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return r, w
	},
	"inherited pipe": func(t *testing.T) (io.Reader, io.WriteCloser) { // which blocks, as standard input does
		var fd [2]int
		if err := syscall.Pipe2(fd[:], syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd[0]), "stdin"), os.NewFile(uintptr(fd[1]), "stdout")
	},
	"socket": func(t *testing.T) (io.Reader, io.WriteCloser) { // sshd may give one to its commands
		fd, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd[0]), "stdin"), os.NewFile(uintptr(fd[1]), "stdout")
	},
	"connection": func(t *testing.T) (io.Reader, io.WriteCloser) {
		a, b := net.Pipe()
		return a, b
	},
	"reader": func(t *testing.T) (io.Reader, io.WriteCloser) {
		r, w := io.Pipe()
		return r, w
	},
}

// The end of the context ends an import that waits for a silent pipe, wherever in the archive that is, within a second; so does an error of
// another stage. The old store stands.
func TestImportFromSilentPipe(t *testing.T) {
	t.Parallel()
	dir := handMade().write(t)
	plain, entries := testdata.Archive(t, dir, testdata.ArchiveOptions{})
	packed := testdata.ArchiveZstd(plain, 2000)
	spoiled := bytes.Clone(plain)
	spoiled[entries[1].Offset]++ // the heap; nothing more comes behind the next header
	foreign := testdata.ForeignTar(t, dir, testdata.ForeignOptions{Reverse: true})
	why := errors.New("somebody pressed a key")
	for kind, pipe := range inputs {
		for _, c := range []struct {
			name  string
			data  []byte
			error error
		}{
			{"nothing", nil, why},
			{"half a block", plain[:100], why},
			{"head", plain[:entries[0].Offset+200], why},
			{"behind a heap", plain[:entries[2].Offset], why},
			{"export data", plain[:entries[len(entries)-2].Offset+100], why},
			{"all but the end", plain[:len(plain)-1], why},
			{"all, and the pipe stays open", plain, why},
			{"half of it packed", packed[:len(packed)/2], why},
			{"packed without the seek table", packed[:len(packed)-10], why},
			{"half of somebody else's", foreign[:len(foreign)/2], why},
			{"wrong heap", spoiled[:entries[2].Offset+10], format.ErrHashMismatch},
		} {
			r, w := pipe(t)
			go w.Write(c.data)
			ctx, cancel := context.WithCancelCause(context.Background())
			o := ImportOptions{StateDir: oldStore(t), Archive: "-", Stdin: r}
			before := content(t, o.StateDir)
			var began time.Time
			if c.error == why {
				time.AfterFunc(100*time.Millisecond, func() { began = time.Now(); cancel(why) })
			}
			done := make(chan error, 1)
			go func() {
				_, err := Import(ctx, o)
				done <- err
			}()
			select {
			case err := <-done:
				if !errors.Is(err, c.error) {
					t.Errorf("%s, %s: error %v", kind, c.name, err)
				}
			case <-time.After(20 * time.Second):
				buf := make([]byte, 1<<16)
				t.Fatalf("%s, %s: it still waits\n%s", kind, c.name, buf[:runtime.Stack(buf, true)])
			}
			if late := time.Since(began); c.error == why && late > time.Second {
				t.Errorf("%s, %s: ended after %v", kind, c.name, late)
			}
			same(t, o.StateDir, before)
			cancel(nil)
			w.Close()
		}
	}
}

// An archive in small pieces, through every kind of pipe.
func TestImportFromPipe(t *testing.T) {
	t.Parallel()
	data, _ := testdata.Archive(t, handMade().write(t), testdata.ArchiveOptions{Zstd: true, FrameSize: 5000})
	for kind, pipe := range inputs {
		r, w := pipe(t)
		go func() {
			defer w.Close()
			for rest := data; len(rest) > 0; {
				n := min(700, len(rest))
				if _, err := w.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
		status := new(Status)
		o := ImportOptions{StateDir: t.TempDir(), Archive: "-", Stdin: r, Status: status}
		if _, err := Import(context.Background(), o); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		checkNew(t, o.StateDir)
	}
}

// A named pipe is waited for until somebody writes to it, or the import is cancelled.
func TestImportFromNamedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	why := errors.New("nobody came")
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	o := ImportOptions{StateDir: t.TempDir(), Archive: path}
	if _, err := Import(ctx, o); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
	data, _ := testdata.Archive(t, handMade().write(t), testdata.ArchiveOptions{})
	go os.WriteFile(path, data, 0)
	if _, err := Import(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	checkNew(t, o.StateDir)
}

// The progress of an archive is that of its file, which is read whole, whatever is in it.
func TestImportArchiveProgress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	data, _ := testdata.Archive(t, handMade().write(t), testdata.ArchiveOptions{Zstd: true, FrameSize: 2000})
	put(t, path, string(data))
	status := new(Status)
	last := Progress{}
	fsys := &stages.FS{Before: func(op stages.Op) error {
		if p := status.Snapshot(); op.Kind == stages.OpWrite && p.Phase == "archive" {
			last = p
		}
		return nil
	}}
	if _, err := importInto(context.Background(), ImportOptions{StateDir: t.TempDir(), Archive: path, Status: status}, fsys); err != nil {
		t.Fatal(err)
	}
	if want := int64(len(data)); last.Done != want || last.Total != want || status.Snapshot().Artifacts != 4 {
		t.Errorf("progress %+v of %d bytes", last, want)
	}
}

func TestImportArchiveOptions(t *testing.T) {
	dir := handMade().write(t)
	data, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{})
	bare, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{NoExportData: true})
	for _, c := range []struct {
		name string
		o    ImportOptions
		text string
		is   error
	}{
		{"a directory too", ImportOptions{Archive: "-", ExportDir: dir, Stdin: bytes.NewReader(data)}, "not both", nil},
		{"no standard input", ImportOptions{Archive: "-"}, "no standard input", nil},
		{"a directory", ImportOptions{Archive: dir}, "is a directory, not an archive", nil},
		{"missing", ImportOptions{Archive: dir + "/missing"}, "no such file", os.ErrNotExist},
		{"without export data", ImportOptions{Archive: "-", Stdin: bytes.NewReader(bare)}, "missing export data", ErrNoExportData},
		{"another height", ImportOptions{Archive: "-", Stdin: bytes.NewReader(data), CheckBlockHeight: height(7)}, "unexpected block height 1000 (expected 7)", nil},
		{"a window of a byte", ImportOptions{Archive: "-", Stdin: bytes.NewReader(testdata.ArchiveZstd(data, 0)), MaxWindow: 1}, "window", format.ErrLimit},
		{"items of four bytes", ImportOptions{Archive: "-", Stdin: bytes.NewReader(data), MaxItem: 4}, "--max-item", format.ErrLimit},
	} {
		c.o.StateDir = oldStore(t)
		before := content(t, c.o.StateDir)
		_, err := Import(context.Background(), c.o)
		if err == nil || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: error %v", c.name, err)
		}
		same(t, c.o.StateDir, before)
	}
}
