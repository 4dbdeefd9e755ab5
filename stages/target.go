package stages

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Target is what an archive is written to, front to back: a new file, which appears whole or not at all; or what is no regular file, which is
// written to as it is.
type Target struct {
	path  string // as it was named
	bytes int64
	fsys  *FS
	warn  func(text string)

	file   *File       // a new file, under a name of its own until Commit, and hidden
	mode   os.FileMode // of that file when it is whole
	pipe   *pipeWriter // a pipe or socket
	other  io.Writer   // anything else
	opened *File       // the device that other is, if it was opened here
}

// targetPrefix begins the names of files that are being written.
const targetPrefix = ".swingport-archive-"

// OpenTarget opens what path names; "-" is stdout. A regular file that is there is an ExistsError. A fifo is opened when its reader has come. What
// a killed run left beside a new file is removed, and warn told of it.
func OpenTarget(ctx context.Context, path string, stdout io.Writer, fsys *FS, warn func(text string)) (*Target, error) {
	t := &Target{path: path, fsys: fsys, warn: warn}
	if path == "-" {
		t.path = "standard output"
		return t, t.openWriter(stdout)
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if info, err = os.Lstat(path); err != nil { // else a link to nothing
			return t, t.create(ctx)
		}
	}
	switch {
	case err != nil:
	case info.IsDir():
		err = &fs.PathError{Op: "write", Path: path, Err: syscall.EISDIR}
	case info.Mode().Type() == fs.ModeNamedPipe:
		t.pipe, err = openFIFO(ctx, path, fsys)
	case info.Mode().Type()&(fs.ModeDevice|fs.ModeCharDevice) != 0:
		t.opened, err = fsys.OpenFile(path, os.O_WRONLY, 0)
		t.other = t.opened
	default:
		err = &ExistsError{path}
	}
	return t, err
}

// openWriter takes what somebody else opened, and leaves it open.
func (t *Target) openWriter(w io.Writer) (err error) {
	if w == nil {
		return errors.New("no standard output to write to")
	}
	if f, ok := w.(*os.File); ok {
		t.pipe, err = pipeOf(f)
	}
	t.other = w
	return err
}

// create makes the file under another name. The lock on it says that its process lives; the one on the directory keeps others from looking
// before it is there.
func (t *Target) create(ctx context.Context) error {
	dir := filepath.Dir(t.path)
	unlock, err := lockDir(ctx, dir, t.fsys)
	if err != nil {
		return err
	}
	defer unlock()
	if err := t.removeDead(dir); err != nil {
		return err
	}
	if t.file, t.mode, err = t.fsys.CreateHidden(filepath.Join(dir, targetPrefix+rand.Text())); err != nil {
		return err
	}
	if err := t.fsys.tryLock(t.file.File); err != nil && !noLocks(err) {
		return err
	}
	return nil
}

// lockDir keeps others from changing what is in a directory at the same time, if they ask. It waits for those who do, which may be making
// gigabytes durable, but no longer than ctx.
func lockDir(ctx context.Context, dir string, fsys *FS) (unlock func() error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err := fsys.tryLock(f)
		if err == nil || noLocks(err) {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		}
	}
}

// removeDead removes files of killed runs: nobody holds their lock. What is spilled has a name for a moment at most.
func (t *Target) removeDead(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), targetPrefix) && !strings.HasPrefix(e.Name(), spillPrefix) {
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			continue // somebody else's
		}
		if t.fsys.tryLock(f) == nil {
			if err = t.fsys.Remove(f.Name()); err == nil {
				t.warn(wasRemoved(f.Name(), "an export"))
			}
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// writebackEvery is how many bytes go to a new file until the system is asked to begin writing them out.
const writebackEvery = 16 << 20

// Write writes all of b. Where the reader of a pipe is slow it waits, but no longer than ctx.
func (t *Target) Write(ctx context.Context, b []byte) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case t.file != nil:
		if _, err = t.file.Write(b); err == nil && (t.bytes+int64(len(b)))/writebackEvery > t.bytes/writebackEvery {
			startWriteback(t.file)
		}
	case t.pipe != nil:
		if err = t.fsys.beforeOp(Op{Kind: OpWrite, Path: t.path, Len: len(b)}); err == nil {
			err = t.pipe.write(ctx, b)
		}
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("write to %s: %w", t.path, err)
		}
	default:
		_, err = t.other.Write(b)
	}
	if err == nil {
		t.bytes += int64(len(b))
	}
	return err
}

// Bytes is the number of bytes written.
func (t *Target) Bytes() int64 { return t.bytes }

// Watch waits until ctx ends, which is no error, or the reader of a pipe has gone: ErrReaderGone.
func (t *Target) Watch(ctx context.Context) error {
	if t.pipe == nil {
		return nil
	}
	if err := t.pipe.watch(ctx); err != nil {
		return fmt.Errorf("write to %s: %w", t.path, err)
	}
	return nil
}

// Again reports whether nothing will be left after Abort, so that another try may follow.
func (t *Target) Again() bool { return t.file != nil }

// TempDir is the directory for temporary files that is nearest, "" if that is the system's.
func (t *Target) TempDir() string {
	if t.file == nil {
		return ""
	}
	return filepath.Dir(t.path)
}

// Commit makes a new file durable and gives it its name, which must still be free; it ends what else is written to.
func (t *Target) Commit(ctx context.Context) (err error) {
	switch {
	case t.file != nil:
		return t.place(ctx)
	case t.pipe != nil:
		if err = t.pipe.unread(); err != nil {
			err = fmt.Errorf("write to %s: %w", t.path, err)
		}
	case t.opened != nil:
		if err = t.opened.Sync(); errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
			err = nil // it keeps nothing
		}
	}
	return errors.Join(err, t.Abort())
}

func (t *Target) place(ctx context.Context) error {
	if err := t.file.SyncSlowly(ctx); err != nil {
		return err
	}
	dir := filepath.Dir(t.path)
	unlock, err := lockDir(ctx, dir, t.fsys)
	if err != nil {
		return err
	}
	defer unlock()
	if err := t.file.Chmod(t.mode); err != nil {
		return err
	}
	if err := t.fsys.renameNew(t.file.Name(), t.path); errors.Is(err, fs.ErrExist) {
		return &ExistsError{t.path}
	} else if err != nil {
		return err
	}
	if err := t.fsys.SyncDir(dir); err != nil {
		return errors.Join(err, t.fsys.Remove(t.path))
	}
	f := t.file
	t.file = nil
	return f.Close()
}

// Abort removes the new file and closes what was opened. After Commit it does no harm.
func (t *Target) Abort() (err error) {
	if t.file != nil {
		err = t.fsys.Remove(t.file.Name())
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // it had its name already, and lost it
		}
		err = errors.Join(err, t.file.Close())
	}
	if t.pipe != nil {
		err = t.pipe.close()
	}
	if t.opened != nil {
		err = t.opened.Close()
	}
	t.file, t.pipe, t.opened = nil, nil, nil
	return err
}
