package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"swingport/format"
	"swingport/stages"
)

// ExtractOptions says what to take out of which archive, and where to.
type ExtractOptions struct {
	Path  string    // the archive: a file or "-", which is Stdin
	Stdin io.Reader // what Path "-" is read from

	// Names are the files or artifacts to take: "transcript.v7.0.202", "bundle.b1-...", "export-data.jsonl", "export-manifest.json". Of an
	// archive with packed snapshots, "snapshot.v7.200" is the heap, unpacked, and "snapshot.v7.200.gz" what is stored. None, with To, means the
	// whole export directory.
	Names []string

	To     string    // the directory to put them into; made if it is missing
	Stdout io.Writer // what the one file is written to, where To is ""

	MaxWindow int64  // as for an import
	TempDir   string // where a stream spills; "" means To, or else the system's

	Status *Status // counters for whoever polls; may be nil

	fs *stages.FS // for tests of faults, and to count reads
}

// ExtractSummary says what was taken out. Its JSON form is what the command line prints for --json.
type ExtractSummary struct {
	Files   int     `json:"files"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"` // wall-clock time

	Warnings []string `json:"warnings,omitempty"` // what killed runs had left, and was removed
}

// Extract takes files out of an archive without importing it. Of an archive in a file with an index and, if it is compressed, a seek table,
// only what is needed is read. Any other, and any for the whole export, is read from front to back, to its end, with the checks of an import
// but those of records and what they say of contents.
//
// In an archive of ours every content is compared with its SHA-256; a heap that is unpacked also with the hash of its record. Files come into
// the directory To when all of them are right: all or none, over nothing that is there already. What goes to Stdout is written as it is read, so
// that it may be wrong, or only a part, when Extract returns an error.
//
// The whole export is a directory that import takes, here and, unless its snapshots are packed, in the reference; its manifest comes last.
//
// Errors are a *MissingError for a name that the archive does not have, an *ExistsError, an *ArtifactError, and what the format package and the
// system say.
func Extract(ctx context.Context, o ExtractOptions) (sum ExtractSummary, err error) {
	began := time.Now()
	names, err := o.check()
	if err != nil {
		return sum, err
	}
	x := &extraction{o: &o, names: names, asked: map[string]bool{}, sum: &sum, buf: make([]byte, stages.CopyBuffer)}
	for _, name := range names {
		x.asked[name] = true
	}
	err = x.run(ctx)
	if x.out != nil {
		err = errors.Join(err, x.out.abort())
	}
	sum.Seconds = time.Since(began).Seconds()
	return sum, err
}

func (x *extraction) run(ctx context.Context) (err error) {
	if x.names == nil {
		return x.fromStream(ctx)
	}
	a, err := openSeekable(x.o.Path, x.o.fs)
	if errors.Is(err, stages.ErrNotSeekable) {
		return x.fromStream(ctx)
	}
	if err != nil {
		return err
	}
	return errors.Join(x.fromFile(ctx, a), a.Close())
}

// check refuses what cannot be, and returns the names without those that come twice.
func (o *ExtractOptions) check() (names []string, err error) {
	seen := map[string]bool{}
	for _, name := range o.Names {
		if err := format.CheckArchiveName(name); err != nil {
			return nil, err
		}
		if name == format.ArchiveHeaderFile || name == format.ArchiveIndexFile {
			return nil, fmt.Errorf("%s is no part of the export", name)
		}
		if !seen[name] {
			seen[name], names = true, append(names, name)
		}
	}
	for _, name := range names {
		if seen[format.GzipSnapshots.File(name)] {
			return nil, fmt.Errorf("%s and %s are the same heap: ask for one of them", quoted(name), quoted(format.GzipSnapshots.File(name)))
		}
	}
	switch {
	case o.Path == "":
		return nil, errors.New("no archive to extract from")
	case o.To == "" && len(names) != 1:
		return nil, fmt.Errorf("%d files cannot go to standard output one behind the other: name a directory", len(names))
	case o.To == "" && o.Stdout == nil:
		return nil, errors.New("no directory and no standard output to extract to")
	}
	return names, checkTempDir(o.TempDir)
}

// openSeekable is OpenArchiveFile; "-" is never read at random.
func openSeekable(path string, fsys *stages.FS) (*stages.ArchiveFile, error) {
	if path == "-" {
		return nil, stages.ErrNotSeekable
	}
	return stages.OpenArchiveFile(path, fsys)
}

