package pipeline

import (
	"context"
	"fmt"

	"swingport/stages"
)

// resume takes over the artifacts that an unfinished export to the same directory left whole:
//
//	leftovers -> check -> keep
func (x *export) resume(ctx context.Context) error {
	if !x.o.Resume {
		return nil
	}
	sink, r := x.sink.(dirSink), newRun(ctx, x.o.Status)
	found, whole := stages.NewLink[*stages.Leftover](8, nil), stages.NewLink[*stages.Leftover](8, nil)
	begin := func(bytes int64) { x.o.Status.SetPhase("resume", bytes) }
	r.stage("find artifacts", func(ctx context.Context) error {
		return sink.Leftovers(ctx, x.store, x.plan, x.wants.snapshots, begin, found)
	}, found)
	r.workers("check artifacts", x.o.Workers, func(ctx context.Context) error {
		return stages.Each(ctx, found, func(l *stages.Leftover) error {
			ok, err := sink.Check(ctx, l, x.o.Status.AddBytes)
			if err != nil || !ok {
				return err
			}
			return whole.Send(ctx, l)
		})
	}, whole)
	r.stage("keep artifacts", func(ctx context.Context) error {
		return stages.Each(ctx, whole, func(l *stages.Leftover) error {
			x.kept++
			x.count[l.Kind].Add(1)
			x.items.Add(l.Items)
			return sink.Keep(l)
		})
	})
	if err := r.wait(); err != nil {
		return err
	}
	x.o.Log.Info("going on with an unfinished export", "artifacts", x.kept, "bytes", sink.bytes())
	return sink.DropLeftovers()
}

// unfinished says what a directory keeps of an export that failed.
func (s *Summary) unfinished(sink sink) {
	d, ok := sink.(dirSink)
	if !ok {
		return
	}
	if s.Unfinished = d.Unfinished(); s.Unfinished != "" {
		s.Warnings = append(s.Warnings, fmt.Sprintf("finished artifacts stay in %s: the same export with --resume goes on from there", s.Unfinished))
	}
}
