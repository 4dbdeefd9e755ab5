package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// faultStore is small, so that an export of it has few operations.
func faultStore(t *testing.T) string {
	b := goodStore(t)
	b.Close()
	return b.Dir
}

// countOps is the number of file operations of one whole export.
func countOps(t *testing.T, o ExportOptions) int64 {
	t.Helper()
	var n atomic.Int64
	o.fs = &stages.FS{Before: func(stages.Op) error { n.Add(1); return nil }}
	if o.ExportDir == "" && o.Archive == "" {
		o.ExportDir = filepath.Join(t.TempDir(), "export")
	}
	if _, err := Export(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	return n.Load()
}

// eachTarget runs a test for each store and each kind of target: a directory that is not there yet, and archives in one that is.
func eachTarget(t *testing.T, run func(t *testing.T, state string, options func() ExportOptions)) {
	for _, target := range []string{"export", "x.tar", "x.tar.zst"} {
		for name, state := range faultStores(t) {
			t.Run(name+" to "+target, func(t *testing.T) {
				run(t, state, func() ExportOptions {
					o := archival(state)
					path := filepath.Join(t.TempDir(), target)
					if target == "export" {
						o.ExportDir = path
					} else {
						o.Checksums, o.Archive = false, path
					}
					return o
				})
			})
		}
	}
}

// cleared fails a test where a failed export left anything.
func cleared(t *testing.T, o ExportOptions) {
	t.Helper()
	if o.Archive != "" {
		nothingBeside(t, o.Archive)
		return
	}
	nothingLeft(t, o.ExportDir)
}

func archival(state string) ExportOptions {
	return ExportOptions{StateDir: state, ArtifactMode: format.Archival, ExportDataMode: format.All, Checksums: true}
}

// faultStores are what faults are tried on: a rollback journal, and WAL mode with the log gone and with a log.
func faultStores(t *testing.T) map[string]string {
	return map[string]string{"small": faultStore(t), "tiny1a": testdata.Store(t, "tiny1a"), "tinywal": testdata.Store(t, "tinywal")}
}

// Cancelled at any operation, an export ends with the cause, leaves nothing, and calls nothing damaged.
func TestExportCancelledAtEachOperation(t *testing.T) {
	eachTarget(t, exportCancelledAtEach)
}

func exportCancelledAtEach(t *testing.T, _ string, options func() ExportOptions) {
	noLeaks(t)
	ops := countOps(t, options())
	why := errors.New("the user has enough")
	step := max(1, ops/40)
	if testing.Short() {
		step = max(1, ops/10)
	}
	for at := int64(1); at <= ops; at += step {
		ctx, cancel := context.WithCancelCause(context.Background())
		var n atomic.Int64
		o := options()
		o.fs = &stages.FS{Before: func(stages.Op) error {
			if n.Add(1) == at {
				cancel(why)
			}
			return nil
		}}
		_, err := Export(ctx, o)
		cancel(nil)
		if err == nil {
			whole := o.Archive
			if whole == "" {
				whole = filepath.Join(o.ExportDir, format.ManifestFile)
			}
			if _, err := os.Stat(whole); err != nil {
				t.Errorf("operation %d: no error and no export: %v", at, err)
			}
			continue // it came too late
		}
		if !errors.Is(err, why) || strings.Contains(err.Error(), "page") || strings.Contains(err.Error(), "damaged") {
			t.Errorf("operation %d: %v", at, err)
		}
		cleared(t, o)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	o := options()
	if _, err := Export(ctx, o); !errors.Is(err, why) {
		t.Errorf("cancelled before it began: %v", err)
	}
	cleared(t, o)
}

// TestKilledExport is the process that TestExportKilled kills: it exports, and kills itself at an operation.
func TestKilledExport(t *testing.T) {
	state, rest, ok := strings.Cut(os.Getenv("TestKilledExport"), "\n")
	if !ok {
		return
	}
	dir, number, _ := strings.Cut(rest, "\n")
	at, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	o := archival(state)
	o.ExportDir, o.Resume = dir, true
	o.fs = &stages.FS{Before: func(stages.Op) error {
		if n.Add(1) == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}}
	if _, err := Export(context.Background(), o); err != nil {
		t.Fatal(err)
	}
}

// Killed at any point, an export leaves no manifest and the store as it was, and can be run again into the same directory.
func TestExportKilled(t *testing.T) {
	state := faultStore(t)
	before := dirContent(t, state)
	ops := countOps(t, archival(state))
	want, _, err := runExport(t, archival(state))
	if err != nil {
		t.Fatal(err)
	}
	step := ops/16 + 1
	if testing.Short() {
		step = ops/4 + 1
	}
	points := []int64{}
	for at := int64(1); at < ops-12; at += step {
		points = append(points, at)
	}
	for at := ops - 12; at <= ops; at++ { // while files come into place
		points = append(points, at)
	}
	for _, at := range points {
		dir := filepath.Join(t.TempDir(), "export")
		cmd := child(t, "TestKilledExport", fmt.Sprintf("%s\n%s\n%d", state, dir, at))
		out, err := cmd.Output()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || err != nil && status.Signal() != syscall.SIGKILL {
			t.Fatalf("operation %d: %v: %s", at, err, out)
		}
		if err != nil {
			if _, err := os.Stat(filepath.Join(dir, format.ManifestFile)); err == nil && at < ops-2 {
				t.Errorf("operation %d: there is a manifest", at)
			}
			o := archival(state)
			o.ExportDir = dir
			if _, err := Export(context.Background(), o); err != nil && !(at >= ops-2 && errors.Is(err, os.ErrExist)) {
				t.Errorf("operation %d: again: %v", at, err)
				continue
			}
		}
		if at >= ops-2 {
			continue // killed behind the commit point: the export is whole, see below
		}
		for _, diff := range testdata.CompareExports(dir, want) {
			t.Errorf("operation %d: %s", at, diff)
		}
	}
	if after := dirContent(t, state); !slices.Equal(after, before) {
		t.Errorf("the state directory has %q, before %q", after, before)
	}
}

// A file in the way of one that a killed export would have brought into place is not taken for its own.
func TestExportAfterKillKeepsFiles(t *testing.T) {
	state := faultStore(t)
	dir := filepath.Join(t.TempDir(), "export")
	ops := countOps(t, archival(state))
	child(t, "TestKilledExport", fmt.Sprintf("%s\n%s\n%d", state, dir, ops-9)).Run()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var work string
	for _, e := range entries {
		if e.IsDir() {
			work = e.Name()
		}
	}
	left, err := os.ReadDir(filepath.Join(dir, work))
	if err != nil || len(left) < 2 || len(entries) < 2 {
		t.Fatalf("the killed export left %v and %v, %v", entries, left, err)
	}
	var mine string
	for _, e := range left {
		if strings.HasPrefix(e.Name(), "transcript.") || strings.HasPrefix(e.Name(), "bundle.") {
			mine = e.Name()
		}
	}
	put(t, filepath.Join(dir, mine), "mine")
	o := archival(state)
	o.ExportDir = dir
	if _, err := Export(context.Background(), o); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), mine) {
		t.Errorf("%v", err)
	}
	if got := dirContent(t, dir); len(got) != 1 || !strings.HasPrefix(got[0], mine+" 4 ") {
		t.Errorf("the directory has %q", got)
	}
}

