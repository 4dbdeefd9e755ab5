package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"swingport/format"
	"swingport/stages"
)

// ListOptions says what to list.
type ListOptions struct {
	Path  string    // an export directory, an archive, or "-", which is an archive from Stdin
	Stdin io.Reader // what Path "-" is read from

	Each func(ListEntry) error // is called for each file, in the order of the archive or the manifest; may be nil

	MaxWindow int64   // as for an import
	TempDir   string  // where the stream of an archive that another program made spills; "" means the system's
	Status    *Status // counters for whoever polls; may be nil

	fs *stages.FS // for tests of faults, and to count reads
}

// ListEntry is one file of an export.
type ListEntry struct {
	Name   string   `json:"name"` // of the artifact, or the file
	Kind   ListKind `json:"kind"`
	Packed bool     `json:"packed,omitempty"` // a heap as the store holds it: the file's name ends in .gz
	Bytes  int64    `json:"bytes"`            // of the file
	SHA256 string   `json:"sha256,omitempty"` // of the file, in hexadecimal; known from the index of an archive
}

// ListKind is what a file of an export is.
type ListKind string

// The kinds of files.
const (
	ListSnapshot   ListKind = "snapshot"
	ListSpan       ListKind = "span"
	ListBundle     ListKind = "bundle"
	ListExportData ListKind = "export data"
	ListManifest   ListKind = "manifest"
)

// ListCount is how many files of a kind there are.
type ListCount struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
}

// Listing says what is in an export. Its JSON form is what the command line prints for --json.
type Listing struct {
	Kind         Kind    `json:"kind"` // KindExportDir or KindArchive
	BlockHeight  float64 `json:"blockHeight"`
	ArtifactMode string  `json:"artifactMode"` // "" where the manifest does not say
	ExportData   bool    `json:"exportData"`   // without, it cannot be imported

	Snapshots format.SnapshotForm `json:"snapshots"` // gzip if any is packed
	Kinds     ListKinds           `json:"kinds"`
	Bytes     int64               `json:"bytes"` // artifacts and export data, as they are in their files

	CompressedBytes int64 `json:"compressedBytes,omitempty"` // of the archive
	Seekable        bool  `json:"seekable,omitempty"`        // an archive of which Extract reads only what it needs
}

// ListKinds counts the files of each kind.
type ListKinds struct {
	Snapshots  ListCount `json:"snapshots"`
	Spans      ListCount `json:"spans"`
	Bundles    ListCount `json:"bundles"`
	ExportData ListCount `json:"exportData"`
}

// List says what is in an export directory or an archive. Of a directory only the manifest is read, and of an archive in a file with an index and,
// if it is compressed, a seek table, only the index; any other archive is read from front to back, to its end. Contents are not verified, but
// for the line in which an archive says what it is: Verify does that.
//
// Errors are ErrKind for what is neither, and what the format package and the system say.
func List(ctx context.Context, o ListOptions) (Listing, error) {
	kind, err := Detect(o.Path)
	if err != nil {
		return Listing{}, err
	}
	if err := checkTempDir(o.TempDir); err != nil {
		return Listing{}, err
	}
	x := &lister{o: &o, l: Listing{Kind: kind, Snapshots: format.RawSnapshots}}
	switch kind {
	case KindExportDir:
		err = x.dir(ctx)
	case KindArchive:
		err = x.archive(ctx)
	default:
		err = &kindError{fmt.Sprintf("%s is a %s: list takes an export directory or an archive", o.Path, kind)}
	}
	return x.l, err
}

// lister is one run of List.
type lister struct {
	o *ListOptions
	l Listing
}

// add counts a file and passes it on.
func (x *lister) add(e ListEntry) error {
	l := &x.l
	var c *ListCount
	switch e.Kind {
	case ListSnapshot:
		c = &l.Kinds.Snapshots
	case ListSpan:
		c = &l.Kinds.Spans
	case ListBundle:
		c = &l.Kinds.Bundles
	case ListExportData:
		c = &l.Kinds.ExportData
	}
	if c != nil {
		c.Count++
		c.Bytes += e.Bytes
		l.Bytes += e.Bytes
	}
	if e.Packed {
		l.Snapshots = format.GzipSnapshots
	}
	x.o.Status.AddArtifacts(1)
	if x.o.Each == nil {
		return nil
	}
	return x.o.Each(e)
}

// artifact is the entry of an artifact.
func listedArtifact(name string, packed bool, bytes int64) (ListEntry, error) {
	n, err := format.ParseName(name)
	if err != nil {
		return ListEntry{}, &ArtifactError{Name: name, Err: err}
	}
	kinds := map[format.Kind]ListKind{format.KindSnapshot: ListSnapshot, format.KindTranscript: ListSpan, format.KindBundle: ListBundle}
	return ListEntry{Name: name, Kind: kinds[n.Kind], Packed: packed, Bytes: bytes}, nil
}

// says notes what a manifest says.
func (x *lister) says(m *format.Manifest) {
	x.l.BlockHeight, x.l.ArtifactMode, x.l.ExportData = m.BlockHeight, m.ArtifactMode, m.Data != ""
}

