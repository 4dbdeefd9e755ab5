package stages

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// startWriteback asks the system to begin writing a file's dirty pages, without waiting. It is a hint: that a file system does not know
// it is no failure, and what fails to be written is reported by the sync at the end.
func startWriteback(f *File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
}

// waitWriteback begins to write a stretch of a file, and waits for one before it. Both are hints; that what was written failed is an error.
func waitWriteback(f *os.File, begin, wait, n int64) error {
	_ = unix.SyncFileRange(int(f.Fd()), begin, n, unix.SYNC_FILE_RANGE_WRITE)
	if wait < 0 {
		return nil
	}
	err := unix.SyncFileRange(int(f.Fd()), wait, n, unix.SYNC_FILE_RANGE_WAIT_BEFORE)
	if err == unix.EIO || err == unix.ENOSPC || err == unix.EDQUOT {
		return &os.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
	return nil
}

// syncAll makes everything on the file system of f durable: one call for thousands of files.
func syncAll(f *os.File) error { return unix.Syncfs(int(f.Fd())) }

// createNameless makes a file that never has a name.
func createNameless(dir string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EINVAL) {
		return createNamed(dir)
	}
	return f, err
}

// renameNew is a rename that never replaces a file; errNoRenameNew where the file system has none.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return errNoRenameNew
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// widenPipe gives a pipe a larger buffer than the usual 64 KiB, so that its two ends wake each other less often. It is a hint.
func widenPipe(fd int) { _, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, 1<<20) }

// pipeHolds is how many bytes are in a pipe, 0 where the system does not say.
func pipeHolds(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}

// adviseRandom switches the system's read-ahead off. It is a hint.
func adviseRandom(fd int) { _ = unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM) }

// adviseWillNeed begins to read a stretch of a file into the page cache. It is a hint, of which the system takes no more at once than a disk's
// largest request.
func adviseWillNeed(fd int, off, n int64) {
	const piece = 512 << 10
	for ; n > 0; off, n = off+piece, n-piece {
		_ = unix.Fadvise(fd, off, min(n, piece), unix.FADV_WILLNEED)
	}
}

// mapFile maps a stretch of a file and reads it. What cannot be read is an error here, and no signal when it is looked at.
func mapFile(f *os.File, at int64, n int) ([]byte, error) {
	data, err := unix.Mmap(int(f.Fd()), at, n, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	if err := unix.Madvise(data, unix.MADV_POPULATE_READ); err != nil {
		return nil, errors.Join(err, unix.Munmap(data))
	}
	return data, nil
}

// openElsewhere reports whether a file is open under another descriptor, of any process: the system grants no lease then. It is false where that
// is not known, as on many network file systems, and of files of other users.
func openElsewhere(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
	if err == nil {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, syscall.EAGAIN)
}
