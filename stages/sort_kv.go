package stages

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"swingport/format"
)

// KVSorter sorts the rows of kvStore by the bytes of their keys, which is the order of the export data. Its workers sort runs beside the
// sweep, and pack them; those that the memory cannot keep go to temporary files.
type KVSorter struct {
	spill *spill
	run   int // bytes of a run
	rows  atomic.Int64

	// Count adds up the lengths of the lines, for Size.
	Count bool
	size  atomic.Int64

	nulls, notText int64 // values that Merge passed on
}

// The sizes of a sort: rows come in arenas; a worker sorts a run when it has sortRun bytes of them. Budget: each worker's run, and what is kept
// of runs in packed form.
const (
	rowArena = 1 << 20
	sortRun  = 8 << 20
	sortKeep = 24 << 20
)

// kvArenas is how many arenas a sort by n workers may use at once.
func kvArenas(n int) int { return n*sortRun/rowArena + 8 }

// SortWorkers is how many workers sort, where the rest of an export has n: more would only take memory.
func SortWorkers(n int) int { return min(n, 4) }

// NewKVSorter makes a sorter that spills to files in tempDir.
func NewKVSorter(tempDir string, fsys *FS) *KVSorter {
	return &KVSorter{spill: newSpill(sortKeep, tempDir, fsys), run: sortRun}
}

// Close removes what was spilled.
func (k *KVSorter) Close() { k.spill.close() }

// Rows is the number of rows so far.
func (k *KVSorter) Rows() int64 { return k.rows.Load() }

// Size is the length of their lines in the export data, in bytes, if Count is set.
func (k *KVSorter) Size() int64 { return k.size.Load() }

// Work is the body of one worker: it takes batches until the end and leaves sorted runs.
func (k *KVSorter) Work(ctx context.Context, rows *Link[*Rows]) error {
	r := &kvRun{}
	err := Each(ctx, rows, func(b *Rows) error {
		r.arenas = append(r.arenas, b)
		r.bytes += cap(b.Data) // not what is in it: the arenas are what there is only a number of
		r.rows += b.Count
		if r.bytes < k.run {
			return nil
		}
		full := r
		r = &kvRun{}
		return k.finish(ctx, full)
	})
	if err != nil {
		return err
	}
	return k.finish(ctx, r)
}

// finish sorts a run and packs it.
func (k *KVSorter) finish(ctx context.Context, r *kvRun) error {
	if r.rows == 0 {
		return nil
	}
	k.rows.Add(int64(r.rows))
	if k.Count {
		k.size.Add(r.size())
	}
	r.sort()
	return k.spill.add(ctx, r.pack)
}

// Merge calls f for each row in the order of the keys, once the workers are done.
func (k *KVSorter) Merge(ctx context.Context, f func(Row) error) error {
	m, err := k.spill.merge()
	if err != nil {
		return err
	}
	var last []byte
	first := true
	return m.each(ctx, func(row []byte) error {
		r := parseRow(row)
		if !first && bytes.Equal(last, r.A) {
			return fmt.Errorf("kvStore has two rows of key %q: %w", format.AppendText(nil, r.A), ErrDamaged)
		}
		first, last = false, append(last[:0], r.A...)
		switch r.B.Type {
		case format.Text:
		case format.Null:
			k.nulls++
		default:
			k.notText++
		}
		return f(r)
	})
}

// Lost says, after Merge, which values no import brings back from their lines in the export data, as the reference writes them.
func (k *KVSorter) Lost() (warnings []string) {
	if k.notText > 0 {
		warnings = append(warnings, fmt.Sprintf("kvStore has values that are no text (%d): no import takes their export data", k.notText))
	}
	if k.nulls > 0 {
		warnings = append(warnings, fmt.Sprintf("kvStore has values that are NULL (%d): an import leaves their keys out", k.nulls))
	}
	return warnings
}

// kvRun is rows in arenas.
type kvRun struct {
	arenas []*Rows
	bytes  int // that the arenas take
	rows   int
	keys   []keyRef
}

