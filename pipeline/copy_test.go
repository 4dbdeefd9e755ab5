package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

func runCopy(t *testing.T, o CopyOptions) (to string, sum CopySummary, err error) {
	t.Helper()
	if o.ToStateDir == "" {
		o.ToStateDir = filepath.Join(t.TempDir(), "copy")
	}
	sum, err = Copy(context.Background(), o)
	return o.ToStateDir, sum, err
}

// Every store in every mode, by both readers, becomes what the reference makes of its own export, or fails with the words of whichever of the
// two refuses.
func TestCopyLikeReference(t *testing.T) {
	t.Parallel()
	refused := 0
	for _, store := range testdata.Stores {
		state := testdata.Store(t, store)
		before := dirContent(t, state)
		for _, mode := range testdata.Modes {
			for _, reader := range []string{ReaderSweep, ReaderEngine} {
				what := fmt.Sprintf("%s %s by %s", store, mode, reader)
				to, sum, err := runCopy(t, CopyOptions{StateDir: state, ArtifactMode: format.ArtifactMode(mode), Reader: reader})
				_, exported := testdata.Export(t, store, mode, "all")
				want, imported := "", testdata.Result{}
				if exported.RC == 0 {
					want, imported = testdata.Import(t, store, mode, "default")
				}
				if says := exported.Error + imported.Error; says != "" {
					refused++
					if err == nil || !strings.Contains(err.Error(), says) {
						t.Errorf("%s: error %v, want %s", what, err, says)
					}
					nothingLeft(t, to)
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				for _, diff := range testdata.CompareDumps(dump(t, to), want) {
					t.Errorf("%s: %s", what, diff)
				}
				if got := names(t, to); got != stages.StoreFile {
					t.Errorf("%s: the state directory holds %s", what, got)
				}
				checkCopySummary(t, state, to, sum)
			}
		}
		if after := dirContent(t, state); !slices.Equal(before, after) {
			t.Errorf("%s: the state directory changed: %q, before %q", store, after, before)
		}
	}
	if refused < 2*len(testdata.Stores) {
		t.Errorf("%d refused", refused)
	}
}

// checkCopySummary compares what a copy says of itself with what an import of an export says.
func checkCopySummary(t *testing.T, state, to string, sum CopySummary) {
	t.Helper()
	dir, exported, err := runExport(t, ExportOptions{StateDir: state, ArtifactMode: format.ArtifactMode(sum.ArtifactMode), ExportDataMode: format.All})
	if err != nil {
		t.Fatal(err)
	}
	imported, err := Import(context.Background(), ImportOptions{StateDir: filepath.Join(t.TempDir(), "import"), ExportDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	want := imported
	want.Bytes, want.ExportDataSHA256, want.LogGrowth = exported.Bytes, "", exported.LogGrowth
	want.Seconds, want.MBPerSecond = sum.Seconds, sum.MBPerSecond
	want.Warnings, want.Defects = exported.Warnings, []string{}
	if got, want := fmt.Sprintf("%+v", sum.Summary), fmt.Sprintf("%+v", want); got != want || sum.Seconds <= 0 || sum.MBPerSecond <= 0 {
		t.Errorf("summary %s, want %s", got, want)
	}
	size := func(dir string) (n int64) {
		for _, end := range []string{"", "-wal"} {
			if info, err := os.Stat(filepath.Join(dir, stages.StoreFile+end)); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	if sum.FromBytes != size(state) || sum.ToBytes != size(to) || sum.ToBytes == 0 {
		t.Errorf("from %d to %d bytes, they have %d and %d", sum.FromBytes, sum.ToBytes, size(state), size(to))
	}
}

func TestCopySummaryJSON(t *testing.T) {
	text, err := json.Marshal(CopySummary{Summary: Summary{BlockHeight: 77, ArtifactMode: "replay"}, FromBytes: 5, ToBytes: 3})
	if err != nil || !strings.HasPrefix(string(text), `{"blockHeight":77,"artifactMode":"replay",`) || !strings.HasSuffix(string(text), `"fromBytes":5,"toBytes":3}`) {
		t.Errorf("%s, %v", text, err)
	}
}

// copyOddities are stores with one thing odd or wrong in each.
var copyOddities = map[string]func(b *testdata.Builder){
	"nothing": func(*testdata.Builder) {},
	"no rows": func(b *testdata.Builder) { deleteAll(b, "kvStore") },
	"nothing at all": func(b *testdata.Builder) {
		deleteAll(b, "kvStore", "transcriptItems", "transcriptSpans", "snapshots", "bundles")
	},
	"bundles alone": func(b *testdata.Builder) { deleteAll(b, "transcriptItems", "transcriptSpans", "snapshots") },
	"no small tables": func(b *testdata.Builder) {
		b.Exec("DROP TABLE transcriptSpans")
		b.Exec("DROP TABLE snapshots")
		b.Exec("DROP TABLE bundles")
	},
	"no table of items": func(b *testdata.Builder) { b.Exec("DROP TABLE transcriptItems") },

	"keys of all kinds": func(b *testdata.Builder) {
		for i, text := range []string{"", "\x00", "a\x00b", "e\u0301 \u00e9", "\U0001f600\ue000", "\u2028\u2029<>&", `"\/`, "\x01\x1f\x7f", "\ufeff", "host", "local", "hosts.x", "locals", "Host.x", strings.Repeat("long ", 1e5)} {
			b.KV(text, fmt.Sprint(i))
			b.KV(fmt.Sprint("value", i), text)
		}
	},
	"the node's own keys": func(b *testdata.Builder) {
		for _, key := range []string{"host.", "host.x", "local.", "local.x", "host.height.x"} {
			b.KV(key, "stays")
		}
	},
	"broken UTF-8": func(b *testdata.Builder) {
		for i, text := range []string{"\xff", "a\xff", "\xed\xa0\x80", "\xe2\x82", "\xf0\x9f\x98", strings.Repeat("\xff\x00", 5000), "host\xff.x"} {
			b.Exec("INSERT INTO kvStore VALUES (CAST(? AS TEXT), ?)", []byte(text), i)
			b.Exec("INSERT INTO kvStore VALUES (?, CAST(? AS TEXT))", fmt.Sprint("value", i), []byte(text))
		}
	},
	"keys that UTF-8 makes the same": func(b *testdata.Builder) {
		for i, key := range []string{"k\xff", "k\xfe", "k\xfd", "k\ufffd", "k\x80"} {
			b.Exec("INSERT INTO kvStore VALUES (CAST(? AS TEXT), ?)", []byte(key), i)
		}
	},
	"NULL over one of them": func(b *testdata.Builder) {
		b.Exec("INSERT INTO kvStore VALUES (CAST(x'6bfe' AS TEXT), 'v')")
		b.Exec("INSERT INTO kvStore VALUES (CAST(x'6bff' AS TEXT), NULL)")
	},
	"NULL value":    func(b *testdata.Builder) { b.KV("k", nil) },
	"BLOB value":    func(b *testdata.Builder) { b.KV("k", []byte("v")) },
	"empty BLOB":    func(b *testdata.Builder) { b.KV("k", []byte{}) },
	"NULL key":      func(b *testdata.Builder) { b.Exec("INSERT INTO kvStore VALUES (NULL,'v')") },
	"BLOB key":      func(b *testdata.Builder) { b.Exec("INSERT INTO kvStore VALUES (x'6b','v')") },
	"no height":     func(b *testdata.Builder) { b.Exec("DELETE FROM kvStore WHERE key='host.height'") },
	"height 1e3":    func(b *testdata.Builder) { b.KV("host.height", "1e3") },
	"height 1e21":   func(b *testdata.Builder) { b.KV("host.height", "1e21") },
	"height -0":     func(b *testdata.Builder) { b.KV("host.height", "-0") },
	"height 0.1":    func(b *testdata.Builder) { b.KV("host.height", " .1 ") },
	"height 1e999":  func(b *testdata.Builder) { b.KV("host.height", "1e999") },
	"height -1e999": func(b *testdata.Builder) { b.KV("host.height", "-1e999") },
	"height abc":    func(b *testdata.Builder) { b.KV("host.height", "abc") },
	"numbers as values": func(b *testdata.Builder) {
		b.Exec("DROP TABLE kvStore")
		b.Exec("CREATE TABLE kvStore (key TEXT, value, PRIMARY KEY (key))")
		b.KV("host.height", 77)
		b.KV("k", 5)
	},

	"no heaps in use": func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET inUse=NULL") },
	"gzip of several members": func(b *testdata.Builder) {
		setHeap(b, slices.Concat(testdata.Gzip([]byte("a ")), testdata.Gzip(nil), testdata.Gzip([]byte("heap"))))
	},
	"no sizes":               func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET uncompressedSize=NULL, compressedSize=NULL") },
	"wrong sizes":            func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET uncompressedSize=3, compressedSize=1e9") },
	"heap of no bytes":       func(b *testdata.Builder) { b.Heap("v2", 1, true, nil) },
	"gzip cut":               func(b *testdata.Builder) { setHeap(b, testdata.Gzip([]byte("a heap"))[:20]) },
	"gzip header cut":        func(b *testdata.Builder) { setHeap(b, testdata.Gzip([]byte("a heap"))[:7]) },
	"blob of no bytes":       func(b *testdata.Builder) { setHeap(b, []byte{}) },
	"no gzip":                func(b *testdata.Builder) { setHeap(b, []byte("a heap")) },
	"rubbish after the gzip": func(b *testdata.Builder) { setHeap(b, append(testdata.Gzip([]byte("a heap")), "rubbish"...)) },
	"another heap":           func(b *testdata.Builder) { setHeap(b, testdata.Gzip([]byte("another heap"))) },
	"heap pruned":            func(b *testdata.Builder) { setHeap(b, nil) },
	"old heap's hash":        func(b *testdata.Builder) { b.Exec("UPDATE snapshots SET hash='' WHERE snapPos=1") },
	"heap of no vat":         func(b *testdata.Builder) { b.Heap("v9", 3, true, []byte("x")) },
	"dot in a heap's vat ID": func(b *testdata.Builder) { b.Heap("v.9", 3, true, []byte("x")) },

	"white space after an item": func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "item \t") },
	"a BOM after an item":       func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "item\ufeff") },
	"an item of two lines":      func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "two\nlines") },
	"newline after an item":     func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "item\n", "b") },
	"an item of nothing":        func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "", "a", "") },
	"an item of broken UTF-8":   func(b *testdata.Builder) { oddItem(b, "CAST(x'61ff62' AS TEXT)", "a\ufffdb") },
	"an item of NULL":           func(b *testdata.Builder) { oddItem(b, "NULL", "null") },
	"an item of a BLOB":         func(b *testdata.Builder) { oddItem(b, "x'6162'", "ab") },
	"an empty span":             func(b *testdata.Builder) { b.Span("v3", 0, 0, true) },
	"an old empty span":         func(b *testdata.Builder) { b.Span("v3", 0, 0, false); b.Span("v3", 0+5, 0, true, "x") },
	"another item":              func(b *testdata.Builder) { b.Exec("UPDATE transcriptItems SET item='b!' WHERE item='b'") },
	"no hash":                   func(b *testdata.Builder) { b.Exec("UPDATE transcriptSpans SET hash=NULL WHERE vatID='v2'") },
	"hash as a BLOB": func(b *testdata.Builder) {
		b.Exec("UPDATE transcriptSpans SET hash=CAST(hash AS BLOB) WHERE vatID='v2'")
	},
	"upper-case hash":  func(b *testdata.Builder) { b.Exec("UPDATE transcriptSpans SET hash=upper(hash) WHERE vatID='v2'") },
	"NULL incarnation": func(b *testdata.Builder) { b.Exec("UPDATE transcriptSpans SET incarnation=NULL WHERE vatID='v2'") },
	"incarnations not in order": func(b *testdata.Builder) {
		b.Exec("UPDATE transcriptSpans SET incarnation=1 WHERE vatID='v1' AND startPos=0")
	},
	"a vat that was terminated": func(b *testdata.Builder) { b.Span("v3", 0, 0, false, "gone", "too") },
	"items of no span": func(b *testdata.Builder) {
		b.Exec("INSERT INTO transcriptItems VALUES ('v8',0,'lost',0), ('v1',99,'lost',0)")
	},
	"a middle item missing":     func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position=3") },
	"an old item missing":       func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position=1") },
	"the current items missing": func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position>=5") },
	"spans that leave a gap":    func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptSpans WHERE vatID='v1' AND startPos=2") },
	"spans that overlap":        func(b *testdata.Builder) { b.SpanRow("v1", 1, 4, 1, false, testdata.SpanHash("one", "load", "two")) },
	"a span that ends at NULL": func(b *testdata.Builder) {
		b.Exec("UPDATE transcriptSpans SET endPos=NULL WHERE vatID='v1' AND startPos=2")
	},
	"a span that ends before": func(b *testdata.Builder) {
		b.Exec("UPDATE transcriptSpans SET endPos=0 WHERE vatID='v1' AND startPos=2")
	},
	"dot in a vat ID":          func(b *testdata.Builder) { b.Span("v.3", 0, 0, true, "x") },
	"a vat ID of broken UTF-8": func(b *testdata.Builder) { b.Span("v\xff3", 0, 0, true, "x") },
	"items in no order":        func(b *testdata.Builder) { b.Exec("UPDATE transcriptItems SET rowid=1000-rowid") },
	"a large item":             func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "a", strings.Repeat("large ", 1<<19)+".", "b") },
	"10,000 items":             func(b *testdata.Builder) { b.Span("v3", 0, 0, true, slices.Repeat([]string{"an item"}, 10000)...) },
	"bundle pruned":            func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle=NULL") },
	"bundle of empty text":     func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle=''") },
	"another bundle":           func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle=replace(bundle,'source\"','other\"')") },
	"b0 with another order":    func(b *testdata.Builder) { textBundle(b, `{"source":"s","moduleFormat":"nestedEvaluate"}`) },
	"b0 that is a BLOB":        func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle=CAST(bundle AS BLOB)") },
	"a bundle of unknown kind": func(b *testdata.Builder) { b.Exec("INSERT INTO bundles VALUES ('b9-00', 'x')") },
	"b1 that is no zip": func(b *testdata.Builder) {
		b.Exec("INSERT INTO bundles VALUES (?, x'00')", "b1-"+strings.Repeat("0", 128))
	},
	"100 bundles": func(b *testdata.Builder) {
		for i := range 100 {
			b.B0(strings.Repeat("text ", i*100))
		}
	},
}

