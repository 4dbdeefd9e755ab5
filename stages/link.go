package stages

import (
	"context"
	"time"
)

// Link is a bounded edge between two stages. What either end waits is counted where its stage is, see Waits, so that the bottleneck shows.
//
// Send gives its element away, always, also when it fails: the link then drops it. Only the runner closes a link, and only after the
// stages in front of it returned nil, so that nobody takes a failure for the end of the input.
type Link[T any] struct {
	ch   chan T
	drop func(T)
}

// NewLink makes a link that holds up to depth elements. drop, which may be nil, releases an element that nobody will receive.
func NewLink[T any](depth int, drop func(T)) *Link[T] {
	if drop == nil {
		drop = func(T) {}
	}
	return &Link[T]{ch: make(chan T, depth), drop: drop}
}

// Send passes v on, or drops it and returns the cause when ctx ends first.
func (l *Link[T]) Send(ctx context.Context, v T) error {
	if ctx.Err() != nil {
		l.drop(v)
		return context.Cause(ctx)
	}
	select {
	case l.ch <- v:
	default:
		t := time.Now()
		select {
		case l.ch <- v:
			waitedAfter(ctx, t)
		case <-ctx.Done():
			l.drop(v)
			return context.Cause(ctx)
		}
	}
	return nil
}

// Recv takes the next element; ok is false at the end of the input.
func (l *Link[T]) Recv(ctx context.Context) (v T, ok bool, err error) {
	if ctx.Err() != nil {
		return v, false, context.Cause(ctx)
	}
	select {
	case v, ok = <-l.ch:
		return v, ok, nil
	default:
	}
	t := time.Now()
	select {
	case v, ok = <-l.ch:
		WaitedBefore(ctx, t)
		return v, ok, nil
	case <-ctx.Done():
		return v, false, context.Cause(ctx)
	}
}

// Close says that no more elements come. For the runner, see Link.
func (l *Link[T]) Close() { close(l.ch) }

// Each calls f for each element of l until its end, the context's, or an error.
func Each[T any](ctx context.Context, l *Link[T], f func(T) error) error {
	for {
		v, ok, err := l.Recv(ctx)
		if err != nil || !ok {
			return err
		}
		if err := f(v); err != nil {
			return err
		}
	}
}

// Chunk is a piece of an artifact or of the export data. It has one owner at a time; the last one releases it, once.
type Chunk struct {
	Data []byte // up to the pool's size
	pool releaser

	class  int   // for memory
	weight int64 // for memory
}

// releaser is where a chunk came from.
type releaser interface{ put(*Chunk) }

// Pool is a bounded set of chunks. Each source has its own, and nobody waits for a second chunk while holding one: then a pool of one
// suffices and nothing deadlocks.
type Pool struct {
	size int
	free chan *Chunk
}

// NewPool makes a pool of n chunks with room for size bytes each; they are allocated when first needed.
func NewPool(n, size int) *Pool {
	p := &Pool{size: size, free: make(chan *Chunk, n)}
	for range n {
		p.free <- &Chunk{pool: p}
	}
	return p
}

// Get waits for a free chunk; its Data is empty with the pool's size as capacity.
func (p *Pool) Get(ctx context.Context) (*Chunk, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if c := p.tryGet(); c != nil {
		return c, nil
	}
	t := time.Now()
	select {
	case c := <-p.free:
		waitedAfter(ctx, t)
		return p.empty(c), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// tryGet is Get without waiting: nil where no chunk is free.
func (p *Pool) tryGet() *Chunk {
	select {
	case c := <-p.free:
		return p.empty(c)
	default:
		return nil
	}
}

// empty makes a chunk of the pool ready for its next use.
func (p *Pool) empty(c *Chunk) *Chunk {
	if c.Data == nil {
		c.Data = make([]byte, 0, p.size)
	}
	c.Data = c.Data[:0]
	return c
}

// Release gives the chunk back. Under the race detector its bytes are overwritten, so that a late reader is found out.
func (c *Chunk) Release() {
	if raceEnabled {
		clear(c.Data[:cap(c.Data)])
	}
	c.pool.put(c)
}

func (p *Pool) put(c *Chunk) { p.free <- c }

// unpooled is where chunks come from that nobody counts.
type unpooled struct{}

func (unpooled) put(*Chunk) {}
