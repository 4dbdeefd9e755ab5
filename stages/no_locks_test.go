package stages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"swingport/testdata"
)

func init() { children["no locks"] = noLocksHere }

var systemFcntl uintptr

// noLocksHere opens stores in a process whose engine gets ENOLCK for every lock, as on a network file system without its lock daemon.
func noLocksHere() error {
	tls := libc.NewTLS()
	name, err := libc.CString("fcntl")
	if err != nil {
		return err
	}
	if rc := lib.Xsqlite3_initialize(tls); rc != lib.SQLITE_OK {
		return fmt.Errorf("initialize: %d", rc)
	}
	id := lib.Xsqlite3_vfs_find(tls, 0)
	vfs := (*lib.Tsqlite3_vfs)(ptr(id))
	systemFcntl = call[func(*libc.TLS, uintptr, uintptr) uintptr](vfs.FxGetSystemCall)(tls, id, name)
	rc := call[func(*libc.TLS, uintptr, uintptr, uintptr) int32](vfs.FxSetSystemCall)(tls, id, name, fn(func(tls *libc.TLS, fd, cmd int32, args uintptr) int32 {
		if cmd == unix.F_SETLK || cmd == unix.F_GETLK {
			*(*int32)(ptr(libc.X__errno_location(tls))) = int32(syscall.ENOLCK)
			return -1
		}
		return call[func(*libc.TLS, int32, int32, uintptr) int32](systemFcntl)(tls, fd, cmd, args)
	}))
	if rc != lib.SQLITE_OK {
		return fmt.Errorf("set the system call: %d", rc)
	}
	for _, dir := range os.Args[1:] {
		_, err := OpenStore(context.Background(), dir, nil)
		_, err2 := OpenState(dir, nil)
		for _, err := range []error{err, err2} {
			if !errors.Is(err, syscall.ENOLCK) || errors.As(err, new(*InUseError)) {
				return fmt.Errorf("%s: %w", dir, err)
			}
			fmt.Println(err)
		}
	}
	return nil
}

// A file system that has no locks is an error that says so, and not that the store is in use.
func TestNoLocks(t *testing.T) {
	dirs := []string{testdata.Store(t, "tiny"), testdata.Store(t, "tinywal")}
	cmd := exec.Command(os.Args[0], dirs...)
	cmd.Env = append(os.Environ(), childEnv+"=no locks")
	out, err := cmd.CombinedOutput()
	for _, dir := range dirs {
		if want := "lock " + filepath.Join(dir, StoreFile) + ": no locks available\n"; err != nil || strings.Count(string(out), want) != 2 {
			t.Errorf("%v: it says %s, want %s", err, out, want)
		}
	}
}
