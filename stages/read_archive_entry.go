package stages

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"hash"
	"io"
	"strconv"
	"strings"
	"unicode"

	"swingport/format"
)

// entryReader reads an entry, hashes it, and at its end reads the padding and puts it into the index.
type entryReader struct {
	ctx                context.Context
	a                  *ownArchive
	offset, left, size int64
	sum                hash.Hash
	second             hash.Hash // of the last secondFrom bytes; may be nil
	secondFrom         int64
	check              func() error // at the end; may be nil
	last               bool         // the index, which is not in itself
	err                error
}

func (r *entryReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.left == 0 {
		r.err = r.finish()
		return 0, r.err
	}
	n, err := r.a.in.Read(p[:min(int64(len(p)), r.left)])
	r.sum.Write(p[:n])
	if r.second != nil {
		if from := r.left - r.secondFrom; from < int64(n) {
			r.second.Write(p[max(0, from):n])
		}
	}
	r.left -= int64(n)
	if err != nil {
		r.err = r.a.in.explain(err)
	}
	return n, r.err
}

// finish returns io.EOF.
func (r *entryReader) finish() error {
	if err := r.a.in.padding(r.size); err != nil {
		return err
	}
	if !r.last {
		e := format.ArchiveEntry{Name: r.a.entry.name, Offset: r.offset, Size: r.size}
		r.sum.Sum(e.SHA256[:0])
		if err := r.a.done(r.ctx, e); err != nil {
			return err
		}
	}
	if r.check != nil {
		if err := r.check(); err != nil {
			return err
		}
	}
	return io.EOF
}

// line reads the first line, up to limit bytes with its newline.
func (r *entryReader) line(limit int) (line []byte, err error) {
	var b [1]byte
	for len(line) < limit {
		if n, err := r.Read(b[:]); n == 0 && err == io.EOF {
			return nil, errorf(format.ErrFormat, "the header line of %s has no end", format.ArchiveHeaderFile)
		} else if n == 0 {
			return nil, err
		}
		if b[0] == '\n' {
			return line, nil
		}
		line = append(line, b[0])
	}
	return nil, errorf(format.ErrLimit, "%s: archive header of more than %d bytes", format.ArchiveHeaderFile, limit)
}

// drain reads to the end.
func (r *entryReader) drain() error {
	if r.a.buf == nil {
		r.a.buf = make([]byte, archiveChunk)
	}
	for {
		_, err := r.Read(r.a.buf)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
	}
}

// Close reads to the end, unless reading failed: that has been said.
func (r *entryReader) Close() error {
	if r.err != nil {
		return nil
	}
	return r.drain()
}

// SHA256 implements hashedReader.
func (r *entryReader) SHA256() []byte { return r.sum.Sum(nil) }

// tarHeader is the header of an entry.
type tarHeader struct {
	name        string
	size, mtime int64
	canonical   bool // as our archives have it
}

// header reads the header of the next entry, which should be one of ours.
func (s *stream) header() (tarHeader, error) {
	raw := make([]byte, format.TarBlock, 3*format.TarBlock)
	if err := s.full(raw); err != nil {
		return tarHeader{}, err
	}
	if raw[0] == 0 && bytes.Equal(raw, make([]byte, format.TarBlock)) {
		return tarHeader{}, errorf(format.ErrIncomplete, "the archive ends behind %s, without %s", quoted(s.name), format.ArchiveIndexFile)
	}
	if raw[156] == tar.TypeXHeader {
		size, err := strconv.ParseInt(strings.TrimRight(string(raw[124:136]), "\x00 "), 8, 64)
		if err != nil || size < 0 || size > maxExtended {
			return tarHeader{}, s.badHeader(raw)
		}
		more := make([]byte, size+format.TarPadding(size)+format.TarBlock)
		if err := s.full(more); err != nil {
			return tarHeader{}, err
		}
		raw = append(raw, more...)
	}
	h, err := parseHeader(raw)
	if err != nil {
		return tarHeader{}, s.badHeader(raw)
	}
	return h, nil
}

// badHeader names the file that a header is for, if it says so.
func (s *stream) badHeader(raw []byte) error {
	name, _, _ := bytes.Cut(raw[:100], []byte{0})
	if format.CheckArchiveName(string(name)) != nil || bytes.ContainsFunc(name, unicode.IsControl) {
		return errorf(format.ErrFormat, "there is no header of a file behind %s in the archive", quoted(s.name))
	}
	return errorf(format.ErrFormat, "the header of %s, behind %s, is damaged", quoted(string(name)), quoted(s.name))
}

// parseHeader reads the header in raw and compares it with ours of the same name, size and time.
func parseHeader(raw []byte) (h tarHeader, err error) {
	t, err := tar.NewReader(bytes.NewReader(raw)).Next()
	if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
		return h, err
	}
	h = tarHeader{name: t.Name, size: t.Size, mtime: t.ModTime.Unix()}
	ours, err := format.AppendTarHeader(nil, h.name, h.size, h.mtime)
	h.canonical = err == nil && bytes.Equal(ours, raw)
	return h, nil
}

// padding reads the zeros behind content of that size.
func (s *stream) padding(size int64) error {
	pad := make([]byte, format.TarPadding(size))
	if err := s.full(pad); err != nil {
		return err
	}
	for _, b := range pad {
		if b != 0 {
			return errorf(format.ErrFormat, "%s is not padded with zeros", quoted(s.name))
		}
	}
	return nil
}
