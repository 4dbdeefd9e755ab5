package pipeline

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"swingport/stages"
	"swingport/testdata"
)

// child runs one of this binary's tests in another process, with the environment variable of the same name set to args.
func child(t *testing.T, test, args string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), test+"="+args)
	cmd.Stderr = os.Stderr
	return cmd
}

// TestHoldStore is the other process that has a store open: it runs the statements that it is given on a connection, says so, and waits
// until its input ends.
func TestHoldStore(t *testing.T) {
	args := strings.Split(os.Getenv("TestHoldStore"), "\n")
	if len(args) < 2 {
		return
	}
	db, err := stages.OpenDB(args[0], stages.ReadWrite, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range args[1:] {
		if err := db.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// hold starts a process that runs statements on the store and keeps it open until the test ends; kill ends it at once.
func hold(t *testing.T, stateDir string, statements ...string) (kill func()) {
	t.Helper()
	cmd := child(t, "TestHoldStore", strings.Join(append([]string{filepath.Join(stateDir, stages.StoreFile)}, statements...), "\n"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := false
	kill = func() {
		if !done {
			done = true
			cmd.Process.Kill()
			in.Close()
			cmd.Wait()
		}
	}
	t.Cleanup(kill)
	if s, err := bufio.NewReader(out).ReadString('\n'); s != "ready\n" {
		t.Fatalf("the other process says %q, %v", s, err)
	}
	return kill
}

func TestImportIntoStoreInUse(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string][]string{
		"WAL mode, idle":        {"PRAGMA journal_mode=WAL", "SELECT 1 FROM kvStore"},
		"WAL mode, reading":     {"PRAGMA journal_mode=WAL", "BEGIN", "SELECT 1 FROM kvStore"},
		"rollback mode, writes": {"BEGIN IMMEDIATE", "INSERT INTO kvStore VALUES ('a', 'b')"},
	} {
		t.Run(name, func(t *testing.T) {
			o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t)}
			kill := hold(t, o.StateDir, statements...)
			before := content(t, o.StateDir)
			_, err := Import(context.Background(), o)
			var inUse *InUseError
			if !errors.As(err, &inUse) || inUse.Path != filepath.Join(o.StateDir, stages.StoreFile) {
				t.Errorf("error %v", err)
			}
			same(t, o.StateDir, before)
			kill()
			if _, err := Import(context.Background(), o); err != nil {
				t.Errorf("once nobody has it open: %v", err)
			}
			if got := names(t, o.StateDir); got != "other.txt swingstore.sqlite" {
				t.Errorf("the state directory holds %s", got)
			}
		})
	}
}

// A damaged store that another process has open is in use all the same, and so is a log whose database was removed.
func TestImportIntoDamagedStoreInUse(t *testing.T) {
	t.Parallel()
	wal := []string{"PRAGMA journal_mode=WAL", "BEGIN IMMEDIATE"}
	for name, c := range map[string]struct {
		statements []string
		damage     func(dir string)
	}{
		"WAL mode":         {wal, func(dir string) { overwrite(t, dir, 0, "XXXX") }},
		"rollback mode":    {wal[1:], func(dir string) { overwrite(t, dir, 0, "XXXX") }},
		"database removed": {wal, func(dir string) { remove(t, dir, stages.StoreFile) }},
	} {
		t.Run(name, func(t *testing.T) {
			o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t)}
			kill := hold(t, o.StateDir, c.statements...)
			c.damage(o.StateDir)
			before := content(t, o.StateDir)
			_, err := Import(context.Background(), o)
			var inUse *InUseError
			if !errors.As(err, &inUse) || inUse.Path != filepath.Join(o.StateDir, stages.StoreFile) {
				t.Errorf("error %v", err)
			}
			same(t, o.StateDir, before)
			kill()
			if sum, err := Import(context.Background(), o); err != nil || sum.MovedAside == "" {
				t.Errorf("once nobody has it open: %v", err)
			}
			checkNew(t, o.StateDir)
		})
	}
}

// A store that comes into use while the import runs is refused too, at the swap.
func TestImportStoreComesIntoUse(t *testing.T) {
	t.Parallel()
	o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t)}
	began := false
	fsys := &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpWrite && !began {
			began = true
			hold(t, o.StateDir, "PRAGMA journal_mode=WAL", "INSERT INTO kvStore VALUES ('new', 'commit')")
		}
		return nil
	}}
	_, err := importInto(context.Background(), o, fsys)
	var inUse *InUseError
	if !errors.As(err, &inUse) {
		t.Fatalf("error %v", err)
	}
	if got := names(t, o.StateDir); got != "other.txt swingstore.sqlite swingstore.sqlite-shm swingstore.sqlite-wal" {
		t.Errorf("the state directory holds %s", got)
	}
}

