package pipeline

import (
	"context"
	"errors"

	"swingport/format"
	"swingport/stages"
)

// What the readers of a copy may take: less than those of an export alone, since the import takes its part beside them.
const (
	copySpansBytes  = 40 << 20 // of spans being put together
	copySortWorkers = 2
)

// copySink is a new store in another state directory as a sink.
type copySink struct {
	o      *CopyOptions
	im     *importer
	state  *stages.State
	db     *stages.Inserter // nil once it is closed
	file   string           // the new database
	temp   string
	src    *stages.CopySource
	meta   *stages.Metadata
	insert *stages.Insert
	parts  *stages.Artifacts

	sum      Summary // what the import half knows
	metadata int64   // bytes of its lines
	done     bool
}

// newCopySink locks the target against other imports, checks that it may be replaced, and begins the new database.
func newCopySink(o *CopyOptions) (*copySink, error) {
	c := &copySink{o: o, meta: stages.NewMetadata()}
	c.im = &importer{o: ImportOptions{Workers: o.Workers, MaxItem: o.MaxItem, NoCheck: o.NoCheck, Status: o.Status, Log: o.Log}, fsys: o.fs, sum: &c.sum}
	if err := c.open(); err != nil {
		return c, errors.Join(err, c.abort())
	}
	return c, nil
}

func (c *copySink) open() (err error) {
	if c.state, err = stages.OpenState(c.o.ToStateDir, c.o.fs); err != nil {
		return err
	}
	if c.file, c.temp, err = c.state.Build(); err != nil {
		return err
	}
	c.db, err = stages.NewInserter(c.file, c.o.fs)
	return err
}

func (c *copySink) wants() wants {
	return wants{unchecked: true, snapshots: format.GzipSnapshots, data: true, size: true, again: true, sortWorkers: copySortWorkers}
}

func (c *copySink) unpackOptions(x *export) stages.UnpackOptions {
	temp := c.temp
	if c.o.TempDir != "" {
		temp = c.o.TempDir
	}
	o := c.im.unpackOptions(temp, x.o.ArtifactMode)
	o.Progress = func(int64) {} // bytes are counted where they are read
	return o
}

// connect joins the two halves. What is inserted before all metadata is known is metadata; what comes after the artifacts, kv rows.
func (c *copySink) connect(x *export, parts *stages.Artifacts, known gate) {
	c.src = &stages.CopySource{
		Store: x.store, Plan: x.plan, Heaps: x.heaps, Bundles: x.bundles, Spans: x.artifacts,
		Taken: func(a *stages.Artifact) { c.o.Status.AddBytes(a.Stored) },
	}
	c.parts = parts
	c.insert = &stages.Insert{
		Sink: c.db, Meta: c.meta, KVTail: true,
		Progress: func(n int64) { c.metadata += n },
		Artifact: func() { c.o.Status.AddArtifacts(1) },
	}
	c.insert.Known = func() error {
		c.insert.Progress = c.o.Status.AddBytes
		known.Close()
		return nil
	}
}

// readMetadata is the stage in front of the first parsers.
func (c *copySink) readMetadata(ctx context.Context, to *stages.ExportData) (err error) {
	if _, err := format.ImportMode("", c.src.Manifest()); err != nil {
		return err
	}
	r := c.src.Head(ctx)
	defer func() { err = errors.Join(err, r.Close()) }()
	return to.Read(ctx, r)
}

// takeArtifacts is the stage in front of the unpackers. What an import would refuse of an artifact is known when all metadata is.
func (c *copySink) takeArtifacts(ctx context.Context, known gate, to *stages.Artifacts) error {
	if err := known.wait(ctx); err != nil {
		return err
	}
	return c.src.Artifacts(ctx, to.Wanted, to.Dispatch)
}

// mergeKV is the stage in front of the converters. It waits for the artifacts too, since nobody takes a row before their end: what merging
// takes is then not added to what spans take.
func (c *copySink) mergeKV(ctx context.Context, x *export, taken gate, to *stages.KVRows) error {
	for _, g := range []gate{x.sorted, taken} {
		if err := g.wait(ctx); err != nil {
			return err
		}
	}
	c.o.Status.SetPhase("export data", x.sorter.Size())
	return to.Merge(ctx, x.sorter)
}

// commit checks the new store as an import does and puts it in its place.
func (c *copySink) commit(ctx context.Context, x *export) error {
	if err := c.complete(x); err != nil {
		return &lateError{err, true}
	}
	if err := x.store.Close(); err != nil { // a node should not have to keep its log for us any longer
		return err
	}
	c.count(x)
	err := c.db.Finish(x.plan.Height)
	if err = errors.Join(err, c.closeDatabase()); err != nil {
		return err
	}
	if err := c.im.checkAndSync(ctx, c.file); err != nil {
		return err
	}
	c.o.Status.SetPhase("swap", 0)
	swapped, err := c.state.Swap(ctx, c.o.KeepOld)
	c.sum.KeptOld, c.sum.MovedAside = swapped.KeptOld, swapped.MovedAside
	c.done = err == nil
	return err
}

// complete is what an import checks at its end, and of the list of artifacts at its beginning.
func (c *copySink) complete(x *export) error {
	if _, err := format.ImportMode("", c.src.Manifest()); err != nil {
		return err
	}
	return c.meta.Complete(x.o.ArtifactMode)
}

// count fills in the summary.
func (c *copySink) count(x *export) {
	s := &c.sum
	s.BlockHeight, s.ArtifactMode = x.plan.Height, string(x.o.ArtifactMode)
	s.Snapshots, s.Spans, s.Bundles, s.Items, s.Bytes = c.parts.Counts()
	s.Artifacts = s.Snapshots + s.Spans + s.Bundles
	s.KVRows = c.insert.KVRows
	s.Bytes += c.metadata + x.sorter.Size()
}

func (c *copySink) closeDatabase() error {
	if c.db == nil {
		return nil
	}
	err := c.db.Close()
	c.db = nil
	return err
}

func (c *copySink) abort() error {
	err := c.closeDatabase()
	if c.state != nil {
		err = errors.Join(err, c.state.Close(c.done))
	}
	return err
}

func (c *copySink) tempDir() string { return c.temp }

// What an export says of its sink is not what a copy says, see summary.
func (c *copySink) bytes() int64    { return 0 }
func (c *copySink) dataSum() string { return "" }

// summary is what both halves say; c is nil where the copy did not come so far as to have a second one.
func (c *copySink) summary(exported Summary) (sum Summary) {
	if c == nil {
		return exported
	}
	sum = c.sum
	sum.LogGrowth = exported.LogGrowth
	sum.Defects = []string{}
	sum.Warnings = append(append([]string{}, exported.Warnings...), c.sum.Warnings...)
	if c.state != nil {
		sum.Warnings = append(sum.Warnings, c.state.Warnings...)
	}
	return sum
}
