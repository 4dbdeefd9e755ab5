package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// faulty is a command on which faults are tried.
type faulty struct {
	name   string
	source string // a directory that must stay as it is

	// begin makes what one run needs. run runs with fsys below it; check fails the test unless, after an error, nothing was committed and
	// nothing is left, or without one, the result is that of a run without faults.
	begin func(t *testing.T) (run func(fsys *stages.FS) error, check func(what string, err error, cleaning bool))
}

// faultsOf are all commands, the ways in which they read and write, and old stores to be replaced.
func faultsOf(t *testing.T) (list []faulty) {
	small, wal := faultStore(t), testdata.Store(t, "tinywal")
	exportOf := func(name, state, target, reader string) {
		list = append(list, exportFaults(t, name, target, ExportOptions{StateDir: state, ArtifactMode: format.Archival, ExportDataMode: format.All, Reader: reader, Workers: 2}))
	}
	exportOf("export", small, "export", ReaderSweep)
	exportOf("export by engine", small, "export", ReaderEngine)
	exportOf("export with a log", wal, "export", ReaderSweep)
	exportOf("export to tar", small, "x.tar", ReaderSweep)
	exportOf("export to tar.zst", small, "x.tar.zst", ReaderSweep)
	exportOf("export with a log to tar.zst", wal, "x.tar.zst", ReaderEngine)
	list = append(list, copyFaulty(t, small))
	list = append(list, importFaults(t)...)
	return append(list, readFaults(t, small)...)
}

func exportFaults(t *testing.T, name, target string, o ExportOptions) faulty {
	o.Checksums = target == "export"
	to := func(path string) ExportOptions {
		o := o
		if target == "export" {
			o.ExportDir = path
		} else {
			o.Archive = path
		}
		return o
	}
	whole := filepath.Join(t.TempDir(), target)
	if _, err := Export(context.Background(), to(whole)); err != nil {
		t.Fatal(name, err)
	}
	return faulty{name, o.StateDir, func(t *testing.T) (func(*stages.FS) error, func(string, error, bool)) {
		path := filepath.Join(t.TempDir(), target)
		var warnings string
		run := func(fsys *stages.FS) error {
			o := to(path)
			o.fs = fsys
			sum, err := Export(context.Background(), o)
			warnings = strings.Join(sum.Warnings, "\n")
			return err
		}
		return run, func(what string, err error, cleaning bool) {
			switch {
			case err == nil && target == "export":
				if dropFolder(t, path, cleaning) && !strings.Contains(warnings, path) {
					t.Errorf("%s: left over, without a word: %q", what, warnings)
				}
				for _, diff := range testdata.CompareExports(path, whole) {
					t.Errorf("%s: no error, and %s", what, diff)
				}
			case err == nil:
				if got := readText(t, filepath.Dir(path), target); got != readText(t, filepath.Dir(whole), target) {
					t.Errorf("%s: no error, and another archive", what)
				}
			default:
				if left := names(t, filepath.Dir(path)); left != "" && !cleaning {
					t.Errorf("%s: left over: %s", what, left)
				}
			}
			os.RemoveAll(path)
		}
	}}
}

// replaceFaults is of a command that replaces an old store whose last commit is in its log.
func replaceFaults(t *testing.T, name, source, newText string, run func(stateDir string, fsys *stages.FS) error) faulty {
	old := oldStore(t)
	commits(t, old)
	return changeFaults(t, name, source, old, newText, run)
}

// changeFaults is of a command that makes another store of the one in a state directory.
func changeFaults(t *testing.T, name, source, old, newText string, run func(stateDir string, fsys *stages.FS) error) faulty {
	oldText := strings.Replace(dump(t, old), "pragma journal_mode wal", "pragma journal_mode delete", 1)
	before := content(t, old)
	return faulty{name, source, func(t *testing.T) (func(*stages.FS) error, func(string, error, bool)) {
		state := t.TempDir()
		if err := os.CopyFS(state, os.DirFS(old)); err != nil {
			t.Fatal(err)
		}
		return func(fsys *stages.FS) error { return run(state, fsys) }, func(what string, err error, cleaning bool) {
			after := map[string]string{}
			for path, text := range content(t, state) {
				after[strings.Replace(path, state, old, 1)] = text
			}
			if err == nil || !maps.Equal(after, before) {
				if isNew := checkOldOrNew(t, state, oldText, newText); err == nil && !isNew {
					t.Errorf("%s: no error, and no new store", what)
				}
			}
			if left := leftovers(t, state); left != "" && !cleaning {
				t.Errorf("%s: left over: %s", what, left)
			}
			if cleaning {
				if err := run(state, nil); err != nil {
					t.Errorf("%s: the next run: %v", what, err)
				} else if left := leftovers(t, state); left != "" {
					t.Errorf("%s: left over after the next run: %s", what, left)
				}
			}
			os.RemoveAll(state)
		}
	}}
}

