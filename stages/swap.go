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
