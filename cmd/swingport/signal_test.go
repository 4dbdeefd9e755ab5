package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"swingport/pipeline"
)

// waiting is swingport with an export that never ends by itself: it makes a
// file in the export directory, says so on stdout, waits for the end of its
// context, and removes the file, which takes it SECONDS.
func waiting() {
	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.Environ())
	a.export = func(ctx context.Context, o pipeline.ExportOptions) (sum pipeline.Summary, err error) {
		unfinished := filepath.Join(o.ExportDir, "unfinished")
		if err := os.WriteFile(unfinished, nil, 0o666); err != nil {
			return sum, err
		}
		fmt.Println("started")
		<-ctx.Done()
		pause, _ := time.ParseDuration(os.Getenv("SECONDS") + "s")
		time.Sleep(pause)
		if err := os.Remove(unfinished); err != nil {
			return sum, err
		}
		return sum, fmt.Errorf("sweep: %w", context.Cause(ctx))
	}
	os.Exit(a.run(os.Args[1:]))
}

// started runs waiting until it waits.
func started(t *testing.T, seconds string, flags ...string) (cmd *exec.Cmd, dir string, stderr *bytes.Buffer) {
	t.Helper()
	dir, stderr = t.TempDir(), new(bytes.Buffer)
	cmd = exec.Command("waiting", append([]string{"export", "--export-dir", dir}, flags...)...)
	cmd.Env = append(os.Environ(), "SECONDS="+seconds)
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) //nolint:errcheck // has ended, mostly
	if _, err := io.ReadFull(stdout, make([]byte, len("started\n"))); err != nil {
		t.Fatalf("it did not start: %v; stderr %q", err, stderr)
	}
	return cmd, dir, stderr
}

// One signal ends the work, in order, with the exit code that shells use.
func TestSignal(t *testing.T) {
	for _, test := range []struct {
		sig  syscall.Signal
		name string
		code int
	}{
		{syscall.SIGINT, "SIGINT", 130},
		{syscall.SIGTERM, "SIGTERM", 143},
		{syscall.SIGHUP, "SIGHUP", 129},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd, dir, stderr := started(t, "0")
			if err := cmd.Process.Signal(test.sig); err != nil {
				t.Fatal(err)
			}
			cmd.Wait() //nolint:errcheck // the exit code says it
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, not %d", code, test.code)
			}
			want := "swingport: warning: " + test.name + ": removing what is unfinished; a second signal kills at once\n" +
				"swingport: error: stopped by " + test.name + "\n"
			if stderr.String() != want {
				t.Errorf("stderr %q", stderr)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// An export that may be gone on with says that it removes nothing.
func TestSignalKeeps(t *testing.T) {
	cmd, _, stderr := started(t, "0", "--resume")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // the text says it
	if want := "swingport: warning: SIGTERM: keeping what is finished; a second signal kills at once\n"; !strings.HasPrefix(stderr.String(), want) {
		t.Errorf("stderr %q", stderr)
	}
}

// A second signal does not wait for the work to end.
func TestSecondSignalKills(t *testing.T) {
	cmd, dir, stderr := started(t, "600")
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }() //nolint:errcheck // the state says it
	deadline := time.After(20 * time.Second)
	for {
		// The first is handled at some time; from then on each one kills.
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && err != os.ErrProcessDone {
			t.Fatal(err)
		}
		select {
		case <-ended:
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if !status.Signaled() || status.Signal() != syscall.SIGTERM {
				t.Errorf("ended by %v; stderr %q", cmd.ProcessState, stderr)
			}
			if _, err := os.Stat(filepath.Join(dir, "unfinished")); err != nil {
				t.Errorf("it did not end in the middle of its work: %v", err)
			}
			return
		case <-deadline:
			t.Fatal("it still runs after many signals")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// What the process was started to ignore it ignores: nohup.
func TestIgnoredSignal(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("sh", "-c", `trap "" HUP; exec waiting export --export-dir "$0"`, dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) //nolint:errcheck // has ended, mostly
	if _, err := io.ReadFull(stdout, make([]byte, len("started\n"))); err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	cmd.Wait() //nolint:errcheck // the exit code says it
	if code := cmd.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit code %d, not that of SIGTERM", code)
	}
}
