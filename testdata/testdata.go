// Package testdata gives tests the small stores in this folder and what the reference made of them: its exports in every
// mode, its error messages, and its imports of those exports as canonical text. README.md says how each was made.
//
// It is for tests only. Everything is handed out as a copy in a temporary folder, so a test may write where it likes.
package testdata

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Stores lists the stores, Modes the artifact modes of an export, ImportModes those of an import; "default" is an import
// without the flag.
var (
	Stores      = []string{"tiny", "tiny1a", "tinywal", "tinyraw", "pruned"}
	Modes       = []string{"none", "operational", "replay", "archival", "debug"}
	ImportModes = append([]string{"default"}, Modes...)
)

// A Result is how a run of the reference ended: its exit code and, where that is not 0, its error message as it was thrown.
type Result struct {
	RC    int    `json:"rc"`
	Error string `json:"error"`
}

// Dir returns this folder's absolute path. The working directory must be inside the module, as it is in tests.
func Dir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "testdata")
		}
		if dir == filepath.Dir(dir) {
			tb.Fatal("testdata: no go.mod above the working directory")
		}
	}
}

// Store copies a store into a new state directory and returns that.
func Store(tb testing.TB, store string) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(Dir(tb), "stores", store))); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Export unpacks the reference's export of store with --artifact-mode=mode and --export-data-mode=data ("all" or "skip")
// into a new folder. Where the reference failed, dir is "" and the result says how.
func Export(tb testing.TB, store, mode, data string) (dir string, r Result) {
	tb.Helper()
	rec := load(tb, store)
	name := mode + "-" + data
	r, ok := rec.Exports[name]
	if !ok {
		tb.Fatalf("testdata: no export %s of %s", name, store)
	}
	if r.RC != 0 {
		return "", r
	}
	return rec.unpack(tb, "export/"+name), r
}

// GoStyleExport unpacks the archival export of store in the form that the chain's Go side writes; the tiny stores have one.
// What the reference imports from it is Import(tb, store, "go-style", "default").
func GoStyleExport(tb testing.TB, store string) string {
	tb.Helper()
	return load(tb, store).unpack(tb, "export/go-style")
}

// Import returns the Dump of what the reference imports, with --artifact-mode=importMode, from its own export of store in
// exportMode with export data. Where the reference failed, dump is "" and the result says how.
func Import(tb testing.TB, store, exportMode, importMode string) (dump string, r Result) {
	tb.Helper()
	rec := load(tb, store)
	name := exportMode + "-" + importMode
	r, ok := rec.Imports[name]
	if !ok {
		tb.Fatalf("testdata: no import %s of %s", name, store)
	}
	if r.RC != 0 {
		return "", r
	}
	return rec.text(tb, "import/"+name+".txt"), r
}

// Repair unpacks a copy of store that has lost its historical spans and snapshots, and returns its state directory with the
// Dump of what the reference's repair-metadata makes of it, given the archival export; the tiny stores have one.
func Repair(tb testing.TB, store string) (stateDir, dump string) {
	tb.Helper()
	rec := load(tb, store)
	dir := rec.unpack(tb, "repair")
	if err := os.Remove(filepath.Join(dir, "repaired.txt")); err != nil {
		tb.Fatal(err)
	}
	return dir, rec.text(tb, "repair/repaired.txt")
}

// record is the content of expected/STORE.tar.zst.
type record struct {
	Exports map[string]Result `json:"export"`
	Imports map[string]Result `json:"import"`
	files   map[string][]byte
}

var records sync.Map // store -> func() (*record, error)

func load(tb testing.TB, store string) *record {
	tb.Helper()
	file := filepath.Join(Dir(tb), "expected", store+".tar.zst")
	once, _ := records.LoadOrStore(store, sync.OnceValues(func() (*record, error) { return readRecord(file) }))
	rec, err := once.(func() (*record, error))()
	if err != nil {
		tb.Fatalf("testdata: %s: %v", file, err)
	}
	return rec
}

func readRecord(file string) (*record, error) {
	packed, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	dec, err := zstd.NewReader(packed, zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return nil, err
	}
	defer dec.Close()

	rec := &record{files: map[string][]byte{}}
	for tr := tar.NewReader(dec); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if rec.files[path.Clean(h.Name)], err = io.ReadAll(tr); err != nil {
			return nil, err
		}
	}
	return rec, json.Unmarshal(rec.files["expected.json"], rec)
}

func (rec *record) unpack(tb testing.TB, folder string) string {
	tb.Helper()
	dir, n := tb.TempDir(), 0
	for name, data := range rec.files {
		if path.Dir(name) != folder {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, path.Base(name)), data, 0o644); err != nil {
			tb.Fatal(err)
		}
		n++
	}
	if n == 0 {
		tb.Fatalf("testdata: nothing in %s", folder)
	}
	return dir
}

func (rec *record) text(tb testing.TB, name string) string {
	tb.Helper()
	data, ok := rec.files[name]
	if !ok {
		tb.Fatalf("testdata: no %s", name)
	}
	return string(data)
}

// CompareExports compares two export directories byte for byte, all their files, and returns one line for each file that
// differs or is in one of them only.
func CompareExports(a, b string) []string {
	filesA, err := readDir(a)
	if err != nil {
		return []string{err.Error()}
	}
	filesB, err := readDir(b)
	if err != nil {
		return []string{err.Error()}
	}
	var diffs []string
	for name, dataA := range filesA {
		dataB, ok := filesB[name]
		if !ok {
			diffs = append(diffs, fmt.Sprintf("%s: only in %s", name, a))
		} else if !bytes.Equal(dataA, dataB) {
			diffs = append(diffs, fmt.Sprintf("%s: %s", name, firstDifference(dataA, dataB)))
		}
		delete(filesB, name)
	}
	for name := range filesB {
		diffs = append(diffs, fmt.Sprintf("%s: only in %s", name, b))
	}
	return diffs
}

// CompareDumps returns the lines that only one of two dumps has, "- " before those of a and "+ " before those of b.
func CompareDumps(a, b string) []string {
	var diffs []string
	count := map[string]int{}
	for line := range strings.Lines(b) {
		count[line]++
	}
	for line := range strings.Lines(a) {
		if count[line]--; count[line] < 0 {
			diffs = append(diffs, "- "+strings.TrimSuffix(line, "\n"))
		}
	}
	for line := range strings.Lines(b) {
		if count[line] > 0 {
			count[line]--
			diffs = append(diffs, "+ "+strings.TrimSuffix(line, "\n"))
		}
	}
	if len(diffs) == 0 && a != b {
		diffs = append(diffs, "the same lines in another order")
	}
	return diffs
}

func readDir(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func firstDifference(a, b []byte) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	around := func(x []byte) []byte { return x[max(0, i-20):min(len(x), i+40)] }
	return fmt.Sprintf("differs at byte %d (line %d), sizes %d and %d: %q, %q",
		i, 1+bytes.Count(a[:i], []byte("\n")), len(a), len(b), around(a), around(b))
}
