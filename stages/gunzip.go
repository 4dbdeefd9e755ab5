package stages

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

const (
	gunzipInput = 64 << 10               // bytes to read at once
	window      = 32 << 10               // how far back matches reach
	outFull     = window + 64<<10        // nothing is unpacked that begins behind it
	outSize     = outFull + 258 + 3 + 16 // which what begins before it may need, with the words that are written too far
	inputKept   = 8                      // bytes in front of inPos: as many as there may be in bits
	inputPad    = 16                     // bytes that may be read behind the end
)

// gunzipReader unpacks a gzip, of any number of members, and checks each. It reads ahead, and takes what does not belong to a gzip for an error:
// the input is to end where the last member does.
//
// It is for heaps, of which an export unpacks gigabytes: reading and writing words in place of bytes makes it about
// twice as fast as package flate. Its memory, 180 KiB, is fixed. Errors are those of package gzip, io.ErrUnexpectedEOF, and the reader's.
type gunzipReader struct {
	r       io.Reader
	readErr error // the end of r; what was read before it may still be in in

	in            [inputKept + inputPad + gunzipInput + inputPad]byte
	inPos, inEnd  int
	inStart       int64  // offset in the stream of in[0]
	bits          uint64 // the next bits, lowest first; more come at in[inPos]
	n             uint   // how many
	out           [outSize]byte
	start         int // where the member begins in out, or 0 when that is gone
	outPos, given int // unpacked up to, handed out up to

	step      func(*gunzipReader) error // of the format
	err       error                     // the end; what was unpacked before it may still be in out
	crc, size uint32
	members   int
	stored    int  // bytes left of a stored block
	lastBlock bool // of the member
	fixed     bool // lit and dist are the tables of the format's own code
	flush     bool // hand out what there is

	lit  [litSize]uint32
	dist [distSize]uint32
}

// newGunzipReader reads nothing yet.
func newGunzipReader(r io.Reader) *gunzipReader {
	z := new(gunzipReader)
	z.Reset(r)
	return z
}

var gunzipReaders = sync.Pool{New: func() any { return new(gunzipReader) }}

// getGunzip is newGunzipReader with memory that putGunzip gave back.
func getGunzip(r io.Reader) *gunzipReader {
	z := gunzipReaders.Get().(*gunzipReader)
	z.Reset(r)
	return z
}

func putGunzip(z *gunzipReader) {
	z.Reset(nil)
	gunzipReaders.Put(z)
}

// Reset begins another gzip. It reads nothing yet. A nil r lets go of the old one.
func (z *gunzipReader) Reset(r io.Reader) {
	z.r, z.readErr, z.err = r, nil, nil
	z.inPos, z.inEnd, z.inStart, z.bits, z.n = 0, 0, 0, 0, 0
	z.start, z.outPos, z.given = 0, 0, 0
	z.members, z.flush, z.step = 0, false, (*gunzipReader).header
}

// Read implements io.Reader.
func (z *gunzipReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := z.more(); err != nil {
		return 0, err
	}
	n := copy(p, z.out[z.given:z.outPos])
	z.given += n
	return n, nil
}

// WriteTo implements io.WriterTo. It copies nothing.
func (z *gunzipReader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if err := z.more(); err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
		m, err := w.Write(z.out[z.given:z.outPos])
		z.given += m
		n += int64(m)
		if err == nil && z.given < z.outPos {
			err = io.ErrShortWrite
		}
		if err != nil {
			return n, err
		}
	}
}

// more unpacks something where all was handed out.
func (z *gunzipReader) more() error {
	if z.given < z.outPos {
		return nil
	}
	if z.outPos >= outFull {
		moved := z.outPos - window
		copy(z.out[:window], z.out[moved:z.outPos])
		z.start = max(0, z.start-moved)
		z.outPos = window
		z.given = window
	}
	for z.flush = false; z.err == nil && z.outPos < outFull && !(z.flush && z.outPos > z.given); {
		from := z.outPos
		z.err = z.step(z)
		z.crc = crc32.Update(z.crc, crc32.IEEETable, z.out[from:z.outPos])
		z.size += uint32(z.outPos - from)
	}
	if z.given < z.outPos {
		return nil
	}
	return z.err
}

// Flags of a header.
const (
	gzipHeaderSum = 1 << 1
	gzipExtra     = 1 << 2
	gzipName      = 1 << 3
	gzipComment   = 1 << 4
	gzipReserved  = 0xe0

	maxGzipName = 511 // bytes, as package gzip has it
)

