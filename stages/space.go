package stages

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Space is what a file system can still take.
type Space struct {
	Dir    string // the directory that was asked about, or the nearest one above it that is there
	Device uint64 // the same for all directories of a file system
	Known  bool   // whether the system says what is free: some network file systems do not

	Free  int64 // bytes, without what is kept for root, as df shows it, and with what unfinished runs left in Dir
	Files int64 // how many files can be made; math.MaxInt64 where nobody counts them
}

// SpaceFor says how much room there is for what is going to be made in a directory, which need not be there yet. An error says that nothing can
// be made there. Quotas are not seen.
func SpaceFor(dir string, fsys *FS) (Space, error) {
	s := Space{Files: math.MaxInt64}
	var err error
	if s.Dir, err = nearestDir(dir); err != nil {
		return s, err
	}
	if err := unix.Access(s.Dir, unix.W_OK|unix.X_OK); err != nil {
		if filepath.Clean(dir) != s.Dir {
			return s, &fs.PathError{Op: "mkdir", Path: dir, Err: err}
		}
		return s, &fs.PathError{Op: "write to", Path: dir, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Stat(s.Dir, &st); err != nil {
		return s, &fs.PathError{Op: "stat", Path: s.Dir, Err: err}
	}
	s.Device = uint64(st.Dev)
	var f unix.Statfs_t
	if err := unix.Statfs(s.Dir, &f); err != nil || f.Blocks == 0 {
		return s.other(fsys), nil
	}
	s.Known = true
	s.Free = int64(min(uint64(f.Bavail), uint64(math.MaxInt64)/uint64(f.Bsize)) * uint64(f.Bsize))
	if f.Files > 0 {
		s.Files = int64(f.Ffree)
	}
	if filepath.Clean(dir) == s.Dir {
		bytes, files := leftIn(s.Dir)
		s.Free += bytes
		s.Files += min(files, math.MaxInt64-s.Files)
	}
	return s.other(fsys), nil
}

// other is the space that a test says there is.
func (s Space) other(fsys *FS) Space {
	if fsys == nil || fsys.Space == nil {
		return s
	}
	return fsys.Space(s)
}

// nearestDir is dir, or the nearest directory above it that is there.
func nearestDir(dir string) (string, error) {
	dir = filepath.Clean(dir)
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && info.IsDir():
			return dir, nil
		case err == nil:
			return "", &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
		case !errors.Is(err, fs.ErrNotExist):
			return "", err
		case dir == filepath.Dir(dir):
			return dir, nil
		}
		dir = filepath.Dir(dir)
	}
}

// NewDirIsFree is the error that NewDirSink gives where an export is in dir already, and nothing is made or removed. What a killed export left
// may have to be removed first, so that with such a folder nothing is known.
func NewDirIsFree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil // SpaceFor looks at that
	} else if err != nil {
		return err
	}
	var found error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), workPrefix) {
			return nil
		}
		if found == nil && exportLike(e.Name()) {
			found = &ExistsError{filepath.Join(dir, e.Name())}
		}
	}
	return found
}

// leftIn is how many bytes and files there are in what unfinished runs left in dir: what comes next removes it, or keeps it in place of what it would
// write. That of a run which still lives counts too, but is in the way of a new one. What cannot be looked at counts nothing.
func leftIn(dir string) (bytes, files int64) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return 0, 0
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case path == dir:
			return err
		case err != nil || filepath.Dir(path) == dir && !strings.HasPrefix(e.Name(), ".swingport-"):
			if e != nil && e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if info, err := e.Info(); err == nil {
			bytes, files = bytes+info.Size(), files+1
		}
		return nil
	})
	return bytes, files
}

// StateIsFree is the error that OpenState gives where the store in a state directory is no file or in use, as far as locks show it: nothing is
// opened by the engine, nor made.
func StateIsFree(dir string, fsys *FS) error {
	o := &oldStore{path: filepath.Join(dir, StoreFile), fsys: fsys}
	info, err := os.Lstat(o.path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	} else if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return notReplaced(o.path, info)
	}
	if err := unix.Access(o.path, unix.W_OK); err != nil {
		return &fs.PathError{Op: "open for writing", Path: o.path, Err: err}
	}
	pid, err := o.holder()
	if err == nil && pid != 0 {
		err = &InUseError{Path: o.path, Err: heldBy(pid)}
	}
	return err
}

// TargetIsFree is the error that OpenTarget gives where a file is there already, and nothing is opened.
func TargetIsFree(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err == nil { // a link to nothing
			return &ExistsError{path}
		}
		info, err := os.Stat(filepath.Dir(path))
		if err == nil && !info.IsDir() {
			err = &fs.PathError{Op: "open", Path: filepath.Dir(path), Err: syscall.ENOTDIR}
		}
		return err
	case err != nil:
		return err
	case info.IsDir():
		return &fs.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	case info.Mode().IsRegular():
		return &ExistsError{path}
	}
	return nil
}
