package pipeline

import (
	"context"
	"errors"
	"io/fs"

	"swingport/format"
	"swingport/stages"
)

// PlanCopy is PlanExport for a Copy.
func PlanCopy(ctx context.Context, o CopyOptions) (Plan, error) {
	p := Plan{Source: o.StateDir, Kind: KindStateDir, Target: o.ToStateDir}
	if err := o.defaults(); err != nil {
		return p, err
	}
	if err := stages.StateIsFree(o.ToStateDir, o.fs); err != nil {
		return p, err
	}
	o.planned, o.databaseRead = &p, databaseBytes(o.StateDir)
	_, err := exportTo(ctx, o.export(), func(*ExportOptions) (sink, error) { return nil, errPlanned })
	return p, planned(err)
}

// fits is the copy's part of preflight.
func (o *CopyOptions) fits(p *Plan, plan *stages.Plan, e stages.Estimate, fsys *stages.FS) error {
	p.kinds(plan, e, format.GzipSnapshots, true)
	p.ResultBytes = databaseSize(p.Kinds, e.Items, e.KVRows, e.KVKeys)
	p.TempBytes = sortSpill(e.ExportData)
	p.store(o.Workers, o.NoCheck, o.Live, o.databaseRead)
	least := e.PackedHeaps + e.LeastSpans + e.Bundles + e.LeastExportData
	return p.fitStore(fsys, o.NoSpaceCheck, o.ToStateDir, o.TempDir, least)
}

// store sets the time that a new store takes.
func (p *Plan) store(workers int, noCheck bool, live Live, read int64) {
	alone := float64(p.ResultBytes) / checkRate
	if noCheck {
		alone = 0
	}
	p.takes(float64(p.Bytes)/importRate, alone, workers, live, read+p.ResultBytes)
}

// fitStore compares what a new store takes with what is free. The old one stays until the new one is whole, so that nothing is gained by it.
func (p *Plan) fitStore(fsys *stages.FS, noSpaceCheck bool, stateDir, tempDir string, least int64) error {
	if tempDir == "" {
		tempDir = stateDir
	}
	return p.fit(fsys, noSpaceCheck, need{dir: stateDir, likely: p.ResultBytes, least: least, files: 2}, need{dir: tempDir, likely: p.TempBytes})
}

// databaseSize is about what the database of a new store takes: the contents, what rows and index entries take beside them, and what remains
// free on the pages.
func databaseSize(k PlanKinds, items, kvRows, kvKeys int64) int64 {
	const itemRow, kvRow, spanRow = 36, 13, 330 // of an index entry too; a kv row's line has as much beside key and value as the row
	rows := k.Spans.Bytes + itemRow*items + k.ExportData.Bytes + kvKeys + kvRow*kvRows
	return k.Snapshots.Bytes + k.Bundles.Bytes + spanRow*int64(k.Spans.Count) + rows*104/100 + 16<<12
}

// PlanImport is PlanExport for an Import. Of an archive that is no file, or has no index, only reading it tells: nothing is known of it then
// but what is free.
func PlanImport(ctx context.Context, o ImportOptions) (Plan, error) {
	p := Plan{Source: o.source(), Kind: KindExportDir, Target: o.StateDir}
	if o.Archive != "" {
		p.Kind = KindArchive
	}
	if err := o.defaults(); err != nil {
		return p, err
	}
	if err := stages.StateIsFree(o.StateDir, nil); err != nil {
		return p, err
	}
	err := o.preflight(ctx, &p, nil)
	return p, err
}

func (o *ImportOptions) source() string {
	if o.Archive != "" {
		return o.Archive
	}
	return o.ExportDir
}

