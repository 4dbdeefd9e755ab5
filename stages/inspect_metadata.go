package stages

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"swingport/format"
)

// currentRecord is the line snapshot.V.current: the key of the snapshot in use.
type currentRecord struct{ vatID, names string }

func newCurrentRecord(e *format.Entry) *currentRecord {
	vat, _, _ := bytes.Cut(e.KVKey(), []byte("."))
	return &currentRecord{string(vat), string(e.Value)}
}

// checkKey compares the record of a snapshot with its key, which import does not.
func (r *Record) checkKey(e *format.Entry) {
	if r.kind != snapshotRecord || r.null || r.err != nil {
		return
	}
	if err := r.snapshot.CheckKey(e.Key); err != nil {
		r.err = fmt.Errorf("export data %s: %w", quoted(string(e.Key)), err)
	}
}

// NewInspection returns an empty collection for Inspect. found is told by Settle of the records that no later line replaced and that are
// none, in the order of the lines; they are left out.
func NewInspection(found func(error)) *Metadata {
	m := NewMetadata()
	m.currents, m.found = map[recordKey]*currentRecord{}, found
	return m
}

func (m *Metadata) takeBad() {
	type bad struct {
		badRecord
		at recordAt
	}
	var list []bad
	for at, b := range m.bad {
		list = append(list, bad{b, at})
	}
	slices.SortFunc(list, func(x, y bad) int { return cmp.Compare(x.seq, y.seq) })
	for _, b := range list {
		if m.logs != nil {
			*m.logs[b.at.kind].gone.at(int(b.at.at)) = true
		}
		delete(m.bad, b.at)
		m.found(b.err)
	}
}

// Inspect compares the records with one another, after Settle: the spans of a vat follow one another, its current span is the last one, its
// incarnations only grow, and snapshot.V.current names the one snapshot in use. found is told of each contradiction, an *ArtifactError
// where it is about one artifact, vat by vat; odd of what is no contradiction and worth knowing.
func (m *Metadata) Inspect(found func(error), odd func(string)) {
	currents := map[string]string{}
	for _, c := range m.currents {
		currents[c.vatID] = c.names
	}
	for id := range currents {
		m.vat(id) // some may have no other record
	}
	inUse := make([][]uint32, len(m.vats))
	for _, i := range m.snapOrder {
		if s := m.snapshots.at(int(i)); s.inUse {
			inUse[s.vat] = append(inUse[s.vat], i)
		}
	}
	for n, i := range m.snapOrder {
		if s := m.snapshots.at(int(i)); n > 0 && s.vat == m.snapshots.at(int(m.snapOrder[n-1])).vat && s.pos == m.snapshots.at(int(m.snapOrder[n-1])).pos {
			found(&ArtifactError{string(format.AppendSnapshotName(nil, m.vats[s.vat].id, s.pos)), errorf(format.ErrDuplicate, "two records are about it")})
		}
	}
	vats := make([]int, len(m.vats))
	for i := range vats {
		vats[i] = i
	}
	slices.SortFunc(vats, func(a, b int) int { return strings.Compare(m.vats[a].id, m.vats[b].id) })
	var idle []string
	for _, i := range vats {
		v := &m.vats[i]
		m.inspectSpans(v, found)
		if len(v.spans) > 0 && v.current < 0 {
			idle = append(idle, v.id)
		}
		names, ok := currents[v.id]
		m.inspectCurrent(v, inUse[i], names, ok, found)
		if len(inUse[i]) == 1 && v.current >= 0 {
			pos, start := m.snapshots.at(int(inUse[i][0])).pos, m.spans.at(v.current).start
			if pos+1 != start {
				odd(fmt.Sprintf("vat %s: the snapshot in use is at %d, its current span begins at %d", v.id, pos, start))
			}
		}
	}
	if n := len(idle); n > 0 {
		odd(fmt.Sprintf("%d vats have no current span, since they were terminated, or nobody can replay them: %s", n, someOf(idle)))
	}
}

