package main

import (
	"fmt"
	"strconv"

	"swingport/format"
)

type spanHash = format.SpanHash

// batch is what goes from the maker of rows to their writer at once. All texts lie in buf.
type batch struct {
	buf   []byte
	items []itemRow
	kv    []kvRow
	spans []spanRow
	snaps []snapRow // without content
}

type itemRow struct {
	vat              string
	pos, incarnation int64
	start, end       int // of the text in buf
}

type kvRow struct{ key, value, end int } // where they begin and end in buf

type spanRow struct {
	vat                     string
	start, end, incarnation int64
	current                 bool
	hash                    string
}

type snapRow struct {
	vat  string
	pos  int64
	hash string
}

const batchBytes = 4 << 20

func (b *batch) reset() {
	*b = batch{buf: b.buf[:0], items: b.items[:0], kv: b.kv[:0], spans: b.spans[:0], snaps: b.snaps[:0]}
}

// maker makes the rows of a store in the order of time.
type maker struct {
	r       recipe
	t       *texts
	vats    []*vat
	bytes   int64 // of items so far
	keys    int64 // rows of kvStore so far
	bigDone bool
	b       *batch
	flush   func(*batch) (*batch, error) // takes a full one and gives an empty one
	made    made
}

// all makes items, spans, snapshots without content, and kv rows.
func (m *maker) all() error {
	target := m.r.itemBytes()
	for m.bytes < target {
		v := m.next()
		for range 1 + m.t.rng.IntN(24) {
			m.item(v, true)
		}
		if !m.r.contiguous {
			m.kvUpTo(int64(float64(m.r.kvRows()) * float64(m.bytes) / float64(target)))
		}
		if m.bytes > target/3 && !m.r.contiguous {
			m.endVats()
		}
		if err := m.full(batchBytes); err != nil {
			return err
		}
	}
	m.endVats()
	for m.keys < m.r.kvRows() {
		m.kvUpTo(min(m.keys+1000, m.r.kvRows()))
		if err := m.full(batchBytes); err != nil {
			return err
		}
	}
	if err := m.outOfProportion(); err != nil {
		return err
	}
	m.currentSpans()
	return m.full(0)
}

// outOfProportion makes what was asked for besides.
func (m *maker) outOfProportion() error {
	if m.r.spanBytes > 0 {
		if err := m.largestSpan(); err != nil {
			return err
		}
	}
	if err := m.shortSpans(); err != nil {
		return err
	}
	if size := int(m.r.oneItem); size > 0 {
		m.add(m.vats[0], func(dst []byte) []byte { return m.t.item(dst, size+30) })
	}
	return nil
}

// largestSpan makes a span of the busiest vat, between whose items come some of others.
func (m *maker) largestSpan() error {
	v := m.vats[0]
	m.endSpan(v, false)
	for v.big = true; v.big; {
		m.item(v, true)
		m.item(m.vats[m.t.rng.IntN(m.r.liveVats())], true)
		if err := m.full(batchBytes); err != nil {
			return err
		}
	}
	return nil
}

// shortSpans makes the spans of one item, of all vats by turns: each saves a snapshot.
func (m *maker) shortSpans() error {
	for i := range m.r.spans {
		v := m.vats[i%int64(m.r.liveVats())]
		if v.pos > v.start {
			m.endSpan(v, false)
		}
		m.endSpan(v, false)
		if err := m.full(batchBytes); err != nil {
			return err
		}
	}
	return nil
}

// log makes the last items, which go to the write-ahead log. No span ends in them.
func (m *maker) log() error {
	for range m.r.logItems() {
		m.item(m.vats[m.t.rng.IntN(m.r.liveVats())], false)
	}
	m.currentSpans()
	return m.full(0)
}

func (m *maker) full(size int) (err error) {
	if len(m.b.buf) >= size {
		m.b, err = m.flush(m.b)
	}
	return err
}

// next is the vat of the next burst of items.
func (m *maker) next() *vat {
	if m.r.contiguous {
		for _, v := range m.vats {
			if float64(v.bytes) < v.weight*float64(m.r.itemBytes()) {
				return v
			}
		}
		return m.vats[0]
	}
	for {
		x := m.t.rng.Float64()
		for _, v := range m.vats {
			if x -= v.weight; x < 0 {
				if !v.ended {
					return v
				}
				break
			}
		}
	}
}

func (m *maker) item(v *vat, roll bool) {
	if v.pos == v.start {
		m.beginSpan(v)
	}
	size := m.r.itemSize(m.t.rng)
	if v.big {
		size = int(m.r.bigSpan()/m.r.spanItems()) + 30
	}
	m.add(v, func(dst []byte) []byte { return m.t.item(dst, size) })
	last := m.r.spanItems()
	if v.first {
		last = firstItems
	}
	if roll && v.pos-v.start >= last-1 {
		m.endSpan(v, !v.first && m.t.rng.Float64() < newIncarnat)
	}
}

