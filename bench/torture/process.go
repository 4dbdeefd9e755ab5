package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// child is this program again, with a job, in a folder of its own.
func child(ctx context.Context, j job, dir string) (*exec.Cmd, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Dir = filepath.Join(dir, "cwd")
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text), "TMPDIR="+filepath.Join(dir, "tmp"))
	return cmd, nil
}

// A strike is a SIGKILL from outside: some time after the beginning, or after the file at placed came to be there, or became another one. The
// zero strike never comes.
type strike struct {
	after  time.Duration
	placed string
}

// watch kills the process when its time has come, unless that ends before.
func (k strike) watch(process *os.Process, ended <-chan struct{}) {
	if k.placed != "" {
		before, _ := os.Stat(k.placed) // nil: none
		for {
			if now, err := os.Stat(k.placed); err == nil && (before == nil || !os.SameFile(before, now)) {
				break
			}
			select {
			case <-ended:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	}
	select {
	case <-ended:
	case <-time.After(k.after):
		process.Kill() //nolint:errcheck // it has ended by itself
	}
}

// do has a child do a job. killed is how it ended if that was by SIGKILL, its own or that of the strike.
func do(ctx context.Context, j job, dir string, k strike) (s said, killed bool, err error) {
	cmd, err := child(ctx, j, dir)
	if err != nil {
		return s, false, err
	}
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Start(); err != nil {
		return s, false, err
	}
	ended := make(chan struct{})
	defer close(ended)
	if k != (strike{}) {
		go k.watch(cmd.Process, ended)
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return s, false, context.Cause(ctx)
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return s, true, nil
	}
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &s)
	}
	if err != nil {
		err = fmt.Errorf("child: %w\n%s", err, complaint.Bytes())
	}
	return s, false, err
}

// A writer is a child that writes to a store.
type writer struct {
	cmd     *exec.Cmd
	in      io.Closer
	out     *bufio.Reader
	say     bytes.Buffer
	commits int // when it has stopped
}

// startWriter starts a child that writes, and returns when the first commit is there.
func startWriter(ctx context.Context, j job, dir string) (*writer, error) {
	cmd, err := child(ctx, j, dir)
	if err != nil {
		return nil, err
	}
	w := &writer{cmd: cmd}
	cmd.Stderr = &w.say
	if w.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w.out = bufio.NewReader(out)
	if _, err := w.out.ReadString('\n'); err != nil {
		return nil, errors.Join(fmt.Errorf("the writer did not begin: %w", err), w.stop())
	}
	return w, nil
}

// stop stops the writer as a node is stopped.
func (w *writer) stop() error {
	if w == nil {
		return nil
	}
	err := w.in.Close()
	fmt.Fscan(w.out, &w.commits) //nolint:errcheck // if it says nothing it has failed, as Wait says
	if err := errors.Join(err, w.cmd.Wait()); err != nil {
		return fmt.Errorf("writer: %w\n%s", err, w.say.Bytes())
	}
	return nil
}
