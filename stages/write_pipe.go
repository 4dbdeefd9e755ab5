package stages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrReaderGone: whoever read the archive from a pipe has gone before it was whole.
var ErrReaderGone = errors.New("its reader went away before all of it was written")

// pipeWriter is a pipe or a socket that is written to without ever blocking in the system, so that a cancelled context ends the wait for a slow
// reader. A pipe is waited for by the scheduler, which a thread in a system call keeps from running other stages for a while. The descriptor of a
// socket is a raw one: package os would end the process for a broken pipe, if it is standard output.
type pipeWriter struct {
	fd   int
	file *os.File // a pipe, opened by us; nil for a socket
}

// pipeOf is the pipe or socket behind f, nil if f is something else. A pipe is opened once more, since the flag that keeps a write from blocking
// belongs to all who share what is open. For a socket there is a flag for each call.
func pipeOf(f *os.File) (*pipeWriter, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var s *pipeWriter
	controlErr := raw.Control(func(fd uintptr) {
		var st unix.Stat_t
		if err = unix.Fstat(int(fd), &st); err != nil {
			return
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFSOCK:
			s = &pipeWriter{fd: int(fd)}
		case unix.S_IFIFO:
			again, openErr := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			if openErr == nil {
				s = newPipeWriter(again, f.Name())
			}
		}
	})
	return s, errors.Join(err, controlErr)
}

// newPipeWriter takes over fd, which must not block.
func newPipeWriter(fd int, name string) *pipeWriter {
	widenPipe(fd)
	return &pipeWriter{fd, os.NewFile(uintptr(fd), name)}
}

// openFIFO waits for a reader as opening a fifo does, but no longer than ctx.
func openFIFO(ctx context.Context, path string, fsys *FS) (*pipeWriter, error) {
	if err := fsys.before(OpOpen, path); err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	for {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err == nil {
			return newPipeWriter(fd, path), nil
		}
		if err != unix.ENXIO && err != unix.EINTR {
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *pipeWriter) write(ctx context.Context, b []byte) (err error) {
	if s.file != nil {
		stop := context.AfterFunc(ctx, func() { s.file.SetWriteDeadline(time.Unix(1, 0)) })
		_, err = s.file.Write(b)
		stop()
	} else {
		err = s.send(ctx, b)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.ECONNRESET):
		return fmt.Errorf("%w: %w", ErrReaderGone, err)
	}
	return err
}

// send writes to a socket.
func (s *pipeWriter) send(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(s.fd, b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		b = b[max(n, 0):]
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			if err := s.wait(ctx, unix.POLLOUT); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

// watch waits for the reader to go; nil when ctx ends before.
func (s *pipeWriter) watch(ctx context.Context) error {
	if err := s.wait(ctx, 0); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// wait waits until there is what is asked for. Its errors are the cause of ctx, and ErrReaderGone. The thread sleeps all the while: one that
// woke up now and then to look at ctx would each time keep a stage from running until the scheduler notices that it sleeps again.
func (s *pipeWriter) wait(ctx context.Context, events int16) error {
	woken, wake, err := os.Pipe()
	if err != nil {
		return err
	}
	defer woken.Close()
	stop := context.AfterFunc(ctx, func() { wake.Close() })
	defer func() {
		if stop() {
			wake.Close()
		}
	}()
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: events}, {Fd: int32(woken.Fd())}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == syscall.EINTR:
		case err != nil:
			return os.NewSyscallError("poll", err)
		case fds[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0:
			return ErrReaderGone
		case fds[0].Revents != 0:
			return nil
		}
	}
}

// unread is ErrReaderGone where the reader of a pipe has gone and left some of it there. One that goes when it has everything is fine.
func (s *pipeWriter) unread() error {
	fds := []unix.PollFd{{Fd: int32(s.fd)}}
	if _, err := unix.Poll(fds, 0); err != nil || fds[0].Revents&unix.POLLERR == 0 {
		return nil
	}
	if s.file != nil && pipeHolds(s.fd) > 0 {
		return ErrReaderGone
	}
	return nil
}

func (s *pipeWriter) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
