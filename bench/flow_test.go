package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"swingport/pipeline"
	"swingport/stages"
)

// TestMain fails if tests or benchmarks leave goroutines behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for wait := time.Now(); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Since(wait) > 5*time.Second {
			fmt.Fprintf(os.Stderr, "%d goroutines are left\n", runtime.NumGoroutine()-before)
			pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			code = max(code, 1)
			break
		}
	}
	os.Exit(code)
}

// workers is how many goroutines a parallel stage has in a pipeline.
func workers() int { return min(runtime.GOMAXPROCS(0), pipeline.MaxWorkers) }

// flow is the goroutines of a stage and of what feeds and drains it, once through all of the input.
type flow struct {
	g   *errgroup.Group
	ctx context.Context
}

func newFlow(tb testing.TB) *flow {
	g, ctx := errgroup.WithContext(tb.Context())
	return &flow{g, ctx}
}

// stage starts n goroutines of one stage; the links that they feed are closed when all of them returned nil.
func (f *flow) stage(n int, do func(context.Context) error, feeds ...interface{ Close() }) {
	var left atomic.Int64
	left.Store(int64(n))
	for range n {
		f.g.Go(func() error {
			if err := do(f.ctx); err != nil {
				return err
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

// wait returns when all goroutines have ended.
func (f *flow) wait(tb testing.TB) {
	tb.Helper()
	if err := f.g.Wait(); err != nil {
		tb.Fatal(err)
	}
}

// drop releases what comes through a link.
func drop[T interface{ Release() }](ctx context.Context, l *stages.Link[T]) error {
	return stages.Each(ctx, l, func(v T) error { v.Release(); return nil })
}

// dropResults releases the results of jobs, in the order of the jobs.
func dropResults[In any, Out interface{ Release() }](ctx context.Context, jobs *stages.Link[*stages.Job[In, Out]]) error {
	return stages.Each(ctx, jobs, func(j *stages.Job[In, Out]) error { return drop(ctx, j.Out) })
}

// ended is a link through which nothing comes.
func ended[T any]() *stages.Link[T] {
	l := stages.NewLink[T](0, nil)
	l.Close()
	return l
}

// unmeasured calls f with the clock stopped.
func unmeasured(b *testing.B, f func()) {
	b.StopTimer()
	f()
	b.StartTimer()
}

func ignoreBytes(int64) {}

// fail is for what asks about a defect.
func fail(err error) error { return err }
