package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"golang.org/x/sync/semaphore"

	"swingport/format"
)

// Content is what an artifact holds: of a heap what it is unpacked, whatever its form.
type Content struct {
	Name   string
	Kind   format.Kind
	Size   int64 // bytes
	SHA256 [sha256.Size]byte
	Items  int64  // a span's
	bundle []byte // a bundle's content; nil of others
}

// ContentReader reads artifacts as they are. With Room it compares them with their names, else with nothing. It is for one goroutine.
type ContentReader struct {
	Progress func(bytes int64)   // read, packed or not
	Room     *semaphore.Weighted // bytes that the bundles of all readers may take, which is at least MaxItem; nil: nothing is compared
	MaxItem  int64               // the largest bundle with Room, in bytes; 0 means DefaultMaxItem

	buf    []byte
	gunzip *gunzipReader
}

// Read reads an artifact to its end.
func (c *ContentReader) Read(ctx context.Context, in Incoming) (got Content, err error) {
	got.Name = in.Name
	name, err := format.ParseName(in.Name)
	if err != nil {
		return got, err
	}
	got.Kind = name.Kind
	if c.Room != nil && name.Kind == format.KindBundle {
		if in.Size > int64(maxItemOf(c.MaxItem)) {
			return got, tooLarge("bundle", maxItemOf(c.MaxItem))
		}
		if err := c.Room.Acquire(ctx, in.Size); err != nil {
			return got, context.Cause(ctx)
		}
		defer c.Room.Release(in.Size)
	}
	f, err := in.Open(ctx)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := io.Reader(&countingReader{r: f, progress: c.Progress})
	if in.Gzip {
		r = c.unpacked(r)
	}
	err = c.read(ctx, r, &got)
	if err != nil && in.Gzip && ctx.Err() == nil {
		err = gzipError(err)
	}
	if err == nil && c.Room != nil {
		err = got.checkAlone()
		got.bundle = nil
	}
	return got, err
}

func (c *ContentReader) unpacked(r io.Reader) io.Reader {
	if c.gunzip == nil {
		c.gunzip = new(gunzipReader)
	}
	c.gunzip.Reset(r)
	return c.gunzip
}

func (c *ContentReader) read(ctx context.Context, r io.Reader, got *Content) error {
	if c.buf == nil {
		c.buf = make([]byte, spanChunk)
	}
	sum := sha256.New()
	end := byte('\n')
	for {
		n, err := r.Read(c.buf)
		piece := c.buf[:n]
		sum.Write(piece)
		got.Size += int64(n)
		switch got.Kind {
		case format.KindTranscript:
			got.Items += int64(bytes.Count(piece, []byte("\n")))
			if n > 0 {
				end = piece[n-1]
			}
		case format.KindBundle:
			if c.Room != nil {
				if got.Size > int64(maxItemOf(c.MaxItem)) {
					return tooLarge("bundle", maxItemOf(c.MaxItem))
				}
				got.bundle = append(got.bundle, piece...)
			}
		}
		switch {
		case err == io.EOF:
			if end != '\n' {
				got.Items++ // without a newline
			}
			sum.Sum(got.SHA256[:0])
			return nil
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// checkAlone compares an artifact with its name, which is all there is without records: the id of a bundle, the number of a span's items.
func (c *Content) checkAlone() error {
	name, err := format.ParseName(c.Name)
	switch {
	case err != nil:
		return err
	case name.Kind == format.KindBundle:
		return format.BundleMatches(name.BundleID, c.bundle)
	case name.Kind == format.KindTranscript && c.Items != name.End-name.Pos:
		return errorf(format.ErrIncomplete, "it has %d items, and its name says %d", c.Items, name.End-name.Pos)
	}
	return nil
}
