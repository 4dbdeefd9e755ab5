package format

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
)

// Parts of an index, in bytes. FORMAT.md has the tables.
const (
	indexMagic     = "SWPINDEX"
	indexTailMagic = "SWPITAIL"

	indexHeadSize  = 16               // magic, version, zeros
	indexFixedSize = 32 + 8 + 8 + 2   // an entry without its name
	indexKeySize   = 16               // start of the SHA-256 of a name
	indexSlotSize  = indexKeySize + 8 // key, place of the entry in the index
	indexTailSize  = 8 + 8 + 8 + 32   // magic, count, size of the tar, hash

	indexBuffer = 32 << 10
	// indexWindow is how many slots a probe of Find reads: 4 KiB.
	indexWindow = 170
	// indexGuesses is how many probes of Find trust that keys are uniform. Two
	// are enough for a million; what follows is bisection.
	indexGuesses = 6
)

// ArchiveEntry is one file of an archive.
type ArchiveEntry struct {
	Name   string
	Offset int64 // of the content in the tar, in bytes
	Size   int64 // of the content, in bytes
	SHA256 [sha256.Size]byte
}

// end is where the entry after this one may begin: behind content and padding.
func (e ArchiveEntry) end() int64 { return e.Offset + e.Size + TarPadding(e.Size) }

// check checks an entry whose predecessor ends at start.
func (e ArchiveEntry) check(start int64) error {
	if err := CheckArchiveName(e.Name); err != nil {
		return err
	}
	if e.Size < 0 || e.Size > MaxArchiveSize || e.Offset > MaxArchiveSize || e.end() > MaxArchiveSize {
		return errorf(ErrLimit, "%s with %d bytes at %d is beyond %d bytes", quote(e.Name), e.Size, e.Offset, int64(MaxArchiveSize))
	}
	if e.Offset%TarBlock != 0 || e.Offset < start+TarBlock {
		return errorf(ErrFormat, "%s cannot be at byte %d, the entry before it ends at %d", quote(e.Name), e.Offset, start)
	}
	return nil
}

// indexSlot is what the index is searched by.
type indexSlot struct {
	key [indexKeySize]byte
	pos uint64
}

// indexKey is uniform, whatever the names look like.
func indexKey(name string) [indexKeySize]byte {
	sum := sha256.Sum256([]byte(name))
	return [indexKeySize]byte(sum[:])
}

// ArchiveIndexWriter writes the index of an archive. Its bytes are a function of
// the entries alone, so a reader of a stream can write it too, to io.Discard, and
// compare. It keeps 24 bytes an entry. It is sticky: after an error every call
// returns it.
type ArchiveIndexWriter struct {
	w     *bufio.Writer
	h     hash.Hash // of all that was written
	size  int64
	end   int64 // of the last entry, in the tar
	slots []indexSlot
	buf   []byte
	done  bool
	err   error
}

var errIndexClosed = errors.New("archive index is closed")

// NewArchiveIndexWriter writes the beginning of an index to w.
func NewArchiveIndexWriter(w io.Writer) *ArchiveIndexWriter {
	x := &ArchiveIndexWriter{w: bufio.NewWriterSize(w, indexBuffer), h: sha256.New()}
	x.write(appendIndexHead(x.buf))
	return x
}

func appendIndexHead(dst []byte) []byte {
	dst = append(dst, indexMagic...)
	return binary.LittleEndian.AppendUint64(dst, ArchiveVersion) // 2 bytes and 6 zeros
}

// Add appends the next entry, in the order of the archive. Errors are ErrFormat,
// ErrLimit or w's.
func (x *ArchiveIndexWriter) Add(e ArchiveEntry) error {
	if x.done && x.err == nil {
		x.err = errIndexClosed
	}
	if x.err == nil && len(x.slots) == MaxArchiveEntries {
		x.err = errorf(ErrLimit, "archive index: more than %d entries", MaxArchiveEntries)
	}
	if x.err == nil {
		x.err = wrapIndex(e.check(x.end))
	}
	if x.err != nil {
		return x.err
	}
	x.slots = append(x.slots, indexSlot{indexKey(e.Name), uint64(x.size)})
	x.end = e.end()
	return x.write(appendIndexEntry(x.buf[:0], e))
}

func appendIndexEntry(dst []byte, e ArchiveEntry) []byte {
	dst = append(dst, e.SHA256[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Offset))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Size))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(e.Name)))
	return append(dst, e.Name...)
}

// Close writes the slots and the tail. It does not close the writer under it. A
// second call does nothing. A name that was added twice is ErrDuplicate.
func (x *ArchiveIndexWriter) Close() error {
	if x.done || x.err != nil {
		return x.err
	}
	x.done = true
	slices.SortFunc(x.slots, func(a, b indexSlot) int { return bytes.Compare(a.key[:], b.key[:]) })
	for i, s := range x.slots {
		if i > 0 && s.key == x.slots[i-1].key {
			x.err = errorf(ErrDuplicate, "archive index: the entries at %d and %d have one name",
				min(s.pos, x.slots[i-1].pos), max(s.pos, x.slots[i-1].pos))
			return x.err
		}
		x.write(binary.LittleEndian.AppendUint64(append(x.buf[:0], s.key[:]...), s.pos))
	}
	tail := append(x.buf[:0], indexTailMagic...)
	tail = binary.LittleEndian.AppendUint64(tail, uint64(len(x.slots)))
	x.write(binary.LittleEndian.AppendUint64(tail, uint64(x.end)))
	if x.write(x.h.Sum(x.buf[:0])) == nil {
		x.err = wrapIndex(x.w.Flush())
	}
	return x.err
}

// Size is the number of bytes written, after Close the length of the index.
func (x *ArchiveIndexWriter) Size() int64 { return x.size }

// Sum is, after Close, the SHA-256 of the whole index.
func (x *ArchiveIndexWriter) Sum() (sum [sha256.Size]byte) {
	x.h.Sum(sum[:0])
	return sum
}

// write writes b and keeps its memory for the next call.
func (x *ArchiveIndexWriter) write(b []byte) error {
	x.buf = b
	if x.err == nil {
		x.h.Write(b)
		x.size += int64(len(b))
		_, err := x.w.Write(b)
		x.err = wrapIndex(err)
	}
	return x.err
}

// wrapIndex names the step that failed.
func wrapIndex(err error) error {
	if err != nil {
		err = fmt.Errorf("archive index: %w", err)
	}
	return err
}
