package hostile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"swingport/format"
	"swingport/pipeline"
)

// A command reads one kind of input. Its result is a text by which two results can be compared; what it finds wrong is an error.
type command struct {
	name  string
	kinds []pipeline.Kind
	run   func(ctx context.Context, b *bench) (result string, err error)

	// What a result that is not that of the undamaged input may be, where the input is a store, and has values without a hash.
	other verdict
	makes string // where files come to be, below the folder of the bench, or intoInput
}

// intoInput is for the command that changes its input.
const intoInput = "the input"

// A verdict is what to think of another result.
type verdict int

const (
	isWrong  verdict = iota
	asEngine         // right if it is what the engine reads of the damaged store
	isRight
)

var (
	anyKind = []pipeline.Kind{pipeline.KindExportDir, pipeline.KindArchive, pipeline.KindStateDir}
	exports = []pipeline.Kind{pipeline.KindExportDir, pipeline.KindArchive}
	archive = []pipeline.Kind{pipeline.KindArchive}
	store   = []pipeline.Kind{pipeline.KindStateDir}
)

var commands = []command{
	{name: "import", kinds: exports, run: runImport, makes: "to/swingstore.sqlite"},
	{name: "repair", kinds: exports, run: runRepair, makes: "to/swingstore.sqlite"},
	{name: "verify", kinds: anyKind, run: runVerify, other: isRight},
	{name: "verify -", kinds: archive, run: runVerifyPipe},
	{name: "list", kinds: exports, run: runList},
	{name: "list -", kinds: archive, run: runListPipe},
	{name: "extract", kinds: archive, run: runExtract, makes: "new/"},
	{name: "extract NAME", kinds: archive, run: runExtractName},
	{name: "diff", kinds: anyKind, run: runDiff, makes: "to/swingstore.sqlite"},
	{name: "export", kinds: store, run: runExport, other: asEngine, makes: "new/"},
	{name: "export --output", kinds: store, run: runExportArchive, other: asEngine},
	{name: "copy", kinds: store, run: runCopy, other: asEngine, makes: "to/swingstore.sqlite"},
	{name: "import over it", kinds: store, run: runImportOver, makes: intoInput},
	{name: "verify --deep", kinds: store, run: runVerifyDeep, other: isRight},
	{name: "height", kinds: store, run: runHeight, other: isRight},
	{name: "get", kinds: store, run: runGet, other: isRight},
}

func commandNamed(name string) (command, error) {
	for _, c := range commands {
		if c.name == name {
			return c, nil
		}
	}
	return command{}, fmt.Errorf("no command %q", name)
}

// A bench is where a command works: the folder has the damaged input, the folder to with a state directory and its old store, and temp.
type bench struct {
	in     input
	dir    string
	inputs string // the undamaged ones
}

// What is below a bench's folder.
func (b *bench) path() string { return filepath.Join(b.dir, b.in.path) }
func (b *bench) to() string   { return filepath.Join(b.dir, "to") }
func (b *bench) temp() string { return filepath.Join(b.dir, "temp") }
func (b *bench) new() string  { return filepath.Join(b.dir, "new") }

// workers is how many each stage gets: enough for all that goroutines can do to each other.
const workers = 2

func (b *bench) importOptions() pipeline.ImportOptions {
	o := pipeline.ImportOptions{StateDir: b.to(), TempDir: b.temp(), Workers: workers}
	if b.in.kind == pipeline.KindExportDir {
		o.ExportDir = b.path()
	} else {
		o.Archive = b.path()
	}
	return o
}

func runImport(ctx context.Context, b *bench) (string, error) {
	if _, err := pipeline.Import(ctx, b.importOptions()); err != nil {
		return "", err
	}
	return exported(ctx, b.to(), pipeline.ReaderSweep)
}

// runRepair repairs a store that lacks nothing.
func runRepair(ctx context.Context, b *bench) (string, error) {
	o, at := b.importOptions(), float64(height)
	o.ExportDataMode, o.ArtifactMode, o.CheckBlockHeight = format.RepairMetadata, format.None, &at
	if _, err := pipeline.Import(ctx, o); err != nil {
		return "", err
	}
	return exported(ctx, b.to(), pipeline.ReaderSweep)
}