// TestLimitedExport is a process that may not write files beyond a size.
func TestLimitedExport(t *testing.T) {
	state, dir, ok := strings.Cut(os.Getenv("TestLimitedExport"), "\n")
	if !ok {
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 64 << 10, Max: 64 << 10}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	o := archival(state)
	o.ExportDir = dir
	if _, err := Export(context.Background(), o); !errors.Is(err, syscall.EFBIG) {
		t.Fatalf("%v", err)
	}
}

// A limit on the size of files is an error like a full disk, see TestDiskFull.
func TestExportFileLimit(t *testing.T) {
	b := goodStore(t)
	b.KV("large", strings.Repeat("v", 600<<10))
	b.Close()
	dir := filepath.Join(t.TempDir(), "export")
	if out, err := child(t, "TestLimitedExport", b.Dir+"\n"+dir).Output(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	nothingLeft(t, dir)
}

// TestNobodysExport exports as whoever runs it, and prints the error.
func TestNobodysExport(t *testing.T) {
	state, dir, ok := strings.Cut(os.Getenv("TestNobodysExport"), "\n")
	if !ok {
		return
	}
	o := archival(state)
	o.ExportDir = dir
	_, err := Export(context.Background(), o)
	fmt.Printf("result: %v\n", err)
}

// asNobody runs an export as a user who may read the state directory and not write it.
func asNobody(t *testing.T, state, dir string) string {
	t.Helper()
	cmd := child(t, "TestNobodysExport", state+"\n"+dir)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Path = filepath.Join(filepath.Dir(state), "test")
		cmd.Dir = filepath.Dir(state)
	}
	out, err := cmd.Output()
	_, result, ok := strings.Cut(string(out), "result: ")
	if err != nil || !ok {
		t.Fatalf("%v: %s", err, out)
	}
	result, _, _ = strings.Cut(result, "\n")
	return result
}

// publicDir is a directory that everybody may enter, with a copy of this binary where root runs the tests.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "swingport-test-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "state"), 0o755); os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		return dir
	}
	binary, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "test"), binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A directory that cannot be written: what can be read is, and what cannot says why.
