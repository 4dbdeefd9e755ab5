package bench

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

// dropSink stores nothing.
type dropSink struct{}

func (dropSink) KV([]stages.KV) error                                   { return nil }
func (dropSink) Metadata(context.Context, *stages.Metadata) error       { return nil }
func (dropSink) Items(*stages.SpanItems) error                          { return nil }
func (dropSink) Snapshot(context.Context, *stages.PackedSnapshot) error { return nil }
func (dropSink) Bundle(*stages.CheckedBundle) error                     { return nil }
func (dropSink) Finish(float64) error                                   { return nil }

// inserts is what an archival import of the store gives to its sink.
type inserts struct {
	dropSink
	kv        [][]stages.KV
	meta      *stages.Metadata
	items     []*stages.SpanItems
	snapshots []*stages.PackedSnapshot
	bundles   []*stages.CheckedBundle
	height    float64
	bytes     int64 // of keys, values, items, packed heaps and bundles
}

// Items implements Sink.
func (x *inserts) Items(p *stages.SpanItems) error {
	kept := &stages.SpanItems{VatID: p.VatID, Start: p.Start, Incarnation: p.Incarnation}
	for _, item := range p.Items {
		kept.Items = append(kept.Items, bytes.Clone(item))
		x.bytes += int64(len(item))
	}
	x.items = append(x.items, kept)
	return nil
}

// Bundle implements Sink.
func (x *inserts) Bundle(p *stages.CheckedBundle) error {
	x.bundles = append(x.bundles, &stages.CheckedBundle{Row: p.Row, Content: p.Content, Text: p.Text})
	x.bytes += int64(len(p.Content))
	return nil
}

// holdInserts has an import unpacked and keeps what comes out. Whatever is packed lives until the end of the benchmark.
func holdInserts(tb testing.TB, in *inputs) *inserts {
	tb.Helper()
	s, lines, temp := in.open(tb), in.lines(tb), tb.TempDir()
	height, err := s.Height()
	if err != nil {
		tb.Fatal(err)
	}
	records := parseRecords(tb, lines)
	x := &inserts{meta: metadata(records), height: height}
	x.holdKV(tb, lines)
	artifacts := wanted(tb, holdArtifacts(tb, s, format.RawSnapshots), records)
	heaps := ofKind(artifacts, format.KindSnapshot) // come first
	unpackInto(tb, artifacts[len(heaps):], x.meta, temp, x)
	x.holdSnapshots(tb, heaps, temp)
	return x
}

func (x *inserts) holdKV(tb testing.TB, lines []byte) {
	f := newFlow(tb)
	data := parseLines(f, lines)
	f.stage(1, func(ctx context.Context) error {
		return stages.Each(ctx, data.Queue, func(j *stages.Job[*stages.Chunk, *stages.Entries]) error {
			return stages.Each(ctx, j.Out, func(e *stages.Entries) error {
				defer e.Release()
				batch := make([]stages.KV, len(e.KV))
				for i, kv := range e.KV {
					batch[i] = stages.KV{Key: bytes.Clone(kv.Key), Value: bytes.Clone(kv.Value), Delete: kv.Delete}
					x.bytes += int64(len(kv.Key) + len(kv.Value))
				}
				x.kv = append(x.kv, batch)
				return nil
			})
		})
	})
	f.wait(tb)
}

// holdSnapshots takes packed heaps from their workers, which a Sink cannot keep.
func (x *inserts) holdSnapshots(tb testing.TB, heaps []*held, temp string) {
	parts := newUnpacking(x.meta, temp)
	f := newFlow(tb)
	f.stage(1, func(ctx context.Context) error { return dispatch(ctx, heaps, parts) }, parts)
	f.stage(workers(), parts.Unpack)
	f.stage(1, func(ctx context.Context) error {
		return stages.Each(ctx, parts.Queue, func(j *stages.Job[stages.Incoming, stages.Unpacked]) error {
			return stages.Each(ctx, j.Out, func(u stages.Unpacked) error {
				p := u.(*stages.PackedSnapshot)
				x.snapshots = append(x.snapshots, p)
				x.bytes += p.Size()
				return nil
			})
		})
	})
	tb.Cleanup(func() {
		for _, p := range x.snapshots {
			p.Release()
		}
	})
	f.wait(tb)
}

// insert makes a database in dir of everything and returns its path.
func (x *inserts) insert(tb testing.TB, dir, writer string) string {
	tb.Helper()
	path := filepath.Join(dir, stages.StoreFile)
	sink, err := newDatabase(tb.Context(), path, dir, writer)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(x.into(tb.Context(), sink), sink.Close()); err != nil {
		tb.Fatal(err)
	}
	return path
}

type closingSink interface {
	stages.Sink
	Close() error
}

func newDatabase(ctx context.Context, path, temp, writer string) (closingSink, error) {
	if writer == pipeline.WriterPages {
		return stages.NewPageWriter(ctx, path, temp, nil)
	}
	return stages.NewInserter(path, nil)
}

// into gives everything to a sink, in the order of a directory.
func (x *inserts) into(ctx context.Context, sink stages.Sink) error {
	if err := each(x.kv, sink.KV); err != nil {
		return err
	}
	if err := sink.Metadata(ctx, x.meta); err != nil {
		return err
	}
	if err := each(x.snapshots, func(p *stages.PackedSnapshot) error { return sink.Snapshot(ctx, p) }); err != nil {
		return err
	}
	if err := each(x.items, sink.Items); err != nil {
		return err
	}
	if err := each(x.bundles, sink.Bundle); err != nil {
		return err
	}
	return sink.Finish(x.height)
}

func each[T any](list []T, f func(T) error) error {
	for _, v := range list {
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}

// benchInsert makes a database, complete and committed, of what was unpacked before. The bytes are those of keys, values, items, packed heaps
// and bundles.
func benchInsert(writer string) func(*testing.B, *inputs) {
	return func(b *testing.B, in *inputs) {
		x := holdInserts(b, in)
		intoNewDirs(b, x.bytes, func(dir string) { x.insert(b, dir, writer) })
	}
}

// benchQuickCheck: the bytes are those of the database file that an import made.
func benchQuickCheck(b *testing.B, in *inputs) {
	path := filepath.Join(in.imported(b), stages.StoreFile)
	b.SetBytes(size(b, []string{path}))
	b.ReportAllocs()
	for b.Loop() {
		if err := stages.QuickCheck(b.Context(), path, nil); err != nil {
			b.Fatal(err)
		}
	}
}
