package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// bulkyStore has more than the small disk of TestDiskFull can take, of all kinds.
func bulkyStore(t *testing.T) string {
	b := goodStore(t)
	rng := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		s := make([]byte, n)
		for i := range s {
			s[i] = byte(' ' + rng.IntN(90))
		}
		return string(s)
	}
	b.KV("large", text(300<<10))
	for v := range 5 {
		items := make([]string, 60)
		for i := range items {
			items[i] = text(4000) + "."
		}
		vat := fmt.Sprint("v", 10+v)
		b.Span(vat, 0, 0, true, items...)
		b.Heap(vat, 30, true, []byte(text(200<<10)))
	}
	b.Close()
	return b.Dir
}

// diskUser is a command that fills a disk.
type diskUser struct {
	name  string
	run   func(dir string) error
	old   bool                           // there is a store in dir
	check func(t *testing.T, dir string) // of the result; nil where it is not in dir
}

// fill runs the command on a small disk, and again when there is room.
func (c diskUser) fill(t *testing.T) {
	disk, grow := testdata.SmallDisk(t, 512<<10)
	dir := filepath.Join(disk, "dir") // the disk itself cannot be replaced
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if c.old {
		if err := os.CopyFS(dir, os.DirFS(oldStore(t))); err != nil {
			t.Fatal(err)
		}
	}
	before := content(t, dir)
	err := c.run(dir)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), syscall.ENOSPC.Error()) {
		t.Errorf("error %v", err)
	}
	same(t, dir, before)
	grow()
	if err := c.run(dir); err != nil {
		t.Fatalf("with room: %v", err)
	}
	if c.check != nil {
		c.check(t, dir)
	}
}

// A disk that is full for real, in the middle of any command, for its result or for its temporary files: the error says so, what was there is as it
// was, and nothing else is there. With room it works.
func TestDiskFull(t *testing.T) {
	state := bulkyStore(t)
	whole, archives := filepath.Join(t.TempDir(), "whole"), t.TempDir()
	exportTo := func(o ExportOptions) error {
		o.StateDir, o.ArtifactMode, o.ExportDataMode, o.NoSpaceCheck, o.openSpans = state, format.Archival, format.All, true, 1
		_, err := Export(context.Background(), o)
		return err
	}
	importFrom := func(o ImportOptions) error {
		o.NoSpaceCheck = true
		_, err := Import(context.Background(), o)
		return err
	}
	ours, foreign := filepath.Join(archives, "ours.tar.zst"), filepath.Join(archives, "foreign.tar")
	if err := errors.Join(exportTo(ExportOptions{ExportDir: whole}), exportTo(ExportOptions{Archive: ours})); err != nil {
		t.Fatal(err)
	}
	put(t, foreign, string(testdata.ForeignTar(t, whole, testdata.ForeignOptions{Reverse: true})))
	stored, _, err := runCopy(t, CopyOptions{StateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	want := dump(t, stored)

	sameFiles := func(t *testing.T, dir string) {
		for _, diff := range testdata.CompareExports(dir, whole) {
			t.Error(diff)
		}
	}
	sameStore := func(t *testing.T, dir string) {
		if got := dump(t, dir); got != want {
			t.Errorf("another store: %q", testdata.CompareDumps(got, want))
		}
	}
	elsewhere := t.TempDir()
	for _, c := range []diskUser{
		{"export", func(dir string) error { return exportTo(ExportOptions{ExportDir: filepath.Join(dir, "x")}) }, false,
			func(t *testing.T, dir string) { sameFiles(t, filepath.Join(dir, "x")) }},
		{"export to tar", func(dir string) error { return exportTo(ExportOptions{Archive: filepath.Join(dir, "x.tar")}) }, false, nil},
		{"export to tar.zst", func(dir string) error {
			return exportTo(ExportOptions{Archive: filepath.Join(dir, "x.tar.zst"), TempDir: elsewhere})
		}, false,
			func(t *testing.T, dir string) {
				if readText(t, dir, "x.tar.zst") != readText(t, archives, "ours.tar.zst") {
					t.Error("another archive")
				}
			}},
		{"spans that are put together", func(dir string) error {
			return exportTo(ExportOptions{ExportDir: filepath.Join(t.TempDir(), "x"), TempDir: dir})
		}, false, nil},
		{"import", func(dir string) error { return importFrom(ImportOptions{StateDir: dir, ExportDir: whole}) }, true, sameStore},
		{"import by pages", func(dir string) error {
			return importFrom(ImportOptions{StateDir: dir, ExportDir: whole, Writer: WriterPages})
		}, true, sameStore},
		{"import of an archive", func(dir string) error { return importFrom(ImportOptions{StateDir: dir, Archive: ours}) }, true, sameStore},
		{"import of another's tar", func(dir string) error { return importFrom(ImportOptions{StateDir: dir, Archive: foreign}) }, true, sameStore},
		{"artifacts that come before the export data", func(dir string) error {
			f, err := os.Open(foreign)
			if err != nil {
				return err
			}
			defer f.Close()
			return importFrom(ImportOptions{StateDir: filepath.Join(t.TempDir(), "x"), Archive: "-", Stdin: f, TempDir: dir})
		}, false, nil},
		{"copy", func(dir string) error {
			_, err := Copy(context.Background(), CopyOptions{StateDir: state, ToStateDir: dir, NoSpaceCheck: true})
			return err
		}, true, sameStore},
		{"extract", func(dir string) error {
			_, err := Extract(context.Background(), ExtractOptions{Path: ours, To: filepath.Join(dir, "x")})
			return err
		}, false, func(t *testing.T, dir string) { sameFiles(t, filepath.Join(dir, "x")) }},
	} {
		t.Run(c.name, c.fill)
	}
}
