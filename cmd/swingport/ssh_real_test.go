package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"swingport/testdata"
)

// sshServer is an sshd of the test's own: its port, key and configuration are in a temporary folder.
type sshServer struct {
	dir  string
	port int
	user string
}

const sshdConfig = `ListenAddress 127.0.0.1
Port %[2]d
HostKey %[1]s/host
AuthorizedKeysFile %[1]s/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
PrintMotd no
PrintLastLog no
`

// startSSH starts sshd, and ends it with the test.
func startSSH(t *testing.T) *sshServer {
	t.Helper()
	need(t, "sshd", "ssh", "ssh-keygen", "bash")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &sshServer{dir: t.TempDir(), user: me.Username}
	if os.Geteuid() == 0 {
		// Where Debian's sshd separates privileges; its service makes it.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	shell(t, s.dir, "ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user")
	for range 5 { // the port may be taken between finding and using it
		if err = s.start(t); err == nil {
			return s
		}
	}
	t.Fatal(err)
	return nil
}

func (s *sshServer) start(t *testing.T) error {
	free, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	config, known := filepath.Join(s.dir, "config"), filepath.Join(s.dir, "known")
	key, err := os.ReadFile(filepath.Join(s.dir, "host.pub"))
	if err == nil {
		err = errors.Join(os.WriteFile(config, fmt.Appendf(nil, sshdConfig, s.dir, s.port), 0o600),
			os.WriteFile(known, fmt.Appendf(nil, "[127.0.0.1]:%d %s", s.port, key), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	sshd, err := exec.LookPath("sshd") // it wants its absolute path
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(sshd, "-D", "-e", "-f", config)
	log := new(bytes.Buffer)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // has ended, then
		<-ended
		if t.Failed() {
			t.Logf("sshd: %s", log)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			return fmt.Errorf("sshd ended: %v\n%s", err, log)
		default:
		}
		if c, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))); err == nil {
			c.Close()
			t.Cleanup(stop)
			return nil
		}
	}
	stop()
	return fmt.Errorf("sshd does not answer:\n%s", log)
}

// args are those of ssh: nothing of the user's own configuration counts.
func (s *sshServer) args(remote string) []string {
	var args []string
	for _, o := range []string{"IdentityFile=" + filepath.Join(s.dir, "user"), "IdentitiesOnly=yes", "IdentityAgent=none", "BatchMode=yes",
		"StrictHostKeyChecking=yes", "UserKnownHostsFile=" + filepath.Join(s.dir, "known"), "GlobalKnownHostsFile=/dev/null"} {
		args = append(args, "-o", o)
	}
	return append(args, "-F", "/dev/null", "-p", strconv.Itoa(s.port), s.user+"@127.0.0.1", remote)
}

// far is the command as the other machine runs it, its stderr in a file, and its process ID in another one.
func far(t *testing.T, dir, args string) string {
	t.Helper()
	program, err := exec.LookPath("swingport")
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("cd '%s' && echo $$ > pid && exec '%s' %s 2> stderr", dir, program, args)
}

// A store goes through ssh: export | ssh import. Both stores are the same, and so is the way back: ssh export | import.
func TestSSH(t *testing.T) {
	s := startSSH(t)
	state := testdata.Store(t, "tiny")
	want := imported(t, tinyExport(t))
	for _, flags := range []string{"", " --snapshots gzip", " --format tar", " --workers 1"} {
		there, here := t.TempDir(), t.TempDir()
		export := exec.Command("swingport", strings.Fields("export --output - --state-dir "+state+flags)...)
		ssh := exec.Command("ssh", s.args(far(t, there, "import --state-dir store --input -"))...)
		piped(t, export, ssh)
		for _, cmd := range []*exec.Cmd{export, ssh} {
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%s%s: %v\n%s", filepath.Base(cmd.Path), flags, err, cmd.Stderr)
			}
		}
		sameStore(t, "there"+flags, want, dumped(t, filepath.Join(there, "store")))

		ssh = exec.Command("ssh", s.args(far(t, there, "export -o - --state-dir store"+flags))...)
		import_ := exec.Command("swingport", "import", "--state-dir", here, "-i", "-")
		piped(t, ssh, import_)
		for _, cmd := range []*exec.Cmd{ssh, import_} {
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%s%s: %v\n%s", filepath.Base(cmd.Path), flags, err, cmd.Stderr)
			}
		}
		sameStore(t, "back"+flags, want, dumped(t, here))
	}
}

// piped starts two commands with a pipe between them, as a shell does.
func piped(t *testing.T, from, to *exec.Cmd) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	from.Stdout, to.Stdin = w, r
	for _, cmd := range []*exec.Cmd{to, from} {
		cmd.Stderr = new(bytes.Buffer)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() }) //nolint:errcheck // has ended, mostly
	}
}

