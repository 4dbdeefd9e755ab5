package pipeline

import (
	"context"
	"errors"

	"golang.org/x/sync/semaphore"

	"swingport/format"
	"swingport/stages"
)

// withoutRecords verifies an export directory that has no export data: artifacts are compared with their names, and with SHA256SUMS.
func (x *verifyExport) withoutRecords(ctx context.Context) error {
	v, r := x.verify, newRun(ctx, x.verify.o.Status)
	v.trust(dataHashes{err: ErrNoExportData})
	v.warn("without export data, the hashes of snapshots and spans are not known, and nobody can tell what is missing")
	work := stages.NewOrdered[stages.Incoming, stages.Content](v.o.Workers, 1, nil)
	room := semaphore.NewWeighted(2 * max(v.o.MaxItem, stages.DefaultMaxItem))
	r.stage("read artifacts", func(ctx context.Context) error {
		begin := func(n int, bytes int64) {
			x.phase("artifacts", bytes)
			v.o.Status.SetArtifacts(int64(n))
		}
		err := x.src.Artifacts(ctx, func(string) (bool, error) { return true, nil }, begin, work.Dispatch)
		if err == nil {
			err = x.src.Finish(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return v.ended(err)
		}
		return err
	}, work)
	r.workers("artifacts", v.o.Workers, func(ctx context.Context) error {
		reader := &stages.ContentReader{Progress: x.progress(), Room: room, MaxItem: v.o.MaxItem}
		return work.Work(ctx, func(ctx context.Context, in stages.Incoming, out *stages.Link[stages.Content]) error {
			c, err := reader.Read(ctx, in)
			if err != nil && ctx.Err() == nil {
				return v.defect(&ArtifactError{Name: in.Name, Err: err})
			}
			return errors.Join(err, out.Send(ctx, c))
		})
	})
	r.stage("count", func(ctx context.Context) error {
		return stages.Each(ctx, work.Queue, func(j *stages.Job[stages.Incoming, stages.Content]) error {
			return stages.Each(ctx, j.Out, func(c stages.Content) error { x.countOne(c); return nil })
		})
	})
	if err := r.wait(); err != nil {
		return err
	}
	return x.leftOver()
}

func (x *verifyExport) countOne(c stages.Content) {
	r := &x.report
	switch c.Kind {
	case format.KindSnapshot:
		r.Snapshots++
	case format.KindTranscript:
		r.Spans++
	default:
		r.Bundles++
	}
	r.Items, r.Bytes = r.Items+c.Items, r.Bytes+c.Size
	x.o.Status.AddArtifacts(1)
}
