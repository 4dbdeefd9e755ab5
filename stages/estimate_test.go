package stages

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// archivalPlan opens a store, as long as the test runs, and plans an archival export of it.
func archivalPlan(t *testing.T, dir string) (*Store, *Plan) {
	t.Helper()
	s, err := OpenStore(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	p, err := NewPlan(t.Context(), s, format.Archival)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

// estimated is the estimate of an archival export.
func estimated(t *testing.T, dir string) Estimate {
	t.Helper()
	s, p := archivalPlan(t, dir)
	e, err := p.Estimate(context.Background(), s, true)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// manyRows is a store of more items and kv rows than a sample takes. One item in a thousand is a hundred times as long as the others, and some
// rows of kvStore are longer than a page.
func manyRows(t *testing.T) (dir string, items, lines int64) {
	b := testdata.Build(t)
	b.KV("host.height", "7")
	const n, vats = 3000, 4
	for v := range vats {
		list := make([]string, n)
		for i := range list {
			size := 50 + (i*7919)%300
			if i%1000 == 500 {
				size *= 100
			}
			list[i] = strings.Repeat("x", size)
			items += int64(size) + 1
		}
		b.Span(fmt.Sprintf("v%d", v), 0, 0, true, list...)
	}
	b.Many("INSERT INTO kvStore VALUES (?,?)", 60000, func(i int) []any {
		key, value := fmt.Sprintf("v1.vs.%d", i*7919%60000), strings.Repeat(`"`, 20+i%50)
		if i%500 == 7 {
			value = strings.Repeat("y", 9000)
		}
		lines += int64(format.KVSize([]byte(key), format.TextValue([]byte(value))))
		return []any{key, value}
	})
	b.Close()
	return b.Dir, items, lines
}

// What is sampled is near what there is, and what is certain is no more than that.
func TestEstimate(t *testing.T) {
	dir, items, lines := manyRows(t)
	e := estimated(t, dir)
	within := func(what string, got, want int64, share float64) {
		t.Helper()
		if d := float64(got-want) / float64(want); d > share || d < -share {
			t.Errorf("%s: %d, not %d", what, got, want)
		}
	}
	within("spans", e.Spans, items, 0.15)
	within("export data", e.ExportData, lines+4*metadataLine, 0.1)
	within("rows", e.KVRows, 60000, 0.1)
	if e.Items != 12000 || e.LeastSpans > items || e.LeastSpans < items/4 || e.LeastExportData > lines || e.LeastExportData < lines/4 {
		t.Errorf("%+v: of %d and %d", e, items, lines)
	}
}

// A record that claims more than its heap can be is not believed, and damage ends an estimate, not the run.
func TestEstimateOfDamagedStore(t *testing.T) {
	dir, items, _ := manyRows(t)
	b := testdata.Open(t, dir)
	b.Exec("INSERT INTO snapshots VALUES ('v1', 1, 1, '00', 1000000000000000, 3, x'010203')")
	root := b.Int("SELECT rootpage FROM sqlite_schema WHERE name = 'kvStore'")
	b.Close()
	path := filepath.Join(dir, StoreFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if e := estimated(t, dir); e.Heaps != 9 {
		t.Errorf("a heap of 3 bytes is taken for %d", e.Heaps)
	}
	for name, damage := range map[string]func(page []byte){
		"zeros":        func(page []byte) { clear(page) },
		"a type":       func(page []byte) { page[0] = 0xff },
		"a leaf":       func(page []byte) { page[0] = pageTableLeaf },
		"cells":        func(page []byte) { page[3], page[4] = 0xff, 0xff },
		"its own page": func(page []byte) { clear(page); page[0] = pageTableInterior; page[11] = byte(root) },
	} {
		damaged := append([]byte(nil), whole...)
		damage(damaged[(root-1)*4096 : root*4096])
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := OpenStore(context.Background(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := &Plan{Mode: format.Archival, byVat: map[string]*VatPlan{}}
		if err := p.readSpans(s); err != nil {
			t.Fatal(err)
		}
		p.choose()
		e, err := p.Estimate(context.Background(), s, true)
		if err != nil || e.KVRows != 0 || e.Spans < items/2 {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An estimate ends with its context, and what cannot be read is an error.
func TestEstimateFails(t *testing.T) {
	dir, _, _ := manyRows(t)
	s, p := archivalPlan(t, dir)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(os.ErrDeadlineExceeded)
	if _, err := p.Estimate(ctx, s, true); err != os.ErrDeadlineExceeded {
		t.Errorf("%v", err)
	}
	if err := s.estimateKV(ctx, &Estimate{}); err != os.ErrDeadlineExceeded {
		t.Errorf("%v", err)
	}
}
