package pipeline

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// The reference's exports have no defect, as directories and as archives.
func TestVerifyExports(t *testing.T) {
	for _, store := range testdata.Stores {
		for _, mode := range testdata.Modes {
			for _, data := range []string{"all", "skip"} {
				dir, _ := testdata.Export(t, store, mode, data)
				if dir == "" {
					continue // the reference refuses that
				}
				r, defects := verified(t, VerifyOptions{ExportDir: dir})
				if len(defects) > 0 {
					t.Errorf("%s %s %s:\n%s", store, mode, data, strings.Join(defects, "\n"))
				}
				if r.Kind != KindExportDir || r.ArtifactMode != mode || r.ExportData != (data == "all") || (mode != "none") != (r.Spans > 0 && r.Bundles > 0) {
					t.Errorf("%s %s %s: %+v", store, mode, data, r)
				}
				if data == "skip" {
					continue
				}
				for _, o := range []testdata.ArchiveOptions{{}, {Zstd: true}, {Gzip: true}, {NoExportData: true}} {
					packed, _ := testdata.Archive(t, dir, o)
					of, defects := verified(t, VerifyOptions{Archive: "-", Stdin: bytes.NewReader(packed)})
					if len(defects) > 0 {
						t.Errorf("%s %s %+v:\n%s", store, mode, o, strings.Join(defects, "\n"))
					}
					if of.Kind != KindArchive || of.ArtifactMode != mode || of.ExportData == o.NoExportData ||
						of.Snapshots != r.Snapshots || of.Spans != r.Spans || of.Bundles != r.Bundles || of.Items != r.Items || of.KVRows != r.KVRows && !o.NoExportData {
						t.Errorf("%s %s %+v: %+v, the directory: %+v", store, mode, o, of, r)
					}
				}
			}
		}
	}
}

// Whatever import refuses has a defect, or cannot be opened.
func TestVerifyBadImports(t *testing.T) {
	onlyImport := []string{"other height expected", "height zero expected", "mode none", "export data skip"} // these are asked for, not wrong
	for _, c := range badImports {
		x := handMade()
		if c.spoil != nil {
			c.spoil(t, x)
		}
		dir := x.write(t)
		if c.after != nil {
			c.after(t, dir)
		}
		r, err := Verify(context.Background(), VerifyOptions{ExportDir: dir, ArtifactMode: c.o.ArtifactMode})
		if good := err == nil && r.DefectCount == 0; good != slices.Contains(onlyImport, c.defect) {
			t.Errorf("%s: %+v, %v", c.defect, r, err)
		}
	}
}

