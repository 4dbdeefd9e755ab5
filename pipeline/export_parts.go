package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"swingport/format"
	"swingport/stages"
)

// export is one run of Export: what its stages share.
type export struct {
	o      ExportOptions
	store  *stages.Store
	plan   *stages.Plan
	sink   sink
	wants  wants
	reader string

	tables *stages.Tables
	sorter *stages.KVSorter
	spans  *stages.Assembler
	check  *stages.Check

	sorted                    gate // opens when all runs are sorted
	artifacts, heaps, bundles *stages.Link[*stages.Artifact]

	// What comes out of the check, for the sink.
	parts *fanOut                                        // unless the sink wants the artifacts ordered
	queue *stages.Ordered[*stages.Artifact, stages.Part] // if it does
	lines *stages.Link[*stages.Chunk]                    // the export data, if withData

	genesis *format.GenesisHash // of the export data; nil where nobody asked

	defects struct {
		sync.Mutex
		list []string
	}
	count [4]atomic.Int64 // artifacts by format.Kind
	items atomic.Int64
	kept  int64 // of them, from an unfinished export
}

// openSpansBytes is what spans being put together may take before some are spilled: several hundred vats that are all at work.
const openSpansBytes = 80 << 20

func newExport(o ExportOptions, store *stages.Store, plan *stages.Plan, sink sink) *export {
	x := &export{o: o, store: store, plan: plan, sink: sink, wants: sink.wants(), sorted: make(gate)}
	x.check = &stages.Check{OnDefect: o.onDefect, Unreadable: o.onDefect != nil, Sums: x.wants.sums, Count: x.counted}
	if o.NoVerify && o.onDefect == nil {
		x.check.OnDefect = x.noteDefect
	}
	temp := o.TempDir
	if temp == "" {
		temp = sink.tempDir()
	}
	x.sorter = stages.NewKVSorter(temp, o.fs)
	x.sorter.Count = x.wants.size
	if o.HashGenesis {
		x.genesis = format.NewGenesisHash()
	}
	x.lines = stages.NewLink(4, (*stages.Chunk).Release)
	x.artifacts = stages.NewLink[*stages.Artifact](8, nil)
	x.heaps = stages.NewLink[*stages.Artifact](1, nil)
	x.bundles = stages.NewLink[*stages.Artifact](1, nil)
	x.parts = newFanOut(o.Workers, 3)
	x.queue = stages.NewOrdered[*stages.Artifact](o.Workers, partsAhead, stages.Part.Release)
	x.spans = stages.NewAssembler(plan, cmp.Or(o.openSpans, openSpansBytes), temp, o.fs, x.artifacts)
	return x
}

// partsAhead is how many parts of an artifact may wait for those before it. Few fill it: what bounds the memory is the room that parts take
// up where they come from.
const partsAhead = 64

// heapsAhead is how many bytes of heaps may wait for those before them.
const heapsAhead = 32 << 20

