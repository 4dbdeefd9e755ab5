package stages

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"slices"
	"sort"
	"strings"

	"swingport/format"
)

// Record is a metadata line of the export data, parsed: what a span, a snapshot or a bundle should be.
type Record struct {
	key  recordKey
	kind recordKind
	null bool // the line deletes the record
	err  error

	span     format.Span
	snapshot format.Snapshot
	bundle   string
	current  *currentRecord
}

type recordKind uint8

const (
	otherRecord recordKind = iota
	spanRecord
	snapshotRecord
	bundleRecord
	snapshotCurrent // says again what the snapshots' records say
)

func (k recordKind) String() string {
	return [...]string{"unknown kind", "span", "snapshot", "bundle", "current snapshot"}[k]
}

// recordKey stands for the text of a key: two hashes with seeds of their own, since a mainnet store has a million keys and one hash of 64
// bits leaves a chance of 1 in 10^7 that two of them are taken for one.
type recordKey [2]uint64

var recordSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func makeRecordKey(key []byte) recordKey {
	return recordKey{maphash.Bytes(recordSeeds[0], key), maphash.Bytes(recordSeeds[1], key)}
}

// parseRecordLine parses a line that is no kv line. What is wrong with the record is kept in it: a later line may replace it. repair
// compares snapshots with their keys, import does not.
func parseRecordLine(e *format.Entry, repair bool) (r Record) {
	r = Record{key: makeRecordKey(e.Key), null: e.Null}
	switch tag := string(e.Tag()); tag {
	case "transcript":
		r.kind = spanRecord
		if !e.Null {
			r.span, r.err = format.ParseSpan(e.Key, e.Value)
		}
	case "snapshot":
		r.kind = snapshotRecord
		if !e.Null {
			var current bool
			r.snapshot, current, r.err = format.ParseSnapshot(e.Key, e.Value)
			if current {
				r.kind, r.current = snapshotCurrent, newCurrentRecord(e)
			}
			if r.err == nil && !current && repair {
				r.err = r.snapshot.CheckKey(e.Key)
			}
		}
	case "bundle":
		r.kind = bundleRecord
		if !e.Null {
			r.bundle, r.err = format.ParseBundleRecord(e.Key, e.Value)
		}
	default:
		if repair {
			r.err = fmt.Errorf("unknown export-data type in key %s on repairMetadata", quoted(string(e.Key)))
		} else {
			r.err = fmt.Errorf("unknown export-data type %s on import", quoted(tag))
		}
	}
	if r.err != nil && !bytes.Contains([]byte(r.err.Error()), e.Key) {
		r.err = fmt.Errorf("export data %s: %w", quoted(string(e.Key)), r.err)
	}
	return r
}

func quoted(s string) string { return string(format.AppendString(nil, []byte(s))) }

// Metadata is what the export data says about spans, snapshots and bundles. Add collects it, Settle ends that; then it can be asked. A span
// or snapshot takes about 120 bytes.
type Metadata struct {
	spans     []spanRow
	snapshots []snapshotRow
	bundles   []bundleRow
	bundleAt  map[string]int

	vats  []vatRow
	vatOf map[string]uint32

	index map[recordKey]recordAt
	bad   map[recordAt]badRecord
	count int // of lines taken

	oddHashes map[recordAt]string // hashes that are not 64 lower-case hex digits

	currents map[recordKey]*currentRecord // nil: nobody asks for them
	found    func(error)                  // told what is wrong; nil: Settle fails of it

	order     []uint32 // of spans, by vat and start
	snapOrder []uint32 // of snapshots, by vat and position
}

// vatRow is a vat and, after Settle, what its spans say.
type vatRow struct {
	id         string
	spans      []uint32 // by start; a part of Metadata.order
	current    int      // the current span, or -1
	start      int64    // of the current incarnation
	startKnown bool     // false: there is no current span, or its incarnation is NULL, which equals nothing in SQL
}

type recordAt struct {
	kind recordKind
	at   uint32
}

type badRecord struct {
	seq int
	err error
}

// spanRow is a compact format.Span.
type spanRow struct {
	start, end, inc int64
	hash            [32]byte
	vat             uint32
	hasEnd, hasInc  bool
	current, dead   bool
	stored, oddHash bool // stored: its items are in the new store; oddHash: the hash is in oddHashes
}

type snapshotRow struct {
	pos                          int64
	hash                         [32]byte
	vat                          uint32
	inUse, dead, stored, oddHash bool
}

type bundleRow struct {
	id           string
	dead, stored bool
}

