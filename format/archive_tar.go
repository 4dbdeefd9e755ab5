package format

import (
	"archive/tar"
	"time"
)

const (
	// TarBlock is what headers and contents in a tar are padded to, in bytes.
	TarBlock = 512
	// TarEnd is the length of the zeros that end a tar, in bytes.
	TarEnd = 2 * TarBlock
	// MaxTarTime is the latest modification time that needs no PAX record, in
	// seconds since 1970.
	MaxTarTime = 1<<33 - 1
)

// AppendTarHeader appends the header of a file in an archive: what archive/tar
// writes in PAX format for a regular file of mode 0644 and no owner. A name that
// is longer than 100 bytes or not ASCII, and a size from 8 GiB on, put a PAX
// record in front. Errors are ErrFormat or ErrLimit; dst is as it was then.
func AppendTarHeader(dst []byte, name string, size, mtimeSec int64) ([]byte, error) {
	if err := CheckArchiveName(name); err != nil {
		return dst, err
	}
	if size < 0 || size > MaxArchiveSize || mtimeSec < 0 || mtimeSec > MaxTarTime {
		return dst, errorf(ErrLimit, "file %s of %d bytes, modified at %d s, does not fit into an archive", quote(name), size, mtimeSec)
	}
	out := appender{dst}
	err := tar.NewWriter(&out).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Size:     size,
		Mode:     0o644,
		ModTime:  time.Unix(mtimeSec, 0),
		Format:   tar.FormatPAX,
	})
	if err != nil {
		return dst, errorf(ErrFormat, "tar header of %s: %v", quote(name), err)
	}
	return out.b, nil
}

// TarPadding is the number of zeros behind content of that size, in bytes.
func TarPadding(size int64) int64 { return -size & (TarBlock - 1) }

// appender is an io.Writer that appends.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}
