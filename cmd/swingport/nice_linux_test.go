package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threadPriorities are "nice, I/O priority" of each thread of a process.
func threadPriorities(t *testing.T, pid int) (list []string) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil // it ended
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		nice, err := unix.Getpriority(unix.PRIO_PROCESS, id) // 20 - nice, as the kernel returns it
		if err != nil {
			continue
		}
		io, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, 1, uintptr(id), 0)
		if errno != 0 {
			continue
		}
		list = append(list, fmt.Sprintf("%d, %#x", 20-nice, io))
	}
	return list
}

// With --nice all threads of the process have the lowest priority while it works, and without it none has.
func TestNice(t *testing.T) {
	state := largeStore(t)
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, nice := range []bool{true, false} {
		args := []string{"export", "--state-dir", state, "--output", filepath.Join(t.TempDir(), "x.tar"), "--rate-limit", "2MB"}
		want := fmt.Sprintf("%d, 0x", 20-own)
		if nice {
			args, want = append(args, "--nice"), fmt.Sprintf("%d, %#x", niceness, ioPriority)
		}
		cmd := exec.Command("swingport", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		seen := 0
		for deadline := time.Now().Add(time.Minute); seen < 5 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			list := threadPriorities(t, cmd.Process.Pid)
			ok := len(list) >= 4
			for _, p := range list {
				ok = ok && strings.HasPrefix(p, want)
			}
			if ok {
				seen++
			} else if seen > 0 && len(list) > 0 {
				t.Errorf("nice is %v, threads have %q, after they had %q", nice, list, want)
			}
		}
		if seen < 5 {
			t.Errorf("nice is %v: its threads have %q, not %q", nice, threadPriorities(t, cmd.Process.Pid), want)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		cmd.Wait() //nolint:errcheck // it was killed
	}
}