// NewMetadata returns an empty collection.
func NewMetadata() *Metadata {
	return &Metadata{
		vatOf:     map[string]uint32{},
		bundleAt:  map[string]int{},
		index:     map[recordKey]recordAt{},
		bad:       map[recordAt]badRecord{},
		oddHashes: map[recordAt]string{},
	}
}

// Add takes the next record. As in the reference's Map, a key that comes again keeps its place, and one that was deleted goes to the end.
func (m *Metadata) Add(r Record) {
	m.count++
	at, known := m.index[r.key]
	if r.null {
		if known {
			m.kill(at)
			delete(m.index, r.key)
		}
		delete(m.currents, r.key)
		return
	}
	if r.kind == snapshotCurrent {
		if m.currents != nil {
			m.currents[r.key] = r.current
		}
		return
	}
	if !known {
		at = m.extend(r.kind)
		m.index[r.key] = at
	}
	delete(m.bad, at)
	delete(m.oddHashes, at)
	if r.err != nil {
		m.bad[at] = badRecord{m.count, r.err}
		return
	}
	switch r.kind {
	case spanRecord:
		m.spans[at.at] = m.spanRow(at, r.span)
	case snapshotRecord:
		m.snapshots[at.at] = m.snapshotRow(at, r.snapshot)
	case bundleRecord:
		m.bundles[at.at] = bundleRow{id: r.bundle}
	}
}

// extend makes room for one more record of a kind.
func (m *Metadata) extend(kind recordKind) recordAt {
	switch kind {
	case spanRecord:
		m.spans = append(m.spans, spanRow{})
		return recordAt{kind, uint32(len(m.spans) - 1)}
	case snapshotRecord:
		m.snapshots = append(m.snapshots, snapshotRow{})
		return recordAt{kind, uint32(len(m.snapshots) - 1)}
	case bundleRecord:
		m.bundles = append(m.bundles, bundleRow{})
		return recordAt{kind, uint32(len(m.bundles) - 1)}
	}
	return recordAt{kind, uint32(m.count)}
}

func (m *Metadata) kill(at recordAt) {
	delete(m.bad, at)
	delete(m.oddHashes, at)
	switch at.kind {
	case spanRecord:
		m.spans[at.at].dead = true
	case snapshotRecord:
		m.snapshots[at.at].dead = true
	case bundleRecord:
		m.bundles[at.at].dead = true
	}
}

func (m *Metadata) vat(id string) uint32 {
	n, ok := m.vatOf[id]
	if !ok {
		n = uint32(len(m.vats))
		id = strings.Clone(id)
		m.vats = append(m.vats, vatRow{id: id, current: -1})
		m.vatOf[id] = n
	}
	return n
}

func (m *Metadata) spanRow(at recordAt, s format.Span) spanRow {
	row := spanRow{
		start: s.Start, end: s.End.V, hasEnd: s.End.Valid, inc: s.Incarnation.V, hasInc: s.Incarnation.Valid,
		vat: m.vat(s.VatID), current: s.Current,
	}
	row.hash, row.oddHash = m.compactHash(at, s.Hash)
	return row
}

func (m *Metadata) snapshotRow(at recordAt, s format.Snapshot) snapshotRow {
	row := snapshotRow{pos: s.Pos, vat: m.vat(s.VatID), inUse: s.InUse}
	row.hash, row.oddHash = m.compactHash(at, s.Hash)
	return row
}

func (m *Metadata) compactHash(at recordAt, text string) (sum [32]byte, odd bool) {
	if b, err := hex.DecodeString(text); err == nil && len(b) == len(sum) && hex.EncodeToString(b) == text {
		copy(sum[:], b)
		return sum, false
	}
	m.oddHashes[at] = strings.Clone(text)
	return sum, true
}

func (m *Metadata) hash(kind recordKind, i int, sum [32]byte, odd bool) string {
	if odd {
		return m.oddHashes[recordAt{kind, uint32(i)}]
	}
	return hex.EncodeToString(sum[:])
}

// Span is span i as the export data has it.
func (m *Metadata) Span(i int) format.Span {
	s := &m.spans[i]
	return format.Span{
		VatID: m.vats[s.vat].id, Start: s.start, End: format.NullInt{V: s.end, Valid: s.hasEnd}, Current: s.current,
		Incarnation: format.NullInt{V: s.inc, Valid: s.hasInc}, Hash: m.hash(spanRecord, i, s.hash, s.oddHash),
	}
}

