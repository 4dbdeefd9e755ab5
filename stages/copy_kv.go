package stages

import (
	"bytes"
	"context"

	"swingport/format"
)

// KVRows is the work of making entries of the sorted rows of kvStore, the same that parsing their lines of export data gives: one goroutine
// merges, several convert, and the results are taken from Queue in the order of the keys.
type KVRows struct {
	*Ordered[*Chunk, *Entries]
	pool *Pool

	// MaxItem is the longest line, in bytes; 0 means DefaultMaxItem.
	MaxItem int64
}

const kvChunk = 256 << 10 // bytes

// NewKVRows prepares the work of a number of converters.
func NewKVRows(workers int) *KVRows {
	return &KVRows{Ordered: NewOrdered[*Chunk](workers, 1, (*Entries).Release), pool: NewPool(2*workers+2, kvChunk)}
}

// Merge is the stage in front, once everything is sorted.
func (k *KVRows) Merge(ctx context.Context, sorted *KVSorter) error {
	var cur *Chunk
	flush := func() error {
		if cur == nil {
			return nil
		}
		full := cur
		cur = nil
		return k.Dispatch(ctx, full)
	}
	err := sorted.Merge(ctx, func(r Row) (err error) {
		need := rowHeader + len(r.A) + len(r.B.Bytes) + 8
		if cur != nil && len(cur.Data)+need > k.pool.size {
			if err := flush(); err != nil {
				return err
			}
		}
		if cur == nil {
			if cur, err = k.pool.Get(ctx); err != nil {
				return err
			}
			if err := k.room(ctx, cur, need); err != nil {
				return err
			}
		}
		cur.Data = appendRow(cur.Data, r.A, r.B, 0)
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// room makes a chunk large enough for a row of n bytes; of large ones there is one at a time.
func (k *KVRows) room(ctx context.Context, c *Chunk, n int) error {
	if n > largeLine*k.pool.size {
		if err := k.pool.othersBack(ctx); err != nil {
			return err
		}
	}
	if n > cap(c.Data) {
		c.Data = make([]byte, 0, n)
	}
	return nil
}

// Convert is the stage of one converter.
func (k *KVRows) Convert(ctx context.Context) error {
	p := rowConverter{limit: maxItemOf(k.MaxItem)}
	return k.Work(ctx, func(ctx context.Context, chunk *Chunk, out *Link[*Entries]) error {
		e := entriesPool.Get().(*Entries)
		e.chunk, e.pool = chunk, k.pool
		for b := chunk.Data; len(b) > 0; b = b[rowSize(b):] {
			row := parseRow(b)
			size := format.KVSize(row.A, row.B)
			kv, err := p.kv(row, size-len("\n"))
			if err != nil {
				e.Release()
				return err
			}
			e.KV = append(e.KV, kv)
			e.Bytes += int64(size)
		}
		return out.Send(ctx, e)
	})
}

// rowConverter is what one converter keeps from one row to the next.
type rowConverter struct {
	limit int // bytes of a line
	line  []byte
	entry format.Entry
}

// kv is a row as it comes back from its line of export data, which has a number of bytes. Text that is UTF-8 does as it is; for the rest the
// line is made.
func (p *rowConverter) kv(r Row, lineBytes int) (KV, error) {
	switch n := len(r.A) + len(r.B.Bytes); {
	case lineBytes > p.limit:
		return KV{}, tooLarge("line", p.limit)
	case n > maxValue:
		return KV{}, errorf(format.ErrLimit, "export data key %s: %d bytes, the database takes at most %d in a row", quoted(string(r.A)), n, maxValue)
	case r.B.Type == format.Text && format.ValidText(r.A) && format.ValidText(r.B.Bytes):
		return KV{Key: r.A, Value: r.B.Bytes}, nil
	}
	p.line = format.AppendKV(p.line[:0], r.A, r.B)
	if err := format.ParseLine(p.line[:lineBytes], &p.entry); err != nil {
		return KV{}, err
	}
	return KV{Key: bytes.Clone(p.entry.KVKey()), Value: bytes.Clone(p.entry.Value), Delete: p.entry.Null}, nil
}
