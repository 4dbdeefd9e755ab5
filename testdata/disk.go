package testdata

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// SmallDisk mounts a tmpfs with room for so many bytes, and returns where; grow gives it 64 MiB. It takes root: with CI=true it is a failure where that
// is not given, else the test is not run, and says so.
func SmallDisk(tb testing.TB, bytes int) (dir string, grow func()) {
	tb.Helper()
	dir = tb.TempDir()
	mount := func(flags uintptr, size string) error {
		return syscall.Mount("tmpfs", dir, "tmpfs", flags, "size="+size)
	}
	if err := mount(0, fmt.Sprint(bytes)); err != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatal(err)
		}
		tb.Skip("NOT RUN, since no tmpfs can be mounted here, which takes root; with CI=true that is a failure: ", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			tb.Error(err)
		}
	})
	return dir, func() {
		tb.Helper()
		if err := mount(syscall.MS_REMOUNT, "64m"); err != nil {
			tb.Fatal(err)
		}
	}
}