// Snapshot is snapshot i as the export data has it.
func (m *Metadata) Snapshot(i int) format.Snapshot {
	s := &m.snapshots[i]
	return format.Snapshot{VatID: m.vats[s.vat].id, Pos: s.pos, InUse: s.inUse, Hash: m.hash(snapshotRecord, i, s.hash, s.oddHash)}
}

// Settle ends the collection. The error is the first bad record that no later line replaced.
func (m *Metadata) Settle() error {
	if m.found != nil {
		m.takeBad()
	}
	first := badRecord{}
	for _, b := range m.bad {
		if first.err == nil || b.seq < first.seq {
			first = b
		}
	}
	if first.err != nil {
		return first.err
	}
	m.index, m.bad = nil, nil
	m.compact()
	m.order = sortedIndex(len(m.spans), func(a, b uint32) bool {
		x, y := &m.spans[a], &m.spans[b]
		return x.vat < y.vat || x.vat == y.vat && x.start < y.start
	})
	m.snapOrder = sortedIndex(len(m.snapshots), func(a, b uint32) bool {
		x, y := &m.snapshots[a], &m.snapshots[b]
		return x.vat < y.vat || x.vat == y.vat && x.pos < y.pos
	})
	m.settleVats()
	for i := range m.bundles {
		m.bundleAt[m.bundles[i].id] = i
	}
	return nil
}

// settleVats finds the spans of each vat, the current one, and where its incarnation begins.
func (m *Metadata) settleVats() {
	for first, i := 0, 0; i < len(m.order); first = i {
		vat := &m.vats[m.spans[m.order[first]].vat]
		for ; i < len(m.order) && &m.vats[m.spans[m.order[i]].vat] == vat; i++ {
			if m.spans[m.order[i]].current {
				vat.current = int(m.order[i])
			}
		}
		vat.spans = m.order[first:i]
		if vat.current < 0 || !m.spans[vat.current].hasInc {
			continue
		}
		for _, j := range vat.spans {
			if s := &m.spans[j]; s.hasInc && s.inc == m.spans[vat.current].inc {
				vat.start, vat.startKnown = s.start, true
				break
			}
		}
	}
}

// compact takes the deleted records out; the others keep their order.
func (m *Metadata) compact() {
	odd := m.oddHashes
	m.oddHashes = map[recordAt]string{}
	keep := func(kind recordKind, from, to int) {
		if text, ok := odd[recordAt{kind, uint32(from)}]; ok {
			m.oddHashes[recordAt{kind, uint32(to)}] = text
		}
	}
	n := 0
	for i, s := range m.spans {
		if !s.dead {
			keep(spanRecord, i, n)
			m.spans[n] = s
			n++
		}
	}
	m.spans = m.spans[:n]
	n = 0
	for i, s := range m.snapshots {
		if !s.dead {
			keep(snapshotRecord, i, n)
			m.snapshots[n] = s
			n++
		}
	}
	m.snapshots = m.snapshots[:n]
	m.bundles = slices.DeleteFunc(m.bundles, func(b bundleRow) bool { return b.dead })
}

func sortedIndex(n int, less func(a, b uint32) bool) []uint32 {
	order := make([]uint32, n)
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		switch {
		case less(a, b):
			return -1
		case less(b, a):
			return 1
		}
		return 0
	})
	return order
}

// markStored notes that the content of a row is in the new store.
func (m *Metadata) markStored(kind recordKind, i int) {
	switch kind {
	case spanRecord:
		m.spans[i].stored = true
	case snapshotRecord:
		m.snapshots[i].stored = true
	case bundleRecord:
		m.bundles[i].stored = true
	}
}

// findSpan returns the span of a vat that starts at a position.
func (m *Metadata) findSpan(vatID string, start int64) (int, bool) {
	vat, ok := m.vatOf[vatID]
	if !ok {
		return 0, false
	}
	of := m.vats[vat].spans
	i := sort.Search(len(of), func(i int) bool { return m.spans[of[i]].start >= start })
	if i == len(of) || m.spans[of[i]].start != start {
		return 0, false
	}
	return int(of[i]), true
}

// findSnapshot returns the snapshot of a vat at a position.
func (m *Metadata) findSnapshot(vatID string, pos int64) (int, bool) {
	vat, ok := m.vatOf[vatID]
	if !ok {
		return 0, false
	}
	i := sort.Search(len(m.snapOrder), func(i int) bool {
		s := &m.snapshots[m.snapOrder[i]]
		return s.vat > vat || s.vat == vat && s.pos >= pos
	})
	if i == len(m.snapOrder) {
		return 0, false
	}
	at := int(m.snapOrder[i])
	return at, m.snapshots[at].vat == vat && m.snapshots[at].pos == pos
}