func deleteAll(b *testdata.Builder, tables ...string) {
	for _, table := range tables {
		b.Exec("DELETE FROM " + table)
	}
}

// setHeap changes the blob of the heap in use.
func setHeap(b *testdata.Builder, blob []byte) {
	var value any
	if blob != nil {
		value = blob
	}
	b.Exec("UPDATE snapshots SET compressedSnapshot=? WHERE snapPos=4", value)
}

// oddItem adds a vat whose one item is stored in another way than it is hashed.
func oddItem(b *testdata.Builder, stored, hashed string) {
	b.SpanRow("v3", 0, 1, 0, true, testdata.SpanHash(hashed))
	b.Exec("INSERT INTO transcriptItems VALUES ('v3',0," + stored + ",0)")
}

func textBundle(b *testdata.Builder, text string) {
	b.Exec("INSERT INTO bundles VALUES (?,?)", "b0-"+hexSum(text), text)
}

// Stores that are odd in any way give by a copy what they give by an export, which like the reference's verifies nothing, and an import: the
// same rows, or the same error.
func TestCopyOddities(t *testing.T) {
	t.Parallel()
	modes := []format.ArtifactMode{format.Operational, format.Replay, format.Archival, format.Debug}
	if testing.Short() {
		modes = modes[2:]
	}
	copied, failed := 0, 0
	for name, change := range copyOddities {
		b := goodStore(t)
		change(b)
		b.Close()
		before := dirContent(t, b.Dir)
		for _, mode := range modes {
			what := fmt.Sprintf("%s, %s", name, mode)
			want, wantErr := throughExport(t, b.Dir, mode)
			for _, reader := range []string{ReaderSweep, ReaderEngine} {
				to, sum, err := runCopy(t, CopyOptions{StateDir: b.Dir, ArtifactMode: mode, Reader: reader, Workers: 2})
				if wantErr != nil {
					failed++
					sameFailure(t, what, err, wantErr)
					nothingLeft(t, to)
					continue
				}
				if err != nil {
					t.Errorf("%s by %s: %v", what, reader, err)
					continue
				}
				copied++
				for _, diff := range testdata.CompareDumps(dump(t, to), want) {
					t.Errorf("%s by %s: %s", what, reader, diff)
				}
				if name == "nothing" {
					checkCopySummary(t, b.Dir, to, sum)
				}
			}
		}
		if after := dirContent(t, b.Dir); !slices.Equal(before, after) {
			t.Errorf("%s: the state directory changed: %q, before %q", name, after, before)
		}
	}
	t.Logf("%d copied, %d failed", copied, failed)
	if copied < len(modes)*len(copyOddities)/2 || failed < len(copyOddities)/2 {
		t.Errorf("%d copied, %d failed of %d stores", copied, failed, len(copyOddities))
	}
}

