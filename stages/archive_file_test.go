package stages

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// archiveForms are the archives that allow random access: plain, compressed, and compressed in frames that cut everything.
var archiveForms = map[string]testdata.ArchiveOptions{
	"tar":          {},
	"tar.zst":      {Zstd: true},
	"small frames": {Zstd: true, FrameSize: 700, ModTime: 1_700_000_000},
	"gzip":         {Gzip: true, Zstd: true},
}

func tinyArchive(t testing.TB, o testdata.ArchiveOptions) ([]byte, []testdata.ArchiveEntry) {
	t.Helper()
	dir, r := testdata.Export(t, "tiny", "archival", "all")
	if r.RC != 0 {
		t.Fatal(r.Error)
	}
	return testdata.Archive(t, dir, o)
}

func openArchive(t testing.TB, packed []byte) *ArchiveFile {
	t.Helper()
	a, err := NewArchiveFile(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestArchiveFile(t *testing.T) {
	dir, _ := testdata.Export(t, "tiny", "archival", "all")
	for name, o := range archiveForms {
		t.Run(name, func(t *testing.T) {
			packed, entries := testdata.Archive(t, dir, o)
			path := filepath.Join(t.TempDir(), "x")
			if err := os.WriteFile(path, packed, 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := OpenArchiveFile(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			h := a.Header()
			if h.BlockHeight != 1234567 || h.ArtifactMode != format.Archival || !h.ExportData || (h.Snapshots == format.GzipSnapshots) != o.Gzip {
				t.Errorf("header %+v", h)
			}
			if a.Size() != int64(len(packed)) || a.Index().Len() != len(entries) || a.Index().Verify() != nil {
				t.Errorf("%d bytes, %d entries, Verify %v", a.Size(), a.Index().Len(), a.Index().Verify())
			}
			files := map[string][]byte{}
			for _, f := range testdata.ArchiveFiles(t, dir, o) {
				files[f.Name] = f.Data
			}
			for _, e := range entries {
				found, ok, err := a.Index().Find(e.Name)
				if !ok || err != nil {
					t.Fatalf("%s: %v, %v", e.Name, ok, err)
				}
				r, err := a.Open(found)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, files[e.Name]) {
					t.Errorf("%s: %d bytes of %d, %v", e.Name, len(got), e.Size, err)
				}
			}
			if _, ok, err := a.Index().Find("transcript.v1.0.99999"); ok || err != nil {
				t.Errorf("found what is not there, %v", err)
			}
		})
	}
}

// The hashes of heaps are those of the records, and reading them ends with the last one.
func TestArchiveFileHeapHashes(t *testing.T) {
	packed, entries := tinyArchive(t, testdata.ArchiveOptions{})
	a := openArchive(t, packed)
	heaps := map[string]string{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, "snapshot.") {
			heaps[e.Name] = ""
		}
	}
	if err := a.HeapHashes(t.Context(), heaps); err != nil || len(heaps) < 5 {
		t.Fatalf("%d heaps, %v", len(heaps), err)
	}
	for _, e := range entries {
		if want, ok := heaps[e.Name]; ok && want != fmt.Sprintf("%x", e.SHA256) {
			t.Errorf("%s: %s, content has %x", e.Name, want, e.SHA256)
		}
	}
	none := map[string]string{"snapshot.v1.999": ""}
	if err := a.HeapHashes(t.Context(), none); err != nil || none["snapshot.v1.999"] != "" {
		t.Errorf("a snapshot without a record: %v, %v", none, err)
	}
}

// Lines of kv, however long, and records in any order are no obstacle.
func TestReadHeapHashes(t *testing.T) {
	long := `["kv.x","` + strings.Repeat("snapshot.", maxRecord/4) + "\"]\n"
	record := ` [ "snapshot.v1.2" , "{\"vatID\":\"v1\",\"snapPos\":2,\"hash\":\"abc\",\"inUse\":1}" ]`
	for _, lines := range []string{record, record + "\n" + long, long + record, long + `["snapshot.v1.current","snapshot.v1.2"]` + "\n" + record + "\n"} {
		heaps := map[string]string{"snapshot.v1.2": ""}
		if err := ReadHeapHashes(t.Context(), strings.NewReader(lines), heaps); err != nil || heaps["snapshot.v1.2"] != "abc" {
			t.Errorf("%.60s: %v, %v", lines, heaps, err)
		}
	}
	for lines, fails := range map[string]bool{"": false, long: false, `["snapshot.v1.2",null]`: false, `["snapshot.v1.3","{}"]`: true, `["snapshot.v1`: true} {
		heaps := map[string]string{"snapshot.v1.2": ""}
		if err := ReadHeapHashes(t.Context(), strings.NewReader(lines), heaps); (err != nil) != fails || heaps["snapshot.v1.2"] != "" {
			t.Errorf("%.60s: %v, %v", lines, heaps, err)
		}
	}
}

// What is read otherwise says so: ErrNotSeekable, for who can read a stream.
func TestArchiveFileNotSeekable(t *testing.T) {
	dir, _ := testdata.Export(t, "tiny", "archival", "all")
	plain, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{})
	packed, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{Zstd: true})
	cases := map[string][]byte{
		"empty":               nil,
		"short":               []byte("x"),
		"text":                bytes.Repeat([]byte("text\n"), 1000),
		"zeros":               make([]byte, 10<<10),
		"gzip":                testdata.Gzip(plain),
		"foreign tar":         testdata.ForeignTar(t, dir, testdata.ForeignOptions{}),
		"one frame":           testdata.ZstdFrame(plain),
		"too large a frame":   testdata.ArchiveZstd(append(plain[:len(plain):len(plain)], make([]byte, 20<<20)...), 16<<20),
		"cut before the end":  plain[:len(plain)-512],
		"cut in the index":    plain[:len(plain)-2048],
		"cut compressed":      packed[:len(packed)-1],
		"a block too much":    append(plain[:len(plain):len(plain)], make([]byte, 512)...),
		"text behind the end": append(plain[:len(plain):len(plain)], "text"...),
		"compressed rubbish":  testdata.ArchiveZstd([]byte("rubbish"), 0),
	}
	for name, data := range cases {
		if _, err := NewArchiveFile(bytes.NewReader(data), int64(len(data))); !errors.Is(err, ErrNotSeekable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, t.TempDir(), os.DevNull} {
		if _, err := OpenArchiveFile(p, nil); !errors.Is(err, ErrNotSeekable) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if _, err := OpenArchiveFile(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// countReads returns an FS that adds up what is read through it.
func countReads() (*FS, *atomic.Int64) {
	n := new(atomic.Int64)
	return &FS{Before: func(op Op) error {
		if op.Kind == OpRead {
			n.Add(int64(op.Len))
		}
		return nil
	}}, n
}

// manyEntries is an archive of n spans, most of them empty, each 10000th with content.
type manyEntries struct{ n int }

func (m manyEntries) name(i int) string {
	return fmt.Sprintf("transcript.v%d.%d.%d", i%800, i*100, i*100+100)
}

func (m manyEntries) content(i int) []byte {
	if i%10_000 != 7 {
		return nil
	}
	return bytes.Repeat(fmt.Appendf(nil, "item of span %d\n", i), 10_000)
}

// pack is the plain archive.
func (m manyEntries) pack() []byte {
	h := format.ArchiveHeader{BlockHeight: 1, HasBlockHeight: true, ArtifactMode: format.Archival, Snapshots: format.RawSnapshots}
	files := []testdata.ArchiveFile{{Name: format.ArchiveHeaderFile, Data: format.AppendArchiveHeader(nil, h)}}
	for i := range m.n {
		files = append(files, testdata.ArchiveFile{Name: m.name(i), Data: m.content(i)})
	}
	packed, _ := testdata.PackArchive(files, 0)
	return packed
}

// Of an archive with 430,000 entries, 260 MB with an index of 42 MB, one span is found and read for little.
func TestArchiveFileManyEntries(t *testing.T) {
	m := manyEntries{430_000}
	if testing.Short() {
		m.n = 30_000
	}
	plain := m.pack()
	t.Run("tar", func(t *testing.T) { testManyEntries(t, m, plain, 16<<10, 400<<10) })
	// Frames of contents are small here, those of the index, which is half hashes, are not.
	t.Run("tar.zst", func(t *testing.T) { testManyEntries(t, m, testdata.ArchiveZstd(plain, 0), 5<<20, 8<<20) })
}

// testManyEntries reads a few spans, each with the bytes that may be read to open the archive and to find and read a span.
func testManyEntries(t *testing.T, m manyEntries, packed []byte, maxOpen, maxRead int64) {
	path := filepath.Join(t.TempDir(), "many")
	if err := os.WriteFile(path, packed, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{7, m.n/2 - 1, m.n - 10_000 + 7, m.n - 1} {
		fsys, read := countReads()
		a, err := OpenArchiveFile(path, fsys)
		if err != nil {
			t.Fatal(err)
		}
		if n := read.Swap(0); n == 0 || n > maxOpen {
			t.Errorf("opening read %d bytes of %d", n, len(packed))
		}
		e, ok, err := a.Index().Find(m.name(i))
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", m.name(i), ok, err)
		}
		r, err := a.Open(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, m.content(i)) {
			t.Errorf("%s: %d bytes, %v", m.name(i), len(got), err)
		}
		if n := read.Swap(0); n > maxRead {
			t.Errorf("%s: %d bytes of %d read for %d", m.name(i), n, len(packed), e.Size)
		}
		if _, ok, err := a.Index().Find(m.name(i) + "0"); ok || err != nil {
			t.Errorf("found what is not there, %v", err)
		}
		if n := read.Load(); n > maxRead {
			t.Errorf("%d bytes of %d read for what is not there", n, len(packed))
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
