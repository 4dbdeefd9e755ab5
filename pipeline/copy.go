package pipeline

import (
	"cmp"
	"context"
	"time"

	"swingport/stages"
)

// Copy makes a new store of what the store in o.StateDir has committed and puts it in the place of the one in o.ToStateDir: an Export and an
// Import in one, with the same result and the same errors, and no export on disk in between. Everything is compared with its hash, once. The
// source is only read, also while a node writes to it; the target is replaced as Import does it, whole or not at all.
//
// Keys that begin with local. or host. stay behind, except for the height; so does what the mode does not take, and items of no span.
func Copy(ctx context.Context, o CopyOptions) (sum CopySummary, err error) {
	began := time.Now()
	if err := o.defaults(); err != nil {
		return sum, err
	}
	o.fs = cmp.Or(o.fs, stages.FSFrom(ctx))
	sum.FromBytes = databaseBytes(o.StateDir)
	o.planned, o.databaseRead = new(Plan), sum.FromBytes
	var last *copySink // a mode that turns out not to be possible takes another one
	exported, err := exportTo(ctx, o.export(), func(*ExportOptions) (sink, error) {
		o.planned.warn(o.Warn)
		var err error
		last, err = newCopySink(&o)
		return last, err
	})
	sum.Summary = last.summary(exported)
	sum.took(began)
	if err == nil {
		sum.ToBytes = databaseBytes(o.ToStateDir)
	}
	return sum, err
}

// start is the import half of a copy, which takes what the stages of an export have read:
//
//	metadata of the store -> parse -> insert -> (all metadata is known)
//	artifacts -> unpack: hash, split -> (snapshots, bundles, then spans as they become complete) insert
//	kv rows, sorted -> convert -> (in the order of the keys) insert
func (c *copySink) start(r *run, x *export) {
	n := x.o.Workers
	head := stages.NewExportData(n, stages.AllLines)
	parts := stages.NewArtifacts(c.unpackOptions(x), c.meta)
	rows := stages.NewKVRows(n)
	head.MaxItem, rows.MaxItem = c.o.MaxItem, c.o.MaxItem
	known, taken := make(gate), make(gate)
	c.connect(x, parts, known)

	r.stage("read metadata", func(ctx context.Context) error { return c.readMetadata(ctx, head) }, head)
	r.workers("metadata", n, head.Parse)
	r.stage("artifacts", func(ctx context.Context) error { return c.takeArtifacts(ctx, known, parts) }, parts, taken)
	r.workers("artifacts", n, parts.Unpack)
	r.stage("merge kv", func(ctx context.Context) error { return c.mergeKV(ctx, x, taken, rows) }, rows)
	r.workers("kv rows", n, rows.Convert)
	r.stage("insert", func(ctx context.Context) error { return c.insert.Run(ctx, head.Queue, parts.Queue, rows.Queue) })
}
