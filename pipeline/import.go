package pipeline

import (
	"cmp"
	"context"
	"errors"
	"time"

	"swingport/format"
	"swingport/stages"
)

// Import makes a new store of the export in o.ExportDir, or o.Archive, and puts it in the place of the one in o.StateDir, as the reference's
// import-kernel-db does, or with ExportDataMode repair-metadata adds metadata rows to the one that is there. Everything that the reference
// checks is checked, with its texts. The new store is built inside the state directory, and on any error nothing is left of it and the old
// one is as it was.
//
// Errors are an *ArtifactError for what is wrong with an artifact, an *IncompleteError where the export lacks what the mode needs, an
// *InUseError where another process has the old store open, ErrNoExportData, and what the format package and the system say.
func Import(ctx context.Context, o ImportOptions) (Summary, error) { return importInto(ctx, o, nil) }

// importInto is Import with the place where tests inject faults.
func importInto(ctx context.Context, o ImportOptions, fsys *stages.FS) (sum Summary, err error) {
	began := time.Now()
	if err := o.defaults(); err != nil {
		return sum, err
	}
	x := &importer{o: o, fsys: cmp.Or(fsys, stages.FSFrom(ctx)), sum: &sum}
	var p Plan
	if err := o.preflight(ctx, &p, x.fsys); err != nil {
		return sum, err
	}
	p.warn(o.Warn)
	if err := x.open(ctx); err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, x.src.Close()) }()
	if err := o.checkHeight(x.src.Manifest()); err != nil {
		return sum, err
	}
	if o.ExportDataMode == format.RepairMetadata {
		err = x.repair(ctx)
	} else {
		err = x.replace(ctx)
	}
	sum.took(began)
	return sum, err
}

// replace builds a new store and puts it in the place of the old one.
func (x *importer) replace(ctx context.Context) (err error) {
	mode, err := format.ImportMode(x.o.ArtifactMode, x.src.Manifest())
	if err != nil {
		return err
	}
	state, err := stages.OpenState(x.o.StateDir, x.fsys)
	defer func() {
		x.sum.Warnings = append(x.sum.Warnings, state.Warnings...)
		err = errors.Join(err, state.Close(err == nil))
	}()
	if err != nil {
		return err
	}
	database, temp, err := state.Build()
	if err != nil {
		return err
	}
	if x.o.TempDir != "" {
		temp = x.o.TempDir
	}
	if err := x.build(ctx, database, temp, mode); err != nil {
		return err
	}
	if err := x.checkAndSync(ctx, database); err != nil {
		return err
	}
	x.o.Status.SetPhase("swap", 0)
	swapped, err := state.Swap(ctx, x.o.KeepOld)
	x.sum.KeptOld, x.sum.MovedAside = swapped.KeptOld, swapped.MovedAside
	return err
}

// stages is the whole import, up to the checks of the new database. Everything left of an arrow runs beside everything right of it; the three
// lines come one after the other, where the third is only for archives, whose export data is behind the artifacts:
//
//	read export data -> parse -> (in the order of the lines) insert -> (all metadata is known)
//	read artifacts -> unpack: hash, split, gzip -> (in the order of the source) insert
//	read the rest -> parse -> (in the order of the lines) insert
func (x *importer) stages(ctx context.Context, sink stages.Sink, temp string, mode format.ArtifactMode) error {
	r, n := newRun(ctx, x.o.Status), x.o.Workers
	head := stages.NewExportData(n, stages.AllLines)
	parts := stages.NewArtifacts(x.unpackOptions(temp, mode), x.meta)
	head.MaxItem = x.o.MaxItem
	tail := head.Then(stages.KVLines)
	x.full(head, tail).Genesis = x.o.genesis()
	known, read := make(chan struct{}), make(chan struct{})
	insert := &stages.Insert{
		Sink: sink, Meta: x.meta, Progress: x.progress(),
		Artifact: func() { x.o.Status.AddArtifacts(1) },
		Known:    func() error { close(known); return nil },
		KVLater:  x.src.Manifest().ArtifactsLater,
	}

	r.stage("read export data", func(ctx context.Context) error { return x.readHead(ctx, head) }, head)
	r.workers(x.headName(), n, head.Parse)
	r.stage("read artifacts", func(ctx context.Context) error { return x.readArtifacts(ctx, known, parts, read) }, parts)
	r.workers("artifacts", n, parts.Unpack)
	r.stage("read the rest", func(ctx context.Context) error { return x.readTail(ctx, read, tail) }, tail)
	r.workers("export data", n, tail.Parse)
	r.stage("insert", func(ctx context.Context) error { return insert.Run(ctx, head.Queue, parts.Queue, tail.Queue) })
	if err := r.wait(); err != nil {
		return err
	}
	x.count(head, tail, insert, parts)
	return nil
}