// header begins a member, or ends the stream.
func (z *gunzipReader) header() error {
	if !z.fill(1) && z.members > 0 && z.readErr == io.EOF {
		return io.EOF
	}
	if err := z.need(10); err != nil {
		return err
	}
	z.crc = 0
	h := z.headerBytes(10)
	flags := h[3]
	if h[0] != 0x1f || h[1] != 0x8b || h[2] != 8 || flags&gzipReserved != 0 { // zlib refuses reserved flags too, package gzip does not
		return gzip.ErrHeader
	}
	if flags&gzipExtra != 0 {
		if err := z.need(2); err != nil {
			return err
		}
		for left := int(binary.LittleEndian.Uint16(z.headerBytes(2))); left > 0; {
			if err := z.need(1); err != nil {
				return err
			}
			left -= len(z.headerBytes(min(left, z.inEnd-z.inPos)))
		}
	}
	for _, flag := range []byte{gzipName, gzipComment} {
		if flags&flag != 0 {
			if err := z.headerString(); err != nil {
				return err
			}
		}
	}
	if flags&gzipHeaderSum != 0 {
		if err := z.need(2); err != nil {
			return err
		}
		if sum := uint16(z.crc); binary.LittleEndian.Uint16(z.headerBytes(2)) != sum {
			return gzip.ErrHeader
		}
	}
	z.crc, z.size, z.start = 0, 0, z.outPos
	z.members++
	z.step = (*gunzipReader).blockHeader
	return nil
}

// headerBytes takes n bytes that are there.
func (z *gunzipReader) headerBytes(n int) []byte {
	b := z.in[z.inPos : z.inPos+n]
	z.inPos += n
	z.crc = crc32.Update(z.crc, crc32.IEEETable, b)
	return b
}

func (z *gunzipReader) headerString() error {
	for left := maxGzipName + 1; left > 0; {
		if err := z.need(1); err != nil {
			return err
		}
		b := z.in[z.inPos:min(z.inEnd, z.inPos+left)]
		if end := bytes.IndexByte(b, 0); end >= 0 {
			z.headerBytes(end + 1)
			return nil
		}
		left -= len(z.headerBytes(len(b)))
	}
	return gzip.ErrHeader
}

// trailer ends a member.
func (z *gunzipReader) trailer() error {
	z.toBytes()
	if err := z.need(8); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(z.in[z.inPos:]) != z.crc || binary.LittleEndian.Uint32(z.in[z.inPos+4:]) != z.size {
		return gzip.ErrChecksum
	}
	z.inPos += 8
	z.step = (*gunzipReader).header
	return nil
}

// fill reads until n bytes are there, no more than fastInput, and says whether they are.
func (z *gunzipReader) fill(n int) bool {
	if z.inEnd-z.inPos >= n {
		return true
	}
	if z.readErr != nil {
		return false
	}
	moved := max(0, z.inPos-inputKept)
	copy(z.in[:], z.in[moved:z.inEnd])
	z.inPos -= moved
	z.inEnd -= moved
	z.inStart += int64(moved)
	for empty := 0; z.inEnd-z.inPos < n && z.readErr == nil; {
		m, err := z.r.Read(z.in[z.inEnd : z.inEnd+min(gunzipInput, len(z.in)-inputPad-z.inEnd)])
		z.inEnd += m
		z.readErr = err
		if m > 0 {
			empty = 0
		} else if empty++; empty == 100 && err == nil {
			z.readErr = io.ErrNoProgress
		}
	}
	if z.readErr != nil {
		clear(z.in[z.inEnd : z.inEnd+inputPad])
	}
	return z.inEnd-z.inPos >= n
}

// need is fill where the bytes must be there.
func (z *gunzipReader) need(n int) error {
	if !z.fill(n) {
		return z.cut()
	}
	return nil
}

// refill makes it at least 56 bits. Behind the end of the input they are zeros; over says when some of those were taken.
func (z *gunzipReader) refill() {
	z.fill(8)
	z.bits |= binary.LittleEndian.Uint64(z.in[z.inPos:]) << (z.n & 63)
	z.inPos += int(^z.n >> 3 & 7)
	z.n = z.n&7 | 56
}

func (z *gunzipReader) drop(n uint) {
	z.bits >>= n & 63
	z.n -= n
}

func (z *gunzipReader) over() bool { return z.inPos-z.inEnd > int(z.n/8) }

// take takes up to 16 bits.
func (z *gunzipReader) take(n uint) (uint32, error) {
	z.refill()
	v := uint32(z.bits & (1<<n - 1))
	if z.drop(n); z.over() {
		return 0, z.cut()
	}
	return v, nil
}

// toBytes goes back to the first byte of which no bit was taken.
func (z *gunzipReader) toBytes() {
	z.inPos -= int(z.n / 8)
	z.bits, z.n = 0, 0
}

// offset is how many bytes of the input were used.
func (z *gunzipReader) offset() int64 { return z.inStart + int64(z.inPos) - int64(z.n/8) }

// cut is the error where there is too little input.
func (z *gunzipReader) cut() error {
	if z.readErr == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return z.readErr
}

// oddOrCut is the error for bits that are no code, which may be so because the input ended within them.
func (z *gunzipReader) oddOrCut() error {
	if z.readErr != nil && z.offset()+4 > z.inStart+int64(z.inEnd) {
		return z.cut()
	}
	return z.corrupt()
}
