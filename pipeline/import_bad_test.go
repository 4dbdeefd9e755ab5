package pipeline

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
	"swingport/stages"
)

// badImports are exports with one defect each, and the error.
var badImports = []struct {
	defect string
	spoil  func(t *testing.T, x *madeExport)
	after  func(t *testing.T, dir string) // once it is written
	o      ImportOptions
	text   string // of the error, a part
	is     error
}{
	{defect: "directory missing", after: func(t *testing.T, dir string) { remove(t, dir) }, text: "no such file", is: fs.ErrNotExist},
	{defect: "manifest missing", after: func(t *testing.T, dir string) { remove(t, dir, format.ManifestFile) }, text: "export-manifest.json", is: fs.ErrNotExist},
	{defect: "manifest empty", after: func(t *testing.T, dir string) { put(t, filepath.Join(dir, format.ManifestFile), "") }, text: "the export did not finish", is: format.ErrIncomplete},
	{defect: "manifest cut", after: func(t *testing.T, dir string) { cut(t, dir, format.ManifestFile) }, text: "export-manifest.json", is: io.ErrUnexpectedEOF},
	{defect: "manifest without data", after: func(t *testing.T, dir string) {
		put(t, filepath.Join(dir, format.ManifestFile), `{"blockHeight":1,"artifacts":[["a","b"]]}`)
	}, text: "State-sync manifest missing export data", is: ErrNoExportData},
	{defect: "height is no number", spoil: func(t *testing.T, x *madeExport) { x.height = `"1000"` }, text: "Cannot restore snapshot without block height"},
	{defect: "other height expected", o: ImportOptions{CheckBlockHeight: height(999)}, text: "State-sync manifest for unexpected block height 1000 (expected 999)"},
	{defect: "height zero expected", o: ImportOptions{CheckBlockHeight: height(0)}, text: "unexpected block height 1000 (expected 0)"},
	{defect: "mode too low", spoil: func(t *testing.T, x *madeExport) { x.mode = `"operational"` }, o: ImportOptions{ArtifactMode: "archival"},
		text: `requested import artifact mode: "archival", manifest has "operational" artifacts`, is: format.ErrMode},
	{defect: "mode none", o: ImportOptions{ArtifactMode: "none"}, text: `Cannot import "export data" without at least "operational" artifacts`},
	{defect: "mode unknown", o: ImportOptions{ArtifactMode: "all"}, text: `Invalid value "all" for "artifact-mode"`},
	{defect: "export data skip", o: ImportOptions{ExportDataMode: "skip"}, text: "Repopulation of artifacts not yet supported"},
	{defect: "artifact missing", after: func(t *testing.T, dir string) { remove(t, dir, spanTwo) }, text: spanTwo, is: fs.ErrNotExist},
	{defect: "export data missing", after: func(t *testing.T, dir string) { remove(t, dir, format.ExportDataFile) }, text: format.ExportDataFile, is: fs.ErrNotExist},
	{defect: "byte of span flipped", spoil: func(t *testing.T, x *madeExport) { x.artifacts[spanOne] = "one\ntwO\nthree\n" },
		text: "artifact transcript.v1.0.3 hash is", is: format.ErrHashMismatch},
	{defect: "byte of heap flipped", spoil: func(t *testing.T, x *madeExport) { x.artifacts[heapOne] = "A" + x.artifacts[heapOne][1:] },
		text: `snapshot "snapshot.v1.2" hash is`, is: format.ErrHashMismatch},
	{defect: "byte of bundle flipped", spoil: func(t *testing.T, x *madeExport) {
		x.artifacts[bundleOne] = strings.Replace(otherDoc, "\"x\"", "\"z\"", 1)
	}, text: "does not match bundle artifact", is: format.ErrHashMismatch},
	{defect: "span without its last item", spoil: func(t *testing.T, x *madeExport) { x.artifacts[spanOne] = "one\ntwo\n" },
		text: "artifact transcript.v1.0.3 is not complete", is: format.ErrIncomplete},
	{defect: "span with one item more", spoil: func(t *testing.T, x *madeExport) { x.artifacts[spanOne] += "more\n" }, text: "artifact transcript.v1.0.3 is not complete"},
	{defect: "span empty", spoil: func(t *testing.T, x *madeExport) { x.artifacts[spanOne] = "" }, text: "artifact transcript.v1.0.3 is not complete"},
	{defect: "hash in the export data changed", spoil: func(t *testing.T, x *madeExport) {
		x.replaceData(t, spanHash("one", "two", "three"), spanHash("one"))
	}, text: `metadata says "` + spanHash("one") + `"`, is: format.ErrHashMismatch},
	{defect: "end in the export data changed", spoil: func(t *testing.T, x *madeExport) { x.replaceData(t, `\"endPos\":3`, `\"endPos\":4`) },
		text: "artifact transcript.v1.0.3: Expected 4 is same as 3"},
	{defect: "start in the export data changed", spoil: func(t *testing.T, x *madeExport) { x.replaceData(t, `\"startPos\":0`, `\"startPos\":1`) },
		text: `transcript key "transcript.v1.0" mismatches metadata`, is: format.ErrMismatch},
	{defect: "span without metadata", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, `["transcript.v1.0",null]`) },
		text: "no metadata for transcript span transcript.v1.0.3"},
	{defect: "span without metadata that nobody wants", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, `["transcript.v1.0",null]`) },
		o: ImportOptions{ArtifactMode: "operational"}, text: "no metadata for transcript span transcript.v1.0.3"},
	{defect: "snapshot without metadata", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, `["snapshot.v1.2",null]`) },
		text: "no metadata for snapshot snapshot.v1.2"},
	{defect: "bundle without metadata", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, `["`+bundleOne+`",null]`) }, text: "missing b0-"},
	{defect: "bundle not among the artifacts", spoil: func(t *testing.T, x *madeExport) { delete(x.artifacts, bundleOne) }, text: "missing bundles for: b0-", is: format.ErrIncomplete},
	{defect: "span not among the artifacts", spoil: func(t *testing.T, x *madeExport) { delete(x.artifacts, spanOne) },
		text: "incomplete archival transcript: 2 vs 5", is: format.ErrIncomplete},
	{defect: "span of the incarnation not among the artifacts", spoil: func(t *testing.T, x *madeExport) { delete(x.artifacts, spanOne) },
		o: ImportOptions{ArtifactMode: "replay"}, text: "incomplete current incarnation transcript: 2 items"},
	{defect: "current span not among the artifacts", spoil: func(t *testing.T, x *madeExport) { delete(x.artifacts, spanTwo) },
		o: ImportOptions{ArtifactMode: "debug"}, text: "incomplete current transcript span: 0 items"},
	{defect: "heap not among the artifacts", spoil: func(t *testing.T, x *madeExport) { delete(x.artifacts, heapOne) },
		text: "current snapshots are pruned for vats v1", is: format.ErrIncomplete},
	{defect: "two current spans", spoil: func(t *testing.T, x *madeExport) {
		x.data = append(x.data, line("transcript.v1.5.current", `{"vatID":"v1","startPos":5,"endPos":5,"hash":"x","isCurrent":1,"incarnation":0}`))
	}, text: "UNIQUE constraint failed: transcriptSpans.vatID, transcriptSpans.isCurrent", is: format.ErrDuplicate},
	{defect: "two snapshots in use", spoil: func(t *testing.T, x *madeExport) {
		x.data = append(x.data, line("snapshot.v1.4", `{"vatID":"v1","snapPos":4,"hash":"x","inUse":1}`))
	}, text: "UNIQUE constraint failed: snapshots.vatID, snapshots.inUse", is: format.ErrDuplicate},
	{defect: "one span under two keys", spoil: func(t *testing.T, x *madeExport) {
		x.data = append(x.data, line("transcript.v1.0x0", `{"vatID":"v1","startPos":0,"endPos":3,"hash":"x","isCurrent":0,"incarnation":0}`))
	}, text: "UNIQUE constraint failed: transcriptSpans.vatID, transcriptSpans.startPos", is: format.ErrDuplicate},
	{defect: "overlapping spans", spoil: func(t *testing.T, x *madeExport) {
		x.data = append(x.data, line("transcript.v1.2", `{"vatID":"v1","startPos":2,"endPos":3,"hash":"`+spanHash("three")+`","isCurrent":0,"incarnation":0}`))
		x.artifacts["transcript.v1.2.3"] = "three\n"
	}, text: "UNIQUE constraint failed: transcriptItems.vatID, transcriptItems.position", is: format.ErrDuplicate},
	{defect: "host key", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, line("kv.host.height", "1")) }, text: "kernelKVStore refuses host keys"},
	{defect: "host key deleted", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, `["kv.host.height",null]`) }, text: "kernelKVStore refuses host keys"},
	{defect: "value is a number", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, `["kv.a",1]`) }, text: "value must be a string"},
	{defect: "blank line", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, "") }, text: "export data"},
	{defect: "line cut", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, `["kv.a","b`) }, text: "export data"},
	{defect: "unknown tag", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, line("vat.v1", "x")) }, text: `unknown export-data type "vat" on import`},
	{defect: "unknown artifact", spoil: func(t *testing.T, x *madeExport) { x.artifacts["heap.v1.5"] = "x" }, text: `unknown artifact type "heap" on import`},
	{defect: "artifact name of three parts", spoil: func(t *testing.T, x *madeExport) { x.artifacts["transcript.v1.5"] = "x" },
		text: "expected artifact name of the form 'transcript.{vatID}.{startPos}.{endPos}'"},
	{defect: "unknown bundle", spoil: func(t *testing.T, x *madeExport) {
		x.artifacts["bundle.b9-1"] = "x"
		x.data = append(x.data, line("bundle.b9-1", "b9-1"))
	}, text: `unsupported BundleID "b9-1"`},
	{defect: "path up", spoil: func(t *testing.T, x *madeExport) { x.files[spanOne] = "../" + spanOne }, text: `Exported file "../transcript.v1.0.3" must be in export dir`},
	{defect: "path absolute", spoil: func(t *testing.T, x *madeExport) { x.files[spanOne] = "/etc/passwd" }, text: `Exported file "/etc/passwd" must be in export dir`},
	{defect: "path up and down", spoil: func(t *testing.T, x *madeExport) { x.files[spanOne] = "x/../../y" }, text: "must be in export dir"},
	{defect: "two artifacts in one file", spoil: func(t *testing.T, x *madeExport) { x.files[spanOne] = spanTwo }, text: "duplicate file", is: format.ErrDuplicate},
	{defect: "artifact is a link", after: func(t *testing.T, dir string) { link(t, dir, spanOne, filepath.Join(dir, "elsewhere")) },
		text: `file "transcript.v1.0.3" is a symbolic link`},
	{defect: "export data is a link", after: func(t *testing.T, dir string) { link(t, dir, format.ExportDataFile, filepath.Join(dir, "elsewhere")) }, text: "is a symbolic link"},
	{defect: "folder of an artifact is a link out of the directory", spoil: func(t *testing.T, x *madeExport) { x.files[spanOne] = "sub/one" },
		after: func(t *testing.T, dir string) { link(t, dir, "sub", t.TempDir()+"/sub") },
		text:  `file "sub/one" is behind "sub", which is a symbolic link`},
	{defect: "folder of an artifact is a link inside the directory", spoil: func(t *testing.T, x *madeExport) { x.files[spanOne] = "sub/deep/one" },
		after: func(t *testing.T, dir string) {
			link(t, filepath.Join(dir, "sub"), "deep", filepath.Join(dir, "elsewhere"))
		},
		text: `file "sub/deep/one" is behind "sub/deep", which is a symbolic link`},
	{defect: "artifact is a directory", after: func(t *testing.T, dir string) {
		remove(t, dir, spanOne)
		if err := os.Mkdir(filepath.Join(dir, spanOne), 0o755); err != nil {
			t.Fatal(err)
		}
	}, text: "is a directory, not a regular file"},
	{defect: "checksum of an artifact", spoil: withChecksums, after: func(t *testing.T, dir string) { flip(t, dir, spanTwo) }, text: spanTwo, is: format.ErrHashMismatch},
	{defect: "checksum of the export data", spoil: withChecksums, after: func(t *testing.T, dir string) { flip(t, dir, format.ExportDataFile) },
		text: `file "export-data.jsonl": sha256 is`, is: format.ErrHashMismatch},
	{defect: "checksum of the manifest", spoil: withChecksums, after: func(t *testing.T, dir string) {
		put(t, filepath.Join(dir, format.ManifestFile), readText(t, dir, format.ManifestFile)+" ")
	}, text: `file "export-manifest.json": sha256 is`, is: format.ErrHashMismatch},
	{defect: "checksums without an artifact", spoil: withChecksums, after: func(t *testing.T, dir string) { dropSum(t, dir, spanTwo) },
		text: `file "transcript.v1.3.5" is not in SHA256SUMS`, is: format.ErrIncomplete},
	{defect: "checksums without the manifest", spoil: withChecksums, after: func(t *testing.T, dir string) { dropSum(t, dir, format.ManifestFile) },
		text: "is not in SHA256SUMS"},
	{defect: "checksums malformed", spoil: withChecksums, after: func(t *testing.T, dir string) {
		put(t, filepath.Join(dir, format.ChecksumsFile), readText(t, dir, format.ChecksumsFile)+"abc  x\n")
	}, text: "SHA256SUMS line 7 is not a checksum and a file name", is: format.ErrFormat},
	{defect: "checksums empty", after: func(t *testing.T, dir string) { put(t, filepath.Join(dir, format.ChecksumsFile), "") }, text: "SHA256SUMS is empty"},
}