// commits makes commits that stay in the write-ahead log, as after a kill -9.
func commits(t *testing.T, stateDir string) {
	hold(t, stateDir, "PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0", "INSERT INTO kvStore VALUES ('last', 'commit')",
		"UPDATE kvStore SET value = '8' WHERE key = 'host.height'")()
}

// The log of the old store is not replayed into the new one, and what it holds is in the kept old one.
func TestImportOverLog(t *testing.T) {
	o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t), KeepOld: true}
	commits(t, o.StateDir)
	if info, err := os.Stat(filepath.Join(o.StateDir, stages.StoreFile+"-wal")); err != nil || info.Size() == 0 {
		t.Fatalf("no log: %v", err)
	}
	sum, err := Import(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if sum.KeptOld != "swingstore.sqlite.old-8" {
		t.Errorf("kept as %q", sum.KeptOld)
	}
	if got := names(t, o.StateDir); got != "other.txt swingstore.sqlite swingstore.sqlite.old-8" {
		t.Errorf("the state directory holds %s", got)
	}
	checkNew(t, o.StateDir)
	old := t.TempDir()
	put(t, filepath.Join(old, stages.StoreFile), readText(t, o.StateDir, sum.KeptOld))
	if text := dump(t, old); !strings.Contains(text, "'last' 'commit'") {
		t.Error("the kept store lacks its last commit")
	}
}

// A failed import does not even checkpoint the old store.
func TestFailedImportOverLog(t *testing.T) {
	x := handMade()
	x.artifacts[spanOne] = "other\n"
	o := ImportOptions{StateDir: oldStore(t), ExportDir: x.write(t), KeepOld: true}
	commits(t, o.StateDir)
	before := content(t, o.StateDir)
	if _, err := Import(context.Background(), o); err == nil {
		t.Fatal("imported")
	}
	same(t, o.StateDir, before)
}

// checkNew fails unless the store in stateDir is what handMade exports.
func checkNew(t *testing.T, stateDir string) {
	t.Helper()
	if text := dump(t, stateDir); text != newDump(t) {
		t.Errorf("the new store is another one:\n%s", strings.Join(testdata.CompareDumps(text, newDump(t)), "\n"))
	}
}

func newDump(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := Import(context.Background(), ImportOptions{StateDir: dir, ExportDir: handMade().write(t)}); err != nil {
		t.Fatal(err)
	}
	return dump(t, dir)
}

// Names of kept stores are never used twice.
func TestImportKeepOldTwice(t *testing.T) {
	o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t), KeepOld: true}
	for _, want := range []string{"swingstore.sqlite.old-7", "swingstore.sqlite.old-1000", "swingstore.sqlite.old-1000-2", "swingstore.sqlite.old-1000-3"} {
		sum, err := Import(context.Background(), o)
		if err != nil || sum.KeptOld != want {
			t.Fatalf("kept as %q, want %q: %v", sum.KeptOld, want, err)
		}
	}
	checkNew(t, o.StateDir)
}

// Where the file system has no hard links the old store is renamed.
func TestImportKeepOldWithoutLinks(t *testing.T) {
	o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t), KeepOld: true}
	fsys := &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpLink {
			return syscall.EPERM
		}
		return nil
	}}
	for _, want := range []string{"swingstore.sqlite.old-7", "swingstore.sqlite.old-1000", "swingstore.sqlite.old-1000-2"} {
		sum, err := importInto(context.Background(), o, fsys)
		if err != nil || sum.KeptOld != want {
			t.Fatalf("kept as %q, want %q: %v", sum.KeptOld, want, err)
		}
	}
	if got := names(t, o.StateDir); got != "other.txt swingstore.sqlite swingstore.sqlite.old-1000 swingstore.sqlite.old-1000-2 swingstore.sqlite.old-7" {
		t.Errorf("the state directory holds %s", got)
	}
	checkNew(t, o.StateDir)
}

