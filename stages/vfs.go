package stages

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// OpKind names an operation on a file.
type OpKind string

// The operations that FS.Before sees.
const (
	OpOpen     OpKind = "open"
	OpRead     OpKind = "read"
	OpWrite    OpKind = "write"
	OpTruncate OpKind = "truncate"
	OpSync     OpKind = "sync"
	OpSyncDir  OpKind = "syncdir"
	OpRename   OpKind = "rename"
	OpLink     OpKind = "link"
	OpRemove   OpKind = "remove"
	OpMkdir    OpKind = "mkdir"
	OpLock     OpKind = "lock" // a folder, or a file that becomes an archive; the engine's locks are not seen
)

// Op is one operation on a file, about to happen.
type Op struct {
	Kind OpKind
	Path string
	Off  int64 // bytes; -1 for a write to where the file stands
	Len  int   // bytes

	// Data is what a write is about to write, Len bytes of it, borrowed: until Before returns.
	Data []byte
}

// FS is where every file operation of this package passes, the engine's included: the one place to count reads, to slow them down, and
// to make the Nth operation fail. A nil *FS, or one without Before, uses the system's files directly and costs nothing.
type FS struct {
	// Before is called ahead of each operation, by many goroutines; its error takes the operation's place. A syscall.Errno below it
	// reaches the engine as that system error. After EINTR it is asked again, as package os and the engine go on with whatever a signal
	// interrupted, all but the engine's sync, which fails. A *PartError lets a part of a read or write happen.
	Before func(Op) error

	// BeforeStep is the same for each step of a statement.
	BeforeStep func(sql string) error

	// Space, if not nil, says what free space there is in place of the system, whose answer it gets.
	Space func(Space) Space

	once sync.Once
	id   uintptr
}

// PartError is an error of Before that comes after the first N bytes of a read or a write. Without Err a read just ends there, as a read may,
// and its caller reads on.
type PartError struct {
	N   int
	Err error
}

func (e *PartError) Error() string { return fmt.Sprintf("after %d bytes: %v", e.N, e.Err) }
func (e *PartError) Unwrap() error { return e.Err }

func (fs *FS) before(kind OpKind, path string) error { return fs.beforeOp(Op{Kind: kind, Path: path}) }

func (fs *FS) beforeOp(op Op) error {
	if fs == nil || fs.Before == nil {
		return nil
	}
	for {
		if err := fs.Before(op); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// beforeRead is for reads that go on by themselves where one ends early.
func (fs *FS) beforeRead(path string, off int64, n int) error {
	err := fs.beforeOp(Op{Kind: OpRead, Path: path, Off: off, Len: n})
	if part := (*PartError)(nil); errors.As(err, &part) && part.Err == nil {
		return nil
	}
	return err
}

// The engine identifies things by numbers; these are ours. Entries of vfsByID stay until unregister.
var (
	vfsCount   atomic.Uintptr
	vfsByID    sync.Map // uintptr (pAppData) -> *FS
	openFiles  sync.Map // uintptr (sqlite3_file) -> *shimFile
	shimsByOld sync.Map // uintptr (sqlite3_io_methods of the system) -> uintptr (ours)
)

type shimFile struct {
	fs   *FS
	path string
	old  *lib.Tsqlite3_io_methods
}

// vfs returns the name of the VFS to open a database with, as a C string: 0 for the engine's default.
func (fs *FS) vfs(tls *libc.TLS) (uintptr, error) {
	if fs == nil || fs.Before == nil {
		return 0, nil
	}
	var err error
	fs.once.Do(func() { err = fs.register(tls) })
	if err != nil {
		return 0, err
	}
	return (*lib.Tsqlite3_vfs)(ptr(fs.id)).FzName, nil
}

// register adds a copy of the system's VFS whose files call Before.
func (fs *FS) register(tls *libc.TLS) error {
	if rc := lib.Xsqlite3_initialize(tls); rc != lib.SQLITE_OK {
		return fmt.Errorf("initialize the engine: %s", libc.GoString(lib.Xsqlite3_errstr(tls, rc)))
	}
	old := lib.Xsqlite3_vfs_find(tls, 0)
	p := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_vfs{})))
	v := (*lib.Tsqlite3_vfs)(ptr(p))
	*v = *(*lib.Tsqlite3_vfs)(ptr(old))
	name, err := libc.CString(fmt.Sprintf("swingport-%d", vfsCount.Add(1)))
	if err != nil {
		return err
	}
	v.FpNext, v.FzName, v.FpAppData = 0, name, old
	v.FxOpen = fn(func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
		return shimOpen(tls, vfs, name, file, flags, out)
	})
	v.FxDelete = fn(func(tls *libc.TLS, vfs, name uintptr, sync int32) int32 {
		f := vfsFS(vfs)
		if err := f.before(OpRemove, libc.GoString(name)); err != nil {
			return ioError(tls, lib.SQLITE_IOERR_DELETE, err)
		}
		old, oldID := vfsOld(vfs), (*lib.Tsqlite3_vfs)(ptr(vfs)).FpAppData
		return call[func(*libc.TLS, uintptr, uintptr, int32) int32](old.FxDelete)(tls, oldID, name, sync)
	})
	fs.id = p
	vfsByID.Store(p, fs)
	if rc := lib.Xsqlite3_vfs_register(tls, p, 0); rc != lib.SQLITE_OK {
		return fmt.Errorf("register a VFS: %s", libc.GoString(lib.Xsqlite3_errstr(tls, rc)))
	}
	return nil
}

