package stages

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"swingport/format"
)

// ReadSnapshots sends the snapshots that the plan's mode exports, in manifest order. Their content is read when the check asks for it: the
// stored gzip piece by piece, unpacked on the way.
func ReadSnapshots(ctx context.Context, s *Store, p *Plan, out *Link[*Artifact]) error {
	order := 0
	return p.eachHeap(func(h *heapPlan) error {
		name := string(format.AppendSnapshotName(nil, h.vatID, h.pos))
		if _, err := format.ParseName(name); err != nil {
			return &ArtifactError{name, err}
		}
		if err := fileName(name); err != nil {
			return &ArtifactError{name, err}
		}
		a := &Artifact{Name: name, Kind: format.KindSnapshot, Hash: h.hash, Order: order, Stored: h.stored}
		a.Content = func(ctx context.Context, f func(Piece) error) error { return s.heap(ctx, h.rowid, f) }
		order++
		return out.Send(ctx, a)
	})
}

// heap unpacks one heap.
func (s *Store) heap(ctx context.Context, rowid int64, f func(Piece) error) error {
	b, err := s.db.OpenBlob("snapshots", "compressedSnapshot", rowid, false)
	if err != nil {
		return err
	}
	defer b.Close()
	z, err := gzip.NewReader(bufio.NewReaderSize(&blobReader{b: b, size: b.Size()}, 128<<10))
	if err != nil {
		return gzipError(err)
	}
	pool := NewPool(4, 256<<10)
	for end := false; !end; {
		c, err := pool.Get(ctx)
		if err != nil {
			return err
		}
		for !end && len(c.Data) < cap(c.Data) {
			n, err := z.Read(c.Data[len(c.Data):cap(c.Data)])
			c.Data = c.Data[:len(c.Data)+n]
			end = err == io.EOF
			if err != nil && !end {
				c.Release()
				return gzipError(err)
			}
		}
		if err := f(Piece{Chunk: c}); err != nil {
			return err
		}
	}
	return nil
}

// gzipError says of a blob that ends too early what it is.
func gzipError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("unpack the stored gzip: %w", err)
}

// blobReader reads a blob from its start.
type blobReader struct {
	b        *Blob
	at, size int64
}

func (r *blobReader) Read(p []byte) (int, error) {
	n := int(min(int64(len(p)), r.size-r.at))
	if n == 0 {
		return 0, io.EOF
	}
	if err := r.b.ReadAt(p[:n], r.at); err != nil {
		return 0, err
	}
	r.at += int64(n)
	return n, nil
}