// MissingError says that an archive does not have a file.
type MissingError struct {
	Name string
	Near []string // names of the archive that are most like it; may be empty
}

func (e *MissingError) Error() string {
	text := "the archive has no " + quoted(e.Name)
	for i, name := range e.Near {
		text += []string{"; it has ", ", "}[min(i, 1)] + quoted(name)
	}
	return text
}

// Is makes a MissingError format.ErrIncomplete too.
func (e *MissingError) Is(target error) bool { return target == format.ErrIncomplete }

// extraction is one run of Extract.
type extraction struct {
	o     *ExtractOptions
	names []string        // nil: the whole export
	asked map[string]bool // the names
	sum   *ExtractSummary
	out   extractTo
	buf   []byte     // for copying artifacts
	mu    sync.Mutex // for sum

	progress func(bytes int64) // is told what was written; may be nil
}

func quoted(s string) string { return string(format.AppendString(nil, []byte(s))) }

// extractTo is where files go.
type extractTo interface {
	create(ctx context.Context, name string) (io.WriteCloser, error)
	commit(ctx context.Context) error
	abort() error // harmless after commit
	tempDir() string
}

// open opens what files go to, once it is known that they are there.
func (x *extraction) open(ctx context.Context) (err error) {
	if x.o.To != "" {
		d, err := stages.NewExtractDir(ctx, x.o.To, x.names, x.o.fs, x.noteLeft)
		if err == nil {
			x.out = extractDir{d}
		}
		return err
	}
	t, err := stages.OpenTarget(ctx, "-", x.o.Stdout, x.o.fs, x.noteLeft)
	if err == nil {
		x.out = extractStdout{t}
	}
	return err
}

func (x *extraction) noteLeft(text string) { x.sum.Warnings = append(x.sum.Warnings, text) }

// put writes one file and counts it.
func (x *extraction) put(ctx context.Context, name string, r io.Reader) error {
	w, err := x.out.create(ctx, name)
	if err != nil {
		return err
	}
	if err := stages.Copy(ctx, countingWriter{w, x}, r, x.buf); err != nil {
		return errors.Join(err, w.Close())
	}
	x.count(1, 0)
	x.o.Status.AddArtifacts(1)
	return w.Close()
}

func (x *extraction) count(files int, bytes int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.sum.Files, x.sum.Bytes = x.sum.Files+files, x.sum.Bytes+bytes
}

// heap unpacks a heap and passes it on.
func (x *extraction) heap(ctx context.Context, name string, packed io.Reader, hash string) error {
	if hash == "" {
		return &ArtifactError{Name: name, Err: fmt.Errorf("no metadata for snapshot %s: %w", name, format.ErrMismatch)}
	}
	if err := x.put(ctx, name, stages.NewHeapReader(packed, hash)); err != nil {
		return &ArtifactError{Name: name, Err: err}
	}
	return nil
}

// countingWriter counts what is written.
type countingWriter struct {
	w io.Writer
	x *extraction
}

func (w countingWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.x.count(0, int64(n))
	if w.x.progress != nil {
		w.x.progress(int64(n))
	}
	return n, err
}

type extractDir struct{ d *stages.ExtractDir }

func (e extractDir) create(_ context.Context, name string) (io.WriteCloser, error) {
	return e.d.Create(name)
}

func (e extractDir) commit(ctx context.Context) error { return e.d.Commit(ctx) }
func (e extractDir) abort() error                     { return e.d.Abort() }
func (e extractDir) tempDir() string                  { return e.d.TempDir() }

// extractStdout is standard output, where a pipe does not keep a cancelled run waiting.
type extractStdout struct{ t *stages.Target }

func (e extractStdout) create(ctx context.Context, _ string) (io.WriteCloser, error) {
	return targetWriter{ctx, e.t}, nil
}

func (e extractStdout) commit(context.Context) error { return nil }
func (e extractStdout) abort() error                 { return e.t.Abort() }
func (e extractStdout) tempDir() string              { return e.t.TempDir() }

type targetWriter struct {
	ctx context.Context
	t   *stages.Target
}

func (w targetWriter) Write(p []byte) (int, error) {
	if err := w.t.Write(w.ctx, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (targetWriter) Close() error { return nil }
