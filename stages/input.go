package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// Input is what an archive is read from. Interrupt ends a read that waits, for a pipe whose other end is silent.
type Input struct {
	// Size is that of a regular file, in bytes; 0 where nobody knows.
	Size int64

	read     func([]byte) (int, error)
	wake     func() // ends a read that waits; may be nil
	close    func() error
	progress func(int64)

	mu  sync.Mutex
	err error // after Interrupt
}

// OpenInput opens the archive at path for reading; "-" is stdin. progress is told how much was read. The end of ctx ends the waiting for
// somebody to open the other end of a named pipe.
func OpenInput(ctx context.Context, path string, stdin io.Reader, fsys *FS, progress func(int64)) (*Input, error) {
	if path == "-" {
		if stdin == nil {
			return nil, errors.New("there is no standard input")
		}
		return newInput(stdin, false, progress), nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory, not an archive", path)
	}
	f, err := openWaiting(ctx, path, info.Mode(), fsys)
	if err != nil {
		return nil, err
	}
	in := newInput(f, true, progress)
	if info.Mode().IsRegular() {
		in.Size = info.Size()
	}
	return in, nil
}

// openWaiting opens a file; for a pipe it waits until somebody writes, or ctx ends.
func openWaiting(ctx context.Context, path string, mode os.FileMode, fsys *FS) (*File, error) {
	if mode&os.ModeNamedPipe == 0 {
		return fsys.Open(path)
	}
	type opened struct {
		f   *File
		err error
	}
	c := make(chan opened, 1)
	go func() {
		f, err := fsys.Open(path)
		c <- opened{f, err}
	}()
	select {
	case o := <-c:
		return o.f, o.err
	case <-ctx.Done():
	}
	// Being its other end for a moment lets the open return, once that waits. Where the name is gone nothing does, and it is left alone.
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		if w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
			w.Close()
		}
		select {
		case o := <-c:
			if o.err == nil {
				o.f.Close()
			}
			return nil, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil, context.Cause(ctx)
}

// newInput reads r, and closes it at the end if it is ours.
func newInput(r io.Reader, ours bool, progress func(int64)) *Input {
	in := &Input{read: r.Read, close: func() error { return nil }, progress: progress}
	if c, ok := r.(io.Closer); ok && ours {
		in.close = c.Close
	}
	if f, ok := r.(*os.File); ok {
		if isRegular(f) {
			return in
		}
		if f.SetReadDeadline(time.Time{}) == nil {
			// as it is
		} else if again := reopen(f); again != nil {
			r, in.read, in.close = again, again.Read, again.Close
		}
	}
	if f, ok := r.(*File); ok && isRegular(f.File) {
		return in
	}
	if d, ok := r.(interface{ SetReadDeadline(time.Time) error }); ok && d.SetReadDeadline(time.Time{}) == nil {
		in.wake = func() { d.SetReadDeadline(time.Unix(1, 0)) }
		return in
	}
	ahead := newReadAhead(r)
	in.read, in.wake = ahead.Read, ahead.stop
	return in
}

func isRegular(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// reopen opens a pipe once more, so that reads of it can be interrupted: what a process inherits cannot be made so, since whoever else has it
// would notice. It returns nil where that is not possible.
func reopen(f *os.File) *os.File {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil
	}
	path := ""
	if conn.Control(func(fd uintptr) { path = fmt.Sprintf("/proc/self/fd/%d", fd); widenPipe(int(fd)) }) != nil {
		return nil
	}
	again, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	if again.SetReadDeadline(time.Time{}) != nil {
		again.Close()
		return nil
	}
	return again
}

// Read reads, unless Interrupt was called.
func (in *Input) Read(p []byte) (int, error) {
	if err := in.interrupted(); err != nil {
		return 0, err
	}
	n, err := in.read(p)
	if n > 0 && in.progress != nil {
		in.progress(int64(n))
	}
	if err != nil && err != io.EOF {
		if why := in.interrupted(); why != nil {
			err = why
		}
	}
	return n, err
}

func (in *Input) interrupted() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.err
}

// Interrupt ends a read that waits, and all later ones, with err. Only the first call counts.
func (in *Input) Interrupt(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil {
		in.err = err
		if in.wake != nil {
			in.wake()
		}
	}
}

// Close interrupts reading and closes what OpenInput opened; the second time it does nothing.
func (in *Input) Close() error {
	in.Interrupt(os.ErrClosed)
	in.mu.Lock()
	defer in.mu.Unlock()
	closing := in.close
	in.close = func() error { return nil }
	return closing()
}

// readAhead reads in a goroutine of its own, which is left alone with a read that nothing can end.
type readAhead struct {
	want    chan []byte // memory to read into
	have    chan readResult
	stopped chan struct{}
	once    sync.Once

	buf  []byte
	rest []byte
	err  error
}

type readResult struct {
	data []byte
	err  error
}

func newReadAhead(r io.Reader) *readAhead {
	a := &readAhead{want: make(chan []byte, 2), have: make(chan readResult, 2), stopped: make(chan struct{})}
	a.want <- make([]byte, streamBuffer)
	a.want <- make([]byte, streamBuffer)
	go a.run(r)
	return a
}

func (a *readAhead) run(r io.Reader) {
	for {
		var buf []byte
		select {
		case buf = <-a.want:
		case <-a.stopped:
			return
		}
		n, err := r.Read(buf)
		a.have <- readResult{buf[:n], err} // has room: there are two buffers
		if err != nil {
			return
		}
	}
}

func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.buf != nil {
			a.want <- a.buf[:cap(a.buf)]
			a.buf = nil
		}
		select {
		case got := <-a.have:
			a.buf, a.rest, a.err = got.data, got.data, got.err
		case <-a.stopped:
			return 0, os.ErrClosed
		}
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

func (a *readAhead) stop() { a.once.Do(func() { close(a.stopped) }) }
