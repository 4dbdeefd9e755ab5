package format

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sort"
)

// ArchiveIndex reads the index of an archive. It keeps no state: its methods may
// run beside each other if r's ReadAt may.
type ArchiveIndex struct {
	r       io.ReaderAt
	size    int64 // of the index
	count   int64
	tarSize int64
}

// OpenArchiveIndex reads the beginning and the end of an index of size bytes.
// Errors are ErrFormat, one of them ErrArchiveVersion, ErrLimit, r's, or
// io.ErrUnexpectedEOF for an index without its tail.
func OpenArchiveIndex(r io.ReaderAt, size int64) (*ArchiveIndex, error) {
	if size < indexHeadSize+indexTailSize {
		return nil, wrapIndex(io.ErrUnexpectedEOF)
	}
	var head [indexHeadSize]byte
	var tail [indexTailSize]byte
	if err := ReadFullAt(r, head[:], 0); err != nil {
		return nil, wrapIndex(err)
	}
	if err := ReadFullAt(r, tail[:], size-indexTailSize); err != nil {
		return nil, wrapIndex(err)
	}
	if err := checkIndexHead(head[:]); err != nil {
		return nil, err
	}
	if string(tail[:8]) != indexTailMagic {
		return nil, fmt.Errorf("archive index has no tail: %w", io.ErrUnexpectedEOF)
	}
	count, tarSize := binary.LittleEndian.Uint64(tail[8:]), binary.LittleEndian.Uint64(tail[16:])
	if count > MaxArchiveEntries || tarSize > MaxArchiveSize {
		return nil, errorf(ErrLimit, "archive index of %d entries, for %d bytes", count, tarSize)
	}
	x := &ArchiveIndex{r, size, int64(count), int64(tarSize)}
	if n := x.slotsAt() - indexHeadSize; n < x.count*(indexFixedSize+1) || n > x.count*(indexFixedSize+MaxName) {
		return nil, errorf(ErrFormat, "archive index of %d bytes cannot have %d entries", size, count)
	}
	return x, nil
}

func checkIndexHead(head []byte) error {
	if string(head[:8]) != indexMagic {
		return errorf(ErrFormat, "archive index begins with %s", quote(head[:8]))
	}
	if v := binary.LittleEndian.Uint16(head[8:]); v != ArchiveVersion {
		return errorf(ErrArchiveVersion, "archive index has version %d, this program reads version %d", v, ArchiveVersion)
	}
	if !bytes.Equal(head, appendIndexHead(nil)) {
		return errorf(ErrFormat, "archive index: bytes 10 to 15 are not zero")
	}
	return nil
}

// slotsAt is where the entries end and the slots begin.
func (x *ArchiveIndex) slotsAt() int64 { return x.size - indexTailSize - x.count*indexSlotSize }

// Len is the number of entries.
func (x *ArchiveIndex) Len() int { return int(x.count) }

// TarSize is the length of what the index describes, in bytes: its own tar
// header begins there.
func (x *ArchiveIndex) TarSize() int64 { return x.tarSize }

// Find reads the entry of that name, with a few reads of 4 KiB whatever the size
// of the index. It believes what it finds: content that has the entry's SHA256
// proves an entry, and only Verify proves that there is none. Errors are
// ErrFormat, ErrLimit, r's, or io.ErrUnexpectedEOF.
func (x *ArchiveIndex) Find(name string) (e ArchiveEntry, ok bool, err error) {
	if CheckArchiveName(name) != nil {
		return ArchiveEntry{}, false, nil // no entry has such a name
	}
	pos, ok, err := x.findSlot(indexKey(name))
	if err != nil || !ok {
		return ArchiveEntry{}, false, wrapIndex(err)
	}
	n := int64(indexFixedSize + len(name))
	if last := x.slotsAt() - n; last < indexHeadSize || pos < indexHeadSize || pos > uint64(last) {
		return ArchiveEntry{}, false, errorf(ErrFormat, "archive index: %s cannot be at byte %d", quote(name), pos)
	}
	b := make([]byte, n)
	if err := ReadFullAt(x.r, b, int64(pos)); err != nil {
		return ArchiveEntry{}, false, wrapIndex(err)
	}
	e, nameLen := parseIndexEntry(b)
	e.Name = string(b[indexFixedSize:])
	if nameLen != len(name) || e.Name != name {
		return ArchiveEntry{}, false, errorf(ErrFormat, "archive index: the entry at byte %d is not %s", pos, quote(name))
	}
	if err := x.check(e, 0); err != nil {
		return ArchiveEntry{}, false, err
	}
	return e, true, nil
}

