package stages

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"swingport/format"
)

// sortedRows is the rows of a store's kvStore, sorted.
func sortedRows(t *testing.T, s *Store) (*KVSorter, error) {
	t.Helper()
	k := NewKVSorter(t.TempDir(), nil)
	t.Cleanup(k.Close)
	tables := NewTables(false, true, 1)
	g, ctx := errgroup.WithContext(context.Background())
	g.Go(func() error {
		err := ReadByEngine(ctx, s, tables, ignore)
		if err == nil {
			tables.Close()
		}
		return err
	})
	g.Go(func() error { return k.Work(ctx, tables.KV) })
	return k, g.Wait()
}

// kvTexts runs what makes entries and returns their rows as text, with the bytes that they count for.
func kvTexts(workers int, feed func(context.Context) error, work func(context.Context) error, entries *Ordered[*Chunk, *Entries]) (rows []string, bytes int64, err error) {
	g, ctx := errgroup.WithContext(context.Background())
	g.Go(func() error {
		err := feed(ctx)
		if err == nil {
			entries.Close()
		}
		return err
	})
	for range workers {
		g.Go(func() error { return work(ctx) })
	}
	g.Go(func() error {
		return eachEntries(ctx, entries.Queue, func(e *Entries) error {
			for _, kv := range e.KV {
				rows = append(rows, fmt.Sprintf("%q %q %v", kv.Key, kv.Value, kv.Delete))
			}
			bytes += e.Bytes
			return nil
		})
	})
	return rows, bytes, g.Wait()
}

// linesOf is sorted rows as export data.
func linesOf(t *testing.T, what string, sorted *KVSorter) string {
	t.Helper()
	var lines strings.Builder
	if err := sorted.Merge(context.Background(), func(r Row) error {
		lines.Write(format.AppendKV(nil, r.A, r.B))
		return nil
	}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return lines.String()
}

// sameAsLines compares the entries of sorted rows with those of their lines.
func sameAsLines(t *testing.T, what, lines string, sorted *KVSorter, workers, chunk int) (n int) {
	t.Helper()
	parse := NewExportData(workers, AllLines)
	want, wantBytes, wantErr := kvTexts(workers, func(ctx context.Context) error { return parse.Read(ctx, strings.NewReader(lines)) }, parse.Parse, parse.Ordered)

	rows := NewKVRows(workers)
	rows.pool = NewPool(2*workers+2, chunk)
	got, bytes, err := kvTexts(workers, func(ctx context.Context) error { return rows.Merge(ctx, sorted) }, rows.Convert, rows.Ordered)
	if workers > 1 && err != nil && wantErr != nil { // which key comes first is then a matter of time
		err, wantErr = format.ErrFormat, format.ErrFormat
	}
	if fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("%s: error %v, lines give %v", what, err, wantErr)
	}
	if err == nil && (!slices.Equal(got, want) || bytes != wantBytes || bytes != int64(len(lines))) {
		t.Errorf("%s: %d rows for %d bytes, lines give %d for %d", what, len(got), bytes, len(want), wantBytes)
	}
	return len(got)
}