// chooseReader says how the large tables are read; see DESIGN.md, decision 1.
func (x *export) chooseReader() {
	x.tables = stages.NewTables(x.plan.NeedsItems(), x.withData(), x.sortWorkers())
	x.reader = x.o.Reader
	switch odd := x.store.Odd(); {
	case odd != "":
		x.check.Warn("read through the engine, since %s", odd)
		x.reader = ReaderEngine
	case x.o.Reader == ReaderSweep && x.plan.ItemsByIndex(x.store.Size()):
		x.reader = readerIndex
	}
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

// sortWorkers is how many workers sort the rows of kvStore.
func (x *export) sortWorkers() int {
	return stages.SortWorkers(min(x.o.Workers, cmp.Or(x.wants.sortWorkers, x.o.Workers)))
}

// withData reports whether the sink gets the export data.
func (x *export) withData() bool { return x.wants.data && x.o.ExportDataMode == format.All }

// startPhase tells the status what there is to do, in bytes of the store.
func (x *export) startPhase() {
	heaps, spans, bundles, stored := x.plan.Counts()
	total := stored
	if x.reader == ReaderSweep {
		total += x.store.Size()
	}
	x.o.Status.SetPhase("export", total)
	x.o.Status.SetArtifacts(int64(heaps + spans + bundles))
	x.o.Status.AddArtifacts(x.kept)
}

// readSnapshots unpacks as far ahead as a sink that takes one artifact after the other needs to keep all workers busy.
func (x *export) readSnapshots(ctx context.Context) error {
	ahead := 0
	if x.wants.ordered {
		ahead = heapsAhead
	}
	r := stages.NewSnapshotReader(x.store, x.wants.snapshots, x.o.Workers, ahead)
	r.Unchecked = x.wants.unchecked
	return r.Run(ctx, x.plan, x.heaps)
}

// exportData waits until every row is in a sorted run.
func (x *export) exportData(ctx context.Context) error {
	if err := x.sorted.wait(ctx); err != nil {
		return err
	}
	return stages.WriteLines(ctx, x.store, x.sorter, x.genesis, x.lines)
}

// send gives a part to the writer that has the artifact.
func (x *export) send(ctx context.Context, p stages.Part) error {
	return x.parts.links[p.Order%len(x.parts.links)].Send(ctx, p)
}

// inOrder queues the artifacts in the order in which such a sink gets them: snapshots, bundles, then spans as they become complete.
func (x *export) inOrder(ctx context.Context) error {
	for _, in := range []*stages.Link[*stages.Artifact]{x.heaps, x.bundles, x.artifacts} {
		if err := stages.Each(ctx, in, func(a *stages.Artifact) error { return x.queue.Dispatch(ctx, a) }); err != nil {
			return err
		}
	}
	return nil
}

// checkInOrder is the body of one worker that checks what was queued.
func (x *export) checkInOrder(ctx context.Context) error {
	return x.queue.Work(ctx, func(ctx context.Context, a *stages.Artifact, out *stages.Link[stages.Part]) error {
		return x.check.One(ctx, a, out.Send)
	})
}

// noteDefect lets a defect pass, for the summary.
func (x *export) noteDefect(err error) error {
	x.defects.Lock()
	defer x.defects.Unlock()
	x.defects.list = append(x.defects.list, err.Error())
	return nil
}

// counted is called for every artifact that passed the check.
func (x *export) counted(a *stages.Artifact) {
	x.count[a.Kind].Add(1)
	x.items.Add(a.Items)
	x.o.Status.AddBytes(a.Stored)
	x.o.Status.AddArtifacts(1)
	x.o.Log.Debug("checked artifact", "name", a.Name)
}

// names gives the artifacts and their files in manifest order, once all were written.
func (x *export) names(f func(name, file string) error) error {
	if x.o.ArtifactMode == format.None {
		return nil
	}
	same := func(name string) error { return f(name, name) }
	err := x.plan.HeapNames(func(name string) error { return f(name, x.wants.snapshots.File(name)) })
	if err == nil {
		err = x.plan.SpanNames(same)
	}
	if err == nil {
		err = x.plan.BundleNames(same)
	}
	return err
}

func (x *export) summary() Summary {
	s := Summary{
		BlockHeight:  x.plan.Height,
		ArtifactMode: string(x.o.ArtifactMode),
		Snapshots:    int(x.count[format.KindSnapshot].Load()),
		Spans:        int(x.count[format.KindTranscript].Load()),
		Bundles:      int(x.count[format.KindBundle].Load()),
		Items:        x.items.Load(),
		KVRows:       x.sorter.Rows(),
		Bytes:        x.sink.bytes(),
		Kept:         int(x.kept),

		ExportDataSHA256: x.sink.dataSum(),
	}
	s.Artifacts = s.Snapshots + s.Spans + s.Bundles
	if a, ok := x.sink.(*archiveSink); ok {
		s.ArchiveBytes = a.target.Bytes()
	}
	s.Defects = append([]string{}, x.defects.list...)
	s.Warnings = slices.Concat([]string{}, x.check.Warnings(), x.plan.Untiled(), x.sorter.Lost())
	if x.genesis != nil {
		var err error
		if s.GenesisHash, err = x.genesis.Sum(); err != nil {
			s.Warnings = append(s.Warnings, fmt.Sprintf("the export data has no genesis hash: %v", err))
		}
	}
	return s
}

// defaults fills in what was left out and refuses what cannot be.
func (o *ExportOptions) defaults() (err error) {
	if o.Resume && o.Archive != "" {
		return errors.New("only an export to a directory can go on where another one ended")
	}
	if o.Archive != "" {
		if err := o.archiveDefaults(); err != nil {
			return err
		}
	}
	if o.Snapshots == "" {
		o.Snapshots = format.RawSnapshots
	}
	if _, err := format.ParseSnapshotForm(string(o.Snapshots)); err != nil {
		return err
	}
	if o.ArtifactMode == "" {
		o.ArtifactMode = format.Operational
	}
	if _, err := format.ParseArtifactMode(string(o.ArtifactMode)); err != nil && o.ArtifactMode != AutoMode {
		return err
	}
	if o.ExportDataMode == "" {
		o.ExportDataMode = format.Skip
	}
	if _, err := format.ParseExportDataMode(string(o.ExportDataMode), false); err != nil {
		return err
	}
	if o.HashGenesis && o.ExportDataMode != format.All {
		return errors.New("a genesis hash is of the export data, which this export leaves out")
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

func (g gate) wait(ctx context.Context) error { return waitFor(ctx, g) }

// fanOut is the links to several writers, which several groups of workers feed: the last group to end closes them.
type fanOut struct {
	links   []*stages.Link[stages.Part]
	feeders atomic.Int64
}

func newFanOut(writers, feeders int) *fanOut {
	f := &fanOut{}
	f.feeders.Store(int64(feeders))
	for range writers {
		f.links = append(f.links, stages.NewLink(4, stages.Part.Release))
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
