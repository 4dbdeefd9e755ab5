package stages

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"swingport/format"
)

// Rows is a batch of rows of one table, one after the other in an arena. A row is a header of rowHeader bytes (lengths of the two texts,
// the type of the second, an integer), then the first text, then the second one.
//
//	kvStore:         key,   value
//	transcriptItems: vatID, item, position as the integer
type Rows struct {
	Data  []byte
	Count int
	pool  *rowsPool
}

const rowHeader = 4 + 4 + 1 + 8

// Row is one row, borrowed from its batch.
type Row struct {
	A   []byte // key or vatID: TEXT
	B   format.Value
	Pos int64 // position
}

// appendRow needs a's and b's bytes to be below 4 GiB, which SQLite's limit of 1e9 bytes a value assures.
func appendRow(dst, a []byte, b format.Value, pos int64) []byte {
	n := len(dst)
	dst = append(dst, make([]byte, rowHeader)...)
	binary.LittleEndian.PutUint32(dst[n:], uint32(len(a)))
	dst[n+8] = byte(b.Type)
	binary.LittleEndian.PutUint64(dst[n+9:], uint64(pos))
	dst = append(dst, a...)
	m := len(dst)
	switch b.Type {
	case format.Integer:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(b.Int))
	case format.Real:
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(b.Real))
	default:
		dst = append(dst, b.Bytes...)
	}
	binary.LittleEndian.PutUint32(dst[n+4:], uint32(len(dst)-m))
	return dst
}

// rowSize is the number of bytes of the row at the start of b.
func rowSize(b []byte) int {
	return rowHeader + int(binary.LittleEndian.Uint32(b)) + int(binary.LittleEndian.Uint32(b[4:]))
}

// rowKey is the first text of the row at the start of b.
func rowKey(b []byte) []byte { return b[rowHeader:][:binary.LittleEndian.Uint32(b)] }

// parseRow reads the row at the start of b.
func parseRow(b []byte) Row {
	r := Row{A: rowKey(b), Pos: int64(binary.LittleEndian.Uint64(b[9:]))}
	v := b[rowHeader+len(r.A):][:binary.LittleEndian.Uint32(b[4:])]
	r.B = format.Value{Type: format.Type(b[8])}
	switch r.B.Type {
	case format.Integer:
		r.B.Int = int64(binary.LittleEndian.Uint64(v))
	case format.Real:
		r.B.Real = math.Float64frombits(binary.LittleEndian.Uint64(v))
	default:
		r.B.Bytes = v
	}
	return r
}

// Each calls f for each row.
func (r *Rows) Each(f func(Row) error) error {
	for b := r.Data; len(b) > 0; b = b[rowSize(b):] {
		if err := f(parseRow(b)); err != nil {
			return err
		}
	}
	return nil
}

// Release gives the arena back. A batch that was not made by Tables has none, and stays as it is.
func (r *Rows) Release() {
	if r.pool == nil {
		return
	}
	if raceEnabled {
		clear(r.Data[:cap(r.Data)])
	}
	if cap(r.Data) > r.pool.size {
		r.Data = nil // it grew for one long row
	}
	r.pool.free <- r
}

// rowsPool bounds the arenas of one table.
type rowsPool struct {
	size int
	free chan *Rows
}

func newRowsPool(n, size int) *rowsPool {
	p := &rowsPool{size, make(chan *Rows, n)}
	for range n {
		p.free <- &Rows{pool: p}
	}
	return p
}

