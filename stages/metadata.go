package stages

import (
	"bytes"
	"cmp"
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

	recordKinds = snapshotCurrent // of those that have rows
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
// takes 69 bytes, a snapshot 53, and before Settle each 12 more.
type Metadata struct {
	spans     rowList[spanRow]
	snapshots rowList[snapshotRow]
	bundles   []string // ids
	bundleAt  map[string]int

	spanHashes, snapshotHashes rowList[[32]byte] // empty where nobody asks for them

	vats  []vatRow
	vatOf map[string]uint32

	logs  *[recordKinds]keyLog // nil: all lines are kept
	bad   map[recordAt]badRecord
	count int // of lines taken

	oddHashes map[recordAt]string // hashes that are not 64 lower-case hex digits

	currents map[recordKey]*currentRecord // nil: nobody asks for them
	found    func(error)                  // told what is wrong; nil: Settle fails of it

	order     []uint32 // of spans, by vat and start
	snapOrder []uint32 // of snapshots, by vat and position

	stored [recordKinds][]bool // the content of the row is in the new store
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

// spanRow is a compact format.Span without its hash.
type spanRow struct {
	start, end, inc int64
	vat             uint32
	hasEnd, hasInc  bool
	current         bool
	oddHash         bool // the hash is in oddHashes
}

type snapshotRow struct {
	pos            int64
	vat            uint32
	inUse, oddHash bool
}

// NewMetadata returns an empty collection.
func NewMetadata() *Metadata {
	return &Metadata{
		vatOf:     map[string]uint32{},
		bundleAt:  map[string]int{},
		logs:      new([recordKinds]keyLog),
		bad:       map[recordAt]badRecord{},
		oddHashes: map[recordAt]string{},
	}
}

// Add takes the next record.
func (m *Metadata) Add(r Record) {
	m.count++
	if r.kind == snapshotCurrent {
		if m.currents != nil {
			m.currents[r.key] = r.current
		}
		return
	}
	if r.null {
		delete(m.currents, r.key)
	}
	if m.logs == nil {
		m.addUnlogged(r)
		return
	}
	at := m.extend(r.kind)
	if r.err != nil {
		m.bad[at] = badRecord{m.count, r.err}
	} else if !r.null {
		m.fill(at, r)
	}
	if m.logs[r.kind].add(r.key, r.null) {
		m.settleKeys(r.kind)
	}
}

// addUnlogged takes a record that is kept whatever comes later, without its hash.
func (m *Metadata) addUnlogged(r Record) {
	switch {
	case r.err != nil:
		m.bad[recordAt{otherRecord, uint32(m.count)}] = badRecord{m.count, r.err}
	case r.kind == spanRecord:
		m.spans.add(m.spanRow(r.span))
	case r.kind == snapshotRecord:
		m.snapshots.add(m.snapshotRow(r.snapshot))
	case r.kind == bundleRecord:
		m.bundles = append(m.bundles, r.bundle)
	}
}

// extend makes room for one more line of a kind.
func (m *Metadata) extend(kind recordKind) recordAt {
	n := m.logs[kind].keys.len()
	switch kind {
	case spanRecord:
		m.spans.add(spanRow{})
		m.spanHashes.add([32]byte{})
	case snapshotRecord:
		m.snapshots.add(snapshotRow{})
		m.snapshotHashes.add([32]byte{})
	case bundleRecord:
		m.bundles = append(m.bundles, "")
	}
	return recordAt{kind, uint32(n)}
}

// fill fills the row that extend made.
func (m *Metadata) fill(at recordAt, r Record) {
	switch at.kind {
	case spanRecord:
		row := m.spans.at(int(at.at))
		*row = m.spanRow(r.span)
		*m.spanHashes.at(int(at.at)), row.oddHash = m.compactHash(at, r.span.Hash)
	case snapshotRecord:
		row := m.snapshots.at(int(at.at))
		*row = m.snapshotRow(r.snapshot)
		*m.snapshotHashes.at(int(at.at)), row.oddHash = m.compactHash(at, r.snapshot.Hash)
	case bundleRecord:
		m.bundles[at.at] = r.bundle
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

func (m *Metadata) spanRow(s format.Span) spanRow {
	return spanRow{
		start: s.Start, end: s.End.V, hasEnd: s.End.Valid, inc: s.Incarnation.V, hasInc: s.Incarnation.Valid,
		vat: m.vat(s.VatID), current: s.Current,
	}
}

func (m *Metadata) snapshotRow(s format.Snapshot) snapshotRow {
	return snapshotRow{pos: s.Pos, vat: m.vat(s.VatID), inUse: s.InUse}
}

func (m *Metadata) compactHash(at recordAt, text string) (sum [32]byte, odd bool) {
	if b, err := hex.DecodeString(text); err == nil && len(b) == len(sum) && hex.EncodeToString(b) == text {
		copy(sum[:], b)
		return sum, false
	}
	m.oddHashes[at] = strings.Clone(text)
	return sum, true
}

// hash is the hash of row i of a kind; "" where none are kept.
func (m *Metadata) hash(kind recordKind, hashes *rowList[[32]byte], i int, odd bool) string {
	switch {
	case odd:
		return m.oddHashes[recordAt{kind, uint32(i)}]
	case i >= hashes.len():
		return ""
	}
	return hex.EncodeToString(hashes.at(i)[:])
}

// Span is span i as the export data has it.
func (m *Metadata) Span(i int) format.Span {
	s := m.spans.at(i)
	return format.Span{
		VatID: m.vats[s.vat].id, Start: s.start, End: format.NullInt{V: s.end, Valid: s.hasEnd}, Current: s.current,
		Incarnation: format.NullInt{V: s.inc, Valid: s.hasInc}, Hash: m.hash(spanRecord, &m.spanHashes, i, s.oddHash),
	}
}

// Snapshot is snapshot i as the export data has it.
func (m *Metadata) Snapshot(i int) format.Snapshot {
	s := m.snapshots.at(i)
	return format.Snapshot{VatID: m.vats[s.vat].id, Pos: s.pos, InUse: s.inUse, Hash: m.hash(snapshotRecord, &m.snapshotHashes, i, s.oddHash)}
}

// Settle ends the collection. The error is the first bad record that no later line replaced.
func (m *Metadata) Settle() error {
	m.settleAll()
	if m.found != nil && len(m.bad) > 0 {
		m.takeBad()
		m.settleAll()
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
	m.logs, m.bad = nil, nil
	m.stored = [recordKinds][]bool{spanRecord: make([]bool, m.spans.len()), snapshotRecord: make([]bool, m.snapshots.len()), bundleRecord: make([]bool, len(m.bundles))}
	m.order = sortedIndex(m.spans.len(), func(a, b uint32) int {
		x, y := m.spans.at(int(a)), m.spans.at(int(b))
		return cmp.Or(cmp.Compare(x.vat, y.vat), cmp.Compare(x.start, y.start))
	})
	m.snapOrder = sortedIndex(m.snapshots.len(), func(a, b uint32) int {
		x, y := m.snapshots.at(int(a)), m.snapshots.at(int(b))
		return cmp.Or(cmp.Compare(x.vat, y.vat), cmp.Compare(x.pos, y.pos))
	})
	m.settleVats()
	for i, id := range m.bundles {
		m.bundleAt[id] = i
	}
	return nil
}

func (m *Metadata) settleAll() {
	if m.logs != nil {
		for kind := range m.logs {
			m.settleKeys(recordKind(kind))
		}
	}
}

// settleVats finds the spans of each vat, the current one, and where its incarnation begins.
func (m *Metadata) settleVats() {
	for first, i := 0, 0; i < len(m.order); first = i {
		vat := &m.vats[m.spans.at(int(m.order[first])).vat]
		for ; i < len(m.order) && &m.vats[m.spans.at(int(m.order[i])).vat] == vat; i++ {
			if m.spans.at(int(m.order[i])).current {
				vat.current = int(m.order[i])
			}
		}
		vat.spans = m.order[first:i]
		if vat.current < 0 || !m.spans.at(vat.current).hasInc {
			continue
		}
		for _, j := range vat.spans {
			if s := m.spans.at(int(j)); s.hasInc && s.inc == m.spans.at(vat.current).inc {
				vat.start, vat.startKnown = s.start, true
				break
			}
		}
	}
}

func sortedIndex(n int, compare func(a, b uint32) int) []uint32 {
	order := make([]uint32, n)
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, compare)
	return order
}

// markStored notes that the content of a row is in the new store.
func (m *Metadata) markStored(kind recordKind, i int) { m.stored[kind][i] = true }

// findSpan returns the span of a vat that starts at a position.
func (m *Metadata) findSpan(vatID string, start int64) (int, bool) {
	vat, ok := m.vatOf[vatID]
	if !ok {
		return 0, false
	}
	of := m.vats[vat].spans
	i := sort.Search(len(of), func(i int) bool { return m.spans.at(int(of[i])).start >= start })
	if i == len(of) || m.spans.at(int(of[i])).start != start {
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
		s := m.snapshots.at(int(m.snapOrder[i]))
		return s.vat > vat || s.vat == vat && s.pos >= pos
	})
	if i == len(m.snapOrder) {
		return 0, false
	}
	at := int(m.snapOrder[i])
	return at, m.snapshots.at(at).vat == vat && m.snapshots.at(at).pos == pos
}
