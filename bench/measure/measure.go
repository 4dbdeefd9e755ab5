// Package measure runs whole programs and says what they took. The commands below bench share it.
package measure

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Sample is what one run of a command took.
type Sample struct {
	Wall time.Duration
	CPU  time.Duration // user and system, of the process and all its children
	// Peak is the largest resident memory in bytes of any one of these processes. It is the kernel's high-water mark, VmHWM.
	Peak int64
	// Floor is what Peak cannot be below: Linux starts a child's high-water mark at its parent's, which is this program.
	Floor int64
}

// Run runs a command to its end and returns its output. The error of one that fails has what it wrote to stderr.
func Run(ctx context.Context, argv []string) (s Sample, stdout []byte, err error) {
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that cancelling reaches the children of a shell
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	start := time.Now()
	err = cmd.Run()
	s.Wall = time.Since(start)
	if cmd.ProcessState != nil {
		s.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		s.Peak = maxRSS(cmd.ProcessState.SysUsage().(*syscall.Rusage))
		s.Floor = ownPeak()
	}
	if err != nil {
		return s, nil, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, bytes.TrimSpace(complaint.Bytes()))
	}
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
	for line := range strings.Lines(ReadText("/proc/self/status")) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}

// ReadText is the content of a file; "" if it cannot be read.
func ReadText(name string) string {
	text, _ := os.ReadFile(name)
	return string(text)
}

// DropCaches empties the page cache, and the caches of names and inodes. It needs root.
func DropCaches() error {
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3\n"), 0); err != nil {
		return fmt.Errorf("drop caches: %w", err)
	}
	return nil
}

// Samples are several runs of one command.
type Samples []Sample

// Wall is the spread of the wall-clock times in seconds.
func (s Samples) Wall() Spread {
	return SpreadOf(s, func(s Sample) float64 { return s.Wall.Seconds() })
}

// CPU is the spread of the CPU times in seconds.
func (s Samples) CPU() Spread {
	return SpreadOf(s, func(s Sample) float64 { return s.CPU.Seconds() })
}

// Peak is the largest of all runs in MiB: "153", or "< 16" where only that is known. There must be one.
func (s Samples) Peak() string {
	const MiB = 1 << 20
	most := slices.MaxFunc(s, func(a, b Sample) int { return cmp.Compare(a.Peak, b.Peak) })
	if most.Peak <= most.Floor {
		return fmt.Sprintf("< %.0f", float64(most.Floor)/MiB)
	}
	return fmt.Sprintf("%.0f", float64(most.Peak)/MiB)
}

// Spread is the median of some figures and their range.
type Spread struct{ Median, Min, Max float64 }

// SpreadOf is the spread of a figure of each of some things; the zero value of none. The median of an even number of them is the mean of the
// two in the middle.
func SpreadOf[T any](of []T, figure func(T) float64) Spread {
	if len(of) == 0 {
		return Spread{}
	}
	var v []float64
	for _, x := range of {
		v = append(v, figure(x))
	}
	slices.Sort(v)
	n := len(v)
	return Spread{(v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}
}

// String is the median and the range, as the reports have it: "2.66 (2.39-3.56)".
func (s Spread) String() string { return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.Min, s.Max) }

// Cell is text in a table of markdown.
func Cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// Ratio is how many times as long a is as b; one that is 0 was not measured.
func Ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}
