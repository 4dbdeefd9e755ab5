package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// A store is never copied onto itself, whatever it is called.
func TestCopyOntoItself(t *testing.T) {
	b := goodStore(t)
	b.Close()
	before := content(t, b.Dir)
	linked := func(link func(from, to string) error) string {
		dir := t.TempDir()
		if err := link(filepath.Join(b.Dir, stages.StoreFile), filepath.Join(dir, stages.StoreFile)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	toDir := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(b.Dir, toDir); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(here, b.Dir)
	if err != nil {
		t.Fatal(err)
	}
	hard, soft := linked(os.Link), linked(os.Symlink)
	for _, c := range []struct{ from, to, says string }{
		{b.Dir, b.Dir, "the same directory"},
		{b.Dir, b.Dir + "/.", "the same directory"},
		{b.Dir, relative, "the same directory"},
		{b.Dir, toDir, "the same directory"},
		{toDir, b.Dir, "the same directory"},
		{b.Dir, hard, "the same file"},
		{hard, b.Dir, "the same file"},
		{b.Dir, soft, "the same file"},
		{soft, b.Dir, "the same file"},
		{soft, hard, "the same file"},
	} {
		_, err := Copy(context.Background(), CopyOptions{StateDir: c.from, ToStateDir: c.to})
		if err == nil || !strings.Contains(err.Error(), "cannot copy a store onto itself") || !strings.Contains(err.Error(), c.says) {
			t.Errorf("from %s to %s: error %v", c.from, c.to, err)
		}
	}
	same(t, b.Dir, before)
	for _, dir := range []string{hard, soft} {
		if got := names(t, dir); got != stages.StoreFile {
			t.Errorf("left in the other directory: %s", got)
		}
	}
	// By a link that leads elsewhere it may be read.
	to, _, err := runCopy(t, CopyOptions{StateDir: soft})
	if err != nil || names(t, to) != stages.StoreFile {
		t.Errorf("through a link: %v", err)
	}
}

// The target is replaced as an import does it: its log is not replayed into the new store, and the old one is kept.
func TestCopyOverLog(t *testing.T) {
	source := testdata.Store(t, "tinywal")
	o := CopyOptions{StateDir: source, ToStateDir: oldStore(t), KeepOld: true}
	commits(t, o.ToStateDir)
	want, _ := testdata.Import(t, "tinywal", "archival", "default")
	for _, kept := range []string{"swingstore.sqlite.old-8", "swingstore.sqlite.old-1234568"} {
		sum, err := Copy(context.Background(), o)
		if err != nil || sum.KeptOld != kept {
			t.Fatalf("kept as %q, %v", sum.KeptOld, err)
		}
		for _, diff := range testdata.CompareDumps(dump(t, o.ToStateDir), want) {
			t.Error(diff)
		}
	}
	if got := names(t, o.ToStateDir); got != "other.txt swingstore.sqlite swingstore.sqlite.old-1234568 swingstore.sqlite.old-8" {
		t.Errorf("the state directory holds %s", got)
	}
	old := t.TempDir()
	put(t, filepath.Join(old, stages.StoreFile), readText(t, o.ToStateDir, "swingstore.sqlite.old-8"))
	if text := dump(t, old); !strings.Contains(text, "'last' 'commit'") {
		t.Error("the kept store lacks its last commit")
	}
}

func TestCopyOverDamagedStore(t *testing.T) {
	o := CopyOptions{StateDir: testdata.Store(t, "tiny"), ToStateDir: oldStore(t)}
	put(t, filepath.Join(o.ToStateDir, stages.StoreFile), strings.Repeat("no database ", 1000))
	put(t, filepath.Join(o.ToStateDir, stages.StoreFile+"-wal"), "a log")
	sum, err := Copy(context.Background(), o)
	if err != nil || !strings.HasPrefix(sum.MovedAside, "swingstore.sqlite.damaged-") {
		t.Fatalf("moved to %q, %v", sum.MovedAside, err)
	}
	if got := names(t, o.ToStateDir); got != "other.txt swingstore.sqlite "+sum.MovedAside+" "+sum.MovedAside+"-wal" {
		t.Errorf("the state directory holds %s", got)
	}
}

// A target that another process has open is refused, at the start and at the swap; a damaged source leaves it alone.
func TestCopyIntoStoreInUse(t *testing.T) {
	source := testdata.Store(t, "tiny")
	for name, statements := range map[string][]string{
		"WAL mode, idle":        {"PRAGMA journal_mode=WAL", "SELECT 1 FROM kvStore"},
		"rollback mode, writes": {"BEGIN IMMEDIATE", "INSERT INTO kvStore VALUES ('a', 'b')"},
	} {
		t.Run(name, func(t *testing.T) {
			o := CopyOptions{StateDir: source, ToStateDir: oldStore(t)}
			kill := hold(t, o.ToStateDir, statements...)
			before := content(t, o.ToStateDir)
			_, err := Copy(context.Background(), o)
			var inUse *InUseError
			if !errors.As(err, &inUse) || inUse.Path != filepath.Join(o.ToStateDir, stages.StoreFile) {
				t.Errorf("error %v", err)
			}
			same(t, o.ToStateDir, before)
			kill()
			if _, err := Copy(context.Background(), o); err != nil {
				t.Errorf("once nobody has it open: %v", err)
			}
		})
	}
	t.Run("comes into use", func(t *testing.T) {
		o := CopyOptions{StateDir: source, ToStateDir: oldStore(t)}
		began := false
		o.fs = &stages.FS{Before: func(op stages.Op) error {
			if op.Kind == stages.OpSync && !began {
				began = true
				hold(t, o.ToStateDir, "PRAGMA journal_mode=WAL", "INSERT INTO kvStore VALUES ('new', 'commit')")
			}
			return nil
		}}
		_, err := Copy(context.Background(), o)
		var inUse *InUseError
		if !errors.As(err, &inUse) || !began {
			t.Errorf("error %v", err)
		}
		if got := names(t, o.ToStateDir); got != "other.txt swingstore.sqlite swingstore.sqlite-shm swingstore.sqlite-wal" {
			t.Errorf("the state directory holds %s", got)
		}
	})
	t.Run("two at once", func(t *testing.T) {
		o := CopyOptions{StateDir: source, ToStateDir: oldStore(t)}
		var second error
		o.fs = &stages.FS{Before: func(op stages.Op) error {
			if op.Kind == stages.OpSync && second == nil {
				_, second = Copy(context.Background(), CopyOptions{StateDir: source, ToStateDir: o.ToStateDir})
			}
			return nil
		}}
		var inUse *InUseError
		if _, err := Copy(context.Background(), o); err != nil || !errors.As(second, &inUse) {
			t.Errorf("the first: %v, the second: %v", err, second)
		}
	})
}

// Beside a node, which has a transaction open and commits while the copy runs, the copy is of the commit at its beginning, and the node's
// database and log stay as they are.
func TestCopyBesideNode(t *testing.T) {
	for _, reader := range []string{ReaderSweep, ReaderEngine} {
		b := goodStore(t, "journal_mode=WAL")
		b.Exec("PRAGMA wal_autocheckpoint=0")
		b.KV("in the log", "yes")
		b.KV("host.height", "78")
		wal := filepath.Join(b.Dir, stages.StoreFile+"-wal")
		o := CopyOptions{StateDir: b.Dir, ToStateDir: filepath.Join(t.TempDir(), "copy"), Reader: reader, Workers: 1}
		commits := 0
		o.fs = &stages.FS{Before: func(op stages.Op) error {
			if strings.HasPrefix(op.Path, o.ToStateDir) && strings.Contains(op.Path, stages.StoreFile) && commits < 3 {
				commits++
				b.KV("host.height", fmt.Sprint(80+commits))
				b.KV("later", "no")
				b.Exec("UPDATE transcriptItems SET item=item||'!'")
			}
			return nil
		}}
		before, err := os.ReadFile(wal)
		if err != nil || len(before) == 0 {
			t.Fatal(err)
		}
		to, sum, err := runCopy(t, o)
		if err != nil || sum.BlockHeight != 78 || commits != 3 || sum.FromBytes <= int64(len(before)) {
			t.Fatalf("%+v after %d commits, %v", sum, commits, err)
		}
		if text := dump(t, to); !strings.Contains(text, "'in the log' 'yes'") || strings.Contains(text, "later") || strings.Contains(text, "!") {
			t.Errorf("another commit:\n%s", text)
		}
		after, err := os.ReadFile(wal)
		if err != nil || !strings.HasPrefix(string(after), string(before)) {
			t.Errorf("the log was written anew: %d bytes, before %d, %v", len(after), len(before), err)
		}
		if got := strings.Fields(names(t, b.Dir)); !slices.Equal(got, []string{stages.StoreFile, stages.StoreFile + "-shm", stages.StoreFile + "-wal"}) {
			t.Errorf("the node's directory holds %v", got)
		}
		if n := b.Int("SELECT count(*) FROM kvStore WHERE key='later'"); n != 1 {
			t.Errorf("%d rows of the node's", n)
		}
		b.Close()
	}
}

// The most complete mode that works is taken: by what the store shows at once, by what reading it shows, and by what the import says that the
// spans hold.
func TestCopyAuto(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *testdata.Builder)
		mode   format.ArtifactMode
		warns  string
		fails  string
	}{
		"all there":            {func(*testdata.Builder) {}, format.Archival, "", ""},
		"a first item missing": {func(b *testdata.Builder) { deleteItem(b, 0) }, format.Replay, "", ""},
		"a middle item missing": {func(b *testdata.Builder) {
			b.Exec("UPDATE transcriptItems SET position=99 WHERE vatID='v1' AND position=1")
		}, format.Replay, "started again as replay", ""},
		"an item of the current": {func(b *testdata.Builder) { deleteItem(b, 3) }, format.Operational, "started again as operational", ""},
		"an old span's row lost": {func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptSpans WHERE vatID='v1' AND startPos=0") }, format.Replay, "started again as replay", ""},
		"a middle span's row lost": {func(b *testdata.Builder) { b.Exec("DELETE FROM transcriptSpans WHERE vatID='v1' AND startPos=2") },
			format.Replay, "started again as replay", ""},
		"nothing is possible": {func(b *testdata.Builder) { setHeap(b, nil) }, "", "", "current snapshots are pruned for vats v1"},
		"the hash is wrong":   {func(b *testdata.Builder) { b.Exec("UPDATE transcriptItems SET item='b!' WHERE item='b'") }, "", "", "transcript.v2.0.2 hash is"},
	} {
		t.Run(name, func(t *testing.T) {
			b := goodStore(t)
			c.change(b)
			b.Close()
			to, sum, err := runCopy(t, CopyOptions{StateDir: b.Dir, ArtifactMode: AutoMode})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v", err)
				}
				nothingLeft(t, to)
				return
			}
			if err != nil || sum.ArtifactMode != string(c.mode) {
				t.Fatalf("mode %s, %v", sum.ArtifactMode, err)
			}
			if got := strings.Join(sum.Warnings, "\n"); c.warns == "" && got != "" || !strings.Contains(got, c.warns) {
				t.Errorf("warnings %q", sum.Warnings)
			}
			want, err := throughExport(t, b.Dir, c.mode)
			if err != nil {
				t.Fatal(err)
			}
			for _, diff := range testdata.CompareDumps(dump(t, to), want) {
				t.Error(diff)
			}
		})
	}
}

