package stages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// State is a state directory that is about to get a new store, which is built in a directory of its own inside, on the same file system,
// and then put in the place of the old one by one rename. Until that rename the old store is logically unchanged; after a crash at any
// point the old or the new one is there. No other file of the state directory is touched.
type State struct {
	dir   string
	build string
	fsys  *FS
	lock  *os.File
	made  []string // directories that did not exist, the outermost first
	aside []rename // what Swap did to the old store's files, linked or renamed

	Warnings []string
}

type rename struct{ from, to string }

// names in the state directory
const (
	buildPrefix = ".swingport-import-"
	spillPrefix = ".swingport-spill-"
)

// sideFiles are what the engine keeps beside a database; it would take them for the new one's.
var sideFiles = []string{"-wal", "-shm", "-journal"}

// OpenState makes the state directory if it is missing, locks it against a second import, removes what killed imports left, and checks
// that the old store may be replaced: it is no link, and no other process has it locked or open in WAL mode (InUseError). With an error
// comes a State that is closed, for its warnings.
func OpenState(dir string, fsys *FS) (*State, error) {
	dir, err := filepath.Abs(dir)
	s := &State{dir: dir, fsys: fsys}
	if err != nil {
		return s, err
	}
	if err := s.open(); err != nil {
		return s, errors.Join(err, s.Close(false))
	}
	return s, nil
}

func (s *State) open() (err error) {
	if s.made, err = s.fsys.MkdirAll(s.dir, resultDirMode); err != nil {
		return err
	}
	if info, err := os.Stat(s.dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("state-dir must be a directory, %s is none", s.dir)
	}
	if err := s.inherit(); err != nil {
		return err
	}
	alone, err := s.takeLock()
	if err != nil {
		return err
	}
	if alone {
		if err := s.removeLeftovers(); err != nil {
			return err
		}
	}
	old, err := s.lockOld()
	if err != nil {
		return err
	}
	return old.close()
}

// inherit gives directories that we made to the owner of the one above them.
func (s *State) inherit() error {
	for _, dir := range s.made {
		above, err := os.Stat(filepath.Dir(dir))
		if err != nil {
			return err
		}
		s.warn(giveTo(dir, above))
	}
	return nil
}

func (s *State) warn(text string) {
	if text != "" {
		s.Warnings = append(s.Warnings, text)
	}
}

// takeLock locks the directory as long as the State lives. Where the file system has no such locks, alone is false: then nobody knows
// whether another import runs.
func (s *State) takeLock() (alone bool, err error) {
	if err := s.fsys.before(OpOpen, s.dir); err != nil {
		return false, &fs.PathError{Op: "open", Path: s.dir, Err: err}
	}
	if s.lock, err = os.Open(s.dir); err != nil {
		return false, err
	}
	err = s.fsys.tryLock(s.lock)
	switch {
	case err == nil && !hasName(s.lock, s.dir):
		return false, &InUseError{Path: s.dir, Err: errors.New("another import into it has just ended, and removed it")}
	case err == nil:
		return true, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return false, &InUseError{Path: s.dir, Err: errors.New("another import into it is running")}
	case !noLocks(err):
		return false, err
	}
	s.warn(fmt.Sprintf("%v: make sure that only one import at a time writes to it", err))
	return false, nil
}

// hasName reports whether an open file is still what path names.
func hasName(f *os.File, path string) bool {
	opened, err1 := f.Stat()
	now, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(opened, now)
}

// removeLeftovers removes what killed imports left behind. We hold the lock, so none of them lives.
func (s *State) removeLeftovers() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		switch {
		case e.IsDir() && strings.HasPrefix(e.Name(), buildPrefix):
			err = s.fsys.removeFolder(path)
		case e.Type().IsRegular() && strings.HasPrefix(e.Name(), spillPrefix):
			err = s.fsys.Remove(path)
		default:
			continue
		}
		if err != nil {
			return err
		}
		s.warn(wasRemoved(path, "an import"))
	}
	return nil
}

// Build makes the directory for the new store and returns where the database and where temporary files go.
func (s *State) Build() (database, temp string, err error) {
	if s.build, err = s.fsys.MkdirTemp(s.dir, buildPrefix+"*"); err != nil {
		return "", "", err
	}
	return filepath.Join(s.build, StoreFile), s.build, nil
}

