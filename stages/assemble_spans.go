package stages

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"

	"swingport/format"
)

// Assembler puts the rows of transcriptItems, which come in any order, together to spans. Items of many spans come interleaved, but a live
// chain has few spans open at once; where more is open than the memory allows, the largest are spilled as sorted runs to a temporary file
// and merged at the end.
type Assembler struct {
	plan    *Plan
	mem     *memory
	spill   *spill
	maxOpen int64 // bytes that open spans may hold before some are spilled; data alone decides, never time

	open      map[*SpanPlan]*openSpan
	openBytes int64
	text      []byte // of an item that is not exported as it is stored
	out       *Link[*Artifact]
}

// openSpan is a span some of whose items came.
type openSpan struct {
	vat     *VatPlan
	span    *SpanPlan
	pieces  []Piece
	bytes   int64 // capacity of the pieces
	size    int64 // of the content so far, spilled items included
	items   int64 // came so far, spilled ones included
	last    int64 // position of the last item
	sorted  bool
	spilled bool
}

// onTheWay is what complete spans may take beyond the room for unfinished ones, until they are written.
const onTheWay = 16 << 20

// NewAssembler makes an assembler that holds at most maxOpen bytes of unfinished spans, and onTheWay more of complete ones.
func NewAssembler(p *Plan, maxOpen int64, tempDir string, fsys *FS, out *Link[*Artifact]) *Assembler {
	return &Assembler{
		plan: p, mem: newMemory(maxOpen + onTheWay), spill: newSpill(0, tempDir, fsys), maxOpen: maxOpen,
		open: map[*SpanPlan]*openSpan{}, out: out,
	}
}

// Run takes rows until the end, sends each span that becomes complete, then the empty ones, then the spilled ones in manifest order. A
// wanted span that lacks items is left out in debug mode; in the others the plan's completeness says first what is wrong.
func (a *Assembler) Run(ctx context.Context, rows *Link[*Rows]) error {
	defer a.spill.close()
	if rows != nil {
		if err := Each(ctx, rows, func(r *Rows) error {
			defer r.Release()
			return r.Each(func(row Row) error { return a.add(ctx, row) })
		}); err != nil {
			return err
		}
	}
	if a.plan.partial == nil {
		if err := a.plan.Complete(); err != nil {
			return err
		}
	}
	if err := a.finish(ctx); err != nil {
		return err
	}
	return a.merge(ctx)
}

// add gives an item to each wanted span that it belongs to.
func (a *Assembler) add(ctx context.Context, row Row) error {
	v := a.plan.byVat[string(row.A)]
	if v == nil {
		a.plan.partial.loose()
		return nil
	}
	owned := false
	n := sort.Search(len(v.Spans), func(i int) bool { return v.Spans[i].Start > row.Pos })
	if n > 0 && v.Spans[n-1].kept && row.Pos < v.Spans[n-1].End {
		return nil // counted when it was kept
	}
	v.see(row.Pos)
	for i := n - 1; i >= 0; i-- {
		if s := &v.Spans[i]; s.wanted && row.Pos < s.End {
			owned = true
			if err := a.addTo(ctx, v, s, row); err != nil {
				return err
			}
		}
		if !v.overlap {
			break
		}
	}
	if !owned {
		a.plan.partial.loose()
	}
	return nil
}

func (a *Assembler) addTo(ctx context.Context, v *VatPlan, s *SpanPlan, row Row) error {
	o := a.open[s]
	if o == nil {
		if s.done {
			return a.plan.partial.leave(string(format.AppendSpanName(nil, v.ID, s.Start, s.End)),
				fmt.Errorf("vat %s has two items at position %d: %w", v.ID, row.Pos, ErrDamaged))
		}
		o = &openSpan{vat: v, span: s, sorted: true, last: s.Start - 1}
		a.open[s] = o
	}
	if err := a.append(ctx, o, row); err != nil {
		return err
	}
	if o.items == s.End-s.Start && !o.spilled {
		return a.complete(ctx, o)
	}
	if a.openBytes > a.maxOpen {
		return a.spillLargest(ctx)
	}
	return nil
}