func (p *rowsPool) get(ctx context.Context) (*Rows, error) {
	select {
	case r := <-p.free:
		return p.empty(r), nil
	default:
	}
	t := time.Now()
	select {
	case r := <-p.free:
		waitedAfter(ctx, t)
		return p.empty(r), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// empty makes an arena ready for its next use.
func (p *rowsPool) empty(r *Rows) *Rows {
	if r.Data == nil {
		r.Data = make([]byte, 0, p.size)
	}
	r.Data, r.Count = r.Data[:0], 0
	return r
}

// othersBack waits until all arenas but the caller's one have come back.
func (p *rowsPool) othersBack(ctx context.Context) error {
	var others []*Rows
	defer func() {
		for _, r := range others {
			p.free <- r
		}
	}()
	defer waitedAfter(ctx, time.Now())
	for len(others) < cap(p.free)-1 {
		select {
		case r := <-p.free:
			others = append(others, r)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// rowWriter fills batches of one table and sends them on.
type rowWriter struct {
	pool  *rowsPool
	out   *Link[*Rows]
	cur   *Rows
	alone bool // a row that is larger than an arena waits until those before it were taken: it could be one of many as large
}

// add appends a row, sending the batch on when the row does not fit any more.
func (w *rowWriter) add(ctx context.Context, a []byte, b format.Value, pos int64) error {
	need := rowHeader + len(a) + len(b.Bytes) + 8
	if w.cur != nil && len(w.cur.Data)+need > w.pool.size {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	if w.cur == nil {
		var err error
		if w.cur, err = w.pool.get(ctx); err != nil {
			return err
		}
		if w.alone && need > w.pool.size {
			if err := w.pool.othersBack(ctx); err != nil {
				return err
			}
		}
	}
	w.cur.Data = appendRow(w.cur.Data, a, b, pos)
	w.cur.Count++
	return nil
}

// flush sends the batch that is being filled.
func (w *rowWriter) flush(ctx context.Context) error {
	if w.cur == nil {
		return nil
	}
	r := w.cur
	w.cur = nil
	return w.out.Send(ctx, r)
}

// Tables is where the rows of the two large tables go. A nil link: the table is not wanted.
type Tables struct {
	Items, KV *Link[*Rows]
	items, kv rowWriter
	limit     int // bytes of an item, and of a line of kvStore, see Store.LimitItems; 0: none
}

// NewTables makes the links for the tables that are wanted, the rows of kvStore for that many sort workers.
func NewTables(items, kv bool, sortWorkers int) *Tables {
	t := &Tables{}
	drop := func(r *Rows) { r.Release() }
	if items {
		t.Items = NewLink(4, drop)
		t.items = rowWriter{pool: newRowsPool(8, rowArena), out: t.Items, alone: true}
	}
	if kv {
		t.KV = NewLink(4, drop)
		t.kv = rowWriter{pool: newRowsPool(kvArenas(sortWorkers), rowArena), out: t.KV}
	}
	return t
}

// OnlyKV is the table kvStore of t alone.
func (t *Tables) OnlyKV() *Tables { return &Tables{KV: t.KV, kv: t.kv, limit: t.limit} }

// addItem takes a row of transcriptItems. Rows that no span can own, since their vatID is no text or their position no number, are left out.
func (t *Tables) addItem(ctx context.Context, vatID, position, item format.Value) error {
	if vatID.Type != format.Text || position.Type == format.Null || position.Type == format.Text || position.Type == format.Blob {
		return nil
	}
	if position.Type == format.Real {
		return fmt.Errorf("transcriptItems: vat %q has an item at position %v, which is no integer", vatID.Bytes, position.Real)
	}
	if t.limit > 0 {
		if err := checkText("item", item.Bytes, t.limit); err != nil || len(item.Bytes) > t.limit {
			return fmt.Errorf("transcriptItems: vat %s, position %d: %w", quoted(string(vatID.Bytes)), position.Int, cmp.Or(err, tooLarge("item", t.limit)))
		}
	}
	return t.items.add(ctx, vatID.Bytes, item, position.Int)
}

// addKV takes a row of kvStore. Keys of the node's own, which are not exported, are left out.
func (t *Tables) addKV(ctx context.Context, key, value format.Value) error {
	if key.Type != format.Text {
		return fmt.Errorf("kvStore: key must be a string, not %v", key.Type)
	}
	if private(key.Bytes) {
		return nil
	}
	// A byte takes six of the line at most.
	if t.limit > 0 && 6*(len(key.Bytes)+len(value.Bytes)) > t.limit && format.KVSize(key.Bytes, value)-len("\n") > t.limit {
		return fmt.Errorf("kvStore: key %s: %w", quoted(string(key.Bytes)), tooLarge("line of export data", t.limit))
	}
	return t.kv.add(ctx, key.Bytes, value, 0)
}

// private reports whether a kvStore key belongs to the node alone.
func private(key []byte) bool {
	const local, host = "local.", "host."
	return len(key) >= len(host) && string(key[:len(host)]) == host || len(key) >= len(local) && string(key[:len(local)]) == local
}

func (t *Tables) flush(ctx context.Context) error {
	if err := t.items.flush(ctx); err != nil {
		return err
	}
	return t.kv.flush(ctx)
}

// Close says that all rows were read. For the runner, see Link.
func (t *Tables) Close() {
	for _, l := range []*Link[*Rows]{t.Items, t.KV} {
		if l != nil {
			l.Close()
		}
	}
}
