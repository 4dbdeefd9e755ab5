package zenc

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/klauspost/compress/huff0"
)

// MaxInput is how much one frame holds at most, in bytes: a position takes 21 bits in the table.
const MaxInput = 1 << positionBits

// maxBlock is how many bytes the format allows in a block.
const maxBlock = 128 << 10

// Kinds of blocks.
const (
	blockRaw        = 0
	blockCompressed = 2
)

// Encoder makes frames, one after the other, each of its input alone. It takes about 1 MiB.
type Encoder struct {
	rawLiterals bool
	table       table
	reps        [2]int // the last two distances, which the format has short codes for
	huff        huff0.Scratch
	fse         [kinds]fseTable

	// The block at hand.
	lits   []byte
	seqs   []sequence
	counts [kinds][64]uint32 // of codes
}

// NewEncoder makes an encoder. With rawLiterals it leaves literals as they are, which is faster and packs less.
func NewEncoder(rawLiterals bool) *Encoder {
	e := &Encoder{rawLiterals: rawLiterals, lits: make([]byte, 0, maxBlock+litSlack), seqs: make([]sequence, 0, maxBlock/repBytes)}
	e.huff.WantLogLess = 4 // less than a sixteenth saved is not worth unpacking it
	return e
}

// AppendFrame appends a frame with src, which has MaxInput bytes at most, and its size and checksum.
func (e *Encoder) AppendFrame(dst, src []byte) ([]byte, error) {
	if len(src) > MaxInput {
		return dst, fmt.Errorf("a frame of %d bytes: %d is the most", len(src), MaxInput)
	}
	src = slices.Clip(src) // see load64
	clear(e.table[:])
	e.reps = [2]int{1, 4}
	e.huff.Reuse = huff0.ReusePolicyNone
	dst = appendHeader(dst, len(src))
	for start := 0; start == 0 || start < len(src); start += maxBlock {
		dst = e.appendBlock(dst, src, start, min(start+maxBlock, len(src)))
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(xxhash64(src))), nil
}

// appendHeader appends the header of a frame: it says the size, has no window but that, and announces a checksum.
func appendHeader(dst []byte, size int) []byte {
	const flags = 1<<5 | 1<<2
	dst = append(dst, 0x28, 0xB5, 0x2F, 0xFD)
	switch {
	case size < 256:
		return append(dst, flags, byte(size))
	case size < 256+1<<16:
		return binary.LittleEndian.AppendUint16(append(dst, flags|1<<6), uint16(size-256))
	}
	return binary.LittleEndian.AppendUint32(append(dst, flags|2<<6), uint32(size))
}

// appendBlock appends a block, raw where packing gains nothing.
func (e *Encoder) appendBlock(dst, src []byte, start, end int) []byte {
	block, last := src[start:end], end == len(src)
	dst = appendBlockHeader(slices.Grow(dst, len(block)+blockSlack), last, blockRaw, len(block))
	reps := e.reps
	e.findMatches(src, start, end)
	if out, ok := e.appendPacked(dst, len(dst)+len(block)); ok {
		appendBlockHeader(out[:len(dst)-3], last, blockCompressed, len(out)-len(dst))
		return out
	}
	// Of what is in the block, the decoder learns nothing.
	e.reps = reps
	e.huff.Reuse = huff0.ReusePolicyNone
	return append(dst, block...)
}

// blockSlack is what may be written behind a block that turns out to be too large: header, tables, and what the writer of bits begins.
const blockSlack = 1024

// appendPacked appends the content of a compressed block, unless dst would grow to limit.
func (e *Encoder) appendPacked(dst []byte, limit int) ([]byte, bool) {
	if dst = e.appendLiterals(dst, limit); len(dst) >= limit {
		return dst, false
	}
	return e.appendSequences(dst, limit)
}

func appendBlockHeader(dst []byte, last bool, kind, size int) []byte {
	v := kind<<1 | size<<3
	if last {
		v |= 1
	}
	return append(dst, byte(v), byte(v>>8), byte(v>>16))
}
