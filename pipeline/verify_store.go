package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"swingport/format"
	"swingport/stages"
)

// verifyStore is the verification of a state directory: the stages of an export that keeps nothing, each of which goes on beside what another
// one could not read.
type verifyStore struct {
	*verify
	store   *stages.Store
	partial *stages.Partial
	plan    *stages.Plan
	deep    *stages.Deep // nil unless it is asked for

	check  *stages.Check
	tables *stages.Tables
	sorter *stages.KVSorter
	spans  *stages.Assembler

	spansIn, heaps, bundles *stages.Link[*stages.Artifact]

	sorted gate
	count  [4]atomic.Int64 // artifacts by format.Kind
	items  atomic.Int64
	bytes  atomic.Int64
	cut    atomic.Bool // the rows could not be read to their end
	data   dataHasher  // of the export data that would be made, where Trust asks for it
}

// stateDir verifies a state directory.
func (v *verify) stateDir(ctx context.Context) (err error) {
	store, err := stages.OpenStore(ctx, v.o.StateDir, v.o.fs)
	if err != nil {
		if ctx.Err() == nil && stages.Damaged(err) && !errors.Is(err, ErrNotStore) {
			return v.ended(err)
		}
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	store.LimitItems(v.o.MaxItem)
	stop := v.o.watchLog(store)
	defer func() { v.report.LogGrowth = stop() }()
	x := &verifyStore{verify: v, store: store, partial: &stages.Partial{Left: v.note}, sorted: make(gate)}
	v.report.ExportData = true
	for _, step := range []func(context.Context) error{x.records, x.deepChecks, x.keys, x.contents} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return store.Unchanged()
}

// records reads the small tables, chooses the mode, and compares the records with one another.
func (x *verifyStore) records(ctx context.Context) (err error) {
	v := x.verify
	mode := v.o.ArtifactMode
	auto := mode == "" || mode == AutoMode
	if auto {
		mode = format.Operational // what every store should have
	}
	x.partial.Need = mode
	broken := 0
	x.plan, err = stages.NewPartialPlan(ctx, x.store, format.Debug, x.partial, func(err error) { broken++; v.defect(err) })
	if err != nil {
		return err
	}
	if auto {
		if mode, err = x.plan.BestMode(x.store); err != nil {
			v.ended(err)
		}
	}
	x.partial.Need = mode
	v.report.BlockHeight, v.report.ArtifactMode = x.plan.Height, string(mode)
	v.o.Log.Info("verifying the store", "height", string(format.AppendNumber(nil, x.plan.Height)), "mode", mode)
	meta, size, err := stages.StoreMetadata(ctx, x.store, func(err error) {
		if broken == 0 { // else it was said of the row
			v.defect(err)
		}
	})
	if err != nil {
		return err
	}
	x.bytes.Add(size)
	meta.Inspect(v.note, v.warn)
	return nil
}

// deepChecks are those of the engine.
func (x *verifyStore) deepChecks(ctx context.Context) (err error) {
	v := x.verify
	if !v.o.Deep {
		return nil
	}
	v.o.Status.SetPhase("integrity check", 0)
	if x.deep, err = stages.NewDeep(x.store, v.warn); err != nil {
		return err
	}
	if err := x.deep.Integrity(ctx, v.note); err != nil {
		return err
	}
	if err := x.deep.Counts(ctx, v.note); err != nil {
		return err
	}
	return x.deep.Sizes(ctx, v.note, v.warn)
}

// keys compares the small tables with the indexes by which they are read.
func (x *verifyStore) keys(ctx context.Context) error {
	err := x.store.CheckKeys(ctx, x.indexDefect)
	if err != nil && ctx.Err() == nil {
		return x.verify.ended(err)
	}
	return err
}

// indexDefect reports that a table and its index differ, unless the engine's checks named one of them.
func (x *verifyStore) indexDefect(err error) error {
	var of *stages.IndexError
	if x.deep != nil && errors.As(err, &of) && x.deep.Named(of.Table) {
		return nil
	}
	return x.verify.defect(err)
}

// contents reads everything.
func (x *verifyStore) contents(ctx context.Context) error {
	v := x.verify
	x.prepare()
	defer x.sorter.Close()
	if err := x.stages(ctx); err != nil {
		return err
	}
	r := &v.report
	r.Snapshots, r.Spans, r.Bundles = int(x.count[format.KindSnapshot].Load()), int(x.count[format.KindTranscript].Load()), int(x.count[format.KindBundle].Load())
	r.Items, r.KVRows, r.Bytes = x.items.Load(), x.sorter.Rows(), x.bytes.Load()
	for _, w := range x.check.Warnings() {
		v.warn(w)
	}
	if n := x.partial.LooseItems(); n > 0 {
		v.warn(fmt.Sprintf("%d transcript items belong to no span", n))
	}
	if v.o.Trust.asked() {
		v.trust(x.dataHashes())
	}
	if !x.cut.Load() {
		x.plan.Uncounted(x.partial.Need, v.vatHasDefect, v.note)
	}
	return nil
}

func (x *verifyStore) prepare() {
	v := x.verify
	temp := v.temp()
	x.check = &stages.Check{OnDefect: v.defect, Unreadable: true, Count: x.counted}
	x.tables = stages.NewTables(x.plan.NeedsItems(), true, stages.SortWorkers(v.o.Workers))
	x.sorter = stages.NewKVSorter(temp, v.o.fs)
	x.spansIn = stages.NewLink[*stages.Artifact](8, nil)
	x.heaps = stages.NewLink[*stages.Artifact](1, nil)
	x.bundles = stages.NewLink[*stages.Artifact](1, nil)
	x.spans = stages.NewAssembler(x.plan, openSpansBytes, temp, v.o.fs, x.spansIn)
}

// stages is the whole reading; see export.stages.
func (x *verifyStore) stages(ctx context.Context) error {
	v, r := x.verify, newRun(ctx, x.verify.o.Status)
	heaps, spans, bundles, stored := x.plan.Counts()
	v.o.Status.SetPhase("verify", stored+x.store.Size())
	v.o.Status.SetArtifacts(int64(heaps + spans + bundles))

	r.stage("read rows", v.survive("transcriptItems and kvStore", x.readRows, x.cutRows), x.tables)
	r.workers("sort kv", stages.SortWorkers(v.o.Workers), func(ctx context.Context) error { return x.sorter.Work(ctx, x.tables.KV) }, x.sorted)
	r.stage("export data", v.survive("", x.exportData, nil))
	r.stage("assemble spans", func(ctx context.Context) error { return x.spans.Run(ctx, x.tables.Items) }, x.spansIn)
	r.stage("read snapshots", v.survive("snapshots", func(ctx context.Context) error {
		return stages.NewSnapshotReader(x.store, format.RawSnapshots, v.o.Workers, 0).Run(ctx, x.plan, x.heaps)
	}, nil), x.heaps)
	r.stage("read bundles", v.survive("bundles", func(ctx context.Context) error {
		return stages.ReadBundles(ctx, x.store, x.plan, x.bundles)
	}, nil), x.bundles)
	drop := func(_ context.Context, p stages.Part) error { p.Release(); return nil }
	for _, in := range []*stages.Link[*stages.Artifact]{x.spansIn, x.heaps, x.bundles} {
		r.workers("check", v.o.Workers, func(ctx context.Context) error { return x.check.Work(ctx, in, drop) })
	}
	return r.wait()
}

// survive makes a stage that only reads end well whatever it finds: that it could not read on is a defect, and what waits behind it gets
// what there is.
func (v *verify) survive(what string, f func(context.Context) error, cut func()) func(context.Context) error {
	return func(ctx context.Context) error {
		err := f(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		wrong := errors.Is(err, format.ErrHashMismatch) || errors.Is(err, format.ErrMismatch) // that shows at the end
		if cut != nil && !wrong {
			cut()
		}
		if what != "" && !strings.HasPrefix(err.Error(), what) {
			err = fmt.Errorf("%s: %w", what, err)
		}
		if wrong {
			return v.defect(err)
		}
		return v.ended(err)
	}
}

// readRows reads the large tables, with all that can be read of damaged ones.
func (x *verifyStore) readRows(ctx context.Context) error {
	v := x.verify
	if odd := x.store.Odd(); odd != "" {
		v.warn("read through the engine, since " + odd)
		return stages.ReadByEngine(ctx, x.store, x.tables, v.o.Status.AddBytes)
	}
	return stages.SweepDamaged(ctx, x.store, x.tables, v.o.Status.AddBytes, x.indexDefect)
}

// cutRows is called before the links of the rows are closed.
func (x *verifyStore) cutRows() {
	x.cut.Store(true)
	x.partial.Cut()
}

// dataHashes are the hashes of the export data, unless the store has defects: then that was not all of it, perhaps.
func (x *verifyStore) dataHashes() dataHashes {
	if x.report.DefectCount > 0 || !x.data.whole {
		return dataHashes{err: errors.New("the store has defects")}
	}
	return newDataHashes(x.data.sum.Sum(nil), x.data.genesis)
}

// exportData goes through the sorted rows, which finds keys that are there twice, and makes lines of them where their hash is asked for.
func (x *verifyStore) exportData(ctx context.Context) error {
	if err := x.sorted.wait(ctx); err != nil {
		return err
	}
	asked := x.o.Trust.asked()
	if asked {
		x.data = dataHasher{sum: sha256.New(), genesis: x.o.Trust.genesis()}
	}
	var size int64
	err := x.sorter.Merge(ctx, func(r stages.Row) error {
		size += int64(format.KVSize(r.A, r.B))
		if asked {
			x.data.row(r)
		}
		return nil
	})
	if asked && err == nil {
		err = stages.EachMetadataLine(ctx, x.store, x.data.add)
		x.data.whole = err == nil
	}
	for _, text := range x.sorter.Lost() {
		x.warn(text)
	}
	x.bytes.Add(size)
	return err
}

// counted is called for every artifact that was read.
func (x *verifyStore) counted(a *stages.Artifact) {
	x.count[a.Kind].Add(1)
	x.items.Add(a.Items)
	x.bytes.Add(a.Size)
	x.o.Status.AddBytes(a.Stored)
	x.o.Status.AddArtifacts(1)
}
