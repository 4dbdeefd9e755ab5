package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"

	"swingport/bench/measure"
)

// holder is bench/hold at work, in a process of its own: what this one holds would count as the peak of those that it starts.
type holder struct {
	cmd    *exec.Cmd
	ask    io.WriteCloser
	answer *bufio.Reader
}

// startHolder builds bench/hold in dir and starts it.
func startHolder(ctx context.Context, dir string) (*holder, error) {
	program := filepath.Join(dir, "hold")
	if _, _, err := measure.Run(ctx, []string{"go", "build", "-o", program, "swingport/bench/hold"}); err != nil {
		return nil, err
	}
	h := &holder{cmd: exec.CommandContext(ctx, program)}
	ask, err := h.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	answer, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.ask, h.answer = ask, bufio.NewReader(answer)
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	return h, nil
}

// take makes it take what is free. A nil holder does nothing.
func (h *holder) take() error {
	if h == nil {
		return nil
	}
	if _, err := fmt.Fprintln(h.ask, "take"); err != nil {
		return err
	}
	if _, err := h.answer.ReadString('\n'); err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	return nil
}

func (h *holder) close() error {
	if h == nil {
		return nil
	}
	return errors.Join(h.ask.Close(), h.cmd.Wait())
}