// The rows of every odd store come out as they do through lines of export data, or with the same error.
func TestKVRowsLikeLines(t *testing.T) {
	rows, stores := 0, 0
	for name, odd := range oddStores {
		if odd.large && testing.Short() {
			continue
		}
		s, err := OpenStore(context.Background(), odd.build(t), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer s.Close()
		sorted := func() *KVSorter {
			k, err := sortedRows(t, s)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return k
		}
		stores++
		lines := linesOf(t, name, sorted())
		for _, chunk := range []int{kvChunk, 100} { // with 100 bytes most rows are larger than a chunk, and some large
			rows += sameAsLines(t, fmt.Sprintf("%s in chunks of %d", name, chunk), lines, sorted(), 1+stores%3, chunk)
		}
	}
	if stores < 15 || rows < 20000 {
		t.Errorf("%d rows of %d stores compared", rows, stores)
	}
}

// Rows of all kinds between others, one at a time, so that each error is seen.
func TestKVRowOddities(t *testing.T) {
	text := func(s string) format.Value { return format.TextValue([]byte(s)) }
	values := []format.Value{
		{}, text(""), text("v"), text("\xff"), text("\xed\xa0\x80"), text("a\x00b"), text(`"\`), text(strings.Repeat("long\xe2\x82", 1e5)),
		{Type: format.Blob}, {Type: format.Blob, Bytes: []byte("blob")}, format.IntValue(5), {Type: format.Real, Real: 0.5},
	}
	failed := 0
	for i, v := range values {
		for _, key := range []string{"", "k", "k\xff", "\xed\xa0\x80", ".", "a.b\x00"} {
			sorted := func() *KVSorter {
				k := NewKVSorter(t.TempDir(), nil)
				r := &Rows{pool: &rowsPool{rowArena, make(chan *Rows, 1)}}
				for _, row := range []struct {
					key   string
					value format.Value
				}{{" before", text("x")}, {key, v}, {"z after", text("y")}} {
					r.Data = appendRow(r.Data, []byte(row.key), row.value, 0)
					r.Count++
				}
				if err := k.finish(context.Background(), &kvRun{arenas: []*Rows{r}, bytes: cap(r.Data), rows: r.Count}); err != nil {
					t.Fatal(err)
				}
				return k
			}
			what := fmt.Sprintf("key %q, value %d", key, i)
			if sameAsLines(t, what, linesOf(t, what, sorted()), sorted(), 1, kvChunk) == 0 {
				failed++
			}
		}
	}
	if failed != 4*6 {
		t.Errorf("%d rows were refused, expected those of BLOBs and numbers", failed)
	}
}

// A line may be as long as the limit and no longer, as in export data.
func TestKVRowLimit(t *testing.T) {
	for n, ok := range map[int]bool{99: true, 100: true, 101: false} {
		for _, value := range []string{"v", "\n", "\xff"} {
			p := rowConverter{limit: 100}
			row := Row{A: []byte("k"), B: format.TextValue([]byte(value + strings.Repeat("x", n)))}
			for len(format.AppendKV(nil, row.A, row.B))-1 > n {
				row.B.Bytes = row.B.Bytes[:len(row.B.Bytes)-1]
			}
			_, err := p.kv(row, len(format.AppendKV(nil, row.A, row.B))-1)
			if ok != (err == nil) || err != nil && err.Error() != tooLarge("line", 100).Error() {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	}
}

// A reader that pulls gives all pieces, then the function's error, and ends the function when it is closed before.
func TestPull(t *testing.T) {
	ended := 0
	three := func(end error) func(f func([]byte) error) error {
		return func(f func([]byte) error) error {
			defer func() { ended++ }()
			for _, piece := range []string{"one", "", "two", "three"} {
				if err := f([]byte(piece)); err != nil {
					return err
				}
			}
			return end
		}
	}
	for _, end := range []error{nil, ErrDamaged} {
		p := pull(three(end))
		var got []byte
		var err error
		for b := make([]byte, 2); err == nil; {
			var n int
			n, err = p.Read(b)
			got = append(got, b[:n]...)
		}
		if string(got) != "onetwothree" || end != nil && err != end || end == nil && err.Error() != "EOF" {
			t.Errorf("%q, %v", got, err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	p := pull(three(nil))
	if n, err := p.Read(make([]byte, 2)); n != 2 || err != nil || ended != 2 {
		t.Errorf("%d bytes, %v, %d ended", n, err, ended)
	}
	p.Close()
	if _, err := p.Read(make([]byte, 2)); ended != 3 || err != errStopped {
		t.Errorf("%d ended, %v", ended, err)
	}
	pull(three(nil)).Close() // nothing began
}
