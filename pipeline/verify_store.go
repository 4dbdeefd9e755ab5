package pipeline

import (
	"context"
	"errors"

	"swingport/format"
	"swingport/stages"
)

// store verifies a state directory.
func (v *verify) store(ctx context.Context) error {
	mode := v.o.ArtifactMode
	if mode == "" || mode == AutoMode {
		mode = format.Debug
	}
	sum, err := exportTo(ctx, ExportOptions{
		StateDir: v.o.StateDir, ArtifactMode: mode, ExportDataMode: format.All, Workers: v.o.Workers, TempDir: v.o.TempDir,
		Status: v.o.Status, Log: v.o.Log, onDefect: v.defect, fs: v.o.fs,
	}, func(*ExportOptions) (sink, error) { return &noSink{}, nil })
	r := &v.report
	r.BlockHeight, r.ArtifactMode, r.ExportData = sum.BlockHeight, sum.ArtifactMode, true
	r.Snapshots, r.Spans, r.Bundles, r.Items, r.KVRows = sum.Snapshots, sum.Spans, sum.Bundles, sum.Items, sum.KVRows
	for _, w := range sum.Warnings {
		v.warn(w)
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrNoStore) && !errors.Is(err, ErrNotStore) {
		err = v.defect(err)
	}
	return err
}

// noSink keeps nothing.
type noSink struct{}

func (*noSink) wants() wants { return wants{snapshots: format.RawSnapshots, data: true} }

func (*noSink) start(r *run, x *export) {
	for _, in := range x.parts.links {
		r.stage("drop artifacts", func(ctx context.Context) error {
			return stages.Each(ctx, in, func(p stages.Part) error { p.Release(); return nil })
		})
	}
	r.stage("drop export data", func(ctx context.Context) error {
		return stages.Each(ctx, x.lines, func(c *stages.Chunk) error { c.Release(); return nil })
	})
}

func (*noSink) commit(context.Context, *export) error { return nil }
func (*noSink) abort() error                          { return nil }
func (*noSink) tempDir() string                       { return "" }
func (*noSink) bytes() int64                          { return 0 }
func (*noSink) dataSum() string                       { return "" }
