package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

// inputs is a store and what is made of it, each when it is first asked for.
type inputs struct{ dir, temp string }

func newInputs(tb testing.TB) *inputs { return &inputs{store(tb), tb.TempDir()} }

// made is the path of what f makes, whole or not at all.
func (in *inputs) made(tb testing.TB, name string, f func(path string)) string {
	tb.Helper()
	path := filepath.Join(in.temp, name)
	if _, err := os.Stat(path); err != nil {
		f(path)
	}
	return path
}

// export is an archival export with raw snapshots.
func (in *inputs) export(tb testing.TB) string {
	return in.made(tb, "export", func(path string) { exportTo(tb, in.dir, path, format.Archival, "") })
}

// archive is the same as a file: a name's end says which format it has.
func (in *inputs) archive(tb testing.TB, name string) string {
	return in.made(tb, name, func(path string) { exportToArchive(tb, in.dir, path, format.RawSnapshots) })
}

// imported is the store that an import of it makes.
func (in *inputs) imported(tb testing.TB) string {
	return in.made(tb, "imported", func(path string) { importInto(tb, pipeline.ImportOptions{ExportDir: in.export(tb), StateDir: path}) })
}

func (in *inputs) exportBytes(tb testing.TB) int64 { return size(tb, files(tb, in.export(tb))) }

