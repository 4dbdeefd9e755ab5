package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// TestOther is another process: each line of its input is something to do, with arguments behind tabs, and is answered with a line that says what
// came of it.
func TestOther(t *testing.T) {
	if os.Getenv("TestOther") == "" {
		return
	}
	var db *stages.DB
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var err error
		switch what, args, _ := strings.Cut(in.Text(), "\t"); what {
		case "open":
			if db, err = stages.OpenDB(filepath.Join(args, stages.StoreFile), stages.ReadWrite, nil); err == nil {
				db.BusyTimeout(5)
			}
		case "make":
			if db, err = stages.OpenDB(filepath.Join(args, stages.StoreFile), stages.Create, nil); err == nil {
				db.BusyTimeout(5)
			}
		case "close":
			if db != nil {
				err = db.Close()
			}
			db = nil
		case "sql", "patiently":
			if what == "patiently" {
				db.BusyTimeout(5000)
			}
			for _, statement := range strings.Split(args, "\t") {
				err = errors.Join(err, db.Exec(statement))
			}
		default:
			from, to, _ := strings.Cut(args, "\t")
			err = twoRuns[what](context.Background(), from, to, nil)
		}
		fmt.Printf("%s\t%q\n", class(err), fmt.Sprint(err))
	}
}

// class is what an error is for, to whoever gets it.
func class(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.As(err, new(*ExistsError)):
		return "exists"
	case errors.As(err, new(*InUseError)):
		return "in use"
	case stages.Busy(err):
		return "busy"
	}
	return "failed"
}

// twoRuns are what two processes may do to the same place at once.
var twoRuns = map[string]func(ctx context.Context, from, to string, fsys *stages.FS) error{
	"export": func(ctx context.Context, from, to string, fsys *stages.FS) error {
		_, err := Export(ctx, ExportOptions{StateDir: from, ExportDir: to, ArtifactMode: format.Archival, ExportDataMode: format.All, Checksums: true, Workers: 1, fs: fsys})
		return err
	},
	"archive": func(ctx context.Context, from, to string, fsys *stages.FS) error {
		_, err := Export(ctx, ExportOptions{StateDir: from, Archive: filepath.Join(to, "x.tar"), Workers: 1, fs: fsys})
		return err
	},
	"import": func(ctx context.Context, from, to string, fsys *stages.FS) error {
		_, err := importInto(ctx, ImportOptions{StateDir: to, Archive: filepath.Join(from, "x.tar"), Workers: 1}, fsys)
		return err
	},
	"copy": func(ctx context.Context, from, to string, fsys *stages.FS) error {
		_, err := Copy(ctx, CopyOptions{StateDir: from, ToStateDir: to, Workers: 1, fs: fsys})
		return err
	},
}

// other is TestOther, seen from here.
type other struct {
	in      io.Writer
	answers chan [2]string // class and text
	waits   int            // answers that are still to come
	pid     int
}

func startOther(t *testing.T) *other {
	t.Helper()
	cmd := child(t, "TestOther", "1")
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	o := &other{in: in, answers: make(chan [2]string, 100), pid: cmd.Process.Pid}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			class, text, _ := strings.Cut(lines.Text(), "\t")
			o.answers <- [2]string{class, text}
		}
	}()
	return o
}

// begin has it do something, and waits for the end of that for a moment: it may itself have to wait for us.
func (o *other) begin(what ...string) (answer [2]string, ended bool) {
	fmt.Fprintln(o.in, strings.Join(what, "\t"))
	select {
	case answer = <-o.answers:
		return answer, true
	case <-time.After(100 * time.Millisecond):
		o.waits++
		return answer, false
	}
}

// hasOpen waits until it has a file open.
func (o *other) hasOpen(t *testing.T, path string) {
	t.Helper()
	fds := fmt.Sprintf("/proc/%d/fd", o.pid)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		entries, err := os.ReadDir(fds)
		if err != nil {
			t.Logf("it may not have opened the file yet: %v", err)
			return
		}
		for _, e := range entries {
			if to, _ := os.Readlink(filepath.Join(fds, e.Name())); to == path {
				return
			}
		}
	}
	t.Errorf("%s is not opened", path)
}

