package bench

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"testing"

	"swingport/format"
	"swingport/stages"
)

// packing is what is packed in an archive, in memory.
type packing struct {
	store     *stages.Store
	plan      *stages.Plan
	artifacts []*held
	lines     []byte
	temp      string
}

func newPacking(tb testing.TB, in *inputs) *packing {
	s := in.open(tb)
	return &packing{s, newPlan(tb, s, format.Archival), holdArtifacts(tb, s, format.RawSnapshots), in.lines(tb), tb.TempDir()}
}

// pack packs everything and calls send for the pieces.
func (p *packing) pack(tb testing.TB, send func(context.Context, *stages.Chunk) error) {
	tb.Helper()
	packer := stages.NewPacker(0, 4, p.temp, nil)
	lines := stages.NewLink(4, (*stages.Chunk).Release)
	f := newFlow(tb)
	f.stage(1, func(ctx context.Context) error {
		return sendBytes(ctx, p.lines, 256<<10, stages.NewPool(6, 1), lines.Send)
	}, lines)
	f.stage(1, func(ctx context.Context) error {
		packer.To(ctx, send)
		return p.entries(ctx, packer, lines)
	})
	f.wait(tb)
	if err := packer.Close(); err != nil {
		tb.Fatal(err)
	}
}

func (p *packing) entries(ctx context.Context, to *stages.Packer, lines *stages.Link[*stages.Chunk]) error {
	head := format.ArchiveHeader{BlockHeight: p.plan.Height, ArtifactMode: format.Archival, ExportData: true, Snapshots: format.RawSnapshots}
	_, err := to.Head(head, func(f func([]byte) error) error { return stages.EachMetadataLine(ctx, p.store, f) })
	if err != nil {
		return err
	}
	pool := stages.NewPool(4, 1)
	for _, h := range p.artifacts {
		if err := h.parts(ctx, pool, to.Part); err != nil {
			return err
		}
	}
	if err := to.Data(int64(len(p.lines)), lines); err != nil {
		return err
	}
	err = to.Manifest(func(w io.Writer) error {
		m := format.NewManifestWriter(w, p.plan.Height, string(format.Archival))
		if err := names(p.plan)(m.Add); err != nil {
			return err
		}
		return m.Close(format.ExportDataFile)
	})
	if err != nil {
		return err
	}
	return to.End()
}

// names gives the artifacts and their files in manifest order.
func names(p *stages.Plan) func(func(name, file string) error) error {
	return func(f func(name, file string) error) error {
		same := func(name string) error { return f(name, name) }
		for _, each := range []func(func(string) error) error{p.HeapNames, p.SpanNames, p.BundleNames} {
			if err := each(same); err != nil {
				return err
			}
		}
		return nil
	}
}

// benchPack makes a tar of artifacts that were checked and of the export data, whose SHA-256 it takes. The bytes are those of the tar.
func benchPack(b *testing.B, in *inputs) {
	p := newPacking(b, in)
	var size int64
	p.pack(b, func(_ context.Context, c *stages.Chunk) error { size += int64(len(c.Data)); c.Release(); return nil })
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		p.pack(b, func(_ context.Context, c *stages.Chunk) error { c.Release(); return nil })
	}
}

// benchCompress packs the pieces of a tar into frames side by side. The bytes are those of the tar; Yardstick/what=zstd has the same ones.
func benchCompress(level string) func(*testing.B, *inputs) {
	return func(b *testing.B, in *inputs) {
		tar := readFile(b, in.archive(b, "export.tar"))
		var packed int64
		b.SetBytes(int64(len(tar)))
		b.ReportAllocs()
		for b.Loop() {
			var z *stages.Compressor
			var target *stages.Target
			unmeasured(b, func() {
				var err error
				if z, err = stages.NewCompressor(level, workers()); err != nil {
					b.Fatal(err)
				}
				if target, err = stages.OpenTarget(b.Context(), "-", io.Discard, nil, nil); err != nil {
					b.Fatal(err)
				}
			})
			frames, pool := z.NewFrames(), stages.NewPool(z.Workers()+2, 1)
			f := newFlow(b)
			f.stage(1, func(ctx context.Context) error { return sendBytes(ctx, tar, stages.PieceSize, pool, frames.Dispatch) }, frames)
			f.stage(z.Workers(), func(ctx context.Context) error { return z.Work(ctx, frames) })
			f.stage(1, func(ctx context.Context) error { return z.Write(ctx, frames, target) })
			f.wait(b)
			packed = target.Bytes()
		}
		b.ReportMetric(float64(len(tar))/float64(packed), "ratio")
	}
}

// benchWriteArchive writes a tar to a new file and waits for the disk. The bytes are those of the tar.
func benchWriteArchive(b *testing.B, in *inputs) {
	tar := readFile(b, in.archive(b, "export.tar"))
	intoNewDirs(b, int64(len(tar)), func(dir string) {
		target, err := stages.OpenTarget(b.Context(), filepath.Join(dir, "x.tar"), nil, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		defer aborted(b, target)
		for piece := range slices.Chunk(tar, stages.PieceSize) {
			if err := target.Write(b.Context(), piece); err != nil {
				b.Fatal(err)
			}
		}
		if err := target.Commit(context.Background()); err != nil {
			b.Fatal(err)
		}
	})
}

// benchWriteDir writes a directory, by as many writers as an export has, and waits for the disk. The bytes are those of its files but the
// manifest.
func benchWriteDir(b *testing.B, in *inputs) {
	s := in.open(b)
	artifacts, lines, n := holdArtifacts(b, s, format.RawSnapshots), in.lines(b), workers()
	all := names(newPlan(b, s, format.Archival))
	height, err := s.Height()
	if err != nil {
		b.Fatal(err)
	}
	intoNewDirs(b, heldBytes(artifacts)+int64(len(lines)), func(dir string) {
		sink, err := stages.NewDirSink(context.Background(), dir, false, false, nil, func(string) {})
		if err != nil {
			b.Fatal(err)
		}
		defer aborted(b, sink)
		f := newFlow(b)
		for w := range n {
			parts := stages.NewLink(4, stages.Part.Release)
			f.stage(1, func(ctx context.Context) error { return sendShare(ctx, artifacts, w, n, parts) }, parts)
			f.stage(1, func(ctx context.Context) error { return sink.Artifacts(ctx, parts) })
		}
		data := stages.NewLink(4, (*stages.Chunk).Release)
		f.stage(1, func(ctx context.Context) error {
			return sendBytes(ctx, lines, 256<<10, stages.NewPool(6, 1), data.Send)
		}, data)
		f.stage(1, func(ctx context.Context) error { return sink.Data(ctx, data) })
		f.wait(b)
		if err := sink.Commit(context.Background(), height, format.Archival, all, true); err != nil {
			b.Fatal(err)
		}
	})
}

// sendShare sends the parts of the artifacts that are writer w's of n.
func sendShare(ctx context.Context, artifacts []*held, w, n int, to *stages.Link[stages.Part]) error {
	pool := stages.NewPool(6, 1)
	for _, h := range artifacts {
		if h.Order%n == w {
			if err := h.parts(ctx, pool, func(p stages.Part) error { return to.Send(ctx, p) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// aborted removes what was not committed.
func aborted(tb testing.TB, of interface{ Abort() error }) {
	if err := of.Abort(); err != nil {
		tb.Error(err)
	}
}