func copyFaulty(t *testing.T, source string) faulty {
	to, _, err := runCopy(t, CopyOptions{StateDir: source})
	if err != nil {
		t.Fatal(err)
	}
	return replaceFaults(t, "copy", source, dump(t, to), func(stateDir string, fsys *stages.FS) error {
		_, err := Copy(context.Background(), CopyOptions{StateDir: source, ToStateDir: stateDir, KeepOld: true, Workers: 2, fs: fsys})
		return err
	})
}

// importFaults are imports of a directory by both writers, and of archives: ours, and one that is spooled in part.
func importFaults(t *testing.T) (list []faulty) {
	dir := handMade().write(t)
	archives := t.TempDir()
	own, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{Zstd: true, FrameSize: 3000})
	put(t, filepath.Join(archives, "ours"), string(own))
	put(t, filepath.Join(archives, "foreign"), string(testdata.ForeignTar(t, dir, testdata.ForeignOptions{Prefix: "./"})))
	newText := newDump(t)
	for name, o := range map[string]ImportOptions{
		"import":                  {ExportDir: dir},
		"import by pages":         {ExportDir: dir, Writer: WriterPages},
		"import of an archive":    {Archive: filepath.Join(archives, "ours")},
		"import of another's tar": {Archive: filepath.Join(archives, "foreign"), Writer: WriterPages},
	} {
		list = append(list, replaceFaults(t, name, dir, newText, func(stateDir string, fsys *stages.FS) error {
			o := o
			o.StateDir, o.KeepOld, o.Workers = stateDir, true, 2
			_, err := importInto(context.Background(), o, fsys)
			return err
		}))
	}
	old := lost(t, "DELETE FROM transcriptSpans WHERE startPos = 0")
	repair := func(stateDir string, fsys *stages.FS) error {
		o := repairOptions(stateDir, dir, 1000)
		o.Workers = 2
		_, err := importInto(context.Background(), o, fsys)
		return err
	}
	repaired := t.TempDir()
	if err := errors.Join(os.CopyFS(repaired, os.DirFS(old)), repair(repaired, nil)); err != nil {
		t.Fatal(err)
	}
	list = append(list, changeFaults(t, "import of metadata", dir, old, dump(t, repaired), repair))
	slices.SortFunc(list, func(a, b faulty) int { return strings.Compare(a.name, b.name) })
	return list
}

