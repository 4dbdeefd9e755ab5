package format

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"strings"
)

// The zip files of bundles, read as strictly and as loosely as @endo/zip 1.1.0
// reads them (src/format-reader.js, src/buffer-reader.js): the end record is the
// last 22 bytes, without a comment; entries are stored and never compressed,
// so nothing is ever inflated; no Zip64, no encryption, one disk; the central
// and the local record of a file agree and its CRC-32 is right. What that
// reader does not look at (dates, versions, disk numbers, gaps between files,
// the signature of a local header) is not looked at here either. archive/zip
// of the standard library takes more and other archives.

// Lengths in bytes, signatures and flags of the zip format (APPNOTE 4.3, 4.4).
const (
	zipEndSize        = 22
	zipEndSignature   = "PK\x05\x06"
	zipEntrySignature = "PK\x01\x02"
	zipLocalSignature = "PK\x03\x04"
	zipEncrypted      = 1
	zipDirectory      = 0x10
	zipStored         = 0
)

// zipRecord is one entry of the central directory or the local header of one
// file, which has no directory flag and no start.
type zipRecord struct {
	flags, method        uint16
	crc                  uint32
	compressed, original uint32
	name                 []byte
	external, start      uint32 // central only
	content              []byte // local only
}

// readZip returns the files of an archive by name; of two files with one name
// the later one counts. The contents are slices of data.
func readZip(data []byte) (map[string][]byte, error) {
	c := &zipCursor{data: data}
	count, err := c.readEnd()
	if err != nil {
		return nil, err
	}
	entries, err := c.readEntries(count)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(entries))
	for _, e := range entries {
		local, err := c.readLocal(e.start)
		if err != nil {
			return nil, err
		}
		name := decodeText(e.name)
		if err := checkZipRecords(name, e, local); err != nil {
			return nil, err
		}
		if e.external&zipDirectory != 0 {
			continue
		}
		if e.method != zipStored {
			return nil, errorf(ErrFormat, "zip: file %q has compression method %d, only stored files are supported", name, e.method)
		}
		files[name] = local.content
	}
	return files, nil
}

