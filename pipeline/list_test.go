package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// A list has the files of the export with their sizes, however it is packed, and counts them.
func TestList(t *testing.T) {
	for name, form := range extractForms {
		t.Run(name, func(t *testing.T) {
			p := packExport(t, form.o)
			o := p.options(t, form.stream)
			var order []string
			l, err := List(t.Context(), ListOptions{Path: o.Path, Stdin: o.Stdin, Each: func(e ListEntry) error {
				file := e.Name
				if e.Packed {
					file += ".gz"
				}
				order = append(order, file)
				if data, ok := p.files[file]; !ok || e.Bytes != int64(len(data)) || !form.stream && e.SHA256 != hexSum(string(data)) {
					t.Errorf("%+v", e)
				}
				if form.stream && e.SHA256 != "" {
					t.Errorf("%s has a hash", e.Name)
				}
				return nil
			}})
			if err != nil || strings.Join(order, " ") != strings.Join(p.order, " ") {
				t.Fatalf("%d of %d entries, or in another order: %v", len(order), len(p.order), err)
			}
			p.checkListing(t, l, !form.o.NoExportData)
			info, err := os.Stat(p.path)
			if err != nil || l.CompressedBytes != info.Size() || l.Seekable == form.stream || (l.Snapshots == format.GzipSnapshots) != form.o.Gzip {
				t.Errorf("%+v, %v", l, err)
			}
		})
	}
}

// checkListing compares what a list says of an export as a whole.
func (p packedExport) checkListing(t *testing.T, l Listing, data bool) {
	t.Helper()
	if l.BlockHeight != 1234567 || l.ArtifactMode != "archival" || l.ExportData != data {
		t.Errorf("%+v", l)
	}
	var want ListKinds
	total := int64(0)
	for name, content := range p.files {
		var c *ListCount
		switch kind, _, _ := strings.Cut(name, "."); kind {
		case "snapshot":
			c = &want.Snapshots
		case "transcript":
			c = &want.Spans
		case "bundle":
			c = &want.Bundles
		case "export-data":
			c = &want.ExportData
		default:
			continue
		}
		c.Count++
		c.Bytes += int64(len(content))
		total += int64(len(content))
	}
	if l.Kinds != want || l.Bytes != total || want.Snapshots.Count == 0 || want.Spans.Count == 0 || want.Bundles.Count == 0 {
		t.Errorf("%+v, %d bytes, want %+v, %d", l.Kinds, l.Bytes, want, total)
	}
}

// A directory is listed without opening its artifacts, those of the chain's Go side and packed ones too.
func TestListDir(t *testing.T) {
	raw := packExport(t, testdata.ArchiveOptions{})
	packed := packExport(t, testdata.ArchiveOptions{Gzip: true})
	dir := t.TempDir()
	for name, data := range packed.files {
		put(t, filepath.Join(dir, name), string(data))
	}
	for _, c := range []struct {
		p    packedExport
		dir  string
		form format.SnapshotForm
	}{{raw, raw.dir, format.RawSnapshots}, {packed, dir, format.GzipSnapshots}} {
		n := 0
		l, err := List(t.Context(), ListOptions{Path: c.dir, Each: func(ListEntry) error { n++; return nil }})
		if err != nil || n != len(c.p.order) || l.Kind != KindExportDir || l.Snapshots != c.form || l.CompressedBytes != 0 || l.Seekable {
			t.Errorf("%d of %d entries, %+v, %v", n, len(c.p.order), l, err)
		}
		c.p.checkListing(t, l, true)
	}
	goStyle, _ := List(t.Context(), ListOptions{Path: testdata.GoStyleExport(t, "tiny")})
	if goStyle.Kinds.Spans.Count != 51 || goStyle.ArtifactMode != "" || !goStyle.ExportData {
		t.Errorf("%+v", goStyle)
	}
	without, _ := testdata.Export(t, "tiny", "archival", "skip")
	if l, err := List(t.Context(), ListOptions{Path: without}); err != nil || l.ExportData || l.Kinds.ExportData.Count != 0 || l.Kinds.Spans.Count != 51 {
		t.Errorf("%+v, %v", l, err)
	}
}

// Tars of other programs are listed as the directory in them, with the names of the artifacts.
func TestListForeign(t *testing.T) {
	p := packExport(t, testdata.ArchiveOptions{})
	for name, o := range map[string]testdata.ForeignOptions{
		"as it is": {}, "with ./": {Prefix: "./", Reverse: true}, "manifest first": {First: []string{format.ManifestFile}},
	} {
		tar := testdata.ForeignTar(t, p.dir, o)
		path := filepath.Join(t.TempDir(), "x")
		put(t, path, string(testdata.Gzip(tar)))
		l, err := List(t.Context(), ListOptions{Path: path})
		if err != nil || l.Seekable || l.CompressedBytes == 0 || l.Kind != KindArchive {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
		p.checkListing(t, l, true)
	}
}

func TestListErrors(t *testing.T) {
	p := packExport(t, testdata.ArchiveOptions{Zstd: true})
	packed, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut")
	put(t, cut, string(packed[:len(packed)/2]))
	plain, err := os.ReadFile(packExport(t, testdata.ArchiveOptions{}).path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "another height")
	changed := strings.Replace(string(plain), "1234567", "1234568", 1)
	put(t, other, changed)
	broken := errors.New("broken")
	for text, o := range map[string]ListOptions{
		"is a state directory":   {Path: testdata.Store(t, "tiny")},
		"holds neither":          {Path: t.TempDir()},
		"no such file":           {Path: cut + ".none"},
		"truncated":              {Path: cut},
		"swingport-archive.json": {Path: other},
		"block height 1234567, the header of the archive 1234568": {Path: "-", Stdin: strings.NewReader(changed)},
		"broken":          {Path: p.path, Each: func(ListEntry) error { return broken }},
		"temporary files": {Path: p.path, TempDir: cut},
		"standard input":  {Path: "-"},
	} {
		if _, err := List(t.Context(), o); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{p.path, p.dir} {
		if _, err := List(ctx, ListOptions{Path: path}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Only the index is read of an archive that has one.
func TestListReadsTheIndex(t *testing.T) {
	path := gigabyte(t, false)
	var read atomic.Int64
	fsys := &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpRead {
			read.Add(int64(op.Len))
		}
		return nil
	}}
	l, err := List(t.Context(), ListOptions{Path: path, fs: fsys})
	if err != nil || l.Kinds.Snapshots.Bytes != gigabyteHeap || read.Load() > 1<<20 {
		t.Errorf("%d bytes read, %+v, %v", read.Load(), l, err)
	}
}

func TestListingJSON(t *testing.T) {
	l := Listing{Kind: KindArchive, BlockHeight: 7, ArtifactMode: "replay", Snapshots: format.RawSnapshots, Kinds: ListKinds{Spans: ListCount{2, 3}}}
	want := `{"kind":"archive","blockHeight":7,"artifactMode":"replay","exportData":false,"snapshots":"raw","kinds":{"snapshots":{"count":0,"bytes":0},` +
		`"spans":{"count":2,"bytes":3},"bundles":{"count":0,"bytes":0},"exportData":{"count":0,"bytes":0}},"bytes":0}`
	if got, err := json.Marshal(l); err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