// throughExport is the dump of a store that went through an export and an import.
func throughExport(t *testing.T, state string, mode format.ArtifactMode) (text string, err error) {
	t.Helper()
	dir, _, err := runExport(t, ExportOptions{StateDir: state, ArtifactMode: mode, ExportDataMode: format.All, NoVerify: true})
	if err != nil {
		return "", err
	}
	o := ImportOptions{StateDir: t.TempDir(), ExportDir: dir}
	if _, err := Import(context.Background(), o); err != nil {
		return "", err
	}
	return dump(t, o.StateDir), nil
}

// bothRefuse are the stores in which the export and the import find something wrong: either may be first.
var bothRefuse = []string{"dot in a vat ID", "dot in a heap's vat ID", "a vat ID of broken UTF-8"}

// sameFailure compares errors but for what they begin with: the stage, and the page that a row is on.
func sameFailure(t *testing.T, what string, got, want error) {
	t.Helper()
	if got == nil {
		t.Errorf("%s: no error, expected %v", what, want)
		return
	}
	if name, _, _ := strings.Cut(what, ","); slices.Contains(bothRefuse, name) {
		return
	}
	var a, b *ArtifactError
	if errors.As(want, &b) {
		if !errors.As(got, &a) || a.Name != b.Name {
			t.Errorf("%s: error %v, expected %v", what, got, want)
			return
		}
		if strings.Contains(b.Err.Error(), "gzip") && strings.Contains(a.Err.Error(), "gzip") {
			return // the export unpacks it, the copy does on the other side
		}
		got, want = a.Err, b.Err
	}
	var in, is *IncompleteError
	if errors.As(want, &is) && (!errors.As(got, &in) || in.Possible != is.Possible) {
		t.Errorf("%s: error %v, expected %v", what, got, want)
	}
	if text := want.Error(); !strings.HasSuffix(got.Error(), text[strings.LastIndex(text, ": ")+1:]) {
		t.Errorf("%s: error %v, expected %v", what, got, want)
	}
}

