package stages

import (
	"context"
	"crypto/sha256"
	"hash"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"swingport/format"
)

// Artifact is one artifact on its way from a reader to the check.
type Artifact struct {
	Name   string
	Kind   format.Kind
	Hash   string // of the record: span and snapshot; the id of a bundle
	Items  int64  // a span's, as endPos-startPos
	Order  int    // place among its kind
	Stored int64  // bytes in the store, of a snapshot or bundle
	Gzip   bool   // a snapshot as the store holds it
	Size   int64  // bytes as exported; known before the first piece comes

	// SHA256 is that of the content as exported; known with the last part, where the check was asked for it.
	SHA256 [sha256.Size]byte

	packed hash.Hash // with Gzip: over the heap itself, once the content was read

	// Content calls f with the artifact's content piece by piece, once. For a span a piece is whole items, for others any bytes. f takes over
	// the piece and releases it.
	Content func(ctx context.Context, f func(Piece) error) error
}

// File is the name of the artifact's file.
func (a *Artifact) File() string {
	if a.Gzip {
		return format.GzipSnapshots.File(a.Name)
	}
	return a.Name
}

// Piece is a part of an artifact's content.
type Piece struct {
	*Chunk
	Items []Item // a span's items in Data, in the order of their positions
}

// Item is a transcript item in a chunk's Data: its bytes as exported, followed by a newline that is already there.
type Item struct {
	Pos      int64
	Off, Len uint32
}

// memory bounds the bytes that the spans being put together and those on their way may take. Chunks come in sizes that double, so that
// thousands of small spans stay small.
type memory struct {
	sem  *semaphore.Weighted
	free [numClasses]sync.Pool
}

const (
	smallestChunk = 4 << 10
	numClasses    = 4 // 4 KiB to 32 KiB
	largestChunk  = smallestChunk << (numClasses - 1)
)

func newMemory(limit int64) *memory { return &memory{sem: semaphore.NewWeighted(limit)} }

// get waits for room for a chunk with at least n bytes, of class class or larger.
func (m *memory) get(ctx context.Context, class, n int) (*Chunk, error) {
	for class < numClasses-1 && smallestChunk<<class < n {
		class++
	}
	size := max(n, smallestChunk<<class)
	weight := min(int64(size), onTheWay) // a single item may be larger than all the room; that much comes free, whatever is open
	if !m.sem.TryAcquire(weight) {
		t := time.Now()
		if err := m.sem.Acquire(ctx, weight); err != nil {
			return nil, context.Cause(ctx)
		}
		waitedAfter(ctx, t)
	}
	c := &Chunk{pool: m, weight: weight}
	if size <= largestChunk {
		c.class = class
		if b, ok := m.free[class].Get().(*[]byte); ok {
			c.Data = (*b)[:0]
			return c, nil
		}
	} else {
		c.class = -1
	}
	c.Data = make([]byte, 0, size)
	return c, nil
}

func (m *memory) put(c *Chunk) {
	if c.class >= 0 {
		b := c.Data
		m.free[c.class].Put(&b)
	}
	c.Data = nil
	m.sem.Release(c.weight)
}
