package pipeline

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"swingport/stages"
)

// Live is about the node that may be writing to a store while it is read. The zero value reads as fast as it can and warns of nothing.
type Live struct {
	RateLimit int64 // bytes to read a second, of the store and of temporary files; 0 means no limit

	// LogLimit is by how many bytes the store's write-ahead log may grow while it is read, before Warn is told. 0 means by any number.
	LogLimit int64
	Warn     func(text string) // is told at once, by another goroutine; may be nil
}

// LogGrowth says how a store's write-ahead log grew while it was read: a read transaction keeps the node from beginning it anew. Both are 0
// for a store without a log.
type LogGrowth struct {
	LogBytes  int64 `json:"logBytes,omitempty"`  // of the log, in the end
	LogGrowth int64 `json:"logGrowth,omitempty"` // since the store was opened
}

// limited is a file system that keeps to the rate limit. release ends its use, once everything in it is closed.
func (l Live) limited(ctx context.Context, fsys *stages.FS) (_ *stages.FS, release func()) {
	if l.RateLimit <= 0 {
		return fsys, func() {}
	}
	return stages.LimitRate(ctx, fsys, l.RateLimit)
}

// logEvery is how often the log is looked at.
const logEvery = time.Second

// watchLog looks at the log of a store until stop is called, which says how it grew.
func (l Live) watchLog(store *stages.Store) (stop func() LogGrowth) {
	first, warned := store.LogSize(), false
	look := func() LogGrowth {
		last := store.LogSize()
		g := LogGrowth{last, max(0, last-first)}
		if !warned && l.LogLimit > 0 && g.LogGrowth > l.LogLimit && l.Warn != nil {
			l.Warn(logWarning(g.LogGrowth))
			warned = true
		}
		return g
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(logEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				look()
			case <-quit:
				return
			}
		}
	}()
	return func() LogGrowth {
		close(quit)
		<-done
		return look()
	}
}

func logWarning(grown int64) string {
	return fmt.Sprintf("the store's write-ahead log grew by %s since reading began: until it ends the node cannot begin the log anew, and the file stays as long "+
		"until the node is stopped", humanize.Bytes(uint64(grown)))
}
