package testdata

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The plain folder in exports/ is what the archive holds, and every recorded store and export can be handed out.
func TestRecords(t *testing.T) {
	for _, store := range Stores {
		for _, mode := range Modes {
			for _, data := range []string{"all", "skip"} {
				if dir, r := Export(t, store, mode, data); (dir == "") != (r.RC != 0) || (r.Error == "") != (r.RC == 0) {
					t.Errorf("%s %s %s: %q, %+v", store, mode, data, dir, r)
				}
			}
		}
	}
	dir, _ := Export(t, "tiny", "archival", "all")
	for _, diff := range CompareExports(filepath.Join(Dir(t), "exports", "tiny", "archival"), dir) {
		t.Error(diff)
	}
}

// Dump is the reference's dump: an unchanged store dumps to the same text after the round trip that repair recorded.
func TestDump(t *testing.T) {
	state, want := Repair(t, "tiny")
	got, err := Dump(state)
	if err != nil {
		t.Fatal(err)
	}
	for _, diff := range CompareDumps(want, got) {
		if diff[0] == '+' {
			t.Errorf("not in the repaired store: %s", diff)
		}
	}
	if got == want {
		t.Error("repair changed nothing")
	}
}

func TestCompareExports(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for i, data := range []string{"same", "line\nchanged", "only"} {
		name := fmt.Sprint(i)
		if err := os.WriteFile(filepath.Join(a, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.WriteFile(filepath.Join(b, name), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(b, "1"), []byte("line\nchange"), 0o644); err != nil {
		t.Fatal(err)
	}
	if diffs := CompareExports(a, b); len(diffs) != 2 {
		t.Errorf("%d differences: %q", len(diffs), diffs)
	}
}
