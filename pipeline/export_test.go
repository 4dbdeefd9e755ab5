package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

func runExport(t *testing.T, o ExportOptions) (dir string, sum Summary, err error) {
	t.Helper()
	if o.ExportDir == "" {
		o.ExportDir = filepath.Join(t.TempDir(), "export")
	}
	sum, err = Export(context.Background(), o)
	return o.ExportDir, sum, err
}

// Every store in every mode, by both readers and any number of workers, exports to the bytes of the reference, or fails with its words.
func TestExportAsReference(t *testing.T) {
	workers := []int{1, 2, 8}
	if testing.Short() {
		workers = []int{2}
	}
	for _, store := range testdata.Stores {
		state := testdata.Store(t, store)
		before := dirContent(t, state)
		for _, mode := range testdata.Modes {
			for _, data := range []string{"all", "skip"} {
				want, result := testdata.Export(t, store, mode, data)
				for _, reader := range []string{ReaderSweep, ReaderEngine} {
					for _, n := range workers {
						o := ExportOptions{StateDir: state, ArtifactMode: format.ArtifactMode(mode), ExportDataMode: format.ExportDataMode(data), Reader: reader, Workers: n}
						dir, sum, err := runExport(t, o)
						what := fmt.Sprintf("%s %s %s by %s with %d workers", store, mode, data, reader, n)
						if result.RC != 0 {
							if err == nil || !strings.Contains(err.Error(), result.Error) {
								t.Errorf("%s: error %v, want %s", what, err, result.Error)
							}
							nothingLeft(t, dir)
							continue
						}
						if err != nil {
							t.Errorf("%s: %v", what, err)
							continue
						}
						for _, diff := range testdata.CompareExports(dir, want) {
							t.Errorf("%s: %s", what, diff)
						}
						checkSummary(t, dir, sum)
					}
				}
			}
		}
		if after := dirContent(t, state); !slices.Equal(before, after) {
			t.Errorf("%s: the state directory changed: %q, before %q", store, after, before)
		}
	}
}

// dirContent lists the files of a directory with their sizes and hashes.
func dirContent(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			list = append(list, e.Name()+"/")
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%s %d %s", e.Name(), len(b), hexSum(string(b))))
	}
	return list
}

// nothingLeft fails a test where a failed export left its directory or anything in it.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); !os.IsNotExist(err) {
		t.Errorf("the failed export left %s: %v, %v", dir, entries, err)
	}
}

// checkSummary compares what an export says of itself with what it wrote.
func checkSummary(t *testing.T, dir string, sum Summary) {
	t.Helper()
	m := manifest(t, dir)
	kinds := map[string]int{}
	for _, a := range m.Artifacts.All() {
		kind, _, _ := strings.Cut(a.Name, ".")
		kinds[kind]++
	}
	if sum.Artifacts != m.Artifacts.Len() || sum.Snapshots != kinds["snapshot"] || sum.Spans != kinds["transcript"] || sum.Bundles != kinds["bundle"] {
		t.Errorf("summary %+v, manifest %v", sum, kinds)
	}
	var size int64
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if name := e.Name(); name != format.ManifestFile && name != format.ChecksumsFile {
			size += info.Size()
		}
	}
	if sum.Bytes != size {
		t.Errorf("the summary says %d bytes, the files have %d", sum.Bytes, size)
	}
	data, err := os.ReadFile(filepath.Join(dir, format.ExportDataFile))
	if want := hexSum(string(data)); err == nil && sum.ExportDataSHA256 != want || err != nil && sum.ExportDataSHA256 != "" {
		t.Errorf("the summary says %q of the export data, which is %q", sum.ExportDataSHA256, want)
	}
	if n := bytes.Count(data, []byte(`["kv.`)); err == nil && sum.KVRows != int64(n) {
		t.Errorf("the summary says %d rows, the export data has %d", sum.KVRows, n)
	}
	if sum.BlockHeight != m.BlockHeight || sum.Seconds <= 0 {
		t.Errorf("summary %+v, manifest height %v", sum, m.BlockHeight)
	}
}

