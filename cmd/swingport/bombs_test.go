package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
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

// What unpacks to hundreds of megabytes is refused within the memory of any other archive: by import, which leaves the old
// store as it was, and by verify. The corpus is compressed, as a bomb is.
func TestBombs(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: bombs unpack to gigabytes of zeros, minutes under the race detector; go test without -short runs them")
	}
	n := 0
	for _, h := range testdata.HostileArchives(t) {
		if !h.Bomb {
			continue
		}
		n++
		t.Run(h.Defect, func(t *testing.T) {
			state := testdata.Store(t, "tiny")
			before := filesOf(t, state)
			for _, args := range [][]string{{"import", "--state-dir", state, "-i", "-"}, {"verify", "-"}} {
				var text bytes.Buffer
				cmd := exec.Command("swingport", args...)
				cmd.Stdin, cmd.Stdout, cmd.Stderr = onlyReader{h.Zstd()}, &text, &text
				got := peak(t, cmd)
				if code := cmd.ProcessState.ExitCode(); code != 1 && code != 3 {
					t.Errorf("%s: exit code %d", args[0], code)
				}
				if got > memoryLimit || got == 0 {
					t.Errorf("%s: %d MiB resident", args[0], got>>20)
				}
				if !h.Says(text.String()) {
					t.Errorf("%s: %q lacks %q", args[0], text.String(), h.Text)
				}
			}
			after := filesOf(t, state)
			if len(after) != len(before) || after["swingstore.sqlite"] != before["swingstore.sqlite"] {
				t.Errorf("the old store is another one, or has something beside it: %d files", len(after))
			}
		})
	}
	if n < 20 {
		t.Errorf("%d bombs only", n)
	}
}

// onlyReader hides that a reader is anything else, as a pipe does.
type onlyReader struct{ io.Reader }
