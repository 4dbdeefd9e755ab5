package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"swingport/format"
	"swingport/stages"
)

// benchReadDir: the bytes are those of the export's files.
func benchReadDir(b *testing.B, in *inputs) {
	dir := in.export(b)
	b.SetBytes(in.exportBytes(b))
	b.ReportAllocs()
	for b.Loop() {
		src, err := stages.OpenDir(dir, nil)
		if err != nil {
			b.Fatal(err)
		}
		readSource(b, src)
	}
}

// benchReadArchive reads, unpacks and checks an archive. The bytes are those of the tar, compressed or not.
func benchReadArchive(name string) func(*testing.B, *inputs) {
	return func(b *testing.B, in *inputs) {
		path, temp := in.archive(b, name), b.TempDir()
		b.SetBytes(size(b, []string{in.archive(b, "export.tar")}))
		b.ReportAllocs()
		for b.Loop() {
			file, err := stages.OpenInput(b.Context(), path, nil, nil, ignoreBytes)
			if err != nil {
				b.Fatal(err)
			}
			src, err := stages.OpenArchive(b.Context(), file, stages.ArchiveOptions{TempDir: temp})
			if err != nil {
				b.Fatal(err)
			}
			readSource(b, src)
		}
	}
}

// readSource reads all of a source, the artifacts by as many workers as an import has, and closes it.
func readSource(tb testing.TB, src stages.Source) {
	tb.Helper()
	artifacts := stages.NewLink[stages.Incoming](workers(), nil)
	f := newFlow(tb)
	f.stage(1, func(ctx context.Context) error { return readInOrder(ctx, src, artifacts) }, artifacts)
	f.stage(workers(), func(ctx context.Context) error {
		buf := make([]byte, stages.CopyBuffer)
		return stages.Each(ctx, artifacts, func(in stages.Incoming) error {
			r, err := in.Open(ctx)
			return readAll(ctx, r, err, buf)
		})
	})
	f.wait(tb)
	if err := src.Close(); err != nil {
		tb.Fatal(err)
	}
}

// readInOrder calls the methods of a source.
func readInOrder(ctx context.Context, src stages.Source, to *stages.Link[stages.Incoming]) error {
	buf := make([]byte, stages.CopyBuffer)
	r, _, err := src.Head(ctx)
	if err := readAll(ctx, r, err, buf); err != nil {
		return err
	}
	all := func(string) (bool, error) { return true, nil }
	if err := src.Artifacts(ctx, all, func(int, int64) {}, to.Send); err != nil {
		return err
	}
	r, _, err = src.Tail(ctx)
	if err := readAll(ctx, r, err, buf); err != nil {
		return err
	}
	return src.Finish(ctx)
}

// readAll reads and closes what was opened; nothing is an empty reader.
func readAll(ctx context.Context, r io.ReadCloser, err error, buf []byte) error {
	if err != nil || r == nil {
		return err
	}
	return errors.Join(stages.Copy(ctx, io.Discard, r, buf), r.Close())
}

// benchParseExportData: the bytes are those of the export data, which is hashed too.
func benchParseExportData(b *testing.B, in *inputs) {
	lines := in.lines(b)
	b.SetBytes(int64(len(lines)))
	b.ReportAllocs()
	for b.Loop() {
		f := newFlow(b)
		x := parseLines(f, lines)
		f.stage(1, func(ctx context.Context) error { return dropResults(ctx, x.Queue) })
		f.wait(b)
	}
}

// parseLines starts the stages that read and parse export data.
func parseLines(f *flow, lines []byte) *stages.ExportData {
	x := stages.NewExportData(workers(), stages.AllLines)
	f.stage(1, func(ctx context.Context) error { return x.Read(ctx, bytes.NewReader(lines)) }, x)
	f.stage(workers(), x.Parse)
	return x
}

