package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// walState is what the pinned read transaction says of the write-ahead log: the number of its frames that belong to the snapshot, the
// database size in pages, and the log's salts. It is zero where no frame does.
type walState struct {
	frames, pages uint32
	salt          [2]uint32
}

// walState reads the wal-index header that the open read transaction has pinned, by way of sqlite3_snapshot_get (whose opaque result
// is that header: sqlite3.c, struct WalIndexHdr). Outside WAL mode, and before the first frame was ever written, there is none.
func (d *DB) walState() walState {
	d.mu.Lock()
	defer d.mu.Unlock()
	zm, pp := d.cstring("main"), d.malloc(8)
	defer libc.Xfree(d.tls, zm)
	defer libc.Xfree(d.tls, pp)
	if lib.Xsqlite3_snapshot_get(d.tls, d.db, zm, pp) != lib.SQLITE_OK {
		return walState{}
	}
	snap := *(*uintptr)(ptr(pp))
	defer lib.Xsqlite3_snapshot_free(d.tls, snap)
	h := unsafe.Slice((*uint32)(ptr(snap)), 12)
	return walState{frames: h[4], pages: h[5], salt: [2]uint32{h[8], h[9]}}
}

// pinLog makes the open read transaction hold a place in the write-ahead log, where there is one with frames, and stay at its commit. Of a log
// that is in the database already the engine would hold none, only the database as it is: a checkpoint, which a writer tries after each commit
// once its log is long, then sorts all frames before it finds that it may move none of them. What holds a place, it sees at once. Where that is
// not possible (a checkpoint is under way, say) the transaction stays as it was, or is begun anew by the next read.
func (d *DB) pinLog() {
	d.mu.Lock()
	defer d.mu.Unlock()
	zm, pp := d.cstring("main"), d.malloc(8)
	defer libc.Xfree(d.tls, zm)
	defer libc.Xfree(d.tls, pp)
	if lib.Xsqlite3_snapshot_get(d.tls, d.db, zm, pp) != lib.SQLITE_OK {
		return
	}
	snap := *(*uintptr)(ptr(pp))
	defer lib.Xsqlite3_snapshot_free(d.tls, snap)
	lib.Xsqlite3_snapshot_open(d.tls, d.db, zm, snap)
}

// file is one of the engine's own open files. Reading through it needs no second descriptor, whose closing would drop the locks that
// the engine holds on the same file (POSIX locks belong to the process).
type file struct {
	tls  *libc.TLS // not the connection's: reads run beside it
	file uintptr
	read func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32
}

// openFile returns the database file (lib.SQLITE_FCNTL_FILE_POINTER) or its journal or log (_JOURNAL_POINTER) as the engine has it open.
func (d *DB) openFile(op int32) (*file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	zm, pp := d.cstring("main"), d.malloc(8)
	defer libc.Xfree(d.tls, zm)
	defer libc.Xfree(d.tls, pp)
	if rc := lib.Xsqlite3_file_control(d.tls, d.db, zm, op, pp); rc != lib.SQLITE_OK {
		return nil, d.fail("file control", rc)
	}
	f := *(*uintptr)(ptr(pp))
	if f == 0 || (*lib.Tsqlite3_file)(ptr(f)).FpMethods == 0 {
		return nil, fmt.Errorf("%s: the file is not open", d.path)
	}
	methods := methodsOf(f)
	if b, ok := blocksOf.Load(f); ok {
		methods = b.(*blocks).old // reads beside the engine's
	}
	h := &file{tls: libc.NewTLS(), file: f}
	h.read = *(*func(*libc.TLS, uintptr, uintptr, int32, int64) int32)(unsafe.Pointer(&struct{ p uintptr }{methods.FxRead}))
	return h, nil
}

// methodsOf are the methods of a file that the engine has open.
func methodsOf(file uintptr) *lib.Tsqlite3_io_methods {
	return (*lib.Tsqlite3_io_methods)(ptr((*lib.Tsqlite3_file)(ptr(file)).FpMethods))
}