func deleteItem(b *testdata.Builder, pos int) {
	b.Exec("DELETE FROM transcriptItems WHERE vatID='v1' AND position=?", pos)
}

// A status ends with all artifacts and the last phase, and the bytes of a phase never exceed its total.
func TestCopyStatus(t *testing.T) {
	source := testdata.Store(t, "tiny")
	status := new(Status)
	phases := []string{}
	var wrong []string
	var mu sync.Mutex
	o := CopyOptions{StateDir: source, Status: status, fs: &stages.FS{}}
	o.fs.Before = func(stages.Op) error {
		mu.Lock()
		defer mu.Unlock()
		p := status.Snapshot()
		if n := len(phases); n == 0 || phases[n-1] != p.Phase {
			phases = append(phases, p.Phase)
		}
		if p.Total > 0 && p.Done > p.Total || p.Artifacts > p.ArtifactsTotal && p.ArtifactsTotal > 0 {
			wrong = append(wrong, fmt.Sprintf("%+v", p))
		}
		return nil
	}
	o.Workers = 1
	_, sum, err := runCopy(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if p := status.Snapshot(); p.Phase != "swap" || p.Artifacts != int64(sum.Artifacts) || p.ArtifactsTotal != int64(sum.Artifacts) || wrong != nil {
		t.Errorf("%+v, %q, wrong %q", p, phases, wrong)
	}
}
