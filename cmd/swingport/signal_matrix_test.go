package main

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"swingport/testdata"
)

// signalled is a command that signals stop, and what it works on.
type signalled struct {
	name string
	args string // $OUT is a directory that it may write to

	// What stdin and stdout are; nil is /dev/null. Whoever made them closes them after the command ended.
	stdin, stdout func(t *testing.T) (file *os.File, end func())

	waits bool // it never ends by itself
}

// bigStore is a store that takes a while: spans of several vats, heaps, and rows of kvStore to be sorted.
func bigStore(t *testing.T) string {
	b := testdata.Build(t)
	b.KV("host.height", "7")
	rng := rand.New(rand.NewPCG(5, 6))
	text := func(n int) string {
		s := make([]byte, n)
		for i := range s {
			s[i] = byte('a' + rng.IntN(26))
		}
		return string(s)
	}
	for v := range 6 {
		items := make([]string, 300)
		for i := range items {
			items[i] = text(500 + rng.IntN(6000))
		}
		vat := fmt.Sprintf("v%d", v)
		b.Span(vat, 0, 0, false, items[:200]...)
		b.Span(vat, 200, 0, true, items[200:]...)
		b.Heap(vat, 200, true, []byte(strings.Repeat(text(5000), 200)))
	}
	b.Many("INSERT INTO kvStore VALUES (?,?)", 40000, func(i int) []any { return []any{fmt.Sprintf("v1.vs.%d", i*7919%40000), text(100)} })
	b.Close()
	return b.Dir
}

// unread is a pipe that nobody reads.
func unread(t *testing.T) (*os.File, func()) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return write, func() { write.Close(); read.Close() }
}

// silent is a pipe that nobody writes to, after its first bytes.
func silent(first []byte) func(*testing.T) (*os.File, func()) {
	return func(t *testing.T) (*os.File, func()) {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go write.Write(first) //nolint:errcheck // the reader may have gone
		return read, func() { read.Close(); write.Close() }
	}
}

// SIGINT, SIGTERM and SIGHUP at any moment stop any command: with the right exit code, with nothing left and nothing changed, and soon. How
// soon is told, not tested: it says as much of the machine.
func TestSignalsAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	state := bigStore(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	run := func(args string) {
		t.Helper()
		if out, err := exec.Command("swingport", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", args, err, out)
		}
	}
	run("export --artifact-mode archival --export-data-mode all --state-dir " + state + " --export-dir " + at("export"))
	run("export --state-dir " + state + " -o " + at("a.tar.zst"))
	shell(t, dir, "tar cf foreign.tar -C export .")
	archive, err := os.ReadFile(at("a.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	fifo := func(name string) string { // one for each command: they run side by side
		if err := unix.Mkfifo(at(name), 0o600); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	for _, c := range []signalled{
		{name: "export", args: "export --artifact-mode archival --export-data-mode all --state-dir " + state + " --export-dir $OUT/new"},
		{name: "export to an archive", args: "export --state-dir " + state + " -o $OUT/a.tar.zst"},
		{name: "export to a pipe nobody reads", args: "export --format tar -o - --state-dir " + state, stdout: unread, waits: true},
		{name: "export to a fifo nobody opens", args: "export -o " + fifo("unread") + " --state-dir " + state, waits: true},
		{name: "import", args: "import --state-dir $OUT/state --export-dir " + at("export")},
		{name: "import of pages", args: "import --writer pages --state-dir $OUT/state --export-dir " + at("export")},
		{name: "import of an archive", args: "import --state-dir $OUT/state -i " + at("a.tar.zst")},
		{name: "import of somebody else's", args: "import --state-dir $OUT/state -i " + at("foreign.tar")},
		{name: "import of half a stream", args: "import --state-dir $OUT/state -i -", stdin: silent(archive[:len(archive)/2]), waits: true},
		{name: "import of a fifo", args: "import --state-dir $OUT/state -i " + fifo("unwritten"), waits: true},
		{name: "copy", args: "copy --to-state-dir $OUT/state --state-dir " + state},
		{name: "verify", args: "verify --deep " + state},
		{name: "verify of half a stream", args: "verify -", stdin: silent(archive[:len(archive)/2]), waits: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.waits { // it takes time, and no work
				t.Parallel()
			}
			c.stop(t)
		})
	}
}

// stop runs the command as often as it takes, and sends a signal each time.
func (c signalled) stop(t *testing.T) {
	moments := 10
	if testing.Short() {
		moments = 3
	}
	rng := rand.New(rand.NewPCG(7, uint64(len(c.name))))
	var took []time.Duration
	stopped := 0
	whole := time.Second
	if !c.waits {
		begun := time.Now()
		c.one(t, t.TempDir(), 0, time.Hour)
		whole = time.Since(begun)
	}
	for i := range moments {
		sig := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}[i%3]
		after := time.Duration(rng.Float64() * float64(whole))
		if d, ok := c.one(t, t.TempDir(), sig, after); ok {
			stopped++
			took = append(took, d)
		}
	}
	if c.waits && stopped == 0 {
		t.Error("no signal came in time")
	}
	slices.Sort(took)
	t.Logf("%d of %d stopped, after %v", stopped, moments, took)
}

