package stages

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"swingport/format"
)

// Rows and keys of any size, at the sizes of the buffers and around them, come back whole and in order, and those that wait are not in memory.
func TestSpillSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 100, 16<<10 - rowHeader, 16 << 10, 1<<20 - rowHeader - 8, 1<<20 - rowHeader - 7, 1<<20 - rowHeader - 9, 1<<20 + 1, 3 << 20}
	for _, runs := range []int{1, 3, 40} {
		s := newSpill(t.TempDir(), nil)
		want := map[string]int{}
		for n := range runs {
			var keys []string
			for i := range 12 {
				key := fmt.Sprintf("%07d%d", r.IntN(1e7), n%10)
				switch {
				case i == 7 && n%3 == 0:
					key += string(bytes.Repeat([]byte("k"), 20<<10)) // longer than the smallest buffer
				case i == 8 && n == 1:
					key += string(bytes.Repeat([]byte("k"), 2<<20))
				}
				keys = append(keys, key)
			}
			slices.Sort(keys)
			w, err := s.newRun()
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range keys {
				size := sizes[r.IntN(len(sizes))]
				if runs == 40 && r.IntN(8) > 0 {
					size %= 1000
				}
				want[key] = size
				if err := w.add([]byte(key), format.TextValue(bytes.Repeat([]byte{byte(size)}, size))); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.close(); err != nil {
				t.Fatal(err)
			}
		}
		m, err := s.merge()
		if err != nil {
			t.Fatal(err)
		}
		var last []byte
		count := 0
		for row, err := m.next(); ; row, err = m.next() {
			if err != nil {
				t.Fatal(err)
			}
			if row == nil {
				break
			}
			got := parseRow(row)
			size, ok := want[string(got.A)]
			if !ok || len(got.B.Bytes) != size || !bytes.Equal(got.B.Bytes, bytes.Repeat([]byte{byte(size)}, size)) || bytes.Compare(last, got.A) >= 0 {
				t.Fatalf("%d runs: row %d, key %.20q with %d bytes, expected %d, after %.20q", runs, count, got.A, len(got.B.Bytes), size, last)
			}
			last = append(last[:0], got.A...)
			count++
			held := 0
			for _, h := range m.heads {
				held += len(h.src.(*fileRun).room)
			}
			if limit := mergeMemory + runs*(16<<10) + 2<<20 + runs*(21<<10); held > limit {
				t.Fatalf("%d runs: buffers of %d bytes, at most %d are allowed", runs, held, limit)
			}
		}
		if count != len(want) {
			t.Errorf("%d runs: %d rows of %d", runs, count, len(want))
		}
		s.close()
	}
}
