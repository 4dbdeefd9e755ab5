package stages

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// DB is one connection to a SQLite database: a thin binding over the engine's C API that hands out column bytes without copying
// them and reaches the file handles below, which database/sql cannot. One connection is one snapshot while a transaction is open.
//
// Query, Exec, Blob and Pages take the lock by themselves and may be called by any goroutine. A Stmt from Prepare does not: whoever
// prepares statements directly is the connection's only user.
type DB struct {
	mu   sync.Mutex
	tls  *libc.TLS
	db   uintptr
	path string

	before func(sql string) error // FS.BeforeStep

	utf16 bool // texts in the file are; where it matters is Stmt.Bytes
}

// OpenMode says what a connection may do to the database file.
type OpenMode int

const (
	ReadOnly  OpenMode = iota // never writes the database; may create -wal and -shm beside a store in WAL mode
	Immutable                 // no locks, no -wal: only where nothing can change the file
	ReadWrite                 // an existing database
	Create                    // a new database; the file must not exist
)

// EngineError is an error of the SQLite engine.
type EngineError struct {
	Op   string // what was asked: "open", "step", ...
	Path string
	Of   string // what was read or written: a table, or "page 7"; "" where that is not known
	Code int    // extended result code, https://sqlite.org/rescode.html
	Msg  string
	Err  error // the system's error below it, or nil
}

func (e *EngineError) Error() string {
	text := e.Path + ": "
	if e.Of != "" {
		text += e.Of + ": "
	}
	text += e.Msg
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	return text
}

// Unwrap returns the system's error.
func (e *EngineError) Unwrap() error { return e.Err }

// about names what an error is about, where that is the engine's of a file that cannot be read or written.
func about(what string, err error) error {
	var e *EngineError
	if !errors.As(err, &e) || e.Of != "" {
		return err
	}
	switch e.Code & 0xff {
	case lib.SQLITE_CORRUPT, lib.SQLITE_IOERR, lib.SQLITE_FULL:
		e.Of = what
	}
	return err
}

var tableOf = regexp.MustCompile(`(?i)(?:from|into|update|table) (\w+)`)

// about names the first table of the statement in an error.
func (s *Stmt) about(err error) error {
	if m := tableOf.FindStringSubmatch(s.sql); m != nil {
		return about(strings.Replace(m[1], "sqlite_schema", "the schema", 1), err)
	}
	return err
}

// Busy reports whether err says that another connection holds the lock that was asked for.
func Busy(err error) bool { return hasCode(err, lib.SQLITE_BUSY, lib.SQLITE_LOCKED) }

// Damaged reports whether err says that the file is no database or a broken one.
func Damaged(err error) bool { return hasCode(err, lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB) }

func hasCode(err error, codes ...int) bool {
	var e *EngineError
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range codes {
		if e.Code&0xff == c {
			return true
		}
	}
	return false
}

// EngineVersion is the version of the SQLite library that is linked in.
func EngineVersion() string {
	tls := libc.NewTLS()
	defer tls.Close()
	return libc.GoString(lib.Xsqlite3_libversion(tls))
}

