package stages

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// skipDamaged sweeps past what is damaged, and returns what was said of it.
func skipDamaged(t *testing.T, dir string) (rows rowSet, found []error, err error) {
	t.Helper()
	s, err := OpenStore(context.Background(), dir, nil)
	if err != nil {
		return rows, nil, err
	}
	defer s.Close()
	rows, err = readRows(true, true, func(ctx context.Context, tables *Tables) error {
		return SweepDamaged(ctx, s, tables, ignore, func(err error) error { found = append(found, err); return nil })
	})
	return rows, found, err
}

// without is the rows of b that a lacks, and whether a has others.
func (a rowSet) without(b rowSet) (lost rowSet, others bool) {
	minus := func(x, y []string) (lost []string) {
		left := map[string]int{}
		for _, row := range x {
			left[row]++
		}
		for _, row := range y {
			if left[row]--; left[row] < 0 {
				lost = append(lost, row)
			}
		}
		for _, n := range left {
			others = others || n > 0
		}
		return lost
	}
	return rowSet{minus(a.items, b.items), minus(a.kv, b.kv)}, others
}

// A damaged leaf is named once, and all rows but its own are there; that of an index costs none.
func TestSweepPastDamagedLeaf(t *testing.T) {
	dir, data := damagedStore(t)
	original := rowsOf(t, dir)
	leaves, _ := treePages(t, dir)
	for tree, list := range leaves {
		for _, leaf := range list {
			bad := slices.Clone(data)
			clear(bad[int(leaf-1)*512:][:512])
			patch(t, dir, bad)
			rows, found, err := skipDamaged(t, dir)
			if err != nil {
				t.Fatal(err)
			}
			var page *PageError
			if len(found) != 1 || !errors.As(found[0], &page) || page.Page != leaf || !errors.Is(found[0], ErrDamaged) {
				t.Errorf("%s, page %d: %v", treeNames[tree], leaf, found)
			}
			lost, others := rows.without(original)
			if others || len(lost.items)+len(lost.kv) > 20 || (len(lost.items) > 0) != (tree == tableItems) || (len(lost.kv) > 0) != (tree == tableKV) {
				t.Errorf("%s, page %d: others %v, lost %q", treeNames[tree], leaf, others, lost)
			}
		}
	}
}

// A tree whose root is damaged costs its own rows and no others, and so does one cell its own row.
func TestSweepPastDamagedRootAndCell(t *testing.T) {
	dir, data := damagedStore(t)
	original := rowsOf(t, dir)
	leaves, roots := treePages(t, dir)
	for tree, root := range roots {
		bad := slices.Clone(data)
		clear(bad[int(root-1)*512:][:512])
		patch(t, dir, bad)
		rows, found, err := skipDamaged(t, dir)
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %v, %v", treeNames[tree], found, err)
		}
		lost, others := rows.without(original)
		want := rowSet{}
		switch tree {
		case tableItems:
			want.items = original.items
		case tableKV:
			want.kv = original.kv
		}
		if others || len(lost.items) != len(want.items) || len(lost.kv) != len(want.kv) {
			t.Errorf("%s: lost %d items and %d keys", treeNames[tree], len(lost.items), len(lost.kv))
		}
	}
	bad := slices.Clone(data)
	leaf := bad[int(leaves[tableKV][1]-1)*512:][:512]
	leaf[8], leaf[9] = 0, 3 // the pointer to the first cell
	patch(t, dir, bad)
	rows, found, err := skipDamaged(t, dir)
	lost, others := rows.without(original)
	if err != nil || len(found) != 1 || others || len(lost.items) != 0 || len(lost.kv) != 1 {
		t.Errorf("%v, %v, others %v, lost %q", found, err, others, lost)
	}
}

// Bytes changed at random: the sweep goes on to its end whatever it meets, and says nothing only where the strict one says nothing and gives
// the same rows.
func TestSweepPastFlippedBytes(t *testing.T) {
	dir, data := damagedStore(t)
	r := rand.New(rand.NewPCG(25, 26))
	n := 300
	if testing.Short() {
		n = 150
	}
	skipped := 0
	for range n {
		bad := slices.Clone(data)
		for range 1 + r.IntN(3) {
			bad[512+r.IntN(len(data)-512)] ^= byte(1 + r.IntN(255))
		}
		patch(t, dir, bad)
		s, err := OpenStore(context.Background(), dir, nil)
		if err != nil {
			continue
		}
		strictRows, strictErr := sweepRows(s, true, true, defaultLimits)
		s.Close()
		rows, found, err := skipDamaged(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		if (strictErr == nil) != (len(found) == 0) {
			t.Fatalf("strict: %v, else: %v", strictErr, found)
		}
		if strictErr == nil {
			if err := rows.compare(strictRows); err != nil {
				t.Fatal(err)
			}
			continue
		}
		skipped++
	}
	if skipped < n/8 {
		t.Errorf("only %d of %d were damaged", skipped, n)
	}
}