func (m *maker) beginSpan(v *vat) {
	// Half of what the busiest vat gets comes before its largest span.
	if v == m.vats[0] && !m.bigDone && !v.first && float64(v.bytes) > v.weight*float64(m.r.itemBytes())/2 {
		v.big, m.bigDone = true, true
	}
	if v.first {
		m.add(v, func(dst []byte) []byte {
			return append(dst, `{"d":["initialize-worker",{"source":{"bundleID":"b1-x"}}],"sc":[],"r":{"status":"ok"}}`...)
		})
		return
	}
	m.add(v, func(dst []byte) []byte {
		return fmt.Appendf(dst, `{"d":["load-snapshot",{"pos":%d}],"sc":[],"r":{"status":"ok"}}`, v.snapshot)
	})
}

// endSpan saves a snapshot and begins another span, or with an upgrade another incarnation without one.
func (m *maker) endSpan(v *vat, upgrade bool) {
	m.dropSnapshot(v)
	if upgrade {
		m.add(v, func(dst []byte) []byte {
			return append(dst, `{"d":["shutdown-worker"],"sc":[],"r":{"status":"ok"}}`...)
		})
	} else {
		v.snapshot = v.pos
		m.add(v, func(dst []byte) []byte { return append(dst, `{"d":["save-snapshot"],"sc":[],"r":{"status":"ok"}}`...) })
	}
	m.span(v, false)
	m.made.Spans++
	v.start, v.first, v.big = v.pos, upgrade, false
	v.hash.Reset()
	if upgrade {
		v.incarnation++
	}
}

// dropSnapshot makes the snapshot in use one of the past, of which only the hash is left.
func (m *maker) dropSnapshot(v *vat) {
	if v.snapshot < 0 {
		return
	}
	hash := fmt.Sprintf("%016x%016x%016x%016x", m.t.rng.Uint64(), m.t.rng.Uint64(), m.t.rng.Uint64(), m.t.rng.Uint64())
	m.b.snaps = append(m.b.snaps, snapRow{v.id, v.snapshot, hash})
	v.snapshot = -1
}

// endVats terminates the last vats. The first of them keeps all its spans; of the others the newest are deleted already, which looks as
// if they had ended with a whole span.
func (m *maker) endVats() {
	for i, v := range m.vats[m.r.liveVats():] {
		if v.ended {
			continue
		}
		for i > 0 && v.pos > v.start {
			m.item(v, true)
		}
		v.ended = true
		m.dropSnapshot(v)
		if v.pos > v.start {
			m.span(v, false)
			m.made.Spans++
		}
	}
}

func (m *maker) currentSpans() {
	for _, v := range m.vats[:m.r.liveVats()] {
		m.span(v, true)
	}
}

func (m *maker) span(v *vat, current bool) {
	m.b.spans = append(m.b.spans, spanRow{v.id, v.start, v.pos, v.incarnation, current, v.hash.Sum()})
}

func (m *maker) add(v *vat, text func(dst []byte) []byte) {
	start := len(m.b.buf)
	m.b.buf = text(m.b.buf)
	item := m.b.buf[start:]
	v.hash.Add(item)
	m.b.items = append(m.b.items, itemRow{v.id, v.pos, v.incarnation, start, len(m.b.buf)})
	v.pos++
	v.bytes += int64(len(item))
	m.bytes += int64(len(item))
	m.made.Items++
}

// kvUpTo makes rows of kvStore. Their keys grow with time in some places at once, or, contiguous, from the first one to the last.
func (m *maker) kvUpTo(n int64) {
	for ; m.keys < n; m.keys++ {
		place := int64(m.t.rng.IntN(len(m.vats) * 3))
		if m.r.contiguous {
			place = m.keys * int64(len(m.vats)*3) / m.r.kvRows()
		}
		key := len(m.b.buf)
		m.b.buf = append(m.b.buf, vatID(int(place/3))...)
		m.b.buf = append(m.b.buf, [...]string{".c.ko", ".vs.vc.2.r", ".vs.vom.o+d31/"}[place%3]...)
		m.b.buf = strconv.AppendInt(m.b.buf, 1e8+m.keys, 10)
		value := len(m.b.buf)
		if place%3 == 0 {
			m.b.buf = append(m.b.buf, "R o-"...)
			m.b.buf = strconv.AppendInt(m.b.buf, m.keys, 10)
		} else {
			m.b.buf = m.t.value(m.b.buf)
		}
		m.b.kv = append(m.b.kv, kvRow{key, value, len(m.b.buf)})
		m.made.KVRows++
	}
}