// A damaged old store does not stop a restore; it is moved aside with its log.
func TestImportOverDamagedStore(t *testing.T) {
	for name, damage := range map[string]func(dir string){
		"no database":      func(dir string) { put(t, filepath.Join(dir, stages.StoreFile), strings.Repeat("no database ", 1000)) },
		"short":            func(dir string) { put(t, filepath.Join(dir, stages.StoreFile), "x") },
		"page one damaged": func(dir string) { overwrite(t, dir, 100, strings.Repeat("\xff", 3000)) },
		"write version":    func(dir string) { overwrite(t, dir, 18, "\x07") },
		"schema format":    func(dir string) { overwrite(t, dir, 44, "\x00\x00\x00\xff") },
		"log without database": func(dir string) {
			remove(t, dir, stages.StoreFile)
			put(t, filepath.Join(dir, stages.StoreFile+"-wal"), "a log")
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t)}
			damage(o.StateDir)
			put(t, filepath.Join(o.StateDir, stages.StoreFile+"-wal"), "a log")
			sum, err := Import(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(sum.MovedAside, "swingstore.sqlite.damaged-") {
				t.Fatalf("moved to %q", sum.MovedAside)
			}
			if got := readText(t, o.StateDir, sum.MovedAside+"-wal"); got != "a log" {
				t.Errorf("the log is %q", got)
			}
			checkNew(t, o.StateDir)
			want := "other.txt swingstore.sqlite " + sum.MovedAside + " " + sum.MovedAside + "-wal"
			if name == "log without database" {
				want = "other.txt swingstore.sqlite " + sum.MovedAside + "-wal"
			}
			if got := names(t, o.StateDir); got != want {
				t.Errorf("the state directory holds %s, want %s", got, want)
			}
		})
	}
}

func overwrite(t *testing.T, dir string, at int64, text string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, stages.StoreFile), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text), at); err != nil {
		t.Fatal(err)
	}
}

// When the new store cannot come into place, the old one and what is beside it get their names back, also where they were renamed.
func TestImportPutsBack(t *testing.T) {
	for name, damage := range map[string]func(dir string){
		"kept":    func(string) {},
		"damaged": func(dir string) { put(t, filepath.Join(dir, stages.StoreFile), strings.Repeat("no database ", 1000)) },
		"log without database": func(dir string) {
			remove(t, dir, stages.StoreFile)
		},
	} {
		for _, links := range []bool{true, false} {
			for _, fails := range []stages.OpKind{stages.OpSyncDir, stages.OpRename} {
				t.Run(fmt.Sprintf("%s links=%v %s", name, links, fails), func(t *testing.T) {
					o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t), KeepOld: true}
					damage(o.StateDir)
					if name != "kept" {
						put(t, filepath.Join(o.StateDir, stages.StoreFile+"-wal"), "a log")
						put(t, filepath.Join(o.StateDir, stages.StoreFile+"-journal"), "a journal")
					}
					before := content(t, o.StateDir)
					failed := false
					fsys := &stages.FS{Before: func(op stages.Op) error {
						switch {
						case op.Kind == stages.OpLink && !links:
							return syscall.EPERM
						case op.Kind == stages.OpSyncDir && fails == op.Kind,
							op.Kind == stages.OpRename && fails == op.Kind && !failed && op.Path == filepath.Join(o.StateDir, stages.StoreFile):
							failed = true
							return syscall.EIO
						}
						return nil
					}}
					if _, err := importInto(context.Background(), o, fsys); !errors.Is(err, syscall.EIO) || !failed {
						t.Errorf("error %v", err)
					}
					same(t, o.StateDir, before)
				})
			}
		}
	}
}

// A transaction that was cut off in the old store is rolled back, not replayed into the new one.
func TestImportOverHotJournal(t *testing.T) {
	o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t), KeepOld: true}
	kill := hold(t, o.StateDir, "PRAGMA cache_size=1", "PRAGMA cache_spill=1", "BEGIN",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO kvStore SELECT 'key'||i, hex(randomblob(50)) FROM n")
	kill()
	if info, err := os.Stat(filepath.Join(o.StateDir, stages.StoreFile+"-journal")); err != nil || info.Size() == 0 {
		t.Fatalf("no journal: %v", err)
	}
	sum, err := Import(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkNew(t, o.StateDir)
	if got := names(t, o.StateDir); got != "other.txt swingstore.sqlite swingstore.sqlite.old-7" || sum.KeptOld == "" {
		t.Errorf("the state directory holds %s", got)
	}
}

func TestImportOverLink(t *testing.T) {
	o := ImportOptions{StateDir: t.TempDir(), ExportDir: handMade().write(t)}
	elsewhere := oldStore(t)
	if err := os.Symlink(filepath.Join(elsewhere, stages.StoreFile), filepath.Join(o.StateDir, stages.StoreFile)); err != nil {
		t.Fatal(err)
	}
	before := content(t, elsewhere)
	if _, err := Import(context.Background(), o); err == nil || !strings.Contains(err.Error(), "is a symbolic link") {
		t.Errorf("error %v", err)
	}
	same(t, elsewhere, before)
}

// Two imports into one state directory: the second is refused and the first is not disturbed.
func TestImportTwice(t *testing.T) {
	o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t)}
	var second error
	began := false
	fsys := &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpWrite && !began {
			began = true
			_, second = Import(context.Background(), o)
		}
		return nil
	}}
	if _, err := importInto(context.Background(), o, fsys); err != nil {
		t.Fatal(err)
	}
	var inUse *InUseError
	if !errors.As(second, &inUse) {
		t.Errorf("the second import: %v", second)
	}
	checkNew(t, o.StateDir)
}

