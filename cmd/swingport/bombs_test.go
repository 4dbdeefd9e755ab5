package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"swingport/testdata"
)

// memoryLimit is the most that any command may have resident, in bytes, at any store size and for any input.
const memoryLimit = 300 << 20

// peak runs a command to its end and returns the kernel's high-water mark of its resident memory, as it was when the command
// was last seen. What wait4 reports would be this process's own, which a child has until it begins to run its program.
func peak(t *testing.T, cmd *exec.Cmd) (bytes int64) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }() //nolint:errcheck // the state says it
	status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(3 * time.Millisecond) {
		select {
		case <-ended:
			return bytes
		default:
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill() //nolint:errcheck // ends now
			<-ended
			t.Fatal("it still runs a minute later")
		}
		text, _ := os.ReadFile(status)
		for line := range strings.Lines(string(text)) {
			if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				if n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64); err == nil {
					bytes = max(bytes, n<<10)
				}
			}
		}
	}
}

// bombLines are the other command lines that read an archive: FILE is a bomb, STATE a state directory, TO a name that is free. Those that judge all
// of it find something wrong.
var bombLines = []struct {
	line string
	all  bool
}{
	{"import --state-dir STATE -i FILE --writer pages", true},
	{"verify FILE", true},
	{"list -", false},
	{"list FILE --long", false},
	{"extract - --to TO", false},
	{"extract FILE --to TO", false},
	{"extract FILE transcript.v1.0.3 --to TO", false},
	{"diff STATE FILE", true},
	{"diff - STATE", true},
	{"import --state-dir STATE -i FILE --export-data-mode repair-metadata --artifact-mode none --check-block-height 17", false},
}

// What unpacks to hundreds of megabytes is refused within the memory of any other archive: by import, which leaves the old store as it was, by
// verify, and by each other command, which takes its turn. The corpus is compressed, as a bomb is.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: bombs unpack to gigabytes of zeros, minutes under the race detector; go test without -short runs them")
	}
	n := 0
	for _, h := range testdata.HostileArchives(t) {
		if !h.Bomb {
			continue
		}
		other := bombLines[n%len(bombLines)]
		n++
		t.Run(h.Defect, func(t *testing.T) {
			root := t.TempDir()
			state, file := filepath.Join(root, "state"), filepath.Join(root, "bomb")
			if err := os.Rename(testdata.Store(t, "tiny"), state); err != nil {
				t.Fatal(err)
			}
			packed, err := io.ReadAll(h.Zstd())
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, packed, 0o644); err != nil {
				t.Fatal(err)
			}
			before := filesOf(t, root)
			run := func(line string) (said string, code int) {
				args := strings.Fields(strings.NewReplacer("STATE", state, "FILE", file, "TO", filepath.Join(root, "to")).Replace(line))
				var text bytes.Buffer
				cmd := exec.Command("swingport", args...)
				cmd.Stdin, cmd.Stdout, cmd.Stderr = onlyReader{bytes.NewReader(packed)}, &text, &text
				if got := peak(t, cmd); got > memoryLimit || got == 0 {
					t.Errorf("%s: %d MiB resident", line, got>>20)
				}
				if code = cmd.ProcessState.ExitCode(); code != 0 && code != 1 && code != 3 {
					t.Errorf("%s: exit code %d", line, code)
				}
				if after := filesOf(t, root); code != 0 && !maps.Equal(after, before) {
					t.Errorf("%s: there are %d files, there were %d, or the old store is another one", line, len(after), len(before))
				}
				return text.String(), code
			}
			for _, line := range []string{"import --state-dir STATE -i -", "verify -"} {
				if said, code := run(line); code == 0 || !h.Says(said) {
					t.Errorf("%s: exit code %d, %q lacks %q", line, code, said, h.Text)
				}
			}
			if said, code := run(other.line); code == 0 && other.all {
				t.Errorf("%s: it finds nothing wrong: %q", other.line, said)
			}
		})
	}
	if n < 20 {
		t.Errorf("%d bombs only", n)
	}
}

// onlyReader hides that a reader is anything else, as a pipe does.
type onlyReader struct{ io.Reader }
