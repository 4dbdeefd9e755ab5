package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"swingport/format"
	"swingport/stages"
)

// verifyExport is the verification of an export directory or an archive: the stages of an import that keeps nothing, each of which goes on
// with what another one could read.
type verifyExport struct {
	*verify
	src  stages.Source
	mode format.ArtifactMode // whose artifacts must be there
	meta *stages.Metadata

	head, tail *stages.ExportData
	parts      *stages.Artifacts

	index               *ArtifactError // what the index of an archive says of a file
	known, read         chan struct{}
	partOfData, partial atomic.Bool // the export data, or the rest, could not be read to its end
}

// export verifies an export directory or an archive.
func (v *verify) export(ctx context.Context) (err error) {
	src, err := v.open(ctx)
	if err != nil {
		if ctx.Err() == nil && isDamage(err) {
			return v.ended(err)
		}
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	x := &verifyExport{verify: v, src: src, known: make(chan struct{}), read: make(chan struct{})}
	x.manifest()
	if x.src.Manifest().Data == "" && !x.src.Manifest().ArtifactsLater {
		return x.withoutRecords(ctx)
	}
	if err := x.stages(ctx); err != nil {
		return err
	}
	x.count()
	x.trust(x.dataHashes())
	x.atIndex()
	x.complete()
	return x.leftOver()
}

// isDamage tells what is wrong with the content from what the system says.
func isDamage(err error) bool {
	return !errors.As(err, new(*openError)) && !errors.As(err, new(*fs.PathError)) && !errors.As(err, new(syscall.Errno))
}

// openError says that there is nothing to verify.
type openError struct{ error }

func (e *openError) Unwrap() error { return e.error }

// open opens the source, in a way that does not end at the first missing file.
func (v *verify) open(ctx context.Context) (stages.Source, error) {
	if v.report.Kind == KindExportDir {
		d, err := stages.InspectDir(v.o.ExportDir, v.o.fs, v.note)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	in, err := stages.OpenInput(ctx, v.o.Archive, v.o.Stdin, v.o.fs, v.o.Status.AddBytes)
	if err != nil {
		return nil, &openError{err}
	}
	v.o.Status.SetPhase("verify", in.Size)
	src, err := stages.OpenArchive(ctx, in, stages.ArchiveOptions{TempDir: v.temp(), FS: v.o.fs, MaxWindow: v.o.MaxWindow, Lenient: true})
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return src, nil
}

// temp is where stages spill.
func (v *verify) temp() string {
	if v.o.TempDir != "" {
		return v.o.TempDir
	}
	return os.TempDir()
}

// manifest checks what the manifest says, and decides the mode.
func (x *verifyExport) manifest() {
	m, r := x.src.Manifest(), &x.report
	own := format.ArtifactMode(m.ArtifactMode)
	if own == "" {
		own = format.Operational
	}
	x.mode = own
	if _, err := format.ParseArtifactMode(m.ArtifactMode); err != nil && m.HasArtifactMode {
		x.note(fmt.Errorf("the manifest: %w", err))
		x.mode = format.Operational
	}
	if !m.HasBlockHeight {
		x.note(errors.New("the manifest has no block height"))
	}
	asked := x.o.ArtifactMode
	switch {
	case asked == "" || asked == AutoMode:
	case asked == format.None:
		x.mode = asked
	default:
		enough := *m // but for what was said already
		enough.HasBlockHeight, enough.Data, enough.ArtifactsLater = true, format.ExportDataFile, true
		if _, err := format.ImportMode(asked, &enough); err != nil {
			x.note(err)
		} else {
			x.mode = asked
		}
	}
	r.BlockHeight, r.ArtifactMode, r.ExportData = m.BlockHeight, string(x.mode), m.Data != ""
	x.o.Log.Info("verifying the export", "height", string(format.AppendNumber(nil, m.BlockHeight)), "mode", x.mode)
}

// stages is the whole reading; see importer.stages.
func (x *verifyExport) stages(ctx context.Context) error {
	v, r, n := x.verify, newRun(ctx, x.verify.o.Status), x.o.Workers
	x.head = stages.NewExportData(n, stages.AllLines)
	x.head.Defect, x.head.MaxItem = v.defect, v.o.MaxItem
	x.tail = x.head.Then(stages.KVLines)
	x.full().Genesis = v.o.genesis()
	x.meta = stages.NewInspection(v.note)
	x.parts = stages.NewArtifacts(stages.UnpackOptions{
		Workers: n, Mode: format.Debug, TempDir: v.temp(), FS: v.o.fs, MaxItem: v.o.MaxItem,
		Progress: x.progress(), Warn: v.warn, Discard: true, Defect: x.artifactDefect,
	}, x.meta)
	insert := &stages.Insert{
		Sink: nowhere{x}, Meta: x.meta, Progress: x.progress(),
		Artifact: func() { v.o.Status.AddArtifacts(1) },
		Known:    func() error { close(x.known); return nil },
	}

	of := format.ExportDataFile
	if v.report.Kind == KindArchive {
		of = "" // the error says where in the archive it is
	}
	r.stage("read export data", v.survive(of, x.readHead, func() { x.partOfData.Store(true) }), x.head)
	r.workers("export data", n, x.head.Parse)
	r.stage("read artifacts", x.readArtifacts, x.parts)
	r.workers("artifacts", n, x.parts.Unpack)
	r.stage("read the rest", v.survive("", x.readTail, nil), x.tail)
	r.workers("export data", n, x.tail.Parse)
	r.stage("compare", func(ctx context.Context) error {
		err := insert.Run(ctx, x.head.Queue, x.parts.Queue, x.tail.Queue)
		if err == nil || ctx.Err() != nil {
			return err
		}
		return v.defect(err) // all was taken: the number of lines is what can be wrong by now
	})
	err := r.wait()
	v.report.KVRows = int64(insert.KVRows)
	return err
}

// progress counts what is read of a directory; of an archive the bytes of the file count.
func (x *verifyExport) progress() func(int64) {
	if x.report.Kind == KindArchive {
		return func(int64) {}
	}
	return x.o.Status.AddBytes
}

func (x *verifyExport) phase(name string, bytes int64) {
	if x.report.Kind != KindArchive {
		x.o.Status.SetPhase(name, bytes)
	}
}

func (x *verifyExport) readHead(ctx context.Context) error {
	r, size, err := x.src.Head(ctx)
	if err != nil {
		return err
	}
	x.phase("export data", size)
	if x.report.Kind == KindArchive {
		return errors.Join(x.head.Read(ctx, r), r.Close())
	}
	late := &stages.LateReader{R: r}
	return errors.Join(x.head.Read(ctx, late), r.Close(), late.Err)
}

// readArtifacts reads all artifacts; where that ends early, what was passed on before is still checked.
func (x *verifyExport) readArtifacts(ctx context.Context) error {
	if err := waitFor(ctx, x.known); err != nil {
		return err
	}
	if x.report.Kind == KindArchive && x.partOfData.Load() {
		x.partial.Store(true) // there is nothing to read on from
		close(x.read)
		return nil
	}
	begin := func(n int, bytes int64) {
		x.phase("artifacts", bytes)
		x.o.Status.SetArtifacts(int64(n))
	}
	err := x.src.Artifacts(ctx, x.wanted, begin, x.parts.Dispatch)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		x.partial.Store(true)
		x.ended(err)
	}
	close(x.read)
	return nil
}

// artifactDefect reports what is wrong with an artifact. That an archive cannot be read on, whoever reads it says.
func (x *verifyExport) artifactDefect(err error) error {
	if errors.As(err, new(*stages.StreamError)) {
		return nil
	}
	return x.defect(err)
}

// wanted reports artifacts that no record is about; all others are wanted.
func (x *verifyExport) wanted(name string) (bool, error) {
	ok, err := x.parts.Wanted(name)
	if err != nil && !x.partOfData.Load() {
		x.note(&ArtifactError{Name: name, Err: err})
		x.parts.Present(name)
	}
	return ok && err == nil, nil
}

func (x *verifyExport) readTail(ctx context.Context) error {
	if err := waitFor(ctx, x.read); err != nil || x.partial.Load() {
		return err
	}
	r, _, err := x.src.Tail(ctx)
	if err != nil {
		return err
	}
	if r != nil {
		late := &stages.LateReader{R: r}
		if err := errors.Join(x.tail.Read(ctx, late), r.Close(), late.Err); err != nil {
			return err
		}
	}
	err = x.src.Finish(ctx)
	if errors.As(err, &x.index) {
		return nil
	}
	return err
}

// atIndex reports what the index of an archive says of a file, unless the same was said of the artifact in it.
func (x *verifyExport) atIndex() {
	if x.index != nil && !x.isNamed(strings.TrimSuffix(x.index.Name, ".gz")) {
		x.note(x.index)
	}
}

// complete checks that the artifacts of the mode are there. Nothing follows where something could not be read to its end.
func (x *verifyExport) complete() {
	if x.partOfData.Load() || x.partial.Load() || x.mode == format.None {
		return
	}
	x.meta.Missing(x.mode, x.note)
	var lacks *IncompleteError
	if x.report.DefectCount > 0 || !errors.As(x.meta.Complete(x.mode), &lacks) {
		return
	}
	for _, text := range lacks.Lacks {
		x.note(errors.New(text))
	}
}

func (x *verifyExport) leftOver() error {
	if d, ok := x.src.(*stages.Dir); ok {
		return d.LeftOver(x.note)
	}
	return nil
}

func (x *verifyExport) count() {
	r := &x.report
	r.Snapshots, r.Spans, r.Bundles, r.Items, r.Bytes = x.parts.Counts()
	data := x.head
	if x.tail.SHA256() != nil {
		data = x.tail
	}
	r.Bytes += data.Bytes()
}

// full is the export data as a whole.
func (x *verifyExport) full() *stages.ExportData {
	if x.src.Manifest().ArtifactsLater {
		return x.tail
	}
	return x.head
}

func (x *verifyExport) dataHashes() dataHashes {
	if x.src.Manifest().Data == "" {
		return dataHashes{err: ErrNoExportData}
	}
	return hashesOf(x.full())
}

// nowhere is the store of a verification.
type nowhere struct{ x *verifyExport }

func (nowhere) KV([]stages.KV) error          { return nil }
func (nowhere) Items(*stages.SpanItems) error { return nil }
func (nowhere) Finish(float64) error          { return nil }

func (nowhere) Snapshot(context.Context, *stages.PackedSnapshot) error { return nil }
func (nowhere) Bundle(*stages.CheckedBundle) error                     { return nil }

// Metadata compares the records, which are all there now.
func (n nowhere) Metadata(_ context.Context, m *stages.Metadata) error {
	if !n.x.partOfData.Load() {
		m.Inspect(n.x.note, n.x.warn)
	}
	return nil
}
