package stages

import (
	"context"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"swingport/format"
	"swingport/stages/zenc"
)

// Levels of compression, from the fastest to the smallest.
var Levels = []string{"fastest", "default", "better", "best"}

// pack appends a frame with a piece to dst.
type pack func(dst, piece []byte) ([]byte, error)

// levels are what makes the frames of a level, and how many workers may: each holds its tables, about 1 MiB at the first two levels and 40 MB at the
// best. The default packs as small as zstd -1. Below that there is only leaving out the entropy coding of literals.
var levels = map[string]struct {
	pack    func() (pack, error)
	workers int
}{
	"fastest": {func() (pack, error) { return zenc.NewEncoder(true).AppendFrame, nil }, 8},
	"default": {func() (pack, error) { return zenc.NewEncoder(false).AppendFrame, nil }, 8},
	"better":  {func() (pack, error) { return libraryPack(zstd.SpeedBetterCompression) }, 8},
	"best":    {func() (pack, error) { return libraryPack(zstd.SpeedBestCompression) }, 2},
}

// libraryPack packs with package zstd.
func libraryPack(level zstd.EncoderLevel) (pack, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true), zstd.WithWindowSize(PieceSize))
	if err != nil {
		return nil, err
	}
	return func(dst, piece []byte) ([]byte, error) { return z.EncodeAll(piece, dst), nil }, nil
}

// frameSlack is room in a chunk for what a frame has beside its content, and what its encoder writes before it gives up packing a block, in bytes.
const frameSlack = 4 << 10

// Compressor packs the pieces of an archive into zstd frames, one each, side by side.
type Compressor struct {
	encoders chan *encoder // one for each worker
	table    format.SeekTable
}

// encoder is one worker's: the frames that it made and nobody has written yet are in chunks of its own, see Ordered.
type encoder struct {
	pack pack
	pool *Pool
}

// frame is a packed piece.
type frame struct {
	*Chunk
	raw int // bytes that are packed in it
}

// Frames is pieces on their way through a Compressor.
type Frames = Ordered[*Chunk, frame]

// NewCompressor makes a compressor for at most so many workers.
func NewCompressor(level string, workers int) (*Compressor, error) {
	l, ok := levels[level]
	if !ok {
		return nil, fmt.Errorf("unknown level %q: one of %q", level, Levels)
	}
	k := &Compressor{encoders: make(chan *encoder, min(workers, l.workers))}
	for range cap(k.encoders) {
		pack, err := l.pack()
		if err != nil {
			return nil, err
		}
		k.encoders <- &encoder{pack, NewPool(2, PieceSize+frameSlack)}
	}
	return k, nil
}

// Workers is how many workers may compress.
func (k *Compressor) Workers() int { return cap(k.encoders) }

// NewFrames makes the links for one run.
func (k *Compressor) NewFrames() *Frames {
	return NewOrdered[*Chunk](k.Workers(), 1, func(f frame) { f.Release() })
}

// Work is the body of one of Workers workers.
func (k *Compressor) Work(ctx context.Context, frames *Frames) error {
	e := <-k.encoders
	defer func() { k.encoders <- e }()
	return frames.Work(ctx, func(ctx context.Context, piece *Chunk, out *Link[frame]) error {
		c, err := e.pool.Get(ctx)
		if err != nil {
			return err
		}
		c.Data, err = e.pack(c.Data, piece.Data)
		raw := len(piece.Data)
		piece.Release()
		if err != nil {
			c.Release()
			return err
		}
		return out.Send(ctx, frame{c, raw})
	})
}

// Write writes the frames in their order.
func (k *Compressor) Write(ctx context.Context, frames *Frames, to *Target) error {
	return Each(ctx, frames.Queue, func(j *Job[*Chunk, frame]) error {
		return Each(ctx, j.Out, func(f frame) error {
			defer f.Release()
			if err := k.table.Add(int64(len(f.Data)), int64(f.raw)); err != nil {
				return err
			}
			return to.Write(ctx, f.Data)
		})
	})
}

// WriteTable writes the seek table of all frames.
func (k *Compressor) WriteTable(ctx context.Context, to *Target) error {
	return to.Write(ctx, k.table.Append(nil))
}
