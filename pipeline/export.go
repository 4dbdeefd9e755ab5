package pipeline

import (
	"cmp"
	"context"
	"errors"
	"time"

	"swingport/format"
	"swingport/stages"
)

// Export writes what the store in o.StateDir has committed to the directory o.ExportDir: the manifest, the export data if asked for, and the
// artifacts of the mode, as the reference's export-kernel-db does, each compared with its hash on the way. The directory gets all of it or,
// on any error, nothing. The store is only read, in one read transaction, also while a node writes to it.
//
// With o.Resume it goes on where an export to the same directory did not come to its end, see [ExportOptions].
//
// With o.Archive the same goes into one file, or through a pipe, as format/FORMAT.md says. A file appears whole or not at all; what comes out of a
// pipe is whole if its last entry is there.
//
// Errors are an *IncompleteError where the store lacks what the mode needs, an *ArtifactError for a hash that does not match, an
// *ExistsError where there is an export already, ErrNoStore, ErrNotStore and ErrReaderGone; or whatever the system says.
func Export(ctx context.Context, o ExportOptions) (Summary, error) {
	o.planned = new(Plan)
	return exportTo(ctx, o, func(o *ExportOptions) (sink, error) {
		o.planned.warn(o.Warn)
		if o.Archive != "" {
			return newArchiveSink(ctx, o)
		}
		return newDirSink(ctx, o)
	})
}

// exportTo is Export into a sink, which is opened when the store is found good for the mode.
func exportTo(ctx context.Context, o ExportOptions, open func(*ExportOptions) (sink, error)) (sum Summary, err error) {
	began := time.Now()
	if err := o.defaults(); err != nil {
		return sum, err
	}
	fsys, release := o.limited(ctx, cmp.Or(o.fs, stages.FSFrom(ctx)))
	defer release()
	o.fs = fsys
	var left []string
	o.noteLeft = func(text string) { left = append(left, text) }
	defer func() { sum.Warnings = append(left, sum.Warnings...) }()
	store, err := stages.OpenStore(ctx, o.StateDir, o.fs)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	store.LimitItems(o.MaxItem)
	stop := o.watchLog(store)
	defer func() { sum.LogGrowth = stop() }()
	height, err := store.Height()
	if err != nil {
		return sum, err
	}
	if err := o.checkHeight(height); err != nil {
		return sum, err
	}
	if o.ArtifactMode == AutoMode {
		sum, err = exportAuto(ctx, o, store, open)
	} else {
		sum, err = exportOnce(ctx, o, store, open)
	}
	sum.took(began)
	return sum, err
}

// exportOnce exports an open store in one mode.
func exportOnce(ctx context.Context, o ExportOptions, store *stages.Store, open func(*ExportOptions) (sink, error)) (sum Summary, err error) {
	plan, err := stages.NewPlan(ctx, store, o.ArtifactMode)
	if err != nil {
		return sum, err
	}
	if err := o.preflight(ctx, store, plan); err != nil {
		return sum, err
	}
	sink, err := open(&o)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, sink.abort()); sum.unfinished(sink) }()
	x := newExport(o, store, plan, sink)
	defer x.sorter.Close()
	if err := x.resume(ctx); err != nil {
		return sum, &lateError{err, x.wants.again}
	}
	x.chooseReader()
	o.Log.Info("starting the export", "height", string(format.AppendNumber(nil, plan.Height)), "mode", o.ArtifactMode, "reader", x.reader)

	if err := x.stages(ctx); err != nil {
		return sum, &lateError{err, x.wants.again}
	}
	if err := store.Unchanged(); err != nil {
		return sum, err
	}
	o.Status.SetPhase("sync", 0)
	if err := sink.commit(ctx, x); err != nil {
		return sum, err
	}
	return x.summary(), nil
}

// stages is the whole export. Everything left of an arrow runs beside everything right of it:
//
//	sweep -> items -> assemble spans -> artifacts -> check -> parts -> sink
//	      -> kv rows -> sort -> (all rows read) -> export data -> sink
//	snapshots, bundles -----------------> artifacts
func (x *export) stages(ctx context.Context) error {
	o, r := x.o, newRun(ctx, x.o.Status)
	x.startPhase()

	r.stage("read rows", x.readRows, x.tables)
	if x.withData() {
		r.workers("sort kv", x.sortWorkers(), func(ctx context.Context) error { return x.sorter.Work(ctx, x.tables.KV) }, x.sorted)
	}
	if x.withData() && !x.wants.unchecked {
		r.stage("export data", x.exportData, x.lines)
	}
	r.stage("assemble spans", func(ctx context.Context) error { return x.spans.Run(ctx, x.tables.Items) }, x.artifacts)
	r.stage("read snapshots", x.readSnapshots, x.heaps)
	r.stage("read bundles", func(ctx context.Context) error { return stages.ReadBundles(ctx, x.store, x.plan, x.bundles) }, x.bundles)
	switch {
	case x.wants.unchecked: // the sink has stages of its own for what was read
	case x.wants.ordered:
		r.stage("order artifacts", x.inOrder, x.queue)
		r.workers("check", o.Workers, x.checkInOrder)
	default:
		for _, in := range []*stages.Link[*stages.Artifact]{x.artifacts, x.heaps, x.bundles} {
			r.workers("check", o.Workers, func(ctx context.Context) error { return x.check.Work(ctx, in, x.send) }, x.parts)
		}
	}
	x.sink.start(r, x) // to a directory: write; to an archive: pack -> compress -> write
	return r.wait()
}