// preflight is what an import checks before it reads at length.
func (o *ImportOptions) preflight(ctx context.Context, p *Plan, fsys *stages.FS) error {
	var sizes stages.ExportSizes
	var m *format.Manifest
	var err error
	if o.Archive == "" {
		m, sizes, err = o.dirSizes(fsys)
	} else {
		m, sizes, err = o.archiveSizes(ctx, fsys)
	}
	if err != nil {
		return err
	}
	mode := o.ArtifactMode
	if m != nil {
		if err := o.checkHeight(m); err != nil {
			return err
		}
		if o.ExportDataMode == format.RepairMetadata {
			err = o.checkRepair(m)
		} else {
			mode, err = format.ImportMode(o.ArtifactMode, m)
		}
		if err != nil {
			return err
		}
	}
	return o.fits(p, m, mode, sizes, fsys)
}

func (o *ImportOptions) fits(p *Plan, m *format.Manifest, mode format.ArtifactMode, s stages.ExportSizes, fsys *stages.FS) error {
	p.ArtifactMode, p.Known = mode, m != nil
	if m == nil {
		p.Warnings = append(p.Warnings, "what is in the archive is known only when it is read")
		return p.fitStore(fsys, o.NoSpaceCheck, o.StateDir, o.TempDir, 0)
	}
	p.BlockHeight = m.BlockHeight
	p.Kinds = PlanKinds{
		Snapshots: ListCount{s.Snapshots, s.SnapshotBytes}, Spans: ListCount{s.Spans, s.SpanBytes},
		Bundles: ListCount{s.Bundles, s.BundleBytes}, ExportData: ListCount{1, s.ExportDataBytes},
	}
	p.sum()
	if o.ExportDataMode == format.RepairMetadata {
		return p.fitStore(fsys, o.NoSpaceCheck, o.StateDir, o.TempDir, 0)
	}
	packed := p.Kinds
	packed.Snapshots.Bytes = s.PackedBytes + (s.SnapshotBytes-s.PackedBytes)*3/10
	const line, key, item = 160, 60, 2500 // about, in bytes
	p.ResultBytes = databaseSize(packed, s.SpanBytes/item, s.ExportDataBytes/line, s.ExportDataBytes*key/line)
	if o.Writer == WriterPages {
		p.TempBytes = sortSpill(s.ExportDataBytes)
	}
	p.store(o.Workers, o.NoCheck, Live{}, s.Read)
	least := s.SpanBytes + s.BundleBytes + s.PackedBytes + s.ExportDataBytes/2
	if string(mode) != m.ArtifactMode {
		least = s.BundleBytes + s.ExportDataBytes/2 // which of the others are wanted, only the export data says
	}
	return p.fitStore(fsys, o.NoSpaceCheck, o.StateDir, o.TempDir, least)
}

func (o *ImportOptions) dirSizes(fsys *stages.FS) (m *format.Manifest, s stages.ExportSizes, err error) {
	d, err := stages.OpenDir(o.ExportDir, fsys)
	if err != nil {
		return nil, s, err
	}
	return d.Manifest(), d.Sizes(), d.Close()
}

// archiveSizes asks the index of an archive; without one nothing is known, and m is nil.
func (o *ImportOptions) archiveSizes(ctx context.Context, fsys *stages.FS) (m *format.Manifest, s stages.ExportSizes, err error) {
	if o.ExportDir != "" {
		return nil, s, errors.New("an import reads a directory or an archive, not both")
	}
	if !regularTarget(o.Archive) {
		return nil, s, nil
	}
	a, err := openSeekable(o.Archive, fsys)
	if errors.As(err, new(*fs.PathError)) {
		return nil, s, err
	} else if err != nil {
		return nil, s, nil // reading says what is wrong with it, or that it is fine
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if a.Index().Verify() != nil {
		return nil, s, nil
	}
	h := a.Header()
	m = &format.Manifest{BlockHeight: h.BlockHeight, HasBlockHeight: true, ArtifactMode: string(h.ArtifactMode), ArtifactsLater: true}
	if h.ExportData {
		m.Data = format.ExportDataFile
	}
	s, err = a.Sizes(ctx)
	return m, s, err
}
