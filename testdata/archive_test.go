package testdata

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// tinyArchival is an export with 70 artifacts.
func tinyArchival(tb testing.TB) string { return filepath.Join(Dir(tb), "exports", "tiny", "archival") }

// untar is what archive/tar reads.
func untar(t *testing.T, packed []byte) (names []string, files map[string]string) {
	t.Helper()
	files = map[string]string{}
	for r := tar.NewReader(bytes.NewReader(packed)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names, files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, files[h.Name] = append(names, h.Name), string(data)
	}
}

// What is written from FORMAT.md alone is, byte for byte, the archive that package format keeps for all time.
func TestArchiveIsTheWorkedOne(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(Dir(t), "archives", "worked-v1.tar"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	_, files := untar(t, want)
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, entries := Archive(t, dir, ArchiveOptions{})
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes, not the %d of the file", len(got), len(want))
	}
	for _, e := range entries {
		if data := got[e.Offset : e.Offset+e.Size]; string(data) != files[e.Name] {
			t.Errorf("%s is not at %d", e.Name, e.Offset)
		}
	}
}

// Headers are what archive/tar writes, names and sizes of all kinds.
func TestTarHeader(t *testing.T) {
	for _, name := range []string{"a", "vat-ünï", strings.Repeat("x", 100), strings.Repeat("x", 101), strings.Repeat("ü", 90), "a b=c\n"} {
		for _, size := range []int64{0, 1, 1<<33 - 1, 1 << 33, 1 << 50} {
			var b bytes.Buffer
			err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(99, 0), Format: tar.FormatPAX})
			if err != nil {
				t.Fatal(err)
			}
			if got := TarHeader(name, size, 99); !bytes.Equal(got, b.Bytes()) {
				t.Errorf("%q of %d bytes: %s", name, size, firstDifference(got, b.Bytes()))
			}
		}
	}
}

// All kinds of archives have the files of the directory, and zstd and gzip read back what was packed.
func TestArchiveKinds(t *testing.T) {
	dir := tinyArchival(t)
	plain, _ := Archive(t, dir, ArchiveOptions{})
	packed, _ := Archive(t, dir, ArchiveOptions{Zstd: true, FrameSize: 5000})
	dec, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	if again, err := io.ReadAll(dec); err != nil || !bytes.Equal(again, plain) {
		t.Errorf("decompressed %d bytes, want %d, %v", len(again), len(plain), err)
	}
	names, files := untar(t, plain)
	if names[0] != archiveHeader || names[len(names)-1] != archiveIndex || names[len(names)-2] != archiveManifest {
		t.Errorf("order %q", names)
	}
	delete(files, archiveHeader)
	delete(files, archiveIndex)
	want, err := readDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range want {
		if files[name] != string(data) {
			t.Errorf("%s is other content", name)
		}
	}
	if len(files) != len(want) {
		t.Errorf("%d files, want %d", len(files), len(want))
	}

	other, _ := Archive(t, dir, ArchiveOptions{Gzip: true, NoExportData: true})
	_, files = untar(t, other)
	if _, ok := files[archiveData]; ok || strings.Contains(files[archiveManifest], `"data"`) || !strings.Contains(files[archiveManifest], `"snapshot.v1.34.gz"`) {
		t.Errorf("manifest without export data and with gzip: %s", files[archiveManifest])
	}
	if files["snapshot.v1.34.gz"] != string(Gzip(want["snapshot.v1.34"])) {
		t.Error("no gzip of the heap")
	}
}

// Other programs' tars have all files, in the order and with the names that were asked for.
func TestForeignTar(t *testing.T) {
	dir := tinyArchival(t)
	for _, f := range []tar.Format{tar.FormatGNU, tar.FormatPAX} {
		names, _ := untar(t, ForeignTar(t, dir, ForeignOptions{Format: f, Prefix: "x/", Reverse: true, First: []string{archiveManifest}, Leave: []string{archiveData}}))
		if names[0] != "x/" || names[1] != "x/"+archiveManifest || names[2] != "x/transcript.vat-ünï.5.6" || len(names) != 72 {
			t.Errorf("%d names, %q", len(names), names[:3])
		}
	}
}
