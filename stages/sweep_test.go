package stages

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"swingport/testdata"
)

// rowSet is the rows of both tables as text, one a row, in the order in which they came.
type rowSet struct{ items, kv []string }

func rowText(r Row) string {
	if len(r.B.Bytes) > 1000 {
		return fmt.Sprintf("%q %d %v %q... of %d bytes: %x", r.A, r.Pos, r.B.Type, r.B.Bytes[:20], len(r.B.Bytes), sha256.Sum256(r.B.Bytes))
	}
	return fmt.Sprintf("%q %d %v %d %v %q", r.A, r.Pos, r.B.Type, r.B.Int, r.B.Real, r.B.Bytes)
}

// readRows runs a reader of both tables, or of one.
func readRows(items, kv bool, read func(context.Context, *Tables) error) (set rowSet, err error) {
	tables := NewTables(items, kv, 1)
	g, ctx := errgroup.WithContext(context.Background())
	g.Go(func() error {
		err := read(ctx, tables)
		if err == nil {
			tables.Close()
		}
		return err
	})
	collect := func(l *Link[*Rows], to *[]string) {
		if l == nil {
			return
		}
		g.Go(func() error {
			return Each(ctx, l, func(r *Rows) error {
				defer r.Release()
				return r.Each(func(row Row) error {
					*to = append(*to, rowText(row))
					return nil
				})
			})
		})
	}
	collect(tables.Items, &set.items)
	collect(tables.KV, &set.kv)
	return set, g.Wait()
}

// strict takes no defect.
func strict(err error) error { return err }

func ignore(int64) {}

func sweepRows(s *Store, items, kv bool, limits sweepLimits) (rowSet, error) {
	return readRows(items, kv, func(ctx context.Context, t *Tables) error { return sweepWith(ctx, s, t, ignore, strict, limits) })
}

func engineRows(s *Store) (rowSet, error) {
	return readRows(true, true, func(ctx context.Context, t *Tables) error { return ReadByEngine(ctx, s, t, ignore) })
}

// oddLimits make the sweep come by its rows in all its ways: waiting for pages ahead or reading them by themselves, from the block, the
// one before, or behind both.
var oddLimits = []sweepLimits{
	defaultLimits,
	{block: 1, gap: 0, pending: 0},
	{block: 1, gap: 0, pending: 1 << 30},
	{block: 12 << 10, gap: 4 << 10, pending: 20 << 10},
	{block: 64 << 10, gap: 0, pending: 1 << 20},
}

// difference is the first row that only one of two sorted lists has.
func difference(sweep, engine []string) string {
	for i := range max(len(sweep), len(engine)) {
		switch {
		case i >= len(sweep):
			return "the sweep lacks " + engine[i]
		case i >= len(engine):
			return "only the sweep has " + sweep[i]
		case sweep[i] != engine[i]:
			return fmt.Sprintf("sweep: %.300s\nengine: %.300s", sweep[i], engine[i])
		}
	}
	return ""
}

// compare sorts both and compares them.
func (sweep rowSet) compare(engine rowSet) error {
	for _, x := range []struct {
		table         string
		sweep, engine []string
	}{{"transcriptItems", sweep.items, engine.items}, {"kvStore", sweep.kv, engine.kv}} {
		a, b := slices.Sorted(slices.Values(x.sweep)), slices.Sorted(slices.Values(x.engine))
		if d := difference(a, b); d != "" {
			return fmt.Errorf("%s: %d rows by the sweep, %d by the engine\n%s", x.table, len(a), len(b), d)
		}
	}
	return nil
}

// sweepEqualsEngine compares the two readers on one store, with all limits, and returns how many rows there are.
func sweepEqualsEngine(t *testing.T, dir string) int {
	t.Helper()
	s, err := OpenStore(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if odd := s.Odd(); odd != "" {
		t.Fatalf("not for a sweep: %s", odd)
	}
	want, err := engineRows(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, limits := range oddLimits {
		got, err := sweepRows(s, true, true, limits)
		if err == nil {
			err = got.compare(want)
		}
		if err != nil {
			t.Errorf("%+v: %v", limits, err)
		}
	}
	items, err := sweepRows(s, true, false, defaultLimits)
	if err == nil {
		err = items.compare(rowSet{items: want.items})
	}
	if err != nil {
		t.Error(err)
	}
	kv, err := sweepRows(s, false, true, defaultLimits)
	if err == nil {
		err = kv.compare(rowSet{kv: want.kv})
	}
	if err != nil {
		t.Error(err)
	}
	return len(want.items) + len(want.kv)
}

// storeBytes is the content of the files that must never change.
func storeBytes(t *testing.T, dir string) (list [2]string) {
	t.Helper()
	for i, end := range []string{"", "-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, StoreFile+end))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		list[i] = fmt.Sprintf("%d %x", len(b), sha256.Sum256(b))
	}
	return list
}

func TestSweepRecordedStores(t *testing.T) {
	for _, store := range testdata.Stores {
		t.Run(store, func(t *testing.T) {
			dir := testdata.Store(t, store)
			before := storeBytes(t, dir)
			if n := sweepEqualsEngine(t, dir); n == 0 {
				t.Error("no rows")
			}
			if after := storeBytes(t, dir); after != before {
				t.Errorf("the store changed: %v, before %v", after, before)
			}
		})
	}
}

func TestSweepOddStores(t *testing.T) {
	for name, store := range oddStores {
		if testing.Short() && store.large {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir := store.build(t)
			before := storeBytes(t, dir)
			if n := sweepEqualsEngine(t, dir); n < store.rows {
				t.Errorf("%d rows", n)
			}
			if after := storeBytes(t, dir); after != before {
				t.Errorf("the store changed: %v, before %v", after, before)
			}
		})
	}
}
