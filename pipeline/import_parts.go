package pipeline

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"swingport/format"
	"swingport/stages"
)

// importer is one import.
type importer struct {
	o    ImportOptions
	fsys *stages.FS
	src  stages.Source
	meta *stages.Metadata
	sum  *Summary

	mu sync.Mutex // for Summary.Warnings
}

// defaults fills in what was left out and refuses what cannot be.
func (o *ImportOptions) defaults() (err error) {
	if o.ArtifactMode != "" {
		if _, err := format.ParseArtifactMode(string(o.ArtifactMode)); err != nil {
			return err
		}
	}
	if o.ExportDataMode == "" {
		o.ExportDataMode = format.All
	}
	if _, err := format.ParseExportDataMode(string(o.ExportDataMode), true); err != nil {
		return err
	}
	if o.ExportDataMode == format.Skip {
		return refuse("Repopulation of artifacts not yet supported")
	}
	if o.Writer != "" && o.Writer != WriterInserts && o.Writer != WriterPages {
		return fmt.Errorf("unknown writer %q: %s or %s", o.Writer, WriterInserts, WriterPages)
	}
	if err := o.Trust.parse(); err != nil {
		return err
	}
	o.Workers = workers(o.Workers)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return checkTempDir(o.TempDir)
}

// refuse makes an error in the reference's words, which begin with capitals.
func refuse(text string, args ...any) error { return fmt.Errorf(text, args...) }

// checkHeight compares the manifest's height with the one that is expected, in the reference's words. Zero is checked too.
func (o *ImportOptions) checkHeight(m *format.Manifest) error {
	want := o.CheckBlockHeight
	if want == nil || m.HasBlockHeight && m.BlockHeight == *want {
		return nil
	}
	have := "undefined"
	if m.HasBlockHeight {
		have = string(format.AppendNumber(nil, m.BlockHeight))
	}
	return refuse("State-sync manifest for unexpected block height %s (expected %s)", have, format.AppendNumber(nil, *want))
}

