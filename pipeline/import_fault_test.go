package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// faultCase is an import over an old store whose last commit is in its log.
func faultCase(t *testing.T, exportDir string) ImportOptions {
	o := ImportOptions{StateDir: oldStore(t), ExportDir: exportDir, KeepOld: true, Workers: 2}
	commits(t, o.StateDir)
	return o
}

// template makes one state directory, to be copied: making one takes another process.
func template(t *testing.T) (o ImportOptions, fresh func() ImportOptions) {
	o = faultCase(t, handMade().write(t))
	return o, copies(t, o)
}

// copies returns what makes a copy of the state directory to import into.
func copies(t *testing.T, o ImportOptions) (fresh func() ImportOptions) {
	return func() ImportOptions {
		p := o
		p.StateDir = t.TempDir()
		if err := os.CopyFS(p.StateDir, os.DirFS(o.StateDir)); err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// checkOldOrNew fails unless the state directory holds a whole store, the old or the new one, and says which. It changes nothing.
func checkOldOrNew(t *testing.T, stateDir, oldText, newText string) (isNew bool) {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(stateDir)); err != nil {
		t.Fatal(err)
	}
	db, err := stages.OpenDB(filepath.Join(copied, stages.StoreFile), stages.ReadWrite, nil) // rolls back what was cut off
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Exec("SELECT 1 FROM sqlite_schema"), db.Exec("PRAGMA journal_mode = delete"), db.Close()); err != nil {
		t.Fatal(err)
	}
	switch text := dump(t, copied); text {
	case oldText:
		return false
	case newText:
		return true
	default:
		t.Fatalf("neither the old nor the new store:\n%s", text)
		return false
	}
}

// archiveTemplates are imports of archives, over an old store.
func archiveTemplates(t *testing.T) map[string]ImportOptions {
	dir := handMade().write(t)
	o := faultCase(t, "")
	ours, foreign := o, o
	own, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{Zstd: true, FrameSize: 3000})
	ours.Archive, foreign.Archive = filepath.Join(t.TempDir(), "ours"), filepath.Join(t.TempDir(), "foreign")
	put(t, ours.Archive, string(own))
	put(t, foreign.Archive, string(testdata.ForeignTar(t, dir, testdata.ForeignOptions{Prefix: "./"})))
	return map[string]ImportOptions{"ours": ours, "foreign": foreign}
}

// leftovers are the files that an import may not leave.
func leftovers(t *testing.T, dir string) string {
	var left []string
	for _, name := range strings.Fields(names(t, dir)) {
		switch {
		case name == "other.txt", name == stages.StoreFile, strings.HasPrefix(name, stages.StoreFile+".old-"):
		case name == stages.StoreFile+"-wal", name == stages.StoreFile+"-shm", name == stages.StoreFile+"-journal": // the old store's
		default:
			left = append(left, name)
		}
	}
	return strings.Join(left, " ")
}

// Cancelled at any operation, an import is never a success with half a store, and says why it ended.
func TestImportCancelled(t *testing.T) {
	t.Parallel()
	o, fresh := template(t)
	checkCancelled(t, o, fresh, 3)
}

// The same of archives.
func TestImportOfArchiveCancelled(t *testing.T) {
	t.Parallel()
	for name, o := range archiveTemplates(t) {
		t.Run(name, func(t *testing.T) { checkCancelled(t, o, copies(t, o), 2) })
	}
}

// checkCancelled imports, and cancels that at an operation.
func checkCancelled(t *testing.T, o ImportOptions, fresh func() ImportOptions, step int64) {
	t.Helper()
	oldText := strings.Replace(dump(t, o.StateDir), "pragma journal_mode wal", "pragma journal_mode delete", 1)
	newText := newDump(t)
	why := errors.New("somebody pressed a key")
	done := false
	for n := int64(0); !done; n += step {
		o := fresh()
		ctx, cancel := context.WithCancelCause(context.Background())
		var count atomic.Int64
		fsys := &stages.FS{Before: func(stages.Op) error {
			if count.Add(1)-1 == n {
				cancel(why)
			}
			return nil
		}}
		_, err := importInto(ctx, o, fsys)
		done = count.Load() <= n
		isNew := checkOldOrNew(t, o.StateDir, oldText, newText)
		if isNew != (err == nil) || err != nil && !errors.Is(err, why) {
			t.Fatalf("cancelled at operation %d: new store: %v, error %v", n, isNew, err)
		}
		if left := leftovers(t, o.StateDir); left != "" {
			t.Fatalf("cancelled at operation %d: left over: %s", n, left)
		}
		cancel(nil)
	}
}