func withChecksums(_ *testing.T, x *madeExport) { x.checksums = true }

func remove(t *testing.T, path ...string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(path...)); err != nil {
		t.Fatal(err)
	}
}

func readText(t *testing.T, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func cut(t *testing.T, dir, name string) {
	text := readText(t, dir, name)
	put(t, filepath.Join(dir, name), text[:len(text)/2])
}

// flip flips a bit in the middle of a file such that it stays text.
func flip(t *testing.T, dir, name string) {
	b := []byte(readText(t, dir, name))
	b[len(b)/2] ^= 1
	put(t, filepath.Join(dir, name), string(b))
}

// link moves a file away and puts a symbolic link in its place.
func link(t *testing.T, dir, name, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(dir, name), to); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func dropSum(t *testing.T, dir, name string) {
	t.Helper()
	var kept []string
	for _, l := range strings.SplitAfter(readText(t, dir, format.ChecksumsFile), "\n") {
		if !strings.HasSuffix(l, "  "+name+"\n") {
			kept = append(kept, l)
		}
	}
	put(t, filepath.Join(dir, format.ChecksumsFile), strings.Join(kept, ""))
}

func TestImportBadInput(t *testing.T) {
	t.Parallel()
	for _, c := range badImports {
		t.Run(c.defect, func(t *testing.T) {
			x := handMade()
			if c.spoil != nil {
				c.spoil(t, x)
			}
			o := c.o
			o.ExportDir, o.StateDir = x.write(t), oldStore(t)
			if c.after != nil {
				c.after(t, o.ExportDir)
			}
			before := content(t, o.StateDir)
			_, err := Import(context.Background(), o)
			if err == nil {
				t.Fatal("imported")
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q lacks %q", err, c.text)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %q is no %q", err, c.is)
			}
			same(t, o.StateDir, before)
		})
	}
}

