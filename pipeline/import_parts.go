package pipeline

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"

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
	x.o.Log.Info("starting the import", "height", string(format.AppendNumber(nil, m.BlockHeight)), "mode", mode, "artifacts", len(m.Artifacts))
	x.meta = stages.NewMetadata()
	sink, err := stages.NewInserter(database, x.fsys)
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

func (x *importer) unpackOptions(temp string, mode format.ArtifactMode) stages.UnpackOptions {
	return stages.UnpackOptions{
		Workers: x.o.Workers, Mode: mode, TempDir: temp, FS: x.fsys,
		Progress: x.o.Status.AddBytes,
		Warn:     x.warn,
	}
}

func (x *importer) warn(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sum.Warnings = append(x.sum.Warnings, text)
	x.o.Log.Warn(text)
}

// readExportData is the stage in front of the parsers.
func (x *importer) readExportData(ctx context.Context, to *stages.ExportData) (err error) {
	r, size, err := x.src.ExportData()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	x.o.Status.SetPhase("export data", size)
	return to.Read(ctx, r)
}

// readArtifacts is the stage in front of the unpackers. Which artifacts are wanted is known when all metadata is.
func (x *importer) readArtifacts(ctx context.Context, known <-chan struct{}, to *stages.Artifacts) error {
	select {
	case <-known:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	n, bytes, err := x.src.Select(to.Wanted)
	if err != nil {
		return err
	}
	x.o.Status.SetPhase("artifacts", bytes)
	x.o.Status.SetArtifacts(int64(n))
	x.o.Log.Info("importing artifacts", "artifacts", n, "bytes", bytes)
	return x.src.Artifacts(ctx, to.Dispatch)
}

// count fills in the summary.
func (x *importer) count(data *stages.ExportData, insert *stages.Insert, parts *stages.Artifacts) {
	s := x.sum
	s.Snapshots, s.Spans, s.Bundles, s.Items, s.Bytes = parts.Counts()
	s.Artifacts = s.Snapshots + s.Spans + s.Bundles
	s.Bytes += data.Bytes()
	s.KVRows = insert.KVRows
	s.ExportDataSHA256 = hex.EncodeToString(data.SHA256())
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
	g.Go(func() error { return stages.SyncFile(database, x.fsys) })
	return g.Wait()
}