// do has it do something to the end.
func (o *other) do(what ...string) [2]string {
	fmt.Fprintln(o.in, strings.Join(what, "\t"))
	return <-o.answers
}

// together runs first, and when that comes to its operation at, lets another process do second. Before each run fresh gives the place that both
// want. ended says whether the second one came to its end within that operation. The result is the number of operations.
func together(t *testing.T, o *other, at int, first, second [2]string, to string) (got1, got2 [2]string, ended bool, operations int) {
	t.Helper()
	var mu sync.Mutex
	began := false
	fsys := &stages.FS{Before: func(stages.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if operations == at {
			got2, ended = o.begin(second[0], second[1], to)
			began = true
		}
		operations++
		return nil
	}}
	err := twoRuns[first[0]](t.Context(), first[1], to, fsys)
	got1 = [2]string{class(err), fmt.Sprint(err)}
	for ; o.waits > 0; o.waits-- {
		got2 = <-o.answers
	}
	if !began {
		got2 = [2]string{"not begun"}
	}
	return got1, got2, ended, operations
}

// places are a source for either of two runs, and what each makes of it where it is alone.
type places struct {
	from [2]string
	want [2][]string
}

// contents is everything in a directory, in lines: of a store its rows.
func contents(t *testing.T, dir string) (lines []string) {
	t.Helper()
	lines = filesOf(t, dir)
	if _, err := os.Stat(filepath.Join(dir, stages.StoreFile)); err == nil {
		lines = append(strings.Fields(names(t, dir)), dump(t, dir))
	}
	return lines
}

func twoPlaces(t *testing.T, first, second string) (p places) {
	t.Helper()
	for i, what := range []string{first, second} {
		b := goodStore(t, "page_size=1024")
		b.KV("host.height", fmt.Sprint(1000+i))
		b.KV("only here", fmt.Sprint(i))
		b.Span(fmt.Sprint("v", 10+i), 0, 0, true, "an item of its own")
		b.Close()
		p.from[i] = b.Dir
		if what == "import" {
			p.from[i] = t.TempDir()
			if err := twoRuns["archive"](t.Context(), b.Dir, p.from[i], nil); err != nil {
				t.Fatal(err)
			}
		}
		to := t.TempDir()
		if err := twoRuns[what](t.Context(), p.from[i], to, nil); err != nil {
			t.Fatal(err)
		}
		p.want[i] = contents(t, to)
	}
	return p
}

// Two exports into one directory, or to one file, and two imports or copies into one state directory: whatever the moment at which the second one
// comes, one of them wins, the other one says that something is there or in use, nothing is mixed and nothing is left over.
func TestTwoRuns(t *testing.T) {
	for _, c := range []struct{ first, second, place string }{
		{"export", "export", "empty"}, {"export", "export", "missing"}, {"archive", "archive", "empty"},
		{"import", "import", "old"}, {"import", "import", "missing"}, {"import", "copy", "old"}, {"copy", "import", "missing"}, {"copy", "copy", "old"},
	} {
		t.Run(c.first+" and "+c.second+", "+c.place, func(t *testing.T) {
			t.Parallel()
			p, o := twoPlaces(t, c.first, c.second), startOther(t)
			empty := oldStore(t)
			remove(t, empty, "other.txt")
			tried, outcomes := 0, map[string]int{}
			for at, step := 0, 1; ; at += step {
				to := filepath.Join(t.TempDir(), "to", "place")
				switch c.place {
				case "empty":
					put(t, filepath.Join(to, "x"), "")
					remove(t, to, "x")
				case "old":
					if err := os.CopyFS(to, os.DirFS(empty)); err != nil {
						t.Fatal(err)
					}
				}
				got1, got2, ended, operations := together(t, o, at, [2]string{c.first, p.from[0]}, [2]string{c.second, p.from[1]}, to)
				if got2[0] == "not begun" {
					break
				}
				tried++
				outcomes[got1[0]+" and "+got2[0]]++
				what := fmt.Sprintf("at operation %d of %d: the first %q, the second %q", at, operations, got1, got2)
				checkTwo(t, what, c.first, [2]string{got1[0], got2[0]}, ended, p, to)
				if step = max(1, operations/45); testing.Short() {
					step *= 4
				}
			}
			t.Logf("%d interleavings: %v", tried, outcomes)
			if tried < 8 {
				t.Error("that is too few")
			}
		})
	}
}

