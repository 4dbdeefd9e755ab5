package stages

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
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