// Close removes the build directory and, unless the new store is in place, the directories that we made.
func (s *State) Close(done bool) error {
	var errs []error
	if s.build != "" {
		errs = append(errs, s.fsys.removeFolder(s.build))
		s.build = ""
	}
	if !done {
		for i := len(s.made) - 1; i >= 0; i-- {
			if err := s.fsys.Remove(s.made[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
				break
			}
		}
	}
	s.made = nil
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	return errors.Join(errs...)
}

// Swapped says what became of the old store.
type Swapped struct {
	KeptOld    string // name of the file that holds it, where it was kept
	MovedAside string // the same, where it was damaged
}

// Swap puts the new store, which is complete and synced, in the place of the old one.
//
// A write-ahead log beside a new database file would be replayed into it, and removing the old one's log first would lose its last commits
// if the machine stopped in between. So the old store is checkpointed and taken out of WAL mode first, and stays locked until the rename.
// Where that fails because the old store is damaged, it and its log are moved aside.
func (s *State) Swap(ctx context.Context, keepOld bool) (done Swapped, err error) {
	old, err := s.lockOld()
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, old.close()) }()
	if old.db != nil {
		if err := old.settle(); unusable(err) {
			old.damaged = err
			old.close()
		} else if err != nil {
			return done, err
		}
	}
	if err := s.adopt(old); err != nil {
		return done, err
	}
	if err := SyncFile(ctx, filepath.Join(s.build, StoreFile), s.fsys); err != nil {
		return done, err
	}
	if ctx.Err() != nil {
		return done, context.Cause(ctx)
	}
	done, err = s.putAside(old, keepOld)
	if err == nil {
		err = s.fsys.SyncDir(s.dir) // no log or journal of the old store may come back beside the new one
	}
	if err == nil {
		err = s.place(old)
	}
	if err != nil {
		return Swapped{}, errors.Join(err, s.putBack())
	}
	return done, s.syncNames()
}

// place renames the new store over the old one, which is locked. Where there is none, that of a node which has just begun one is not replaced.
func (s *State) place(old *oldStore) error {
	file := filepath.Join(s.build, StoreFile)
	if info, err := os.Lstat(old.path); err == nil && old.info != nil && os.SameFile(info, old.info) {
		return s.fsys.Rename(file, old.path)
	}
	err := s.fsys.renameNew(file, old.path)
	if errors.Is(err, fs.ErrExist) {
		return &InUseError{Path: old.path, Err: errors.New("it was not there when the import began")}
	}
	return err
}

// syncNames makes the new name durable, and those of the directories that we made.
func (s *State) syncNames() error {
	err := s.fsys.SyncDir(s.dir)
	for _, dir := range s.made {
		err = errors.Join(err, s.fsys.SyncDir(filepath.Dir(dir)))
	}
	return err
}

// putAside gives the old store its other name, where it is kept or damaged.
func (s *State) putAside(old *oldStore, keepOld bool) (done Swapped, err error) {
	switch {
	case old.damaged != nil:
		done.MovedAside, err = s.moveAside(old)
	case keepOld && old.info != nil:
		done.KeptOld, err = s.keep(old)
	}
	return done, err
}

// putBack undoes putAside when the new store did not come into place. It removes no name that is the only one of a file, and overwrites
// nothing.
func (s *State) putBack() (err error) {
	for i := len(s.aside) - 1; i >= 0; i-- {
		from, to := s.aside[i].from, s.aside[i].to
		first, err1 := os.Lstat(from)
		second, err2 := os.Lstat(to)
		switch {
		case err2 != nil:
		case errors.Is(err1, fs.ErrNotExist):
			err = errors.Join(err, s.fsys.Rename(to, from))
		case err1 == nil && os.SameFile(first, second):
			err = errors.Join(err, s.fsys.Remove(to))
		}
	}
	s.aside = nil
	return err
}

// SyncFile makes what was written to a file durable.
func SyncFile(ctx context.Context, path string, fsys *FS) error {
	f, err := fsys.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.SyncSlowly(ctx), f.Close())
}

// adopt gives the new file owner, group and mode of the old one, or the owner and group of the directory. That everybody may write to it is not
// handed on.
func (s *State) adopt(old *oldStore) error {
	file := filepath.Join(s.build, StoreFile)
	like := old.info
	if like == nil {
		dir, err := os.Stat(s.dir)
		if err != nil {
			return err
		}
		s.warn(giveTo(file, dir))
		return nil
	}
	s.warn(giveTo(file, like))
	return os.Chmod(file, like.Mode().Perm()&^0o002)
}

