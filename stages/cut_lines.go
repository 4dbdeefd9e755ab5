package stages

import (
	"bytes"
	"context"
	"io"
	"time"
)

// maxValue is the longest value that the engine stores, in bytes: SQLITE_MAX_LENGTH, less room for the rest of a row.
const maxValue = 1_000_000_000 - 4096

// largeLine is the number of pool chunks beyond which a line is large: lines of tens of megabytes must not be in memory by the pool.
const largeLine = 16

// lineCutter cuts a stream into chunks of whole lines. A line that is longer than a chunk gets one of its own, with memory of its own; of
// large ones there is one at a time. It must be the only one that takes chunks from its pool.
type lineCutter struct {
	r    io.Reader
	pool *Pool
	max  int                         // bytes of a line without its newline; 0 means maxValue
	turn func(context.Context) error // waited for before there is a large line; may be nil
	left int64                       // of the stream, as somebody says; 0 where nobody does
	tail []byte                      // the beginning of a line, from the chunk before
	done bool
}

// reset begins with a stream of size bytes.
func (c *lineCutter) reset(r io.Reader, size int64) {
	c.r, c.left, c.tail, c.done = r, size, c.tail[:0], false
}

func (c *lineCutter) limit() int {
	if c.max == 0 {
		return maxValue
	}
	return c.max
}

// next returns the next lines, with their newlines; the stream's last line may have none. A nil chunk is the end. The caller owns the chunk.
func (c *lineCutter) next(ctx context.Context) (*Chunk, error) {
	if c.done && len(c.tail) == 0 {
		return nil, nil
	}
	chunk, err := c.pool.Get(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.fill(ctx, chunk); err != nil {
		releaseLines(chunk, c.pool)
		return nil, err
	}
	if len(chunk.Data) == 0 {
		releaseLines(chunk, c.pool)
		return nil, nil
	}
	return chunk, nil
}

// fill reads until there is at least one line, and a full chunk or the end.
func (c *lineCutter) fill(ctx context.Context, chunk *Chunk) error {
	if err := c.room(ctx, len(c.tail)); err != nil {
		return err
	}
	chunk.Data = append(chunk.Data, c.tail...)
	c.tail = c.tail[:0]
	if cap(c.tail) > c.pool.size {
		c.tail = nil
	}
	seen := 0
	for !c.done {
		n := len(chunk.Data)
		if n == cap(chunk.Data) {
			if bytes.IndexByte(chunk.Data[seen:], '\n') >= 0 {
				break
			}
			if seen = n; n > c.limit() {
				return tooLarge("line", c.limit())
			}
			more := c.grown(n)
			if err := c.room(ctx, more); err != nil {
				return err
			}
			chunk.Data = append(make([]byte, 0, more), chunk.Data...)
		}
		m, err := c.r.Read(chunk.Data[n:cap(chunk.Data)])
		chunk.Data, c.left = chunk.Data[:n+m], c.left-int64(m)
		if err == io.EOF {
			c.done = true
			return nil
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	end := bytes.LastIndexByte(chunk.Data, '\n') + 1
	c.tail = append(c.tail, chunk.Data[end:]...)
	chunk.Data = chunk.Data[:end]
	return nil
}

// grown is the room for a line that has begun with n bytes.
func (c *lineCutter) grown(n int) int {
	most := c.limit() + 1
	if n >= largeLine*c.pool.size && c.limit() <= DefaultMaxItem {
		return most // at once: what is never written to takes no memory, and copies of it do
	}
	if c.left > 0 {
		most = int(min(int64(most), int64(n)+c.left+1))
	}
	return min(2*n, most)
}

// releaseLines gives a chunk of a cutter back without the memory that a long line took.
func releaseLines(chunk *Chunk, pool *Pool) {
	if cap(chunk.Data) > pool.size {
		chunk.Data = nil
	}
	chunk.Release()
}

// room waits until a chunk of n bytes may be made.
func (c *lineCutter) room(ctx context.Context, n int) error {
	if n <= largeLine*c.pool.size {
		return nil
	}
	if c.turn != nil {
		if err := c.turn(ctx); err != nil {
			return err
		}
	}
	return c.pool.othersBack(ctx)
}

// othersBack waits until all chunks but the caller's one have come back. Those are on their way to stages that take none.
func (p *Pool) othersBack(ctx context.Context) error {
	var others []*Chunk
	defer func() {
		for _, c := range others {
			p.put(c)
		}
	}()
	defer waitedAfter(ctx, time.Now())
	for len(others) < cap(p.free)-1 {
		select {
		case c := <-p.free:
			others = append(others, c)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