// readFaults are the commands that only read, and extract.
func readFaults(t *testing.T, state string) (list []faulty) {
	ctx, temp := context.Background(), t.TempDir()
	dir := filepath.Join(t.TempDir(), "export")
	archive := filepath.Join(t.TempDir(), "x.tar.zst")
	o := ExportOptions{StateDir: state, ArtifactMode: format.Archival, ExportDataMode: format.All}
	o.ExportDir = dir
	_, err := Export(ctx, o)
	o.ExportDir, o.Archive = "", archive
	if _, again := Export(ctx, o); err != nil || again != nil {
		t.Fatal(err, again)
	}
	foreign := filepath.Join(t.TempDir(), "foreign")
	put(t, foreign, string(testdata.ForeignTar(t, dir, testdata.ForeignOptions{})))
	verify := func(o VerifyOptions) func(*stages.FS, io.Writer) error {
		return func(fsys *stages.FS, w io.Writer) error {
			var found []error
			o.fs, o.TempDir, o.Workers = fsys, temp, 2
			o.Defect = func(d Defect) { found = append(found, errors.New(d.String())) }
			_, err := Verify(ctx, o)
			return errors.Join(append(found, err)...)
		}
	}
	diff := func(a, b string) func(*stages.FS, io.Writer) error {
		return func(fsys *stages.FS, w io.Writer) error {
			_, err := Diff(ctx, DiffOptions{A: a, B: b, TempDir: temp, fs: fsys, Workers: 2, Each: func(d Difference) { fmt.Fprintln(w, d) }})
			return err
		}
	}
	list1 := func(path string) func(*stages.FS, io.Writer) error {
		return func(fsys *stages.FS, w io.Writer) error {
			_, err := List(ctx, ListOptions{Path: path, TempDir: temp, fs: fsys, Each: func(e ListEntry) error { fmt.Fprintln(w, e); return nil }})
			return err
		}
	}
	for _, c := range []struct {
		name string
		run  func(*stages.FS, io.Writer) error
	}{
		{"verify a store", verify(VerifyOptions{StateDir: state})}, {"verify --deep", verify(VerifyOptions{StateDir: state, Deep: true})},
		{"verify an export", verify(VerifyOptions{ExportDir: dir})}, {"verify an archive", verify(VerifyOptions{Archive: archive})},
		{"verify another's tar", verify(VerifyOptions{Archive: foreign})},
		{"diff", diff(state, dir)}, {"diff archives", diff(archive, foreign)},
		{"list", list1(dir)}, {"list an archive", list1(archive)}, {"list another's tar", list1(foreign)},
	} {
		list = append(list, readFaulty(t, c.name, state, temp, c.run))
	}
	return append(list, extractFaulty(t, "extract", archive, nil, dir), extractFaulty(t, "extract some", archive, []string{"snapshot.v1.4", "transcript.v1.5.6"}, dir),
		extractFaulty(t, "extract from another's tar", foreign, nil, dir))
}

func readFaulty(t *testing.T, name, source, temp string, run func(*stages.FS, io.Writer) error) faulty {
	var want bytes.Buffer
	if err := run(nil, &want); err != nil {
		t.Fatal(name, err)
	}
	return faulty{name, source, func(t *testing.T) (func(*stages.FS) error, func(string, error, bool)) {
		var got bytes.Buffer
		return func(fsys *stages.FS) error { return run(fsys, &got) }, func(what string, err error, _ bool) {
			if err == nil && got.String() != want.String() {
				t.Errorf("%s: no error, and it says %q, want %q", what, got.String(), want.String())
			}
			if left := names(t, temp); left != "" {
				t.Errorf("%s: left over: %s", what, left)
			}
		}
	}}
}

func extractFaulty(t *testing.T, name, archive string, files []string, dir string) faulty {
	return faulty{name, filepath.Dir(archive), func(t *testing.T) (func(*stages.FS) error, func(string, error, bool)) {
		to := filepath.Join(t.TempDir(), "to")
		run := func(fsys *stages.FS) error {
			_, err := Extract(context.Background(), ExtractOptions{Path: archive, Names: files, To: to, fs: fsys})
			return err
		}
		return run, func(what string, err error, cleaning bool) {
			if err != nil {
				if !cleaning {
					nothingLeft(t, to)
				}
				return
			}
			dropFolder(t, to, cleaning)
			got := strings.Fields(names(t, to))
			if want := len(strings.Fields(names(t, dir))); len(got) != want && files == nil || files != nil && len(got) != len(files) {
				t.Errorf("%s: no error, and %d files", what, len(got))
			}
			for _, name := range got {
				if readText(t, to, name) != readText(t, dir, name) {
					t.Errorf("%s: no error, and %s is another file", what, name)
				}
			}
			os.RemoveAll(to)
		}
	}}
}

// dropFolder removes the folder that a run left, with a warning, when all was in place and it could not be removed. It is empty.
func dropFolder(t *testing.T, dir string, cleaning bool) (dropped bool) {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(dir, ".swingport-*"))
	if err != nil || !cleaning {
		return false
	}
	for _, folder := range folders {
		if err := os.Remove(folder); err != nil {
			t.Error(err)
		}
	}
	return len(folders) > 0
}

// fault is one that is injected. harmless ones are to be gone on from, as if nothing had happened.
type fault struct {
	name     string
	err      func(op stages.Op) error
	harmless bool
	stays    bool // everything of that kind fails from then on
}

