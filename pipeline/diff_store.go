package pipeline

import (
	"context"
	"strings"

	"swingport/format"
	"swingport/stages"
)

// digestStore reads of a store what an export in the mode would have.
func (s *diffSide) digestStore(ctx context.Context) error {
	plan, err := s.plan(ctx, s.mode)
	if err != nil {
		return err
	}
	o := &s.o
	sorter := stages.NewKVSorter(o.TempDir, o.fs)
	defer sorter.Close()
	tables := stages.NewTables(plan.NeedsItems(), true, stages.SortWorkers(o.Workers))
	spans := stages.NewLink[*stages.Artifact](8, nil)
	heaps := stages.NewLink[*stages.Artifact](1, nil)
	bundles := stages.NewLink[*stages.Artifact](1, nil)
	assemble := stages.NewAssembler(plan, openSpansBytes, o.TempDir, o.fs, spans)
	sorted := make(gate)
	check := &stages.Check{
		OnDefect: func(err error) error { s.warns(err.Error()); return nil },
		Sums:     true,
		Count:    func(*stages.Artifact) { o.Status.AddArtifacts(1) },
	}
	n, spanCount, bundleCount, stored := plan.Counts()
	o.Status.SetPhase("read "+strings.ToUpper(string(s.side)), stored+s.store.Size())
	o.Status.SetArtifacts(int64(n + spanCount + bundleCount))

	r := newRun(ctx, o.Status)
	r.stage("read rows", func(ctx context.Context) error {
		if s.store.Odd() != "" {
			return stages.ReadByEngine(ctx, s.store, tables, o.Status.AddBytes)
		}
		return stages.Sweep(ctx, s.store, tables, o.Status.AddBytes, func(err error) error { return err })
	}, tables)
	r.workers("sort kv", stages.SortWorkers(o.Workers), func(ctx context.Context) error { return sorter.Work(ctx, tables.KV) }, sorted)
	r.stage("digest export data", func(ctx context.Context) error {
		if err := sorted.wait(ctx); err != nil {
			return err
		}
		return s.digestRecords(ctx, sorter)
	})
	r.stage("assemble spans", func(ctx context.Context) error { return assemble.Run(ctx, tables.Items) }, spans)
	r.stage("read snapshots", func(ctx context.Context) error {
		return stages.NewSnapshotReader(s.store, format.RawSnapshots, o.Workers, 0).Run(ctx, plan, heaps)
	}, heaps)
	r.stage("read bundles", func(ctx context.Context) error { return stages.ReadBundles(ctx, s.store, plan, bundles) }, bundles)
	for _, in := range []*stages.Link[*stages.Artifact]{spans, heaps, bundles} {
		r.workers("check", o.Workers, func(ctx context.Context) error { return check.Work(ctx, in, s.digestPart) })
	}
	if err := r.wait(); err != nil {
		return err
	}
	return s.store.Unchanged()
}

// digestPart drops what passes through the check; the last part has the hash of all.
func (s *diffSide) digestPart(ctx context.Context, p stages.Part) error {
	p.Release()
	if !p.Last {
		return nil
	}
	return s.digests.Add(ctx, stages.ArtifactDigest, []byte(p.Name), stages.Digest{Type: format.Blob, Size: p.Size, SHA256: p.SHA256})
}

// digestRecords digests the export data. kvStore is sorted for the sake of keys that are there twice.
func (s *diffSide) digestRecords(ctx context.Context, sorter *stages.KVSorter) error {
	key := []byte("kv.")
	err := sorter.Merge(ctx, func(r stages.Row) error {
		key = append(key[:3], r.A...)
		if !format.ValidText(r.A) {
			key = format.AppendText(key[:3], r.A)
		}
		return s.digests.Add(ctx, stages.RecordDigest, key, stages.DigestOf(r.B))
	})
	if err != nil {
		return err
	}
	return stages.EachRecordDigest(ctx, s.store, func(key []byte, d stages.Digest) error { return s.digests.Add(ctx, stages.RecordDigest, key, d) })
}
