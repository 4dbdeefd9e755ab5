package stages

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// asNobody runs f on a thread that has no more rights on files than another user.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if os.Getuid() == 0 {
			syscall.RawSyscall(syscall.SYS_SETFSGID, 65534, 0, 0)
			syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		}
		f()
	}()
	<-done
}

// A directory that cannot be written is an error that says so, and nothing changes.
func TestStateNotWritable(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	readOnly := filepath.Join(dir, "state")
	if err := os.Mkdir(readOnly, 0o555); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		s, err := OpenState(readOnly, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if _, _, err := s.Build(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("error %v", err)
		}
		if err := s.Close(false); err != nil {
			t.Error(err)
		}
		if _, err := OpenState(filepath.Join(readOnly, "a", "b"), nil); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("error %v", err)
		}
	})
	if entries, err := os.ReadDir(readOnly); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// Where the new file cannot be given to the old one's owner, a warning says so.
func TestStateOwnerWarning(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	mine, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.Stat("/")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(file, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if w := giveTo(file, mine); w != "" {
			t.Errorf("root cannot give a file to itself: %s", w)
		}
		return
	}
	if w := giveTo(file, mine); w != "" {
		t.Errorf("it is mine already: %s", w)
	}
	if w := giveTo(file, root); w == "" {
		t.Error("a file was given to root")
	}
}
