package stages

import (
	"cmp"
	"slices"
)

// nameTable has something for each of many names, in 20 bytes and what that takes: there may be a million. A nil one is empty.
type nameTable[V any] struct {
	rows  rowList[named[V]]
	order []uint32 // of rows, by name
}

type named[V any] struct {
	name  recordKey
	value V
}

func (t *nameTable[V]) add(name string, value V) {
	t.rows.add(named[V]{makeRecordKey([]byte(name)), value})
}

// sort makes what was added be found. It returns a row whose name was there before, nil if there is none.
func (t *nameTable[V]) sort() (twice *named[V]) {
	t.order = sortedIndex(t.rows.len(), func(a, b uint32) int {
		return cmp.Or(t.rows.at(int(a)).name.compare(t.rows.at(int(b)).name), cmp.Compare(a, b))
	})
	for i := 1; i < len(t.order); i++ {
		if row := t.rows.at(int(t.order[i])); row.name == t.rows.at(int(t.order[i-1])).name {
			return row
		}
	}
	return nil
}

// find returns what was added for a name.
func (t *nameTable[V]) find(name string) (value V, ok bool) {
	if t == nil {
		return value, false
	}
	i, ok := slices.BinarySearchFunc(t.order, makeRecordKey([]byte(name)), func(i uint32, key recordKey) int { return t.rows.at(int(i)).name.compare(key) })
	if ok {
		value = t.rows.at(int(t.order[i])).value
	}
	return value, ok
}

func (k recordKey) compare(with recordKey) int {
	return cmp.Or(cmp.Compare(k[0], with[0]), cmp.Compare(k[1], with[1]))
}