// keyRef is where a row is, and 8 bytes of its key from the depth that is being compared, so that most comparisons touch nothing else.
type keyRef struct {
	word       uint64
	arena, off uint32
}

func (r *kvRun) key(k keyRef) []byte { return rowKey(r.arenas[k.arena].Data[k.off:]) }

// pack calls add for each row, once sorted, and gives the arenas back.
func (r *kvRun) pack(add func(row []byte) error) error {
	for _, k := range r.keys {
		b := r.arenas[k.arena].Data[k.off:]
		if err := add(b[:rowSize(b)]); err != nil {
			return err
		}
	}
	for _, a := range r.arenas {
		a.Release()
	}
	return nil
}

// size is the length of the run's lines in the export data.
func (r *kvRun) size() (n int64) {
	for _, a := range r.arenas {
		for b := a.Data; len(b) > 0; b = b[rowSize(b):] {
			row := parseRow(b)
			n += int64(format.KVSize(row.A, row.B))
		}
	}
	return n
}

// sort orders the rows by key: a three-way radix quicksort on 8 bytes at a time.
func (r *kvRun) sort() {
	r.keys = make([]keyRef, 0, r.rows)
	for i, a := range r.arenas {
		for off := 0; off < len(a.Data); off += rowSize(a.Data[off:]) {
			r.keys = append(r.keys, keyRef{0, uint32(i), uint32(off)})
		}
	}
	r.load(r.keys, 0)
	r.sortFrom(r.keys, 0)
}

// load sets the words of keys to their bytes from depth on, padded with zeros.
func (r *kvRun) load(keys []keyRef, depth int) {
	for i := range keys {
		keys[i].word = wordAt(r.key(keys[i]), depth)
	}
}

func wordAt(key []byte, depth int) uint64 {
	if len(key) >= depth+8 {
		return binary.BigEndian.Uint64(key[depth:])
	}
	var w [8]byte
	if depth < len(key) {
		copy(w[:], key[depth:])
	}
	return binary.BigEndian.Uint64(w[:])
}

// sortFrom sorts keys whose first depth bytes are the same and whose words are loaded for depth.
func (r *kvRun) sortFrom(keys []keyRef, depth int) {
	for len(keys) > 24 {
		less, equal := partition(keys)
		r.sortFrom(keys[:less], depth)
		r.sortEqual(keys[less:equal], depth)
		keys = keys[equal:]
	}
	slices.SortFunc(keys, func(x, y keyRef) int {
		if x.word != y.word {
			return cmp.Compare(x.word, y.word)
		}
		kx, ky := r.key(x), r.key(y)
		return bytes.Compare(kx[min(depth, len(kx)):], ky[min(depth, len(ky)):])
	})
}

// sortEqual sorts keys that agree in 8 more bytes. Those that end within them differ by padding alone, and the shorter one is first.
func (r *kvRun) sortEqual(keys []keyRef, depth int) {
	if len(keys) < 2 {
		return
	}
	ends := 0
	for i := range keys {
		if len(r.key(keys[i])) <= depth+8 {
			keys[i], keys[ends] = keys[ends], keys[i]
			ends++
		}
	}
	slices.SortFunc(keys[:ends], func(x, y keyRef) int { return cmp.Compare(len(r.key(x)), len(r.key(y))) })
	r.load(keys[ends:], depth+8)
	r.sortFrom(keys[ends:], depth+8)
}

// partition orders keys by their word around the median of three: those below it end at less, those equal at equal.
func partition(keys []keyRef) (less, equal int) {
	a, b, c := keys[0].word, keys[len(keys)/2].word, keys[len(keys)-1].word
	pivot := max(min(a, b), min(max(a, b), c))
	less, i, greater := 0, 0, len(keys)
	for i < greater {
		switch w := keys[i].word; {
		case w < pivot:
			keys[less], keys[i] = keys[i], keys[less]
			less++
			i++
		case w > pivot:
			greater--
			keys[i], keys[greater] = keys[greater], keys[i]
		default:
			i++
		}
	}
	return less, greater
}
