package stages

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"

	"swingport/format"
)

// CopySource is what an export reads of a store as an import in the same process takes it, with what such an import needs of a Source. The rows
// of kvStore are not among it: see KVRows.
type CopySource struct {
	Store *Store
	Plan  *Plan

	// Artifacts as they are read, in the order in which they are taken. Nobody has hashed them yet.
	Heaps, Bundles, Spans *Link[*Artifact]

	Taken func(*Artifact) // called for each artifact that is wanted

	count int
	ended bool
}

// Manifest is what the manifest of such an export says. Which artifacts there are is known when the last one came, and then only whether
// there were any.
func (c *CopySource) Manifest() *format.Manifest {
	return &format.Manifest{
		BlockHeight: c.Plan.Height, HasBlockHeight: !math.IsInf(c.Plan.Height, 0), // JSON has null for infinity
		ArtifactMode: string(c.Plan.Mode), HasArtifactMode: true, ArtifactsLater: !c.ended || c.count > 0, Data: format.ExportDataFile,
	}
}

// Head opens the metadata lines of the export data.
func (c *CopySource) Head(ctx context.Context) io.ReadCloser {
	return pull(func(f func([]byte) error) error { return EachMetadataLine(ctx, c.Store, f) })
}

// Artifacts calls take for the artifacts that are wanted. The others are read all the same: they take up room where they come from.
func (c *CopySource) Artifacts(ctx context.Context, wanted func(name string) (bool, error), take func(context.Context, Incoming) error) error {
	for _, in := range []*Link[*Artifact]{c.Heaps, c.Bundles, c.Spans} {
		err := Each(ctx, in, func(a *Artifact) error {
			c.count++
			ok, err := wanted(a.Name)
			switch {
			case err != nil:
				return &ArtifactError{a.Name, err}
			case !ok:
				return a.Content(ctx, func(p Piece) error { p.Release(); return nil })
			}
			c.Taken(a)
			return take(ctx, a.incoming())
		})
		if err != nil {
			return err
		}
	}
	c.ended = true
	return nil
}

// incoming is the artifact as an import takes it. What Open reads comes from the store in the reader's own goroutine.
func (a *Artifact) incoming() Incoming {
	in := Incoming{Name: a.Name, Gzip: a.Gzip, Size: a.Size}
	if a.Kind != format.KindTranscript {
		in.Size = a.Stored
	}
	in.Open = func(ctx context.Context) (io.ReadCloser, error) {
		return pull(func(f func([]byte) error) error {
			return a.Content(ctx, func(p Piece) error {
				defer p.Release()
				return f(p.Data)
			})
		}), nil
	}
	return in
}

// pulled is a reader of what a function gives piece by piece. The two take turns: the function goes on when all of a piece was read, so that
// there is nothing between them that could fill up, and no goroutine to wait for.
type pulled struct {
	next func() ([]byte, bool)
	stop func()
	rest []byte
	err  error // the function's
}

var errStopped = errors.New("the reader was closed")

func pull(each func(f func([]byte) error) error) *pulled {
	p := &pulled{}
	p.next, p.stop = iter.Pull(func(yield func([]byte) bool) {
		p.err = each(func(piece []byte) error {
			if !yield(piece) {
				return errStopped
			}
			return nil
		})
	})
	return p
}

func (p *pulled) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		var more bool
		if p.rest, more = p.next(); !more {
			if p.err != nil {
				return 0, p.err
			}
			return 0, io.EOF
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pulled) Close() error {
	p.stop()
	p.rest, p.err = nil, errStopped
	return nil
}

// storedPieces passes a heap on as it is stored; whoever takes it unpacks and checks it.
func storedPieces(ctx context.Context, b *Blob, f func(Piece) error) error {
	pool, r := NewPool(1, blobChunk), newBlobReader(b)
	for {
		c, err := pool.Get(ctx)
		if err != nil {
			return err
		}
		n, err := r.Read(c.Data[:cap(c.Data)])
		if err != nil {
			if err == io.EOF {
				err = nil
			}
			return err
		}
		c.Data = c.Data[:n]
		if err := f(Piece{Chunk: c}); err != nil {
			return err
		}
	}
}
