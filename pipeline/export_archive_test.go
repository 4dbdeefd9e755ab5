package pipeline

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swingport/format"
	"swingport/testdata"
)

// toArchive exports to a new file of that name, in a directory of its own.
func toArchive(t *testing.T, o ExportOptions, name string) (path string, sum Summary, err error) {
	t.Helper()
	o.ExportDir, o.Checksums, o.Archive = "", false, filepath.Join(t.TempDir(), name)
	sum, err = Export(t.Context(), o)
	return o.Archive, sum, err
}

// unpacked unpacks an archive into a directory, without the two files that no export has; order is that of the entries.
func unpacked(t *testing.T, path string) (dir string, order []string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var in io.Reader = file
	if strings.HasSuffix(path, ".zst") {
		z, err := zstd.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		in = z
	}
	dir = t.TempDir()
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir, order
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil || h.Typeflag != tar.TypeReg || filepath.Base(h.Name) != h.Name {
			t.Fatalf("%+v: %v", h, err)
		}
		order = append(order, h.Name)
		if h.Name != format.ArchiveHeaderFile && h.Name != format.ArchiveIndexFile {
			put(t, filepath.Join(dir, h.Name), string(content))
		}
	}
}

// nothingBeside fails a test where a failed export left its file or anything beside it.
func nothingBeside(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) > 0 {
		t.Errorf("the failed export left %v, %v", entries, err)
	}
}