// build makes the new database, complete and committed.
func (x *importer) build(ctx context.Context, database, temp string, mode format.ArtifactMode) (err error) {
	m := x.src.Manifest()
	x.sum.BlockHeight, x.sum.ArtifactMode = m.BlockHeight, string(mode)
	x.o.Log.Info("starting the import", "height", string(format.AppendNumber(nil, m.BlockHeight)), "mode", mode, "artifacts", m.Artifacts.Len())
	x.meta = stages.NewMetadata()
	sink, err := newDatabase(ctx, x.o.Writer, database, temp, x.fsys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	if err := x.stages(ctx, sink, temp, mode); err != nil {
		return err
	}
	if err := x.meta.Complete(mode); err != nil {
		return err
	}
	return sink.Finish(m.BlockHeight)
}

// database is a new store that is being filled.
type database interface {
	stages.Sink
	Close() error
}

func newDatabase(ctx context.Context, writer, path, temp string, fsys *stages.FS) (database, error) {
	if writer == WriterPages {
		return stages.NewPageWriter(ctx, path, temp, fsys)
	}
	return stages.NewInserter(path, fsys)
}

func (x *importer) unpackOptions(temp string, mode format.ArtifactMode) stages.UnpackOptions {
	return stages.UnpackOptions{
		Workers: x.o.Workers, Mode: mode, TempDir: temp, FS: x.fsys,
		MaxItem: x.o.MaxItem, Progress: x.progress(),
		Warn: x.warn,
	}
}

func (x *importer) warn(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sum.Warnings = append(x.sum.Warnings, text)
	x.o.Log.Warn(text)
}

// readHead is the stage in front of the first parsers.
func (x *importer) readHead(ctx context.Context, to *stages.ExportData) error {
	r, size, err := x.src.Head(ctx)
	if err != nil {
		return err
	}
	if err := x.readExportData(ctx, r, size, to); err != nil || x.src.Manifest().ArtifactsLater {
		return err
	}
	return x.trust(to)
}

// full is the export data as a whole.
func (x *importer) full(head, tail *stages.ExportData) *stages.ExportData {
	if x.src.Manifest().ArtifactsLater {
		return tail
	}
	return head
}

// trust compares all of the export data, which was just read, with what it is expected to be. It comes before anything is taken of the artifacts
// behind it, and in any case before anything is committed.
func (x *importer) trust(data *stages.ExportData) error {
	h := hashesOf(data)
	x.sum.GenesisHash = h.genesis
	wrong, warning := x.o.Trust.check(h)
	if warning != "" {
		x.warn(warning)
	}
	return errors.Join(wrong...)
}

// headName is what the head is called in errors.
func (x *importer) headName() string {
	if x.o.Archive != "" && x.src.Manifest().ArtifactsLater {
		return format.ArchiveHeaderFile
	}
	return "export data"
}

func (x *importer) readExportData(ctx context.Context, r io.ReadCloser, size int64, to *stages.ExportData) (err error) {
	defer func() { err = errors.Join(err, r.Close()) }()
	x.phase("export data", size)
	return to.Read(ctx, r)
}

// readArtifacts is the stage in front of the unpackers. Which artifacts are wanted is known when all metadata is. It closes read at its end.
func (x *importer) readArtifacts(ctx context.Context, known <-chan struct{}, to *stages.Artifacts, read chan<- struct{}) error {
	if err := waitFor(ctx, known); err != nil {
		return err
	}
	begin := func(n int, bytes int64) {
		x.phase("artifacts", bytes)
		x.o.Status.SetArtifacts(int64(n))
		x.o.Log.Info("importing artifacts", "artifacts", n, "bytes", bytes)
	}
	if err := x.src.Artifacts(ctx, to.Wanted, begin, to.Dispatch); err != nil {
		return err
	}
	close(read)
	return nil
}

// readTail is the stage in front of the last parsers, which reads the source to its end.
func (x *importer) readTail(ctx context.Context, read <-chan struct{}, to *stages.ExportData) error {
	if err := waitFor(ctx, read); err != nil {
		return err
	}
	r, size, err := x.src.Tail(ctx)
	if err != nil {
		return err
	}
	if r != nil {
		if err := x.readExportData(ctx, r, size, to); err != nil {
			return err
		}
		if err := x.trust(to); err != nil {
			return err
		}
	}
	return x.src.Finish(ctx)
}

// waitFor waits for what stages in front say by closing c.
func waitFor(ctx context.Context, c <-chan struct{}) error {
	defer stages.WaitedBefore(ctx, time.Now())
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// count fills in the summary. Where there is a tail, that is the export data, and the head a part of it.
func (x *importer) count(head, tail *stages.ExportData, insert *stages.Insert, parts *stages.Artifacts) {
	s := x.sum
	s.Snapshots, s.Spans, s.Bundles, s.Items, s.Bytes = parts.Counts()
	s.Artifacts = s.Snapshots + s.Spans + s.Bundles
	s.KVRows = insert.KVRows
	x.countExportData(head, tail)
}

func (x *importer) countExportData(head, tail *stages.ExportData) {
	data := head
	if tail.SHA256() != nil {
		data = tail
	}
	x.sum.Bytes += data.Bytes()
	x.sum.ExportDataSHA256 = hex.EncodeToString(data.SHA256())
}

// checkAndSync checks the new database and makes it durable. Reading it is one core's work, writing it back the disk's.
func (x *importer) checkAndSync(ctx context.Context, database string) error {
	g, ctx := errgroup.WithContext(ctx)
	if x.o.NoCheck {
		x.o.Status.SetPhase("sync", 0)
	} else {
		x.o.Status.SetPhase("check", 0)
		g.Go(func() error { return stages.QuickCheck(ctx, database, x.fsys) })
	}
	g.Go(func() error { return stages.SyncFile(ctx, database, x.fsys) })
	return g.Wait()
}
