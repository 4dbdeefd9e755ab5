package stages

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strconv"

	"swingport/format"
)

// ErrNotSeekable: no archive of ours with an index and, where it is compressed, a seek table: a pipe, an archive that another program packed,
// one that was cut, or no archive at all. Reading it as a stream tells which.
var ErrNotSeekable = errors.New("not a seekable archive")

// ArchiveFile is an archive of ours in a file, plain or as a zstd stream with a seek table, of which single files are read without reading the
// rest. It believes its index no further than it has to: content is compared with its SHA-256 and the tar header in front of it while it is
// read; only Verify says that the index is whole. Methods may be called side by side.
type ArchiveFile struct {
	file    *File // nil: r was given
	size    int64 // of the file
	raw     io.ReaderAt
	rawSize int64 // of the tar
	frames  *frameReader
	index   *format.ArchiveIndex
	header  format.ArchiveHeader
	mtime   int64
}

// OpenArchiveFile opens the archive at path, which stays open until Close. Where it cannot be read at random the error is ErrNotSeekable;
// others are the format package's, for an archive that contradicts itself, and the system's.
func OpenArchiveFile(path string, fsys *FS) (*ArchiveFile, error) {
	info, err := os.Stat(path) // first: to open a pipe would wait for its writer
	if err == nil && !info.Mode().IsRegular() {
		err = errorf(ErrNotSeekable, "%s is no regular file", path)
	}
	if err != nil {
		return nil, err
	}
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	a, err := NewArchiveFile(f, info.Size())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	a.file = f
	return a, nil
}

