package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// resumed is archival with Resume, to a new directory.
func resumed(t *testing.T, state string) ExportOptions {
	o := archival(state)
	o.Resume, o.ExportDir = true, filepath.Join(t.TempDir(), "export")
	return o
}

// interrupted exports until the first file is to come into place, so that all of them are in the folder that it returns.
func interrupted(t *testing.T, o ExportOptions) (folder string) {
	t.Helper()
	enough := errors.New("enough")
	o.fs = &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpRename {
			return enough
		}
		return nil
	}}
	sum, err := Export(context.Background(), o)
	if !errors.Is(err, enough) || filepath.Dir(sum.Unfinished) != o.ExportDir {
		t.Fatalf("%v; the unfinished export is in %q", err, sum.Unfinished)
	}
	if len(sum.Warnings) != 1 || !strings.Contains(sum.Warnings[0], sum.Unfinished) {
		t.Errorf("warnings %q", sum.Warnings)
	}
	if got := dirContent(t, o.ExportDir); len(got) != 1 {
		t.Errorf("the directory has %q", got)
	}
	return sum.Unfinished
}

// goneOn goes on with an export and compares it with one that nothing came in between.
func goneOn(t *testing.T, o ExportOptions) Summary {
	t.Helper()
	plain := o
	plain.Resume, plain.ExportDir, plain.fs = false, "", nil
	want, wantSum, err := runExport(t, plain)
	if err != nil {
		t.Fatal(err)
	}
	sum, err := Export(context.Background(), o)
	if err != nil {
		t.Error(err)
		return sum
	}
	for _, diff := range testdata.CompareExports(o.ExportDir, want) {
		t.Error(diff)
	}
	if got := dirContent(t, o.ExportDir); len(got) != len(dirContent(t, want)) {
		t.Errorf("the directory has %q", got)
	}
	same := sum
	same.Kept, same.Seconds, same.MBPerSecond, wantSum.Seconds, wantSum.MBPerSecond = 0, 0, 0, 0, 0
	if fmt.Sprint(same) != fmt.Sprint(wantSum) {
		t.Errorf("summary %+v, without a break %+v", same, wantSum)
	}
	return sum
}

// Stopped by an error or by the user at each operation, and again while it goes on, an export comes to the same bytes.
func TestResumeAtEachOperation(t *testing.T) {
	noLeaks(t)
	state := faultStore(t)
	ops := countOps(t, resumed(t, state))
	artifacts, kept := 0, 0
	for at := int64(1); at <= ops; at += max(1, ops/60) {
		o := resumed(t, state)
		for round := range int64(2) {
			ctx, cancel := context.WithCancelCause(context.Background())
			var n atomic.Int64
			o.fs = &stages.FS{Before: func(stages.Op) error {
				switch {
				case n.Add(1) != at-round:
				case (at+round)%2 == 0:
					cancel(errors.New("the user has enough"))
				default:
					return syscall.EIO
				}
				return nil
			}}
			if _, err := Export(ctx, o); err == nil {
				if err := os.RemoveAll(o.ExportDir); err != nil { // it came too late
					t.Fatal(err)
				}
			}
			cancel(nil)
		}
		o.fs = nil
		sum := goneOn(t, o)
		artifacts, kept = sum.Artifacts, max(kept, sum.Kept)
		if t.Failed() {
			t.Fatalf("operation %d", at)
		}
	}
	if artifacts == 0 || kept != artifacts {
		t.Errorf("at most %d of %d artifacts were kept", kept, artifacts)
	}
}

// What a killed export left is gone on with too, also that of one that goes on itself.
func TestResumeKilled(t *testing.T) {
	state := faultStore(t)
	ops := countOps(t, archival(state))
	for back := int64(0); back < ops-1; back += max(1, min(back, ops/8)) { // the files come into place at the end
		o := resumed(t, state)
		for range 2 {
			out, err := child(t, "TestKilledExport", fmt.Sprintf("%s\n%s\n%d", state, o.ExportDir, ops-back)).CombinedOutput()
			if err == nil {
				t.Logf("operation %d was too late: %s", ops-back, out)
			}
		}
		if _, err := os.Stat(filepath.Join(o.ExportDir, format.ManifestFile)); err == nil {
			continue // killed behind the commit point
		}
		goneOn(t, o)
		if t.Failed() {
			t.Fatalf("operation %d", ops-back)
		}
	}
}

