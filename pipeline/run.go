package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// run starts the stages of one pipeline and ends them together: the first error cancels the others and is what wait returns, with the
// stage's name in front.
type run struct {
	g      *errgroup.Group
	ctx    context.Context // ends with the first error
	parent context.Context // the caller's
	status *Status         // is told what the stages' time went to; may be nil
}

// closer is a link's end, see stages.Link.
type closer interface{ Close() }

func newRun(ctx context.Context, status *Status) *run {
	g, inner := errgroup.WithContext(ctx)
	return &run{g, inner, ctx, status}
}

// stage starts f. When it returns nil, and only then, the links that it feeds are closed.
func (r *run) stage(name string, f func(context.Context) error, feeds ...closer) {
	r.workers(name, 1, f, feeds...)
}

// workers starts n goroutines of one stage; the links that they feed are closed when all of them returned nil.
func (r *run) workers(name string, n int, f func(context.Context) error, feeds ...closer) {
	var left atomic.Int64
	left.Store(int64(n))
	begun := r.status.beginStage(name, n)
	for range n {
		r.g.Go(func() (err error) {
			pprof.Do(r.ctx, pprof.Labels("stage", name), func(ctx context.Context) { err = begun.work(ctx, f) })
			if err != nil {
				return r.wrap(name, err)
			}
			if left.Add(-1) == 0 {
				for _, l := range feeds {
					l.Close()
				}
			}
			return nil
		})
	}
}

// beside starts what is no work of a stage but an eye on it, and whose time says nothing; its errors have the stage's name.
func (r *run) beside(name string, f func(context.Context) error) {
	r.g.Go(func() error {
		if err := f(r.ctx); err != nil {
			return r.wrap(name, err)
		}
		return nil
	})
}

// wrap names the stage, unless the error is only the end of the whole run passed on.
func (r *run) wrap(name string, err error) error {
	if r.ctx.Err() != nil && errors.Is(err, context.Cause(r.ctx)) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// wait returns when all stages have; a cancelled run is never nil.
func (r *run) wait() error {
	err := r.g.Wait()
	if err == nil && r.parent.Err() != nil {
		return context.Cause(r.parent)
	}
	return err
}
