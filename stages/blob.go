package stages

import (
	"fmt"
	"runtime"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Blob is an open handle on one BLOB or TEXT value, read and written in pieces.
type Blob struct {
	d     *DB
	b     uintptr
	table string
}

// OpenBlob opens the value of column in the row of table with that rowid, in the database main.
func (d *DB) OpenBlob(table, column string, rowid int64, write bool) (*Blob, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tls == nil {
		return nil, fmt.Errorf("%s: the connection is closed", d.path)
	}
	zm, zt, zc, pp := d.cstring("main"), d.cstring(table), d.cstring(column), d.malloc(8)
	var w int32
	if write {
		w = 1
	}
	rc := lib.Xsqlite3_blob_open(d.tls, d.db, zm, zt, zc, rowid, w, pp)
	b := *(*uintptr)(ptr(pp))
	for _, p := range []uintptr{zm, zt, zc, pp} {
		libc.Xfree(d.tls, p)
	}
	if rc != lib.SQLITE_OK {
		return nil, about(table, d.fail("open blob", rc))
	}
	return &Blob{d, b, table}, nil
}

// Size is the length of the value in bytes.
func (b *Blob) Size() int64 {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	return int64(lib.Xsqlite3_blob_bytes(b.d.tls, b.b))
}

// ReadAt fills p from offset off; both must lie within the value.
func (b *Blob) ReadAt(p []byte, off int64) error {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	rc := lib.Xsqlite3_blob_read(b.d.tls, b.b, address(p), int32(len(p)), int32(off))
	runtime.KeepAlive(p)
	if rc != lib.SQLITE_OK {
		return about(b.table, b.d.fail("read blob", rc))
	}
	return nil
}

// WriteAt writes p at offset off, within the value.
func (b *Blob) WriteAt(p []byte, off int64) error {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	rc := lib.Xsqlite3_blob_write(b.d.tls, b.b, address(p), int32(len(p)), int32(off))
	runtime.KeepAlive(p)
	if rc != lib.SQLITE_OK {
		return about(b.table, b.d.fail("write blob", rc))
	}
	return nil
}

// Close releases the handle.
func (b *Blob) Close() error {
	b.d.mu.Lock()
	defer b.d.mu.Unlock()
	if b.b == 0 || b.d.tls == nil {
		return nil
	}
	rc := lib.Xsqlite3_blob_close(b.d.tls, b.b)
	b.b = 0
	if rc != lib.SQLITE_OK {
		return b.d.fail("close blob", rc)
	}
	return nil
}
