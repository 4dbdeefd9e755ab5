package pipeline

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/stages"
)

// named checks that each path was named by a warning.
func named(t *testing.T, warnings []string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if !slices.ContainsFunc(warnings, func(w string) bool { return strings.HasPrefix(w, "removed "+path) && strings.Contains(w, "killed") }) {
			t.Errorf("nothing says that %s was removed: %q", path, warnings)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// What killed runs left is removed and named, also where the run is refused afterwards; what only looks like it stays.
func TestLeftoversAreNamed(t *testing.T) {
	b := goodStore(t)
	b.Close()
	dir := t.TempDir()
	work, extract := filepath.Join(dir, ".swingport-export-1"), filepath.Join(dir, ".swingport-extract-2")
	put(t, filepath.Join(work, "half"), "half")
	put(t, filepath.Join(extract, "half"), "half")
	put(t, filepath.Join(dir, ".swingport-other"), "not ours")
	o := archival(b.Dir)
	o.ExportDir = dir
	sum, err := Export(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	named(t, sum.Warnings, work, extract)
	put(t, filepath.Join(work, "half"), "half")
	sum, err = Export(context.Background(), o)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an export: %v", err)
	}
	named(t, sum.Warnings, work)

	o.ExportDir, o.Archive, o.Checksums = "", filepath.Join(dir, "x.tar"), false
	part, spill := filepath.Join(dir, ".swingport-archive-3"), filepath.Join(dir, ".swingport-spill-4")
	put(t, part, "half")
	put(t, spill, "spilled")
	if sum, err = Export(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	named(t, sum.Warnings, part, spill)
	if _, err := os.Stat(filepath.Join(dir, ".swingport-other")); err != nil {
		t.Error(err)
	}
}

// Imports and copies name what they remove too, and a refused import does.
func TestImportLeftoversAreNamed(t *testing.T) {
	b := goodStore(t)
	b.Close()
	state := oldStore(t)
	build, spill := filepath.Join(state, ".swingport-import-1"), filepath.Join(state, ".swingport-spill-2")
	leave := func() {
		put(t, filepath.Join(build, stages.StoreFile), "half")
		put(t, spill, "spilled")
	}
	leave()
	sum, err := Copy(context.Background(), CopyOptions{StateDir: b.Dir, ToStateDir: state})
	if err != nil {
		t.Fatal(err)
	}
	named(t, sum.Warnings, build, spill)
	leave()
	if err := os.Rename(filepath.Join(state, stages.StoreFile), filepath.Join(state, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", filepath.Join(state, stages.StoreFile)); err != nil {
		t.Fatal(err)
	}
	imported, err := Import(context.Background(), ImportOptions{StateDir: state, ExportDir: handMade().write(t)})
	if err == nil {
		t.Fatal("a link was replaced")
	}
	named(t, imported.Warnings, build, spill)
	copied, err := Copy(context.Background(), CopyOptions{StateDir: b.Dir, ToStateDir: state})
	if err == nil || len(copied.Warnings) != 0 {
		t.Errorf("%v, %q", err, copied.Warnings)
	}
}

// An import that was killed when it had given the old store its second name does not give it a third one.
func TestKeepOldGoesOn(t *testing.T) {
	o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t), KeepOld: true}
	path := filepath.Join(o.StateDir, stages.StoreFile)
	if err := os.Link(path, path+".old-7"); err != nil {
		t.Fatal(err)
	}
	sum, err := Import(context.Background(), o)
	if err != nil || sum.KeptOld != "swingstore.sqlite.old-7" {
		t.Fatalf("kept as %q, %v", sum.KeptOld, err)
	}
	if got := names(t, o.StateDir); got != "other.txt swingstore.sqlite swingstore.sqlite.old-7" {
		t.Errorf("there is %s", got)
	}
	checkNew(t, o.StateDir)
	// Where the swap fails, the name goes again.
	o.StateDir = oldStore(t)
	path = filepath.Join(o.StateDir, stages.StoreFile)
	if err := os.Link(path, path+".old-7"); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no rename")
	_, err = importInto(context.Background(), o, &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpRename {
			return broken
		}
		return nil
	}})
	if got := names(t, o.StateDir); !errors.Is(err, broken) || got != "other.txt swingstore.sqlite" {
		t.Errorf("there is %s, %v", got, err)
	}
}

// One that was killed while it moved a damaged store aside goes on with that, unless something would be lost by it.
func TestMoveAsideGoesOn(t *testing.T) {
	for _, wal := range []bool{false, true} {
		o := ImportOptions{StateDir: t.TempDir(), ExportDir: handMade().write(t)}
		path := filepath.Join(o.StateDir, stages.StoreFile)
		aside := path + ".damaged-20260101T000000Z"
		put(t, path, strings.Repeat("damaged ", 1000))
		put(t, aside+"-wal", "a log")
		if wal {
			put(t, path+"-wal", "another log")
		}
		if err := os.Link(path, aside); err != nil {
			t.Fatal(err)
		}
		sum, err := Import(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		if goesOn := sum.MovedAside == filepath.Base(aside); goesOn == wal {
			t.Errorf("moved to %s", sum.MovedAside)
		}
		if got := readText(t, o.StateDir, filepath.Base(aside)+"-wal"); got != "a log" {
			t.Errorf("the log is %q", got)
		}
		if wal && readText(t, o.StateDir, sum.MovedAside+"-wal") != "another log" {
			t.Error("the other log is gone")
		}
		if _, err := os.Lstat(path + "-wal"); err == nil {
			t.Error("a log is beside the new store")
		}
		checkNew(t, o.StateDir)
	}
}

// Every run sees the file system that its context carries.
func TestContextFS(t *testing.T) {
	b := goodStore(t)
	b.Close()
	why := errors.New("stopped")
	for name, run := range map[string]func(context.Context) error{
		"export": func(ctx context.Context) error {
			o := archival(b.Dir)
			o.ExportDir = filepath.Join(t.TempDir(), "x")
			_, err := Export(ctx, o)
			return err
		},
		"import": func(ctx context.Context) error {
			_, err := Import(ctx, ImportOptions{StateDir: filepath.Join(t.TempDir(), "x"), ExportDir: handMade().write(t)})
			return err
		},
		"copy": func(ctx context.Context) error {
			_, err := Copy(ctx, CopyOptions{StateDir: b.Dir, ToStateDir: filepath.Join(t.TempDir(), "x")})
			return err
		},
	} {
		fsys := &stages.FS{Before: func(op stages.Op) error {
			if op.Kind == stages.OpMkdir {
				return why
			}
			return nil
		}}
		if err := run(stages.WithFS(context.Background(), fsys)); !errors.Is(err, why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	reads := 0
	fsys := &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpOpen {
			reads++
		}
		return nil
	}}
	if _, err := Verify(stages.WithFS(context.Background(), fsys), VerifyOptions{StateDir: b.Dir}); err != nil || reads == 0 {
		t.Errorf("verify opened %d files, %v", reads, err)
	}
}
