package stages

import (
	"os"
	"path/filepath"
	"testing"
)

// What killed runs left is removed or kept by the next one, so that its room counts as free, but not that of other files.
func TestSpaceOfLeftovers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	before, err := SpaceFor(dir, nil)
	if err != nil || !before.Known {
		t.Fatalf("%+v, %v", before, err)
	}
	const each = 1 << 40 // of nothing: far more than others write meanwhile
	for _, name := range []string{".swingport-export-1/transcript.v1.0.2", ".swingport-archive-2", "mine/.swingport-archive-3", "export-data.jsonl"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, each); err != nil {
			t.Fatal(err)
		}
	}
	after, err := SpaceFor(dir, nil)
	if n := after.Free - before.Free; err != nil || n < 2*each-each/8 || n > 2*each+each/8 {
		t.Errorf("%d bytes more are free, want about %d; %v", n, int64(2*each), err)
	}
	if _, files := leftIn(dir); files != 3 {
		t.Errorf("%d files and folders, want 3", files)
	}
}
