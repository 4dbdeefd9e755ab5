package pipeline

import (
	"context"
	"encoding/hex"
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

// readMetadata reads the export data and keeps only what is no kv line.
func (x *importer) readMetadata(ctx context.Context) error {
	r, n := newRun(ctx), x.o.Workers
	x.meta = stages.NewMetadata()
	data := stages.NewExportData(n, true)
	r.stage("read export data", func(ctx context.Context) error { return x.readExportData(ctx, data) }, data)
	r.workers("export data", n, data.Parse)
	r.stage("metadata", func(ctx context.Context) error {
		return stages.Each(ctx, data.Queue, func(j *stages.Job[*stages.Chunk, *stages.Entries]) error {
			return stages.Each(ctx, j.Out, x.addRecords)
		})
	})
	if err := r.wait(); err != nil {
		return err
	}
	x.sum.Bytes, x.sum.ExportDataSHA256 = data.Bytes(), hex.EncodeToString(data.SHA256())
	return x.meta.Settle()
}

func (x *importer) addRecords(e *stages.Entries) error {
	defer e.Release()
	for _, r := range e.Records {
		x.meta.Add(r)
	}
	x.o.Status.AddBytes(e.Bytes)
	return nil
}