// open opens the store until the end of the benchmark.
func (in *inputs) open(tb testing.TB) *stages.Store {
	tb.Helper()
	s, err := stages.OpenStore(tb.Context(), in.dir, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func newPlan(tb testing.TB, s *stages.Store, mode format.ArtifactMode) *stages.Plan {
	tb.Helper()
	p, err := stages.NewPlan(tb.Context(), s, mode)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// lines is the export data.
func (in *inputs) lines(tb testing.TB) []byte {
	return readFile(tb, filepath.Join(in.export(tb), format.ExportDataFile))
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// openSpansBytes is the room that an export has for unfinished spans.
const openSpansBytes = 80 << 20

// holdRows is the rows of the two large tables, in batches as a sweep makes them, which can be sent again and again.
func holdRows(tb testing.TB, s *stages.Store) (items, kv []*stages.Rows) {
	tb.Helper()
	t := stages.NewTables(true, true, stages.SortWorkers(workers()))
	f := newFlow(tb)
	f.stage(1, func(ctx context.Context) error { return stages.Sweep(ctx, s, t, ignoreBytes, fail) }, t)
	hold := func(in *stages.Link[*stages.Rows], to *[]*stages.Rows) {
		f.stage(1, func(ctx context.Context) error {
			return stages.Each(ctx, in, func(r *stages.Rows) error {
				defer r.Release()
				data := append(make([]byte, 0, cap(r.Data)), r.Data...)
				*to = append(*to, &stages.Rows{Data: data, Count: r.Count})
				return nil
			})
		})
	}
	hold(t.Items, &items)
	hold(t.KV, &kv)
	f.wait(tb)
	return items, kv
}

func rowBytes(rows []*stages.Rows) (n int64) {
	for _, r := range rows {
		n += int64(len(r.Data))
	}
	return n
}

// sendAll is a stage that sends what is in a list.
func sendAll[T any](list []T, to *stages.Link[T]) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, v := range list {
			if err := to.Send(ctx, v); err != nil {
				return err
			}
		}
		return nil
	}
}

// held is an artifact that can be sent again and again: the chunks of its pieces come from a pool and point to memory of its own.
type held struct {
	stages.Artifact
	data   []byte
	pieces []heldPiece
}

// heldPiece is the next bytes of the data.
type heldPiece struct {
	bytes int
	items []stages.Item
}

// holdArtifacts is all artifacts of an archival export in the order of an archive: snapshots, bundles, and spans as they become complete.
func holdArtifacts(tb testing.TB, s *stages.Store, form format.SnapshotForm) []*held {
	tb.Helper()
	plan, n := newPlan(tb, s, format.Archival), workers()
	t := stages.NewTables(true, false, 0)
	f := newFlow(tb)
	links := [3]*stages.Link[*stages.Artifact]{}
	for i := range links {
		links[i] = stages.NewLink[*stages.Artifact](1, nil)
	}
	heaps, bundles, spans := links[0], links[1], links[2]
	f.stage(1, func(ctx context.Context) error { return stages.Sweep(ctx, s, t, ignoreBytes, fail) }, t)
	f.stage(1, func(ctx context.Context) error {
		return stages.NewAssembler(plan, openSpansBytes, tb.TempDir(), nil, spans).Run(ctx, t.Items)
	}, spans)
	f.stage(1, func(ctx context.Context) error { return stages.NewSnapshotReader(s, form, n, 0).Run(ctx, plan, heaps) }, heaps)
	f.stage(1, func(ctx context.Context) error { return stages.ReadBundles(ctx, s, plan, bundles) }, bundles)
	var lists [len(links)][]*held
	for i := range links {
		f.stage(1, func(ctx context.Context) error {
			return stages.Each(ctx, links[i], func(a *stages.Artifact) error {
				h, err := hold(ctx, a)
				lists[i] = append(lists[i], h)
				return err
			})
		})
	}
	f.wait(tb)
	return append(append(lists[0], lists[1]...), lists[2]...)
}

func hold(ctx context.Context, a *stages.Artifact) (*held, error) {
	h := &held{}
	err := a.Content(ctx, func(p stages.Piece) error {
		defer p.Release()
		h.pieces = append(h.pieces, heldPiece{len(p.Data), p.Items})
		h.data = append(h.data, p.Data...)
		return nil
	})
	h.Artifact = *a
	h.SHA256 = sha256.Sum256(h.data)
	return h, err
}

// artifact is the artifact as a reader sends it, whose chunks come from a pool.
func (h *held) artifact(pool *stages.Pool) *stages.Artifact {
	a := h.Artifact
	a.Content = func(ctx context.Context, f func(stages.Piece) error) error {
		data := h.data
		for _, p := range h.pieces {
			c, err := pool.Get(ctx)
			if err != nil {
				return err
			}
			c.Data, data = lent(data[:p.bytes]), data[p.bytes:]
			if err := f(stages.Piece{Chunk: c, Items: p.items}); err != nil {
				return err
			}
		}
		return nil
	}
	return &a
}

// parts sends the parts as they come out of the check.
func (h *held) parts(ctx context.Context, pool *stages.Pool, send func(stages.Part) error) error {
	a := h.artifact(pool)
	err := a.Content(ctx, func(p stages.Piece) error { return send(stages.Part{Artifact: a, Chunk: p.Chunk}) })
	if err != nil {
		return err
	}
	return send(stages.Part{Artifact: a, Last: true})
}

// incoming is the artifact as an import takes it.
func (h *held) incoming() stages.Incoming {
	open := func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(h.data)), nil }
	return stages.Incoming{Name: h.Name, Gzip: h.Gzip, Size: int64(len(h.data)), Open: open}
}

func ofKind(list []*held, kind format.Kind) (some []*held) {
	for _, h := range list {
		if h.Kind == kind {
			some = append(some, h)
		}
	}
	return some
}

// lent is memory for a chunk to point to: the same, but a copy under the race detector, where who releases a chunk overwrites it.
func lent(data []byte) []byte {
	if overwrites() {
		return bytes.Clone(data)
	}
	return slices.Clip(data)
}

var overwrites = sync.OnceValue(func() bool {
	c, err := stages.NewPool(1, 1).Get(context.Background())
	if err != nil {
		panic(err) // a new pool has one
	}
	data := []byte{1}
	c.Data = data
	c.Release()
	return data[0] != 1
})

func heldBytes(list []*held) (n int64) {
	for _, h := range list {
		n += int64(len(h.data))
	}
	return n
}

// sendBytes calls send for data in chunks of size bytes that point into it.
func sendBytes(ctx context.Context, data []byte, size int, pool *stages.Pool, send func(context.Context, *stages.Chunk) error) error {
	for len(data) > 0 {
		c, err := pool.Get(ctx)
		if err != nil {
			return err
		}
		n := min(size, len(data))
		c.Data, data = lent(data[:n]), data[n:]
		if err := send(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
