package stages

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"

	"swingport/format"
)

// next is the next file; ok is false at the end. Directories are passed over, everything else is refused. The content of the file before has
// to be read.
func (a *foreignArchive) next(ctx context.Context) (name string, size int64, ok bool, err error) {
	for {
		if ctx.Err() != nil {
			return "", 0, false, context.Cause(ctx)
		}
		h, err := a.tar.Next()
		if errors.Is(err, tar.ErrInsecurePath) {
			err = nil // checked below
		}
		if err == io.EOF {
			return "", 0, false, a.checkEnd(ctx)
		}
		if err != nil {
			return "", 0, false, a.explain(err)
		}
		if name, err = cleanName(h.Name); err != nil {
			return "", 0, false, err
		}
		a.in.name, a.stored, a.padded = name, a.in.pos+h.Size, format.TarPadding(h.Size)
		switch {
		case h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader:
			a.stored, a.padded = a.in.pos, 0
			continue
		case isSparse(h):
			return "", 0, false, errorf(format.ErrFormat, "%s is a sparse file in the archive: pack it without --sparse", quoted(name))
		case h.Typeflag != tar.TypeReg:
			return "", 0, false, errorf(format.ErrFormat, "%s is %s in the archive, not a regular file", quoted(name), kindOfEntry(h.Typeflag))
		}
		return name, h.Size, true, nil
	}
}

// paddingReader is the archive, whose padding has to be zeros: a size that is too small would go unnoticed.
type paddingReader struct {
	a   *foreignArchive
	err error
}

func (r *paddingReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	from := r.a.in.pos
	n, err := r.a.in.Read(p)
	to := min(from+int64(n), r.a.stored+r.a.padded)
	for i := max(from, r.a.stored); i < to; i++ {
		if p[i-from] != 0 {
			r.err = errorf(format.ErrFormat, "%s is not padded with zeros in the archive", quoted(r.a.in.name))
			return 0, r.err
		}
	}
	return n, err
}

// cleanName is the name of an entry without "./"; absolute paths and those that climb are refused.
func cleanName(name string) (string, error) {
	switch {
	case len(name) > format.MaxName:
		return "", errorf(format.ErrLimit, "a name in the archive has more than %d bytes", format.MaxName)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return "", errorf(format.ErrFormat, "invalid file name %s in the archive", quoted(name))
	case strings.HasPrefix(name, "/"):
		return "", errorf(format.ErrFormat, "file name %s in the archive is absolute", quoted(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errorf(format.ErrFormat, "file name %s in the archive leads out of its directory", quoted(name))
		}
	}
	return path.Clean(name), nil
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func kindOfEntry(flag byte) string {
	switch flag {
	case tar.TypeLink:
		return "a link to another file"
	case tar.TypeSymlink:
		return "a symbolic link"
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a pipe"
	}
	return fmt.Sprintf("of the unknown type %q", flag)
}

// explain tells what is no tar from what is cut off.
func (a *foreignArchive) explain(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) {
		if a.in.name == "" {
			return errorf(format.ErrFormat, "this is no archive: neither a tar nor one packed with zstd or gzip")
		}
		return errorf(format.ErrFormat, "there is no header of a file behind %s in the archive, at byte %d", quoted(a.in.name), a.in.pos)
	}
	return a.in.explain(err)
}

// checkEnd checks that the tar has its two blocks of zeros, without which it may have been cut off, and that no more than zeros follow.
func (a *foreignArchive) checkEnd(ctx context.Context) error {
	if a.in.pos != a.stored+a.padded+format.TarEnd {
		return a.in.explain(io.ErrUnexpectedEOF)
	}
	return a.in.end(ctx, true)
}

// content reads the entry, with errors that say where.
func (a *foreignArchive) content() io.Reader { return &explained{a} }

type explained struct{ a *foreignArchive }

func (x *explained) Read(p []byte) (int, error) {
	n, err := x.a.tar.Read(p)
	if err != nil && err != io.EOF {
		err = x.a.explain(err)
	}
	return n, err
}

// cancelled is a reader that ends with a context.
type cancelled struct {
	ctx context.Context
	io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.Reader.Read(p)
}
