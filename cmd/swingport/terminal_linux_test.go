package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal and returns the end that programs have.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	var number uint32
	conn, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	controlErr := conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetUint32(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil || controlErr != nil {
		t.Fatal(err, controlErr)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return slave
}

// Archives neither go to a terminal nor come from one.
func TestTerminalsAreRefused(t *testing.T) {
	terminal := openTerminal(t)
	for _, test := range []struct{ args, want, hint string }{
		{"export -o -", "an archive is not for a terminal", "redirect stdout to a file or a pipe, or name a file with --output"},
		{"export -o " + terminal.Name(), "an archive is not for a terminal", "redirect stdout to a file or a pipe, or name a file with --output"},
		{"import -i -", "stdin is a terminal, not an archive", "redirect a file or a pipe into it"},
		{"verify -", "stdin is a terminal, not an archive", "redirect a file or a pipe into it"},
		{"verify --input -", "stdin is a terminal, not an archive", "redirect a file or a pipe into it"},
		{"list -", "stdin is a terminal, not an archive", "redirect a file or a pipe into it"},
		{"extract - --to d", "stdin is a terminal, not an archive", "redirect a file or a pipe into it"},
		{"extract a.tar n", "the content of an archive is not for a terminal", "redirect stdout to a file or a pipe, or name a directory with --to"},
		{"diff a -", "stdin is a terminal, not an archive", "redirect a file or a pipe into it"},
	} {
		f := newFake()
		f.stdin, f.stdout = terminal, terminal
		want := "swingport: error: " + test.want + "\nswingport: hint: " + test.hint + "\n"
		if rc := f.run(strings.Fields(test.args)); rc != exitUsage || f.err.String() != want || f.calls() > 0 {
			t.Errorf("%s: exit code %d, stderr %q", test.args, rc, f.err.String())
		}
	}
	f := newFake()
	f.stdin, f.stdout = terminal, terminal
	if rc := f.run(strings.Fields("export -o a.tar")); rc != exitDone || len(f.exports) != 1 {
		t.Errorf("a file: exit code %d, stderr %q", rc, f.err.String())
	}
}

// A bar needs a terminal, and one that is not dumb; colours are for who wants them.
func TestBarOnATerminal(t *testing.T) {
	terminal := openTerminal(t)
	for _, test := range []struct {
		env        map[string]string
		bar, color bool
	}{
		{map[string]string{"TERM": "xterm"}, true, true},
		{map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true, true},
		{map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, true, false},
		{map[string]string{"TERM": "dumb"}, false, false},
		{nil, false, false},
	} {
		s := newScreen(terminal, test.env)
		if s.color != test.color || (s.width != nil) != test.bar {
			t.Errorf("%v: colours %v, a bar %v", test.env, s.color, s.width != nil)
		}
		if test.bar && s.width() != 80 {
			t.Errorf("%d columns of a terminal without a size, not 80", s.width())
		}
	}
}
