package main

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// What --nice asks for: the last place for the CPU, and for the disk the last one of those that are served at all. The class below, idle, can wait
// for ever beside a busy disk, while the node's log grows.
const (
	niceness   = 19
	ioPriority = 2<<13 | 7 // class best-effort, level 7; see ioprio_set(2)
)

// lowerPriority lowers the priority of all threads of the process. Linux has it for each thread, and a new one has that of the thread that made it:
// when a list of the threads has none that was not lowered before the list was made, all are, and all that come will be.
func lowerPriority() error {
	lowered := map[int]bool{}
	for {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		again := false
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil || lowered[id] {
				continue
			}
			if err := lowerThread(id); err != nil && !errors.Is(err, unix.ESRCH) { // it ended
				return err
			}
			lowered[id], again = true, true
		}
		if !again {
			return nil
		}
	}
}

func lowerThread(id int) error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, id, niceness); err != nil {
		return os.NewSyscallError("setpriority", err)
	}
	const whoProcess = 1
	if _, _, errno := unix.Syscall(unix.SYS_IOPRIO_SET, whoProcess, uintptr(id), ioPriority); errno != 0 {
		return os.NewSyscallError("ioprio_set", errno)
	}
	return nil
}
