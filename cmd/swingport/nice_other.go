//go:build unix && !linux

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

const niceness = 19

// lowerPriority lowers the priority of the process for the CPU; for the disk there is none to lower.
func lowerPriority() error {
	return os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, 0, niceness))
}