// giveTo makes path belong to the owner and group that like has. It returns a warning where that is not allowed.
func giveTo(path string, like fs.FileInfo) (warning string) {
	info, err := os.Lstat(path)
	if err != nil {
		return err.Error()
	}
	have, ok1 := info.Sys().(*syscall.Stat_t)
	want, ok2 := like.Sys().(*syscall.Stat_t)
	if !ok1 || !ok2 || have.Uid == want.Uid && have.Gid == want.Gid {
		return ""
	}
	if err := os.Lchown(path, int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Sprintf("%s belongs to user %d and group %d, and could not be given to user %d and group %d: %v",
			filepath.Base(path), have.Uid, have.Gid, want.Uid, want.Gid, errors.Unwrap(err))
	}
	return ""
}

// keep gives the old database a second name that says its height. One that a killed import gave it already will do.
func (s *State) keep(old *oldStore) (name string, err error) {
	base := StoreFile + ".old-" + old.height()
	for n := 1; ; n++ {
		name = base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		second := filepath.Join(s.dir, name)
		err := s.secondName(old.path, second)
		if errors.Is(err, fs.ErrExist) && sameFile(second, old.info) {
			s.aside = append(s.aside, rename{old.path, second})
			err = nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
}

// secondName makes a hard link, or where the file system has none, renames; then there is no store for a moment, until the new one is
// renamed.
func (s *State) secondName(path, second string) error {
	err := s.fsys.Link(path, second)
	if err == nil {
		s.aside = append(s.aside, rename{path, second})
	}
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.ENOSYS) && !errors.Is(err, syscall.EMLINK) {
		return err
	}
	if _, err := os.Lstat(second); !errors.Is(err, fs.ErrNotExist) {
		return fs.ErrExist
	}
	return s.rename(path, second)
}

// rename renames a file of the old store, and notes it for putBack.
func (s *State) rename(from, to string) error {
	err := s.fsys.Rename(from, to)
	if err == nil {
		s.aside = append(s.aside, rename{from, to})
	}
	return err
}

// moveAside gives a damaged store, and what is beside it, names that say so. The database itself keeps its own name too, until the rename.
func (s *State) moveAside(old *oldStore) (name string, err error) {
	begun, err := s.movedAside(old)
	if err != nil {
		return "", err
	}
	name = begun
	if begun == "" {
		name = s.damagedName()
	}
	aside := filepath.Join(s.dir, name)
	switch {
	case begun != "":
		s.aside = append(s.aside, rename{old.path, aside})
	case old.info != nil:
		if err := s.secondName(old.path, aside); err != nil {
			return "", err
		}
	}
	for _, end := range sideFiles {
		if err := s.rename(old.path+end, aside+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return name, nil
}

const damagedMark = ".damaged-"

// damagedName is a name that says when a store was found damaged, and is free.
func (s *State) damagedName() string {
	base := StoreFile + damagedMark + time.Now().UTC().Format("20060102T150405Z")
	name := base
	for n := 2; !free(filepath.Join(s.dir, name)); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

// movedAside is the name under which a killed import began to move the same store aside, "" if none did. Nothing beside it may be in the way
// of what is beside the store now.
func (s *State) movedAside(old *oldStore) (name string, err error) {
	if old.info == nil {
		return "", nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		if !strings.HasPrefix(e.Name(), StoreFile+damagedMark) || !sameFile(path, old.info) {
			continue
		}
		inTheWay := false
		for _, end := range sideFiles {
			inTheWay = inTheWay || exists(path+end) && exists(old.path+end)
		}
		if !inTheWay {
			return e.Name(), nil
		}
	}
	return "", nil
}

func sameFile(path string, as fs.FileInfo) bool {
	info, err := os.Lstat(path)
	return err == nil && os.SameFile(info, as)
}

// exists reports whether something is there, or nobody can tell.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// free reports whether neither path nor a name that the engine derives from it is taken.
func free(path string) bool {
	for _, end := range append([]string{""}, sideFiles...) {
		if exists(path + end) {
			return false
		}
	}
	return true
}

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
