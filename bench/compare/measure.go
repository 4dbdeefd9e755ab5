package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A sample is what one run of a command took.
type sample struct {
	wall time.Duration
	cpu  time.Duration // user and system, of the process and all its children
	// peak is the largest resident memory in bytes of any one of these processes. It is the kernel's high-water mark, VmHWM.
	peak int64
	// floor is what peak cannot be below: Linux starts a child's high-water mark at its parent's, which is this program.
	floor int64
	made  int64 // bytes of the files in the target directory
}

// measure runs a command to its end and returns its output. The error of one that fails has what it wrote to stderr.
func measure(ctx context.Context, argv []string) (s sample, stdout []byte, err error) {
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that cancelling reaches the children of a shell
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	start := time.Now()
	err = cmd.Run()
	s.wall = time.Since(start)
	if err != nil {
		return s, nil, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
	s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	s.peak = maxRSS(cmd.ProcessState.SysUsage().(*syscall.Rusage))
	s.floor = ownPeak()
	return s, out.Bytes(), nil
}

// maxRSS in bytes: the system's unit is the KiB, except Darwin's.
func maxRSS(u *syscall.Rusage) int64 {
	rss := int64(u.Maxrss) //nolint:unconvert // an int32 where int is
	if runtime.GOOS == "darwin" {
		return rss
	}
	return rss << 10
}

// ownPeak is this process's VmHWM in bytes; 0 where there is no /proc.
func ownPeak() int64 {
	for line := range strings.Lines(readText("/proc/self/status")) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// readText is the content of a file; "" if it cannot be read.
func readText(name string) string {
	text, _ := os.ReadFile(name)
	return string(text)
}
