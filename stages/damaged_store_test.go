package stages

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"swingport/testdata"
)

// Of a store whose database was cut off to nothing the log stays: the engine would remove it.
func TestEmptyStoreKeepsLog(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{StoreFile: "", StoreFile + "-wal": "commits"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenStore(context.Background(), dir, nil); !errors.Is(err, ErrNotStore) {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, StoreFile+"-wal")); string(text) != "commits" {
		t.Errorf("the log is %q, %v", text, err)
	}
}

// A store with a log, whose database has a damaged header, is left without the -shm that the engine makes before it sees the damage.
func TestDamagedStoreKeepsDirectory(t *testing.T) {
	b := testdata.Build(t, "journal_mode=WAL")
	b.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
	b.KV("a", "1") // the log does not have the header
	dir := b.CopyFiles("", "-wal")
	path := filepath.Join(dir, StoreFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for at := range 100 {
		bad := slices.Clone(good)
		bad[at] ^= 1 << (at % 8)
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := OpenStore(context.Background(), dir, nil)
		if err != nil {
			refused++
		} else if err := s.Close(); err != nil {
			t.Error(err)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || !slices.Equal(left, []string{path, path + "-wal"}) {
			t.Fatalf("byte %d: there is now %q, %v", at, left, err)
		}
	}
	if refused < 10 {
		t.Errorf("%d damages were refused", refused)
	}
}
