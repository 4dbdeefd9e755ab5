package stages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"swingport/format"
)

// Estimate is about how much an export holds, in bytes as it is exported. Heaps and bundles are what their records say; spans are the number of
// their items, which is known, times the mean of a sample of them; the export data is a sample of the pages of kvStore, times what the pages
// above say of their number.
type Estimate struct {
	Heaps, PackedHeaps, Spans, Bundles, ExportData int64

	Items  int64 // of the spans
	KVRows int64
	KVKeys int64 // bytes of their keys

	// Least are what it is in any case, nearly: half of what was sampled, the largest values left out, and all of what is known.
	LeastSpans, LeastExportData int64
}

// How much is read for an estimate. Each item costs two or three random reads, and each leaf one or two; where they take long there are fewer.
const (
	sampleItems  = 1000
	sampleLeaves = 100
	sampleTime   = time.Second // for each of the two
)

// mostInflation is how much longer than its packed form a heap can be: that of deflate.
const mostInflation = 1032

// metadataLine is about how long the lines of the export data are that every span has: its own, and that of a snapshot.
const metadataLine = 340

// Estimate samples the store. Where that finds damage the estimate is of what could be read: what reads everything says what is wrong.
func (p *Plan) Estimate(ctx context.Context, s *Store, exportData bool) (e Estimate, err error) {
	p.eachHeap(func(h *heapPlan) error {
		size := h.size
		if size < 0 || size/mostInflation > h.stored {
			size = 3 * h.stored
		}
		e.Heaps, e.PackedHeaps = e.Heaps+size, e.PackedHeaps+h.stored
		return nil
	})
	if p.Mode != format.None {
		for _, b := range p.bundles {
			e.Bundles += b.stored
		}
	}
	if err := p.estimateSpans(ctx, s, &e); err != nil {
		return e, err
	}
	if exportData {
		if err := s.estimateKV(ctx, &e); err != nil {
			return e, err
		}
		for _, v := range p.Vats {
			e.ExportData += metadataLine * int64(len(v.Spans))
		}
	}
	e.limit(s.Size() + s.LogSize())
	return e, nil
}

// limit keeps a sample that was out of luck from claiming more than the store has.
func (e *Estimate) limit(store int64) {
	most := max(0, store-e.PackedHeaps-e.Bundles)
	e.Spans, e.ExportData = min(e.Spans, most), min(e.ExportData, 2*most)
	e.LeastSpans, e.LeastExportData = min(e.LeastSpans, e.Spans), min(e.LeastExportData, e.ExportData)
}

// sampled is an item of the sample.
type sampled struct {
	vat string
	pos int64
}

// sample chooses n items of the wanted spans, spread evenly over them, in any order.
func (p *Plan) sample(n int64) (list []sampled, items int64) {
	p.EachSpan(func(_ *VatPlan, s *SpanPlan) error { items += max(0, s.End-s.Start); return nil })
	n = min(n, items)
	rng := rand.New(rand.NewPCG(1, 2)) // the same sample each time
	next, at := int64(0), int64(0)
	place := func() int64 { // one in each n-th part
		from, to := next*items/n, (next+1)*items/n
		return from + rng.Int64N(max(1, to-from))
	}
	if n == 0 {
		return nil, 0
	}
	want := place()
	p.EachSpan(func(v *VatPlan, s *SpanPlan) error {
		end := at + max(0, s.End-s.Start)
		for next < n && want < end {
			list = append(list, sampled{v.ID, s.Start + want - at})
			if next++; next < n {
				want = place()
			}
		}
		at = end
		return nil
	})
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list, items
}

func (p *Plan) estimateSpans(ctx context.Context, s *Store, e *Estimate) error {
	list, items := p.sample(sampleItems)
	e.Items = items
	if len(list) == 0 || !s.schema.tables["transcriptItems"] {
		return nil
	}
	var sizes []int64
	const sql = "SELECT octet_length(item) FROM transcriptItems WHERE vatID=?1 AND position=?2"
	for end := time.Now().Add(sampleTime); len(sizes) < len(list) && (len(sizes) == 0 || time.Now().Before(end)); {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		size := int64(0) // an item that is missing has none
		err := s.db.Query(sql, func(q *Stmt) error { size = q.Int(0) + 1; return nil }, list[len(sizes)].vat, list[len(sizes)].pos)
		if Damaged(err) {
			return nil
		} else if err != nil {
			return err
		}
		sizes = append(sizes, size)
	}
	slices.Sort(sizes)
	sum, most := int64(0), int64(0)
	for i, n := range sizes {
		if sum += n; i < len(sizes)-len(sizes)/100-1 {
			most += n
		}
	}
	e.Spans = scale(sum, items, int64(len(sizes)))
	e.LeastSpans = scale(most, items, int64(len(sizes))) / 2
	if int64(len(sizes)) == items {
		e.LeastSpans = e.Spans
	}
	return nil
}

