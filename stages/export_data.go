package stages

import (
	"context"

	"swingport/format"
)

// WriteLines sends the export data in chunks: the sorted rows of kvStore, then the records of snapshots, spans and bundles. genesis, if not
// nil, hashes it.
func WriteLines(ctx context.Context, s *Store, sorted *KVSorter, genesis *format.GenesisHash, out *Link[*Chunk]) error {
	w := &lineWriter{ctx: ctx, pool: NewPool(6, 256<<10), genesis: genesis, out: out}
	err := sorted.Merge(ctx, func(r Row) error {
		w.line = format.AppendKV(w.line[:0], r.A, r.B)
		return w.add(w.line)
	})
	if err != nil {
		return err
	}
	if err := EachMetadataLine(ctx, s, w.add); err != nil {
		return err
	}
	return w.flush()
}

// lineWriter fills chunks with lines; a line may go on in the next chunk.
type lineWriter struct {
	ctx     context.Context
	pool    *Pool
	genesis *format.GenesisHash // may be nil
	out     *Link[*Chunk]
	cur     *Chunk
	line    []byte
}

func (w *lineWriter) add(line []byte) error {
	if w.genesis != nil {
		w.genesis.Lines(line)
	}
	for len(line) > 0 {
		if w.cur == nil {
			var err error
			if w.cur, err = w.pool.Get(w.ctx); err != nil {
				return err
			}
		}
		n := min(len(line), cap(w.cur.Data)-len(w.cur.Data))
		w.cur.Data = append(w.cur.Data, line[:n]...)
		line = line[n:]
		if len(w.cur.Data) == cap(w.cur.Data) {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *lineWriter) flush() error {
	if w.cur == nil {
		return nil
	}
	c := w.cur
	w.cur = nil
	return w.out.Send(w.ctx, c)
}