// OpenDB opens the database at path. fsys may be nil: the engine then uses the system's files directly.
func OpenDB(path string, mode OpenMode, fsys *FS) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: abs}
	flags := int32(lib.SQLITE_OPEN_URI | lib.SQLITE_OPEN_NOMUTEX | lib.SQLITE_OPEN_EXRESCODE)
	switch mode {
	case ReadOnly:
		flags |= lib.SQLITE_OPEN_READONLY
		u.RawQuery = "mode=ro"
	case Immutable:
		flags |= lib.SQLITE_OPEN_READONLY
		u.RawQuery = "mode=ro&immutable=1"
	case ReadWrite:
		flags |= lib.SQLITE_OPEN_READWRITE
	case Create:
		flags |= lib.SQLITE_OPEN_READWRITE | lib.SQLITE_OPEN_CREATE
	}
	d := &DB{tls: libc.NewTLS(), path: path}
	if fsys != nil {
		d.before = fsys.BeforeStep
	}
	vfs, err := fsys.vfs(d.tls)
	if err != nil {
		d.tls.Close()
		return nil, err
	}
	name, pdb := d.cstring(u.String()), d.malloc(8)
	rc := lib.Xsqlite3_open_v2(d.tls, name, pdb, flags, vfs)
	d.db = *(*uintptr)(ptr(pdb))
	libc.Xfree(d.tls, name)
	libc.Xfree(d.tls, pdb)
	if rc != lib.SQLITE_OK {
		err := d.fail("open", rc)
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close ends the connection; an open transaction is rolled back. A second call does nothing.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tls == nil {
		return nil
	}
	rc := lib.Xsqlite3_close(d.tls, d.db)
	var err error
	if rc != lib.SQLITE_OK {
		err = d.fail("close", rc)
		lib.Xsqlite3_close_v2(d.tls, d.db)
	}
	d.tls.Close()
	d.tls, d.db = nil, 0
	return err
}

// BusyTimeout makes the engine wait up to ms milliseconds for a lock.
func (d *DB) BusyTimeout(ms int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lib.Xsqlite3_busy_timeout(d.tls, d.db, int32(ms))
}

// limitValues makes the engine refuse to load values of more than max bytes until the returned function is called. Blob handles are not
// concerned.
func (d *DB) limitValues(max int) (release func()) {
	set := func(n int32) int32 {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.tls == nil {
			return n
		}
		return lib.Xsqlite3_limit(d.tls, d.db, lib.SQLITE_LIMIT_LENGTH, n)
	}
	old := set(int32(max))
	return func() { set(old) }
}

// Exec runs one statement that returns no rows; args are int64, string, []byte (as TEXT) or nil.
func (d *DB) Exec(sql string, args ...any) error { return d.Query(sql, nil, args...) }

// Query runs one statement and calls row, if it is not nil, for each row. What row borrows from the statement ends with the call.
func (d *DB) Query(sql string, row func(*Stmt) error, args ...any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	st, err := d.Prepare(sql)
	if err != nil {
		return err
	}
	defer st.Finalize()
	if err := st.Bind(args...); err != nil {
		return err
	}
	for {
		ok, err := st.Step()
		if err != nil || !ok {
			return err
		}
		if row != nil {
			if err := row(st); err != nil {
				return err
			}
		}
	}
}

// Stream is Query for rows that are passed on to other stages: the lock is not held while row runs, so that those may use the connection
// before they take the row. cols are the values of the row's first n columns.
func (d *DB) Stream(sql string, n int, row func(cols []format.Value) error, args ...any) error {
	cols := make([]format.Value, n)
	return d.Query(sql, func(st *Stmt) error {
		for i := range cols {
			cols[i] = st.Value(i)
		}
		d.mu.Unlock()
		defer d.mu.Lock()
		return row(cols)
	}, args...)
}

// Stmt is a prepared statement. See DB for who may use it.
type Stmt struct {
	d    *DB
	st   uintptr
	sql  string
	kept []*byte // what is bound, by parameter: the engine's pointer to it is none that the garbage collector sees
}

// Prepare compiles one SQL statement.
func (d *DB) Prepare(sql string) (*Stmt, error) {
	if d.tls == nil {
		return nil, fmt.Errorf("%s: the connection is closed", d.path)
	}
	z, pst := d.cstring(sql), d.malloc(8)
	defer libc.Xfree(d.tls, z)
	defer libc.Xfree(d.tls, pst)
	if rc := lib.Xsqlite3_prepare_v3(d.tls, d.db, z, -1, lib.SQLITE_PREPARE_PERSISTENT, pst, 0); rc != lib.SQLITE_OK {
		return nil, about("the schema", d.fail("prepare", rc))
	}
	return &Stmt{d: d, st: *(*uintptr)(ptr(pst)), sql: sql}, nil
}