func vfsFS(vfs uintptr) *FS {
	f, _ := vfsByID.Load(vfs)
	return f.(*FS)
}

func vfsOld(vfs uintptr) *lib.Tsqlite3_vfs {
	return (*lib.Tsqlite3_vfs)(ptr((*lib.Tsqlite3_vfs)(ptr(vfs)).FpAppData))
}

func shimOpen(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	fs, path := vfsFS(vfs), "temporary file"
	if name != 0 {
		path = libc.GoString(name)
	}
	if err := fs.before(OpOpen, path); err != nil {
		return ioError(tls, lib.SQLITE_CANTOPEN, err)
	}
	old := vfsOld(vfs)
	oldID := (*lib.Tsqlite3_vfs)(ptr(vfs)).FpAppData
	rc := call[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](old.FxOpen)(tls, oldID, name, file, flags, out)
	f := (*lib.Tsqlite3_file)(ptr(file))
	if rc != lib.SQLITE_OK || f.FpMethods == 0 {
		return rc
	}
	openFiles.Store(file, &shimFile{fs, path, (*lib.Tsqlite3_io_methods)(ptr(f.FpMethods))})
	f.FpMethods = shimMethods(tls, f.FpMethods)
	return rc
}

// shimMethods returns the system's methods with ours in front of those that touch the file.
func shimMethods(tls *libc.TLS, old uintptr) uintptr {
	if m, ok := shimsByOld.Load(old); ok {
		return m.(uintptr)
	}
	p := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_io_methods{})))
	m := (*lib.Tsqlite3_io_methods)(ptr(p))
	*m = *(*lib.Tsqlite3_io_methods)(ptr(old))
	m.FxClose = fn(func(tls *libc.TLS, file uintptr) int32 {
		f := shimOf(file)
		openFiles.Delete(file)
		return call[func(*libc.TLS, uintptr) int32](f.old.FxClose)(tls, file)
	})
	m.FxRead = fn(func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32 {
		f := shimOf(file)
		read := call[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](f.old.FxRead)
		if err := f.fs.beforeRead(f.path, off, int(n)); err != nil {
			return ioError(tls, lib.SQLITE_IOERR_READ, err)
		}
		return read(tls, file, buf, n, off)
	})
	m.FxWrite = fn(func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32 {
		f := shimOf(file)
		write := call[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](f.old.FxWrite)
		if err := f.fs.beforeOp(Op{OpWrite, f.path, off, int(n), unsafe.Slice((*byte)(ptr(buf)), n)}); err != nil {
			if part := (*PartError)(nil); errors.As(err, &part) {
				write(tls, file, buf, int32(min(part.N, int(n))), off)
			}
			return ioError(tls, lib.SQLITE_IOERR_WRITE, err)
		}
		return write(tls, file, buf, n, off)
	})
	m.FxTruncate = fn(func(tls *libc.TLS, file uintptr, size int64) int32 {
		f := shimOf(file)
		if err := f.fs.before(OpTruncate, f.path); err != nil {
			return ioError(tls, lib.SQLITE_IOERR_TRUNCATE, err)
		}
		return call[func(*libc.TLS, uintptr, int64) int32](f.old.FxTruncate)(tls, file, size)
	})
	m.FxSync = fn(func(tls *libc.TLS, file uintptr, flags int32) int32 {
		f := shimOf(file)
		if err := f.fs.Before(Op{Kind: OpSync, Path: f.path}); err != nil {
			return ioError(tls, lib.SQLITE_IOERR_FSYNC, err)
		}
		return call[func(*libc.TLS, uintptr, int32) int32](f.old.FxSync)(tls, file, flags)
	})
	shimsByOld.Store(old, p)
	return p
}

func shimOf(file uintptr) *shimFile {
	f, _ := openFiles.Load(file)
	return f.(*shimFile)
}

// ioError is the engine's code for an injected error, whose system error the engine finds where the system leaves it.
func ioError(tls *libc.TLS, code int32, err error) int32 {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		*(*int32)(ptr(libc.X__errno_location(tls))) = int32(errno)
	}
	if errno == syscall.ENOSPC && code == lib.SQLITE_IOERR_WRITE {
		return lib.SQLITE_FULL
	}
	return code
}

// fn is the address of a Go function for a C function pointer, as the transpiled engine keeps them. f must capture nothing: the garbage
// collector does not see a closure that only the engine points to.
func fn[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&struct{ f F }{f})) }

// call is the Go function behind a C function pointer.
func call[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&struct{ p uintptr }{p})) }
