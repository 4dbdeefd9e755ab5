package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"swingport/testdata"
)

// verifiedArchive verifies an archive from a pipe.
func verifiedArchive(t *testing.T, data []byte) (VerifyReport, []string) {
	t.Helper()
	return verified(t, VerifyOptions{Archive: "-", Stdin: io.MultiReader(bytes.NewReader(data))})
}

func handMadeData() string { return strings.Join(handMade().data, "\n") }

// What is wrong with an archive itself is a defect, once, beside those of the artifacts that could be read.
func TestVerifyArchiveDefects(t *testing.T) {
	dir := handMade().write(t)
	plain, entries := testdata.Archive(t, dir, testdata.ArchiveOptions{})
	at := func(name string) testdata.ArchiveEntry {
		return entries[slices.IndexFunc(entries, func(e testdata.ArchiveEntry) bool { return e.Name == name })]
	}
	flip := func(offset int64) func([]byte) []byte {
		return func(b []byte) []byte { b[offset] ^= 1; return b }
	}
	keep := func(n int64) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	heap, span, data, manifest := at(heapOne), at(spanOne), at("export-data.jsonl"), at("export-manifest.json")
	text := handMade().artifacts[heapOne]
	changed := text[:2] + string(text[2]^1) + text[3:]
	heapHash := `snapshot.v1.2: snapshot "snapshot.v1.2" hash is "` + hexSum(changed) + `", metadata says "` + hexSum(text) + `"`
	spanHashes := `transcript.v1.0.3: artifact transcript.v1.0.3 hash is "` + spanHash("one", "tvo", "three") + `", metadata says "` + spanHash("one", "two", "three") + `"`
	cutIn := func(name string, at int64) string {
		return fmt.Sprintf("the archive is truncated: it ends in %q, at byte %d: unexpected EOF: reading ended here", name, at)
	}
	for _, c := range []struct {
		name  string
		spoil []func([]byte) []byte
		read  int // artifacts
		want  []string
	}{
		{"nothing", nil, 4, nil},
		{"byte of a heap", []func([]byte) []byte{flip(heap.Offset + 2)}, 3, []string{heapHash}},
		{"byte of a span", []func([]byte) []byte{flip(span.Offset + 5)}, 3, []string{spanHashes}},
		{"both", []func([]byte) []byte{flip(heap.Offset + 2), flip(span.Offset + 5)}, 2, []string{heapHash, spanHashes}},
		{"value in the export data", []func([]byte) []byte{flip(data.Offset + int64(strings.Index(handMadeData(), "value value")))}, 4, []string{
			`export-data.jsonl: "export-data.jsonl" has another sha256 than the index of the archive says, which is ` + fmt.Sprintf("%x", data.SHA256)}},
		{"byte of a heap, and cut behind it", []func([]byte) []byte{flip(heap.Offset + 2), keep(heap.End)}, 0, []string{
			heapHash, cutIn(heapOne, heap.End)}},
		{"cut in the metadata", []func([]byte) []byte{keep(900)}, 0, []string{cutIn("swingport-archive.jsonl", 900)}},
		{"cut in a span", []func([]byte) []byte{keep(span.Offset + 5)}, 2, []string{cutIn(spanOne, span.Offset+5)}},
		{"cut in the export data", []func([]byte) []byte{keep(data.Offset + 500)}, 4, []string{cutIn("export-data.jsonl", data.Offset+500)}},
		{"cut before the index", []func([]byte) []byte{keep(manifest.End)}, 4, []string{cutIn("export-manifest.json", manifest.End)}},
		{"cut in the end blocks", []func([]byte) []byte{keep(int64(len(plain)) - 1)}, 4, []string{cutIn("swingport-index", int64(len(plain)-1))}},
		{"header of a span", []func([]byte) []byte{flip(span.Header + 110)}, 2, []string{
			`the header of "transcript.v1.0.3", behind "` + bundleOne + `", is damaged: reading ended here`}},
		{"padding of a heap, and a byte of it", []func([]byte) []byte{flip(heap.End - 1), flip(heap.Offset + 2)}, 0, []string{
			`"snapshot.v1.2" is not padded with zeros: reading ended here`, heapHash}},
		{"padding of the metadata", []func([]byte) []byte{flip(entries[0].End - 1)}, 0, []string{
			`"swingport-archive.jsonl" is not padded with zeros: reading ended here`}},
		{"byte of the index", []func([]byte) []byte{flip(int64(len(plain)) - 1500)}, 4, []string{"swingport-index is not that of the files before it"}},
		{"rubbish behind", []func([]byte) []byte{func(b []byte) []byte { return append(b, 'x') }}, 4, []string{
			fmt.Sprintf("there is something behind the end of the archive, at byte %d: reading ended here", len(plain))}},
		{"no archive", []func([]byte) []byte{func([]byte) []byte { return []byte(strings.Repeat("text ", 1000)) }}, 0, []string{
			"this is no archive: neither a tar nor one packed with zstd or gzip: reading ended here"}},
		{"nothing at all", []func([]byte) []byte{keep(0)}, 0, []string{"the archive is truncated: it is empty: unexpected EOF: reading ended here"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := bytes.Clone(plain)
			for _, spoil := range c.spoil {
				bad = spoil(bad)
			}
			r, got := verifiedArchive(t, bad)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) || r.Artifacts != c.read {
				t.Errorf("%d artifacts, defects:\n%s\nnot\n%s", r.Artifacts, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// What could be verified of an archive that another program packed is.
func TestVerifyForeignTar(t *testing.T) {
	x := handMade()
	x.artifacts[spanOne] = "one\ntvo\nthree\n"
	dir := x.write(t)
	packed := testdata.ForeignTar(t, dir, testdata.ForeignOptions{Prefix: "./", Leave: []string{heapOne}})
	r, got := verifiedArchive(t, packed)
	want := []string{
		`snapshot.v1.2: file "snapshot.v1.2" is in the manifest and not in the archive`,
		`transcript.v1.0.3: artifact transcript.v1.0.3 hash is "` + spanHash("one", "tvo", "three") + `", metadata says "` + spanHash("one", "two", "three") + `"`,
	}
	if !slices.Equal(got, want) || r.Artifacts != 2 || r.KVRows != 40 {
		t.Errorf("%+v\n%s", r, strings.Join(got, "\n"))
	}
}

// What cannot be opened is an error, not a defect.
func TestVerifyErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		o    VerifyOptions
		text string
	}{
		{VerifyOptions{}, "verify takes one of a state directory, an export directory and an archive"},
		{VerifyOptions{StateDir: dir, ExportDir: dir}, "verify takes one of"},
		{VerifyOptions{StateDir: dir}, "no swing-store: there is no " + dir + "/swingstore.sqlite"},
		{VerifyOptions{ExportDir: dir}, "open " + dir + "/export-manifest.json: no such file or directory"},
		{VerifyOptions{Archive: dir}, dir + " is a directory, not an archive"},
		{VerifyOptions{Archive: dir + "/x"}, "no such file or directory"},
		{VerifyOptions{Archive: "-"}, "there is no standard input"},
		{VerifyOptions{StateDir: dir, ArtifactMode: "all"}, `Invalid value "all" for "artifact-mode"`},
		{VerifyOptions{StateDir: dir, TempDir: dir + "/x"}, "directory for temporary files: "},
	} {
		r, err := Verify(context.Background(), c.o)
		if err == nil || !strings.Contains(err.Error(), c.text) || r.DefectCount > 0 {
			t.Errorf("%+v: %+v, %v", c.o, r, err)
		}
	}
}

func TestDetect(t *testing.T) {
	store, dir := testdata.Store(t, "tiny"), handMade().write(t)
	both := handMade().write(t)
	put(t, both+"/swingstore.sqlite", "x")
	file := archiveFile(t, "x.bin", []byte("anything"))
	empty := t.TempDir()
	for _, c := range []struct {
		path string
		kind Kind
		text string
	}{
		{store, KindStateDir, ""},
		{dir, KindExportDir, ""},
		{file, KindArchive, ""},
		{"/dev/null", KindArchive, ""},
		{"-", KindArchive, ""},
		{both, "", both + " holds both swingstore.sqlite and export-manifest.json: say which of them is meant"},
		{empty, "", empty + " holds neither swingstore.sqlite nor export-manifest.json"},
		{store + "/swingstore.sqlite", "", store + "/swingstore.sqlite is a database: name the directory that it is in"},
		{dir + "/export-manifest.json", "", dir + "/export-manifest.json is a manifest: name the directory that it is in"},
		{empty + "/x", "", "stat " + empty + "/x: no such file or directory"},
	} {
		kind, err := Detect(c.path)
		if kind != c.kind || (err == nil) != (c.text == "") || err != nil && err.Error() != c.text {
			t.Errorf("%s: %q, %v", c.path, kind, err)
		}
	}
}