// What a killed import left is removed by the next one, and nothing else is.
func TestImportRemovesLeftovers(t *testing.T) {
	o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t)}
	put(t, filepath.Join(o.StateDir, ".swingport-import-123", stages.StoreFile), "half")
	put(t, filepath.Join(o.StateDir, ".swingport-spill-9"), "spilled")
	put(t, filepath.Join(o.StateDir, ".swingport-other"), "not ours")
	if _, err := Import(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if got := names(t, o.StateDir); got != ".swingport-other other.txt swingstore.sqlite" {
		t.Errorf("the state directory holds %s", got)
	}
}

// The new file has the mode of the old one, and its owner where we may give files away.
func TestImportOwner(t *testing.T) {
	o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t)}
	path := filepath.Join(o.StateDir, stages.StoreFile)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	want := [2]int{os.Getuid(), os.Getgid()}
	if os.Getuid() == 0 {
		want = [2]int{12345, 23456}
		if err := os.Chown(path, want[0], want[1]); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := Import(context.Background(), o)
	if err != nil || len(sum.Warnings) != 0 {
		t.Fatal(err, sum.Warnings)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); info.Mode().Perm() != 0o640 || [2]int{int(st.Uid), int(st.Gid)} != want {
		t.Errorf("mode %v, owner %d:%d", info.Mode(), st.Uid, st.Gid)
	}
}

// Without an old file the owner is the directory's, also of directories that import makes.
func TestImportOwnerOfDirectory(t *testing.T) {
	top := t.TempDir()
	want := uint32(os.Getuid())
	if os.Getuid() == 0 {
		want = 12345
		if err := os.Chown(top, int(want), -1); err != nil {
			t.Fatal(err)
		}
	}
	o := ImportOptions{StateDir: filepath.Join(top, "data", "agoric"), ExportDir: handMade().write(t)}
	if _, err := Import(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Dir(o.StateDir), o.StateDir, filepath.Join(o.StateDir, stages.StoreFile)} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != want {
			t.Errorf("%s belongs to %d, want %d", path, st.Uid, want)
		}
	}
}

// TestNobodysImport is the process of another user than root.
func TestNobodysImport(t *testing.T) {
	args := strings.Split(os.Getenv("TestNobodysImport"), "\n")
	if len(args) != 2 {
		return
	}
	_, err := Import(context.Background(), ImportOptions{StateDir: args[0], ExportDir: args[1]})
	fmt.Printf("result: %v\n", err)
}

// A store that we may not write is not replaced, even where its directory would allow it, and the error says why.
func TestImportOverReadOnlyStore(t *testing.T) {
	top, err := os.MkdirTemp("", "swingport-") // that of t.TempDir is for us alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	state, dir := filepath.Join(top, "state"), filepath.Join(top, "export")
	for to, from := range map[string]string{state: oldStore(t), dir: handMade().write(t)} {
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(state, stages.StoreFile), 0o444), os.Chmod(top, 0o755), os.Chmod(state, 0o777)); err != nil {
		t.Fatal(err)
	}
	cmd := child(t, "TestNobodysImport", state+"\n"+dir)
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		self, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Dir = filepath.Join(top, "test"), top
		if err := os.WriteFile(cmd.Path, self, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	before := content(t, state)
	out, err := cmd.Output()
	if want := "result: open for writing " + filepath.Join(state, stages.StoreFile) + ": permission denied\n"; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v: it says %s, want %s", err, out, want)
	}
	same(t, state, before)
}
