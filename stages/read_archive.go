package stages

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"swingport/format"
)

// ArchiveOptions says how to read an archive.
type ArchiveOptions struct {
	TempDir   string // where of somebody else's tar is put what comes before the manifest and the export data
	FS        *FS
	MaxWindow int64 // of a zstd stream, in bytes; 0 means DefaultMaxWindow

	// Manifest gets the bytes of the manifest when it is read; may be nil.
	Manifest io.Writer

	// Lenient leaves an artifact that is missing in somebody else's tar to whoever opens it; else that is the end.
	Lenient bool

	chunks, chunk int // of the content pool, for tests; 0 means archiveMemory in pieces of archiveChunk
}

// OpenArchive reads the beginning of an archive: a tar, as it is or packed with zstd or gzip, of our format or made by another program of an
// export directory. What it is, the content tells. An archive of ours is read once from front to back and nothing of it is put anywhere;
// of another one, what comes before the manifest and the export data is written to an unnamed temporary file.
//
// Whatever is cut off ends with an io.ErrUnexpectedEOF. Where r is an *Input, the end of the context of any call interrupts reading, and Close
// closes it.
func OpenArchive(ctx context.Context, r io.Reader, o ArchiveOptions) (Source, error) {
	if o.Manifest == nil {
		o.Manifest = io.Discard
	}
	if o.chunks == 0 {
		o.chunks, o.chunk = archiveMemory/archiveChunk, archiveChunk
	}
	s := newStream(r)
	src, err := s.open(ctx, o)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return src, nil
}

// open finds out whose archive it is.
func (s *stream) open(ctx context.Context, o ArchiveOptions) (Source, error) {
	defer s.interruptOn(ctx)()
	magic, err := s.buf.Peek(6)
	if len(magic) == 0 && err == io.EOF {
		return nil, fmt.Errorf("the archive is truncated: it is empty: %w", io.ErrUnexpectedEOF)
	}
	if err == nil || err == io.EOF {
		err = s.unpack(magic, o.MaxWindow)
	}
	if err != nil {
		return nil, s.explain(err)
	}
	first, err := s.buf.Peek(format.TarBlock)
	if err != nil && err != io.EOF {
		return nil, s.explain(err)
	}
	if len(first) < format.TarBlock {
		return nil, s.explain(io.ErrUnexpectedEOF)
	}
	h, err := parseHeader(first)
	if err == nil && h.canonical && h.name == format.ArchiveHeaderFile {
		return openOwnArchive(ctx, s, o)
	}
	return openForeignArchive(ctx, s, o)
}

// stream is the tar, unpacked, with the position in it.
type stream struct {
	buf     *bufio.Reader
	in      *input
	unzstd  *zstd.Decoder
	name    string // of the entry that is being read, or the last one
	pos     int64
	packing string // "zstd", "gzip" or ""
}

// input keeps the error of reading, so that it can be told from those of decoding.
type input struct {
	r   io.Reader
	err atomic.Pointer[error]
}

func (i *input) Read(p []byte) (int, error) {
	n, err := i.r.Read(p)
	if err != nil && err != io.EOF {
		i.err.Store(&err)
	}
	return n, err
}

const streamBuffer = 256 << 10 // bytes

func newStream(r io.Reader) *stream {
	in := &input{r: r}
	return &stream{in: in, buf: bufio.NewReaderSize(in, streamBuffer)}
}

// interruptOn makes reading end with ctx, until the returned function is called.
func (s *stream) interruptOn(ctx context.Context) (stop func() bool) {
	r, ok := s.in.r.(*Input)
	if !ok {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, func() { r.Interrupt(context.Cause(ctx)) })
}

// Close closes the input first, since the decoder may be waiting for it.
func (s *stream) Close() (err error) {
	if r, ok := s.in.r.(*Input); ok {
		err = r.Close()
	}
	if s.unzstd != nil {
		s.unzstd.Close()
		s.unzstd = nil
	}
	return err
}

