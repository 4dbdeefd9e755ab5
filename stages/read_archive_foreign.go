package stages

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"path"

	"swingport/format"
)

// foreignArchive is a tar that another program made of an export directory: the files in any order, with any names in front. What comes before
// manifest and export data are known is written to a temporary file; from then on it is read as ours are.
type foreignArchive struct {
	in   *stream
	tar  *tar.Reader
	o    ArchiveOptions
	pool contentPool

	spool   *File // of what came too early
	end     int64 // of the spool
	buf     []byte
	early   []spooledFile
	memory  int64 // of names, by nameCost
	base    string
	files   nameTable[int]  // the manifest's, and where they are in it
	seen    []bool          // by the manifest
	others  map[string]bool // files that the manifest does not name
	sums    [][sha256.Size]byte
	read    []bool // sums are known
	pending pending

	manifest *format.Manifest
	dataSum  []byte
	listed   *spooledFile // SHA256SUMS

	stored, padded int64 // where the last content ends, and its padding
}

func openForeignArchive(ctx context.Context, in *stream, o ArchiveOptions) (_ Source, err error) {
	a := &foreignArchive{in: in, o: o, pool: newContentPool(o.chunks, o.chunk), others: map[string]bool{}}
	a.tar = tar.NewReader(&paddingReader{a: a})
	defer func() {
		if err != nil {
			err = errors.Join(err, a.closeSpool())
		}
	}()
	if err := a.untilManifest(ctx); err != nil {
		return nil, err
	}
	if err := a.matchEarly(); err != nil {
		return nil, err
	}
	return a, nil
}

// Manifest implements Source.
func (a *foreignArchive) Manifest() *format.Manifest { return a.manifest }

// Close implements Source.
func (a *foreignArchive) Close() error { return errors.Join(a.in.Close(), a.closeSpool()) }

// Head opens the export data: in the spool or, where it has not come yet, when it comes.
func (a *foreignArchive) Head(ctx context.Context) (io.ReadCloser, int64, error) {
	a.in.interruptOn(ctx)
	if a.manifest.Data == "" {
		return nil, 0, format.ErrNoExportData
	}
	for i := range a.early {
		if f := &a.early[i]; f.name == a.manifest.Data {
			return a.hash(io.NewSectionReader(a.spool, f.off, f.size)), f.size, nil
		}
	}
	for {
		name, size, ok, err := a.next(ctx)
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			return nil, 0, errorf(format.ErrIncomplete, "file %s is in the manifest and not in the archive", quoted(a.manifest.Data))
		}
		f := spooledFile{name: name, size: size}
		if err := a.match(&f); err != nil {
			return nil, 0, err
		}
		if f.name == a.manifest.Data {
			return a.hash(a.content()), size, nil
		}
		if err := a.keep(ctx, f.name, size); err != nil {
			return nil, 0, err
		}
	}
}

// Artifacts passes on what is in the spool, and then what comes.
func (a *foreignArchive) Artifacts(ctx context.Context, wanted func(name string) (bool, error), begin func(count int, bytes int64), take func(context.Context, Incoming) error) error {
	a.in.interruptOn(ctx)
	want := make([]bool, a.manifest.Artifacts.Len())
	count := 0
	for i, x := range a.manifest.Artifacts.All() {
		ok, err := wanted(x.Name)
		if err != nil {
			return &ArtifactError{Name: x.Name, Err: err}
		}
		if want[i] = ok; ok {
			count++
		}
	}
	begin(count, 0)
	for _, f := range a.early {
		if i, ok := a.files.find(f.name); ok && want[i] {
			if err := a.passSpooled(ctx, i, f, take); err != nil {
				return err
			}
		} else if f.name == format.ChecksumsFile {
			a.listed = &f
		}
	}
	if err := a.passRest(ctx, want, take); err != nil {
		return err
	}
	return a.missing(ctx, want, take)
}

func (a *foreignArchive) incoming(i int, size int64) Incoming {
	x := a.manifest.Artifacts.At(i)
	return Incoming{Name: x.Name, Gzip: isGzip(x), Size: size}
}

// passRest reads to the end of the archive.
func (a *foreignArchive) passRest(ctx context.Context, want []bool, take func(context.Context, Incoming) error) error {
	for {
		name, size, ok, err := a.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		f := spooledFile{name: name, size: size}
		if err := a.match(&f); err != nil {
			return err
		}
		i, known := a.files.find(f.name)
		switch {
		case known && want[i]:
			err = a.pass(ctx, i, size, take)
		case f.name == format.ChecksumsFile:
			if err = a.keep(ctx, f.name, size); err == nil {
				a.listed = &a.early[len(a.early)-1]
			}
		default:
			_, err = io.Copy(io.Discard, &cancelled{ctx, a.content()})
		}
		if err != nil {
			return err
		}
	}
}

// pass hands the entry to a worker.
func (a *foreignArchive) pass(ctx context.Context, i int, size int64, take func(context.Context, Incoming) error) error {
	c := a.pool.new(ctx, format.ArchiveEntry{Name: a.manifest.Artifacts.At(i).File, Offset: int64(i), Size: size})
	in := a.incoming(i, size)
	in.Open = c.open
	a.pending = append(a.pending, c)
	if err := take(ctx, in); err != nil {
		return err
	}
	if err := a.pool.feed(c, a.tar); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return c.fail(a.explain(err))
	}
	return a.pending.settle(ctx, false, a.settled)
}

// settled takes the hash of an entry that was read; its offset is the artifact's number.
func (a *foreignArchive) settled(e format.ArchiveEntry) error {
	a.sums[e.Offset], a.read[e.Offset] = e.SHA256, true
	return nil
}

// missing refuses the archive, or passes on what is missing, for its error.
func (a *foreignArchive) missing(ctx context.Context, want []bool, take func(context.Context, Incoming) error) error {
	for i, x := range a.manifest.Artifacts.All() {
		if !want[i] || a.seen[i] {
			continue
		}
		err := errorf(format.ErrIncomplete, "file %s is in the manifest and not in the archive", quoted(x.File))
		if !a.o.Lenient {
			return &ArtifactError{Name: x.Name, Err: err}
		}
		in := a.incoming(i, 0)
		in.Open = func(context.Context) (io.ReadCloser, error) { return nil, err }
		if err := take(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

// Tail implements Source: the head is everything.
func (a *foreignArchive) Tail(context.Context) (io.ReadCloser, int64, error) { return nil, 0, nil }

// Finish compares what was read with SHA256SUMS, where there is one; that everything was there, Artifacts has seen.
func (a *foreignArchive) Finish(ctx context.Context) error {
	if err := a.pending.settle(ctx, true, a.settled); err != nil {
		return err
	}
	if a.listed == nil {
		return nil
	}
	listed := make([]bool, a.manifest.Artifacts.Len())
	err := readChecksums(io.NewSectionReader(a.spool, a.listed.off, a.listed.size), func(name string, sum [sha256.Size]byte) error {
		if i, ok := a.files.find(path.Clean(name)); ok {
			listed[i] = true
			if a.read[i] && a.sums[i] != sum {
				return wrongChecksum(name, a.sums[i][:], sum[:])
			}
		} else if name == a.manifest.Data && a.dataSum != nil && !bytes.Equal(a.dataSum, sum[:]) {
			return wrongChecksum(name, a.dataSum, sum[:])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, ok := range listed {
		if x := a.manifest.Artifacts.At(i); !ok {
			return &ArtifactError{Name: x.Name, Err: notListed(x.File)}
		}
	}
	return nil
}