func always(err error) func(stages.Op) error { return func(stages.Op) error { return err } }

func half(err error) func(stages.Op) error {
	return func(op stages.Op) error { return &stages.PartError{N: op.Len / 2, Err: err} }
}

var (
	eio      = fault{name: "EIO", err: always(syscall.EIO)}
	enospc   = fault{name: "ENOSPC", err: always(syscall.ENOSPC)}
	eintr    = fault{name: "EINTR", err: always(syscall.EINTR), harmless: true}
	shortEIO = fault{name: "half, then EIO", err: half(syscall.EIO)}
)

// faultKinds are the faults of each kind of operation.
var faultKinds = map[stages.OpKind][]fault{
	stages.OpRead:  {eio, eintr, shortEIO, {name: "half", err: half(nil), harmless: true}, {name: "EIO from then on", err: always(syscall.EIO), stays: true}},
	stages.OpWrite: {eio, enospc, eintr, {name: "half, then ENOSPC", err: half(syscall.ENOSPC)}, shortEIO, {name: "ENOSPC from then on", err: always(syscall.ENOSPC), stays: true}},
	stages.OpOpen:  {eio, eintr, {name: "EMFILE", err: always(syscall.EMFILE)}}, stages.OpSync: {eio, enospc}, stages.OpSyncDir: {eio, enospc, eintr},
	stages.OpRename: {eio, enospc}, stages.OpMkdir: {eio, enospc}, stages.OpLink: {eio, enospc}, stages.OpTruncate: {eio}, stages.OpRemove: {eio}, stages.OpLock: {eio, eintr},
}

// mustFail are the kinds of operations that nothing works without. What cannot be read or opened may be something that is only looked at.
var mustFail = map[stages.OpKind]bool{
	stages.OpWrite: true, stages.OpSync: true, stages.OpSyncDir: true, stages.OpRename: true, stages.OpMkdir: true, stages.OpLink: true, stages.OpTruncate: true,
}

// Whatever fails, at whatever operation: the error is that one, and says where; nothing is committed, or all of it; and nothing is left, no file, no
// descriptor and no goroutine.
func TestFaults(t *testing.T) {
	total := map[string]int{}
	for _, f := range faultsOf(t) {
		t.Run(f.name, func(t *testing.T) {
			counts := map[string]int{}
			n, m := faultPlaces(t, f)
			opFaults(t, f, faultStride(n), counts)
			steps := stepFaults(t, f, faultStride(2*m))
			for kind, n := range counts {
				total[kind] += n
			}
			total["SQL step EIO"] += steps
			t.Logf("%d operations, %d faults; %d steps, %d failed", n, sum(counts), m, steps)
		})
	}
	for _, kind := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%6d %s", total[kind], kind)
	}
	t.Logf("%6d faults", sum(total))
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// faultStride is how many to go on from one fault to the next of n places for them.
func faultStride(n int64) int64 {
	switch {
	case *exhaustive:
		return 1
	case testing.Short():
		return 1 + n/5
	}
	return 1 + n/100
}

// faultPlaces counts the operations and the steps of a run without faults.
func faultPlaces(t *testing.T, f faulty) (ops, steps int64) {
	var op, step atomic.Int64
	fsys := &stages.FS{
		Before:     func(stages.Op) error { op.Add(1); return nil },
		BeforeStep: func(string) error { step.Add(1); return nil },
	}
	oneFault(t, f, fsys, func(err error) (string, bool, bool) { return fmt.Sprint("no fault: ", err), true, false })
	return op.Load(), step.Load()
}

