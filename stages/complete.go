package stages

import (
	"fmt"
	"slices"
	"strings"

	"swingport/format"
)

// Complete checks that what was imported is all that mode needs; debug needs what operational does. The order of the checks and their texts
// are the reference's. It knows from the artifacts what is there, and asks no index. The error is an IncompleteError.
func (m *Metadata) Complete(mode format.ArtifactMode) error {
	err := m.lacks(mode)
	if err == nil {
		return nil
	}
	e := &IncompleteError{Mode: mode, Err: err, Lacks: m.lacksList(mode)}
	for _, lower := range []format.ArtifactMode{format.Archival, format.Replay, format.Operational} {
		if m.lacks(lower) == nil {
			e.Possible = lower
			break
		}
	}
	return e
}

// lacks returns the first thing that is missing.
func (m *Metadata) lacks(mode format.ArtifactMode) error {
	if ids := m.missingBundles(); len(ids) > 0 {
		return errorf(format.ErrIncomplete, "missing bundles for: %s", strings.Join(ids, ","))
	}
	for _, v := range m.vatsByName() {
		if err := m.vatLacks(&m.vats[v], mode); err != nil {
			return err
		}
	}
	if ids := m.prunedSnapshots(); len(ids) > 0 {
		return errorf(format.ErrIncomplete, "current snapshots are pruned for vats %s", strings.Join(ids, ","))
	}
	return nil
}

func (m *Metadata) missingBundles() (ids []string) {
	for i, id := range m.bundles {
		if !m.stored[bundleRecord][i] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (m *Metadata) prunedSnapshots() (vatIDs []string) {
	for i := range m.snapshots.len() {
		if s := m.snapshots.at(i); s.inUse && !m.stored[snapshotRecord][i] {
			vatIDs = append(vatIDs, m.vats[s.vat].id)
		}
	}
	slices.Sort(vatIDs)
	return vatIDs
}

// vatsByName returns the vats that have a current span in the order of their ids.
func (m *Metadata) vatsByName() []int {
	var list []int
	for i := range m.vats {
		if m.vats[i].current >= 0 {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b int) int { return strings.Compare(m.vats[a].id, m.vats[b].id) })
	return list
}

func (m *Metadata) vatLacks(v *vatRow, mode format.ArtifactMode) error {
	from, to, known := m.needs(v, mode)
	n := int64(0) // what comparing with NULL counts
	if known {
		if n = m.storedItems(v, from, to); n == to-from {
			return nil
		}
	}
	switch mode {
	case format.Replay:
		return errorf(format.ErrIncomplete, "incomplete current incarnation transcript: %d items", n)
	case format.Archival:
		return errorf(format.ErrIncomplete, "incomplete archival transcript: %d vs %s", n, nullText(m.Span(v.current).End))
	}
	return errorf(format.ErrIncomplete, "incomplete current transcript span: %d items, %s", n, spanText(m.Span(v.current)))
}

// spanText is a row of transcriptSpans as the reference prints it in an error.
func spanText(s format.Span) string {
	return fmt.Sprintf(`{"vatID":%s,"startPos":%d,"endPos":%s,"hash":%s,"isCurrent":1,"incarnation":%s}`,
		quoted(s.VatID), s.Start, nullText(s.End), quoted(s.Hash), nullText(s.Incarnation))
}

// needs is the range of items of a vat that a mode needs; known is false where it is NULL, so that no number of items is enough.
func (m *Metadata) needs(v *vatRow, mode format.ArtifactMode) (from, to int64, known bool) {
	span := m.spans.at(v.current)
	switch mode {
	case format.Replay:
		return v.start, span.end, span.hasEnd && v.startKnown
	case format.Archival:
		return 0, span.end, span.hasEnd
	}
	return span.start, span.end, span.hasEnd
}

// storedItems counts the items of a vat in [from, to) that were imported: spans are imported whole, and no two that share an item.
func (m *Metadata) storedItems(v *vatRow, from, to int64) (n int64) {
	for _, i := range v.spans {
		if s := m.spans.at(int(i)); m.stored[spanRecord][i] {
			n += max(0, min(to, s.end)-max(from, s.start))
		}
	}
	return n
}

// lacksList says for each vat what it lacks.
func (m *Metadata) lacksList(mode format.ArtifactMode) (list []string) {
	for _, id := range m.missingBundles() {
		list = append(list, "bundle "+id)
	}
	for _, i := range m.vatsByName() {
		v := &m.vats[i]
		if m.vatLacks(v, mode) == nil {
			continue
		}
		from, to, known := m.needs(v, mode)
		if !known {
			list = append(list, v.id+" has a current span without end or incarnation")
			continue
		}
		list = append(list, m.gaps(v, from, to)...)
	}
	for _, id := range m.prunedSnapshots() {
		list = append(list, id+" lacks its heap snapshot")
	}
	return list
}

// gaps lists the runs of items in [from, to) that a vat lacks, at most three and a note that there are more.
func (m *Metadata) gaps(v *vatRow, from, to int64) (list []string) {
	at := from
	gap := func(until int64) {
		if at < until {
			list = append(list, fmt.Sprintf("%s lacks items %d..%d", v.id, at, until))
		}
	}
	for _, i := range v.spans {
		s := m.spans.at(int(i))
		if !m.stored[spanRecord][i] || s.end <= at || s.start >= to {
			continue
		}
		gap(min(s.start, to))
		at = max(at, s.end)
	}
	gap(to)
	if len(list) > 3 {
		list = append(list[:3], fmt.Sprintf("%s lacks %d more stretches of items", v.id, len(list)-3))
	}
	return list
}
