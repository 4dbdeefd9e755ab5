package pipeline

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"swingport/format"
	"swingport/testdata"
)

// What comes out of an archive of a store is the export that the reference makes of it, and import makes of it what the reference does; with
// packed snapshots too.
func TestExtractThenImport(t *testing.T) {
	list := testdata.Stores
	if testing.Short() {
		list = list[:1]
	}
	for _, store := range list {
		mode := "archival"
		if store == "pruned" {
			mode = "operational"
		}
		want, _ := testdata.Export(t, store, mode, "all")
		for _, form := range []format.SnapshotForm{format.RawSnapshots, format.GzipSnapshots} {
			for _, archive := range []string{"x.tar", "x.tar.zst"} {
				t.Run(store+" "+string(form)+" "+archive, func(t *testing.T) {
					path, to := filepath.Join(t.TempDir(), archive), filepath.Join(t.TempDir(), "to")
					o := ExportOptions{StateDir: testdata.Store(t, store), Archive: path, ArtifactMode: format.ArtifactMode(mode), Snapshots: form}
					if _, err := Export(t.Context(), o); err != nil {
						t.Fatal(err)
					}
					if _, err := Extract(t.Context(), ExtractOptions{Path: path, To: to}); err != nil {
						t.Fatal(err)
					}
					if form == format.RawSnapshots {
						for _, diff := range testdata.CompareExports(to, want) {
							t.Error(diff)
						}
					}
					state := filepath.Join(t.TempDir(), "state")
					_, err := Import(t.Context(), ImportOptions{StateDir: state, ExportDir: to})
					compareImport(t, state, err, store, mode, "default")
				})
			}
		}
	}
}

// repacked are archives that are no longer, or never were, ones to read at random.
func repacked(t *testing.T, p packedExport) map[string][]byte {
	t.Helper()
	plain, _ := testdata.Archive(t, p.dir, testdata.ArchiveOptions{})
	tars := map[string][]byte{
		"one zstd frame": testdata.ZstdFrame(plain),
		"gzip":           testdata.Gzip(plain),
	}
	for name, o := range map[string]testdata.ForeignOptions{
		"in the order of names": {},
		"in the other order":    {Reverse: true},
		"with ./":               {Prefix: "./"},
		"in a directory":        {Prefix: "export/", Reverse: true},
		"manifest last":         {First: []string{format.ExportDataFile}},
		"manifest first":        {First: []string{format.ManifestFile, format.ExportDataFile}},
	} {
		tars["foreign, "+name] = testdata.ForeignTar(t, p.dir, o)
	}
	return tars
}

// Archives that another program packed give the same files.
func TestExtractRepacked(t *testing.T) {
	p := packExport(t, testdata.ArchiveOptions{})
	for name, packed := range repacked(t, p) {
		t.Run(name, func(t *testing.T) {
			p := packedExport{p.dir, filepath.Join(t.TempDir(), "x"), p.files, p.order}
			put(t, p.path, string(packed))
			for _, stream := range []bool{false, true} {
				p.extractAll(t, stream)
				for _, name := range []string{p.order[0], p.order[20], format.ManifestFile, format.ExportDataFile} {
					var out bytes.Buffer
					o := p.options(t, stream)
					o.Names, o.Stdout = []string{name}, &out
					if sum, err := Extract(t.Context(), o); err != nil || !bytes.Equal(out.Bytes(), p.files[name]) || sum.Files != 1 {
						t.Errorf("%s: %d bytes of %d, %+v, %v", name, out.Len(), len(p.files[name]), sum, err)
					}
				}
			}
			// Cut anywhere, nothing comes out.
			for _, n := range []int{len(packed) / 3, len(packed) - 1200} {
				o := ExtractOptions{Path: "-", Stdin: struct{ io.Reader }{bytes.NewReader(packed[:n])}, To: filepath.Join(t.TempDir(), "to")}
				if _, err := Extract(t.Context(), o); err == nil {
					t.Errorf("cut to %d of %d bytes: no error", n, len(packed))
				}
				nothingLeft(t, o.To)
			}
		})
	}
}

