package stages

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback asks the system to begin writing a file's dirty pages, without waiting. It is a hint: that a file system does not know
// it is no failure, and what fails to be written is reported by the sync at the end.
func startWriteback(f *File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// syncAll makes everything on the file system of f durable: one call for thousands of files.
func syncAll(f *os.File) error { return unix.Syncfs(int(f.Fd())) }