// someOf lists the first of many.
func someOf(list []string) string {
	const most = 5
	if n := len(list) - most; n > 0 {
		list = append(list[:most:most], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(list, ", ")
}

// inspectSpans compares the spans of a vat.
func (m *Metadata) inspectSpans(v *vatRow, found func(error)) {
	for n, i := range v.spans {
		s := m.spans.at(int(i))
		name := spanName(m.Span(int(i)))
		wrong := func(text string, args ...any) { found(&ArtifactError{name, errorf(format.ErrMismatch, text, args...)}) }
		switch {
		case !s.hasEnd:
			wrong("its record has no endPos")
		case s.end < s.start:
			wrong("it ends before it begins")
		}
		if s.current && n < len(v.spans)-1 {
			wrong("it is current, and not the last span of vat %s", v.id)
		}
		if n == 0 {
			continue
		}
		before := m.spans.at(int(v.spans[n-1]))
		switch {
		case !before.hasEnd || before.end == s.start:
		case before.start == s.start:
			wrong("another span of vat %s begins at %d too", v.id, s.start)
		default:
			wrong("the span before it ends at %d: the spans of vat %s do not follow one another", before.end, v.id)
		}
		if before.hasInc && s.hasInc && before.inc > s.inc {
			wrong("it is of incarnation %d, the span before it of incarnation %d", s.inc, before.inc)
		}
	}
}

func spanName(s format.Span) string {
	return fmt.Sprintf("transcript.%s.%d.%s", s.VatID, s.Start, nullText(s.End))
}

// inspectCurrent compares snapshot.V.current with the snapshots in use of a vat.
func (m *Metadata) inspectCurrent(v *vatRow, inUse []uint32, names string, there bool, found func(error)) {
	key := fmt.Sprintf("snapshot.%s.current", v.id)
	var used []string
	for _, i := range inUse {
		used = append(used, string(format.AppendSnapshotName(nil, v.id, m.snapshots.at(int(i)).pos)))
	}
	switch {
	case len(used) > 1:
		found(errorf(format.ErrMismatch, "vat %s has %d snapshots in use: %s", v.id, len(used), strings.Join(used, ", ")))
	case len(used) == 1 && !there:
		found(errorf(format.ErrMismatch, "%s is missing, and %s is in use", key, used[0]))
	case len(used) == 0 && there:
		found(errorf(format.ErrMismatch, "%s names %s, and no snapshot of vat %s is in use", key, quoted(names), v.id))
	case len(used) == 1 && names != used[0]:
		found(errorf(format.ErrMismatch, "%s names %s, and %s is in use", key, quoted(names), used[0]))
	}
}

// Missing tells found of each artifact that mode needs and that did not come, as an *ArtifactError. Mode none needs nothing.
func (m *Metadata) Missing(mode format.ArtifactMode, found func(error)) {
	missing := func(name string) {
		found(&ArtifactError{name, errorf(format.ErrIncomplete, "missing, and %s needs it", modeText(mode))})
	}
	if mode == format.None {
		return
	}
	for _, i := range m.snapOrder {
		if s := m.snapshots.at(int(i)); s.inUse && !m.stored[snapshotRecord][i] {
			missing(string(format.AppendSnapshotName(nil, m.vats[s.vat].id, s.pos)))
		}
	}
	for _, i := range m.vatsByName() {
		v := &m.vats[i]
		from, to, known := m.needs(v, mode)
		for n, j := range v.spans {
			s := m.spans.at(int(j))
			if n > 0 && m.spans.at(int(v.spans[n-1])).start == s.start {
				continue // Inspect says that there are two
			}
			empty := int(j) == v.current && s.start == s.end // needed for its record alone
			if known && !m.stored[spanRecord][j] && s.hasEnd && (s.start < to && s.end > from || empty) {
				missing(spanName(m.Span(int(j))))
			}
		}
	}
	for i, id := range m.bundles {
		if !m.stored[bundleRecord][i] {
			missing(string(format.AppendBundleName(nil, id)))
		}
	}
}

func modeText(mode format.ArtifactMode) string {
	if mode == format.Debug {
		mode = format.Operational
	}
	return "artifact mode " + string(mode)
}