// exported is the digest of the export of a store.
func exported(ctx context.Context, stateDir, reader string) (string, error) {
	h := sha256.New()
	_, err := pipeline.Export(ctx, pipeline.ExportOptions{StateDir: stateDir, Archive: "-", Format: "tar", Stdout: h, ArtifactMode: format.Archival, Reader: reader, Workers: workers})
	return hex.EncodeToString(h.Sum(nil)), err
}

// verified is a report without its times; defects are an error.
func verified(ctx context.Context, o pipeline.VerifyOptions) (string, error) {
	var defects []error
	o.Workers = workers
	o.Defect = func(d pipeline.Defect) { defects = append(defects, errors.New(d.String())) }
	report, err := pipeline.Verify(ctx, o)
	if err == nil && report.DefectCount != len(defects) {
		err = fmt.Errorf("verify counts %d defects and tells of %d", report.DefectCount, len(defects))
	}
	report.Seconds, report.MBPerSecond = 0, 0
	return jsonText(report), errors.Join(append(defects, err)...)
}

func (b *bench) verifyOptions() pipeline.VerifyOptions {
	o := pipeline.VerifyOptions{TempDir: b.temp()}
	switch b.in.kind {
	case pipeline.KindExportDir:
		o.ExportDir = b.path()
	case pipeline.KindStateDir:
		o.StateDir = b.path()
	default:
		o.Archive = b.path()
	}
	return o
}

func runVerify(ctx context.Context, b *bench) (string, error) {
	return verified(ctx, b.verifyOptions())
}

func runVerifyDeep(ctx context.Context, b *bench) (string, error) {
	o := b.verifyOptions()
	o.Deep = true
	return verified(ctx, o)
}

func runVerifyPipe(ctx context.Context, b *bench) (result string, err error) {
	return result, b.piped(func(r io.Reader) (err error) {
		result, err = verified(ctx, pipeline.VerifyOptions{Archive: "-", Stdin: r, TempDir: b.temp()})
		return err
	})
}

// piped opens the input as what cannot be read twice.
func (b *bench) piped(f func(io.Reader) error) error {
	r, err := os.Open(b.path())
	if err != nil {
		return err
	}
	return errors.Join(f(struct{ io.Reader }{r}), r.Close())
}

// listed is a listing as a text. known are the sums in the index of the undamaged archive, for one that is not read by its index.
func listed(ctx context.Context, o pipeline.ListOptions, known map[string]string) (string, error) {
	var entries []pipeline.ListEntry
	o.Each = func(e pipeline.ListEntry) error { entries = append(entries, e); return nil }
	listing, err := pipeline.List(ctx, o)
	for i, e := range entries {
		if !listing.Seekable {
			entries[i].SHA256 = known[e.Name]
		}
	}
	listing.Seekable, listing.CompressedBytes = false, 0 // how it is read, and what is cut off, is no content
	if listing.Kind == pipeline.KindExportDir {          // it lists the files as they are
		listing.Kinds, listing.Bytes = pipeline.ListKinds{}, 0
		for i := range entries {
			entries[i].Bytes = 0
		}
	}
	return jsonText(listing, entries), err
}

func runList(ctx context.Context, b *bench) (string, error) {
	known := map[string]string{}
	_, err := pipeline.List(ctx, pipeline.ListOptions{Path: filepath.Join(b.inputs, b.in.path), Each: func(e pipeline.ListEntry) error {
		known[e.Name] = e.SHA256
		return nil
	}})
	if err != nil {
		return "", err
	}
	return listed(ctx, pipeline.ListOptions{Path: b.path(), TempDir: b.temp()}, known)
}

func runListPipe(ctx context.Context, b *bench) (result string, err error) {
	return result, b.piped(func(r io.Reader) (err error) {
		result, err = listed(ctx, pipeline.ListOptions{Path: "-", Stdin: r, TempDir: b.temp()}, nil)
		return err
	})
}

func runExtract(ctx context.Context, b *bench) (string, error) {
	if _, err := pipeline.Extract(ctx, pipeline.ExtractOptions{Path: b.path(), To: b.new(), TempDir: b.temp()}); err != nil {
		return "", err
	}
	return digest(b.new())
}

