//go:build linux

// Command hold keeps the free memory of a machine from going back to the host that it runs on, while something is measured: it takes what is
// free but 2 GiB, and gives it away piece by piece as others take memory.
//
//	hold [--leave BYTES]
//
// For each line on stdin it takes what is free and answers with a line, the bytes that it has; from then on it only gives, until the next line. It ends
// with its input.
//
// Many virtual machines give pages that are free for a second back to the host (free page reporting) and get each of them again when it is touched,
// which can take ten times as long as to fill it. Without hold a run is fast if the one before it has just freed memory, and slow if not.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	piece = 32 << 20 // bytes
	often = 2 * time.Millisecond
)

func main() {
	leave := flag.Uint64("leave", 2<<30, "leave so many `BYTES` free")
	flag.Parse()
	if err := hold(*leave, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "hold: error: %v\n", err)
		os.Exit(1)
	}
}

// hold does what the package says.
func hold(leave uint64, in io.Reader, out io.Writer) error {
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			asked <- struct{}{}
		}
	}()
	var held [][]byte
	for {
		select {
		case _, ok := <-asked:
			if !ok {
				return nil
			}
			var err error
			if held, err = take(held, leave); err != nil {
				return err
			}
			if _, err := fmt.Fprintln(out, len(held)*piece); err != nil {
				return err
			}
		case <-time.After(often):
			if err := give(&held, leave); err != nil {
				return err
			}
		}
	}
}

// take takes what is free.
func take(held [][]byte, leave uint64) ([][]byte, error) {
	for {
		n, err := free()
		if err != nil || n < leave+2*piece {
			return held, err
		}
		p, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return held, err
		}
		_ = unix.Madvise(p, unix.MADV_HUGEPAGE) // faster, where there is such a thing
		for i := 0; i < len(p); i += os.Getpagesize() {
			p[i] = 1
		}
		held = append(held, p)
	}
}

// give gives away as much as others have taken.
func give(held *[][]byte, leave uint64) error {
	for len(*held) > 0 {
		n, err := free()
		if err != nil || n >= leave {
			return err
		}
		last := len(*held) - 1
		if err := unix.Munmap((*held)[last]); err != nil {
			return err
		}
		*held = (*held)[:last]
	}
	return nil
}

func free() (bytes uint64, err error) {
	var s unix.Sysinfo_t
	err = unix.Sysinfo(&s)
	return uint64(s.Freeram) * uint64(s.Unit), err
}
