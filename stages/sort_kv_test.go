package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"swingport/format"
)

// sortKeys runs rows through the sort and returns their keys in the order in which they come out, each checked to have its own value.
func sortKeys(t *testing.T, keys []string, value func(key string) string, workers int, run, keep int) ([]string, error) {
	t.Helper()
	tables := NewTables(false, true, workers)
	k := NewKVSorter(t.TempDir(), nil)
	defer k.Close()
	k.run, k.spill = run, newSpill(keep, t.TempDir(), nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for _, key := range keys {
			if err := tables.addKV(ctx, format.TextValue([]byte(key)), format.TextValue([]byte(value(key)))); err != nil {
				return err
			}
		}
		defer tables.Close()
		return tables.flush(ctx)
	})
	for range workers {
		g.Go(func() error { return k.Work(ctx, tables.KV) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if k.Rows() != int64(len(keys)) {
		t.Errorf("%d rows of %d", k.Rows(), len(keys))
	}
	var sorted []string
	err := k.Merge(context.Background(), func(r Row) error {
		if want := value(string(r.A)); string(r.B.Bytes) != want {
			t.Errorf("key %.50q has the value %.50q, want %.50q", r.A, r.B.Bytes, want)
		}
		sorted = append(sorted, string(r.A))
		return nil
	})
	return sorted, err
}

// keySets are keys that are hard to sort by words of 8 bytes.
func keySets() map[string][]string {
	r := rand.New(rand.NewPCG(31, 32))
	sets := map[string][]string{"none": {}, "one": {"k"}, "the empty key": {"", "a", "\x00"}}
	add := func(set, key string) { sets[set] = append(sets[set], key) }
	for i := range 600 {
		add("prefixes of each other", strings.Repeat("a", i))
		add("zero bytes", strings.Repeat("\x00", i))
		add("zero bytes at the end", "key"+strings.Repeat("\x00", i%20)+fmt.Sprint(i/20)+strings.Repeat("\x00", i%7))
		add("long shared prefix", strings.Repeat("prefix.", 280)+fmt.Sprint(r.Uint64()))
		add("2000 bytes", letters(r, 1900+i%200))
	}
	for i := range 20000 {
		add("as in a store", fmt.Sprintf("v%d.%s.%d", i%60, []string{"c.ko", "c.kp", "vs.vom.o+d31/", "vs.vc.2.s"}[i%4], i))
		b := make([]byte, r.IntN(20))
		for j := range b {
			b[j] = []byte{0, 1, 'a', 'b', 0x80, 0xff}[r.IntN(6)]
		}
		add("few bytes", string(b)+fmt.Sprint(i))
	}
	for i := range 5000 {
		add("ascending", fmt.Sprintf("%06d", i))
		add("descending", fmt.Sprintf("%06d", 10000-i))
		add("the same word", "12345678"+fmt.Sprint(i))
	}
	return sets
}

func TestSortKV(t *testing.T) {
	value := func(key string) string { return key[min(3, len(key)):] + "!" }
	for name, keys := range keySets() {
		want := slices.Sorted(slices.Values(keys))
		rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, c := range []struct{ workers, run, keep int }{
			{1, sortRun, sortKeep}, // one run in memory
			{4, 1, sortKeep},       // a run an arena, all in memory
			{2, 1, 1 << 20},        // the first ones in memory, the others in files
			{3, 1, 0},              // all in files
		} {
			got, err := sortKeys(t, keys, value, c.workers, c.run, c.keep)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %+v: %d keys in order of %d, %v", name, c, len(got), len(want), err)
			}
		}
	}
}

// Rows that fill an arena a little more than by half need twice the arenas; there must be enough of them for all workers.
func TestSortKVLargeRows(t *testing.T) {
	long := strings.Repeat("x", 600<<10)
	var keys []string
	for i := range 160 {
		keys = append(keys, fmt.Sprint("k", i*7919%1000))
	}
	for _, workers := range []int{1, 2, 4} {
		got, err := sortKeys(t, keys, func(key string) string { return long[len(key):] }, workers, sortRun, sortKeep)
		if err != nil || !slices.IsSorted(got) || len(got) != len(keys) {
			t.Errorf("%d workers: %d keys, %v", workers, len(got), err)
		}
	}
}

// Rows larger than an arena, and than the buffers of the merge.
func TestSortKVHugeRows(t *testing.T) {
	long := strings.Repeat("y", 5<<20)
	got, err := sortKeys(t, []string{"c", "a", "d", "b", "e"}, func(key string) string { return key + long }, 2, 1, 0)
	if err != nil || strings.Join(got, "") != "abcde" {
		t.Errorf("%q, %v", got, err)
	}
}

// A key that comes twice is damage, wherever its rows are.
func TestSortKVDuplicate(t *testing.T) {
	keys := []string{"a", "b", "same", "c", "same"}
	for _, run := range []int{1, sortRun} {
		if _, err := sortKeys(t, keys, func(string) string { return "" }, 1, run, 0); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), `"same"`) {
			t.Errorf("%v", err)
		}
	}
}

// The rows that a store keeps for itself are left out; a key must be text.
func TestKVRowsTaken(t *testing.T) {
	tables := NewTables(false, true, 1)
	ctx := context.Background()
	for _, key := range []string{"host.height", "host.", "local.x", "local.", "host", "local", "hostx.y", "localx", "", "Host.x", "v1.host.x"} {
		if err := tables.addKV(ctx, format.TextValue([]byte(key)), format.Value{}); err != nil {
			t.Fatal(err)
		}
	}
	var taken []string
	tables.kv.cur.Each(func(r Row) error { taken = append(taken, string(r.A)); return nil })
	if want := []string{"host", "local", "hostx.y", "localx", "", "Host.x", "v1.host.x"}; !slices.Equal(taken, want) {
		t.Errorf("%q, want %q", taken, want)
	}
	for _, key := range []format.Value{{}, format.IntValue(1), {Type: format.Blob, Bytes: []byte("k")}, {Type: format.Real}} {
		if err := tables.addKV(ctx, key, format.Value{}); err == nil || !strings.Contains(err.Error(), "must be a string") {
			t.Errorf("key %v: %v", key, err)
		}
	}
}

func TestRowText(t *testing.T) {
	for _, v := range []format.Value{{}, format.IntValue(-1 << 63), {Type: format.Real, Real: -0.5}, format.TextValue(nil), format.TextValue([]byte("text")), {Type: format.Blob, Bytes: []byte{0}}} {
		row := appendRow(appendRow(nil, []byte("a"), v, -7), []byte("b"), format.Value{}, 0)
		r := parseRow(row)
		if !sameValue(r.B, v) || string(r.A) != "a" || r.Pos != -7 || !bytes.Equal(rowKey(row[rowSize(row):]), []byte("b")) {
			t.Errorf("%+v came back as %+v", v, r)
		}
	}
}

func BenchmarkSortKV(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	rows := newRowsPool(1, 64<<20)
	a, _ := rows.get(context.Background())
	for i := range 200000 {
		a.Data = appendRow(a.Data, fmt.Appendf(nil, "v%d.c.ko%d", i%60, r.IntN(1e9)), format.TextValue([]byte("R o+31")), 0)
		a.Count++
	}
	b.SetBytes(int64(len(a.Data)))
	b.ReportAllocs()
	for b.Loop() {
		run := &kvRun{arenas: []*Rows{a}, rows: a.Count}
		run.sort()
	}
}
