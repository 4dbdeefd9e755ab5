package stages

import (
	"cmp"
	"slices"
)

// keyLog are the keys of the lines of one kind, each beside its row, until it is known which of them are about the same record. It takes 17
// bytes a line; a map would take forty.
type keyLog struct {
	keys rowList[recordKey]
	gone rowList[bool] // a line that deletes, or one that was replaced
	next int           // how many lines are the next to be looked through
}

// lookThrough is how many lines come before they are looked through the first time.
const lookThrough = 64 << 10

// keyPartBits are the first bits of a key: lines whose keys have the same ones are looked through together, so that few are sorted at a time.
const keyPartBits = 4

// keyAt is the key of a line and the number of its row.
type keyAt struct {
	key recordKey
	at  uint32
}

// add takes the next line, whose row was just added. It reports whether it is time to look through the lines: they may all be about the same
// few records.
func (l *keyLog) add(key recordKey, null bool) bool {
	l.keys.add(key)
	l.gone.add(null)
	return l.keys.len() >= max(l.next, lookThrough)
}

// repeated calls f with the lines of each key that came more than once, or whose line deletes, in their order.
func (l *keyLog) repeated(f func(lines []keyAt)) {
	var part []keyAt
	for bits := range uint64(1 << keyPartBits) {
		part = part[:0]
		for i := range l.keys.len() {
			if k := *l.keys.at(i); k[0]>>(64-keyPartBits) == bits {
				part = append(part, keyAt{k, uint32(i)})
			}
		}
		slices.SortFunc(part, keyAt.compare)
		for rest := part; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].key == rest[0].key {
				n++
			}
			if n > 1 || *l.gone.at(int(rest[0].at)) {
				f(rest[:n])
			}
			rest = rest[n:]
		}
	}
}

func (a keyAt) compare(b keyAt) int {
	return cmp.Or(a.key.compare(b.key), cmp.Compare(a.at, b.at))
}

// settleKeys leaves one row for each record: as in the reference's Map, a key that came again keeps its place, and one that was deleted
// went to the end.
func (m *Metadata) settleKeys(kind recordKind) {
	l := &m.logs[kind]
	l.repeated(func(lines []keyAt) {
		keep := -1
		for _, line := range lines {
			at := int(line.at)
			switch {
			case *l.gone.at(at):
				if keep >= 0 {
					*l.gone.at(keep) = true
				}
				keep = -1
			case keep < 0:
				keep = at
			default:
				m.move(kind, at, keep)
				*l.gone.at(at) = true
			}
		}
	})
	n := 0
	for i := range l.keys.len() {
		if *l.gone.at(i) {
			m.forget(recordAt{kind, uint32(i)})
			continue
		}
		if n < i {
			m.move(kind, i, n)
			*l.keys.at(n), *l.gone.at(n) = *l.keys.at(i), false
		}
		n++
	}
	m.truncate(kind, n)
	l.keys.truncate(n)
	l.gone.truncate(n)
	l.next = 2 * n
}

// move puts row from, with what is noted of it, in the place of row to.
func (m *Metadata) move(kind recordKind, from, to int) {
	switch kind {
	case spanRecord:
		*m.spans.at(to) = *m.spans.at(from)
		*m.spanHashes.at(to) = *m.spanHashes.at(from)
	case snapshotRecord:
		*m.snapshots.at(to) = *m.snapshots.at(from)
		*m.snapshotHashes.at(to) = *m.snapshotHashes.at(from)
	case bundleRecord:
		m.bundles[to] = m.bundles[from]
	}
	a, b := recordAt{kind, uint32(from)}, recordAt{kind, uint32(to)}
	m.forget(b)
	if bad, ok := m.bad[a]; ok {
		m.bad[b] = bad
	}
	if odd, ok := m.oddHashes[a]; ok {
		m.oddHashes[b] = odd
	}
	m.forget(a)
}

// forget forgets what is noted of a row.
func (m *Metadata) forget(at recordAt) {
	delete(m.bad, at)
	delete(m.oddHashes, at)
}

func (m *Metadata) truncate(kind recordKind, n int) {
	switch kind {
	case spanRecord:
		m.spans.truncate(n)
		m.spanHashes.truncate(n)
	case snapshotRecord:
		m.snapshots.truncate(n)
		m.snapshotHashes.truncate(n)
	case bundleRecord:
		m.bundles = m.bundles[:n]
	}
}