// scale is n*a/b.
func scale(n, a, b int64) int64 { return int64(float64(n) * float64(a) / float64(b)) }

// estimateKV goes down the tree of kvStore, by chance at each page, and takes each leaf that it comes to for as many as there are ways like its
// own.
func (s *Store) estimateKV(ctx context.Context, e *Estimate) error {
	d := &descent{s: s, rng: rand.New(rand.NewPCG(3, 4)), pages: map[uint32][]byte{}}
	if err := d.open(); err != nil || d.odd() {
		return ignoreDamage(err)
	}
	var total kvLeaf
	n := int64(0)
	for end := time.Now().Add(sampleTime); n < sampleLeaves && (n == 0 || time.Now().Before(end)); n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		leaf, ways, err := d.down(s.schema.root[tableKV])
		if err != nil {
			return ignoreDamage(err)
		}
		total.rows += leaf.rows * ways
		total.keys += leaf.keys * ways
		total.lines += leaf.lines * ways
	}
	e.KVRows, e.KVKeys, e.ExportData = total.rows/n, total.keys/n, total.lines/n
	e.LeastExportData = e.ExportData / 2
	return nil
}

func ignoreDamage(err error) error {
	if Damaged(err) || errors.Is(err, ErrDamaged) {
		return nil
	}
	return err
}

// descent reads pages of one tree.
type descent struct {
	btree
	s     *Store
	rng   *rand.Rand
	pages map[uint32][]byte // interior ones, of which there are few
}

// kvLeaf is what is on a page of kvStore.
type kvLeaf struct{ rows, keys, lines int64 }

func (d *descent) odd() bool { return d.s.schema.odd != "" || d.usable < 480 }

func (d *descent) open() error {
	first, err := d.page(1)
	if err != nil {
		return err
	}
	d.btree = btree{len(first), len(first) - int(first[20])}
	return nil
}

func (d *descent) page(pgno uint32) (page []byte, err error) {
	if page = d.pages[pgno]; page != nil {
		return page, nil
	}
	err = d.s.db.Query("SELECT data FROM sqlite_dbpage WHERE pgno=?1", func(q *Stmt) error {
		page = slices.Clone(q.Bytes(0))
		return nil
	}, int64(pgno))
	if err == nil && len(page) < 512 {
		err = &PageError{d.s.path, pgno, fmt.Errorf("%w: the engine does not have it", errPage)}
	}
	if err == nil && page[0] == pageTableInterior && len(d.pages) < 1000 {
		d.pages[pgno] = page
	}
	return page, err
}

const mostDepth = 8 // of the tree of a store that any disk holds

// down goes to a leaf; ways is how many there are if all pages on the way are like those that were seen.
func (d *descent) down(pgno uint32) (leaf kvLeaf, ways int64, err error) {
	p := pager{btree: d.btree, count: math.MaxUint32}
	ways = 1
	for depth := 0; ; depth++ {
		page, err := d.page(pgno)
		if err == nil && page[0] == pageTableLeaf {
			leaf, err = d.leaf(pgno, page)
		}
		if err != nil || page[0] == pageTableLeaf {
			return leaf, ways, err
		}
		kids, err := p.children(pgno, page, pageTableInterior, nil)
		if err != nil || depth > mostDepth {
			return leaf, 0, cmp.Or(err, error(&PageError{d.s.path, pgno, errPage}))
		}
		ways *= int64(len(kids))
		pgno = kids[d.rng.IntN(len(kids))]
	}
}

// leaf measures the lines of a page's rows. Of a row that is longer than its page the record says the sizes.
func (d *descent) leaf(pgno uint32, page []byte) (l kvLeaf, err error) {
	n, pointers, err := d.cells(page, pgno, pageTableLeaf)
	if err != nil {
		return l, err
	}
	for i := range n {
		cell, err := d.cell(page, pointers, i)
		if err != nil {
			return l, err
		}
		size, a := varint(cell)
		_, b := varint(cell[a:])
		local, _, err := d.payload(cell[a+b:], size, false)
		if err != nil {
			return l, err
		}
		key, value, ok := kvSizes(local)
		if !ok {
			return l, &PageError{d.s.path, pgno, errPage}
		}
		cols := make([]format.Value, 2)
		if uint64(len(local)) == size && parseRecord(local, cols) == nil {
			if private(cols[0].Bytes) {
				continue
			}
			l.lines += int64(format.KVSize(cols[0].Bytes, cols[1]))
		} else {
			l.lines += key + value + int64(len(`["kv.",""]`+"\n"))
		}
		l.rows, l.keys = l.rows+1, l.keys+key
	}
	return l, nil
}

// kvSizes are the lengths of the two values of a record.
func kvSizes(record []byte) (key, value int64, ok bool) {
	_, a := varint(record)
	first, b := varint(record[a:])
	second, c := varint(record[a+b:])
	k, ok1 := serialSize(first)
	v, ok2 := serialSize(second)
	return int64(k), int64(v), a > 0 && b > 0 && c > 0 && ok1 && ok2
}