// unpack finds out how the stream is packed.
func (s *stream) unpack(magic []byte, maxWindow int64) error {
	switch {
	case isZstd(magic):
		return s.unpackZstd(maxWindow)
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		s.packing = "gzip"
		s.buf = bufio.NewReaderSize(newGunzipReader(s.buf), streamBuffer)
		return nil
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return errorf(format.ErrFormat, "the archive is packed with xz, which is not supported: unpack it with xz -d")
	case bytes.HasPrefix(magic, []byte("BZh")):
		return errorf(format.ErrFormat, "the archive is packed with bzip2, which is not supported: unpack it with bzip2 -d")
	}
	return nil
}

// isZstd also takes a skippable frame at the beginning, as pzstd writes it.
func isZstd(magic []byte) bool {
	if len(magic) < 4 {
		return false
	}
	n := binary.LittleEndian.Uint32(magic)
	return n == 0xFD2FB528 || n&^0xf == 0x184D2A50
}

func (s *stream) unpackZstd(maxWindow int64) (err error) {
	if maxWindow == 0 {
		maxWindow = DefaultMaxWindow
	}
	if maxWindow < zstd.MinWindowSize || maxWindow > MaxWindow {
		return errorf(format.ErrLimit, "a largest window of %d bytes; it can be %d to %d", maxWindow, zstd.MinWindowSize, int64(MaxWindow))
	}
	s.packing = "zstd"
	s.unzstd, err = zstd.NewReader(s.buf, zstd.WithDecoderMaxWindow(uint64(maxWindow)), zstd.WithDecoderMaxMemory(uint64(maxWindow)),
		zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(2))
	if err == nil {
		s.buf = bufio.NewReaderSize(s.unzstd, streamBuffer)
	}
	return err
}

// Read counts.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.buf.Read(p)
	s.pos += int64(n)
	return n, err
}

// full fills p.
func (s *stream) full(p []byte) error {
	_, err := io.ReadFull(s, p)
	return s.explain(err)
}

// explain says where in the archive an error of reading happened, and what it means.
func (s *stream) explain(err error) error {
	where := fmt.Sprintf("at byte %d", s.pos)
	if s.name != "" {
		where = fmt.Sprintf("in %s, at byte %d", quoted(s.name), s.pos)
	}
	if s.packing != "" {
		where += " of what is unpacked"
	}
	var known *classError
	switch {
	case err == nil:
		return nil
	case s.in.err.Load() != nil:
		return &StreamError{fmt.Errorf("read the archive: %w", *s.in.err.Load())}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &StreamError{fmt.Errorf("the archive is truncated: it ends %s: %w", where, io.ErrUnexpectedEOF)}
	case errors.As(err, &known):
		return err
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return &StreamError{errorf(format.ErrLimit, "the archive's zstd stream has a window beyond the limit, which can be raised with --max-window (%s)", where)}
	case errors.Is(err, zstd.ErrCRCMismatch), errors.Is(err, gzip.ErrChecksum):
		return &StreamError{errorf(format.ErrHashMismatch, "the archive's %s stream is damaged: its checksum is wrong (%s)", s.packing, where)}
	case s.packing != "":
		return &StreamError{errorf(format.ErrFormat, "the archive's %s stream is damaged: %v (%s)", s.packing, err, where)}
	}
	return &StreamError{fmt.Errorf("read the archive: %w", err)}
}

// StreamError says that an archive cannot be read on. Whoever reads an artifact of it then gets it too.
type StreamError struct{ Err error }

func (e *StreamError) Error() string { return e.Err.Error() }
func (e *StreamError) Unwrap() error { return e.Err }

// end checks that the stream ends here, but for zeros where those are allowed.
func (s *stream) end(ctx context.Context, zeros bool) error {
	buf := make([]byte, format.TarBlock)
	for {
		n, err := s.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 || !zeros {
				return errorf(format.ErrFormat, "there is something behind the end of the archive, at byte %d", s.pos-int64(n))
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return s.explain(err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
