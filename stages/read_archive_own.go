package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"swingport/format"
)

// ownArchive is an archive of ours, read once from front to back. Every byte of it is checked: headers and padding follow from names and
// sizes, and what the entries hold is in the index, which is written again while they go by.
type ownArchive struct {
	in       *stream
	copy     io.Writer // of the manifest
	pool     contentPool
	header   format.ArchiveHeader
	manifest *format.Manifest
	mtime    int64
	index    *entryIndex

	entry   tarHeader // whose content was not read yet
	head    *entryReader
	headSum []byte // of the metadata lines
	headLen int64
	pending pending
	names   artifactNames
	buf     []byte // to read what nobody wants
}

func openOwnArchive(ctx context.Context, in *stream, o ArchiveOptions) (Source, error) {
	a := &ownArchive{in: in, copy: o.Manifest, pool: newContentPool(o.chunks, o.chunk), index: newEntryIndex(), mtime: -1}
	if err := a.next(); err != nil {
		return nil, err
	}
	a.head = a.open(ctx)
	line, err := a.head.line(format.MaxArchiveHeader)
	if err != nil {
		return nil, err
	}
	if a.header, err = format.ParseArchiveHeader(line); err != nil {
		return nil, fmt.Errorf("%s: %w", format.ArchiveHeaderFile, err)
	}
	a.manifest = &format.Manifest{
		BlockHeight: a.header.BlockHeight, HasBlockHeight: a.header.HasBlockHeight,
		ArtifactMode: string(a.header.ArtifactMode), HasArtifactMode: true, ArtifactsLater: true,
	}
	if a.header.ExportData {
		a.manifest.Data = format.ExportDataFile
	}
	a.headLen = a.head.left
	a.head.second, a.head.secondFrom = sha256.New(), a.head.left
	return a, nil
}

// Manifest implements Source.
func (a *ownArchive) Manifest() *format.Manifest { return a.manifest }

// Close implements Source.
func (a *ownArchive) Close() error { return a.in.Close() }

// Head opens the metadata lines.
func (a *ownArchive) Head(ctx context.Context) (io.ReadCloser, int64, error) {
	a.head.ctx = ctx
	a.in.interruptOn(ctx)
	return a.head, a.headLen, nil
}