// A directory with one thing wrong has the one defect that says so, DIR standing for its path.
func TestVerifyDirDefects(t *testing.T) {
	heap := handMade().artifacts[heapOne]
	bundleID := strings.TrimPrefix(bundleOne, "bundle.")
	for _, c := range []struct {
		defect string
		spoil  func(x *madeExport)
		after  func(dir string)
		o      VerifyOptions
		want   []string
	}{
		{defect: "nothing", want: nil},
		{defect: "byte of a span", spoil: func(x *madeExport) { x.artifacts[spanOne] = "one\ntwO\nthree\n" }, want: []string{
			`transcript.v1.0.3: artifact transcript.v1.0.3 hash is "` + spanHash("one", "twO", "three") + `", metadata says "` + spanHash("one", "two", "three") + `"`}},
		{defect: "byte of a heap", spoil: func(x *madeExport) { x.artifacts[heapOne] = "A" + heap[1:] }, want: []string{
			`snapshot.v1.2: snapshot "snapshot.v1.2" hash is "` + hexSum("A"+heap[1:]) + `", metadata says "` + hexSum(heap) + `"`}},
		{defect: "byte of a bundle", spoil: func(x *madeExport) { x.artifacts[bundleOne] = strings.Replace(otherDoc, "\"x\"", "\"z\"", 1) }, want: []string{
			bundleOne + `: bundleID "` + bundleID + `" does not match bundle artifact`}},
		{defect: "span too short", spoil: func(x *madeExport) { x.artifacts[spanOne] = "one\n" }, want: []string{"transcript.v1.0.3: artifact transcript.v1.0.3 is not complete"}},
		{defect: "file missing", after: func(dir string) { os.Remove(filepath.Join(dir, spanTwo)) }, want: []string{
			"transcript.v1.3.5: open DIR/transcript.v1.3.5: no such file or directory"}},
		{defect: "artifact not in the manifest", spoil: func(x *madeExport) { delete(x.artifacts, spanOne) }, want: []string{
			"transcript.v1.0.3: missing, and artifact mode archival needs it"}},
		{defect: "heap not in the manifest", spoil: func(x *madeExport) { delete(x.artifacts, heapOne) }, want: []string{
			"snapshot.v1.2: missing, and artifact mode archival needs it"}},
		{defect: "bundle not in the manifest", spoil: func(x *madeExport) { delete(x.artifacts, bundleOne) }, want: []string{
			bundleOne + ": missing, and artifact mode archival needs it"}},
		{defect: "old span not in the manifest, and not needed", spoil: func(x *madeExport) { delete(x.artifacts, spanOne) }, o: VerifyOptions{ArtifactMode: "operational"}},
		{defect: "file left over", after: func(dir string) { os.WriteFile(filepath.Join(dir, "transcript.v9.0.1"), nil, 0o644) }, want: []string{
			"transcript.v9.0.1: left over: the manifest does not name this file"}},
		{defect: "packed heap left over", after: func(dir string) { os.WriteFile(filepath.Join(dir, "snapshot.v9.0.gz"), nil, 0o644) }, want: []string{
			"snapshot.v9.0.gz: left over: the manifest does not name this file"}},
		{defect: "file of the Go side left over", after: func(dir string) { os.WriteFile(filepath.Join(dir, "12-snapshot-v1-5"), nil, 0o644) }, want: []string{
			"12-snapshot-v1-5: left over: the manifest does not name this file"}},
		{defect: "a file of another kind", after: func(dir string) { os.WriteFile(filepath.Join(dir, "README.txt"), nil, 0o644) }},
		{defect: "artifact without a record", spoil: func(x *madeExport) { x.artifacts["transcript.v2.0.1"] = "x\n" }, want: []string{
			"transcript.v2.0.1: no metadata for transcript span transcript.v2.0.1"}},
		{defect: "artifact of no kind", spoil: func(x *madeExport) { x.artifacts["heap.v1.5"] = "x" }, want: []string{`heap.v1.5: unknown artifact type "heap" on import`}},
		{defect: "gap between spans", spoil: func(x *madeExport) {
			x.data = append(x.data, line("transcript.v1.current", `{"vatID":"v1","startPos":4,"endPos":5,"hash":"`+spanHash("five")+`","isCurrent":1,"incarnation":0}`))
			delete(x.artifacts, spanTwo)
			x.artifacts["transcript.v1.4.5"] = "five\n"
		}, want: []string{"transcript.v1.4.5: the span before it ends at 3: the spans of vat v1 do not follow one another"}},
		{defect: "first spans without a record", spoil: func(x *madeExport) {
			x.data = append(x.data, `["transcript.v1.0",null]`)
			delete(x.artifacts, spanOne)
		}, want: []string{"v1 lacks items 0..3"}},
		{defect: "end of a span in its record", spoil: func(x *madeExport) {
			x.data = append(x.data, line("transcript.v1.current", `{"vatID":"v1","startPos":3,"endPos":6,"hash":"`+spanHash("four", "five")+`","isCurrent":1,"incarnation":0}`))
		}, want: []string{"transcript.v1.3.5: artifact transcript.v1.3.5: Expected 6 is same as 5 (metadata and name: where the span ends)"}},
		{defect: "current span is not the last", spoil: func(x *madeExport) {
			x.data = append(x.data, `["transcript.v1.0",null]`, `["transcript.v1.current",null]`,
				line("transcript.v1.current", `{"vatID":"v1","startPos":0,"endPos":3,"hash":"`+spanHash("one", "two", "three")+`","isCurrent":1,"incarnation":0}`),
				line("transcript.v1.3", `{"vatID":"v1","startPos":3,"endPos":5,"hash":"`+spanHash("four", "five")+`","isCurrent":0,"incarnation":0}`))
		}, want: []string{"transcript.v1.0.3: it is current, and not the last span of vat v1"}},
		{defect: "incarnation goes back", spoil: func(x *madeExport) {
			x.data = append(x.data, line("transcript.v1.0", `{"vatID":"v1","startPos":0,"endPos":3,"hash":"`+spanHash("one", "two", "three")+`","isCurrent":0,"incarnation":2}`))
		}, want: []string{"transcript.v1.3.5: it is of incarnation 0, the span before it of incarnation 2"}},
		{defect: "snapshot in use without its line", spoil: func(x *madeExport) { x.data = append(x.data, `["snapshot.v1.current",null]`) }, want: []string{
			"snapshot.v1.current is missing, and snapshot.v1.2 is in use"}},
		{defect: "line of another snapshot", spoil: func(x *madeExport) { x.data = append(x.data, line("snapshot.v1.current", "snapshot.v1.4")) }, want: []string{
			`snapshot.v1.current names "snapshot.v1.4", and snapshot.v1.2 is in use`}},
		{defect: "line of no snapshot", spoil: func(x *madeExport) { x.data = append(x.data, line("snapshot.v7.current", "snapshot.v7.4")) }, want: []string{
			`snapshot.v7.current names "snapshot.v7.4", and no snapshot of vat v7 is in use`}},
		{defect: "two snapshots in use", spoil: func(x *madeExport) {
			x.data = append(x.data, line("snapshot.v1.4", `{"vatID":"v1","snapPos":4,"hash":"`+hexSum("other")+`","inUse":1}`))
			x.artifacts["snapshot.v1.4"] = "other"
		}, want: []string{"vat v1 has 2 snapshots in use: snapshot.v1.2, snapshot.v1.4"}},
		{defect: "key of another snapshot", spoil: func(x *madeExport) {
			x.data = append(x.data, line("snapshot.v1.4", `{"vatID":"v1","snapPos":3,"hash":"x","inUse":0}`))
		}, want: []string{`export data "snapshot.v1.4": Expected 4 is same as 3`}},
		{defect: "record that is none", spoil: func(x *madeExport) { x.data = append(x.data, line("snapshot.v3.1", `{"vatID":"v3"}`)) }, want: []string{
			`export data "snapshot.v3.1": snapshot metadata missing snapPos: {"vatID":"v3"}`}},
		{defect: "two lines that are none", spoil: func(x *madeExport) { x.data = append(x.data, `["kv.a",1]`, `["kv.b"`) }, want: []string{
			"export data line is not JSON: unexpected end of JSON input", `value must be a string, export data key "kv.a"`}},
		{defect: "unknown record", spoil: func(x *madeExport) { x.data = append(x.data, line("vat.v1", "x")) }, want: []string{`export data "vat.v1": unknown export-data type "vat" on import`}},
		{defect: "key of the host", spoil: func(x *madeExport) { x.data = append(x.data, line("kv.host.height", "1")) }, want: []string{
			`export data key "kv.host.height": kernelKVStore refuses host keys`}},
		{defect: "no height", spoil: func(x *madeExport) { x.height = "null" }, want: []string{"the manifest has no block height"}},
		{defect: "mode unknown", spoil: func(x *madeExport) { x.mode = `"all"` }, want: []string{`the manifest: Invalid value "all" for "artifact-mode"`}},
		{defect: "mode too low", spoil: func(x *madeExport) { x.mode = `"operational"` }, o: VerifyOptions{ArtifactMode: "archival"}, want: []string{
			`State-sync manifest has insufficient artifacts: requested import artifact mode: "archival", manifest has "operational" artifacts`}},
		{defect: "manifest empty", after: func(dir string) { os.Truncate(filepath.Join(dir, format.ManifestFile), 0) }, want: []string{
			"DIR/export-manifest.json: empty manifest: the export did not finish: reading ended here"}},
		{defect: "manifest cut", after: func(dir string) { os.Truncate(filepath.Join(dir, format.ManifestFile), 50) }, want: []string{
			"DIR/export-manifest.json: manifest: unexpected EOF: reading ended here"}},
		{defect: "export data missing", after: func(dir string) { os.Remove(filepath.Join(dir, format.ExportDataFile)) }, want: []string{
			"export-data.jsonl: open DIR/export-data.jsonl: no such file or directory: reading ended here"}},
		{defect: "checksum of an artifact", spoil: summed, after: resum(spanTwo), want: []string{
			`transcript.v1.3.5: file "transcript.v1.3.5": sha256 is ` + hexSum("four\nfive\n") + `, SHA256SUMS says ` + hexSum("x")}},
		{defect: "checksum of the export data", spoil: summed, after: resum(format.ExportDataFile), want: []string{
			`export-data.jsonl: file "export-data.jsonl": sha256 is ` + hexSum(strings.Join(handMade().data, "\n")+"\n") + `, SHA256SUMS says ` + hexSum("x")}},
		{defect: "checksum of the manifest, and a heap", spoil: func(x *madeExport) {
			x.checksums = true
			x.artifacts[heapOne] += "x"
		}, after: resum(format.ManifestFile), want: []string{
			`file "export-manifest.json": sha256 is MANIFEST, SHA256SUMS says ` + hexSum("x"),
			`snapshot.v1.2: snapshot "snapshot.v1.2" hash is "` + hexSum(heap+"x") + `", metadata says "` + hexSum(heap) + `"`}},
		{defect: "checksums malformed, and a heap", spoil: func(x *madeExport) {
			x.checksums = true
			x.artifacts[heapOne] += "x"
		}, after: func(dir string) { os.WriteFile(filepath.Join(dir, format.ChecksumsFile), []byte("abc\n"), 0o644) }, want: []string{
			"SHA256SUMS line 1 is not a checksum and a file name",
			`snapshot.v1.2: snapshot "snapshot.v1.2" hash is "` + hexSum(heap+"x") + `", metadata says "` + hexSum(heap) + `"`}},
		{defect: "file not in the checksums", spoil: summed, after: changeSums(spanTwo, "other"), want: []string{
			`SHA256SUMS lists file "other", which the manifest does not name`, `transcript.v1.3.5: file "transcript.v1.3.5" is not in SHA256SUMS`}},
		{defect: "everything at once", spoil: func(x *madeExport) {
			x.artifacts[heapOne] += "x"
			x.artifacts[spanOne] = "one\n"
			x.artifacts[bundleOne] += "x"
			x.artifacts["transcript.v2.0.1"] = "x\n"
			x.data = append(x.data, line("snapshot.v1.current", "snapshot.v1.4"), `["kv.x"`)
		}, after: func(dir string) { os.Remove(filepath.Join(dir, spanTwo)) }, want: []string{
			bundleOne + `: cannot parse JSON of bundle: unexpected byte 0x78 at offset 62`,
			"export data line is not JSON: unexpected end of JSON input",
			`snapshot.v1.2: snapshot "snapshot.v1.2" hash is "` + hexSum(heap+"x") + `", metadata says "` + hexSum(heap) + `"`,
			`snapshot.v1.current names "snapshot.v1.4", and snapshot.v1.2 is in use`,
			"transcript.v1.0.3: artifact transcript.v1.0.3 is not complete",
			"transcript.v1.3.5: open DIR/transcript.v1.3.5: no such file or directory",
			"transcript.v2.0.1: no metadata for transcript span transcript.v2.0.1"}},
	} {
		t.Run(c.defect, func(t *testing.T) {
			x := handMade()
			if c.spoil != nil {
				c.spoil(x)
			}
			dir := x.write(t)
			if c.after != nil {
				c.after(dir)
			}
			c.o.ExportDir = dir
			_, got := verified(t, c.o)
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], dir, "DIR")
				got[i] = strings.ReplaceAll(got[i], hexSum(readText(t, dir, format.ManifestFile)), "MANIFEST")
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("defects:\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func summed(x *madeExport) { x.checksums = true }

// resum gives a file the checksum of other content.
func resum(name string) func(dir string) {
	return func(dir string) {
		content, _ := os.ReadFile(filepath.Join(dir, name))
		changeSums(hexSum(string(content)), hexSum("x"))(dir)
	}
}

// changeSums replaces text in SHA256SUMS.
func changeSums(from, to string) func(dir string) {
	return func(dir string) {
		path := filepath.Join(dir, format.ChecksumsFile)
		sums, _ := os.ReadFile(path)
		os.WriteFile(path, bytes.ReplaceAll(sums, []byte(from), []byte(to)), 0o644)
	}
}

// Without export data, bundles are compared with their ids and spans with their names.
func TestVerifyWithoutExportData(t *testing.T) {
	dir, _ := testdata.Export(t, "tiny", "operational", "skip")
	m := testdata.ParseManifest(t, []byte(readText(t, dir, format.ManifestFile)))
	span, bundle, heap := "", "", m.Artifacts[0][1]
	for _, a := range m.Artifacts {
		switch {
		case strings.HasPrefix(a[0], "transcript.v1."):
			span = a[1]
		case strings.HasPrefix(a[0], "bundle.b0-"):
			bundle = a[1]
		}
	}
	put(t, filepath.Join(dir, span), readText(t, dir, span)+"more\n")
	put(t, filepath.Join(dir, bundle), readText(t, dir, bundle)+" ")
	remove(t, dir, heap)
	put(t, filepath.Join(dir, "snapshot.v77.1"), "")
	r, got := verified(t, VerifyOptions{ExportDir: dir})
	want := []string{
		bundle + `: bundleID "` + strings.TrimPrefix(bundle, "bundle.") + `" does not match bundle artifact`,
		heap + ": open " + dir + "/" + heap + ": no such file or directory",
		"snapshot.v77.1: left over: the manifest does not name this file",
		span + ": it has 3 items, and its name says 2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("defects:\n%s", strings.Join(got, "\n"))
	}
	if !slices.Equal(r.Warnings, []string{"without export data, the hashes of snapshots and spans are not known, and nobody can tell what is missing"}) {
		t.Errorf("%q", r.Warnings)
	}
}