// Bind sets the parameters from 1 on; see Exec for the types. The engine keeps no copy: args must not change before the next Reset.
func (s *Stmt) Bind(args ...any) error {
	for i, a := range args {
		var rc int32
		switch v := a.(type) {
		case nil:
			rc = lib.Xsqlite3_bind_null(s.d.tls, s.st, int32(i+1))
		case int64:
			rc = lib.Xsqlite3_bind_int64(s.d.tls, s.st, int32(i+1), v)
		case string:
			rc = s.bindText(i+1, unsafe.StringData(v), len(v))
		case []byte:
			rc = s.bindText(i+1, unsafe.SliceData(v), len(v))
		default:
			return fmt.Errorf("bind %T: not supported", a)
		}
		if rc != lib.SQLITE_OK {
			return s.d.fail("bind", rc)
		}
	}
	return nil
}

var emptyText = new([1]byte)

// bindText binds without a copy; a nil pointer would bind NULL, so empty text points somewhere.
func (s *Stmt) bindText(i int, p *byte, n int) int32 {
	return lib.Xsqlite3_bind_text(s.d.tls, s.st, int32(i), s.keep(i, p), int32(n), lib.SQLITE_STATIC)
}

// keep holds on to what p points to until parameter i is bound anew or the statement finalized, and returns its address. Bytes on a stack,
// which may move, become bytes on the heap by it.
func (s *Stmt) keep(i int, p *byte) uintptr {
	if p == nil {
		p = &emptyText[0]
	}
	for len(s.kept) <= i {
		s.kept = append(s.kept, nil)
	}
	s.kept[i] = p
	return uintptr(unsafe.Pointer(p))
}

// BindText binds TEXT without a copy: b must live and stay as it is until the statement is reset or bound anew.
func (s *Stmt) BindText(i int, b []byte) error {
	return s.bound(s.bindText(i, unsafe.SliceData(b), len(b)))
}

// BindBlob binds a BLOB without a copy, as BindText does.
func (s *Stmt) BindBlob(i int, b []byte) error {
	return s.bound(lib.Xsqlite3_bind_blob(s.d.tls, s.st, int32(i), s.keep(i, unsafe.SliceData(b)), int32(len(b)), lib.SQLITE_STATIC))
}

// BindInt binds an INTEGER.
func (s *Stmt) BindInt(i int, v int64) error {
	return s.bound(lib.Xsqlite3_bind_int64(s.d.tls, s.st, int32(i), v))
}

// BindNull binds NULL.
func (s *Stmt) BindNull(i int) error { return s.bound(lib.Xsqlite3_bind_null(s.d.tls, s.st, int32(i))) }

// BindZeroBlob binds a BLOB of n zero bytes, to be filled through OpenBlob.
func (s *Stmt) BindZeroBlob(i int, n int64) error {
	return s.bound(lib.Xsqlite3_bind_zeroblob64(s.d.tls, s.st, int32(i), uint64(n)))
}

func (s *Stmt) bound(rc int32) error {
	if rc != lib.SQLITE_OK {
		return s.d.fail("bind", rc)
	}
	return nil
}

// Step goes to the next row; it is false after the last.
func (s *Stmt) Step() (bool, error) {
	if s.d.before != nil {
		if err := s.d.before(s.sql); err != nil {
			return false, s.about(&EngineError{Op: "step", Path: s.d.path, Code: lib.SQLITE_IOERR, Msg: "disk I/O error", Err: err})
		}
	}
	switch rc := lib.Xsqlite3_step(s.d.tls, s.st); rc {
	case lib.SQLITE_ROW:
		return true, nil
	case lib.SQLITE_DONE:
		return false, nil
	default:
		return false, s.about(s.d.fail("step", rc))
	}
}

// Run steps a statement that returns no rows and resets it.
func (s *Stmt) Run() error {
	_, err := s.Step()
	s.Reset()
	return err
}