// Artifacts passes on the artifacts as they come.
func (a *ownArchive) Artifacts(ctx context.Context, wanted func(name string) (bool, error), begin func(count int, bytes int64), take func(context.Context, Incoming) error) error {
	a.in.interruptOn(ctx)
	if err := a.head.Close(); err != nil {
		return err
	}
	a.headSum = a.head.second.Sum(nil)
	begin(0, 0)
	last := format.KindSnapshot
	for {
		if err := a.next(); err != nil {
			return err
		}
		name, kind, ok := a.artifact(a.entry.name)
		if !ok {
			break
		}
		if orderOf(kind) < orderOf(last) {
			return errorf(format.ErrFormat, "%s is in the wrong place of the archive: snapshots come first, then bundles, then spans", quoted(a.entry.name))
		}
		last = kind
		a.names.add(kind, name, a.entry.name)
		ok, err := wanted(name)
		if err != nil {
			return &ArtifactError{Name: name, Err: err}
		}
		if !ok {
			err = a.skip(ctx)
		} else {
			err = a.pass(ctx, Incoming{Name: name, Gzip: a.entry.name != name, Size: a.entry.size}, take)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// artifact is the artifact in a file; ok is false where that is no artifact's.
func (a *ownArchive) artifact(file string) (name string, kind format.Kind, ok bool) {
	name = file
	if a.header.Snapshots == format.GzipSnapshots && strings.HasPrefix(file, "snapshot.") {
		if name, ok = strings.CutSuffix(file, ".gz"); !ok {
			return "", 0, false
		}
	}
	n, err := format.ParseName(name)
	return name, n.Kind, err == nil
}

// pass hands the entry to a worker.
func (a *ownArchive) pass(ctx context.Context, in Incoming, take func(context.Context, Incoming) error) error {
	c := a.pool.new(ctx, format.ArchiveEntry{Name: a.entry.name, Offset: a.in.pos, Size: a.entry.size})
	in.Open = c.open
	a.pending = append(a.pending, c)
	if err := take(ctx, in); err != nil {
		return err
	}
	if err := a.pool.feed(c, a.in); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return c.fail(a.in.explain(err))
	}
	if err := a.in.padding(a.entry.size); err != nil {
		return err
	}
	return a.pending.settle(ctx, false, a.index.add)
}

// skip reads an entry that nobody wants.
func (a *ownArchive) skip(ctx context.Context) error { return a.open(ctx).drain() }

// done puts an entry that was read into the index, behind those before it.
func (a *ownArchive) done(ctx context.Context, e format.ArchiveEntry) error {
	a.pending = append(a.pending, &content{entry: e, done: closed})
	return a.pending.settle(ctx, len(a.pending) > maxPending, a.index.add)
}

// Tail opens the export data. Its last lines have to be those that came before the artifacts.
func (a *ownArchive) Tail(ctx context.Context) (io.ReadCloser, int64, error) {
	if !a.header.ExportData {
		return nil, 0, nil
	}
	a.in.interruptOn(ctx)
	if err := a.expect(format.ExportDataFile); err != nil {
		return nil, 0, err
	}
	if a.entry.size < a.headLen {
		return nil, 0, errorf(format.ErrMismatch, "the export data in %s has %d bytes, its metadata before the artifacts has %d", format.ExportDataFile, a.entry.size, a.headLen)
	}
	r := a.open(ctx)
	r.second, r.secondFrom = sha256.New(), a.headLen
	r.check = func() error {
		if !bytes.Equal(r.second.Sum(nil), a.headSum) {
			return errorf(format.ErrMismatch, "the export data in %s ends with other metadata than came before the artifacts", format.ExportDataFile)
		}
		return a.next()
	}
	return r, a.entry.size, nil
}

// Finish checks manifest and index, and that nothing follows.
func (a *ownArchive) Finish(ctx context.Context) error {
	a.in.interruptOn(ctx)
	if err := a.expect(format.ManifestFile); err != nil {
		return err
	}
	if err := a.checkManifest(ctx); err != nil {
		return err
	}
	if err := a.next(); err != nil {
		return err
	}
	if err := a.expect(format.ArchiveIndexFile); err != nil {
		return err
	}
	if err := a.checkIndex(ctx); err != nil {
		return err
	}
	return a.checkEnd(ctx)
}

func (a *ownArchive) expect(name string) error {
	if a.entry.name != name {
		return errorf(format.ErrFormat, "the archive has %s where %s belongs", quoted(a.entry.name), name)
	}
	return nil
}

// checkManifest compares the manifest with the header line and with the artifacts that came.
func (a *ownArchive) checkManifest(ctx context.Context) error {
	r := a.open(ctx)
	m, err := format.ReadManifestFunc(io.TeeReader(r, a.copy), func(x format.Artifact) error {
		n, err := format.ParseName(x.Name)
		if err != nil {
			return err
		}
		return a.names.listed(n.Kind, x.Name, x.File)
	})
	if r.err != nil && r.err != io.EOF {
		return r.err
	}
	if err != nil {
		return manifestError(err)
	}
	if err := r.drain(); err != nil {
		return err
	}
	want := a.manifest
	switch {
	case m.HasBlockHeight != want.HasBlockHeight || m.BlockHeight != want.BlockHeight:
		return headerMismatch("block height", string(format.AppendNumber(nil, m.BlockHeight)), string(format.AppendNumber(nil, want.BlockHeight)))
	case !m.HasArtifactMode || m.ArtifactMode != want.ArtifactMode:
		return headerMismatch("artifact mode", m.ArtifactMode, want.ArtifactMode)
	case m.Data != want.Data:
		return headerMismatch("export data", quoted(m.Data), quoted(want.Data))
	}
	return a.names.complete()
}

// manifestError names the file.
func manifestError(err error) error {
	if strings.Contains(err.Error(), format.ManifestFile) {
		return err
	}
	return fmt.Errorf("%s: %w", format.ManifestFile, err)
}

func headerMismatch(what string, manifest, header any) error {
	return errorf(format.ErrMismatch, "%s has the %s %v, the header of the archive %v", format.ManifestFile, what, manifest, header)
}

// checkIndex compares the index with the one that belongs to the entries.
func (a *ownArchive) checkIndex(ctx context.Context) error {
	if err := a.pending.settle(ctx, true, a.index.add); err != nil {
		return err
	}
	r := a.open(ctx)
	r.last = true
	return a.index.check(ctx, r)
}

// checkEnd checks that the tar ends here, and the stream.
func (a *ownArchive) checkEnd(ctx context.Context) error {
	var end [format.TarEnd]byte
	if err := a.in.full(end[:]); err != nil {
		return err
	}
	if end == [format.TarEnd]byte{} {
		return a.in.end(ctx, false)
	}
	if h, err := parseHeader(end[:format.TarBlock]); err == nil {
		return errorf(format.ErrFormat, "file %s is behind the index of the archive", quoted(h.name))
	}
	return errorf(format.ErrFormat, "the end of the tar is not behind the index of the archive")
}

// next reads the header of the next entry.
func (a *ownArchive) next() error {
	h, err := a.in.header()
	if err != nil {
		return err
	}
	if err := format.CheckArchiveName(h.name); err != nil {
		return fmt.Errorf("the header of a file behind %s in the archive: %w", quoted(a.in.name), err)
	}
	if !h.canonical || a.mtime >= 0 && h.mtime != a.mtime {
		return errorf(format.ErrFormat, "the header of %s is not as an archive of this format has it", quoted(h.name))
	}
	a.entry, a.mtime, a.in.name = h, h.mtime, h.name
	return nil
}

// open opens the entry for the one who reads the archive.
func (a *ownArchive) open(ctx context.Context) *entryReader {
	return &entryReader{ctx: ctx, a: a, offset: a.in.pos, left: a.entry.size, size: a.entry.size, sum: sha256.New()}
}
