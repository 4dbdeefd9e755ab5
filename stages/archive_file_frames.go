package stages

import (
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"swingport/format"
)

// What random access holds in memory, in bytes. An archive of ours has frames of 2 MiB; one with larger frames than maxHeldFrame is read as
// a stream, which needs no frame whole.
const (
	maxHeldFrame = 8 << 20
	heldFrames   = 4 // of them
	// maxFrameOverhead is by how much a frame can be longer than its content, with room to spare.
	maxFrameOverhead = maxHeldFrame/64 + 1<<10
)

// frameReader gives random access to the content of a zstd stream with a seek table. The frames used last stay in memory, decoded.
type frameReader struct {
	r     io.ReaderAt
	table *format.SeekTable

	mu     sync.Mutex
	dec    *zstd.Decoder
	packed []byte      // a frame as it is in the file
	held   []heldFrame // the one used last is the last one
}

type heldFrame struct {
	number int
	data   []byte
}

// newFrameReader refuses, with ErrNotSeekable, frames that are not to be held in memory.
func newFrameReader(r io.ReaderAt, table *format.SeekTable) (*frameReader, error) {
	for i := range table.Len() {
		if f := table.Frame(i); f.RawSize > maxHeldFrame || f.Size > maxHeldFrame+maxFrameOverhead {
			return nil, errorf(ErrNotSeekable, "not a seekable archive: frame %d of the zstd stream has %d bytes with %d bytes of content, "+
				"at most %d are taken for random access", i, f.Size, f.RawSize, maxHeldFrame)
		}
	}
	// The capacity of what it decodes into is what limits memory.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	return &frameReader{r: r, table: table, dec: dec}, nil
}

// ReadAt implements io.ReaderAt.
func (f *frameReader) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("read at byte %d", off)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for n < len(p) {
		i := f.table.Find(off + int64(n))
		if i == f.table.Len() {
			return n, io.EOF
		}
		data, err := f.frame(i)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], data[off+int64(n)-f.table.Frame(i).RawOffset:])
	}
	return n, nil
}

// frame is the content of frame i, which holds until the next call.
func (f *frameReader) frame(i int) ([]byte, error) {
	for at, h := range f.held {
		if h.number == i {
			f.held = append(append(f.held[:at], f.held[at+1:]...), h)
			return h.data, nil
		}
	}
	var room []byte
	if len(f.held) == heldFrames {
		room = f.held[0].data
		f.held = append(f.held[:0], f.held[1:]...)
	}
	data, err := f.decode(i, room[:0])
	if err != nil {
		place := f.table.Frame(i)
		return nil, fmt.Errorf("frame %d of the zstd stream, %d bytes at %d: %w", i, place.Size, place.Offset, err)
	}
	f.held = append(f.held, heldFrame{i, data})
	return data, nil
}

// decode reads and decodes frame i, into room if that suffices. The decoder compares the frame's checksum.
func (f *frameReader) decode(i int, room []byte) ([]byte, error) {
	place := f.table.Frame(i)
	if int64(cap(f.packed)) < place.Size {
		f.packed = make([]byte, place.Size)
	}
	packed := f.packed[:place.Size]
	if err := format.ReadFullAt(f.r, packed, place.Offset); err != nil {
		return nil, err
	}
	if int64(cap(room)) < place.RawSize {
		room = make([]byte, 0, place.RawSize)
	}
	data, err := f.dec.DecodeAll(packed, room[:0:place.RawSize])
	if err != nil {
		return nil, errorf(format.ErrFormat, "%v", err)
	}
	if int64(len(data)) != place.RawSize {
		return nil, errorf(format.ErrFormat, "%d bytes of content, the seek table says %d", len(data), place.RawSize)
	}
	return data, nil
}

func (f *frameReader) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dec.Close()
	f.held, f.packed = nil, nil
}