// readAt fills p from offset off of the file. What lies past its end is an error.
func (f *file) readAt(p []byte, off int64) error {
	rc := f.read(f.tls, f.file, address(p), int32(len(p)), off)
	runtime.KeepAlive(p)
	switch rc {
	case lib.SQLITE_OK:
		return nil
	case lib.SQLITE_IOERR_SHORT_READ:
		return fmt.Errorf("read %d bytes at offset %d: the file ends before", len(p), off)
	default:
		return fmt.Errorf("read %d bytes at offset %d: %w", len(p), off, systemError(f.tls, rc))
	}
}

// systemError is what the system said to tls before a method of a file returned rc.
func systemError(tls *libc.TLS, rc int32) error {
	if n := *(*int32)(ptr(libc.X__errno_location(tls))); n != 0 {
		return syscall.Errno(n)
	}
	return errors.New(libc.GoString(lib.Xsqlite3_errstr(tls, rc)))
}

// adviseRandom asks the system to read what is asked for and no more: each reader knows better what it wants next.
func (f *file) adviseRandom() { adviseRandom(f.fd()) }

// willNeed asks the system to begin reading n bytes from offset off.
func (f *file) willNeed(off, n int64) { adviseWillNeed(f.fd(), off, n) }

func (f *file) fd() int { return int((*lib.TunixFile)(ptr(f.file)).Fh) }

// inUse is what it means that the engine did not get a lock: somebody else has it, or the file system has none, which the engine takes for the same.
func (d *DB) inUse(err error) error {
	if noLocks := d.cannotLock(); noLocks != nil {
		return noLocks
	}
	return &InUseError{d.path, err}
}

// cannotLock is an error where not even the question works whether somebody else has a lock.
func (d *DB) cannotLock() error {
	f, err := d.openFile(lib.SQLITE_FCNTL_FILE_POINTER)
	if err != nil {
		return nil
	}
	defer f.close()
	methods := methodsOf(f.file)
	out := d.malloc(8)
	defer libc.Xfree(f.tls, out)
	if call[func(*libc.TLS, uintptr, uintptr) int32](methods.FxCheckReservedLock)(f.tls, f.file, out) == lib.SQLITE_OK {
		return nil
	}
	return &fs.PathError{Op: "lock", Path: d.path, Err: syscall.Errno((*lib.TunixFile)(ptr(f.file)).FlastErrno)}
}

// lockAlone takes the exclusive lock of the database file, which nobody gets while somebody else reads of it; ok is false where it cannot be had.
// The database itself, which may be damaged, is not read for it.
func (d *DB) lockAlone() (unlock func(), ok bool) {
	f, err := d.openFile(lib.SQLITE_FCNTL_FILE_POINTER)
	if err != nil {
		return nil, false
	}
	methods := methodsOf(f.file)
	lock := call[func(*libc.TLS, uintptr, int32) int32](methods.FxLock)
	unlock = func() {
		call[func(*libc.TLS, uintptr, int32) int32](methods.FxUnlock)(f.tls, f.file, lib.SQLITE_LOCK_NONE)
		f.close()
	}
	for _, level := range []int32{lib.SQLITE_LOCK_SHARED, lib.SQLITE_LOCK_EXCLUSIVE} {
		if lock(f.tls, f.file, level) != lib.SQLITE_OK {
			unlock()
			return nil, false
		}
	}
	return unlock, true
}

// moved reports whether the database is no longer the file that its path names.
func (d *DB) moved() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	zm, pp := d.cstring("main"), d.malloc(8)
	defer libc.Xfree(d.tls, zm)
	defer libc.Xfree(d.tls, pp)
	return lib.Xsqlite3_file_control(d.tls, d.db, zm, lib.SQLITE_FCNTL_HAS_MOVED, pp) == lib.SQLITE_OK && *(*int32)(ptr(pp)) != 0
}

// openElsewhere reports whether anybody else has the database file open; false where the system does not say.
func (d *DB) openElsewhere() bool {
	f, err := d.openFile(lib.SQLITE_FCNTL_FILE_POINTER)
	if err != nil {
		return false
	}
	defer f.close()
	return openElsewhere(f.fd())
}

func (f *file) close() { f.tls.Close() }