// An archive whose file names are the chain's is asked by the names of artifacts, and gives the directory as it was.
func TestExtractGoStyle(t *testing.T) {
	dir := testdata.GoStyleExport(t, "tiny")
	path := filepath.Join(t.TempDir(), "x")
	put(t, path, string(testdata.ForeignTar(t, dir, testdata.ForeignOptions{})))
	to := filepath.Join(t.TempDir(), "to")
	if _, err := Extract(t.Context(), ExtractOptions{Path: path, To: to}); err != nil {
		t.Fatal(err)
	}
	for _, diff := range testdata.CompareExports(to, dir) {
		t.Error(diff)
	}
	m := manifest(t, dir)
	for i := range 3 {
		a := m.Artifacts.At(i)
		var out bytes.Buffer
		if _, err := Extract(t.Context(), ExtractOptions{Path: path, Names: []string{a.Name}, Stdout: &out}); err != nil {
			t.Error(err)
		}
		oddFile(t, dir, a.File, out.String())
	}
}

// A packed export directory that tar packed has its heaps unpacked too, and compared with their records.
func TestExtractForeignHeap(t *testing.T) {
	raw, packed := packExport(t, testdata.ArchiveOptions{}), packExport(t, testdata.ArchiveOptions{Gzip: true})
	dir := t.TempDir()
	for name, data := range packed.files {
		put(t, filepath.Join(dir, name), string(data))
	}
	name := raw.order[0]
	if !strings.HasPrefix(name, "snapshot.") {
		t.Fatal(name)
	}
	for what, change := range map[string]func(){
		"good":         func() {},
		"another heap": func() { put(t, filepath.Join(dir, name+".gz"), string(testdata.Gzip([]byte("another heap")))) },
	} {
		change()
		var out bytes.Buffer
		tar := testdata.ForeignTar(t, dir, testdata.ForeignOptions{Reverse: true})
		_, err := Extract(t.Context(), ExtractOptions{Path: "-", Stdin: bytes.NewReader(tar), Names: []string{name}, Stdout: &out})
		if what == "good" && (err != nil || !bytes.Equal(out.Bytes(), raw.files[name])) || what != "good" && (err == nil || !strings.Contains(err.Error(), "hash is")) {
			t.Errorf("%s: %d bytes, %v", what, out.Len(), err)
		}
		if what == "another heap" {
			put(t, filepath.Join(dir, name+".gz"), string(packed.files[name+".gz"]))
		}
	}
}

// A pipe whose other end is silent, and a standard output that nobody reads, do not keep a cancelled run.
func TestExtractCancelledWhileWaiting(t *testing.T) {
	noLeaks(t)
	p := packExport(t, testdata.ArchiveOptions{})
	packed, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	if _, err := w.Write(packed[:5000]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	o := ExtractOptions{Path: "-", Stdin: r, To: filepath.Join(t.TempDir(), "to"), Status: new(Status)}
	done := make(chan error)
	go func() { _, err := Extract(ctx, o); done <- err }()
	for o.Status.Snapshot().Done == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	nothingLeft(t, o.To)

	// The reader of this pipe takes a byte and no more; the heap is larger than a pipe.
	path := gigabyte(t, false)
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		_, err := Extract(ctx, ExtractOptions{Path: path, Names: []string{"snapshot.v7.100"}, Stdout: to})
		done <- err
	}()
	if _, err := io.ReadFull(from, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("no error")
	}
	from.Close()
}

// A window beyond the limit is refused, whichever way an archive is read, and may be allowed.
func TestExtractWindow(t *testing.T) {
	p := packExport(t, testdata.ArchiveOptions{})
	plain, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	enc, err := zstd.NewWriter(&packed, zstd.WithWindowSize(4<<20))
	if err == nil {
		_, err = io.Copy(enc, struct{ io.Reader }{bytes.NewReader(plain)})
	}
	if err == nil {
		err = enc.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for window, fails := range map[int64]bool{1 << 20: true, 4 << 20: false, 0: false} {
		o := ExtractOptions{Path: "-", Stdin: bytes.NewReader(packed.Bytes()), Names: p.order[:1], Stdout: io.Discard, MaxWindow: window}
		if _, err := Extract(t.Context(), o); (err != nil) != fails {
			t.Errorf("window %d: %v", window, err)
		}
		l := ListOptions{Path: "-", Stdin: bytes.NewReader(packed.Bytes()), MaxWindow: window}
		if _, err := List(t.Context(), l); (err != nil) != fails {
			t.Errorf("window %d: list: %v", window, err)
		}
	}
}
