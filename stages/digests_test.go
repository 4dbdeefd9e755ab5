package stages

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"swingport/format"
)

// Sets of names of all kinds, in memory and spilled, compare as maps do: the last digest of a name counts, and names come in their order.
func TestCompareDigests(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	parts := []string{"", "\x00", "\x00\x00", "\xff", "a", "b", "aa", "\x00\xff", "kv.", "longer name"}
	for _, run := range []int{sortRun, 1} {
		var sets [2]*Digests
		var want [2]map[string]Digest
		for i := range sets {
			sets[i], want[i] = NewDigests(t.TempDir(), nil), map[string]Digest{}
			defer sets[i].Close()
			sets[i].sorter.run = run
			if run == 1 {
				sets[i].sorter.spill = newSpill(0, t.TempDir(), nil)
			}
			sets[i].pool = newRowsPool(256, 4<<10)
			for range 3000 {
				name := parts[r.IntN(len(parts))] + parts[r.IntN(len(parts))] + parts[r.IntN(len(parts))] + fmt.Sprint(r.IntN(4))
				kind := []DigestKind{ArtifactDigest, RecordDigest}[r.IntN(2)]
				d := DigestOf([]format.Value{{}, format.TextValue([]byte{byte(r.IntN(3))}), format.IntValue(int64(r.IntN(2)))}[r.IntN(3)])
				if err := sets[i].Add(context.Background(), kind, []byte(name), d); err != nil {
					t.Fatal(err)
				}
				want[i][string(kind)+name] = d
			}
			if err := sets[i].Done(context.Background()); err != nil {
				t.Fatal(err)
			}
			if spilled := inFiles(sets[i].sorter.spill); spilled != (run == 1) {
				t.Errorf("runs of %d bytes: spilled is %v", run, spilled)
			}
		}
		var last []byte
		seen := 0
		err := CompareDigests(context.Background(), sets[0], sets[1], func(c Compared) error {
			name := append([]byte{byte(c.Kind)}, c.Name...)
			if seen > 0 && bytes.Compare(last, name) >= 0 {
				t.Errorf("%q comes behind %q", name, last)
			}
			last = name
			seen++
			a, inA := want[0][string(name)]
			b, inB := want[1][string(name)]
			if inA != c.InA || inB != c.InB || a != c.A || b != c.B {
				t.Errorf("%q: %+v, want %v %v, %v %v", name, c, inA, a, inB, b)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]bool{}
		for _, w := range want {
			for name := range w {
				all[name] = true
			}
		}
		if seen != len(all) {
			t.Errorf("%d names of %d", seen, len(all))
		}
	}
}

// Keys of digests are ordered as the names are, whatever follows them.
func TestDigestKeyOrder(t *testing.T) {
	names := []string{"", "\x00", "\x00\x00", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "ab", "\xff"}
	for i, a := range names {
		for j, b := range names {
			x := append(appendDigestKey(nil, RecordDigest, []byte(a)), 0xff, 0xff)
			y := append(appendDigestKey(nil, RecordDigest, []byte(b)), 0, 0)
			if i != j && (bytes.Compare(x, y) < 0) != (a < b) {
				t.Errorf("%q and %q", a, b)
			}
			if _, name := parseDigestKey(x[:len(x)-2]); string(name) != a {
				t.Errorf("%q came back as %q", a, name)
			}
		}
	}
}

// The rows of a table are counted by each of its indexes, and an index that has fewer is named although the engine would take another one.
func TestDeepCounts(t *testing.T) {
	dir, data := damagedStore(t)
	leaves, _ := treePages(t, dir)
	leaf := data[int(leaves[indexKV][0]-1)*512:][:512]
	leaf[4]-- // a cell less
	patch(t, dir, data)
	s, err := OpenStore(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d, err := NewDeep(s, func(text string) { t.Error(text) })
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	note := func(err error) { found = append(found, err.Error()) }
	if err := d.Counts(context.Background(), note); err != nil {
		t.Fatal(err)
	}
	if want := []string{s.path + ": kvStore has 66 rows, its index sqlite_autoindex_kvStore_1 65 entries"}; !slices.Equal(found, want) {
		t.Errorf("%q", found)
	}
	if !d.Named("kvStore") || d.Named("transcriptItems") {
		t.Error("what was found is not noted")
	}
	var plan []string
	for _, index := range []string{"currentTranscriptIndex", "sqlite_autoindex_transcriptSpans_2"} {
		err := s.db.Query("EXPLAIN QUERY PLAN SELECT ifnull(sum(1), 0) FROM transcriptSpans INDEXED BY "+index, func(q *Stmt) error {
			plan = append(plan, q.Text(3))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"SCAN transcriptSpans USING COVERING INDEX currentTranscriptIndex", "SCAN transcriptSpans USING COVERING INDEX sqlite_autoindex_transcriptSpans_2"}
	if !slices.Equal(plan, want) {
		t.Errorf("%q", plan)
	}
}