func runExtractName(ctx context.Context, b *bench) (string, error) {
	var out bytes.Buffer
	for _, name := range []string{string(format.AppendSpanName(nil, vat, 0, spanFrom)), string(format.AppendSnapshotName(nil, vat, snapPos)), format.ExportDataFile} {
		if _, err := pipeline.Extract(ctx, pipeline.ExtractOptions{Path: b.path(), Names: []string{name}, Stdout: &out, TempDir: b.temp()}); err != nil {
			return "", err
		}
	}
	return out.String(), nil
}

// runDiff compares with the undamaged store of the same content. That nothing differs, the content has to confirm.
func runDiff(ctx context.Context, b *bench) (string, error) {
	good := filepath.Join(b.inputs, "store")
	if b.in.kind == pipeline.KindStateDir {
		good = filepath.Join(b.inputs, b.in.path)
	}
	report, err := pipeline.Diff(ctx, pipeline.DiffOptions{A: b.path(), B: good, KindA: b.in.kind, KindB: pipeline.KindStateDir, TempDir: b.temp(), Workers: workers})
	if err != nil {
		return "", err
	}
	if report.Differences > 0 {
		return "", fmt.Errorf("%d differences", report.Differences)
	}
	if b.in.kind == pipeline.KindStateDir {
		return exported(ctx, b.path(), pipeline.ReaderEngine)
	}
	return runImport(ctx, b)
}

// runExport exports to a directory, and packs that as an archive would be.
func runExport(ctx context.Context, b *bench) (string, error) {
	o := pipeline.ExportOptions{StateDir: b.path(), ExportDir: b.new(), ArtifactMode: format.Archival, ExportDataMode: format.All, TempDir: b.temp(), Workers: workers}
	sum, err := pipeline.Export(ctx, o)
	if err != nil {
		return "", err
	}
	to := pipeline.ImportOptions{ExportDir: b.new(), StateDir: filepath.Join(b.temp(), "of export"), NoCheck: true, Workers: workers}
	defer os.RemoveAll(to.StateDir) //nolint:errcheck // what is left is seen
	switch _, err := pipeline.Import(ctx, to); {
	case err != nil && slices.ContainsFunc(sum.Warnings, func(w string) bool { return strings.Contains(w, "no import takes") }):
		return exported(ctx, b.path(), pipeline.ReaderSweep) // as it said
	case err != nil:
		return "", fmt.Errorf("the export cannot be imported: %w", err)
	}
	return exported(ctx, to.StateDir, pipeline.ReaderSweep)
}

func runExportArchive(ctx context.Context, b *bench) (string, error) {
	return exported(ctx, b.path(), pipeline.ReaderSweep)
}

func runCopy(ctx context.Context, b *bench) (string, error) {
	o := pipeline.CopyOptions{StateDir: b.path(), ToStateDir: b.to(), ArtifactMode: format.Archival, TempDir: b.temp(), Workers: workers}
	if _, err := pipeline.Copy(ctx, o); err != nil {
		return "", err
	}
	return exported(ctx, b.to(), pipeline.ReaderSweep)
}

// runImportOver replaces the damaged store by a good export: a restore is not kept from what it is for.
func runImportOver(ctx context.Context, b *bench) (string, error) {
	o := pipeline.ImportOptions{ExportDir: filepath.Join(b.inputs, "directory"), StateDir: b.path(), TempDir: b.temp(), Workers: workers}
	if _, err := pipeline.Import(ctx, o); err != nil {
		return "", err
	}
	return exported(ctx, b.path(), pipeline.ReaderSweep)
}

func runHeight(ctx context.Context, b *bench) (string, error) {
	at, err := pipeline.Height(ctx, b.path())
	return string(format.AppendNumber(nil, at)), err
}

func runGet(ctx context.Context, b *bench) (string, error) {
	value, ok, err := pipeline.Get(ctx, b.path(), someKey)
	return fmt.Sprintf("%q %v", value, ok), err
}

func jsonText(values ...any) string {
	text, err := json.Marshal(values)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// digest is a text for all files below a path, with their names.
func digest(path string) (string, error) {
	all, err := files(path)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%q %x\n", name, sha256.Sum256(all[name]))
	}
	return b.String(), nil
}
