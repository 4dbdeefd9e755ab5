package stages

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"time"

	"swingport/format"
)

// content is an entry of an archive on its way from the one who reads the archive to the worker who unpacks it. Its chunks come from one
// bounded pool for all entries. That cannot lock up: chunks are given out in the order of the archive, so the entry that is to be stored
// next has all of its chunks, or is the one that gets the next; and its worker waits for nobody but the sink.
type content struct {
	ctx   context.Context     // of the one who reads the archive
	entry format.ArchiveEntry // its SHA256 is set when done is closed
	link  *Link[*Chunk]
	done  chan struct{} // read to its end

	reader context.Context // the worker's, since open
	chunk  *Chunk
	at     int // of what was read of the chunk
	sum    hash.Hash
	end    bool
	err    error // why there is no more; set before the link is closed
}

// fail tells the worker that err ended the reading of the archive, and returns err. Where reading goes on without the archive, as in verify,
// nobody else would.
func (c *content) fail(err error) error {
	c.err = err
	c.link.Close()
	return err
}

// contentPool is where the chunks of entries come from.
type contentPool struct {
	*Pool
	chunks int
}

func newContentPool(chunks, size int) contentPool { return contentPool{NewPool(chunks, size), chunks} }

// new makes the content of an entry.
func (p contentPool) new(ctx context.Context, e format.ArchiveEntry) *content {
	depth := min(int64(p.chunks), e.Size/int64(p.size)+1)
	return &content{ctx: ctx, entry: e, link: NewLink(int(depth), (*Chunk).Release), done: make(chan struct{}), sum: sha256.New()}
}

// feed reads the content of an entry from r and passes it on.
func (p contentPool) feed(c *content, r io.Reader) error {
	for left := c.entry.Size; left > 0; {
		chunk, err := p.Get(c.ctx)
		if err != nil {
			return err
		}
		chunk.Data = chunk.Data[:min(left, int64(p.size))]
		if _, err := io.ReadFull(r, chunk.Data); err != nil {
			chunk.Release()
			return err
		}
		left -= int64(len(chunk.Data))
		if err := c.link.Send(c.ctx, chunk); err != nil {
			return err
		}
	}
	c.link.Close()
	return nil
}

// open begins the worker's reading.
func (c *content) open(ctx context.Context) (io.ReadCloser, error) {
	c.reader = ctx
	return c, nil
}

// Read is the worker's.
func (c *content) Read(p []byte) (n int, err error) {
	for c.chunk == nil {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n = copy(p, c.chunk.Data[c.at:])
	if c.at += n; c.at == len(c.chunk.Data) {
		c.chunk.Release()
		c.chunk = nil
	}
	return n, nil
}

// next takes the next chunk; io.EOF is the end.
func (c *content) next() error {
	if c.end {
		return io.EOF
	}
	chunk, ok, err := c.link.Recv(c.reader)
	if err != nil {
		return err
	}
	if !ok && c.err != nil {
		return c.err
	}
	if !ok {
		c.end = true
		c.sum.Sum(c.entry.SHA256[:0])
		close(c.done)
		return io.EOF
	}
	c.sum.Write(chunk.Data)
	c.chunk, c.at = chunk, 0
	return nil
}

// Close reads the rest: its hash is wanted, whatever is wrong with the content.
func (c *content) Close() error {
	for {
		if c.chunk != nil {
			c.chunk.Release()
			c.chunk = nil
		}
		if err := c.next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// SHA256 implements hashedReader.
func (c *content) SHA256() []byte { return c.entry.SHA256[:] }

// maxPending is how many entries may be read beyond one that a worker is still at.
const maxPending = 4096

// closed is done from the start.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// pending are the entries that workers are still reading, in the order of the archive.
type pending []*content

// settle calls f for the entries whose content has been read, up to the first that is not; with wait it waits for all.
func (p *pending) settle(ctx context.Context, wait bool, f func(format.ArchiveEntry) error) error {
	for len(*p) > 0 {
		c := (*p)[0]
		select {
		case <-c.done:
		default:
			if !wait {
				return nil
			}
			if err := await(ctx, c.done); err != nil {
				return err
			}
		}
		*p = (*p)[1:]
		if err := f(c.entry); err != nil {
			return err
		}
	}
	*p = nil
	return nil
}

func await(ctx context.Context, done <-chan struct{}) error {
	defer waitedAfter(ctx, time.Now())
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
