package stages

import (
	"math/bits"
	"sync"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// The engine reads and writes page by page, and each system call costs as much as copying some pages. useBlocks puts a layer between the
// engine and its file that moves blocks: it collects what an import writes, or reads ahead where pages are read in sequence.

const (
	pageUnit   = 4096 // bytes; the page size of a new store
	blockUnits = 64   // pages in a block, one bit each
	blockBytes = blockUnits * pageUnit
	blockCount = 16 // blocks of a file in memory: pages come nearly in order
	mostUnits  = 16 // pages in one write: the engine's xWrite (os_unix.c, seekAndWriteFd) takes less than 128 KiB
)

// block is a stretch of a file.
type block struct {
	at   int64  // its first byte, a multiple of blockBytes
	have uint64 // the pages that data holds, one bit each
	data []byte
}

// blocks are the blocks of one file that were used last. The engine calls with one operation at a time.
type blocks struct {
	file uintptr
	old  *lib.Tsqlite3_io_methods
	list []*block // the one used last at the end
	use  blockUse
	next int64 // the offset behind the page that was read last
}

// blockUse is what the layer is for.
type blockUse int

const (
	blocksWrite  blockUse = iota // what the blocks hold is not in the file yet
	blocksFollow                 // only read: a page brings its whole block, if the page before it was the last one read
)

var (
	blocksOf     sync.Map // uintptr (sqlite3_file) -> *blocks
	blocksMethod sync.Map // methodsKey -> uintptr (ours)
)

type methodsKey struct {
	below uintptr // sqlite3_io_methods
	write bool
}

// useBlocks puts the layer over the connection's database file: to write, for a file that nobody else has open and of which most is written,
// in pages of 4 KiB; to read, for one that does not change as long as it is open, or whose pages a read transaction holds until then.
func (d *DB) useBlocks(use blockUse) error {
	f, err := d.openFile(lib.SQLITE_FCNTL_FILE_POINTER)
	if err != nil {
		return err
	}
	defer f.close()
	file := (*lib.Tsqlite3_file)(ptr(f.file))
	blocksOf.Store(f.file, &blocks{file: f.file, old: (*lib.Tsqlite3_io_methods)(ptr(file.FpMethods)), use: use})
	file.FpMethods = blockMethods(f.tls, file.FpMethods, use == blocksWrite)
	return nil
}

// readInBlocks is for a connection whose read transaction lasts until it is closed: what lies in sequence, as large values do, is read in blocks,
// and nothing else is read ahead. Where little memory is left for the page cache, what the system reads ahead for single pages is gone before
// it is used.
func (d *DB) readInBlocks() error {
	f, err := d.openFile(lib.SQLITE_FCNTL_FILE_POINTER)
	if err != nil {
		return err
	}
	defer f.close()
	f.adviseRandom()
	return d.useBlocks(blocksFollow)
}

// flushBlocks writes what the layer still holds. The engine does not pass on what fails when it closes a file, so this comes before.
func (d *DB) flushBlocks() error {
	f, err := d.openFile(lib.SQLITE_FCNTL_FILE_POINTER)
	if err != nil {
		return err
	}
	defer f.close()
	rc := blocksFor(f.file).flush(f.tls)
	if rc == lib.SQLITE_OK {
		return nil
	}
	e := &EngineError{Op: "write", Path: d.path, Code: int(rc), Msg: libc.GoString(lib.Xsqlite3_errstr(f.tls, rc)), Err: systemError(f.tls, rc)}
	if rc&0xff == lib.SQLITE_FULL {
		e.Err = syscall.ENOSPC
	}
	return e
}

// blockMethods returns the methods below with ours in front of those that depend on the content. Locks are not among them.
func blockMethods(tls *libc.TLS, old uintptr, write bool) uintptr {
	if m, ok := blocksMethod.Load(methodsKey{old, write}); ok {
		return m.(uintptr)
	}
	p := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(lib.Tsqlite3_io_methods{})))
	m := (*lib.Tsqlite3_io_methods)(ptr(p))
	*m = *(*lib.Tsqlite3_io_methods)(ptr(old))
	m.FxRead = fn(func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32 {
		return blocksFor(file).read(tls, buf, n, off)
	})
	m.FxClose = fn(func(tls *libc.TLS, file uintptr) int32 {
		b := blocksFor(file)
		blocksOf.Delete(file)
		rc := b.flush(tls)
		(*lib.Tsqlite3_file)(ptr(file)).FpMethods = uintptr(unsafe.Pointer(b.old))
		if rc2 := call[func(*libc.TLS, uintptr) int32](b.old.FxClose)(tls, file); rc == lib.SQLITE_OK {
			rc = rc2
		}
		return rc
	})
	if write {
		collectWrites(m)
	}
	blocksMethod.Store(methodsKey{old, write}, p)
	return p
}

func collectWrites(m *lib.Tsqlite3_io_methods) {
	m.FiVersion = 1 // neither shared memory nor mmap
	m.FxWrite = fn(func(tls *libc.TLS, file, buf uintptr, n int32, off int64) int32 {
		return blocksFor(file).put(tls, buf, n, off)
	})
	m.FxTruncate = fn(func(tls *libc.TLS, file uintptr, size int64) int32 {
		b := blocksFor(file)
		if rc := b.flush(tls); rc != lib.SQLITE_OK {
			return rc
		}
		return call[func(*libc.TLS, uintptr, int64) int32](b.old.FxTruncate)(tls, file, size)
	})
	m.FxSync = fn(func(tls *libc.TLS, file uintptr, flags int32) int32 {
		b := blocksFor(file)
		if rc := b.flush(tls); rc != lib.SQLITE_OK {
			return rc
		}
		return call[func(*libc.TLS, uintptr, int32) int32](b.old.FxSync)(tls, file, flags)
	})
	m.FxFileSize = fn(func(tls *libc.TLS, file, size uintptr) int32 {
		b := blocksFor(file)
		if rc := b.flush(tls); rc != lib.SQLITE_OK {
			return rc
		}
		return call[func(*libc.TLS, uintptr, uintptr) int32](b.old.FxFileSize)(tls, file, size)
	})
}