// TestKilledImport is the other process, which kills itself at an operation.
func TestKilledImport(t *testing.T) {
	args := strings.Split(os.Getenv("TestKilledImport"), "\n")
	if len(args) != 3 {
		return
	}
	n, err := strconv.ParseInt(args[2], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	fsys := &stages.FS{Before: func(stages.Op) error {
		if count.Add(1)-1 == n {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}}
	if _, err := importInto(context.Background(), ImportOptions{StateDir: args[0], ExportDir: args[1], KeepOld: true}, fsys); err != nil {
		t.Fatal(err)
	}
}

// Killed at any operation, an import leaves the old or the new store, and the next import cleans up.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	o, fresh := template(t)
	oldText := strings.Replace(dump(t, o.StateDir), "pragma journal_mode wal", "pragma journal_mode delete", 1)
	newText := newDump(t)
	killed, swapped := 0, 0
	for n := 0; ; n += 9 {
		o := fresh()
		err := child(t, "TestKilledImport", fmt.Sprintf("%s\n%s\n%d", o.StateDir, o.ExportDir, n)).Run()
		if err == nil {
			break
		}
		killed++
		if checkOldOrNew(t, o.StateDir, oldText, newText) {
			swapped++
		}
		if n%2 == 0 {
			continue
		}
		if _, err := Import(context.Background(), o); err != nil {
			t.Fatalf("killed at operation %d: the next import: %v", n, err)
		}
		checkNew(t, o.StateDir)
		if left := leftovers(t, o.StateDir); left != "" {
			t.Fatalf("killed at operation %d: left over: %s", n, left)
		}
	}
	if killed < 10 {
		t.Errorf("killed %d times only", killed)
	}
}

// A heap that is packed beyond what is kept in memory goes through a temporary file, whose disk may be full too.
func TestImportSpillFails(t *testing.T) {
	t.Parallel()
	x := handMade()
	fsys := &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpOpen && strings.Contains(op.Path, "nowhere") {
			return syscall.ENOSPC
		}
		return nil
	}}
	heap := make([]byte, 40<<20)
	state := uint64(1)
	for i := range heap {
		state = state*6364136223846793005 + 1442695040888963407
		heap[i] = byte(state >> 33)
	}
	x.replaceData(t, hexSum(x.artifacts[heapOne]), hexSum(string(heap)))
	x.artifacts[heapOne] = string(heap)
	o := ImportOptions{StateDir: t.TempDir(), ExportDir: x.write(t)}
	if _, err := Import(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if text := dump(t, o.StateDir); !strings.Contains(text, fmt.Sprintf("gunzip:%d:%s", len(heap), hexSum(string(heap)))) {
		t.Error("the heap is another one")
	}
	o.StateDir, o.TempDir = oldStore(t), filepath.Join(t.TempDir(), "nowhere")
	before := content(t, o.StateDir)
	if _, err := Import(context.Background(), o); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "temporary files") {
		t.Errorf("a missing directory: %v", err)
	}
	if err := os.Mkdir(o.TempDir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := importInto(context.Background(), o, fsys)
	var artifact *ArtifactError
	if !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &artifact) || artifact.Name != heapOne {
		t.Errorf("error %v", err)
	}
	same(t, o.StateDir, before)
}

// Large items take memory of their own; a span may have one line only, and 20,000.
func TestImportLargeItems(t *testing.T) {
	x := handMade()
	large := strings.Repeat("large ", 1<<19) + "."
	items := []string{large, "", strings.Repeat("y", 256<<10), strings.Repeat("z", 256<<10-1)}
	for i := range 20000 {
		items = append(items, strconv.Itoa(i))
	}
	end := strconv.Itoa(5 + len(items))
	x.replaceData(t, `\"isCurrent\":1`, `\"isCurrent\":0`)
	x.replaceData(t, "transcript.v1.current", "transcript.v1.3")
	x.data = append(x.data, line("transcript.v1.current", `{"vatID":"v1","startPos":5,"endPos":`+end+`,"hash":"`+spanHash(items...)+`","isCurrent":1,"incarnation":0}`))
	x.artifacts["transcript.v1.5."+end] = strings.Join(items, "\n") // no newline at the end
	o := ImportOptions{StateDir: t.TempDir(), ExportDir: x.write(t)}
	sum, err := Import(context.Background(), o)
	if err != nil || sum.Items != int64(5+len(items)) {
		t.Fatal(sum.Items, err)
	}
	text := dump(t, o.StateDir)
	if !strings.Contains(text, fmt.Sprintf("text:%d:%s", len(large), hexSum(large))) || strings.Count(text, "\ntranscriptItems ") != 5+len(items) {
		t.Error("the items are others")
	}
}

func TestImportModesByFlag(t *testing.T) {
	for mode, want := range map[format.ArtifactMode]int{"operational": 3, "replay": 4, "archival": 4, "debug": 4} {
		sum, err := Import(context.Background(), ImportOptions{StateDir: t.TempDir(), ExportDir: handMade().write(t), ArtifactMode: mode})
		if err != nil || sum.Artifacts != want || sum.ArtifactMode != string(mode) {
			t.Errorf("%s: %+v, %v", mode, sum, err)
		}
	}
}