// NewArchiveFile is OpenArchiveFile for size bytes that r reads.
func NewArchiveFile(r io.ReaderAt, size int64) (*ArchiveFile, error) {
	a := &ArchiveFile{size: size, raw: r, rawSize: size}
	if err := a.open(r); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Close releases the file and what is held of it.
func (a *ArchiveFile) Close() error {
	if a.frames != nil {
		a.frames.close()
	}
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}

func (a *ArchiveFile) open(r io.ReaderAt) error {
	var magic [4]byte
	if err := format.ReadFullAt(r, magic[:], 0); errors.Is(err, io.ErrUnexpectedEOF) {
		return errorf(ErrNotSeekable, "not a seekable archive: it has %d bytes", a.size)
	} else if err != nil {
		return err
	}
	if magic == [4]byte{0x28, 0xB5, 0x2F, 0xFD} {
		table, ok, err := format.ReadSeekTable(r, a.size)
		if err != nil {
			return err
		}
		if !ok {
			return errorf(ErrNotSeekable, "not a seekable archive: the zstd stream does not end with a seek table")
		}
		if a.frames, err = newFrameReader(r, table); err != nil {
			return err
		}
		a.raw, a.rawSize = a.frames, table.RawSize()
	}
	if err := a.readHeader(); err != nil {
		return err
	}
	return a.findIndex()
}

// readHeader reads the beginning of the tar: the first file's header, and the line that says what the archive is.
func (a *ArchiveFile) readHeader() error {
	head := make([]byte, format.TarBlock+format.MaxArchiveHeader+1)
	n, err := a.raw.ReadAt(head[:min(int64(len(head)), a.rawSize)], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:n]
	size, mtime, ok := tarNumbers(head)
	if ok {
		want, err := format.AppendTarHeader(nil, format.ArchiveHeaderFile, size, mtime)
		ok = err == nil && bytes.HasPrefix(head, want)
	}
	if !ok {
		return errorf(ErrNotSeekable, "not a seekable archive: it does not begin with %s as swingport writes it", format.ArchiveHeaderFile)
	}
	a.mtime = mtime
	content := head[format.TarBlock:]
	content = content[:min(int64(len(content)), size)]
	line, _, found := bytes.Cut(content, []byte("\n"))
	if !found && int64(len(content)) == size {
		return errorf(format.ErrFormat, "%s has no whole line", format.ArchiveHeaderFile)
	}
	a.header, err = format.ParseArchiveHeader(line)
	return err
}

// tarNumbers are size and mtime of a tar header, where these are octal numbers. What else it says, comparing tells.
func tarNumbers(head []byte) (size, mtime int64, ok bool) {
	if len(head) < format.TarBlock {
		return 0, 0, false
	}
	octal := func(field []byte) (n int64, ok bool) {
		n, err := strconv.ParseInt(string(bytes.TrimRight(field, "\x00 ")), 8, 64)
		return n, err == nil && n >= 0
	}
	size, ok1 := octal(head[124:136])
	mtime, ok2 := octal(head[136:148])
	return size, mtime, ok1 && ok2
}

// indexTail is the length of the index's tail, indexMagic what it begins with; behind the magic and a count is the place of the index.
const (
	indexTail      = 56
	indexTailPlace = 16
)

var indexMagic = []byte("SWPITAIL")

// findIndex looks for the tail of the index in front of the zeros that end the tar, and goes where that points.
func (a *ArchiveFile) findIndex() error {
	window := make([]byte, min(a.rawSize, format.TarEnd+format.TarBlock-1+indexTail))
	if err := format.ReadFullAt(a.raw, window, a.rawSize-int64(len(window))); err != nil {
		return err
	}
	zeros := len(window) - len(bytes.TrimRight(window, "\x00"))
	for pad := 0; pad < format.TarBlock && pad+format.TarEnd <= zeros; pad++ {
		end := len(window) - format.TarEnd - pad
		if end < indexTail || !bytes.HasPrefix(window[end-indexTail:], indexMagic) {
			continue
		}
		ok, err := a.openIndex(window[end-indexTail:end], a.rawSize-format.TarEnd-int64(pad))
		if ok || err != nil {
			return err
		}
	}
	return errorf(ErrNotSeekable, "not a seekable archive: it does not end with %s and the end of a tar", format.ArchiveIndexFile)
}

// openIndex opens the index that has this tail and ends at end. ok is false where there is none.
func (a *ArchiveFile) openIndex(tail []byte, end int64) (ok bool, err error) {
	at := int64(0)
	for i := range 8 {
		at |= int64(tail[indexTailPlace+i]) << (8 * i)
	}
	if at < 0 || at%format.TarBlock != 0 || at > end-format.TarBlock {
		return false, nil
	}
	head := make([]byte, min(3*format.TarBlock, end-at)) // with a PAX record, where the index has 8 GiB
	if err := format.ReadFullAt(a.raw, head, at); err != nil {
		return false, err
	}
	for _, length := range []int64{format.TarBlock, 3 * format.TarBlock} {
		size := end - at - length
		if size < 0 || a.rawSize-end-format.TarEnd != format.TarPadding(size) {
			continue
		}
		want, err := format.AppendTarHeader(nil, format.ArchiveIndexFile, size, a.mtime)
		if err != nil || int64(len(want)) != length || !bytes.Equal(head[:length], want) {
			continue
		}
		a.index, err = format.OpenArchiveIndex(io.NewSectionReader(a.raw, at+length, size), size)
		return err == nil, err
	}
	return false, nil
}

// Header is the first line of the archive.
func (a *ArchiveFile) Header() format.ArchiveHeader { return a.header }

// Index is the index of the archive.
func (a *ArchiveFile) Index() *format.ArchiveIndex { return a.index }

// Size is the length of the file, TarSize that of the tar in it, in bytes.
func (a *ArchiveFile) Size() int64 { return a.size }

// TarSize is the length of the tar in the file, in bytes; the same as Size where the archive is not compressed.
func (a *ArchiveFile) TarSize() int64 { return a.rawSize }

// Open opens a file that the index lists. Reading it to its end compares it with its SHA-256: what was read before is not to be believed.
func (a *ArchiveFile) Open(e format.ArchiveEntry) (io.ReadCloser, error) {
	want, err := format.AppendTarHeader(nil, e.Name, e.Size, a.mtime)
	if err != nil {
		return nil, err
	}
	head := make([]byte, len(want))
	if e.Offset < int64(len(want)) {
		return nil, errorf(format.ErrMismatch, "%s: there is no room for its header in front of byte %d", quoted(e.Name), e.Offset)
	}
	if err := format.ReadFullAt(a.raw, head, e.Offset-int64(len(want))); err != nil {
		return nil, fmt.Errorf("%s: %w", quoted(e.Name), err)
	}
	if !bytes.Equal(head, want) {
		return nil, errorf(format.ErrMismatch, "%s: the header in front of byte %d is not that of such a file", quoted(e.Name), e.Offset)
	}
	return &archivedFile{r: io.NewSectionReader(a.raw, e.Offset, e.Size), e: e, sum: sha256.New()}, nil
}

// archivedFile compares a file's SHA-256 and length at its end. It is sticky.
type archivedFile struct {
	r    io.Reader
	e    format.ArchiveEntry
	read int64
	sum  hash.Hash
	err  error
}

func (r *archivedFile) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	r.read += int64(n)
	r.sum.Write(p[:n])
	if err == io.EOF {
		r.err = r.end()
	} else if err != nil {
		r.err = fmt.Errorf("%s: %w", quoted(r.e.Name), err)
	}
	return n, r.err
}

// end is the error at the end: io.EOF where all is right.
func (r *archivedFile) end() error {
	if r.read != r.e.Size {
		return fmt.Errorf("%s: %w after %d of %d bytes", quoted(r.e.Name), io.ErrUnexpectedEOF, r.read, r.e.Size)
	}
	if got := r.sum.Sum(nil); !bytes.Equal(got, r.e.SHA256[:]) {
		return errorf(format.ErrHashMismatch, "%s: sha256 is %x, the index says %x", quoted(r.e.Name), got, r.e.SHA256)
	}
	return io.EOF
}

func (r *archivedFile) Close() error { return nil }

// HeapHashes is ReadHeapHashes of the metadata records. It stops when all are found, and so may not come to where their SHA-256 is compared.
func (a *ArchiveFile) HeapHashes(ctx context.Context, heaps map[string]string) (err error) {
	e, ok, err := a.index.Find(format.ArchiveHeaderFile)
	if err == nil && !ok {
		err = errorf(format.ErrIncomplete, "the archive's index does not list %s", format.ArchiveHeaderFile)
	}
	if err != nil {
		return err
	}
	r, err := a.Open(e)
	if err != nil {
		return err
	}
	defer r.Close()
	in := bufio.NewReader(r)
	if _, err := in.ReadSlice('\n'); err != nil { // the header line, which is shorter than the buffer
		return fmt.Errorf("%s: %w", format.ArchiveHeaderFile, err)
	}
	return ReadHeapHashes(ctx, in, heaps)
}