// largeStore has some 60 MB that do not pack well: it is under way for a while.
func largeStore(t *testing.T) string {
	t.Helper()
	b := testdata.Build(t)
	random := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[random.IntN(64)]
		}
		return string(b)
	}
	for vat := range 6 {
		items := make([]string, 5000)
		for i := range items {
			items[i] = text(2000)
		}
		b.Span(fmt.Sprintf("v%d", vat+1), 0, 0, true, items...)
	}
	b.KV("host.height", "1000")
	b.Close()
	return b.Dir
}

// underWay waits until an import has begun to fill its new store.
func underWay(t *testing.T, dir string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(dir, ".swingport-import-*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Size() > 4<<20 {
				return
			}
		}
	}
	t.Fatal("the import did not begin")
}

// endsSoon waits for a command.
func endsSoon(t *testing.T, cmd *exec.Cmd, what string) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Errorf("%s still runs 10 s later", what)
		cmd.Process.Kill() //nolint:errcheck // ends now
		<-ended
	}
}

// processOf reads the ID that far left, and waits until that process has ended.
func processOf(t *testing.T, dir string) *os.Process {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func gone(t *testing.T, p *os.Process) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if p.Signal(syscall.Signal(0)) != nil {
			return
		}
	}
	t.Error("the import on the other side still runs 10 s later")
}

// Killed half way, nothing is half there: the export ends at once, with an error that says why, and the store on the other
// side is the old one, byte for byte.
func TestSSHKilled(t *testing.T) {
	s := startSSH(t)
	state := largeStore(t)
	for _, c := range []struct {
		name string
		kill func(ssh, far *os.Process) error
		left bool // the import was killed, and what it began is for the next one to remove
	}{
		{"ssh", func(ssh, _ *os.Process) error { return ssh.Kill() }, false},
		{"import", func(_, far *os.Process) error { return far.Kill() }, true},
		{"import by SIGTERM", func(_, far *os.Process) error { return far.Signal(syscall.SIGTERM) }, false},
	} {
		if testing.Short() && c.name != "ssh" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			there := t.TempDir()
			store := filepath.Join(there, "store")
			if err := os.Rename(testdata.Store(t, "tiny"), store); err != nil {
				t.Fatal(err)
			}
			before := filesOf(t, store)
			run := func() (export, ssh *exec.Cmd) {
				export = exec.Command("swingport", "export", "--output", "-", "--state-dir", state)
				ssh = exec.Command("ssh", s.args(far(t, there, "import --state-dir store --input -"))...)
				piped(t, export, ssh)
				return export, ssh
			}
			export, ssh := run()
			underWay(t, store)
			other := processOf(t, there)
			if err := c.kill(ssh.Process, other); err != nil {
				t.Fatal(err)
			}
			endsSoon(t, ssh, "ssh")
			endsSoon(t, export, "the export")
			gone(t, other)
			if code := export.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit code %d of the export", code)
			}
			if text := fmt.Sprint(export.Stderr); !strings.Contains(text, "swingport: error: ") || !strings.Contains(text, "reader") || !strings.Contains(text, "went away") {
				t.Errorf("stderr of the export: %q", text)
			}
			if c.name == "ssh" {
				if text, err := os.ReadFile(filepath.Join(there, "stderr")); err != nil || !strings.Contains(string(text), "truncated") {
					t.Errorf("stderr of the import: %q, %v", text, err)
				}
			}
			after := filesOf(t, store)
			for name, text := range after {
				if _, ok := before[name]; !ok && !(c.left && strings.HasPrefix(name, ".swingport-import-")) {
					t.Errorf("%s was left behind", name)
				} else if ok && before[name] != text {
					t.Errorf("%s is another one", name)
				}
			}

			// The next run is a whole one, and leaves nothing.
			export, ssh = run()
			for _, cmd := range []*exec.Cmd{export, ssh} {
				if err := cmd.Wait(); err != nil {
					t.Fatalf("%s: %v\n%s", filepath.Base(cmd.Path), err, cmd.Stderr)
				}
			}
			if entries, err := os.ReadDir(store); err != nil || len(entries) != 1 {
				t.Errorf("%v beside the new store, %v", entries, err)
			}
			sameRows(t, state, store)
		})
	}
}

// filesOf is the content of all files below a directory.
func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("%s is empty", dir)
	}
	return files
}

// sameRows compares two stores by what both are exported as.
func sameRows(t *testing.T, a, b string) {
	t.Helper()
	work := t.TempDir()
	for i, dir := range []string{a, b} {
		shell(t, work, fmt.Sprintf("swingport export --state-dir %s --export-dir %d --artifact-mode archival --export-data-mode all", dir, i))
	}
	if diffs := testdata.CompareExports(filepath.Join(work, "0"), filepath.Join(work, "1")); diffs != nil {
		t.Errorf("other rows: %.1000q", diffs)
	}
}
