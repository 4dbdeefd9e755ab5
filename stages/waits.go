package stages

import (
	"context"
	"sync/atomic"
	"time"
)

// Waits adds up how long the workers of one stage waited for other stages. Who waits is known by the context that its stage was started with, so that
// links, pools and gates need not know whose ends they are. The zero value is ready; only who has to wait touches it.
type Waits struct{ before, after atomic.Int64 } // nanoseconds

// In is a context whose waiting w counts.
func (w *Waits) In(ctx context.Context) context.Context { return context.WithValue(ctx, waitsKey{}, w) }

// Before is how long there was no input; After how long there was no room for output, or it was not its turn.
func (w *Waits) Before() time.Duration { return time.Duration(w.before.Load()) }

// After: see Before.
func (w *Waits) After() time.Duration { return time.Duration(w.after.Load()) }

type waitsKey struct{}

// WaitedBefore counts that a stage had no input since then.
func WaitedBefore(ctx context.Context, since time.Time) {
	if w, ok := ctx.Value(waitsKey{}).(*Waits); ok {
		w.before.Add(int64(time.Since(since)))
	}
}

// waitedAfter counts that a stage had no room since then.
func waitedAfter(ctx context.Context, since time.Time) {
	if w, ok := ctx.Value(waitsKey{}).(*Waits); ok {
		w.after.Add(int64(time.Since(since)))
	}
}
