package pipeline

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// TestReader is a process that may read a state directory and not write it: it does everything that reads a store, and says what came of it.
func TestReader(t *testing.T) {
	args := strings.Split(os.Getenv("TestReader"), "\n")
	if len(args) != 3 {
		return
	}
	state, out, fixed := args[0], args[1], args[2]
	for name, read := range map[string]func() error{
		"export": func() error {
			_, err := Export(t.Context(), ExportOptions{StateDir: state, ExportDir: filepath.Join(out, "export"), ArtifactMode: format.Archival, ExportDataMode: format.All})
			return err
		},
		"export by the engine": func() error {
			_, err := Export(t.Context(), ExportOptions{StateDir: state, Archive: "-", Stdout: io.Discard, Reader: ReaderEngine})
			return err
		},
		"copy": func() error {
			_, err := Copy(t.Context(), CopyOptions{StateDir: state, ToStateDir: filepath.Join(out, "copy")})
			return err
		},
		"verify": func() error {
			r, err := Verify(t.Context(), VerifyOptions{StateDir: state, Deep: true})
			if err == nil && r.DefectCount > 0 {
				err = errors.New("has defects")
			}
			return err
		},
		"diff": func() error {
			r, err := Diff(t.Context(), DiffOptions{A: state, KindA: KindStateDir, B: fixed})
			if err == nil && r.Differences > 0 {
				err = errors.New("differs")
			}
			return err
		},
		"height": func() error {
			_, err := Height(t.Context(), state)
			return err
		},
		"get": func() error {
			_, _, err := Get(t.Context(), state, "host.height")
			return err
		},
	} {
		fmt.Printf("%s: %v\n", name, read())
	}
	_, err := Import(t.Context(), ImportOptions{StateDir: state, Archive: fixed})
	fmt.Printf("import: %v\n", err)
}

// readOnly is how a state directory is kept from being written.
var readOnly = map[string]func(t *testing.T, state string) (release func()){
	"another user's": func(t *testing.T, state string) func() { return func() {} },
	"no permission": func(t *testing.T, state string) func() {
		if err := os.Chmod(state, 0o555); err != nil {
			t.Fatal(err)
		}
		return func() { os.Chmod(state, 0o755) }
	},
	"a read-only mount": nil, // by the process itself, which has a name space of its own
}

// readerOf starts the process of TestReader: as another user, or as root in a name space where the directory is mounted read-only.
func readerOf(t *testing.T, how, dir, fixed string) *exec.Cmd {
	cmd := child(t, "TestReader", filepath.Join(dir, "state")+"\n"+filepath.Join(dir, "out")+"\n"+fixed)
	cmd.Dir = dir
	if os.Geteuid() == 0 {
		cmd.Path = filepath.Join(dir, "test")
	}
	switch {
	case how == "a read-only mount":
		script := `mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"`
		cmd.Args = append([]string{"unshare", "--mount", "sh", "-c", script, "sh", filepath.Join(dir, "state")}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
		cmd.Path = "/usr/bin/unshare"
	case os.Geteuid() == 0:
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	return cmd
}

// mayMount reports whether this process may mount; with CI=true it must.
func mayMount(t *testing.T) bool {
	err := exec.Command("unshare", "--mount", "true").Run()
	if err != nil && os.Getenv("CI") == "true" {
		t.Errorf("nothing can be mounted here: %v", err)
	}
	if err != nil {
		t.Logf("no read-only mount: %v", err)
	}
	return err == nil
}

// A store that cannot be written, since its directory is another user's, lacks the permission, or is on a read-only mount, is read wherever the
// engine can do that without writing. Where not, the error says why. An import says that it cannot write, and nothing of the store changes.
func TestReadOnly(t *testing.T) {
	mount := mayMount(t)
	for name, c := range map[string]struct {
		pragmas []string
		live    bool                 // a node has it open
		make    func(b string) error // changes the directory
		says    map[string]string    // by how; "" for all
	}{
		"rollback mode":               {},
		"WAL, cleanly stopped":        {pragmas: []string{"journal_mode=WAL"}},
		"WAL, beside a node":          {pragmas: []string{"journal_mode=WAL"}, live: true},
		"WAL, the node was killed":    {pragmas: []string{"journal_mode=WAL"}, make: kept("-wal", "-shm")},
		"WAL, a log alone":            {pragmas: []string{"journal_mode=WAL"}, make: kept("-wal"), says: map[string]string{"": "swingstore.sqlite-wal holds commits, and reading them needs to write"}},
		"WAL, -shm unreadable":        {pragmas: []string{"journal_mode=WAL"}, make: kept("-wal", "-shm", "-shm"), says: map[string]string{"": "swingstore.sqlite-wal holds commits, and reading them needs to write", "a read-only mount": "<nil>"}},
		"WAL, -wal unreadable":        {pragmas: []string{"journal_mode=WAL"}, make: kept("-wal", "-shm", "-wal"), says: map[string]string{"": "swingstore.sqlite-wal", "a read-only mount": "<nil>"}},
		"the database is unreadable":  {make: unreadable(stages.StoreFile), says: map[string]string{"": "permission denied", "a read-only mount": "<nil>"}},
		"the directory is not for us": {make: unreadable(""), says: map[string]string{"": "permission denied", "a read-only mount": "<nil>"}},
	} {
		for how, change := range readOnly {
			if how == "a read-only mount" && !mount || how == "no permission" && name == "the directory is not for us" {
				continue
			}
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				checkReadOnly(t, how, change, c.pragmas, c.live, c.make, c.says)
			})
		}
	}
}

