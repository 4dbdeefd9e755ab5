package format

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"sort"
)

// The seek table of the zstd seekable format, version 0.1.0: a skippable frame
// at the end of a stream of zstd frames. FORMAT.md has its bytes.
const (
	skippableMagic  = 0x184D2A5E
	seekableMagic   = 0x8F92EAB1
	seekHeaderSize  = 8
	seekFooterSize  = 9
	seekFrameSize   = 8
	seekChecksum    = 0x80 // descriptor: 4 more bytes a frame, which this package skips
	seekReserved    = 0x7C // descriptor: bits that have to be 0
	seekTableBuffer = 32 << 10
)

// Limits of a seek table.
const (
	MaxSeekFrames    = 1 << 22 // 4 TiB in frames of 1 MiB
	MaxSeekFrameSize = 1 << 30 // content of a frame, in bytes; the zstd project's limit
)

// SeekFrame is the place of a frame and of its content, in bytes.
type SeekFrame struct {
	Offset, Size       int64 // of the frame in the compressed stream
	RawOffset, RawSize int64 // of its content in the decompressed stream
}

// SeekTable lists the frames of a zstd stream. The zero SeekTable is empty. Add
// must not run beside other calls.
type SeekTable struct {
	ends []seekEnd
}

// seekEnd is where a frame and its content end.
type seekEnd struct{ frame, raw int64 }

// Add appends a frame of size bytes with rawSize bytes of content. Errors are
// ErrLimit and leave the table as it was.
func (t *SeekTable) Add(size, rawSize int64) error {
	if size < 1 || size > math.MaxUint32 || rawSize < 0 || rawSize > MaxSeekFrameSize {
		return errorf(ErrLimit, "seek table: frame %d has %d bytes, with %d bytes of content", len(t.ends), size, rawSize)
	}
	if len(t.ends) == MaxSeekFrames {
		return errorf(ErrLimit, "seek table: more than %d frames", MaxSeekFrames)
	}
	end := t.end()
	t.ends = append(t.ends, seekEnd{end.frame + size, end.raw + rawSize})
	return nil
}

// Len is the number of frames.
func (t *SeekTable) Len() int { return len(t.ends) }

// RawSize is the length of the decompressed stream, in bytes.
func (t *SeekTable) RawSize() int64 { return t.end().raw }

func (t *SeekTable) end() seekEnd {
	if len(t.ends) == 0 {
		return seekEnd{}
	}
	return t.ends[len(t.ends)-1]
}

// Frame is frame i, counted from 0; it panics where there is none.
func (t *SeekTable) Frame(i int) SeekFrame {
	var start seekEnd
	if i > 0 {
		start = t.ends[i-1]
	}
	end := t.ends[i]
	return SeekFrame{start.frame, end.frame - start.frame, start.raw, end.raw - start.raw}
}

// Find is the frame that has the content at rawOffset, or Len() behind the end.
func (t *SeekTable) Find(rawOffset int64) int {
	return sort.Search(len(t.ends), func(i int) bool { return t.ends[i].raw > rawOffset })
}

// Append appends the skippable frame, without checksums.
func (t *SeekTable) Append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, skippableMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(t.ends)*seekFrameSize+seekFooterSize))
	for i := range t.ends {
		f := t.Frame(i)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(f.Size))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(f.RawSize))
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(t.ends)))
	dst = append(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, seekableMagic)
}

// ReadSeekTable reads the seek table at the end of a stream of size bytes. ok is
// false, without an error, where there is none. A table whose frames are not
// exactly the stream before it is ErrFormat, one that is too large ErrLimit;
// other errors are r's, with io.ErrUnexpectedEOF where r is shorter than size.
func ReadSeekTable(r io.ReaderAt, size int64) (t *SeekTable, ok bool, err error) {
	if size < seekHeaderSize+seekFooterSize {
		return nil, false, nil
	}
	var foot [seekFooterSize]byte
	if err := ReadFullAt(r, foot[:], size-seekFooterSize); err != nil {
		return nil, false, fmt.Errorf("read seek table: %w", err)
	}
	if binary.LittleEndian.Uint32(foot[5:]) != seekableMagic {
		return nil, false, nil
	}
	if foot[4]&seekReserved != 0 {
		return nil, false, errorf(ErrFormat, "seek table has the unknown descriptor %#02x", foot[4])
	}
	n, width := int64(binary.LittleEndian.Uint32(foot[:])), int64(seekFrameSize)
	if foot[4]&seekChecksum != 0 {
		width += 4
	}
	length := seekHeaderSize + n*width + seekFooterSize
	switch {
	case n > MaxSeekFrames:
		return nil, false, errorf(ErrLimit, "seek table of more than %d frames", MaxSeekFrames)
	case length > size:
		return nil, false, errorf(ErrFormat, "seek table of %d frames in a stream of %d bytes", n, size)
	}
	t, err = readSeekFrames(io.NewSectionReader(r, size-length, length), n, width)
	if err != nil {
		return nil, false, err
	}
	if got := t.end().frame; got != size-length {
		return nil, false, errorf(ErrFormat, "seek table of frames of %d bytes behind %d bytes", got, size-length)
	}
	return t, true, nil
}

// readSeekFrames reads the header and n frames of width bytes, which are there.
func readSeekFrames(r io.Reader, n, width int64) (*SeekTable, error) {
	in := bufio.NewReaderSize(r, seekTableBuffer)
	var b [seekFrameSize + 4]byte
	if err := readFull(in, b[:seekHeaderSize]); err != nil {
		return nil, fmt.Errorf("read seek table: %w", err)
	}
	if binary.LittleEndian.Uint32(b[:]) != skippableMagic || int64(binary.LittleEndian.Uint32(b[4:])) != n*width+seekFooterSize {
		return nil, errorf(ErrFormat, "seek table is no skippable frame of its length")
	}
	t := &SeekTable{make([]seekEnd, 0, n)}
	for range n {
		if err := readFull(in, b[:width]); err != nil {
			return nil, fmt.Errorf("read seek table: %w", err)
		}
		size, rawSize := int64(binary.LittleEndian.Uint32(b[:])), int64(binary.LittleEndian.Uint32(b[4:]))
		if err := t.Add(size, rawSize); err != nil {
			return nil, err
		}
	}
	return t, nil
}
