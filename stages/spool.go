package stages

import (
	"context"
	"errors"
	"io"
)

const spoolChunk = 256 << 10 // bytes

// spools keep content whose size must be known before it can be stored: in memory as long as a bounded store of chunks lasts, which all
// spools share, and then in temporary files.
type spools struct {
	pool *Pool
	dir  string
	fsys *FS
}

// newSpools makes spools that together take up to memory bytes.
func newSpools(memory int, dir string, fsys *FS) *spools {
	return &spools{NewPool(memory/spoolChunk, spoolChunk), dir, fsys}
}

// spool is one such content: written once, then read. Whoever owns it calls Release.
type spool struct {
	of     *spools
	chunks []*Chunk
	file   *File // what follows the chunks
	size   int64
}

func (s *spools) new() *spool { return &spool{of: s} }

// Write never waits for memory.
func (s *spool) Write(p []byte) (n int, err error) {
	for len(p) > 0 && s.file == nil {
		last := len(s.chunks) - 1
		if last < 0 || len(s.chunks[last].Data) == cap(s.chunks[last].Data) {
			c := s.of.pool.tryGet()
			if c == nil {
				if s.file, err = s.of.fsys.Temp(s.of.dir); err != nil {
					return n, err
				}
				break
			}
			s.chunks = append(s.chunks, c)
			last++
		}
		c := s.chunks[last]
		m := min(len(p), cap(c.Data)-len(c.Data))
		c.Data = append(c.Data, p[:m]...)
		p, n, s.size = p[m:], n+m, s.size+int64(m)
	}
	if len(p) > 0 {
		m, err := s.file.Write(p)
		s.size += int64(m)
		return n + m, err
	}
	return n, nil
}

// each calls f for the pieces of the content with their places.
func (s *spool) each(ctx context.Context, f func(p []byte, off int64) error) error {
	off := int64(0)
	for _, c := range s.chunks {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := f(c.Data, off); err != nil {
			return err
		}
		off += int64(len(c.Data))
	}
	if s.file == nil {
		return nil
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, spoolChunk)
	for off < s.size {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(s.file, buf[:min(int64(len(buf)), s.size-off)])
		if err != nil {
			return err
		}
		if err := f(buf[:n], off); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// Release gives memory and file back.
func (s *spool) Release() error {
	for _, c := range s.chunks {
		c.Release()
	}
	s.chunks = nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return errors.Join(err)
}