// kept makes the files beside a database what a killed node leaves: those named twice cannot be read.
func kept(ends ...string) func(state string) error {
	return func(state string) error {
		for _, end := range []string{"-wal", "-shm"} {
			path := filepath.Join(state, stages.StoreFile+end)
			switch strings.Count(strings.Join(ends, " "), end) {
			case 0:
				if err := os.Remove(path); err != nil {
					return err
				}
			case 2:
				if err := os.Chmod(path, 0o600); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func unreadable(name string) func(state string) error {
	return func(state string) error { return os.Chmod(filepath.Join(state, name), 0) }
}

func checkReadOnly(t *testing.T, how string, change func(*testing.T, string) func(), pragmas []string, live bool, prepare func(string) error, says map[string]string) {
	dir := publicDir(t)
	state, out := filepath.Join(dir, "state"), filepath.Join(dir, "out")
	b := goodStore(t, pragmas...)
	if live || prepare != nil && len(pragmas) > 0 {
		b.Exec("PRAGMA wal_autocheckpoint=0")
		b.KV("only in the log", "x")
		ends := []string{"-wal", "-shm"}
		if err := os.CopyFS(state, os.DirFS(b.CopyFiles(ends...))); err != nil {
			t.Fatal(err)
		}
	} else {
		b.Close()
		if err := os.CopyFS(state, os.DirFS(b.Dir)); err != nil {
			t.Fatal(err)
		}
	}
	quiet := t.TempDir()
	if err := os.CopyFS(quiet, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	fixed := filepath.Join(dir, "fixed.tar")
	if _, err := Export(t.Context(), ExportOptions{StateDir: quiet, Archive: fixed}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(out, 0o777), os.Chmod(out, 0o777)); err != nil {
		t.Fatal(err)
	}
	if live {
		node := testdata.Open(t, state)
		node.Exec("PRAGMA wal_autocheckpoint=0")
		if node.Int("SELECT count(*) FROM kvStore WHERE key='only in the log'") != 1 {
			t.Fatal("the log is not read")
		}
		node.Exec("UPDATE kvStore SET value='y' WHERE key='only in the log'")
		node.Exec("UPDATE kvStore SET value='x' WHERE key='only in the log'")
		defer node.Close()
	}
	if prepare != nil {
		if err := prepare(state); err != nil {
			t.Fatal(err)
		}
	}
	if change != nil {
		defer change(t, state)()
	}
	before := withoutShm(dirContent(t, state))
	text, err := readerOf(t, how, dir, fixed).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	want, ok := says[how]
	if !ok {
		want = says[""]
	}
	lines := 0
	for line := range strings.Lines(string(text)) {
		what, said, ok := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case !ok:
			continue
		case what == "import" && said == "<nil>", what != "import" && want == "" && said != "<nil>", what != "import" && !strings.Contains(said, want):
			t.Errorf("%s says %s, want %q", what, said, want)
		case what == "import" && !strings.Contains(said, "denied") && !strings.Contains(said, "read-only file system"):
			t.Errorf("%s says %s", what, said)
		}
		lines++
	}
	if lines != 8 {
		t.Errorf("it says %s", text)
	}
	if after := withoutShm(dirContent(t, state)); !slices.Equal(after, before) {
		t.Errorf("the state directory has %q, before %q", after, before)
	}
}

func withoutShm(list []string) []string {
	return slices.DeleteFunc(list, func(line string) bool { return strings.Contains(line, "-shm ") })
}
