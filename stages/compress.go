package stages

import (
	"context"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"swingport/format"
)

// Levels of compression, from the fastest to the smallest.
var Levels = []string{"fastest", "default", "better", "best"}

// levels are what the encoder knows them as, and how many may run: each holds its tables, some hundred KiB at the fastest level and 40 MB at
// the best. The default is what the encoder calls its fastest: about the size of zstd -1, at two thirds of the cost of its next one, which would
// make an export slower than tar with zstd -3. Below that there is only leaving out the entropy coding of literals.
var levels = map[string]struct {
	options []zstd.EOption
	workers int
}{
	"fastest": {[]zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithNoEntropyCompression(true)}, 8},
	"default": {[]zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest)}, 8},
	"better":  {[]zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedBetterCompression)}, 8},
	"best":    {[]zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedBestCompression)}, 2},
}

// Compressor packs the pieces of an archive into zstd frames, one each, side by side.
type Compressor struct {
	encoders chan *encoder // one for each worker
	table    format.SeekTable
}

// encoder is one worker's: the frames that it made and nobody has written yet are in chunks of its own, see Ordered.
type encoder struct {
	z    *zstd.Encoder
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
	options := append([]zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true), zstd.WithWindowSize(PieceSize)}, l.options...)
	for range cap(k.encoders) {
		z, err := zstd.NewWriter(nil, options...)
		if err != nil {
			return nil, err
		}
		k.encoders <- &encoder{z, NewPool(2, PieceSize)}
	}
	return k, nil
}

// Workers is how many workers may compress.
func (k *Compressor) Workers() int { return cap(k.encoders) }

// NewFrames makes the links for one run.
func (k *Compressor) NewFrames() *Frames {
	return NewOrdered[*Chunk]("compress", k.Workers(), 1, func(f frame) { f.Release() })
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
		c.Data = e.z.EncodeAll(piece.Data, c.Data)
		raw := len(piece.Data)
		piece.Release()
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
