package stages

import (
	"context"
	"sync"
	"time"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// LimitRate makes a file system like fsys that reads at most rate bytes a second, the engine's reads included. A read begins when those before
// it are paid for, so that there are no bursts longer than one read; the end of ctx ends the waiting, not the reading. release ends the use
// of the file system, when all that was opened through it is closed.
func LimitRate(ctx context.Context, fsys *FS, rate int64) (_ *FS, release func()) {
	r := &rateLimit{rate: rate, now: time.Now, sleep: func(d time.Duration) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}}
	x := &FS{Before: func(op Op) error {
		if err := fsys.beforeOp(op); err != nil {
			return err
		}
		if op.Kind == OpRead {
			r.pay(op.Len)
		}
		return nil
	}}
	if fsys != nil {
		x.BeforeStep = fsys.BeforeStep
	}
	return x, x.unregister
}

// rateLimit spreads reads over time.
type rateLimit struct {
	rate  int64 // bytes a second
	now   func() time.Time
	sleep func(time.Duration)

	mu   sync.Mutex
	next time.Time // when everything so far is paid for
}

// tooShort is what is not worth a sleep: it is made up for later.
const tooShort = 5 * time.Millisecond

// pay waits until everything before n bytes is paid for.
func (r *rateLimit) pay(n int) {
	r.mu.Lock()
	now := r.now()
	if r.next.Before(now) {
		r.next = now
	}
	wait := r.next.Sub(now)
	r.next = r.next.Add(time.Duration(float64(n) / float64(r.rate) * float64(time.Second)))
	r.mu.Unlock()
	if wait > tooShort {
		r.sleep(wait)
	}
}

// unregister takes the VFS of the file system out of the engine, if one was made.
func (fs *FS) unregister() {
	if fs.id == 0 {
		return
	}
	tls := libc.NewTLS()
	defer tls.Close()
	lib.Xsqlite3_vfs_unregister(tls, fs.id)
	vfsByID.Delete(fs.id)
	libc.Xfree(tls, (*lib.Tsqlite3_vfs)(ptr(fs.id)).FzName)
	libc.Xfree(tls, fs.id)
	fs.id = 0
}