func checkTwo(t *testing.T, what, kind string, got [2]string, ended bool, p places, to string) {
	t.Helper()
	winner := 0
	switch got {
	case [2]string{"done", "exists"}, [2]string{"done", "in use"}:
	case [2]string{"exists", "done"}, [2]string{"in use", "done"}:
		winner = 1
	case [2]string{"done", "done"}: // one after the other: an import replaces what is there
		if !ended && differing(contents(t, to), p.want[0]) != "" {
			winner = 1
		}
		if kind == "export" || kind == "archive" {
			t.Errorf("%s", what)
		}
	default:
		t.Errorf("%s", what)
		return
	}
	if diff := differing(contents(t, to), p.want[winner]); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

// Whatever a node does with the store into which an import goes, and whenever: either the import says that it is in use, or the node has the new
// one, or an error. What was committed is there; nothing of the one is in the other.
func TestImportBesideNode(t *testing.T) {
	insert := "INSERT INTO kvStore VALUES ('from the node', 'x')"
	wal := "PRAGMA journal_mode=WAL"
	read := "SELECT * FROM kvStore"
	for name, node := range map[string]struct {
		patient       bool     // it waits for locks, longer than the import takes
		during, after []string // statements; what is committed by them is insert
	}{
		"idle":                    {during: []string{wal, read}, after: []string{insert}},
		"writes":                  {during: []string{wal, insert}, after: []string{read}},
		"waits":                   {patient: true, during: []string{wal, insert}, after: []string{read}},
		"has a transaction open":  {during: []string{"BEGIN IMMEDIATE", insert}, after: []string{"COMMIT"}},
		"reads":                   {during: []string{"BEGIN", read}, after: []string{read, "COMMIT"}},
		"has only opened it":      {after: []string{insert}},
		"idle, without a log":     {during: []string{read}, after: []string{insert}},
		"waits, without a log":    {patient: true, during: []string{insert}, after: []string{read}},
		"reads, and has no place": {patient: true, during: []string{"BEGIN", read}, after: []string{read, "COMMIT", insert}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, o := twoPlaces(t, "import", "import"), startOther(t)
			old := map[string]string{"rollback": oldStore(t), "none": t.TempDir()}
			remove(t, old["rollback"], "other.txt")
			oldText, newText := dump(t, old["rollback"]), p.want[0][1]
			tried, outcomes := 0, map[string]int{}
			run := func(at int) (operations int) {
				to := t.TempDir()
				if err := os.CopyFS(to, os.DirFS(old["rollback"])); err != nil {
					t.Fatal(err)
				}
				inserted := "failed"
				noteInserted := func(statements []string, answer [2]string) {
					if strings.Contains(strings.Join(statements, " "), insert) || statements[0] == "COMMIT" {
						inserted = answer[0]
					}
				}
				var ops atomic.Int64
				fsys := &stages.FS{Before: func(stages.Op) error {
					if ops.Add(1)-1 != int64(at) {
						return nil
					}
					o.do("open", to)
					if len(node.during) == 0 {
						return nil
					}
					how := "sql"
					if node.patient {
						how = "patiently"
					}
					if answer, ended := o.begin(append([]string{how}, node.during...)...); ended {
						noteInserted(node.during, answer)
					}
					return nil
				}}
				err := twoRuns["import"](t.Context(), p.from[0], to, fsys)
				n := int(ops.Load())
				if at >= n {
					return n
				}
				for ; o.waits > 0; o.waits-- {
					noteInserted(node.during, <-o.answers)
				}
				if name == "has a transaction open" {
					inserted = "failed"
				}
				noteInserted(node.after, o.do(append([]string{"sql"}, node.after...)...))
				o.do("close")
				tried++
				outcomes[class(err)+", node: "+inserted]++
				what := fmt.Sprintf("at operation %d of %d: import %v, insert %s", at, n, err, inserted)
				if at == 0 && n > 24 { // an import begins with looking at what is there
					t.Errorf("%s: a store that is in use is not refused at the start", what)
				}
				checkBesideNode(t, what, to, class(err), inserted == "done", oldText, newText)
				return n
			}
			count := run(1 << 20)
			for at := range count {
				if swap := max(8, count-30); at < swap && at%(swap/8) > 0 || testing.Short() && at%5 > 0 {
					continue
				}
				run(at)
			}
			t.Logf("%d interleavings: %v", tried, outcomes)
		})
	}
}