func blocksFor(file uintptr) *blocks {
	b, _ := blocksOf.Load(file)
	return b.(*blocks)
}

// find returns the block of an offset if it is in memory, and makes it the one used last.
func (b *blocks) find(off int64) *block {
	at := off - off%blockBytes
	for i := len(b.list) - 1; i >= 0; i-- {
		if k := b.list[i]; k.at == at {
			copy(b.list[i:], b.list[i+1:])
			b.list[len(b.list)-1] = k
			return k
		}
	}
	return nil
}

// add returns an empty block for an offset, in place of the one that was not used for longest.
func (b *blocks) add(tls *libc.TLS, off int64) (*block, int32) {
	var k *block
	if len(b.list) < blockCount {
		k = &block{data: make([]byte, blockBytes)}
	} else {
		k = b.list[0]
		if rc := b.writeBack(tls, k); rc != lib.SQLITE_OK {
			return nil, rc
		}
		b.list = b.list[:copy(b.list, b.list[1:])]
	}
	k.at, k.have = off-off%blockBytes, 0
	b.list = append(b.list, k)
	return k, lib.SQLITE_OK
}

// whole reports whether a request is for one page.
func whole(n int32, off int64) bool { return n == pageUnit && off%pageUnit == 0 }

func unit(off int64) int { return int(off % blockBytes / pageUnit) }

// put is xWrite.
func (b *blocks) put(tls *libc.TLS, buf uintptr, n int32, off int64) int32 {
	if !whole(n, off) {
		if rc := b.flush(tls); rc != lib.SQLITE_OK {
			return rc
		}
		b.list = b.list[:0]
		return call[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](b.old.FxWrite)(tls, b.file, buf, n, off)
	}
	k := b.find(off)
	if k == nil {
		var rc int32
		if k, rc = b.add(tls, off); rc != lib.SQLITE_OK {
			return rc
		}
	}
	u := unit(off)
	copy(k.data[u*pageUnit:], unsafe.Slice((*byte)(ptr(buf)), pageUnit))
	k.have |= 1 << u
	return lib.SQLITE_OK
}

// read is xRead.
func (b *blocks) read(tls *libc.TLS, buf uintptr, n int32, off int64) int32 {
	first, last := off-off%pageUnit, off+int64(n)-1
	if last-last%pageUnit != first {
		if rc := b.flush(tls); rc != lib.SQLITE_OK {
			return rc
		}
		return b.readBelow(tls, buf, n, off)
	}
	k := b.find(off)
	if k == nil && b.use == blocksFollow && off == b.next {
		var rc int32
		if k, rc = b.ahead(tls, off); rc != lib.SQLITE_OK {
			return rc
		}
	}
	b.next = off + int64(n)
	if k == nil || k.have>>unit(off)&1 == 0 {
		rc := b.readBelow(tls, buf, n, off)
		if rc == lib.SQLITE_IOERR_SHORT_READ && b.use == blocksFollow {
			return lib.SQLITE_CORRUPT // the engine would take a page that was cut off for zeros, and that for a part of a value
		}
		return rc
	}
	copy(unsafe.Slice((*byte)(ptr(buf)), n), k.data[off%blockBytes:])
	return lib.SQLITE_OK
}

func (b *blocks) readBelow(tls *libc.TLS, buf uintptr, n int32, off int64) int32 {
	return call[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](b.old.FxRead)(tls, b.file, buf, n, off)
}

// ahead reads the block of an offset. It holds nothing where the file ends in it.
func (b *blocks) ahead(tls *libc.TLS, off int64) (*block, int32) {
	k, rc := b.add(tls, off)
	if rc != lib.SQLITE_OK {
		return nil, rc
	}
	switch rc = b.readBelow(tls, uintptr(unsafe.Pointer(unsafe.SliceData(k.data))), blockBytes, k.at); rc {
	case lib.SQLITE_OK:
		k.have = 1<<blockUnits - 1
	case lib.SQLITE_IOERR_SHORT_READ:
		rc = lib.SQLITE_OK
	}
	return k, rc
}

// writeBack writes what a block holds, neighbouring pages at once.
func (b *blocks) writeBack(tls *libc.TLS, k *block) int32 {
	for b.use == blocksWrite && k.have != 0 {
		from := bits.TrailingZeros64(k.have)
		n := min(bits.TrailingZeros64(^(k.have >> from)), mostUnits)
		p := unsafe.Pointer(&k.data[from*pageUnit])
		rc := call[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](b.old.FxWrite)(tls, b.file, uintptr(p), int32(n*pageUnit), k.at+int64(from*pageUnit))
		if rc != lib.SQLITE_OK {
			return rc
		}
		k.have &^= (1<<n - 1) << from
	}
	return lib.SQLITE_OK
}

// flush writes everything; the blocks are empty then.
func (b *blocks) flush(tls *libc.TLS) int32 {
	if b.use != blocksWrite {
		return lib.SQLITE_OK
	}
	for _, k := range b.list {
		if rc := b.writeBack(tls, k); rc != lib.SQLITE_OK {
			return rc
		}
	}
	return lib.SQLITE_OK
}