// What is unusual and right.
func TestImportOddInput(t *testing.T) {
	for _, c := range []struct {
		oddity string
		spoil  func(t *testing.T, x *madeExport)
		after  func(t *testing.T, dir string)
	}{
		{oddity: "none"},
		{oddity: "checksums", spoil: withChecksums},
		{oddity: "checksums of files that nobody reads", spoil: withChecksums, after: func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, format.ChecksumsFile), readText(t, dir, format.ChecksumsFile)+hexSum("")+" *README\n")
		}},
		{oddity: "no mode", spoil: func(t *testing.T, x *madeExport) { x.mode = "" }},
		{oddity: "other file names", spoil: func(t *testing.T, x *madeExport) { x.files[spanOne], x.files[heapOne] = "0-span", "sub/heap" }},
		{oddity: "lines in reverse order", spoil: func(t *testing.T, x *madeExport) {
			for i, j := 0, len(x.data)-1; i < j; i, j = i+1, j-1 {
				x.data[i], x.data[j] = x.data[j], x.data[i]
			}
		}},
		{oddity: "record deleted and set again", spoil: func(t *testing.T, x *madeExport) {
			rec := x.data[len(x.data)-2]
			x.data = append(x.data, `["transcript.v1.current",null]`, rec)
		}},
		{oddity: "bad record replaced", spoil: func(t *testing.T, x *madeExport) {
			x.data = append([]string{line("transcript.v1.0", `{"vatID":"v9"}`), line("bundle.x", "y"), `["bundle.x"]`}, x.data...)
		}},
		{oddity: "unknown tag deleted", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, `["vat.v1",null]`) }},
		{oddity: "key set twice and deleted once", spoil: func(t *testing.T, x *madeExport) {
			x.data = append([]string{line("kv.key00", "first"), line("kv.gone", "x"), `["kv.gone"]`}, x.data...)
		}},
	} {
		t.Run(c.oddity, func(t *testing.T) {
			x, plain := handMade(), handMade()
			if c.spoil != nil {
				c.spoil(t, x)
			}
			o := ImportOptions{StateDir: t.TempDir(), ExportDir: x.write(t), ArtifactMode: "archival"}
			if c.after != nil {
				c.after(t, o.ExportDir)
			}
			if _, err := Import(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			want := ImportOptions{StateDir: t.TempDir(), ExportDir: plain.write(t)}
			if _, err := Import(context.Background(), want); err != nil {
				t.Fatal(err)
			}
			if dump(t, o.StateDir) != dump(t, want.StateDir) {
				t.Error("the stores differ")
			}
		})
	}
}

// A mode that would be possible is named.
func TestImportIncomplete(t *testing.T) {
	x := handMade()
	delete(x.artifacts, spanOne)
	_, err := Import(context.Background(), ImportOptions{StateDir: t.TempDir(), ExportDir: x.write(t)})
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) {
		t.Fatalf("error %v", err)
	}
	if incomplete.Possible != format.Operational || len(incomplete.Lacks) != 1 || incomplete.Lacks[0] != "v1 lacks items 0..3" {
		t.Errorf("%+v", incomplete)
	}
}

// A state directory that import made goes away again, with those above it.
func TestImportRemovesDirectories(t *testing.T) {
	x := handMade()
	x.artifacts[spanOne] = "other\n"
	top := t.TempDir()
	if _, err := Import(context.Background(), ImportOptions{StateDir: filepath.Join(top, "a", "b"), ExportDir: x.write(t)}); err == nil {
		t.Fatal("imported")
	}
	if left := names(t, top); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if _, err := os.Stat(filepath.Join(top, "a", "b", stages.StoreFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