func checkBesideNode(t *testing.T, what, dir, imported string, inserted bool, oldText, newText string) {
	t.Helper()
	got := dump(t, dir)
	got = strings.Replace(got, "journal_mode wal", "journal_mode delete", 1)
	without := strings.ReplaceAll(got, "kvStore 'from the node' 'x'\n", "")
	want := newText
	switch imported {
	case "in use":
		want = oldText
	case "done":
	default:
		t.Errorf("%s", what)
	}
	if without != want {
		t.Errorf("%s: the store is another one:\n%s", what, strings.Join(testdata.CompareDumps(without, want), "\n"))
	}
	if there := got != without; there != inserted {
		t.Errorf("%s: what the node inserted is there: %v", what, there)
	}
	if left := strings.TrimSpace(names(t, dir)); left != stages.StoreFile {
		t.Errorf("%s: the directory has %s", what, left)
	}
}

// A node that makes its store where an import found none keeps it, or had to wait for the imported one.
func TestImportBesideNewNode(t *testing.T) {
	p, o := twoPlaces(t, "import", "import"), startOther(t)
	outcomes := map[string]int{}
	tried := 0
	run := func(at int) (operations int) {
		to := t.TempDir()
		inserted := [2]string{}
		var ops atomic.Int64
		fsys := &stages.FS{Before: func(stages.Op) error {
			if ops.Add(1)-1 == int64(at) {
				o.do("make", to)
				inserted = o.do("sql", "PRAGMA journal_mode=WAL", "CREATE TABLE IF NOT EXISTS kvStore (key TEXT, value TEXT, PRIMARY KEY(key))", "INSERT INTO kvStore VALUES ('from the node', 'x')")
			}
			return nil
		}}
		err := twoRuns["import"](t.Context(), p.from[0], to, fsys)
		if operations = int(ops.Load()); at >= operations {
			return operations
		}
		what := fmt.Sprintf("at operation %d of %d: import %v, insert %v", at, operations, err, inserted)
		value, there, getErr := Get(t.Context(), to, "from the node")
		if inserted[0] != "done" || getErr != nil || !there || string(value) != "x" {
			t.Errorf("%s: %q, %v, %v", what, value, there, getErr)
		}
		o.do("close")
		switch text := dump(t, to); {
		case class(err) == "in use" && strings.Contains(text, "transcriptItems"):
			t.Errorf("%s: the node's store has more in it:\n%s", what, text)
		case class(err) != "in use" && class(err) != "done":
			t.Errorf("%s", what)
		}
		if left := names(t, to); left != stages.StoreFile {
			t.Errorf("%s: the directory has %s", what, left)
		}
		outcomes[class(err)]++
		tried++
		return operations
	}
	for at := range run(1 << 20) {
		run(at)
	}
	t.Logf("%d interleavings: %v", tried, outcomes)
	if outcomes["in use"] < 5 || outcomes["done"] == 0 {
		t.Error("that is too few")
	}
}

