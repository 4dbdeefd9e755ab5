package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"swingport/format"
)

// inFiles reports whether a run is in a file.
func inFiles(s *spill) bool {
	for _, runs := range s.levels {
		for _, r := range runs {
			if r.file != nil {
				return true
			}
		}
	}
	return false
}

// held is what the buffers of a merge take, in bytes.
func (m *merger) held() (n int) {
	for _, h := range m.heads {
		n += cap(h.run.room) + cap(h.run.packed)
	}
	return n
}

// addSizes adds a run of rows whose keys have the given values' sizes.
func addSizes(t *testing.T, s *spill, sizes map[string]int) {
	t.Helper()
	keys := make([]string, 0, len(sizes))
	for key := range sizes {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	err := s.add(context.Background(), func(add func([]byte) error) error {
		for _, key := range keys {
			value := bytes.Repeat([]byte{byte(sizes[key])}, sizes[key])
			if err := add(appendRow(nil, []byte(key), format.TextValue(value), 0)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Rows and keys of any size, at the sizes of the blocks and around them, come back whole and in order, wherever the runs are and into how many
// they were merged, and those that wait are not in memory.
func TestSpillSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 100, runBlock - rowHeader - 9, runBlock - rowHeader - 8, runBlock - rowHeader - 7, runBlock, 2*runBlock - 25, 1<<20 + 1, 3 << 20}
	const longKey = 2 << 20
	for _, memory := range []int{0, 1 << 20, 1 << 30} {
		for _, runs := range []int{1, 3, mergeWays - 1, mergeWays, 2*mergeWays + 3} {
			s := newSpill(memory, t.TempDir(), nil)
			want := map[string]int{}
			for n := range runs {
				run := map[string]int{}
				for i := range 12 {
					key := fmt.Sprintf("%07d%d.%d", r.IntN(1e7), n%10, n)
					switch {
					case i == 7 && n%3 == 0:
						key += string(bytes.Repeat([]byte("k"), 20<<10))
					case i == 8 && n == 1:
						key += string(bytes.Repeat([]byte("k"), longKey))
					}
					size := sizes[r.IntN(len(sizes))]
					if runs > 3 && r.IntN(8) > 0 {
						size %= 1000
					}
					run[key], want[key] = size, size
				}
				addSizes(t, s, run)
			}
			m, err := s.merge()
			if err != nil {
				t.Fatal(err)
			}
			if len(m.heads) != runs/mergeWays+runs%mergeWays {
				t.Errorf("%d runs are %d to merge", runs, len(m.heads))
			}
			var last []byte
			count := 0
			err = m.each(context.Background(), func(row []byte) error {
				got := parseRow(row)
				size, ok := want[string(got.A)]
				if !ok || len(got.B.Bytes) != size || !bytes.Equal(got.B.Bytes, bytes.Repeat([]byte{byte(size)}, size)) || bytes.Compare(last, got.A) >= 0 {
					return fmt.Errorf("row %d, key %.20q with %d bytes, expected %d, after %.20q", count, got.A, len(got.B.Bytes), size, last)
				}
				last = append(last[:0], got.A...)
				count++
				if limit := len(m.heads)*(2*runBlock+32<<10) + 2*longKey + 64<<10; m.held() > limit {
					return fmt.Errorf("buffers of %d bytes, at most %d are allowed", m.held(), limit)
				}
				return nil
			})
			if err != nil || count != len(want) {
				t.Errorf("%d runs, %d bytes in memory: %d rows of %d, %v", runs, memory, count, len(want), err)
			}
			s.close()
		}
	}
}

// Whoever only wants keys may leave the rest of long rows where it is.
func TestSpillSkipsLongRows(t *testing.T) {
	s := newSpill(0, t.TempDir(), nil)
	defer s.close()
	addSizes(t, s, map[string]int{"a": 1, "b": 5 * runBlock, "c": 2, "d": runBlock, "e": 3})
	r := &runReader{run: s.levels[0][0]}
	var got []byte
	for row, err := r.next(); row != nil || err != nil; row, err = r.next() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, rowKey(row)...)
	}
	if string(got) != "abcde" {
		t.Errorf("%q", got)
	}
}

// A file that is not as it was written is an error, wherever it was changed.
func TestSpillDamaged(t *testing.T) {
	size := int64(1)
	for at := int64(0); at < size; at++ {
		s := newSpill(0, t.TempDir(), nil)
		addSizes(t, s, map[string]int{"a": 100, "b": 3 * runBlock, "c": 100})
		file := s.levels[0][0].file
		size = s.levels[0][0].size
		var b [1]byte
		if _, err := file.ReadAt(b[:], at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1 << (at % 8)
		if _, err := file.WriteAt(b[:], at); err != nil {
			t.Fatal(err)
		}
		m, err := s.merge()
		if err == nil {
			err = m.each(context.Background(), func([]byte) error { return nil })
		}
		if err == nil {
			t.Errorf("byte %d of %d is not missed", at, size)
		}
		s.close()
	}
	if size < 100 {
		t.Errorf("a run of %d bytes", size)
	}
}

// The end of a context ends a merge to a longer run, and nothing is left.
func TestSpillCancelled(t *testing.T) {
	s := newSpill(0, t.TempDir(), nil)
	defer s.close()
	for i := range mergeWays - 1 {
		addSizes(t, s, map[string]int{fmt.Sprint(i): 10})
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	err := s.add(ctx, func(add func([]byte) error) error { return add(appendRow(nil, []byte("x"), format.Value{}, 0)) })
	if !errors.Is(err, why) || len(s.levels[0]) > 0 {
		t.Errorf("%v, %d runs", err, len(s.levels[0]))
	}
}