// opFaults injects faults of all kinds in turn, at one operation after the other until there are no more.
func opFaults(t *testing.T, f faulty, stride int64, counts map[string]int) {
	turn := map[stages.OpKind]int{}
	for n := int64(0); ; n += stride {
		var at stages.Op
		kinds := 1
		for i := 0; i < kinds; i++ {
			var count atomic.Int64
			var done atomic.Pointer[fault]
			fsys := &stages.FS{}
			fsys.Before = func(op stages.Op) error {
				switch d := done.Load(); {
				case count.Add(1)-1 == n:
					list := faultKinds[op.Kind]
					at = op
					x := list[turn[op.Kind]%len(list)]
					turn[op.Kind]++
					if *exhaustive {
						kinds = len(list)
					}
					done.Store(&x)
					return x.err(op)
				case d != nil && d.stays && op.Kind == at.Kind:
					return d.err(op)
				}
				return nil
			}
			oneFault(t, f, fsys, func(err error) (what string, harmless, cleaning bool) {
				x := done.Load()
				if x == nil {
					return "no fault", true, false
				}
				counts[string(at.Kind)+" "+x.name]++
				what = fmt.Sprintf("operation %d, %s %s, %s: %v", n, at.Kind, at.Path, x.name, err)
				if err == nil && !x.harmless && mustFail[at.Kind] {
					t.Errorf("%s: nobody noticed", what)
				}
				if err != nil && !x.harmless && !saysWhat(f.name, err, at, x) {
					t.Errorf("%s: the error does not say what failed", what)
				}
				return what, x.harmless, at.Kind == stages.OpRemove
			})
			if done.Load() == nil {
				return
			}
		}
	}
}

// saysWhat reports whether an error is that of the fault (verify has but its text) and names the file, or the folder or artifact that it is of.
func saysWhat(name string, err error, op stages.Op, x *fault) bool {
	if strings.Contains(err.Error(), "integrity_check: Tree ") {
		return true // in the engine's words
	}
	var errno syscall.Errno
	if !errors.As(x.err(op), &errno) {
		return false
	}
	if !errors.Is(err, errno) && !strings.HasPrefix(name, "verify") {
		return false
	}
	text := err.Error()
	if !strings.Contains(text, errno.Error()) {
		return false
	}
	if x.stays && errors.Is(err, errno) {
		return true // it may be another file of many by then
	}
	return strings.Contains(text, filepath.Base(op.Path)) || strings.Contains(text, filepath.Base(filepath.Dir(op.Path)))
}

// stepFaults lets steps of SQL statements fail, and returns how many did.
func stepFaults(t *testing.T, f faulty, stride int64) (steps int) {
	for n := int64(0); ; n += stride {
		var count atomic.Int64
		var failed atomic.Pointer[string]
		fsys := &stages.FS{BeforeStep: func(sql string) error {
			if count.Add(1)-1 == n {
				failed.Store(&sql)
				return syscall.EIO
			}
			return nil
		}}
		oneFault(t, f, fsys, func(err error) (what string, harmless, cleaning bool) {
			if failed.Load() == nil {
				return "no fault", true, false
			}
			what = fmt.Sprintf("step %d, %s: %v", n, *failed.Load(), err)
			if err != nil && (!errors.Is(err, syscall.EIO) && !strings.HasPrefix(f.name, "verify") || !strings.Contains(err.Error(), syscall.EIO.Error()) || !strings.Contains(err.Error(), stages.StoreFile)) {
				t.Errorf("%s: the error does not say what failed", what)
			}
			return what, false, false
		})
		if failed.Load() == nil {
			return steps
		}
		steps++
	}
}

// oneFault is one run with a fault.
func oneFault(t *testing.T, f faulty, fsys *stages.FS, say func(err error) (what string, harmless, cleaning bool)) {
	t.Helper()
	before := dirContent(t, f.source)
	run, check := f.begin(t)
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	err := run(fsys)
	what, harmless, cleaning := say(err)
	if harmless && err != nil {
		t.Errorf("%s: it has to go on", what)
	}
	for range 200 {
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		stacks := make([]byte, 1<<20)
		t.Fatalf("%s: %d goroutines, before %d:\n%s", what, n, goroutines, stacks[:runtime.Stack(stacks, true)])
	}
	if now := openFiles(t); now != files {
		t.Fatalf("%s: open files %s, before %s", what, now, files)
	}
	check(what, err, cleaning)
	tidy(t, f.source, before, what)
}

// openFiles lists the descriptors of this process that are files.
func openFiles(t *testing.T) string {
	t.Helper()
	var list []string
	for _, fd := range strings.Fields(names(t, "/proc/self/fd")) {
		if to, err := os.Readlink("/proc/self/fd/" + fd); err == nil && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/proc/") {
			list = append(list, to)
		}
	}
	return strings.Join(list, " ")
}
