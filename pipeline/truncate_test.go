package pipeline

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// cutting is a command, and the files that another process cuts off while it reads them.
type cutting struct {
	name  string
	files []string
	run   func(t *testing.T, dir string, fsys *stages.FS) (map[string]string, error) // of a copy of what is in from
	from  string
}

func cuttings(t *testing.T) []cutting {
	ctx := context.Background()
	database := []string{stages.StoreFile, stages.StoreFile + "-wal", stages.StoreFile + "-shm"}
	by := func(reader string) func(*testing.T, string, *stages.FS) (map[string]string, error) {
		return func(t *testing.T, dir string, fsys *stages.FS) (map[string]string, error) {
			return exportBy(t, reader, ExportOptions{StateDir: dir, ArtifactMode: format.Archival, fs: fsys})
		}
	}
	imported := func(o func(dir string) ImportOptions) func(*testing.T, string, *stages.FS) (map[string]string, error) {
		return func(t *testing.T, dir string, fsys *stages.FS) (map[string]string, error) {
			o := o(dir)
			o.StateDir, o.Workers = filepath.Join(t.TempDir(), "state"), 2
			defer os.RemoveAll(o.StateDir)
			if _, err := importInto(ctx, o, fsys); err != nil {
				nothingLeft(t, o.StateDir)
				return nil, err
			}
			return map[string]string{"store": dump(t, o.StateDir)}, nil
		}
	}
	wal, export, archive := testdata.Store(t, "tinywal"), handMade().write(t), t.TempDir()
	own, _ := testdata.Archive(t, export, testdata.ArchiveOptions{Zstd: true, FrameSize: 3000})
	put(t, filepath.Join(archive, "x.tar.zst"), string(own))
	return []cutting{
		{"export by sweep", database, by(ReaderSweep), wal},
		{"export by engine", database, by(ReaderEngine), wal},
		{"copy", database, func(t *testing.T, dir string, fsys *stages.FS) (map[string]string, error) {
			to, _, err := runCopy(t, CopyOptions{StateDir: dir, Workers: 2, fs: fsys})
			defer os.RemoveAll(to)
			if err != nil {
				nothingLeft(t, to)
				return nil, err
			}
			return map[string]string{"store": dump(t, to)}, nil
		}, wal},
		{"verify", database, func(_ *testing.T, dir string, fsys *stages.FS) (map[string]string, error) {
			_, err := Verify(ctx, VerifyOptions{StateDir: dir, Deep: true, fs: fsys})
			return nil, err
		}, wal},
		{"import", []string{spanOne, heapOne, format.ExportDataFile}, imported(func(dir string) ImportOptions { return ImportOptions{ExportDir: dir} }), export},
		{"import of an archive", []string{"x.tar.zst"}, imported(func(dir string) ImportOptions { return ImportOptions{Archive: filepath.Join(dir, "x.tar.zst")} }), archive},
	}
}

// A file that another process cuts off, at whatever moment, is an error, unless what was cut off was not needed any more; and never the end of the process.
func TestTruncatedFiles(t *testing.T) {
	for _, c := range cuttings(t) {
		t.Run(c.name, func(t *testing.T) {
			var ops atomic.Int64
			want, err := c.run(t, c.from, &stages.FS{Before: func(stages.Op) error { ops.Add(1); return nil }})
			if err != nil {
				t.Fatal(err)
			}
			// A log that is gone before the store is opened is that of a store that did not commit what was in it.
			older := want
			if slices.Contains(c.files, stages.StoreFile) {
				dir := t.TempDir()
				if err := os.CopyFS(dir, os.DirFS(c.from)); err != nil {
					t.Fatal(err)
				}
				remove(t, dir, stages.StoreFile+"-wal")
				if older, err = c.run(t, dir, nil); err != nil {
					t.Fatal(err)
				}
			}
			cuts, failed := 0, 0
			for _, file := range c.files {
				for n := int64(0); n < ops.Load(); n += faultStride(8 * ops.Load()) {
					dir := t.TempDir()
					if err := os.CopyFS(dir, os.DirFS(c.from)); err != nil {
						t.Fatal(err)
					}
					path := filepath.Join(dir, file)
					var count atomic.Int64
					got, err := c.run(t, dir, &stages.FS{Before: func(stages.Op) error {
						if info, err := os.Stat(path); count.Add(1)-1 == n && err == nil {
							size := info.Size() / 2 * (n % 2) // half, or nothing
							if strings.HasSuffix(file, "-wal") {
								size = 0
							}
							os.Truncate(path, size)
						}
						return nil
					}})
					cuts++
					if err != nil {
						failed++
					} else if !maps.Equal(got, want) && !(strings.HasSuffix(file, "-wal") && maps.Equal(got, older)) {
						t.Errorf("%s was cut off at operation %d: no error, and another result", file, n)
					}
					os.RemoveAll(dir)
				}
			}
			t.Logf("%d files cut off, %d errors", cuts, failed)
			if failed == 0 && c.name != "verify" {
				t.Error("nothing failed")
			}
		})
	}
}

// The engine maps the -shm file of a log: that it was cut off is an error of whatever looks at it, and of closing the store none.
func TestTruncatedSharedMemory(t *testing.T) {
	dir := testdata.Store(t, "tinywal")
	store, err := stages.OpenStore(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, stages.StoreFile+"-shm"), 0); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := store.Height(); err == nil || !strings.Contains(err.Error(), stages.StoreFile) {
			t.Errorf("%v", err)
		}
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}