func TestExportReadOnlyDirectory(t *testing.T) {
	dir := publicDir(t)
	for _, c := range []struct{ store, says string }{
		{"tiny", "<nil>"},
		{"tiny1a", "<nil>"}, // WAL mode, closed cleanly
		{"tinywal", "swingstore.sqlite-wal holds commits"},
	} {
		state := filepath.Join(dir, "state")
		if err := os.CopyFS(state, os.DirFS(testdata.Store(t, c.store))); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(state, 0o555); err != nil {
			t.Fatal(err)
		}
		before := dirContent(t, state)
		out := filepath.Join(dir, "out")
		if err := os.Mkdir(out, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(out, 0o777); err != nil {
			t.Fatal(err)
		}
		if got := asNobody(t, state, filepath.Join(out, "export")); !strings.Contains(got, c.says) {
			t.Errorf("%s: %s", c.store, got)
		} else if c.says == "<nil>" {
			want, _ := testdata.Export(t, c.store, "archival", "all")
			os.Remove(filepath.Join(out, "export", format.ChecksumsFile))
			for _, diff := range testdata.CompareExports(filepath.Join(out, "export"), want) {
				t.Errorf("%s: %s", c.store, diff)
			}
		}
		if after := dirContent(t, state); !slices.Equal(after, before) {
			t.Errorf("%s: the state directory has %q, before %q", c.store, after, before)
		}
		for _, d := range []string{state, out} {
			os.Chmod(d, 0o755)
			if err := os.RemoveAll(d); err != nil {
				t.Fatal(err)
			}
		}
	}
	// An export directory that cannot be made.
	state := filepath.Join(dir, "state")
	if err := os.CopyFS(state, os.DirFS(testdata.Store(t, "tiny"))); err != nil {
		t.Fatal(err)
	}
	if got := asNobody(t, state, filepath.Join(dir, "export")); !strings.Contains(got, "permission denied") || !strings.Contains(got, "export") {
		t.Errorf("%s", got)
	}
}

// A rollback journal with a transaction that was cut off has to be rolled back before anybody reads; an export only reads.
func TestExportHotJournal(t *testing.T) {
	b := goodStore(t, "page_size=512")
	b.Many("INSERT INTO kvStore VALUES (?,'committed')", 2000, func(i int) []any { return []any{fmt.Sprint("k", i)} })
	b.Exec("PRAGMA cache_size=5")
	b.Exec("BEGIN")
	b.Exec("UPDATE kvStore SET value='not committed'")
	state := b.CopyFiles("-journal")
	b.Exec("ROLLBACK")
	b.Close()
	before := dirContent(t, state)
	dir, _, err := runExport(t, archival(state))
	if err == nil || !strings.Contains(err.Error(), "-journal holds a transaction that was cut off") {
		t.Errorf("%v", err)
	}
	nothingLeft(t, dir)
	if after := dirContent(t, state); !slices.Equal(after, before) {
		t.Errorf("the state directory has %q, before %q", after, before)
	}
	// A journal that says nothing is no obstacle.
	put(t, filepath.Join(state, stages.StoreFile+"-journal"), strings.Repeat("\x00", 600))
	if err := os.WriteFile(filepath.Join(state, stages.StoreFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(t.TempDir(), os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	good := faultStore(t)
	put(t, filepath.Join(good, stages.StoreFile+"-journal"), strings.Repeat("\x00", 600))
	if _, _, err := runExport(t, archival(good)); err != nil {
		t.Errorf("beside an old journal: %v", err)
	}
}

// Beside another process that has the store open, its files stay as that left them.
func TestExportOfOpenStore(t *testing.T) {
	for _, store := range []string{"tiny", "tiny1a", "tinywal"} {
		state := testdata.Store(t, store)
		kill := hold(t, state, "SELECT count(*) FROM kvStore")
		before := dirContent(t, state)
		want, _ := testdata.Export(t, store, "archival", "all")
		o := archival(state)
		o.Checksums = false
		dir, _, err := runExport(t, o)
		if err != nil {
			t.Errorf("%s: %v", store, err)
			continue
		}
		for _, diff := range testdata.CompareExports(dir, want) {
			t.Errorf("%s: %s", store, diff)
		}
		withoutShm := func(list []string) []string {
			return slices.DeleteFunc(list, func(line string) bool { return strings.Contains(line, "-shm ") })
		}
		if after := dirContent(t, state); !slices.Equal(withoutShm(after), withoutShm(before)) {
			t.Errorf("%s: the state directory has %q, before %q", store, after, before)
		}
		kill()
	}
}

// TestWriteStore is a node: it commits to the store that it is given until its input ends, and makes checkpoints.
func TestWriteStore(t *testing.T) {
	state := os.Getenv("TestWriteStore")
	if state == "" {
		return
	}
	stop := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	b := testdata.Open(t, state)
	b.Exec("PRAGMA busy_timeout=30000")
	b.Exec("PRAGMA wal_autocheckpoint=0")
	items := map[string][]string{}
	start := map[string]int{}
	for n := 1; ; n++ {
		select {
		case <-stop:
			fmt.Println(n - 1)
			return
		default:
		}
		b.Exec("BEGIN IMMEDIATE")
		writeCommit(b, n, items, start)
		b.Exec("COMMIT")
		if n == 1 {
			fmt.Println("ready")
		}
		if n%5 == 0 {
			b.Exec("PRAGMA busy_timeout=50")
			b.DB.Exec("PRAGMA wal_checkpoint(" + []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}[n/5%4] + ")")
			b.Exec("PRAGMA busy_timeout=30000")
		}
	}
}

// writeCommit brings the store to height n: every kvStore value is n, one vat has one more item, heaps are new.
func writeCommit(b *testdata.Builder, n int, items map[string][]string, start map[string]int) {
	b.Exec("UPDATE kvStore SET value=?", fmt.Sprint(n))
	vat := fmt.Sprint("v", n%3)
	item := fmt.Sprintf("item %d %s", n, strings.Repeat("x", n*397%3000))
	if len(items[vat]) == 20 {
		b.Exec("UPDATE transcriptSpans SET isCurrent=NULL WHERE vatID=? AND isCurrent=1", vat)
		start[vat] += 20
		items[vat] = nil
	}
	items[vat] = append(items[vat], item)
	end := start[vat] + len(items[vat])
	b.Exec("INSERT INTO transcriptItems VALUES (?,?,?,0)", vat, end-1, item)
	b.Exec("DELETE FROM transcriptSpans WHERE vatID=? AND startPos=?", vat, start[vat])
	b.SpanRow(vat, start[vat], end, 0, true, testdata.SpanHash(items[vat]...))
	b.Exec("DELETE FROM snapshots")
	b.Heap("v0", 1, true, []byte(strings.Repeat(fmt.Sprintln("heap of", n), 2000)))
}

// Beside a process that commits and makes checkpoints of every kind, each export is of one commit: every hash agrees, and everything in
// it has the same number.
func TestExportBesideWriter(t *testing.T) {
	b := testdata.Build(t, "page_size=1024", "journal_mode=WAL")
	b.KV("host.height", "0")
	b.Many("INSERT INTO kvStore VALUES (?,'0')", 500, func(i int) []any { return []any{fmt.Sprint("k", i)} })
	b.B0("source")
	b.Close()
	cmd := child(t, "TestWriteStore", b.Dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { in.Close(); cmd.Process.Kill(); cmd.Wait() }()
	out := bufio.NewReader(pipe)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the writer said %q, %v", line, err)
	}
	commits, exports := 300, 25
	if testing.Short() {
		commits, exports = 20, 3
	}
	heights := map[float64]bool{}
	last := 0.0
	for n := 0; n < exports || last < float64(commits); n++ {
		o := ExportOptions{StateDir: b.Dir, ArtifactMode: format.Archival, ExportDataMode: format.All, Reader: []string{ReaderSweep, ReaderSweep, ReaderEngine}[n%3]}
		o.fs = &stages.FS{Before: func(op stages.Op) error {
			if (op.Kind == stages.OpWrite || op.Kind == stages.OpTruncate) && filepath.Dir(op.Path) == b.Dir {
				t.Errorf("%s %s", op.Kind, op.Path)
			}
			return nil
		}}
		dir, sum, err := runExport(t, o)
		if err != nil {
			t.Fatalf("export %d by %s: %v", n, o.Reader, err)
		}
		checkOneCommit(t, dir, sum)
		heights[sum.BlockHeight], last = true, sum.BlockHeight
		os.RemoveAll(dir)
	}
	in.Close()
	made := 0
	if _, err := fmt.Fscan(out, &made); err != nil {
		t.Error(err)
	}
	t.Logf("%d commits, %d of them exported", made, len(heights))
	if len(heights) < exports/2 {
		t.Error("the writer hardly wrote")
	}
}

func checkOneCommit(t *testing.T, dir string, sum Summary) {
	t.Helper()
	n := int(sum.BlockHeight)
	if sum.Items != int64(n) {
		t.Errorf("height %d: %d items", n, sum.Items)
	}
	data, err := os.ReadFile(filepath.Join(dir, format.ExportDataFile))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, `["kv.`) {
			rows++
			if !strings.HasSuffix(line, fmt.Sprintf(",\"%d\"]\n", n)) {
				t.Errorf("height %d: %s", n, line)
			}
		}
	}
	if rows != 500 {
		t.Errorf("height %d: %d rows", n, rows)
	}
	if heap, err := os.ReadFile(filepath.Join(dir, "snapshot.v0.1")); err != nil || !strings.HasPrefix(string(heap), fmt.Sprintln("heap of", n)) {
		t.Errorf("height %d: %.20s, %v", n, heap, err)
	}
}
