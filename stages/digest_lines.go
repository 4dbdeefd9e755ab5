package stages

import (
	"bytes"
	"context"
	"io"

	"swingport/format"
)

// LineDigests is the work of digesting export data: one goroutine cuts it at newlines, several hash, and the results are taken from Queue in
// the order of the lines.
type LineDigests struct {
	*Ordered[*Chunk, []LineDigest]
	pool *Pool
	max  int // bytes of a line
}

// LineDigest is a line of export data.
type LineDigest struct {
	Key []byte
	Digest
}

// NewLineDigests prepares the work of a number of workers, on lines of at most maxItem bytes; 0 means DefaultMaxItem.
func NewLineDigests(workers int, maxItem int64) *LineDigests {
	return &LineDigests{NewOrdered[*Chunk, []LineDigest](workers, 1, nil), NewPool(2*workers+2, exportDataChunk), maxItemOf(maxItem)}
}

// Read is the stage that reads r to its end; progress is told of the bytes.
func (x *LineDigests) Read(ctx context.Context, r io.Reader, progress func(int64)) error {
	cut := lineCutter{r: r, pool: x.pool, max: x.max}
	for {
		chunk, err := cut.next(ctx)
		if err != nil || chunk == nil {
			return err
		}
		progress(int64(len(chunk.Data)))
		if err := x.Dispatch(ctx, chunk); err != nil {
			return err
		}
	}
}

// Work is the stage of one worker.
func (x *LineDigests) Work(ctx context.Context) error {
	var entry format.Entry
	return x.Ordered.Work(ctx, func(ctx context.Context, chunk *Chunk, out *Link[[]LineDigest]) error {
		list, err := digestLines(chunk.Data, &entry)
		releaseLines(chunk, x.pool)
		if err != nil {
			return err
		}
		return out.Send(ctx, list)
	})
}

// digestLines digests lines with their newlines.
func digestLines(lines []byte, entry *format.Entry) ([]LineDigest, error) {
	var list []LineDigest
	var keys []byte
	for line := range bytes.Lines(lines) {
		if err := format.ParseLine(bytes.TrimSuffix(line, []byte("\n")), entry); err != nil {
			return nil, err
		}
		n := len(keys)
		keys = append(keys, entry.Key...)
		v := format.TextValue(entry.Value)
		if entry.Null {
			v = format.Value{}
		}
		list = append(list, LineDigest{keys[n:len(keys):len(keys)], DigestOf(v)})
	}
	return list, nil
}

// EachRecordDigest calls f with the key and the digest of each metadata record of a store's export data.
func EachRecordDigest(ctx context.Context, s *Store, f func(key []byte, d Digest) error) error {
	var entry format.Entry
	return EachMetadataLine(ctx, s, func(lines []byte) error {
		list, err := digestLines(lines, &entry)
		for i := range list {
			if err == nil {
				err = f(list[i].Key, list[i].Digest)
			}
		}
		return err
	})
}
