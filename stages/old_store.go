package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// oldStore is the store that is to be replaced.
type oldStore struct {
	path    string
	info    fs.FileInfo // nil: there is none
	db      *DB         // nil: there is none, or it is damaged
	damaged error       // why it cannot be opened
	fsys    *FS
}

func (o *oldStore) close() error {
	if o.db == nil {
		return nil
	}
	err := o.db.Close()
	o.db = nil
	return err
}

// lockOld finds the old store and locks it, or where it is damaged makes sure that nobody has it open.
func (s *State) lockOld() (*oldStore, error) {
	o, err := s.findOld()
	if err == nil && o.damaged != nil {
		err = o.held()
	}
	if err != nil {
		return nil, err
	}
	return o, nil
}

func (s *State) findOld() (*oldStore, error) {
	o := &oldStore{path: filepath.Join(s.dir, StoreFile), fsys: s.fsys}
	info, err := os.Lstat(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return o, o.strays()
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, notReplaced(o.path, info)
	}
	o.info = info
	if size := info.Size(); size > 0 && size < 512 {
		o.damaged = fmt.Errorf("%s: %d bytes are no database", o.path, size) // the engine would take it for an empty one
		return o, nil
	}
	err = o.lock()
	switch {
	case err == nil:
	case unusable(err):
		o.damaged = err
	default:
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// strays takes a log without a database for a damaged store: it must not stay beside the new one.
func (o *oldStore) strays() error {
	for _, end := range sideFiles {
		if info, err := os.Lstat(o.path + end); err == nil {
			o.damaged = fmt.Errorf("%s without its database", info.Name())
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// unusable reports whether err, of a file that we may write, says that it is no database, a broken one, or one of a format that the engine
// does not write or know; swing-stores never had one, so that its header is damaged.
func unusable(err error) bool {
	var e *EngineError
	return Damaged(err) || errors.As(err, &e) && (e.Code == lib.SQLITE_READONLY || e.Code == lib.SQLITE_ERROR)
}

// Where the engine locks: the bytes that no page uses (os.h, PENDING_BYTE) of the database, and those behind the lock array of the -shm
// (wal.c, WAL_LOCK; os_unix.c, UNIX_SHM_DMS), of which every connection in WAL mode holds one.
var lockPlaces = []struct {
	end        string
	start, len int64
}{{"", 0x40000000, 512}, {"-shm", 120, 9}}

// held returns an InUseError where another process holds one of the engine's locks. The engine itself does not come that far with a damaged
// database. We must have no connection to it: closing a descriptor gives up the locks of the process.
func (o *oldStore) held() error {
	pid, err := o.holder()
	if err == nil && pid != 0 {
		err = &InUseError{Path: o.path, Err: fmt.Errorf("%w, and it is damaged (%v)", heldBy(pid), o.damaged)}
	}
	return err
}

func heldBy(pid int32) error { return fmt.Errorf("process %d has it open", pid) }

func notReplaced(path string, info fs.FileInfo) error {
	return fmt.Errorf("%s is %s, not a regular file: it is not replaced", path, kindOf(info.Mode()))
}

// holder is a process that holds one of the engine's locks, 0 where there is none.
func (o *oldStore) holder() (pid int32, err error) {
	for _, place := range lockPlaces {
		f, err := o.fsys.OpenFile(o.path+place.end, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: place.start, Len: place.len}
		err = syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock)
		if err := errors.Join(err, f.Close()); err != nil {
			return 0, err
		}
		if lock.Type != syscall.F_UNLCK {
			return lock.Pid, nil
		}
	}
	return 0, nil
}

// lockTimeout is how long to wait for another process to let go of the store, in milliseconds.
const lockTimeout = 500

var errIdle = errors.New("it is open, though nobody reads or writes it just now")

// lock opens the store and locks out everybody else. In WAL mode every other connection, idle or not, holds a lock that this needs; an idle one
// in rollback mode holds none, and shows only where the system says whether a file is open. A store in WAL mode is neither checkpointed nor robbed of its log when it is closed again.
func (o *oldStore) lock() error {
	if err := unix.Access(o.path, unix.W_OK); err != nil { // else the engine opens it read-only, and fails in odd ways
		return &fs.PathError{Op: "open for writing", Path: o.path, Err: err}
	}
	db, err := OpenDB(o.path, ReadWrite, o.fsys)
	if err != nil {
		return err
	}
	db.BusyTimeout(lockTimeout)
	db.keepLog()
	for _, sql := range []string{"PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "SELECT 1 FROM sqlite_schema", "COMMIT"} {
		if err = db.Exec(sql); err != nil {
			break
		}
	}
	switch {
	case Busy(err):
		err = db.inUse(err)
	case err == nil && db.openElsewhere():
		err = &InUseError{Path: o.path, Err: errIdle}
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	o.db = db
	return nil
}

// keepLog leaves the write-ahead log as it is when the connection is closed.
func (d *DB) keepLog() {
	va := libc.NewVaList(int32(1), uintptr(0))
	defer libc.Xfree(d.tls, va)
	lib.Xsqlite3_db_config(d.tls, d.db, lib.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, va)
}

// settle writes what is in the log into the database, ends WAL mode, and leaves a transaction open that keeps others out.
func (o *oldStore) settle() error {
	busy := false
	err := o.db.Query("PRAGMA wal_checkpoint(TRUNCATE)", func(q *Stmt) error { busy = q.Int(0) != 0; return nil })
	if err == nil && !busy {
		err = o.journalMode("PRAGMA journal_mode = DELETE", &busy)
	}
	// The engine keeps the journal of an exclusive connection; back in normal mode it is gone with the next lock.
	for _, sql := range []string{"PRAGMA locking_mode = NORMAL", "SELECT 1 FROM sqlite_schema", "BEGIN EXCLUSIVE"} {
		if err == nil && !busy {
			err = o.db.Exec(sql)
		}
	}
	if err == nil && !busy {
		err = o.journalMode("PRAGMA journal_mode", &busy) // between two locks another process may have come
	}
	if busy || Busy(err) {
		return &InUseError{Path: o.path, Err: err}
	}
	if err == nil && o.db.openElsewhere() {
		err = &InUseError{Path: o.path, Err: errIdle}
	}
	if err != nil {
		return err
	}
	return o.nothingBeside()
}

func (o *oldStore) journalMode(sql string, busy *bool) error {
	return o.db.Query(sql, func(q *Stmt) error {
		*busy = *busy || q.Text(0) != "delete"
		return nil
	})
}

// nothingBeside removes what may be left. We have the lock, and the store is not in WAL mode: a journal that had to be rolled back was, with
// the lock, and an exclusive connection leaves it with a header of zeros.
func (o *oldStore) nothingBeside() error {
	for _, end := range sideFiles {
		info, err := os.Lstat(o.path + end)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if end == "-wal" && info.Size() > 0 {
			return fmt.Errorf("%s is still there", o.path+end)
		}
		if err := o.fsys.Remove(o.path + end); err != nil {
			return err
		}
	}
	return nil
}

// height is the height that the old store has committed, for its name.
func (o *oldStore) height() string {
	text := ""
	o.db.Query("SELECT value FROM kvStore WHERE key = 'host.height'", func(q *Stmt) error { text = q.Text(0); return nil })
	n := format.ParseNumber(text)
	if text == "" || n != n {
		return "unknown"
	}
	return string(format.AppendNumber(nil, n))
}
