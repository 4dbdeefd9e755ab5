package format

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write ../testdata/archives anew")

// workedArchive is an archive of version 1 with the files of FORMAT.md's first
// example. It stays as it is: a later version gets a file of its own.
var workedArchive = filepath.Join("..", "testdata", "archives", "worked-v1.tar")

// workedEntries are the files of the archive in their order.
func workedEntries(t *testing.T) (names []string, content map[string]string) {
	t.Helper()
	_, content = workedExample(t)
	// These blocks end with a newline that the file has not.
	content[ManifestFile] = strings.TrimSuffix(content[ManifestFile], "\n")
	m, err := ReadManifest(strings.NewReader(content[ManifestFile]))
	if err != nil {
		t.Fatal(err)
	}
	header := AppendArchiveHeader(nil, ArchiveHeader{m.BlockHeight, true, ArtifactMode(m.ArtifactMode), true, RawSnapshots})
	for line := range strings.Lines(content[ExportDataFile]) {
		if tag := mustParse(t, []byte(line)).Tag(); string(tag) != "kv" {
			header = append(header, line...)
		}
	}
	content[ArchiveHeaderFile] = string(header)
	names = append(names, ArchiveHeaderFile)
	for _, kind := range []Kind{KindSnapshot, KindBundle, KindTranscript} {
		for _, a := range m.Artifacts.All() {
			name, err := ParseName(a.Name)
			if err != nil {
				t.Fatal(err)
			}
			if name.Kind == KindBundle {
				content[a.File] = strings.TrimSuffix(content[a.File], "\n")
			}
			if name.Kind == kind {
				names = append(names, a.File)
			}
		}
	}
	return append(names, ExportDataFile, ManifestFile), content
}

// buildArchive makes the archive of small files.
func buildArchive(t *testing.T, names []string, content map[string]string) []byte {
	t.Helper()
	var out, index bytes.Buffer
	add := func(name, data string) {
		head, err := AppendTarHeader(nil, name, int64(len(data)), 0)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(head)
		out.WriteString(data)
		out.Write(make([]byte, TarPadding(int64(len(data)))))
	}
	w := NewArchiveIndexWriter(&index)
	for _, name := range names {
		data := content[name]
		add(name, data)
		size := int64(len(data))
		e := ArchiveEntry{name, int64(out.Len()) - size - TarPadding(size), size, sha256.Sum256([]byte(data))}
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	add(ArchiveIndexFile, index.String())
	out.Write(make([]byte, TarEnd))
	return out.Bytes()
}

// The archive on disk has the files of the page, and the page's table has its
// entries. Written again, it is the same.
func TestWorkedArchive(t *testing.T) {
	names, content := workedEntries(t)
	built := buildArchive(t, names, content)
	if *update {
		if err := os.WriteFile(workedArchive, built, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	archive, err := os.ReadFile(workedArchive)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(built, archive) {
		t.Errorf("built again, the archive of %d bytes has %d bytes and is another one", len(archive), len(built))
	}
	page, _ := workedExample(t)
	index := readWorkedArchive(t, archive, names, content)
	i := 0
	if err := index.Each(func(e ArchiveEntry) error {
		row := fmt.Sprintf("| `%s` | %d | %d | `%x` |", e.Name, e.Offset, e.Size, e.SHA256)
		if !strings.Contains(page, row) {
			t.Errorf("the page lacks %s", row)
		}
		if found, ok, err := index.Find(names[i]); err != nil || !ok || found != e {
			t.Errorf("%s found as %+v, %v, %v", names[i], found, ok, err)
		}
		if sha256.Sum256(archive[e.Offset:e.Offset+e.Size]) != e.SHA256 {
			t.Errorf("%s has another hash", e.Name)
		}
		i++
		return nil
	}); err != nil || i != len(names) {
		t.Errorf("index of %d entries, %v", i, err)
	}
	line, _, _ := strings.Cut(content[ArchiveHeaderFile], "\n")
	if h, err := ParseArchiveHeader([]byte(line)); err != nil || h.BlockHeight != 17 || !strings.Contains(page, "\n"+line+"\n") {
		t.Errorf("header %+v, %v, or the page lacks it", h, err)
	}
}

// readWorkedArchive compares each file, and returns the index, verified.
func readWorkedArchive(t *testing.T, archive []byte, names []string, content map[string]string) *ArchiveIndex {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(archive))
	for i := 0; ; i++ {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Name == ArchiveIndexFile {
			x := openIndex(t, data)
			if _, err := r.Next(); err != io.EOF || i != len(names) || x.Verify() != nil {
				t.Errorf("the index is entry %d of %d, followed by %v; Verify: %v", i, len(names), err, x.Verify())
			}
			return x
		}
		if i >= len(names) || h.Name != names[i] || string(data) != content[h.Name] {
			t.Fatalf("entry %d is %s", i, h.Name)
		}
	}
}

// tar unpacks the archive to the files of the export, and two that are ours.
func TestWorkedArchiveIsTar(t *testing.T) {
	names, content := workedEntries(t)
	dir := t.TempDir()
	gnuTar(t, nil, "-xf", workedArchive, "-C", dir)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(names)+1 {
		t.Errorf("%d files, want %d, %v", len(files), len(names)+1, err)
	}
	for _, name := range names {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != content[name] {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// workedHex is the bytes of a block of the page: hexadecimal, then what they are.
func workedHex(t *testing.T, page, name string) []byte {
	t.Helper()
	m := regexp.MustCompile("(?ms)^```text bytes=" + name + "\n(.*?)^```$").FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("the page has no bytes of %s", name)
	}
	var b []byte
	for line := range strings.Lines(m[1]) {
		digits, _, _ := strings.Cut(line, "  ")
		part, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, part...)
	}
	return b
}

func TestWorkedIndexAndSeekTable(t *testing.T) {
	page, _ := workedExample(t)
	index := workedHex(t, page, "index")
	entries, err := readAll(index, "a")
	want := ArchiveEntry{"a", 512, 3, sha256.Sum256([]byte("one"))}
	if err != nil || !slices.Equal(entries, []ArchiveEntry{want}) {
		t.Errorf("index: %+v, %v", entries, err)
	}
	if again := writeIndex(t, entries); !bytes.Equal(again, index) {
		t.Errorf("the index is\n%x\n%x on the page", again, index)
	}
	if table := workedHex(t, page, "seektable"); !bytes.Equal(seekStream(t, 20, 1<<20, 9, 5)[29:], table) {
		t.Errorf("the seek table is another one than %x", table)
	}
}

// The limits and names on the page are those of the code.
func TestFormatPageNamesTheArchive(t *testing.T) {
	page, _ := workedExample(t)
	for _, s := range []string{ArchiveHeaderFile, ArchiveIndexFile, indexMagic, indexTailMagic,
		fmt.Sprintf("version %d", ArchiveVersion), fmt.Sprintf("%d entries", MaxArchiveEntries), "2^50 bytes", fmt.Sprintf("%d bytes", MaxArchiveHeader),
		fmt.Sprintf("%d frames", MaxSeekFrames), "2^30 bytes", "2^33-1"} {
		if !strings.Contains(page, s) {
			t.Errorf("FORMAT.md does not have %s", s)
		}
	}
	if MaxArchiveSize != 1<<50 || MaxSeekFrameSize != 1<<30 || MaxTarTime != 1<<33-1 {
		t.Error("the page has other limits")
	}
}