// append adds an item as it is exported, and its newline, to the last piece of a span, or to a new one.
func (a *Assembler) append(ctx context.Context, o *openSpan, row Row) error {
	item := row.B.Bytes
	if row.B.Type != format.Text && row.B.Type != format.Blob || !format.ValidText(item) {
		a.text = format.AppendTemplate(a.text[:0], row.B)
		item = a.text
	}
	need := len(item) + 1
	var p *Piece
	if n := len(o.pieces); n > 0 {
		p = &o.pieces[n-1]
	}
	if p == nil || cap(p.Data)-len(p.Data) < need {
		c, err := a.mem.get(ctx, min(len(o.pieces), numClasses-1), need)
		if err != nil {
			return err
		}
		o.pieces = append(o.pieces, Piece{Chunk: c})
		p = &o.pieces[len(o.pieces)-1]
		o.bytes += c.weight
		a.openBytes += c.weight
	}
	p.Items = append(p.Items, Item{row.Pos, uint32(len(p.Data)), uint32(len(item))})
	p.Data = append(append(p.Data, item...), '\n')
	o.size += int64(need)
	o.sorted = o.sorted && row.Pos > o.last
	o.last = row.Pos
	o.items++
	return nil
}

// complete sends a span on.
func (a *Assembler) complete(ctx context.Context, o *openSpan) error {
	delete(a.open, o.span)
	a.openBytes -= o.bytes
	return a.send(ctx, o.vat, o.span, o.size, func(ctx context.Context, f func(Piece) error) error {
		if !o.sorted {
			return a.inOrder(ctx, o, f)
		}
		for _, p := range o.pieces {
			if err := f(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// inOrder passes on the items of a span that came in another order than that of their positions.
func (a *Assembler) inOrder(ctx context.Context, o *openSpan, f func(Piece) error) error {
	var piece Piece
	for _, r := range sortedItems(o.pieces) {
		if piece.Chunk != nil && cap(piece.Data)-len(piece.Data) < int(r.Len)+1 {
			if err := f(piece); err != nil {
				return err
			}
			piece = Piece{}
		}
		if piece.Chunk == nil {
			// Not from the pool, whose chunks this span holds: waiting for another one could be for ever.
			piece.Chunk = &Chunk{Data: make([]byte, 0, max(largestChunk, int(r.Len)+1)), pool: unpooled{}}
		}
		piece.Items = append(piece.Items, Item{r.Pos, uint32(len(piece.Data)), r.Len})
		piece.Data = append(append(piece.Data, r.bytes()...), '\n')
	}
	if piece.Chunk != nil {
		if err := f(piece); err != nil {
			return err
		}
	}
	for _, p := range o.pieces {
		p.Release()
	}
	return context.Cause(ctx)
}

// itemRef is an item and the piece that holds it.
type itemRef struct {
	Item
	data []byte
}

func (r itemRef) bytes() []byte { return r.data[r.Off:][:r.Len] }

func sortedItems(pieces []Piece) []itemRef {
	var refs []itemRef
	for _, p := range pieces {
		for _, it := range p.Items {
			refs = append(refs, itemRef{it, p.Data})
		}
	}
	slices.SortFunc(refs, func(x, y itemRef) int { return cmp.Compare(x.Pos, y.Pos) })
	return refs
}

func (a *Assembler) send(ctx context.Context, v *VatPlan, s *SpanPlan, size int64, content func(context.Context, func(Piece) error) error) error {
	s.done = true
	name, err := a.plan.checkName(v, s)
	if err != nil {
		return &ArtifactError{name, err} // partial: the plan does not want it
	}
	return a.out.Send(ctx, &Artifact{
		Name: name, Kind: format.KindTranscript, Hash: s.Hash(), Items: s.End - s.Start, Order: int(s.order), Size: size, Content: content,
	})
}

// finish sends the empty spans, and says what is wrong with those that lack items.
func (a *Assembler) finish(ctx context.Context) error {
	return a.plan.EachSpan(func(v *VatPlan, s *SpanPlan) error {
		o := a.open[s]
		switch {
		case s.done || s.kept || o != nil && o.spilled && o.items == s.End-s.Start:
			return nil
		case s.Start == s.End:
			return a.send(ctx, v, s, 0, func(context.Context, func(Piece) error) error { return nil })
		}
		var n int64
		if o != nil {
			n = o.items
		}
		if a.plan.Mode == format.Debug || a.plan.partial != nil {
			a.plan.partial.span(a.plan, v, s, n)
			a.forget(s, o)
			return nil
		}
		name := string(format.AppendSpanName(nil, v.ID, s.Start, s.End))
		return &ArtifactError{name, errorf(format.ErrIncomplete, "artifact %s: read %d transcript entries (expected %d)", name, n, s.End-s.Start)}
	})
}

// forget drops an incomplete span, which a debug export leaves out.
func (a *Assembler) forget(s *SpanPlan, o *openSpan) {
	s.wanted = false
	if o == nil {
		return
	}
	delete(a.open, s)
	a.openBytes -= o.bytes
	for _, p := range o.pieces {
		p.Release()
	}
}

// spillLargest writes the largest open spans out, until half of the room is free again.
func (a *Assembler) spillLargest(ctx context.Context) error {
	list := make([]*openSpan, 0, len(a.open))
	for _, o := range a.open {
		list = append(list, o)
	}
	slices.SortFunc(list, func(x, y *openSpan) int {
		return cmp.Or(cmp.Compare(y.bytes, x.bytes), cmp.Compare(x.vat.ID, y.vat.ID), cmp.Compare(x.span.Start, y.span.Start))
	})
	n, left := 0, a.openBytes
	for n < len(list) && left > a.maxOpen/2 {
		left -= list[n].bytes
		n++
	}
	list = list[:n]
	slices.SortFunc(list, func(x, y *openSpan) int {
		return cmp.Or(cmp.Compare(x.vat.ID, y.vat.ID), cmp.Compare(x.span.Start, y.span.Start))
	})
	return a.spill.add(ctx, func(add func([]byte) error) error {
		var row []byte
		for _, o := range list {
			for _, r := range sortedItems(o.pieces) {
				row = appendRow(row[:0], spanKey(o.span.order, r.Pos), format.TextValue(r.bytes()), 0)
				if err := add(row); err != nil {
					return err
				}
			}
			for _, p := range o.pieces {
				p.Release()
			}
			a.openBytes -= o.bytes
			o.pieces, o.bytes, o.spilled = nil, 0, true
		}
		return nil
	})
}

// spanKey orders items by span, in manifest order, and position.
func spanKey(order uint32, pos int64) []byte {
	var k [12]byte
	binary.BigEndian.PutUint32(k[:], order)
	binary.BigEndian.PutUint64(k[4:], uint64(pos)^1<<63)
	return k[:]
}

// merge sends the spans with spilled items, one after the other, reading the runs side by side.
func (a *Assembler) merge(ctx context.Context) error {
	spilled := map[uint32]*openSpan{}
	for _, o := range a.open {
		spilled[o.span.order] = o
	}
	if len(spilled) == 0 {
		return nil
	}
	a.maxOpen = 0
	if err := a.spillLargest(ctx); err != nil {
		return err
	}
	m, err := a.spill.merge()
	if err != nil {
		return err
	}
	row, err := m.next()
	for row != nil && err == nil {
		order := binary.BigEndian.Uint32(rowKey(row))
		o := spilled[order]
		if o == nil { // left out
			row, err = m.next()
			continue
		}
		pieces := NewLink(4, func(p Piece) { p.Release() })
		err = a.send(ctx, o.vat, o.span, o.size, func(ctx context.Context, f func(Piece) error) error { return Each(ctx, pieces, f) })
		if err != nil {
			return err
		}
		part := &openSpan{vat: o.vat, span: o.span, sorted: true, last: o.span.Start - 1}
		for row != nil && err == nil && binary.BigEndian.Uint32(rowKey(row)) == order {
			r := parseRow(row)
			r.Pos = int64(binary.BigEndian.Uint64(r.A[4:]) ^ 1<<63)
			if len(part.pieces) > 0 && cap(part.pieces[0].Data)-len(part.pieces[0].Data) < len(r.B.Bytes)+1 {
				if err := pieces.Send(ctx, part.pieces[0]); err != nil {
					return err
				}
				part.pieces = nil
			}
			if err := a.append(ctx, part, r); err != nil {
				return err
			}
			row, err = m.next()
		}
		for _, p := range part.pieces {
			if err := pieces.Send(ctx, p); err != nil {
				return err
			}
		}
		if err == nil {
			pieces.Close()
		}
	}
	return err
}