// benchConvertKV merges what was sorted and makes rows to insert of it, as a copy does. The bytes are those of the rows in their batches.
func benchConvertKV(b *testing.B, in *inputs) {
	_, rows := holdRows(b, in.open(b))
	sorter := sortKV(b, rows, b.TempDir())
	defer sorter.Close()
	b.SetBytes(rowBytes(rows))
	b.ReportAllocs()
	for b.Loop() {
		x := stages.NewKVRows(workers())
		f := newFlow(b)
		f.stage(1, func(ctx context.Context) error { return x.Merge(ctx, sorter) }, x)
		f.stage(workers(), x.Convert)
		f.stage(1, func(ctx context.Context) error { return dropResults(ctx, x.Queue) })
		f.wait(b)
	}
}

// benchUnpack hashes and splits spans, hashes heaps and packs those that come raw, and checks bundles. The bytes are those of the artifacts as
// they come.
func benchUnpack(form format.SnapshotForm) func(*testing.B, *inputs) {
	return func(b *testing.B, in *inputs) {
		records, temp := parseRecords(b, in.lines(b)), b.TempDir()
		artifacts := wanted(b, holdArtifacts(b, in.open(b), form), records)
		b.SetBytes(heldBytes(artifacts))
		b.ReportAllocs()
		for b.Loop() {
			var meta *stages.Metadata // notes what was stored
			unmeasured(b, func() { meta = metadata(records) })
			unpackInto(b, artifacts, meta, temp, dropSink{})
		}
	}
}

// parseRecords is the metadata lines of export data.
func parseRecords(tb testing.TB, lines []byte) (records []stages.Record) {
	f := newFlow(tb)
	x := parseLines(f, lines)
	f.stage(1, func(ctx context.Context) error {
		return stages.Each(ctx, x.Queue, func(j *stages.Job[*stages.Chunk, *stages.Entries]) error {
			return stages.Each(ctx, j.Out, func(e *stages.Entries) error {
				records = append(records, e.Records...)
				e.Release()
				return nil
			})
		})
	})
	f.wait(tb)
	return records
}

// metadata is what the records say, to be settled.
func metadata(records []stages.Record) *stages.Metadata {
	m := stages.NewMetadata()
	for _, r := range records {
		m.Add(r)
	}
	return m
}

// unpackInto has artifacts unpacked and stored in a sink, which gets no rows of kvStore.
func unpackInto(tb testing.TB, artifacts []*held, meta *stages.Metadata, temp string, sink stages.Sink) {
	known, parts := make(chan struct{}), newUnpacking(meta, temp)
	insert := &stages.Insert{
		Sink: sink, Meta: meta, Progress: ignoreBytes, Artifact: func() {},
		Known: func() error { close(known); return nil },
	}
	f := newFlow(tb)
	f.stage(1, func(ctx context.Context) error {
		select {
		case <-known:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		return dispatch(ctx, artifacts, parts)
	}, parts)
	f.stage(workers(), parts.Unpack)
	f.stage(1, func(ctx context.Context) error {
		none := ended[*stages.Job[*stages.Chunk, *stages.Entries]]()
		return insert.Run(ctx, none, parts.Queue, none)
	})
	f.wait(tb)
}

// wanted is the artifacts that an archival import reads: of heaps, those in use.
func wanted(tb testing.TB, artifacts []*held, records []stages.Record) (list []*held) {
	tb.Helper()
	meta := metadata(records)
	if err := meta.Settle(); err != nil {
		tb.Fatal(err)
	}
	parts := newUnpacking(meta, "")
	for _, h := range artifacts {
		ok, err := parts.Wanted(h.Name)
		if err != nil {
			tb.Fatal(err)
		}
		if ok {
			list = append(list, h)
		}
	}
	return list
}

func newUnpacking(meta *stages.Metadata, temp string) *stages.Artifacts {
	return stages.NewArtifacts(stages.UnpackOptions{
		Workers: workers(), Mode: format.Archival, TempDir: temp, Progress: ignoreBytes, Warn: func(string) {},
	}, meta)
}

// dispatch hands out artifacts that are wanted.
func dispatch(ctx context.Context, artifacts []*held, to *stages.Artifacts) error {
	for _, h := range artifacts {
		if _, err := to.Wanted(h.Name); err != nil {
			return err
		}
		if err := to.Dispatch(ctx, h.incoming()); err != nil {
			return err
		}
	}
	return nil
}
