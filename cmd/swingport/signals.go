package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// A signalError is why a run was cancelled: a signal told it to stop.
type signalError struct{ sig syscall.Signal }

func (e *signalError) Error() string { return "stopped by " + signalName(e.sig) }

func signalName(sig syscall.Signal) string {
	switch sig {
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGHUP:
		return "SIGHUP"
	}
	return sig.String()
}

// blameSignal: a run that was told to stop fails in many ways, all for that
// reason; what it says of something else is kept.
func blameSignal(ctx context.Context, err error) error {
	var stopped *signalError
	switch {
	case !errors.As(context.Cause(ctx), &stopped):
		return err
	case errors.Is(err, stopped), errors.Is(err, context.Canceled), errors.Is(err, errUnread):
		return stopped
	}
	return fmt.Errorf("%w: %w", stopped, err)
}

// patience is how long after a signal is waited for somebody to read what is
// written to stdout and stderr: a terminal takes it at once, a pipe may be full
// for ever.
const patience = 200 * time.Millisecond

// grace is how long what is written after that may take, the error among it: on a machine that has much else to do, even a write that nothing
// keeps.
const grace = 500 * time.Millisecond

// withSignals makes the first signal cancel the context, with a signalError as
// the cause, and leaves the next one to the system, which kills. A signal that
// the process was started to ignore (nohup, a background job) stays ignored.
// SIGUSR1 says how far the run is.
func (a *app) withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	// An export outlives the terminal or the pipe that its progress goes to.
	signal.Ignore(syscall.SIGPIPE)
	var handled []os.Signal
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			handled = append(handled, sig)
		}
	}
	arrived, asked := make(chan os.Signal, 1), make(chan os.Signal, 1)
	if len(handled) > 0 { // none at all would mean every signal
		signal.Notify(arrived, handled...)
	}
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		select {
		case sig := <-arrived:
			signal.Reset(handled...)
			a.stop(&signalError{sig.(syscall.Signal)}, cancel)
		case <-ctx.Done():
		}
	}()
	done := make(chan struct{})
	go a.answer(asked, done)
	return ctx, func() { signal.Stop(arrived); signal.Stop(asked); close(done); cancel(nil) }
}

// stop says that a signal came and cancels the run: after it, or a short run
// would end without having said so, but without waiting long.
func (a *app) stop(err *signalError, cancel context.CancelCauseFunc) {
	a.stderr.hurry(patience)
	what := "removing what is unfinished"
	if a.keeps.Load() {
		what = "keeping what is finished"
	}
	said := make(chan struct{})
	go func() {
		a.warn("warning", signalName(err.sig)+": "+what+"; a second signal kills at once")
		close(said)
	}()
	select {
	case <-said:
	case <-time.After(patience):
	}
	cancel(err)
}

// answer says how far the run is whenever somebody asks.
func (a *app) answer(asked <-chan os.Signal, done <-chan struct{}) {
	var l plainLine
	for {
		select {
		case <-asked:
			text := l.render(a.stderr.status.Load().Snapshot(), time.Now())
			if text == "" {
				text = "starting"
			}
			fmt.Fprintf(a.stderr, "swingport: %s\n", text)
		case <-done:
			return
		}
	}
}