// findSlot looks a key up and returns the place of its entry. In each round the
// slot is in [lo, hi), its key between low and high.
func (x *ArchiveIndex) findSlot(key [indexKeySize]byte) (pos uint64, ok bool, err error) {
	buf := make([]byte, indexWindow*indexSlotSize)
	lo, hi := int64(0), x.count
	low, high := uint64(0), ^uint64(0)
	want := binary.BigEndian.Uint64(key[:])
	for round := 0; lo < hi; round++ {
		mid := lo + (hi-lo)/2
		if round < indexGuesses && low < high {
			mid = lo + int64(float64(want-low)/float64(high-low)*float64(hi-lo))
		}
		first := max(lo, min(mid-indexWindow/2, hi-indexWindow))
		n := int(min(indexWindow, hi-first))
		slot := func(i int) []byte { return buf[i*indexSlotSize : (i+1)*indexSlotSize] }
		if err := ReadFullAt(x.r, buf[:n*indexSlotSize], x.slotsAt()+first*indexSlotSize); err != nil {
			return 0, false, err
		}
		i, found := sort.Find(n, func(i int) int { return bytes.Compare(key[:], slot(i)[:indexKeySize]) })
		switch {
		case found:
			return binary.LittleEndian.Uint64(slot(i)[indexKeySize:]), true, nil
		case i == 0:
			hi, high = first, binary.BigEndian.Uint64(slot(0))
		case i == n:
			lo, low = first+int64(n), binary.BigEndian.Uint64(slot(n-1))
		default:
			return 0, false, nil
		}
	}
	return 0, false, nil
}

// parseIndexEntry reads the fixed part of an entry.
func parseIndexEntry(b []byte) (e ArchiveEntry, nameLen int) {
	e.SHA256 = [sha256.Size]byte(b)
	// A length that does not fit becomes negative, which check refuses.
	e.Offset = int64(binary.LittleEndian.Uint64(b[32:]))
	e.Size = int64(binary.LittleEndian.Uint64(b[40:]))
	return e, int(binary.LittleEndian.Uint16(b[48:]))
}

// check checks an entry that was read; the one before it ends at start.
func (x *ArchiveIndex) check(e ArchiveEntry, start int64) error {
	if err := e.check(start); err != nil {
		return wrapIndex(err)
	}
	if e.end() > x.tarSize {
		return errorf(ErrFormat, "archive index: %s ends at %d, behind the end at %d", quote(e.Name), e.end(), x.tarSize)
	}
	return nil
}

// Each calls visit for each entry in the order of the archive, and stops at its
// first error. Other errors are ErrFormat, ErrLimit, r's, or io.ErrUnexpectedEOF.
func (x *ArchiveIndex) Each(visit func(ArchiveEntry) error) error {
	left := x.slotsAt() - indexHeadSize
	in := bufio.NewReaderSize(io.NewSectionReader(x.r, indexHeadSize, left), indexBuffer)
	b := make([]byte, MaxName) // more than a fixed part
	read := func(n int) error {
		if left -= int64(n); left < 0 {
			return errorf(ErrFormat, "archive index: an entry runs into the slots")
		}
		return wrapIndex(readFull(in, b[:n]))
	}
	var end int64
	for range x.count {
		if err := read(indexFixedSize); err != nil {
			return err
		}
		e, nameLen := parseIndexEntry(b)
		if nameLen > MaxName {
			return errorf(ErrLimit, "archive index: file name of more than %d bytes", MaxName)
		}
		if err := read(nameLen); err != nil {
			return err
		}
		e.Name = string(b[:nameLen])
		if err := x.check(e, end); err != nil {
			return err
		}
		if err := visit(e); err != nil {
			return err
		}
		end = e.end()
	}
	if left != 0 {
		return errorf(ErrFormat, "archive index: %d bytes between the entries and the slots", left)
	}
	return nil
}

// Verify reads the index and compares it with what its entries give, to the last
// byte of its hash. Errors are those of Each, ErrDuplicate for two entries of one
// name, and ErrHashMismatch for any other difference. It takes 24 bytes of memory
// an entry.
func (x *ArchiveIndex) Verify() error {
	same := &comparer{want: io.NewSectionReader(x.r, 0, x.size)}
	w := NewArchiveIndexWriter(same)
	if err := x.Each(w.Add); err != nil {
		return err
	}
	return w.Close()
}

// comparer is an io.Writer that takes only the bytes of want.
type comparer struct {
	want io.Reader
	buf  []byte
	off  int64
}

func (c *comparer) Write(p []byte) (int, error) {
	c.buf = slices.Grow(c.buf[:0], len(p))[:len(p)]
	if err := readFull(c.want, c.buf); err != nil {
		return 0, err
	}
	if !bytes.Equal(p, c.buf) {
		i := 0
		for p[i] == c.buf[i] {
			i++
		}
		return i, errorf(ErrHashMismatch, "byte %d is not what its entries give", c.off+int64(i))
	}
	c.off += int64(len(p))
	return len(p), nil
}
