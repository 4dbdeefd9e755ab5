package pipeline

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swingport/format"
	"swingport/testdata"
)

// exported is the archive of a store, as a file and through a writer, which are the same.
func exported(t *testing.T, o ExportOptions) []byte {
	t.Helper()
	o.Archive = filepath.Join(t.TempDir(), "a."+o.Format)
	if _, err := Export(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(o.Archive)
	if err != nil {
		t.Fatal(err)
	}
	var piped bytes.Buffer
	o.Archive, o.Stdout = "-", &piped
	if _, err := Export(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, piped.Bytes()) {
		t.Errorf("%d bytes as a file, and %d others through a pipe", len(data), piped.Len())
	}
	return data
}

// filesIn are the files of a tar in their order, without the index.
func filesIn(t *testing.T, packed []byte) (files []testdata.ArchiveFile) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(packed)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name != format.ArchiveIndexFile {
			files = append(files, testdata.ArchiveFile{Name: h.Name, Data: data})
		}
	}
}

func unzstd(t *testing.T, packed []byte) []byte {
	t.Helper()
	dec, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	plain, err := io.ReadAll(dec)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// checkFrames goes through a zstd stream by its seek table: each frame but the last one has 2^21 bytes of content.
func checkFrames(t *testing.T, packed, plain []byte) {
	t.Helper()
	le := binary.LittleEndian
	frames := int(le.Uint32(packed[len(packed)-9:]))
	table := packed[len(packed)-9-8*frames:]
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	if want := (len(plain) + 1<<21 - 1) >> 21; frames != want {
		t.Errorf("%d frames, want %d", frames, want)
	}
	for i := range frames {
		size, raw := le.Uint32(table[8*i:]), min(1<<21, len(plain))
		got, err := dec.DecodeAll(packed[:size], nil)
		if err != nil || !bytes.Equal(got, plain[:raw]) || int(le.Uint32(table[8*i+4:])) != raw {
			t.Fatalf("frame %d of %d bytes has not the %d bytes at its place, %v", i, size, raw, err)
		}
		packed, plain = packed[size:], plain[raw:]
	}
	if len(packed) != 8+8*frames+9 || len(plain) > 0 {
		t.Errorf("%d bytes behind the frames, and %d bytes of content in none", len(packed), len(plain))
	}
}

// Our archives are what FORMAT.md says, by an implementation of its own: the reference's files, packed in the order that the
// archive has. The same store makes the same bytes at 1, 2 and 8 workers, as a file and through a pipe.
func TestArchiveAsFormat(t *testing.T) {
	for _, store := range testdata.Stores {
		if testing.Short() && store != "tiny" {
			continue
		}
		for _, mode := range []string{"operational", "archival"} {
			dir, result := testdata.Export(t, store, mode, "all")
			if dir == "" {
				t.Logf("%s has no export %s: %s", store, mode, result.Error)
				continue
			}
			for _, form := range []format.SnapshotForm{format.RawSnapshots, format.GzipSnapshots} {
				t.Run(fmt.Sprintf("store=%s/mode=%s/snapshots=%s", store, mode, form), func(t *testing.T) {
					o := ExportOptions{StateDir: testdata.Store(t, store), Format: "tar", Workers: 1, ModTime: 1_700_000_000,
						Snapshots: form, ArtifactMode: format.ArtifactMode(mode)}
					plain := exported(t, o)
					checkPacked(t, plain, dir, form == format.GzipSnapshots, o.ModTime)
					for _, workers := range []int{2, 8} {
						o.Workers = workers
						if again := exported(t, o); !bytes.Equal(again, plain) {
							t.Errorf("with %d workers it is another one", workers)
						}
					}
					o.Reader = ReaderEngine
					checkPacked(t, exported(t, o), dir, form == format.GzipSnapshots, o.ModTime) // rows come in another order than in the file
					o.Format, o.Reader = "tar.zst", ""
					packed := exported(t, o)
					if again := unzstd(t, packed); !bytes.Equal(again, plain) {
						t.Error("the tar in the zstd stream is another one")
					}
					checkFrames(t, packed, plain)
					for _, workers := range []int{1, 2} {
						o.Workers = workers
						if again := exported(t, o); !bytes.Equal(again, packed) {
							t.Errorf("with %d workers the zstd stream is another one", workers)
						}
					}
					importsAs(t, plain, store, mode)
					importsAs(t, packed, store, mode)
				})
			}
		}
	}
}

// checkPacked compares an archive with the reference's export, packed again in the order of the archive.
func checkPacked(t *testing.T, plain []byte, dir string, gzipped bool, mtime int64) {
	t.Helper()
	want := map[string][]byte{}
	for _, f := range testdata.ArchiveFiles(t, dir, testdata.ArchiveOptions{Gzip: gzipped}) {
		want[f.Name] = f.Data
	}
	files := filesIn(t, plain)
	if len(files) != len(want) {
		t.Errorf("%d files, want %d", len(files), len(want))
	}
	last := 0
	order := map[byte]int{'s': 1, 'b': 2, 't': 3} // snapshot, bundle, transcript
	for i, f := range files {
		data, ok := want[f.Name]
		if gzipped && bytes.HasPrefix(f.Data, []byte{0x1f, 0x8b}) {
			// Packed as the store has it: not by us.
			f.Data, data = gunzip(t, f.Data), gunzip(t, data)
		}
		if !ok || !bytes.Equal(f.Data, data) {
			t.Errorf("%s is other content, or not in the export", f.Name)
		}
		if inner := i > 0 && i < len(files)-2; inner && order[f.Name[0]] < last {
			t.Errorf("%s comes too late", f.Name)
		} else if inner {
			last = order[f.Name[0]]
		}
	}
	if again, _ := testdata.PackArchive(files, mtime); !bytes.Equal(again, plain) {
		t.Errorf("packed by FORMAT.md, these files are another archive: %d bytes, not %d", len(again), len(plain))
	}
}

// importsAs compares with what the reference imports from its own export.
func importsAs(t *testing.T, data []byte, store, mode string) {
	t.Helper()
	want, result := testdata.Import(t, store, mode, "default")
	text, err := importBytes(t, data)
	if (err != nil) != (result.RC != 0) {
		t.Fatalf("the import ends with %v, and the reference's with %q", err, result.Error)
	}
	if err != nil {
		return
	}
	if diffs := testdata.CompareDumps(want, text); diffs != nil {
		t.Errorf("another store than the reference's: %.2000q", diffs)
	}
}

func gunzip(t *testing.T, packed []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
