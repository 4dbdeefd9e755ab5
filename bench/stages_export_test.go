package bench

import (
	"context"
	"testing"

	"swingport/format"
	"swingport/stages"
)

// benchPlan: the bytes are those of the metadata, as lines of export data.
func benchPlan(b *testing.B, in *inputs) {
	s := in.open(b)
	_, size, err := stages.StoreMetadata(b.Context(), s, func(err error) { b.Error(err) })
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		newPlan(b, s, format.Archival)
	}
}

// benchSweep and benchReadByEngine: the bytes are those of the database file. The rows go nowhere.
func benchSweep(b *testing.B, in *inputs) {
	s := in.open(b)
	benchRows(b, s.Size(), func(ctx context.Context, t *stages.Tables) error { return stages.Sweep(ctx, s, t, ignoreBytes, fail) })
}

func benchReadByEngine(b *testing.B, in *inputs) {
	s := in.open(b)
	benchRows(b, s.Size(), func(ctx context.Context, t *stages.Tables) error { return stages.ReadByEngine(ctx, s, t, ignoreBytes) })
}

func benchRows(b *testing.B, bytes int64, read func(context.Context, *stages.Tables) error) {
	b.SetBytes(bytes)
	b.ReportAllocs()
	for b.Loop() {
		t := stages.NewTables(true, true, stages.SortWorkers(workers()))
		f := newFlow(b)
		f.stage(1, func(ctx context.Context) error { return read(ctx, t) }, t)
		f.stage(1, func(ctx context.Context) error { return drop(ctx, t.Items) })
		f.stage(1, func(ctx context.Context) error { return drop(ctx, t.KV) })
		f.wait(b)
	}
}

// benchReadByIndex: the bytes are those of the items that an operational export needs.
func benchReadByIndex(b *testing.B, in *inputs) {
	s := in.open(b)
	plan := newPlan(b, s, format.Operational)
	read := func(progress func(int64)) {
		t := stages.NewTables(true, false, 0)
		f := newFlow(b)
		f.stage(1, func(ctx context.Context) error { return stages.ReadItemsByIndex(ctx, s, plan, t, progress) }, t)
		f.stage(1, func(ctx context.Context) error { return drop(ctx, t.Items) })
		f.wait(b)
	}
	var size int64
	read(func(n int64) { size += n })
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		read(ignoreBytes)
	}
}

// benchSortKV: the bytes are those of the rows in their batches.
func benchSortKV(b *testing.B, in *inputs) {
	_, rows := holdRows(b, in.open(b))
	temp := b.TempDir()
	b.SetBytes(rowBytes(rows))
	b.ReportAllocs()
	for b.Loop() {
		sortKV(b, rows, temp).Close()
	}
}

// sortKV sorts rows. The caller closes what it returns.
func sortKV(tb testing.TB, rows []*stages.Rows, temp string) *stages.KVSorter {
	sorter, link := stages.NewKVSorter(temp, nil), stages.NewLink[*stages.Rows](4, nil)
	f := newFlow(tb)
	f.stage(1, sendAll(rows, link), link)
	f.stage(stages.SortWorkers(workers()), func(ctx context.Context) error { return sorter.Work(ctx, link) })
	f.wait(tb)
	return sorter
}

// benchExportData merges what was sorted and makes lines of it. The bytes are those of the export data.
func benchExportData(b *testing.B, in *inputs) {
	s := in.open(b)
	_, rows := holdRows(b, s)
	sorter := sortKV(b, rows, b.TempDir())
	defer sorter.Close()
	b.SetBytes(int64(len(in.lines(b))))
	b.ReportAllocs()
	for b.Loop() {
		lines := stages.NewLink(4, (*stages.Chunk).Release)
		f := newFlow(b)
		f.stage(1, func(ctx context.Context) error { return stages.WriteLines(ctx, s, sorter, nil, lines) }, lines)
		f.stage(1, func(ctx context.Context) error { return drop(ctx, lines) })
		f.wait(b)
	}
}

