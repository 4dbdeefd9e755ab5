package stages

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/s2"
)

// A run is a sequence of blocks: the lengths of a block's content and of its packed form and the latter's CRC-32C, 4 bytes each, then the packed
// form. A block has whole rows, but for a row that is longer than a block: the first of those that it is cut to has at least its
// header and its key.
const (
	runBlock    = 64 << 10 // bytes of content, unless a key is longer
	blockHeader = 4 + 4 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// runWriter packs one run.
type runWriter struct {
	run    *spool
	block  []byte // rows to be packed
	packed []byte
}

// add appends a row.
func (w *runWriter) add(row []byte) error {
	if len(w.block)+len(row) > runBlock {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(row) <= runBlock {
		w.block = append(w.block, row...)
		return nil
	}
	for n := max(runBlock, rowHeader+len(rowKey(row))); len(row) > 0; n = runBlock {
		n = min(n, len(row))
		if err := w.write(row[:n]); err != nil {
			return err
		}
		row = row[n:]
	}
	return nil
}

// flush writes the rows that were not written yet.
func (w *runWriter) flush() error {
	err := w.write(w.block)
	w.block = w.block[:0]
	return err
}

func (w *runWriter) write(content []byte) error {
	if len(content) == 0 {
		return nil
	}
	if need := blockHeader + s2.MaxEncodedLen(len(content)); len(w.packed) < need {
		w.packed = make([]byte, need)
	}
	n := len(s2.Encode(w.packed[blockHeader:], content))
	binary.LittleEndian.PutUint32(w.packed, uint32(len(content)))
	binary.LittleEndian.PutUint32(w.packed[4:], uint32(n))
	binary.LittleEndian.PutUint32(w.packed[8:], crc32.Checksum(w.packed[blockHeader:][:n], castagnoli))
	_, err := w.run.Write(w.packed[:blockHeader+n])
	return err
}

// runReader reads a run back. Of a row that is longer than its block it gives the header and the key: with many runs that wait for their turn,
// only the row whose turn it is may be in memory, by whole.
type runReader struct {
	run          *spool
	at           int64  // of the next block
	rows         []byte // of the current one that are still to come
	size         int    // of the row that next gave
	room, packed []byte
}

func (r *runReader) next() ([]byte, error) {
	if err := r.drop(); err != nil {
		return nil, err
	}
	if len(r.rows) == 0 {
		if r.at == r.run.size {
			return nil, nil
		}
		var err error
		if r.rows, err = r.read(r.room); err != nil {
			return nil, err
		}
		r.room = r.rows[:cap(r.rows)]
	}
	r.size = rowSize(r.rows)
	return r.rows[:min(r.size, len(r.rows))], nil
}

// drop goes on behind the row that next gave, over the blocks that have the rest of it.
func (r *runReader) drop() error {
	left := r.size - len(r.rows)
	r.rows, r.size = r.rows[min(r.size, len(r.rows)):], 0
	for left > 0 {
		b, err := r.header()
		if err != nil {
			return err
		}
		left -= b.content
		r.at += blockHeader + int64(b.packed)
	}
	return nil
}

// whole is all of the row that next gave, in room where it is longer than its block.
func (r *runReader) whole(room *[]byte) ([]byte, error) {
	if r.size <= len(r.rows) {
		return r.rows[:r.size], nil
	}
	if cap(*room) < r.size {
		*room = make([]byte, r.size)
	}
	row := (*room)[:r.size]
	n := copy(row, r.rows)
	for n < len(row) {
		part, err := r.read(row[n:])
		if err != nil {
			return nil, err
		}
		if n += len(part); n > len(row) {
			return nil, errRun
		}
	}
	r.rows, r.size = nil, 0
	return row, nil
}

var errRun = errors.New("a temporary file is not as it was written")

// runBlockHeader is what stands before a block.
type runBlockHeader struct {
	content, packed int // bytes
	sum             uint32
}

func (r *runReader) header() (runBlockHeader, error) {
	var h [blockHeader]byte
	if err := r.run.readAt(h[:], r.at); err != nil {
		return runBlockHeader{}, err
	}
	b := runBlockHeader{
		int(binary.LittleEndian.Uint32(h[:])), int(binary.LittleEndian.Uint32(h[4:])), binary.LittleEndian.Uint32(h[8:]),
	}
	if b.content == 0 || int64(b.packed) > r.run.size-r.at-blockHeader {
		return b, errRun
	}
	return b, nil
}

// read unpacks the next block, into room if it is large enough.
func (r *runReader) read(room []byte) ([]byte, error) {
	b, err := r.header()
	if err != nil {
		return nil, err
	}
	if cap(r.packed) < b.packed {
		r.packed = make([]byte, b.packed)
	}
	packed := r.packed[:b.packed]
	if err := r.run.readAt(packed, r.at+blockHeader); err != nil {
		return nil, err
	}
	if n, err := s2.DecodedLen(packed); err != nil || n != b.content || crc32.Checksum(packed, castagnoli) != b.sum {
		return nil, errRun
	}
	r.at += blockHeader + int64(b.packed)
	return s2.Decode(room[:cap(room)], packed)
}

// readAt reads what is at a place of the content.
func (s *spool) readAt(p []byte, off int64) error {
	for inMemory := int64(len(s.chunks)) * spoolChunk; len(p) > 0 && off < inMemory; {
		n := copy(p, s.chunks[off/spoolChunk].Data[off%spoolChunk:])
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		p, off = p[n:], off+int64(n)
	}
	if len(p) == 0 {
		return nil
	}
	_, err := s.file.ReadAt(p, off-int64(len(s.chunks))*spoolChunk)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the file ends before its content
	}
	return err
}
