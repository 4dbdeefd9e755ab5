//go:build linux

package main

import (
	"bufio"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What is free is taken, and given away when others need it.
func TestHold(t *testing.T) {
	const most = 256 << 20 // bytes that the test takes
	n, err := free()
	if err != nil {
		t.Fatal(err)
	}
	leave := n - min(n/2, most)
	in, ask := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- hold(leave, in, out) }()
	lines := bufio.NewScanner(answers)
	held := func() int {
		if _, err := io.WriteString(ask, "take\n"); err != nil || !lines.Scan() {
			t.Fatalf("no answer: %v", err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	first := held()
	if first%piece != 0 {
		t.Errorf("%d bytes, no multiple of %d", first, piece)
	}
	if err := ask.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it does not end with its input")
	}
	var pieces [][]byte
	if pieces, err = take(nil, leave); err != nil {
		t.Fatal(err)
	}
	if err := give(&pieces, 1<<62); err != nil || len(pieces) > 0 {
		t.Errorf("%d pieces are left where no memory is free: %v", len(pieces), err)
	}
}
