package stages

import (
	"errors"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// A check that reads every page spends most of its time on copies, of which it looks at a few bytes where a large value goes on. useViews
// gives the engine the pages where the system keeps them, in views of the file that are mapped into memory: a few at a time, since what is mapped
// counts as memory of the process.

const (
	viewBytes = 4 << 20
	viewCount = 8
)

// view is a stretch of the file in memory.
type view struct {
	at   int64 // its first byte, a multiple of viewBytes
	data []byte
	used int // pages that the engine has
}

// views are those of one file that were used last. The engine calls with one operation at a time.
type views struct {
	file *File
	size int64
	list []*view // the one used last at the end
}

var (
	viewsOf     sync.Map // uintptr (sqlite3_file) -> *views
	viewsMethod sync.Map // uintptr (sqlite3_io_methods below) -> uintptr (ours)
)

// useViews puts views below the connection, whose file does not change, until the returned function is called after the connection was closed.
// Pages that cannot be mapped are read. After an error there may be something to release all the same.
func (d *DB) useViews(fsys *FS) (release func() error, err error) {
	w := &views{}
	if w.file, err = fsys.Open(d.path); err != nil {
		return nil, err
	}
	if w.size, err = w.file.Seek(0, 2); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	f, err := d.openFile(lib.SQLITE_FCNTL_FILE_POINTER)
	if err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	defer f.close()
	file := (*lib.Tsqlite3_file)(ptr(f.file))
	viewsOf.Store(f.file, w)
	file.FpMethods = viewMethods(f.tls, file.FpMethods)
	release = func() error {
		viewsOf.CompareAndDelete(f.file, w) // the address may be that of another file by now
		return w.close()
	}
	return release, d.Exec("PRAGMA mmap_size = 1") // any size but 0 makes the engine ask
}

// viewMethods returns the methods below with ours in front of those that map.
func viewMethods(tls *libc.TLS, old uintptr) uintptr {
	if m, ok := viewsMethod.Load(old); ok {
		return m.(uintptr)
	}
	p := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_io_methods{})))
	m := (*lib.Tsqlite3_io_methods)(ptr(p))
	*m = *(*lib.Tsqlite3_io_methods)(ptr(old))
	m.FxFetch = fn(func(tls *libc.TLS, file uintptr, off int64, n int32, page uintptr) int32 {
		p, err := viewsFor(file).fetch(off, int(n))
		*(*uintptr)(ptr(page)) = p
		if err != nil {
			return ioError(tls, lib.SQLITE_IOERR_MMAP, err)
		}
		return lib.SQLITE_OK
	})
	m.FxUnfetch = fn(func(_ *libc.TLS, file uintptr, off int64, page uintptr) int32 {
		if page != 0 {
			viewsFor(file).find(off).used--
		}
		return lib.SQLITE_OK
	})
	viewsMethod.Store(old, p)
	return p
}

func viewsFor(file uintptr) *views {
	w, _ := viewsOf.Load(file)
	return w.(*views)
}

// find returns the view of an offset if there is one, and makes it the one used last.
func (w *views) find(off int64) *view {
	for i := len(w.list) - 1; i >= 0; i-- {
		if k := w.list[i]; off >= k.at && off < k.at+int64(len(k.data)) {
			copy(w.list[i:], w.list[i+1:])
			w.list[len(w.list)-1] = k
			return k
		}
	}
	return nil
}

// fetch returns the address of n bytes at an offset, 0 where they have to be read.
func (w *views) fetch(off int64, n int) (uintptr, error) {
	k := w.find(off)
	if k == nil {
		var err error
		if k, err = w.open(off - off%viewBytes); k == nil {
			return 0, err
		}
	}
	in := int(off - k.at)
	if in+n > len(k.data) {
		return 0, nil
	}
	k.used++
	return uintptr(unsafe.Pointer(&k.data[in])), nil
}

// open maps the view at an offset, in place of the one that was not used for longest.
func (w *views) open(at int64) (*view, error) {
	if at >= w.size || !w.room() {
		return nil, nil
	}
	n := int(min(viewBytes, w.size-at))
	if err := w.file.fs.beforeRead(w.file.Name(), at, n); err != nil {
		return nil, err
	}
	data, err := mapFile(w.file.File, at, n)
	if err != nil {
		return nil, nil // the engine reads, and says what is wrong
	}
	k := &view{at: at, data: data}
	w.list = append(w.list, k)
	return k, nil
}

// room makes room for one more view. It is false where the engine has a page of each.
func (w *views) room() bool {
	if len(w.list) < viewCount {
		return true
	}
	for i, k := range w.list {
		if k.used == 0 {
			w.list = append(w.list[:i], w.list[i+1:]...)
			return unix.Munmap(k.data) == nil
		}
	}
	return false
}

func (w *views) close() (err error) {
	for _, k := range w.list {
		err = errors.Join(err, unix.Munmap(k.data))
	}
	w.list = nil
	return errors.Join(err, w.file.Close())
}