func manifest(t *testing.T, dir string) *format.Manifest {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, format.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := format.ReadManifest(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// goodStore is a store that has some of everything and nothing wrong.
func goodStore(t *testing.T, pragmas ...string) *testdata.Builder {
	b := testdata.Build(t, pragmas...)
	b.KV("host.height", "77")
	b.KV("v1.c.ko1", "R o+1")
	b.KV("local.kernelStats", "{}")
	b.Span("v1", 0, 0, false, "init", "one")
	b.Span("v1", 2, 1, false, "load", "two", "three")
	b.Span("v1", 5, 1, true, "load again")
	b.Span("v2", 0, 0, true, "a", "b")
	b.Heap("v1", 4, true, []byte("a heap"))
	b.Heap("v1", 1, false, []byte("an older heap"))
	b.B0("source")
	return b
}

// Stores with one thing wrong or odd in each: what fails names it, and what can be exported is, with what is wrong in the summary.
func TestExportOddities(t *testing.T) {
	join := func(lists ...[]byte) []byte { return slices.Concat(lists...) }
	zip := testdata.Gzip
	for _, c := range []struct {
		name   string
		mode   format.ArtifactMode // archival where it is not said
		change func(b *testdata.Builder)

		fails    string // the error
		artifact string // that the error names
		class    error
		passes   bool   // with NoVerify, as a defect
		warns    string // it is exported, and this is a warning
		file     string // an artifact and its content
		content  string
	}{
		{name: "nothing", change: func(*testdata.Builder) {}, file: "snapshot.v1.4", content: "a heap"},
		{name: "gzip members", change: func(b *testdata.Builder) {
			b.Exec("UPDATE snapshots SET compressedSnapshot=? WHERE snapPos=4", join(zip([]byte("a ")), zip(nil), zip([]byte("heap"))))
		}, file: "snapshot.v1.4", content: "a heap"},
		{name: "no sizes", change: func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET uncompressedSize=NULL, compressedSize=NULL") }, file: "snapshot.v1.4", content: "a heap"},
		{name: "wrong sizes", change: func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET uncompressedSize=3, compressedSize=1e9") }, file: "snapshot.v1.4", content: "a heap"},
		{name: "empty heap", change: func(b *testdata.Builder) {
			b.Exec("DELETE FROM snapshots")
			b.Heap("v1", 4, true, nil)
		}, file: "snapshot.v1.4", content: ""},
		{name: "gzip cut", change: func(b *testdata.Builder) {
			b.Exec("UPDATE snapshots SET compressedSnapshot=substr(compressedSnapshot,1,length(compressedSnapshot)-5) WHERE snapPos=4")
		}, fails: "unexpected EOF", artifact: "snapshot.v1.4"},
		{name: "gzip header cut", change: func(b *testdata.Builder) {
			b.Exec("UPDATE snapshots SET compressedSnapshot=substr(compressedSnapshot,1,7) WHERE snapPos=4")
		}, fails: "unexpected EOF", artifact: "snapshot.v1.4"},
		{name: "blob of no bytes", change: func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET compressedSnapshot=x'' WHERE snapPos=4") },
			fails: "unexpected EOF", artifact: "snapshot.v1.4"},
		{name: "no gzip", change: func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET compressedSnapshot='text' WHERE snapPos=4") },
			fails: "gzip", artifact: "snapshot.v1.4"},
		{name: "junk behind the gzip", change: func(b *testdata.Builder) {
			b.Exec("UPDATE snapshots SET compressedSnapshot=? WHERE snapPos=4", join(zip([]byte("a heap")), []byte("junk")))
		}, fails: "gzip", artifact: "snapshot.v1.4"},
		{name: "gzip checksum", change: func(b *testdata.Builder) {
			blob := zip([]byte("a heap"))
			blob[len(blob)-6] ^= 1
			b.Exec("UPDATE snapshots SET compressedSnapshot=? WHERE snapPos=4", blob)
		}, fails: "gzip", artifact: "snapshot.v1.4"},
		{name: "heap hash", change: func(b *testdata.Builder) {
			b.Exec("UPDATE snapshots SET compressedSnapshot=? WHERE snapPos=4", zip([]byte("another heap")))
		}, fails: "hash is", artifact: "snapshot.v1.4", class: format.ErrHashMismatch, passes: true, file: "snapshot.v1.4", content: "another heap"},
		{name: "old heap hash", mode: format.Debug, change: func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET hash='' WHERE snapPos=1") },
			fails: "hash is", artifact: "snapshot.v1.1", class: format.ErrHashMismatch, passes: true},
		{name: "span hash", change: func(b *testdata.Builder) { b.Exec("UPDATE transcriptItems SET item='b!' WHERE item='b'") },
			fails: "hash is", artifact: "transcript.v2.0.2", class: format.ErrHashMismatch, passes: true, file: "transcript.v2.0.2", content: "a\nb!\n"},
		{name: "span without a hash", change: func(b *testdata.Builder) { b.Exec("UPDATE transcriptSpans SET hash=NULL WHERE vatID='v2'") },
			fails: "hash is", artifact: "transcript.v2.0.2", class: format.ErrHashMismatch, passes: true},
		{name: "span hash as a BLOB", change: func(b *testdata.Builder) {
			b.Exec("UPDATE transcriptSpans SET hash=CAST(hash AS BLOB) WHERE vatID='v2'")
		},
			fails: `metadata says "x'`, artifact: "transcript.v2.0.2", class: format.ErrHashMismatch, passes: true},
		{name: "heap hash as a BLOB", change: func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET hash=CAST(hash AS BLOB) WHERE snapPos=4") },
			fails: `metadata says "x'`, artifact: "snapshot.v1.4", class: format.ErrHashMismatch, passes: true},
		{name: "upper-case hash", change: func(b *testdata.Builder) { b.Exec("UPDATE transcriptSpans SET hash=upper(hash) WHERE vatID='v2'") },
			fails: "hash is", artifact: "transcript.v2.0.2", class: format.ErrHashMismatch, passes: true},
		{name: "bundle id", change: func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle=replace(bundle,'source\"','other\"')") },
			artifact: "bundle.b0-", class: format.ErrHashMismatch, passes: true},
		{name: "bundle pruned", change: func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle=NULL") }, fails: "missing bundles for: b0-", class: format.ErrIncomplete},
		{name: "bundle pruned, debug", mode: format.Debug, change: func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle=NULL") },
			fails: "pruned", artifact: "bundle.b0-", class: format.ErrIncomplete},
		{name: "bundle of empty text", change: func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle=''") }, fails: "pruned", artifact: "bundle.b0-", class: format.ErrIncomplete},
		{name: "heap pruned", change: func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET compressedSnapshot=NULL WHERE snapPos=4") },
			fails: "current snapshots are pruned for vats v1", class: format.ErrIncomplete},
		{name: "white space at the end of an item", change: func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "item \t") },
			warns: "transcript.v3.0.1 cannot be imported again", file: "transcript.v3.0.1", content: "item \t\n"},
		{name: "an item of two lines", change: func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "two\nlines") },
			warns: "transcript.v3.0.1 cannot be imported again", file: "transcript.v3.0.1", content: "two\nlines\n"},
		{name: "b0 with keys in another order", change: func(b *testdata.Builder) {
			text := `{"source":"s","moduleFormat":"nestedEvaluate"}`
			b.Exec("INSERT INTO bundles VALUES (?,?)", "b0-"+hexSum(text), text)
		}, warns: "cannot be imported again"},
		{name: "spans that leave a gap", change: func(b *testdata.Builder) {
			b.Exec("DELETE FROM transcriptSpans WHERE vatID='v1' AND startPos=2")
		}, warns: "spans of vat v1 do not follow one another at item 2"},
		{name: "spans that overlap", change: func(b *testdata.Builder) {
			b.SpanRow("v1", 1, 4, 1, false, testdata.SpanHash("one", "load", "two"))
		}, warns: "spans of vat v1 do not follow one another at item 2", file: "transcript.v1.1.4", content: "one\nload\ntwo\n"},
		{name: "dot in a vat ID", change: func(b *testdata.Builder) { b.Span("v.3", 0, 0, true, "x") }, fails: "transcript.v.3.0.1", artifact: "transcript.v.3.0.1"},
		{name: "slash in a vat ID", change: func(b *testdata.Builder) { b.Span("v/3", 0, 0, true, "x") }, fails: "transcript.v/3.0.1", artifact: "transcript.v/3.0.1"},
		{name: "slash in a heap's vat ID", change: func(b *testdata.Builder) { b.Heap("../v", 0, true, nil) }, fails: "snapshot...", artifact: "snapshot.../v.0"},
		{name: "slash in a bundle ID", change: func(b *testdata.Builder) { b.Exec("INSERT INTO bundles VALUES ('b0-../x', '{}')") }, fails: "b0-../x", artifact: "bundle.b0-../x"},
		{name: "a middle item missing", change: func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position=3") },
			fails: "incomplete archival transcript: 5 vs 6", class: format.ErrIncomplete},
		{name: "a first item missing", change: func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position=0") },
			fails: "incomplete archival transcript: 5 vs 6", class: format.ErrIncomplete},
		{name: "replay: an item missing", mode: format.Replay, change: func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position=3") },
			fails: "incomplete current incarnation transcript: 3 items", class: format.ErrIncomplete},
		{name: "operational: an item missing", mode: format.Operational, change: func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position=5") },
			fails: "incomplete current transcript span: 0 items", class: format.ErrIncomplete},
		{name: "no incarnation", mode: format.Replay, change: func(b *testdata.Builder) { b.Exec("UPDATE transcriptSpans SET incarnation=NULL WHERE vatID='v2'") },
			fails: "incomplete current incarnation transcript", class: format.ErrIncomplete},
		{name: "debug: items missing", mode: format.Debug, change: func(b *testdata.Builder) {
			b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position=3")
		}, file: "transcript.v1.5.6", content: "load again\n"},
		{name: "debug: no table of items", mode: format.Debug, change: func(b *testdata.Builder) { b.Exec("DROP TABLE transcriptItems") }, file: "snapshot.v1.1", content: "an older heap"},
		{name: "no table of items", change: func(b *testdata.Builder) { b.Exec("DROP TABLE transcriptItems") }, fails: "incomplete archival transcript", class: format.ErrIncomplete},
		{name: "no small tables", change: func(b *testdata.Builder) {
			for _, table := range []string{"transcriptSpans", "snapshots", "bundles"} {
				b.Exec("DROP TABLE " + table)
			}
		}},
		{name: "NULL key", change: func(b *testdata.Builder) { b.Exec("INSERT INTO kvStore VALUES (NULL,'v')") }, fails: "key must be a string"},
		{name: "BLOB key", change: func(b *testdata.Builder) { b.Exec("INSERT INTO kvStore VALUES (x'6b','v')") }, fails: "key must be a string"},
	} {
		if c.mode == "" {
			c.mode = format.Archival
		}
		for _, reader := range []string{ReaderSweep, ReaderEngine} {
			t.Run(c.name+" by "+reader, func(t *testing.T) {
				b := goodStore(t)
				c.change(b)
				b.Close()
				o := ExportOptions{StateDir: b.Dir, ArtifactMode: c.mode, ExportDataMode: format.All, Reader: reader}
				dir, sum, err := runExport(t, o)
				if c.fails == "" && c.artifact == "" {
					if err != nil {
						t.Fatal(err)
					}
					sameAsDirectory(t, o, dir, nil)
					oddWarnings(t, sum.Warnings, c.warns)
					oddFile(t, dir, c.file, c.content)
					return
				}
				if err == nil || !strings.Contains(err.Error(), c.fails) || c.class != nil && !errors.Is(err, c.class) {
					t.Fatalf("error %v", err)
				}
				var of *ArtifactError
				if c.artifact != "" && (!errors.As(err, &of) || !strings.HasPrefix(of.Name, c.artifact) || !strings.Contains(err.Error(), of.Name)) {
					t.Errorf("the error does not name the artifact: %v", err)
				}
				nothingLeft(t, dir)
				sameAsDirectory(t, o, "", err)

				o.NoVerify = true
				dir, sum, err = runExport(t, o)
				sameAsDirectory(t, o, dir, err)
				if !c.passes {
					if err == nil {
						t.Error("it passes without verification")
					}
					nothingLeft(t, dir)
					return
				}
				if err != nil || len(sum.Defects) != 1 || !strings.Contains(sum.Defects[0], c.artifact) {
					t.Errorf("without verification: %v, defects %q", err, sum.Defects)
				}
				oddFile(t, dir, c.file, c.content)
			})
		}
	}
}

func oddWarnings(t *testing.T, warnings []string, want string) {
	t.Helper()
	if want == "" && len(warnings) > 0 || want != "" && (len(warnings) != 1 || !strings.Contains(warnings[0], want)) {
		t.Errorf("warnings %q", warnings)
	}
}

func oddFile(t *testing.T, dir, name, want string) {
	t.Helper()
	if name == "" {
		return
	}
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != want {
		t.Errorf("%s is %q, %v, want %q", name, got, err, want)
	}
}

// A damaged kvStore is found although nothing hashes it, and NoVerify lets it pass.
func TestExportDamagedIndex(t *testing.T) {
	b := goodStore(t)
	b.Exec("CREATE TABLE other (key TEXT, value TEXT, PRIMARY KEY (key))")
	b.Exec("INSERT INTO other SELECT * FROM kvStore WHERE key<>'v1.c.ko1'")
	b.Exec("PRAGMA writable_schema=ON")
	b.Exec("UPDATE sqlite_schema SET rootpage=(SELECT rootpage FROM sqlite_schema WHERE name='sqlite_autoindex_other_1') WHERE name='sqlite_autoindex_kvStore_1'")
	b.Exec("DELETE FROM sqlite_schema WHERE tbl_name='other'")
	b.Close()
	o := ExportOptions{StateDir: b.Dir, ArtifactMode: format.Archival, ExportDataMode: format.All}
	dir, _, err := runExport(t, o)
	if !errors.Is(err, stages.ErrDamaged) || !strings.Contains(err.Error(), "index") {
		t.Errorf("%v", err)
	}
	nothingLeft(t, dir)
	o.NoVerify = true
	dir, sum, err := runExport(t, o)
	if err != nil || len(sum.Defects) != 1 {
		t.Errorf("%v, defects %q", err, sum.Defects)
	}
	if data, err := os.ReadFile(filepath.Join(dir, format.ExportDataFile)); err != nil || !strings.Contains(string(data), `["kv.v1.c.ko1","R o+1"]`) {
		t.Errorf("%s, %v", data, err)
	}
}

// A few items of a large store come through the index, with the same result as by the other readers.
func TestExportByIndex(t *testing.T) {
	b := goodStore(t)
	long := make([]string, 200)
	for i := range long {
		long[i] = fmt.Sprintf("%d %s", i, strings.Repeat("history ", 2500))
	}
	b.Span("v3", 0, 0, false, long...)
	b.Span("v3", 200, 1, true, "now")
	b.Close()
	for _, mode := range []format.ArtifactMode{format.Operational, format.Replay} {
		s, err := stages.OpenStore(context.Background(), b.Dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := stages.NewPlan(context.Background(), s, mode)
		if err != nil || !p.ItemsByIndex(s.Size()) {
			t.Errorf("%s: not by the index, %v", mode, err)
		}
		s.Close()
		a, _, errA := runExport(t, ExportOptions{StateDir: b.Dir, ArtifactMode: mode, ExportDataMode: format.All})
		e, _, errE := runExport(t, ExportOptions{StateDir: b.Dir, ArtifactMode: mode, ExportDataMode: format.All, Reader: ReaderEngine})
		if errA != nil || errE != nil {
			t.Fatal(errA, errE)
		}
		for _, diff := range testdata.CompareExports(a, e) {
			t.Errorf("%s: %s", mode, diff)
		}
	}
}

func TestExportHeight(t *testing.T) {
	for stored, c := range map[any]struct {
		height  float64
		printed string
	}{"77": {77, "77"}, "1e3": {1000, "1000"}, "0x10": {16, "16"}, " 5 ": {5, "5"}, "abc": {0, "0"}, "": {0, "0"}, nil: {0, "0"}, "1e21": {1e21, "1e+21"}} {
		b := goodStore(t)
		b.KV("host.height", stored)
		b.Close()
		if h, err := Height(context.Background(), b.Dir); h != c.height || err != nil {
			t.Errorf("%v: height %v, %v", stored, h, err)
		}
		o := ExportOptions{StateDir: b.Dir, ArtifactMode: format.None, CheckBlockHeight: &c.height}
		dir, _, err := runExport(t, o)
		if err != nil {
			t.Errorf("%v: %v", stored, err)
			continue
		}
		if m, _ := os.ReadFile(filepath.Join(dir, format.ManifestFile)); !strings.Contains(string(m), `"blockHeight": `+c.printed+",") {
			t.Errorf("%v: %s", stored, m)
		}
		wrong := c.height + 78
		if wrong == c.height {
			continue
		}
		o.CheckBlockHeight, o.ArtifactMode = &wrong, format.Archival
		dir, _, err = runExport(t, o)
		if err == nil || !strings.HasPrefix(err.Error(), "DB at unexpected block height "+c.printed+" (expected ") {
			t.Errorf("%v: %v", stored, err)
		}
		nothingLeft(t, dir)
	}
}

// What is there already is never overwritten, and stays.
func TestExportIntoExport(t *testing.T) {
	b := goodStore(t)
	b.Close()
	for _, name := range []string{format.ManifestFile, format.ExportDataFile, format.ChecksumsFile, "transcript.v1.0.2", "snapshot.x", "bundle.y"} {
		dir := t.TempDir()
		put(t, filepath.Join(dir, name), "of somebody")
		_, _, err := runExport(t, ExportOptions{StateDir: b.Dir, ExportDir: dir})
		var exists *ExistsError
		if !errors.As(err, &exists) || !strings.HasSuffix(exists.Path, name) || !errors.Is(err, os.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
		if got := dirContent(t, dir); len(got) != 1 || !strings.Contains(got[0], hexSum("of somebody")) {
			t.Errorf("%s: the directory has %q", name, got)
		}
	}
	// Other files are nobody's business.
	dir := t.TempDir()
	put(t, filepath.Join(dir, "notes"), "mine")
	if _, _, err := runExport(t, ExportOptions{StateDir: b.Dir, ExportDir: dir}); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "notes")); string(text) != "mine" {
		t.Errorf("notes are %q, %v", text, err)
	}
	if _, _, err := runExport(t, ExportOptions{StateDir: b.Dir, ExportDir: dir}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second export: %v", err)
	}
	// What is no directory is refused; nobody waits for the writer of a pipe.
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{pipe, filepath.Join(pipe, "below"), filepath.Join(b.Dir, stages.StoreFile)} {
		if _, _, err := runExport(t, ExportOptions{StateDir: b.Dir, ExportDir: dir}); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	// Directories are made, and removed again after a failure, those above too.
	deep := filepath.Join(t.TempDir(), "a", "b", "c")
	one := 1.0
	if _, _, err := runExport(t, ExportOptions{StateDir: b.Dir, ExportDir: deep}); err != nil {
		t.Error(err)
	}
	failing := filepath.Join(t.TempDir(), "a", "b")
	if _, _, err := runExport(t, ExportOptions{StateDir: b.Dir, ExportDir: failing, CheckBlockHeight: &one}); err == nil {
		t.Error("a wrong height was taken")
	}
	nothingLeft(t, filepath.Dir(failing))
}

// SHA256SUMS is what the system's own tool reads, whatever the names, and covers every file.
func TestExportChecksums(t *testing.T) {
	b := goodStore(t)
	for i, vat := range []string{"v 3", "v\\4", "v\n5", "v\r6", "ü", " lead", "*star", "-dash"} {
		b.Span(vat, 0, 0, true, fmt.Sprint("item ", i))
	}
	b.Close()
	dir, sum, err := runExport(t, ExportOptions{StateDir: b.Dir, ArtifactMode: format.Archival, ExportDataMode: format.All, Checksums: true})
	if err != nil {
		t.Fatal(err)
	}
	checkSummary(t, dir, sum)
	checkSums(t, dir)
}

// checkSums has sha256sum look at all files of an export.
func checkSums(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command("sha256sum", "--strict", "-c", format.ChecksumsFile)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	entries, _ := os.ReadDir(dir)
	if n := bytes.Count(out, []byte(": OK\n")); n != len(entries)-1 {
		t.Errorf("%d files of %d: %s", n, len(entries)-1, out)
	}
}

func TestExportOptionErrors(t *testing.T) {
	b := goodStore(t)
	b.Close()
	for says, o := range map[string]ExportOptions{
		"artifact-mode":    {ArtifactMode: "most"},
		"export-data-mode": {ExportDataMode: "some"},
		"repair-metadata":  {ExportDataMode: format.RepairMetadata},
		"unknown reader":   {Reader: "guess"},
		"temporary files":  {TempDir: filepath.Join(b.Dir, "missing")},
		"not a directory":  {TempDir: filepath.Join(b.Dir, stages.StoreFile)},
	} {
		o.StateDir = b.Dir
		dir, _, err := runExport(t, o)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
		nothingLeft(t, dir)
	}
	for _, o := range []ExportOptions{{StateDir: t.TempDir()}, {StateDir: filepath.Join(b.Dir, "missing")}} {
		dir, _, err := runExport(t, o)
		if !errors.Is(err, ErrNoStore) {
			t.Error(err)
		}
		nothingLeft(t, dir)
	}
}

// The same store exported by several at once, and several exports to one directory, of which one is made.
func TestExportsAtOnce(t *testing.T) {
	state := testdata.Store(t, "tiny1a")
	want, _ := testdata.Export(t, "tiny1a", "archival", "all")
	before := dirContent(t, state)
	shared := filepath.Join(t.TempDir(), "shared")
	const n = 6
	var dirs [n]string
	errs, shareErrs := make(chan error, n), make(chan error, n)
	for i := range n {
		dirs[i] = filepath.Join(t.TempDir(), "export")
		o := ExportOptions{StateDir: state, ExportDir: dirs[i], ArtifactMode: format.Archival, ExportDataMode: format.All}
		go func() { _, err := Export(context.Background(), o); errs <- err }()
		one := o
		one.ExportDir = shared
		go func() { _, err := Export(context.Background(), one); shareErrs <- err }()
	}
	made := 0
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
		if err := <-shareErrs; err == nil {
			made++
		} else if !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrNotExist) { // the last: it was removed between mkdir and open
			t.Errorf("to one directory: %v", err)
		}
	}
	for _, dir := range append(dirs[:], shared) {
		if dir == shared && made == 0 {
			continue // each was in the way of another
		}
		for _, diff := range testdata.CompareExports(dir, want) {
			t.Error(diff)
		}
	}
	if made > 1 {
		t.Errorf("%d exports were made in one directory", made)
	}
	if after := dirContent(t, state); !slices.Equal(after, before) {
		t.Errorf("the state directory has %q, before %q", after, before)
	}
}

// The counters end where the export does.
func TestExportStatus(t *testing.T) {
	state := testdata.Store(t, "tiny")
	var status Status
	_, sum, err := runExport(t, ExportOptions{StateDir: state, ArtifactMode: format.Archival, ExportDataMode: format.All, Status: &status})
	if err != nil {
		t.Fatal(err)
	}
	p := status.Snapshot()
	if p.Phase != "sync" || p.Artifacts != int64(sum.Artifacts) || p.ArtifactsTotal != int64(sum.Artifacts) {
		t.Errorf("%+v, summary %+v", p, sum)
	}
}

// A summary prints as the documented JSON.
func TestSummaryJSON(t *testing.T) {
	text, err := json.Marshal(Summary{BlockHeight: 77, ArtifactMode: "none"})
	if err != nil || !strings.HasPrefix(string(text), `{"blockHeight":77,"artifactMode":"none","artifacts":0,`) {
		t.Errorf("%s, %v", text, err)
	}
}

// noLeaks fails a test after which goroutines run that did not before.
func noLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		for range 200 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, before %d:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
	})
}

// How the database is laid out does not show in the export.
func TestExportSameOfAnyLayout(t *testing.T) {
	b := goodStore(t)
	b.Close()
	want, _, err := runExport(t, archival(b.Dir))
	if err != nil {
		t.Fatal(err)
	}
	for _, pragma := range []string{"encoding='UTF-16le'", "encoding='UTF-16be'", "page_size=512", "page_size=65536", "auto_vacuum=FULL", "journal_mode=WAL"} {
		b := goodStore(t, pragma)
		b.Close()
		dir, sum, err := runExport(t, archival(b.Dir))
		if err != nil {
			t.Errorf("%s: %v", pragma, err)
			continue
		}
		for _, diff := range testdata.CompareExports(dir, want) {
			t.Errorf("%s: %s", pragma, diff)
		}
		if utf16 := strings.Contains(pragma, "UTF-16"); utf16 != (len(sum.Warnings) > 0) {
			t.Errorf("%s: warnings %q", pragma, sum.Warnings)
		}
	}
}
