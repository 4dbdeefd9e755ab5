package stages

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// Plan is what an export in one mode consists of, read from the small tables: names and hashes, no content. It takes 72 bytes a span.
type Plan struct {
	Mode    format.ArtifactMode
	Height  float64
	Vats    []*VatPlan // in the order of vatID
	odd     []string   // rows that no artifact can be made of, and why
	byVat   map[string]*VatPlan
	heaps   []heapPlan
	bundles []bundlePlan

	wantItems int64 // items to read: those of the wanted spans, and those that only count for completeness

	// partial, if not nil, takes a store that is not whole: what cannot be exported is left out instead of ending the export.
	partial *Partial
}

// VatPlan is what is known of a vat's transcript.
type VatPlan struct {
	ID      string
	Spans   []SpanPlan // by startPos
	current int        // index into Spans, or -1
	overlap bool       // some spans share items
	need    [3]itemRange
}

// SpanPlan is one row of transcriptSpans.
type SpanPlan struct {
	Start, End  int64 // items [Start, End)
	incarnation int64
	hash        [32]byte
	oddHash     *string // where hash is not 64 hexadecimal digits
	order       uint32  // place among all spans by vatID and startPos
	hasInc      bool    // false: incarnation is NULL
	wanted      bool    // by the mode; in debug mode only if it turns out complete
	done        bool    // its artifact was made
	kept        bool    // its artifact is there already
}

// itemRange is the items that a mode needs of a vat, and how many were seen.
type itemRange struct{ from, to, seen int64 }

// The modes by how much they need; indexes into VatPlan.need.
var needModes = [3]format.ArtifactMode{format.Operational, format.Replay, format.Archival}

type heapPlan struct {
	rowid          int64
	vatID          string
	pos            int64
	hash           string
	stored         int64 // bytes, compressed
	size           int64 // bytes, as the store has it; -1 where it has none
	inUse, present bool
	kept           bool // its artifact is there already
}

type bundlePlan struct {
	rowid  int64
	id     string
	kind   int // storage class
	stored int64
	kept   bool // its artifact is there already
}

// Hash is the span's hash as its record has it.
func (s *SpanPlan) Hash() string {
	if s.oddHash != nil {
		return *s.oddHash
	}
	return hex.EncodeToString(s.hash[:])
}

// sameIncarnation compares as SQL does: NULL equals nothing.
func (s *SpanPlan) sameIncarnation(as *SpanPlan) bool {
	return s.hasInc && as.hasInc && s.incarnation == as.incarnation
}

