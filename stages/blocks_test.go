package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"swingport/testdata"
)

// Keys in no order, many more pages than the engine's cache and the blocks hold, rows that change and go away: what is read back through
// blocks, and without them, is what was written.
func TestBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), StoreFile)
	s, err := NewInserter(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	want := map[string]string{"host.height": "5"}
	for range 400 {
		var rows []KV
		for range 50 {
			key := fmt.Sprintf("key%d", r.IntN(12000))
			if r.IntN(8) == 0 {
				rows = append(rows, KV{Key: []byte(key), Delete: true})
				delete(want, key)
				continue
			}
			value := strings.Repeat("v", r.IntN(3000))
			if r.IntN(200) == 0 {
				value = strings.Repeat("long", 50_000)
			}
			rows = append(rows, KV{Key: []byte(key), Value: []byte(value)})
			want[key] = value
		}
		if err := s.KV(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(5); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := QuickCheck(context.Background(), path, nil); err != nil {
		t.Fatal(err)
	}
	release := func() error { return nil } // what views hold
	for name, layer := range map[string]func(*DB) error{
		"nothing": func(*DB) error { return nil },
		"blocks":  func(db *DB) error { return db.useBlocks(blocksFollow) },
		"views":   func(db *DB) (err error) { release, err = db.useViews(nil); return err },
	} {
		db, err := OpenDB(path, Immutable, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := layer(db); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, order := range []string{"rowid", "key"} {
			err = db.Query("SELECT key, value FROM kvStore ORDER BY "+order, func(q *Stmt) error { got[q.Text(0)] = q.Text(1); return nil })
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("through %s, by %s: %d rows, want %d: %v", name, order, len(got), len(want), err)
			}
		}
		if err := db.Query("PRAGMA integrity_check", func(q *Stmt) error {
			if q.Text(0) != "ok" {
				t.Errorf("integrity_check: %s", q.Text(0))
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if err := errors.Join(db.Close(), release()); err != nil {
			t.Fatal(err)
		}
		release = func() error { return nil }
	}
}

// A heap is read in blocks, a row by its key in single pages, and neither twice.
func TestReadInBlocks(t *testing.T) {
	b := testdata.Build(t)
	heap := make([]byte, 3<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range heap {
		heap[i] = byte(r.Uint32())
	}
	b.Heap("v1", 1, true, heap)
	b.Many("INSERT INTO kvStore VALUES (?,?)", 50_000, func(i int) []any { return []any{fmt.Sprintf("key%06d", i), "value"} })
	b.Close()
	var pages, blocks int
	s, err := OpenStore(t.Context(), b.Dir, &FS{Before: func(op Op) error {
		if op.Kind == OpRead && strings.HasSuffix(op.Path, StoreFile) {
			if op.Len == blockBytes {
				blocks++
			} else {
				pages++
			}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pages, blocks = 0, 0
	if _, ok, err := s.Get("key025000"); err != nil || !ok || blocks > 0 || pages > 10 {
		t.Errorf("a row: %v, %v, in %d pages and %d blocks", ok, err, pages, blocks)
	}
	pages, blocks = 0, 0
	blob, err := s.db.OpenBlob("snapshots", "compressedSnapshot", 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if _, err := io.Copy(io.Discard, newBlobReader(blob)); err != nil {
		t.Fatal(err)
	}
	if most := len(heap)/blockBytes + 3; blocks < len(heap)/blockBytes-1 || blocks > most || pages > blockUnits {
		t.Errorf("a heap of %d bytes in %d pages and %d blocks, want at most %d blocks", len(heap), pages, blocks, most)
	}
}

// A damaged database is found through blocks too.
func TestQuickCheckDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), StoreFile)
	s, err := NewInserter(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if err := s.KV([]KV{{Key: fmt.Appendf(nil, "key%d", i), Value: []byte(strings.Repeat("v", 300))}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(5); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := (*FS)(nil).OpenFile(path, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 4096), 40*4096); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := QuickCheck(context.Background(), path, nil); err == nil || !strings.Contains(err.Error(), "quick_check of the new store") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(fmt.Errorf("stopped"))
	if err := QuickCheck(ctx, path, nil); err == nil || err.Error() != "stopped" {
		t.Errorf("cancelled: error %v", err)
	}
}
