package stages

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// File is an open file whose operations pass through an FS.
type File struct {
	*os.File
	fs *FS
}

func (f *File) Write(p []byte) (int, error) {
	return f.part(Op{OpWrite, f.Name(), -1, len(p), p}, p, f.File.Write)
}

func (f *File) Read(p []byte) (int, error) {
	return f.part(Op{Kind: OpRead, Path: f.Name(), Len: len(p)}, p, f.File.Read)
}

// ReadAt is Read at an offset.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.part(Op{Kind: OpRead, Path: f.Name(), Off: off, Len: len(p)}, p, func(p []byte) (int, error) { return f.File.ReadAt(p, off) })
	if err == nil && n < len(p) {
		m, err := f.File.ReadAt(p[n:], off+int64(n))
		return n + m, err
	}
	return n, err
}

// WriteAt is Write at an offset.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	return f.part(Op{OpWrite, f.Name(), off, len(p), p}, p, func(p []byte) (int, error) { return f.File.WriteAt(p, off) })
}

// part is a read or write with whatever Before has to say.
func (f *File) part(op Op, p []byte, do func([]byte) (int, error)) (n int, err error) {
	err = f.fs.beforeOp(op)
	if err == nil {
		return do(p)
	}
	var part *PartError
	if errors.As(err, &part) {
		if n, err = do(p[:min(part.N, len(p))]); err != nil {
			return n, err
		}
		if err = part.Err; err == nil {
			return n, nil
		}
	}
	return n, &fs.PathError{Op: string(op.Kind), Path: op.Path, Err: err}
}

// ReadFrom hides the one of os.File, which would go past Write.
func (f *File) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{f}, r) }

// Sync makes what was written durable.
func (f *File) Sync() error {
	if err := f.fs.before(OpSync, f.Name()); err != nil {
		return &fs.PathError{Op: "sync", Path: f.Name(), Err: err}
	}
	return f.File.Sync()
}

// Open opens a file for reading.
func (x *FS) Open(path string) (*File, error) { return x.OpenFile(path, os.O_RDONLY, 0) }

// OpenFile is os.OpenFile.
func (x *FS) OpenFile(path string, flag int, perm os.FileMode) (*File, error) {
	if err := x.before(OpOpen, path); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &File{f, x}, nil
}

// CreateHidden makes a new file that nobody else can open. mode is what it is to get when it is whole: that of a new file, but nobody else may
// write to it. The system takes the umask off, which a process cannot ask for without changing it.
func (x *FS) CreateHidden(path string) (f *File, mode os.FileMode, err error) {
	if f, err = x.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, resultMode); err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, info.Mode().Perm(), nil
}

// resultMode and resultDirMode are what files and directories that we make have at most.
const (
	resultMode    = 0o644
	resultDirMode = 0o755
)

// Temp makes a file in dir that has no name when Temp returns: it is gone when it is closed, or when the process ends however it does.
func (x *FS) Temp(dir string) (*File, error) {
	if err := x.before(OpOpen, dir); err != nil {
		return nil, &fs.PathError{Op: "create a temporary file in", Path: dir, Err: err}
	}
	f, err := createNameless(dir)
	if err != nil {
		return nil, err
	}
	return &File{f, x}, nil
}

// createNamed makes such a file where the file system knows none that never had a name: between its two steps a killed run leaves one.
func createNamed(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, spillPrefix+"*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) { // somebody may have taken it for a leftover
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Rename is os.Rename.
func (x *FS) Rename(from, to string) error {
	if err := x.before(OpRename, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return os.Rename(from, to)
}

var errNoRenameNew = errors.New("no rename that never replaces a file")

// renameNew is Rename, but fs.ErrExist where there is something at to. Where the file system cannot do that in one step a link takes its place,
// and where it has no links either, whoever makes such a file should hold a lock on the directory.
func (x *FS) renameNew(from, to string) error {
	if err := x.before(OpRename, to); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	err := renameNew(from, to)
	if !errors.Is(err, errNoRenameNew) {
		return err
	}
	if err := os.Link(from, to); err == nil {
		return os.Remove(from)
	} else if errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, fs.ErrExist)
	}
	return os.Rename(from, to)
}

// Link is os.Link.
func (x *FS) Link(from, to string) error {
	if err := x.before(OpLink, to); err != nil {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: err}
	}
	return os.Link(from, to)
}

// Remove is os.Remove.
func (x *FS) Remove(path string) error {
	if err := x.before(OpRemove, path); err != nil {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return os.Remove(path)
}

// MkdirAll is os.MkdirAll; made lists the directories that did not exist before, the outermost first.
func (x *FS) MkdirAll(path string, perm os.FileMode) (made []string, err error) {
	var missing []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil || p == filepath.Dir(p) {
			break
		}
		missing = append([]string{p}, missing...)
	}
	for _, p := range missing {
		if err := x.before(OpMkdir, p); err != nil {
			return made, &fs.PathError{Op: "mkdir", Path: p, Err: err}
		}
		err := os.Mkdir(p, perm)
		if info, _ := os.Stat(p); errors.Is(err, fs.ErrExist) && info != nil && info.IsDir() {
			continue // somebody else made it meanwhile
		}
		if err != nil {
			return made, err
		}
		made = append(made, p)
	}
	return made, nil
}

// tryLock locks an open file or directory until it is closed, against whoever asks, without waiting.
func (x *FS) tryLock(f *os.File) error {
	err := x.before(OpLock, f.Name())
	for err == nil {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, syscall.EINTR) {
			break
		}
		err = nil
	}
	if err != nil {
		return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}

// noLocks reports whether an error of tryLock says that the file system has none, as some that are shared by a network. There a run can neither
// see that another one is at work nor that it was killed: what is left over stays, and no name is ever taken twice.
func noLocks(err error) bool {
	for _, e := range []error{syscall.ENOLCK, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EINVAL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// MkdirTemp is os.MkdirTemp.
func (x *FS) MkdirTemp(dir, pattern string) (string, error) {
	if err := x.before(OpMkdir, dir); err != nil {
		return "", &fs.PathError{Op: "mkdir", Path: filepath.Join(dir, pattern), Err: err}
	}
	return os.MkdirTemp(dir, pattern)
}

// removeFolder removes a directory in which there are only files.
func (x *FS) removeFolder(dir string) error {
	for {
		d, err := os.Open(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		names, err := d.Readdirnames(1000) // there may be a million
		if err := errors.Join(ignoreEOF(err), d.Close()); err != nil {
			return err
		}
		if len(names) == 0 {
			return x.Remove(dir)
		}
		for _, name := range names {
			if err := x.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
}

// wasRemoved says what was removed, and why it was there.
func wasRemoved(path, of string) string {
	return fmt.Sprintf("removed %s, which %s left that was killed", path, of)
}

// SyncDir makes the names in a directory durable: a rename is not before that.
func (x *FS) SyncDir(path string) error {
	if err := x.before(OpSyncDir, path); err != nil {
		return &fs.PathError{Op: "sync", Path: path, Err: err}
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // some network file systems cannot, and need not
	}
	return errors.Join(err, d.Close())
}