// checkZipRecords compares what the central directory says with what is there.
func checkZipRecords(name string, central, local zipRecord) error {
	mismatch := func(what string, a, b any) error {
		return errorf(ErrFormat, "zip: central record %s %v must match local %v for file %q", what, a, b, name)
	}
	switch localName := decodeText(local.name); {
	case strings.ReplaceAll(name, `\`, "/") != localName:
		return errorf(ErrFormat, "zip: central record file name %q must match local file name %q", name, localName)
	case central.flags != local.flags:
		return mismatch("bit flag", central.flags, local.flags)
	case central.method != local.method:
		return mismatch("compression method", central.method, local.method)
	case central.crc != local.crc:
		return mismatch("CRC-32", central.crc, local.crc)
	case central.compressed != local.compressed:
		return mismatch("compressed size", central.compressed, local.compressed)
	case central.original != local.original:
		return mismatch("uncompressed size", central.original, local.original)
	case crc32.ChecksumIEEE(local.content) != local.crc:
		return errorf(ErrHashMismatch, "zip: CRC-32 mismatch for file %q", name)
	case central.flags&zipEncrypted != 0:
		return errorf(ErrFormat, "zip: file %q is encrypted", name)
	}
	return nil
}

// zipCursor reads little-endian fields. Positions count from base, the number
// of bytes before the archive proper. After an error every read returns zeros
// and err stays.
type zipCursor struct {
	data []byte
	base int64
	pos  int64
	err  error
}

// limit is the reference's idea of how long the data is behind base. Its seek
// compares base + pos with it, so base counts twice: of an archive with bytes
// in front, that many of the end cannot be reached. Kept, for the same verdicts.
func (c *zipCursor) limit() int64 { return int64(len(c.data)) - c.base }

func (c *zipCursor) seek(pos int64) {
	if c.err != nil {
		return
	}
	if pos < 0 || c.base+pos > c.limit() {
		c.err = io.ErrUnexpectedEOF
		return
	}
	c.pos = pos
}

// take returns the next n bytes without copying them, nil after an error.
func (c *zipCursor) take(n int64) []byte {
	from := c.base + c.pos
	c.seek(c.pos + n)
	if c.err != nil {
		return nil
	}
	return c.data[from : from+n]
}

func (c *zipCursor) u16() uint16 {
	if b := c.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *zipCursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// accept skips the signature if it is next.
func (c *zipCursor) accept(signature string) bool {
	if c.err != nil || c.pos+int64(len(signature)) > c.limit() {
		return false
	}
	if !bytes.HasPrefix(c.data[c.base+c.pos:], []byte(signature)) {
		return false
	}
	c.pos += int64(len(signature))
	return true
}

// readEnd reads the end record, sets base, seeks to the central directory and
// returns the number of its entries.
func (c *zipCursor) readEnd() (count int, err error) {
	end := int64(len(c.data)) - zipEndSize
	if end < 0 {
		return 0, errorf(ErrFormat, "zip: not enough content")
	}
	c.seek(end)
	if !c.accept(zipEndSignature) {
		return 0, errorf(ErrFormat, "zip: no end record in the last %d bytes", zipEndSize)
	}
	disk, startDisk, here, all := c.u16(), c.u16(), c.u16(), c.u16()
	size, offset := c.u32(), c.u32()
	c.take(int64(c.u16())) // the comment: with one, the data ends too early
	if c.err != nil {
		return 0, errorf(ErrFormat, "zip: comments are not supported")
	}
	if disk == 1<<16-1 || startDisk == 1<<16-1 || here == 1<<16-1 || all == 1<<16-1 ||
		size == 1<<32-1 || offset == 1<<32-1 {
		return 0, errorf(ErrFormat, "zip: Zip64 is not supported")
	}
	if c.base = end - int64(size) - int64(offset); c.base < 0 {
		return 0, errorf(ErrFormat, "zip: the central directory is longer than the file")
	}
	c.seek(int64(offset))
	return int(all), c.err
}

// readEntries reads entries for as long as there are some; count, which the
// file states, must be their number.
func (c *zipCursor) readEntries(count int) ([]zipRecord, error) {
	var entries []zipRecord
	for c.accept(zipEntrySignature) {
		e := c.readEntry()
		if c.err != nil {
			return nil, c.err
		}
		if e.original == 1<<32-1 || e.compressed == 1<<32-1 || e.start == 1<<32-1 {
			return nil, errorf(ErrFormat, "zip: Zip64 is not supported")
		}
		if entries = append(entries, e); len(entries) > count {
			break
		}
	}
	if len(entries) != count {
		return nil, errorf(ErrFormat, "zip: expected %d records in central dir, got another number", count)
	}
	return entries, nil
}

func (c *zipCursor) readEntry() zipRecord {
	c.take(2) // made by
	e := c.readHeaders()
	nameSize, extraSize, commentSize := c.u16(), c.u16(), c.u16()
	c.take(4) // disk, internal attributes
	e.external, e.start = c.u32(), c.u32()
	e.name = c.take(int64(nameSize))
	c.take(int64(extraSize) + int64(commentSize))
	return e
}

// readLocal reads the header at start and the content behind it. The reference
// does not insist on the signature; without it the fields begin at start.
func (c *zipCursor) readLocal(start uint32) (zipRecord, error) {
	c.seek(int64(start))
	c.accept(zipLocalSignature)
	l := c.readHeaders()
	nameSize, extraSize := c.u16(), c.u16()
	l.name = c.take(int64(nameSize))
	c.take(int64(extraSize))
	l.content = c.take(int64(l.compressed))
	return l, c.err
}

// readHeaders reads the fields that both records have.
func (c *zipCursor) readHeaders() (r zipRecord) {
	c.take(2) // version needed
	r.flags, r.method = c.u16(), c.u16()
	c.take(4) // time and date
	r.crc, r.compressed, r.original = c.u32(), c.u32(), c.u32()
	return r
}

// decodeText decodes as a TextDecoder does: one leading byte order mark goes,
// what is no UTF-8 becomes U+FFFD.
func decodeText(b []byte) string {
	return string(AppendText(nil, bytes.TrimPrefix(b, []byte("\ufeff"))))
}