// one runs the command once and sends it sig after a while, if it still runs then; it says how long that took to end it.
func (c signalled) one(t *testing.T, out string, sig syscall.Signal, after time.Duration) (took time.Duration, stopped bool) {
	t.Helper()
	cmd := exec.Command("swingport", strings.Fields(strings.ReplaceAll(c.args, "$OUT", out))...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if c.stdin != nil {
		f, end := c.stdin(t)
		defer end()
		cmd.Stdin = f
	}
	if c.stdout != nil {
		f, end := c.stdout(t)
		defer end()
		cmd.Stdout = f
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }() //nolint:errcheck // the state says it
	select {
	case <-ended:
		if code := cmd.ProcessState.ExitCode(); code != 0 {
			t.Fatalf("exit code %d: %s", code, &stderr)
		}
		return 0, false
	case <-time.After(after):
	}
	sent := time.Now()
	cmd.Process.Signal(sig) //nolint:errcheck // may have ended
	select {
	case <-ended:
	case <-time.After(time.Minute):
		cmd.Process.Kill() //nolint:errcheck // it hangs
		<-ended
		t.Fatalf("%v after %v does not stop it: %s", sig, after, &stderr)
	}
	took = time.Since(sent)
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch code := cmd.ProcessState.ExitCode(); {
	case code == 0:
		return took, false
	case status.Signaled() && status.Signal() == sig && stderr.Len() == 0: // before it came to its first line
	case code != 128+int(sig) || !strings.HasSuffix(stderr.String(), "swingport: error: stopped by "+signalName(sig)+"\n"):
		t.Errorf("%v after %v: exit code %d: %s", sig, after, code, &stderr)
	}
	if left, err := os.ReadDir(out); err != nil || len(left) > 0 {
		t.Errorf("%v after %v left %v, %v", sig, after, left, err)
	}
	return took, true
}

// A writer or a reader that goes away is an error, and nothing is left.
func TestDeadPeers(t *testing.T) {
	dir := t.TempDir()
	state := bigStore(t)
	archive := filepath.Join(dir, "a.tar.zst")
	if out, err := exec.Command("swingport", "export", "--state-dir", state, "-o", archive).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []int{0, 1, len(content) / 10, len(content) / 2, len(content) - 1} {
		to := t.TempDir()
		cmd := exec.Command("swingport", "import", "-i", "-", "--state-dir", filepath.Join(to, "state"))
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in.Write(content[:part]) //nolint:errcheck // it may have ended
		in.Close()
		cmd.Wait() //nolint:errcheck // the exit code says it
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "swingport: error: ") {
			t.Errorf("%d bytes: exit code %d: %s", part, code, &stderr)
		}
		if left, err := os.ReadDir(to); err != nil || len(left) > 0 {
			t.Errorf("%d bytes left %v, %v", part, left, err)
		}
	}
	for _, part := range []int64{0, 1, 100_000} {
		cmd := exec.Command("swingport", "export", "-o", "-", "--state-dir", state)
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = write, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		write.Close()
		io.CopyN(io.Discard, read, part) //nolint:errcheck // it may have ended
		read.Close()
		cmd.Wait() //nolint:errcheck // the exit code says it
		if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(stderr.String(), "its reader went away") {
			t.Errorf("after %d bytes: exit code %d: %s", part, code, &stderr)
		}
	}
}