// benchAssembleSpans: the bytes are those of the rows in their batches. The spans go nowhere.
func benchAssembleSpans(b *testing.B, in *inputs) {
	s := in.open(b)
	rows, _ := holdRows(b, s)
	temp := b.TempDir()
	b.SetBytes(rowBytes(rows))
	b.ReportAllocs()
	for b.Loop() {
		var plan *stages.Plan // notes which items came
		unmeasured(b, func() { plan = newPlan(b, s, format.Archival) })
		link, spans := stages.NewLink[*stages.Rows](4, nil), stages.NewLink[*stages.Artifact](8, nil)
		f := newFlow(b)
		f.stage(1, sendAll(rows, link), link)
		f.stage(1, func(ctx context.Context) error {
			return stages.NewAssembler(plan, openSpansBytes, temp, nil, spans).Run(ctx, link)
		}, spans)
		f.stage(1, func(ctx context.Context) error { return stages.Each(ctx, spans, dropContent(ctx)) })
		f.wait(b)
	}
}

func dropContent(ctx context.Context) func(*stages.Artifact) error {
	return func(a *stages.Artifact) error {
		return a.Content(ctx, func(p stages.Piece) error { p.Release(); return nil })
	}
}

// benchReadSnapshots unpacks all heaps and compares them with their hashes: the reader's work is done by the workers of the check. The bytes
// are those of the heaps unpacked, in both forms.
func benchReadSnapshots(form format.SnapshotForm) func(*testing.B, *inputs) {
	return func(b *testing.B, in *inputs) {
		s, n := in.open(b), workers()
		plan := newPlan(b, s, format.Archival)
		b.SetBytes(heldBytes(ofKind(holdArtifacts(b, s, format.RawSnapshots), format.KindSnapshot)))
		b.ReportAllocs()
		for b.Loop() {
			heaps := stages.NewLink[*stages.Artifact](1, nil)
			f := newFlow(b)
			f.stage(1, func(ctx context.Context) error { return stages.NewSnapshotReader(s, form, n, 0).Run(ctx, plan, heaps) }, heaps)
			f.stage(n, check(heaps, false))
			f.wait(b)
		}
	}
}

// check is the body of one worker of the check, whose parts go nowhere.
func check(in *stages.Link[*stages.Artifact], sums bool) func(context.Context) error {
	k := &stages.Check{Sums: sums, Count: func(*stages.Artifact) {}}
	return func(ctx context.Context) error {
		return k.Work(ctx, in, func(_ context.Context, p stages.Part) error { p.Release(); return nil })
	}
}

// benchReadBundles: the bytes are those of the bundles.
func benchReadBundles(b *testing.B, in *inputs) {
	s := in.open(b)
	plan := newPlan(b, s, format.Archival)
	b.SetBytes(heldBytes(ofKind(holdArtifacts(b, s, format.RawSnapshots), format.KindBundle)))
	b.ReportAllocs()
	for b.Loop() {
		bundles := stages.NewLink[*stages.Artifact](1, nil)
		f := newFlow(b)
		f.stage(1, func(ctx context.Context) error { return stages.ReadBundles(ctx, s, plan, bundles) }, bundles)
		f.stage(1, func(ctx context.Context) error { return stages.Each(ctx, bundles, dropContent(ctx)) })
		f.wait(b)
	}
}

// benchCheck compares all artifacts, heaps unpacked, with the hashes of their records, and with sums takes the SHA-256 of each as well, as an
// archive wants it. The bytes are those of the artifacts.
func benchCheck(sums bool) func(*testing.B, *inputs) {
	return func(b *testing.B, in *inputs) {
		artifacts, n := holdArtifacts(b, in.open(b), format.RawSnapshots), workers()
		b.SetBytes(heldBytes(artifacts))
		b.ReportAllocs()
		for b.Loop() {
			link, pool := stages.NewLink[*stages.Artifact](8, nil), stages.NewPool(2*n, 1)
			f := newFlow(b)
			f.stage(1, func(ctx context.Context) error {
				for _, h := range artifacts {
					if err := link.Send(ctx, h.artifact(pool)); err != nil {
						return err
					}
				}
				return nil
			}, link)
			f.stage(n, check(link, sums))
			f.wait(b)
		}
	}
}