// An archive has what a directory of the same options has, whatever is odd in the store; and fails as that does.
func sameAsDirectory(t *testing.T, o ExportOptions, dir string, failed error) {
	t.Helper()
	path, sum, err := toArchive(t, o, "x.tar")
	if failed != nil {
		if err == nil || text(err) != text(failed) {
			t.Errorf("to an archive: %v, to a directory: %v", err, failed)
		}
		nothingBeside(t, path)
		return
	}
	if err != nil {
		t.Errorf("to an archive: %v", err)
		return
	}
	files, _ := unpacked(t, path)
	for _, diff := range testdata.CompareExports(files, dir) {
		t.Errorf("in the archive: %s", diff)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != sum.ArchiveBytes {
		t.Errorf("the archive has %v bytes, not %d, %v", info, sum.ArchiveBytes, err)
	}
}

// text is an error without the stage that it came from, which may be one or another.
func text(err error) string {
	_, rest, _ := strings.Cut(err.Error(), ": ")
	return rest
}

// Spans whose room in memory is too small come out of the temporary file, at the end, with the size that was announced; by any number of workers
// and at any level, and by both readers with the same content.
func TestArchiveOfSpilledSpans(t *testing.T) {
	b := goodStore(t)
	long := strings.Repeat("x", 50_000)
	for v := range 12 {
		items := make([]string, 20)
		for i := range items {
			items[i] = fmt.Sprint(v, i, long[:i*v*200]) + "\xff\xe2\x82"[:i%4%3]
		}
		decoded := make([]string, len(items))
		for i := range items {
			decoded[i] = string(format.AppendText(nil, []byte(items[i])))
		}
		b.SpanRow(fmt.Sprint("w", v), 0, len(items), 0, true, testdata.SpanHash(decoded...))
		for i := range items {
			b.Exec("INSERT INTO transcriptItems VALUES (?,?,CAST(? AS TEXT),0)", fmt.Sprint("w", v), len(items)-1-i, []byte(items[len(items)-1-i]))
		}
	}
	b.Close()
	o := ExportOptions{StateDir: b.Dir, ArtifactMode: format.Archival, ExportDataMode: format.All, openSpans: 200_000}
	dir, _, err := runExport(t, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, reader := range []string{ReaderSweep, ReaderEngine} {
		for _, level := range []string{"fastest", "default", "better", "best"} {
			var first []byte
			for _, o.Workers = range []int{1, 2, 8} {
				o.Reader, o.Level = reader, level
				path, _, err := toArchive(t, o, "x.tar.zst")
				if err != nil {
					t.Fatal(err)
				}
				packed, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if first == nil {
					first = packed
					files, _ := unpacked(t, path)
					for _, diff := range testdata.CompareExports(files, dir) {
						t.Error(diff)
					}
				}
				if !bytes.Equal(first, packed) {
					t.Errorf("%s at level %s: other bytes with %d workers", reader, level, o.Workers)
				}
			}
		}
	}
}

// Stored gzip that comes with a wrong size: what the store says is believed only where the gzip agrees, and where both are wrong the archive ends
// with an error. A directory has no sizes.
func TestArchiveSizeOfHeaps(t *testing.T) {
	members := slices.Concat(testdata.Gzip([]byte("a h")), testdata.Gzip([]byte("eap")))
	for _, c := range []struct {
		name  string
		blob  []byte
		size  any
		fails bool
	}{
		{"right", testdata.Gzip([]byte("a heap")), 6, false},
		{"none", testdata.Gzip([]byte("a heap")), nil, false},
		{"wrong", testdata.Gzip([]byte("a heap")), 5, false},
		{"text", testdata.Gzip([]byte("a heap")), "six", false},
		{"negative", testdata.Gzip([]byte("a heap")), -1, false},
		{"by 2^32", testdata.Gzip([]byte("a heap")), 6 + 1<<32, false},
		{"members", members, 6, false},
		{"of the last member", members, 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := goodStore(t)
			b.Exec("UPDATE snapshots SET compressedSnapshot=?, uncompressedSize=? WHERE snapPos=4", c.blob, c.size)
			b.Close()
			o := ExportOptions{StateDir: b.Dir, ArtifactMode: format.Archival, ExportDataMode: format.All}
			dir, _, err := runExport(t, o)
			if err != nil {
				t.Fatal(err)
			}
			path, _, err := toArchive(t, o, "x.tar")
			var of *ArtifactError
			switch {
			case c.fails && (!errors.As(err, &of) || of.Name != "snapshot.v1.4" || !strings.Contains(err.Error(), "has 6 bytes")):
				t.Errorf("%v", err)
			case c.fails:
				nothingBeside(t, path)
			default:
				sameAsDirectory(t, o, dir, nil)
			}
			o.Snapshots = format.GzipSnapshots
			path, _, err = toArchive(t, o, "x.tar")
			if err != nil {
				t.Fatal(err)
			}
			files, _ := unpacked(t, path)
			oddFile(t, files, "snapshot.v1.4.gz", string(c.blob))
		})
	}
}

// With gzip snapshots a directory and an archive have the bytes of the store, which are verified all the same.
func TestExportGzipSnapshots(t *testing.T) {
	b := goodStore(t)
	heap := []byte(strings.Repeat("a heap of some length ", 100_000))
	blob := slices.Concat(testdata.Gzip(heap[:1000]), testdata.Gzip(heap[1000:]))
	b.HeapBlob("v2", 1, true, heap, blob)
	b.Close()
	o := ExportOptions{StateDir: b.Dir, ArtifactMode: format.Archival, ExportDataMode: format.All, Snapshots: format.GzipSnapshots, Checksums: true}
	dir, _, err := runExport(t, o)
	if err != nil {
		t.Fatal(err)
	}
	checkSums(t, dir)
	oddFile(t, dir, "snapshot.v2.1.gz", string(blob))
	if m := manifest(t, dir); m.Artifacts.At(1) != (format.Artifact{Name: "snapshot.v2.1", File: "snapshot.v2.1.gz"}) {
		t.Errorf("the manifest has %v", m.Artifacts)
	}
	if err := os.Remove(filepath.Join(dir, format.ChecksumsFile)); err != nil {
		t.Fatal(err)
	}
	o.Checksums = false
	sameAsDirectory(t, o, dir, nil)

	damaged := testdata.Open(t, b.Dir)
	damaged.Exec("UPDATE snapshots SET compressedSnapshot=? WHERE vatID='v2'", testdata.Gzip([]byte("another heap")))
	damaged.Close()
	dir, _, err = runExport(t, o)
	if !errors.Is(err, format.ErrHashMismatch) || !strings.Contains(err.Error(), "snapshot.v2.1") {
		t.Errorf("%v", err)
	}
	nothingLeft(t, dir)
	sameAsDirectory(t, o, "", err)
}

// What options cannot be is said before anything is read.
func TestArchiveOptionErrors(t *testing.T) {
	b := goodStore(t)
	b.Close()
	for _, c := range []struct {
		says   string
		change func(*ExportOptions)
	}{
		{"neither .tar nor .tar.zst", func(o *ExportOptions) { o.Archive = "x.tgz" }},
		{`unknown format "zip"`, func(o *ExportOptions) { o.Format = "zip" }},
		{`unknown level "22"`, func(o *ExportOptions) { o.Level = "22" }},
		{"its index has the hash of each file", func(o *ExportOptions) { o.Checksums = true }},
		{"modification time -1", func(o *ExportOptions) { o.ModTime = -1 }},
		{"snapshots", func(o *ExportOptions) { o.Snapshots = "zstd" }},
		{"no standard output", func(o *ExportOptions) { o.Archive = "-" }},
	} {
		dir := t.TempDir()
		t.Chdir(dir)
		o := ExportOptions{StateDir: b.Dir, Archive: filepath.Join(dir, "x.tar.zst")}
		c.change(&o)
		if _, err := Export(context.Background(), o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %s", err, c.says)
		}
		nothingBeside(t, o.Archive)
	}
}