// NewPlan reads the small tables. It fails with an IncompleteError where something that the mode needs is certainly missing; what only
// counting shows is found at the end, by Complete.
func NewPlan(ctx context.Context, s *Store, mode format.ArtifactMode) (*Plan, error) {
	p := &Plan{Mode: mode, byVat: map[string]*VatPlan{}}
	var err error
	if p.Height, err = s.Height(); err != nil {
		return nil, err
	}
	for _, read := range []func(*Store) error{hasIncarnations, p.readBundles, p.readSpans, p.readHeaps} {
		if err := read(s); err != nil {
			return nil, s.oldSchema(err)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	if err := s.CheckKeys(ctx, func(err error) error { return err }); err != nil {
		return nil, err
	}
	p.choose()
	if !s.schema.tables["transcriptItems"] {
		p.wantItems = 0
	}
	if len(p.odd) > 0 && mode != format.None {
		return nil, fmt.Errorf("%w: %s", ErrNotStore, strings.Join(p.odd, "; "))
	}
	if mode == format.None || mode == format.Debug {
		return p, nil
	}
	return p, p.refuse(s)
}

// oldSchema explains the one known kind of store that the reference cannot read either.
func (s *Store) oldSchema(err error) error {
	if strings.Contains(err.Error(), "no such column: incarnation") {
		return fmt.Errorf("%w: its transcript tables have no column incarnation (development stores from before April 2023): %w", ErrNotStore, err)
	}
	if strings.Contains(err.Error(), "no such column") {
		return fmt.Errorf("%w: %w", ErrNotStore, err)
	}
	return err
}

// hasIncarnations fails where the items have no column for them, although no export has it: the reference cannot read such a store.
func hasIncarnations(s *Store) error {
	if !s.schema.tables["transcriptItems"] {
		return nil
	}
	return s.db.Query("SELECT incarnation FROM transcriptItems LIMIT 0", nil)
}

func (p *Plan) readBundles(s *Store) error {
	if !s.schema.tables["bundles"] {
		return nil
	}
	return s.db.Query("SELECT rowid, bundleID, typeof(bundle), octet_length(bundle) FROM bundles ORDER BY bundleID", func(q *Stmt) error {
		kinds := map[string]int{"null": lib.SQLITE_NULL, "text": lib.SQLITE_TEXT, "blob": lib.SQLITE_BLOB}
		kind, ok := kinds[q.Text(2)]
		if !ok || q.Type(1) != lib.SQLITE_TEXT {
			p.odd = append(p.odd, fmt.Sprintf("bundle %s is stored as %s", format.AppendTemplate(nil, q.Value(1)), q.Text(2)))
			return nil
		}
		p.bundles = append(p.bundles, bundlePlan{rowid: q.Int(0), id: q.Text(1), kind: kind, stored: q.Int(3)})
		return nil
	})
}

func (p *Plan) readHeaps(s *Store) error {
	if !s.schema.tables["snapshots"] {
		return nil
	}
	// For typeof the engine looks at the header of a row only; for IS NOT NULL in a result it reads the heap.
	const sql = `SELECT rowid, vatID, snapPos, hash, inUse IS 1, typeof(compressedSnapshot) <> 'null', octet_length(compressedSnapshot),
			iif(typeof(uncompressedSize) = 'integer', uncompressedSize, -1)
		FROM snapshots WHERE inUse IS 1 OR inUse IS NULL AND compressedSnapshot IS NOT NULL ORDER BY vatID, snapPos`
	return s.db.Query(sql, func(q *Stmt) error {
		if q.Type(1) != lib.SQLITE_TEXT || q.Type(2) != lib.SQLITE_INTEGER {
			p.odd = append(p.odd, fmt.Sprintf("snapshot %s of vat %s has no vatID or position", format.AppendTemplate(nil, q.Value(2)), format.AppendTemplate(nil, q.Value(1))))
			return nil
		}
		p.heaps = append(p.heaps, heapPlan{
			rowid: q.Int(0), vatID: q.Text(1), pos: q.Int(2), hash: hashText(q, 3), stored: q.Int(6), size: q.Int(7), inUse: q.Int(4) != 0, present: q.Int(5) != 0,
		})
		return nil
	})
}

func (p *Plan) readSpans(s *Store) error {
	if !s.schema.tables["transcriptSpans"] {
		return nil
	}
	const sql = "SELECT vatID, startPos, endPos, hash, isCurrent IS 1, incarnation FROM transcriptSpans ORDER BY vatID, startPos"
	return s.db.Query(sql, func(q *Stmt) error {
		if q.Type(0) != lib.SQLITE_TEXT || q.Type(1) != lib.SQLITE_INTEGER || q.Type(2) != lib.SQLITE_INTEGER {
			p.odd = append(p.odd, fmt.Sprintf("transcript span %s.%s.%s has no vatID or positions",
				format.AppendTemplate(nil, q.Value(0)), format.AppendTemplate(nil, q.Value(1)), format.AppendTemplate(nil, q.Value(2))))
			return nil
		}
		v := p.vat(q.Bytes(0))
		span := SpanPlan{Start: q.Int(1), End: q.Int(2)}
		if q.Type(5) == lib.SQLITE_INTEGER {
			span.incarnation, span.hasInc = q.Int(5), true
		}
		if h := q.Bytes(3); len(h) != 64 || !lowerHex(h) || q.Type(3) != lib.SQLITE_TEXT {
			odd := hashText(q, 3)
			span.oddHash = &odd
		} else if _, err := hex.Decode(span.hash[:], h); err != nil {
			return err
		}
		if q.Int(4) != 0 {
			v.current = len(v.Spans)
		}
		v.Spans = append(v.Spans, span)
		return nil
	})
}

// hashText is a hash as its record has it. A BLOB is none, whatever is in it: no import takes its record.
func hashText(q *Stmt, i int) string {
	if q.Type(i) == lib.SQLITE_BLOB {
		return fmt.Sprintf("x'%x'", q.Bytes(i))
	}
	return string(format.AppendTemplate(nil, q.Value(i)))
}

func lowerHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// vat returns the plan of a vat, the last one mostly.
func (p *Plan) vat(id []byte) *VatPlan {
	if v, ok := p.byVat[string(id)]; ok {
		return v
	}
	if n := len(p.Vats); n > 0 {
		last := p.Vats[n-1] // which is complete: give back what it has too much
		last.Spans = slices.Clone(last.Spans)
	}
	v := &VatPlan{ID: string(id), current: -1}
	p.byVat[v.ID] = v
	p.Vats = append(p.Vats, v)
	return v
}

// choose marks the spans that the mode exports and the items that each mode needs.
func (p *Plan) choose() {
	var order uint32
	for _, v := range p.Vats {
		for i := range v.Spans {
			s := &v.Spans[i]
			s.wanted, s.order = p.wants(v, i), order
			order++
			v.overlap = v.overlap || i > 0 && s.Start < v.Spans[i-1].End
		}
		if v.current < 0 {
			continue
		}
		cur := &v.Spans[v.current]
		incarnation := itemRange{cur.End + 1, cur.End, 0} // never complete: what a NULL incarnation gives
		for i := range v.Spans {
			if v.Spans[i].sameIncarnation(cur) {
				incarnation.from = v.Spans[i].Start
				break
			}
		}
		v.need = [3]itemRange{{cur.Start, cur.End, 0}, incarnation, {0, cur.End, 0}}
	}
	for _, v := range p.Vats {
		if from, to := p.extent(v); to > from {
			p.wantItems += to - from
		}
	}
}

// extent is the range of items to read of a vat: what its wanted spans hold, and what completeness counts besides.
func (p *Plan) extent(v *VatPlan) (from, to int64) {
	first := true
	widen := func(a, b int64) {
		if a >= b {
			return
		}
		if first {
			from, to, first = a, b, false
		}
		from, to = min(from, a), max(to, b)
	}
	for i := range v.Spans {
		if s := &v.Spans[i]; s.wanted {
			widen(s.Start, s.End)
		}
	}
	if level := p.needIndex(); level >= 0 {
		widen(v.need[level].from, v.need[level].to)
	}
	return from, to
}

func (p *Plan) wants(v *VatPlan, i int) bool { return p.wantsIn(p.Mode, v, i) }

// wantsIn reports whether an export in a mode has a span.
func (p *Plan) wantsIn(mode format.ArtifactMode, v *VatPlan, i int) bool {
	switch mode {
	case format.Operational:
		return i == v.current
	case format.Replay:
		return v.current >= 0 && v.Spans[i].sameIncarnation(&v.Spans[v.current])
	case format.Archival:
		return v.current >= 0
	case format.Debug:
		return true
	}
	return false
}

// needIndex is the mode's place in needModes, -1 for none and debug.
func (p *Plan) needIndex() int {
	for i, m := range needModes {
		if m == p.Mode {
			return i
		}
	}
	return -1
}

// checkName refuses vat IDs that no artifact name or file can carry, in the reference's wording where it has one.
func (p *Plan) checkName(v *VatPlan, s *SpanPlan) (string, error) {
	name := string(format.AppendSpanName(nil, v.ID, s.Start, s.End))
	if _, err := format.ParseName(name); err != nil {
		return name, err
	}
	return name, fileName(name)
}

// fileName refuses artifact names that would be another file than one of that name in the export directory.
func fileName(name string) error {
	if strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("artifact %q cannot be a file name", name)
	}
	return nil
}

// EachSpan calls f for every wanted span, in manifest order.
func (p *Plan) EachSpan(f func(*VatPlan, *SpanPlan) error) error {
	for _, v := range p.Vats {
		for i := range v.Spans {
			if v.Spans[i].wanted {
				if err := f(v, &v.Spans[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// SpanNames calls f with the name of every span that the mode exports, in manifest order.
func (p *Plan) SpanNames(f func(name string) error) error {
	return p.EachSpan(func(v *VatPlan, s *SpanPlan) error {
		return f(string(format.AppendSpanName(nil, v.ID, s.Start, s.End)))
	})
}

// HeapNames calls f with the name of every snapshot that the mode exports, in manifest order.
func (p *Plan) HeapNames(f func(name string) error) error {
	return p.eachHeap(func(h *heapPlan) error { return f(string(format.AppendSnapshotName(nil, h.vatID, h.pos))) })
}

func (p *Plan) eachHeap(f func(*heapPlan) error) error {
	for _, inUse := range []bool{true, false} {
		if p.Mode == format.None || !inUse && p.Mode != format.Debug {
			continue
		}
		for i := range p.heaps {
			if h := &p.heaps[i]; h.inUse == inUse && h.present {
				if err := f(h); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// BundleNames calls f with the name of every bundle, in manifest order.
func (p *Plan) BundleNames(f func(name string) error) error {
	if p.Mode == format.None {
		return nil
	}
	for i := range p.bundles {
		if err := f(string(format.AppendBundleName(nil, p.bundles[i].id))); err != nil {
			return err
		}
	}
	return nil
}

// unread calls f with the ranges of items that a vat's extent has beside the spans that are kept.
func (p *Plan) unread(v *VatPlan, f func(from, to int64) error) error {
	from, to := p.extent(v)
	for i := range v.Spans {
		s := &v.Spans[i]
		if !s.kept {
			continue
		}
		if from < s.Start {
			if err := f(from, s.Start); err != nil {
				return err
			}
		}
		from = max(from, s.End)
	}
	if from < to {
		return f(from, to)
	}
	return nil
}

// Counts are the numbers of artifacts that the mode asks for, and the bytes that the heaps and bundles which are to be read take in the store.
func (p *Plan) Counts() (heaps, spans, bundles int, stored int64) {
	p.eachHeap(func(h *heapPlan) error {
		if heaps++; !h.kept {
			stored += h.stored
		}
		return nil
	})
	p.EachSpan(func(*VatPlan, *SpanPlan) error { spans++; return nil })
	if p.Mode != format.None {
		bundles = len(p.bundles)
		for _, b := range p.bundles {
			if !b.kept {
				stored += b.stored
			}
		}
	}
	return heaps, spans, bundles, stored
}

// NeedsItems reports whether any item has to be read.
func (p *Plan) NeedsItems() bool { return p.Mode != format.None && p.wantItems > 0 }

// ItemsByIndex reports whether the items are better fetched through the index of transcriptItems than by sweeping the whole file: each costs
// about two random reads, which take as long as reading indexCost pages in sequence.
func (p *Plan) ItemsByIndex(storeBytes int64) bool {
	if p.Mode != format.Operational && p.Mode != format.Replay {
		return false
	}
	const indexCost, pageSize = 32, 4096
	return p.wantItems*indexCost < storeBytes/pageSize
}