// Reset makes the statement ready to run again; its bindings stay.
func (s *Stmt) Reset() { lib.Xsqlite3_reset(s.d.tls, s.st) }

// Finalize releases the statement.
func (s *Stmt) Finalize() {
	if s.st != 0 {
		lib.Xsqlite3_finalize(s.d.tls, s.st)
		s.st, s.kept = 0, nil
	}
}

// Int is column i as an INTEGER.
func (s *Stmt) Int(i int) int64 { return lib.Xsqlite3_column_int64(s.d.tls, s.st, int32(i)) }

// Real is column i as a REAL.
func (s *Stmt) Real(i int) float64 { return lib.Xsqlite3_column_double(s.d.tls, s.st, int32(i)) }

// Type is the storage class of column i: lib.SQLITE_INTEGER and so on.
func (s *Stmt) Type(i int) int { return int(lib.Xsqlite3_column_type(s.d.tls, s.st, int32(i))) }

// Null reports whether column i is NULL.
func (s *Stmt) Null(i int) bool { return s.Type(i) == lib.SQLITE_NULL }

// Bytes is the TEXT or BLOB of column i, borrowed until the next Step or Reset.
func (s *Stmt) Bytes(i int) []byte {
	var p uintptr
	if s.d.utf16 && s.Type(i) == lib.SQLITE_TEXT {
		p = lib.Xsqlite3_column_text(s.d.tls, s.st, int32(i))
	} else {
		p = lib.Xsqlite3_column_blob(s.d.tls, s.st, int32(i)) // as it is, without the copy that a zero byte at the end may need
	}
	n := lib.Xsqlite3_column_bytes(s.d.tls, s.st, int32(i))
	if p == 0 || n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(ptr(p)), n)
}

// Text is a copy of the TEXT of column i.
func (s *Stmt) Text(i int) string { return string(s.Bytes(i)) }

// fail makes an error of a result code; the caller holds the lock.
func (d *DB) fail(op string, rc int32) error {
	e := &EngineError{Op: op, Path: d.path, Code: int(rc)}
	if d.db != 0 {
		e.Msg = libc.GoString(lib.Xsqlite3_errmsg(d.tls, d.db))
		if code := lib.Xsqlite3_extended_errcode(d.tls, d.db); code != lib.SQLITE_OK && code&0xff == rc&0xff {
			e.Code = int(code)
		}
		if n := lib.Xsqlite3_system_errno(d.tls, d.db); e.Code == lib.SQLITE_IOERR_SHORT_READ {
			e.Err = fmt.Errorf("%w: the file ends before a page that it should have", ErrDamaged)
		} else if n != 0 && systemCause(rc) {
			e.Err = syscall.Errno(n)
		}
	} else {
		e.Msg = libc.GoString(lib.Xsqlite3_errstr(d.tls, rc))
	}
	if rc&0xff == lib.SQLITE_FULL {
		e.Err = syscall.ENOSPC
	}
	return e
}

// systemCause reports whether the last errno explains the result code.
func systemCause(rc int32) bool {
	switch rc & 0xff {
	case lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY:
		return true
	}
	return false
}

func (d *DB) malloc(n int) uintptr {
	p := libc.Xcalloc(d.tls, 1, libc.Tsize_t(n))
	if p == 0 {
		panic("out of memory")
	}
	return p
}

func (d *DB) cstring(s string) uintptr {
	p := d.malloc(len(s) + 1)
	copy(unsafe.Slice((*byte)(ptr(p)), len(s)), s)
	return p
}

// address is where b's bytes are, for the time of one call into the engine: b must be used after it, as by runtime.KeepAlive. That they might
// be stored in onHeap keeps them off the stack, which moves when it grows.
func address(b []byte) uintptr {
	p := unsafe.SliceData(b)
	if onHeap != nil {
		onHeap = p
	}
	return uintptr(unsafe.Pointer(p))
}

var onHeap *byte // always nil

// ptr is the address p as a pointer: memory of the engine, which the garbage collector neither moves nor frees.
func ptr(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }
