package stages

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"swingport/format"
)

const (
	heapChunk = 256 << 10 // bytes of a piece of a heap
	blobChunk = 128 << 10 // bytes to read of a stored heap at once
)

// SnapshotReader reads heaps out of a store.
type SnapshotReader struct {
	s     *Store
	form  format.SnapshotForm
	pools chan *Pool // one for each heap that is being read

	Unchecked bool // with gzip: nothing is unpacked, whoever takes the heaps does
}

// NewSnapshotReader makes a reader for a number of workers that read contents. The pieces that all of them have on the way take up to
// memory bytes, but each at least four.
func NewSnapshotReader(s *Store, form format.SnapshotForm, workers, memory int) *SnapshotReader {
	n := workers + 1 // one more, for what is queued
	r := &SnapshotReader{s: s, form: form, pools: make(chan *Pool, n)}
	for range n {
		r.pools <- NewPool(max(4, memory/n/heapChunk), heapChunk)
	}
	return r
}

// Run sends the snapshots that the plan's mode exports, in manifest order. Their content is read when the check asks for it, piece by piece.
func (r *SnapshotReader) Run(ctx context.Context, p *Plan, out *Link[*Artifact]) error {
	order := 0
	return p.eachHeap(func(h *heapPlan) error {
		name := string(format.AppendSnapshotName(nil, h.vatID, h.pos))
		_, err := format.ParseName(name)
		if err == nil {
			err = fileName(name)
		}
		if err != nil {
			return p.partial.leave(name, err)
		}
		a := &Artifact{Name: name, Kind: format.KindSnapshot, Hash: h.hash, Order: order, Stored: h.stored, Gzip: r.form == format.GzipSnapshots}
		order++
		if h.kept {
			return nil
		}
		// In this order, not that in which workers come to read: so what a pool lacks are pieces of artifacts in front, and a sink that takes
		// one artifact after the other gets them back.
		var pool *Pool
		t := time.Now()
		select {
		case pool = <-r.pools:
			waitedAfter(ctx, t)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		a.Content = func(ctx context.Context, f func(Piece) error) error {
			defer func() { r.pools <- pool }()
			return r.content(ctx, a, h, pool, f)
		}
		return out.Send(ctx, a)
	})
}

// content reads one heap.
func (r *SnapshotReader) content(ctx context.Context, a *Artifact, h *heapPlan, pool *Pool, f func(Piece) error) error {
	b, err := r.s.db.OpenBlob("snapshots", "compressedSnapshot", h.rowid, false)
	if err != nil {
		return err
	}
	defer b.Close()
	if r.Unchecked {
		a.Size = b.Size()
		return storedPieces(ctx, b, f)
	}
	if a.Gzip {
		a.Size, a.packed = b.Size(), sha256.New()
		return storedHeap(ctx, b, a.packed, pool, f)
	}
	if a.Size, err = heapSize(ctx, b, h.size); err != nil {
		return err
	}
	return rawHeap(ctx, b, pool, f)
}

// rawHeap unpacks a heap.
func rawHeap(ctx context.Context, b *Blob, pool *Pool, f func(Piece) error) error {
	z := getGunzip(newBlobReader(b))
	defer putGunzip(z)
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

// storedHeap passes a heap on as it is stored, and writes what is packed in it to sum.
func storedHeap(ctx context.Context, b *Blob, sum io.Writer, pool *Pool, f func(Piece) error) error {
	t := &blobTee{ctx: ctx, r: newBlobReader(b), pool: pool, f: f}
	z := getGunzip(bufio.NewReaderSize(t, blobChunk)) // pieces are larger than what z reads at once
	defer putGunzip(z)
	_, err := z.WriteTo(sum)
	switch {
	case t.err != nil:
		return t.err
	case err != nil:
		return gzipError(err)
	}
	return nil
}

// blobTee reads a blob, and passes on what was read.
type blobTee struct {
	ctx  context.Context
	r    *blobReader
	pool *Pool
	f    func(Piece) error
	err  error // of anything but the gzip
}

func (t *blobTee) Read(p []byte) (int, error) {
	c, err := t.pool.Get(t.ctx)
	if err != nil {
		t.err = err
		return 0, err
	}
	n, err := t.r.Read(p[:min(len(p), cap(c.Data))])
	c.Data = append(c.Data, p[:n]...)
	if n == 0 {
		c.Release()
	} else if sent := t.f(Piece{Chunk: c}); sent != nil {
		err = sent
	}
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

// maxDeflate is how much smaller gzip can make anything.
const maxDeflate = 1032

// heapSize is the size of a heap, unpacked. What the store says of it may be missing or wrong; then the heap is unpacked to count.
func heapSize(ctx context.Context, b *Blob, says int64) (int64, error) {
	if size := b.Size(); says >= 0 && says/maxDeflate <= size && size > 4 {
		var end [4]byte // of a gzip: the size of its last member, by 2^32
		if err := b.ReadAt(end[:], size-4); err != nil {
			return 0, err
		}
		if binary.LittleEndian.Uint32(end[:]) == uint32(says) {
			return says, nil
		}
	}
	z := getGunzip(newBlobReader(b))
	defer putGunzip(z)
	var n int64
	buf := make([]byte, heapChunk)
	for {
		m, err := z.Read(buf)
		n += int64(m)
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return 0, gzipError(err)
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		}
	}
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

func newBlobReader(b *Blob) *blobReader { return &blobReader{b: b, size: b.Size()} }

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