// The layout of the source does not show in the copy, nor does the number of workers.
func TestCopySameBytes(t *testing.T) {
	t.Parallel()
	var want []byte
	for _, pragma := range []string{"page_size=4096", "encoding='UTF-16le'", "page_size=512", "page_size=65536", "auto_vacuum=FULL", "journal_mode=WAL"} {
		b := goodStore(t, pragma)
		for i := range 3000 {
			b.KV(fmt.Sprintf("v1.vs.%d", i), strings.Repeat("x", i%500))
		}
		b.Close()
		for _, workers := range []int{1, 2, 8} {
			to, _, err := runCopy(t, CopyOptions{StateDir: b.Dir, Workers: workers})
			if err != nil {
				t.Fatalf("%s: %v", pragma, err)
			}
			got, err := os.ReadFile(filepath.Join(to, stages.StoreFile))
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s, %d workers: another database", pragma, workers)
			}
		}
	}
}

// A heap is stored as it was, byte for byte.
func TestCopyStoredGzip(t *testing.T) {
	heap := strings.Repeat("a heap of some length. ", 4000)
	b := testdata.Build(t)
	stored := packed(heap[:100]) + packed(heap[100:])
	b.HeapBlob("v1", 4, true, []byte(heap), []byte(stored))
	b.Close()
	to, sum, err := runCopy(t, CopyOptions{StateDir: b.Dir, ArtifactMode: format.Operational})
	if err != nil {
		t.Fatal(err)
	}
	if got := blobOf(t, to); got != stored {
		t.Errorf("%d other bytes than the %d of the source", len(got), len(stored))
	}
	if text := dump(t, to); !strings.Contains(text, fmt.Sprintf("integer:%d right gunzip:%d:%s", len(heap), len(heap), hexSum(heap))) || sum.Snapshots != 1 {
		t.Errorf("%+v:\n%s", sum, text)
	}
}