// dir looks at the sizes of the files, and opens none of them but the manifest.
func (x *lister) dir(ctx context.Context) (err error) {
	d, err := stages.OpenDir(x.o.Path, x.o.fs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	x.says(d.Manifest())
	begin := func(count int, _ int64) { x.o.Status.SetArtifacts(int64(count)) }
	err = d.Artifacts(ctx, func(string) (bool, error) { return true, nil }, begin, func(ctx context.Context, in stages.Incoming) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e, err := listedArtifact(in.Name, in.Gzip, in.Size)
		if err != nil {
			return err
		}
		return x.add(e)
	})
	if err == nil && x.l.ExportData {
		err = x.file(d.Manifest().Data, ListExportData)
	}
	if err != nil {
		return err
	}
	return x.file(format.ManifestFile, ListManifest)
}

// file adds a file of the directory that is no artifact.
func (x *lister) file(name string, kind ListKind) error {
	info, err := os.Stat(filepath.Join(x.o.Path, name))
	if err != nil {
		return err
	}
	return x.add(ListEntry{Name: name, Kind: kind, Bytes: info.Size()})
}

func (x *lister) archive(ctx context.Context) (err error) {
	a, err := openSeekable(x.o.Path, x.o.fs)
	if errors.Is(err, stages.ErrNotSeekable) {
		return x.stream(ctx)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	h := a.Header()
	x.l.BlockHeight, x.l.ArtifactMode, x.l.ExportData, x.l.Snapshots = h.BlockHeight, string(h.ArtifactMode), h.ExportData, h.Snapshots
	x.l.CompressedBytes, x.l.Seekable = a.Size(), true
	x.o.Status.SetPhase("list", 0)
	x.o.Status.SetArtifacts(int64(a.Index().Len()))
	if err := a.Index().Verify(); err != nil {
		return err
	}
	return a.Index().Each(func(e format.ArchiveEntry) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.Name == format.ArchiveHeaderFile { // what the archive says of itself
			return checkEntry(ctx, a, e)
		}
		return x.entry(e)
	})
}

// checkEntry reads a file of an archive, which compares it with the index.
func checkEntry(ctx context.Context, a *stages.ArchiveFile, e format.ArchiveEntry) error {
	r, err := a.Open(e)
	if err != nil {
		return err
	}
	return errors.Join(stages.Copy(ctx, io.Discard, r, nil), r.Close())
}

// entry is a file of an archive of ours.
func (x *lister) entry(e format.ArchiveEntry) error {
	listed := ListEntry{Name: e.Name, Bytes: e.Size}
	switch e.Name {
	case format.ExportDataFile:
		listed.Kind = ListExportData
	case format.ManifestFile:
		listed.Kind = ListManifest
	default:
		name, packed := e.Name, false
		if x.l.Snapshots == format.GzipSnapshots && strings.HasPrefix(name, "snapshot.") {
			name, packed = strings.CutSuffix(name, ".gz")
		}
		var err error
		if listed, err = listedArtifact(name, packed, e.Size); err != nil {
			return err
		}
	}
	listed.SHA256 = fmt.Sprintf("%x", e.SHA256)
	return x.add(listed)
}

// stream reads an archive from front to back.
func (x *lister) stream(ctx context.Context) (err error) {
	var bytes, manifest counter
	o := stages.ArchiveOptions{TempDir: x.o.TempDir, FS: x.o.fs, MaxWindow: x.o.MaxWindow, Manifest: &manifest}
	src, err := openArchiveStream(ctx, x.o.Path, x.o.Stdin, x.o.Status, "list", o, bytes.add)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	m := src.Manifest()
	x.says(m)
	var data counter
	read := func(whole bool) func(context.Context, io.Reader) error {
		return func(ctx context.Context, r io.Reader) error {
			if r == nil {
				return nil
			}
			to := io.Discard
			if whole {
				to = &data
			}
			return stages.Copy(ctx, to, r, nil)
		}
	}
	err = readThrough(ctx, src, read(!m.ArtifactsLater), read(m.ArtifactsLater), func(string) (bool, error) { return true, nil },
		func(ctx context.Context, in stages.Incoming, r io.Reader) error {
			e, err := listedArtifact(in.Name, in.Gzip, in.Size)
			if err == nil {
				err = stages.Copy(ctx, io.Discard, r, nil)
			}
			if err != nil {
				return err
			}
			return x.add(e)
		})
	if err != nil {
		return err
	}
	x.l.CompressedBytes = bytes.Load()
	if x.l.ExportData {
		if err := x.add(ListEntry{Name: format.ExportDataFile, Kind: ListExportData, Bytes: data.Load()}); err != nil {
			return err
		}
	}
	return x.add(ListEntry{Name: format.ManifestFile, Kind: ListManifest, Bytes: manifest.Load()})
}

// counter counts the bytes that are written to it.
type counter struct{ atomic.Int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.Add(int64(len(p)))
	return len(p), nil
}

func (c *counter) add(n int64) { c.Add(n) }
