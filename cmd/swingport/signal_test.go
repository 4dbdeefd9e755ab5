package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"swingport/pipeline"
)

// waiting is swingport with an export that never ends by itself: it makes a
// file in the export directory, says so on stdout, waits for the end of its
// context, and removes the file, which takes it SECONDS. With FLOOD it prints
// lines to stdout all the while, or to stderr.
func waiting() {
	a := newApp(os.Stdin, os.Stdout, os.Stderr, os.Environ())
	a.export = func(ctx context.Context, o pipeline.ExportOptions) (sum pipeline.Summary, err error) {
		unfinished := filepath.Join(o.ExportDir, "unfinished")
		if err := os.WriteFile(unfinished, nil, 0o666); err != nil {
			return sum, err
		}
		fmt.Println("started")
		switch os.Getenv("FLOOD") {
		case "stdout":
			err = flood(ctx, func(b []byte) error { return a.print(b) })
		case "stderr":
			err = flood(ctx, func(b []byte) error { _, err := a.stderr.Write(b); return err })
		case "phase":
			o.Status.SetPhase("waiting", 100)
			o.Status.AddBytes(25)
			fmt.Println("waiting")
		}
		if err != nil {
			return sum, errors.Join(err, os.Remove(unfinished))
		}
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

// flood prints until nobody takes it any more, or the context ends.
func flood(ctx context.Context, print func([]byte) error) error {
	line := append(bytes.Repeat([]byte("="), 1000), '\n')
	for ctx.Err() == nil {
		if err := print(line); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
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

// Nobody reads stdout, or stderr, and it is full: a signal ends the work all the same, in order.
func TestSignalWhileNobodyReads(t *testing.T) {
	for _, full := range []string{"stdout", "stderr"} {
		t.Run(full, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command("waiting", "export", "--export-dir", dir)
			cmd.Env = append(os.Environ(), "SECONDS=0", "FLOOD="+full)
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer read.Close()
			stderr := new(bytes.Buffer)
			cmd.Stdout, cmd.Stderr = write, write
			if full == "stdout" {
				cmd.Stderr = stderr
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill() }) //nolint:errcheck // has ended, mostly
			write.Close()
			for held, before := 1, 0; held != before; { // until no more goes into the pipe
				time.Sleep(300 * time.Millisecond)
				before = held
				if held, err = unix.IoctlGetInt(int(read.Fd()), unix.TIOCINQ); err != nil {
					t.Fatal(err)
				}
				if held == 0 {
					before = 1 // it has not started
				}
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			hangs := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() }) //nolint:errcheck // has ended, mostly
			cmd.Wait()                                                             //nolint:errcheck // the exit code says it
			if code := cmd.ProcessState.ExitCode(); !hangs.Stop() || code != 143 {
				t.Errorf("exit code %d, not 143", code)
			}
			if full == "stdout" && !strings.Contains(stderr.String(), "swingport: error: stopped by SIGTERM\n") {
				t.Errorf("stderr %q", stderr)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// SIGUSR1 shows the progress, whenever it comes, and changes nothing.
func TestProgressSignal(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("waiting", "export", "--export-dir", dir)
	cmd.Env = append(os.Environ(), "SECONDS=0", "FLOOD=phase")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) //nolint:errcheck // has ended, mostly
	if _, err := io.ReadFull(stdout, make([]byte, len("started\nwaiting\n"))); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for range 3 {
		if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "swingport: waiting: 25 B of 100 B (25%), ") {
			t.Errorf("it says %q", lines.Text())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	cmd.Wait() //nolint:errcheck // the exit code says it
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, not 130", code)
	}
}

// Before the first phase, and in commands that have none, SIGUSR1 says so.
func TestProgressSignalWithoutProgress(t *testing.T) {
	var out bytes.Buffer
	a := newApp(nil, io.Discard, &out, nil)
	asked, done := make(chan os.Signal, 1), make(chan struct{})
	for _, status := range []*pipeline.Status{nil, new(pipeline.Status)} {
		a.stderr.status.Store(status)
		out.Reset()
		ended := make(chan struct{})
		go func() { a.answer(asked, done); close(ended) }()
		asked <- syscall.SIGUSR1
		for len(asked) > 0 {
			time.Sleep(time.Millisecond)
		}
		done <- struct{}{}
		<-ended
		if out.String() != "swingport: starting\n" {
			t.Errorf("it says %q", out.String())
		}
	}
}
