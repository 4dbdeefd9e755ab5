package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// An archive of ours is imported as the directory is that it was made of, packed in any way.
func TestImportArchive(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"tiny", "tiny1a", "tinyraw"} {
		dir, _ := testdata.Export(t, store, "archival", "all")
		o := ImportOptions{StateDir: t.TempDir(), ExportDir: dir}
		want, err := Import(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		text := dump(t, o.StateDir)
		for _, a := range []testdata.ArchiveOptions{{}, {Zstd: true}, {Gzip: true}, {Zstd: true, Gzip: true, FrameSize: 1000}} {
			archive, _ := testdata.Archive(t, dir, a)
			for _, workers := range []int{1, 2, 8} {
				o := ImportOptions{StateDir: t.TempDir(), Archive: "-", Stdin: bytes.NewReader(archive), Workers: workers}
				sum, err := Import(context.Background(), o)
				if err != nil {
					t.Fatalf("%s %+v: %v", store, a, err)
				}
				got := dump(t, o.StateDir)
				if !a.Gzip { // else the blobs are others
					for _, line := range testdata.CompareDumps(got, text) {
						t.Errorf("%s %+v: %s", store, a, line)
					}
				}
				sum.Seconds, sum.MBPerSecond, want.Seconds, want.MBPerSecond = 0, 0, 0, 0
				if a := sum; a.ExportDataSHA256 != want.ExportDataSHA256 || a.Artifacts != want.Artifacts || a.Items != want.Items || a.KVRows != want.KVRows || a.Bytes != want.Bytes {
					t.Errorf("%s: %+v, want %+v", store, sum, want)
				}
			}
		}
	}
}

// repair-metadata takes the metadata out of an archive, and reads the archive to its end all the same.
func TestRepairFromArchive(t *testing.T) {
	t.Parallel()
	dir := handMade().write(t)
	own, entries := testdata.Archive(t, dir, testdata.ArchiveOptions{Zstd: false})
	damaged := bytes.Clone(own)
	at := entries[slices.IndexFunc(entries, func(e testdata.ArchiveEntry) bool { return e.Name == "export-data.jsonl" })].Offset
	damaged[at+int64(strings.Index(handMadeData(), "value value"))]++ // still a line of JSON
	for _, c := range []struct {
		name string
		data []byte
		is   error
	}{
		{"ours", own, nil},
		{"packed", testdata.ArchiveZstd(own, 3000), nil},
		{"foreign", testdata.ForeignTar(t, dir, testdata.ForeignOptions{}), nil},
		{"cut", own[:len(own)-600], io.ErrUnexpectedEOF},
		{"damaged", damaged, format.ErrHashMismatch},
	} {
		stateDir := t.TempDir()
		if _, err := Import(context.Background(), ImportOptions{StateDir: stateDir, ExportDir: dir}); err != nil {
			t.Fatal(err)
		}
		whole := dump(t, stateDir)
		change(t, stateDir, "DELETE FROM transcriptSpans WHERE startPos = 0")
		lost := dump(t, stateDir)
		o := repairOptions(stateDir, "", 1000)
		o.Archive, o.Stdin = "-", bytes.NewReader(c.data)
		sum, err := Import(context.Background(), o)
		if !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.name, err)
		}
		want := whole
		if c.is != nil {
			want = lost
		} else if len(sum.ExportDataSHA256) != 64 || sum.Bytes == 0 {
			t.Errorf("%s: summary %+v", c.name, sum)
		}
		for _, line := range testdata.CompareDumps(dump(t, stateDir), want) {
			t.Errorf("%s: %s", c.name, line)
		}
	}
}

// What comes before the manifest is spooled where the new store is going to be, and nothing is left of it.
func TestImportSpoolDir(t *testing.T) {
	data := testdata.ForeignTar(t, handMade().write(t), testdata.ForeignOptions{})
	top := t.TempDir()
	temp := filepath.Join(top, "temp")
	if err := os.Mkdir(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ tempDir, want string }{{"", top}, {temp, temp}} {
		var spooled []string
		fsys := &stages.FS{Before: func(op stages.Op) error {
			if op.Kind == stages.OpOpen && (op.Path == top || op.Path == temp) {
				spooled = append(spooled, op.Path)
			}
			return nil
		}}
		o := ImportOptions{StateDir: filepath.Join(top, "a", "b"), Archive: "-", Stdin: bytes.NewReader(data), TempDir: c.tempDir}
		if _, err := importInto(context.Background(), o, fsys); err != nil {
			t.Fatal(err)
		}
		if strings.Join(spooled, " ") != c.want {
			t.Errorf("spooled in %q, want %s", spooled, c.want)
		}
		checkNew(t, o.StateDir)
		if left := names(t, top); left != "a temp" || names(t, temp) != "" {
			t.Errorf("left over: %s %s", left, names(t, temp))
		}
		if err := os.RemoveAll(filepath.Join(top, "a")); err != nil {
			t.Fatal(err)
		}
	}
}