// Only a file that is byte by byte what the store has is kept, and nothing else stays.
func TestResumeLeftovers(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	put(t, outside, "")
	for name, spoil := range map[string]func(path string, content []byte) error{
		"nothing": func(string, []byte) error { return nil },
		"last byte": func(path string, content []byte) error {
			content[len(content)-1] ^= 1
			return os.WriteFile(path, content, 0o600)
		},
		"byte of the gzip header": func(path string, content []byte) error {
			content[min(5, len(content)-1)] ^= 1
			return os.WriteFile(path, content, 0o600)
		},
		"cut":     func(path string, content []byte) error { return os.Truncate(path, int64(len(content)-1)) },
		"empty":   func(path string, _ []byte) error { return os.Truncate(path, 0) },
		"more":    func(path string, content []byte) error { return os.WriteFile(path, append(content, '\n'), 0o600) },
		"gone":    func(path string, _ []byte) error { return os.Remove(path) },
		"renamed": func(path string, _ []byte) error { return os.Rename(path, path+".old") },
		"a link": func(path string, content []byte) error {
			return errors.Join(os.WriteFile(outside, content, 0o600), os.Remove(path), os.Symlink(outside, path))
		},
		"a directory": func(path string, _ []byte) error {
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o700), os.WriteFile(filepath.Join(path, "file"), nil, 0o600))
		},
	} {
		for _, form := range []format.SnapshotForm{format.RawSnapshots, format.GzipSnapshots} {
			t.Run(name+" "+string(form), func(t *testing.T) {
				o := resumed(t, faultStore(t))
				o.Snapshots = form
				for _, file := range []string{"transcript.v1.0.2", form.File("snapshot.v1.4"), "bundle.b0-"} {
					folder := interrupted(t, o)
					matches, err := filepath.Glob(filepath.Join(folder, file+"*"))
					if err != nil || len(matches) != 1 {
						t.Fatalf("%s: %q, %v", file, matches, err)
					}
					content, err := os.ReadFile(matches[0])
					if err == nil {
						err = spoil(matches[0], content)
					}
					if err != nil {
						t.Fatal(err)
					}
					want := 0
					if name != "nothing" {
						want = 1
					}
					if sum := goneOn(t, o); sum.Artifacts-sum.Kept != want {
						t.Errorf("%s: %d of %d artifacts were kept", file, sum.Kept, sum.Artifacts)
					}
					if err := os.RemoveAll(o.ExportDir); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

// What is kept is not written again, and nothing of it is read out of the store.
func TestResumeWritesOnlyTheRest(t *testing.T) {
	o := resumed(t, faultStore(t))
	folder := interrupted(t, o)
	if err := os.Remove(filepath.Join(folder, "transcript.v1.2.5")); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	wrote := map[string]bool{}
	o.fs = &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpWrite {
			mu.Lock()
			defer mu.Unlock()
			wrote[filepath.Base(op.Path)] = true
		}
		return nil
	}}
	sum := goneOn(t, o)
	if sum.Kept != sum.Artifacts-1 {
		t.Errorf("kept %d of %d", sum.Kept, sum.Artifacts)
	}
	for _, name := range []string{"transcript.v1.2.5", format.ExportDataFile, format.ManifestFile, format.ChecksumsFile} {
		if !wrote[name] {
			t.Errorf("%s was not written", name)
		}
		delete(wrote, name)
	}
	for name := range wrote {
		if exportLike := strings.HasPrefix(name, "transcript.") || strings.HasPrefix(name, "snapshot.") || strings.HasPrefix(name, "bundle."); exportLike {
			t.Errorf("%s was written again", name)
		}
	}
}

// The store went on in between: what is closed is kept, the rest comes of the new height.
func TestResumeAtAnotherHeight(t *testing.T) {
	b := goodStore(t)
	defer b.Close()
	o := resumed(t, b.Dir)
	interrupted(t, o)
	b.Exec("UPDATE kvStore SET value='78' WHERE key='host.height'")
	b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position=5")
	b.Exec("DELETE FROM transcriptSpans WHERE vatID='v1' AND startPos=5")
	b.Span("v1", 5, 1, true, "load again", "and again")
	if sum := goneOn(t, o); sum.BlockHeight != 78 || sum.Kept != sum.Artifacts-1 {
		t.Errorf("height %v, kept %d of %d", sum.BlockHeight, sum.Kept, sum.Artifacts)
	}
}

// Modes, readers, and an auto export that begins again take over what there is.
func TestResumeOtherOptions(t *testing.T) {
	many := goodStore(t)
	many.Many("INSERT INTO kvStore VALUES (?, ?)", 4000, func(i int) []any { return []any{fmt.Sprintf("k%d", i), strings.Repeat("v", 900)} })
	many.Close()
	for _, c := range []struct {
		mode  format.ArtifactMode
		read  string
		kept  int
		state string
	}{
		{format.Operational, "", 4, many.Dir}, // its items through the index
		{format.Replay, "", 5, many.Dir},
		{format.Replay, ReaderEngine, 5, many.Dir},
		{format.Debug, "", 6, many.Dir},
		{format.None, "", 0, many.Dir},
		{AutoMode, "", 6, many.Dir},
	} {
		t.Run(fmt.Sprint(c.mode, c.read), func(t *testing.T) {
			o := resumed(t, c.state)
			folder := interrupted(t, o)
			o.ArtifactMode, o.Reader = c.mode, c.read
			if err := os.Remove(filepath.Join(folder, "transcript.v2.0.2")); err != nil {
				t.Fatal(err)
			}
			if sum := goneOn(t, o); sum.Kept != c.kept-min(1, c.kept) {
				t.Errorf("kept %d of %d", sum.Kept, sum.Artifacts)
			}
		})
	}
}

// An auto export that finds only at its end that items are missing starts again with what it has.
func TestResumeAuto(t *testing.T) {
	b := goodStore(t)
	b.Span("v3", 0, 0, false, "x", "y", "z")
	b.Span("v3", 3, 1, true, "current")
	b.Exec("DELETE FROM transcriptItems WHERE vatID='v3' AND position=1")
	b.Close()
	o := resumed(t, b.Dir)
	o.ArtifactMode = AutoMode
	sum, err := Export(context.Background(), o)
	if err != nil || sum.ArtifactMode != string(format.Replay) || sum.Unfinished != "" {
		t.Fatalf("%+v, %v", sum, err)
	}
	plain := archival(b.Dir)
	plain.ArtifactMode = format.Replay
	want, _, err := runExport(t, plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, diff := range testdata.CompareExports(o.ExportDir, want) {
		t.Error(diff)
	}
}

// An export that is whole, and one that still runs, are in the way; an unfinished one that nobody goes on with is removed.
func TestResumeRefused(t *testing.T) {
	state := faultStore(t)
	o := resumed(t, state)
	folder := interrupted(t, o)
	lock, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	before := dirContent(t, folder)
	if _, err := Export(context.Background(), o); !errors.Is(err, os.ErrExist) {
		t.Errorf("beside a living export: %v", err)
	}
	lock.Close()
	if after := dirContent(t, folder); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the living export has %q, before %q", after, before)
	}
	o.Resume = false
	sum, err := Export(context.Background(), o)
	if err != nil || sum.Kept != 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("the unfinished export is still there: %v", err)
	}
	o.Resume = true
	if _, err := Export(context.Background(), o); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a whole export: %v", err)
	}
	if err := os.Mkdir(filepath.Join(o.ExportDir, ".swingport-export-1"), 0o700); err != nil { // killed when all was in place
		t.Fatal(err)
	}
	if _, err := Export(context.Background(), o); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a whole export that was killed at its end: %v", err)
	}
	if got := names(t, o.ExportDir); strings.Contains(got, ".swingport-") {
		t.Errorf("the directory has %s", got)
	}
	o.ExportDir, o.Archive = "", filepath.Join(t.TempDir(), "x.tar")
	if _, err := Export(context.Background(), o); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("to an archive: %v", err)
	}
	nothingBeside(t, o.Archive)
}