func TestCopyOptionErrors(t *testing.T) {
	b := goodStore(t)
	b.Close()
	empty := t.TempDir()
	for text, o := range map[string]CopyOptions{
		`Cannot import "export data" without at least "operational" artifacts`: {ArtifactMode: format.None},
		`Invalid value "most" for "artifact-mode"`:                             {ArtifactMode: "most"},
		`unknown reader "eyes"`:                                                {Reader: "eyes"},
		"temporary files":                                                      {TempDir: filepath.Join(empty, "missing")},
		"DB at unexpected block height 77 (expected 78)":                       {CheckBlockHeight: height(78)},
		"there is no " + filepath.Join(empty, stages.StoreFile):                {StateDir: empty},
		"there is no directory":                                                {StateDir: filepath.Join(empty, "missing")},
	} {
		if o.StateDir == "" {
			o.StateDir = b.Dir
		}
		to, _, err := runCopy(t, o)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %s", err, text)
		}
		nothingLeft(t, to)
	}
	if _, _, err := runCopy(t, CopyOptions{StateDir: b.Dir, CheckBlockHeight: height(77)}); err != nil {
		t.Error(err)
	}
}

// What is larger than an import takes is larger than a copy takes.
func TestCopyMaxItem(t *testing.T) {
	for name, change := range map[string]func(b *testdata.Builder){
		"item":   func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "a", strings.Repeat("x", 2000)) },
		"value":  func(b *testdata.Builder) { b.KV("k", strings.Repeat("x", 2000)) },
		"bundle": func(b *testdata.Builder) { b.B0(strings.Repeat("x", 2000)) },
	} {
		b := goodStore(t)
		change(b)
		b.Close()
		for max, fails := range map[int64]bool{1000: true, 3000: false} {
			dir, _, err := runExport(t, ExportOptions{StateDir: b.Dir, ArtifactMode: format.Archival, ExportDataMode: format.All})
			if err != nil {
				t.Fatal(err)
			}
			_, want := Import(context.Background(), ImportOptions{StateDir: t.TempDir(), ExportDir: dir, MaxItem: max})
			to, _, err := runCopy(t, CopyOptions{StateDir: b.Dir, MaxItem: max})
			if fails != (want != nil) || fails != (err != nil) {
				t.Errorf("%s, at most %d: error %v, of the import %v", name, max, err, want)
			}
			if fails {
				sameFailure(t, name, err, want)
				nothingLeft(t, to)
			}
		}
	}
}
