package pipeline

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// fuzzDir is an export directory with any manifest, export data and span, and a heap and a bundle that are right.
func fuzzDir(t testing.TB, manifest, data, span []byte) string {
	dir := t.TempDir()
	x := smallExport()
	files := map[string]string{
		format.ManifestFile: string(manifest), format.ExportDataFile: string(data), spanOne: string(span), heapOne: x.artifacts[heapOne], bundleOne: x.artifacts[bundleOne],
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// verifiedAndImported gives an export directory to both. What verify has nothing against, import takes; the other way round it need not be,
// since verify looks at more.
func verifiedAndImported(t testing.TB, dir string) (found []string, imported error) {
	before := filesBelow(t, dir)
	_, err := Verify(t.Context(), VerifyOptions{ExportDir: dir, Workers: 2, TempDir: dir, Defect: func(d Defect) { found = append(found, d.String()) }})
	if err != nil {
		found = append(found, err.Error())
	}
	state := t.TempDir()
	_, imported = Import(t.Context(), ImportOptions{ExportDir: dir, StateDir: state, Workers: 2})
	// An export without artifacts is none that can be imported, and nothing is wrong with it.
	if len(found) == 0 && imported != nil && !strings.Contains(imported.Error(), "Cannot import \"export data\" without") {
		t.Errorf("verify finds nothing, import says %v", imported)
	}
	left, err := os.ReadDir(state)
	if err != nil || imported != nil && len(left) > 0 || imported == nil && len(left) != 1 {
		t.Errorf("import: %v, and there are %v, %v", imported, left, err)
	}
	if after := filesBelow(t, dir); !slices.Equal(after, before) {
		t.Errorf("the export had %q and has %q", before, after)
	}
	return found, imported
}

func filesBelow(t testing.TB, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// FuzzExportDirectory imports and verifies any export directory: what verify has nothing against is imported, and what is not imported leaves
// nothing.
func FuzzExportDirectory(f *testing.F) {
	x := smallExport()
	data := []byte(strings.Join(x.data, "\n") + "\n")
	m := testdata.Manifest{BlockHeight: []byte("1000"), ArtifactMode: "archival", Data: format.ExportDataFile}
	for _, name := range []string{bundleOne, heapOne, spanOne} {
		m.Artifacts = append(m.Artifacts, [2]string{name, name})
	}
	manifest, span := m.Bytes(f), []byte(x.artifacts[spanOne])
	add := func(good bool, manifest, data, span []byte) {
		f.Add(manifest, data, span)
		if found, err := verifiedAndImported(f, fuzzDir(f, manifest, data, span)); (err == nil) != good || (len(found) == 0) != good {
			f.Fatalf("a seed: %q, %v", found, err)
		}
	}
	add(true, manifest, data, span)
	add(true, manifest, append(data, `["kv.z","y"]`...), span[:len(span)-1])
	add(false, manifest, data, append(span, "x\n"...))
	add(false, bytes.ReplaceAll(manifest, []byte("archival"), []byte("all")), data, span)
	add(false, bytes.ReplaceAll(manifest, []byte("1000"), []byte(`"x"`)), data, span)
	add(false, manifest, data[:len(data)/2], span)
	add(false, manifest, bytes.ReplaceAll(data, []byte(`\"isCurrent\":1`), []byte(`\"isCurrent\":0`)), span)
	add(false, manifest, bytes.ReplaceAll(data, []byte(`\"startPos\":0`), []byte(`\"startPos\":-1e300`)), span)
	f.Fuzz(func(t *testing.T, manifest, data, span []byte) {
		verifiedAndImported(t, fuzzDir(t, manifest, data, span))
	})
}