// An export that waits for the lock of an import has opened the old store. By the time that it gets the lock, a node may have the new one open, with
// a log that would be taken for the old one's.
func TestExportWaitsForImport(t *testing.T) {
	for _, what := range []string{"export", "archive", "copy"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p, waits, node := twoPlaces(t, "import", "import"), startOther(t), startOther(t)
			state, to := oldStore(t), t.TempDir()
			early, swapped := false, false
			fsys := &stages.FS{Before: func(op stages.Op) error {
				if op.Kind == stages.OpRename && op.Path == filepath.Join(state, stages.StoreFile) {
					_, early = waits.begin(what, state, to)
					waits.hasOpen(t, op.Path)
					swapped = true
				} else if op.Kind == stages.OpSyncDir && swapped {
					swapped = false
					node.do("open", state)
					if got := node.do("patiently", "PRAGMA journal_mode=WAL", "INSERT INTO kvStore VALUES ('from the node', 'x')"); got[0] != "done" {
						t.Errorf("the node says %v", got)
					}
				}
				return nil
			}}
			if err := twoRuns["import"](t.Context(), p.from[0], state, fsys); err != nil || early {
				t.Fatalf("%v; the other one waits: %v", err, !early)
			}
			if got := <-waits.answers; got[0] != "done" {
				t.Fatalf("the one that waits says %v", got)
			}
			want := t.TempDir()
			if err := twoRuns[what](t.Context(), state, want, nil); err != nil {
				t.Fatal(err)
			}
			if diff := differing(contents(t, to), contents(t, want)); diff != "" {
				t.Errorf("not the new store: %s", diff)
			}
		})
	}
}

// A directory that was removed and made again between opening and locking it, as by another import that failed, is not locked.
func TestImportLocksTheDirectory(t *testing.T) {
	p, to := twoPlaces(t, "import", "import"), filepath.Join(t.TempDir(), "state")
	fsys := &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpLock {
			return errors.Join(os.Remove(to), os.MkdirAll(filepath.Join(to, ".swingport-import-of-another"), 0o755))
		}
		return nil
	}}
	if err := twoRuns["import"](t.Context(), p.from[0], to, fsys); class(err) != "in use" {
		t.Errorf("%v", err)
	}
	if got := names(t, to); got != ".swingport-import-of-another" {
		t.Errorf("the directory has %s", got)
	}
}

// Where the file system has no locks for directories, runs work, do not overwrite one another, and remove nothing of which they do not know
// whether it is still in use. Any other failure to lock is an error.
func TestNoLocks(t *testing.T) {
	noLocks := func(also func(stages.Op)) *stages.FS {
		return &stages.FS{Before: func(op stages.Op) error {
			if also != nil {
				also(op)
			}
			if op.Kind == stages.OpLock {
				return syscall.ENOLCK
			}
			return nil
		}}
	}
	for _, what := range []string{"export", "archive", "import", "copy"} {
		p := twoPlaces(t, what, what)
		to := t.TempDir()
		if what == "archive" {
			put(t, filepath.Join(to, ".swingport-archive-left"), "by whom?")
		}
		if err := twoRuns[what](t.Context(), p.from[0], to, noLocks(nil)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if what == "archive" {
			remove(t, to, ".swingport-archive-left") // still there
		}
		if diff := differing(contents(t, to), p.want[0]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		fails := &stages.FS{Before: func(op stages.Op) error {
			if op.Kind == stages.OpLock {
				return syscall.EIO
			}
			return nil
		}}
		other := t.TempDir()
		if err := twoRuns[what](t.Context(), p.from[0], other, fails); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "lock "+other) {
			t.Errorf("%s: %v", what, err)
		}
		if left := names(t, other); left != "" {
			t.Errorf("%s: left over: %s", what, left)
		}
	}
	for _, what := range []string{"export", "archive"} {
		for _, kind := range []stages.OpKind{stages.OpRename, stages.OpSync, stages.OpWrite} {
			p, to, began := twoPlaces(t, what, what), t.TempDir(), false
			var second error
			first := twoRuns[what](t.Context(), p.from[0], to, noLocks(func(op stages.Op) {
				if op.Kind == kind && !began {
					began = true
					second = twoRuns[what](t.Context(), p.from[1], to, noLocks(nil))
				}
			}))
			winner := 0
			if second == nil {
				winner = 1
			}
			if !began || class(errors.Join(first, second)) != "exists" || first != nil && second != nil {
				t.Fatalf("%s at %s: %v, %v", what, kind, first, second)
			}
			if diff := differing(contents(t, to), p.want[winner]); diff != "" {
				t.Errorf("%s at %s: %s", what, kind, diff)
			}
		}
	}
}
