package pipeline

import (
	"context"
	"errors"

	"swingport/format"
	"swingport/stages"
)

// repair adds the metadata rows of the export data that the store lacks; artifacts and kv lines are not looked at.
func (x *importer) repair(ctx context.Context) (err error) {
	m := x.src.Manifest()
	if err := x.o.checkRepair(m); err != nil {
		return err
	}
	height := *x.o.CheckBlockHeight
	x.sum.BlockHeight, x.sum.ArtifactMode = height, string(format.None)
	store, err := stages.OpenRepair(x.o.StateDir, height, x.fsys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := x.readMetadata(ctx); err != nil {
		return err
	}
	x.o.Status.SetPhase("repair", 0)
	added, err := store.Add(ctx, x.meta, height)
	if err != nil {
		return err
	}
	x.o.Log.Info("repaired the metadata", "rows added", added)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return store.Commit()
}

// checkRepair refuses what repair-metadata cannot do, in the reference's words.
func (o *ImportOptions) checkRepair(m *format.Manifest) error {
	switch {
	case o.CheckBlockHeight == nil || *o.CheckBlockHeight == 0:
		return refuse("repair metadata requires a block height")
	case m.Data == "":
		return ErrNoExportData
	case o.ArtifactMode != format.None:
		return refuse("Cannot restore artifacts while repairing metadata")
	}
	return nil
}

// readMetadata reads the export data and keeps only what is no kv line. Of an archive everything else is read too, since only its end tells
// that it is whole.
func (x *importer) readMetadata(ctx context.Context) error {
	r, n := newRun(ctx, x.o.Status), x.o.Workers
	x.meta = stages.NewMetadata()
	head := stages.NewExportData(n, stages.RepairLines)
	head.MaxItem = x.o.MaxItem
	tail := head.Then(stages.RepairLines)
	x.full(head, tail).Genesis = x.o.genesis()
	headLines, tailLines := 0, 0
	read := make(chan struct{})
	r.stage("read export data", func(ctx context.Context) error { return x.readHead(ctx, head) }, head)
	r.workers(x.headName(), n, head.Parse)
	r.stage("metadata", func(ctx context.Context) error {
		err := x.eachEntries(ctx, head, func(e *stages.Entries) {
			headLines += e.Others
			for _, r := range e.Records {
				x.meta.Add(r)
			}
		})
		if err == nil {
			close(read)
		}
		return err
	})
	r.stage("read the rest", func(ctx context.Context) error { return x.skipArtifacts(ctx, read, tail) }, tail)
	r.workers("export data", n, tail.Parse)
	r.stage("rest", func(ctx context.Context) error {
		return x.eachEntries(ctx, tail, func(e *stages.Entries) { tailLines += e.Others })
	})
	if err := r.wait(); err != nil {
		return err
	}
	if tail.Bytes() > 0 {
		if err := stages.SameLines(headLines, tailLines); err != nil {
			return err
		}
	}
	x.countExportData(head, tail)
	return x.meta.Settle()
}

// skipArtifacts is readTail behind artifacts that nobody wants.
func (x *importer) skipArtifacts(ctx context.Context, read <-chan struct{}, to *stages.ExportData) error {
	if err := waitFor(ctx, read); err != nil {
		return err
	}
	none := func(string) (bool, error) { return false, nil }
	if err := x.src.Artifacts(ctx, none, func(int, int64) {}, nil); err != nil {
		return err
	}
	return x.readTail(ctx, read, to)
}

func (x *importer) eachEntries(ctx context.Context, data *stages.ExportData, f func(*stages.Entries)) error {
	return stages.Each(ctx, data.Queue, func(j *stages.Job[*stages.Chunk, *stages.Entries]) error {
		return stages.Each(ctx, j.Out, func(e *stages.Entries) error {
			defer e.Release()
			f(e)
			x.progress()(e.Bytes)
			return nil
		})
	})
}
