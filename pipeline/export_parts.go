package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"swingport/format"
	"swingport/stages"
)

// export is one run of Export: what its stages share.
type export struct {
	o      ExportOptions
	store  *stages.Store
	plan   *stages.Plan
	sink   *stages.DirSink
	reader string

	tables *stages.Tables
	sorter *stages.KVSorter
	spans  *stages.Assembler
	check  *stages.Check

	sorted                    gate // opens when all runs are sorted
	lines                     *stages.Link[*stages.Chunk]
	artifacts, heaps, bundles *stages.Link[*stages.Artifact]
	parts                     *fanOut

	count [4]atomic.Int64 // artifacts by format.Kind
	items atomic.Int64
}

// openSpansBytes is what spans being put together may take before some are spilled: several hundred vats that are all at work.
const openSpansBytes = 80 << 20

func newExport(o ExportOptions, store *stages.Store, plan *stages.Plan, sink *stages.DirSink) *export {
	x := &export{o: o, store: store, plan: plan, sink: sink, sorted: make(gate)}
	x.check = &stages.Check{NoVerify: o.NoVerify, Count: x.counted}
	temp := o.TempDir
	if temp == "" {
		temp = sink.TempDir()
	}
	x.tables = stages.NewTables(plan.NeedsItems(), x.withData(), stages.SortWorkers(o.Workers))
	x.sorter = stages.NewKVSorter(temp, o.fs)
	x.lines = stages.NewLink("export data", 4, (*stages.Chunk).Release)
	x.artifacts = stages.NewLink[*stages.Artifact]("spans", 8, nil)
	x.heaps = stages.NewLink[*stages.Artifact]("snapshots", 1, nil)
	x.bundles = stages.NewLink[*stages.Artifact]("bundles", 1, nil)
	x.parts = newFanOut(o.Workers, 3)
	x.spans = stages.NewAssembler(plan, openSpansBytes, temp, o.fs, x.artifacts)
	x.reader = x.chooseReader()
	return x
}

// chooseReader says how the large tables are read; see DESIGN.md, decision 1.
func (x *export) chooseReader() string {
	switch odd := x.store.Odd(); {
	case odd != "":
		x.check.Warn("read through the engine, since %s", odd)
		return ReaderEngine
	case x.o.Reader == ReaderSweep && x.plan.ItemsByIndex(x.store.Size()):
		return readerIndex
	}
	return x.o.Reader
}

// readerIndex takes the items through their index and sweeps for kvStore alone.
const readerIndex = "index"

// readRows is the first stage: the rows of the large tables.
func (x *export) readRows(ctx context.Context) error {
	defect := x.check.Defect
	switch x.reader {
	case ReaderEngine:
		return stages.ReadByEngine(ctx, x.store, x.tables, x.o.Status.AddBytes)
	case readerIndex:
		if err := stages.ReadItemsByIndex(ctx, x.store, x.plan, x.tables, x.o.Status.AddBytes); err != nil {
			return err
		}
		return stages.Sweep(ctx, x.store, x.tables.OnlyKV(), x.o.Status.AddBytes, defect)
	}
	return stages.Sweep(ctx, x.store, x.tables, x.o.Status.AddBytes, defect)
}

func (x *export) withData() bool { return x.o.ExportDataMode == format.All }

// startPhase tells the status what there is to do, in bytes of the store.
func (x *export) startPhase() {
	heaps, spans, bundles, stored := x.plan.Counts()
	total := stored
	if x.reader == ReaderSweep {
		total += x.store.Size()
	}
	x.o.Status.SetPhase("export", total)
	x.o.Status.SetArtifacts(int64(heaps + spans + bundles))
}

// exportData waits until every row is in a sorted run.
func (x *export) exportData(ctx context.Context) error {
	if err := x.sorted.wait(ctx); err != nil {
		return err
	}
	return stages.WriteLines(ctx, x.store, x.sorter, x.lines)
}

// send gives a part to the writer that has the artifact.
func (x *export) send(ctx context.Context, p stages.Part) error {
	return x.parts.links[p.Order%len(x.parts.links)].Send(ctx, p)
}

// counted is called for every artifact that passed the check.
func (x *export) counted(a *stages.Artifact) {
	x.count[a.Kind].Add(1)
	x.items.Add(a.Items)
	x.o.Status.AddBytes(a.Stored)
	x.o.Status.AddArtifacts(1)
	x.o.Log.Debug("checked artifact", "name", a.Name)
}

// names gives the artifact names in manifest order, once all were written.
func (x *export) names(f func(name string) error) error {
	if x.o.ArtifactMode == format.None {
		return nil
	}
	if err := x.plan.HeapNames(f); err != nil {
		return err
	}
	if err := x.plan.SpanNames(f); err != nil {
		return err
	}
	return x.plan.BundleNames(f)
}

func (x *export) summary(began time.Time) Summary {
	s := Summary{
		BlockHeight:  x.plan.Height,
		ArtifactMode: string(x.o.ArtifactMode),
		Snapshots:    int(x.count[format.KindSnapshot].Load()),
		Spans:        int(x.count[format.KindTranscript].Load()),
		Bundles:      int(x.count[format.KindBundle].Load()),
		Items:        x.items.Load(),
		KVRows:       x.sorter.Rows(),
		Bytes:        x.sink.Bytes(),

		ExportDataSHA256: x.sink.DataSum(),
	}
	s.Artifacts = s.Snapshots + s.Spans + s.Bundles
	s.took(began)
	defects, warnings := x.check.Found()
	s.Defects = append([]string{}, defects...)
	s.Warnings = append(append([]string{}, warnings...), x.plan.Untiled()...)
	return s
}

// defaults fills in what was left out and refuses what cannot be.
func (o *ExportOptions) defaults() (err error) {
	if o.ArtifactMode == "" {
		o.ArtifactMode = format.Operational
	}
	if _, err := format.ParseArtifactMode(string(o.ArtifactMode)); err != nil {
		return err
	}
	if o.ExportDataMode == "" {
		o.ExportDataMode = format.Skip
	}
	if _, err := format.ParseExportDataMode(string(o.ExportDataMode), false); err != nil {
		return err
	}
	if o.Reader == "" {
		o.Reader = ReaderSweep
	}
	if o.Reader != ReaderSweep && o.Reader != ReaderEngine {
		return fmt.Errorf("unknown reader %q: %s or %s", o.Reader, ReaderSweep, ReaderEngine)
	}
	o.Workers = workers(o.Workers)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return checkTempDir(o.TempDir)
}

// checkHeight compares the committed height with the one that is expected, in the reference's words.
func (o *ExportOptions) checkHeight(height float64) error {
	if want := o.CheckBlockHeight; want != nil && *want != 0 && *want != height {
		return fmt.Errorf("DB at unexpected block height %s (expected %s)", format.AppendNumber(nil, height), format.AppendNumber(nil, *want))
	}
	return nil
}

// gate opens once, when the runner closes it.
type gate chan struct{}

func (g gate) Close() { close(g) }

func (g gate) wait(ctx context.Context) error {
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fanOut is the links to several writers, which several groups of workers feed: the last group to end closes them.
type fanOut struct {
	links   []*stages.Link[stages.Part]
	feeders atomic.Int64
}

func newFanOut(writers, feeders int) *fanOut {
	f := &fanOut{}
	f.feeders.Store(int64(feeders))
	for range writers {
		f.links = append(f.links, stages.NewLink("parts", 4, stages.Part.Release))
	}
	return f
}

func (f *fanOut) Close() {
	if f.feeders.Add(-1) == 0 {
		for _, l := range f.links {
			l.Close()
		}
	}
}
