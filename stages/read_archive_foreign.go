package stages

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode/utf8"

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
	files   map[string]int  // the manifest's, and where they are in it
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

// spooledFile is a file in the spool.
type spooledFile struct {
	name string // clean
	off  int64
	size int64
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

func (a *foreignArchive) closeSpool() error {
	if a.spool == nil {
		return nil
	}
	f := a.spool
	a.spool = nil
	return f.Close()
}

// next is the next file; ok is false at the end. Directories are passed over, everything else is refused. The content of the file before has
// to be read.
func (a *foreignArchive) next(ctx context.Context) (name string, size int64, ok bool, err error) {
	for {
		if ctx.Err() != nil {
			return "", 0, false, context.Cause(ctx)
		}
		h, err := a.tar.Next()
		if errors.Is(err, tar.ErrInsecurePath) {
			err = nil // checked below
		}
		if err == io.EOF {
			return "", 0, false, a.checkEnd(ctx)
		}
		if err != nil {
			return "", 0, false, a.explain(err)
		}
		if name, err = cleanName(h.Name); err != nil {
			return "", 0, false, err
		}
		a.in.name, a.stored, a.padded = name, a.in.pos+h.Size, format.TarPadding(h.Size)
		switch {
		case h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader:
			a.stored, a.padded = a.in.pos, 0
			continue
		case isSparse(h):
			return "", 0, false, errorf(format.ErrFormat, "%s is a sparse file in the archive: pack it without --sparse", quoted(name))
		case h.Typeflag != tar.TypeReg:
			return "", 0, false, errorf(format.ErrFormat, "%s is %s in the archive, not a regular file", quoted(name), kindOfEntry(h.Typeflag))
		}
		return name, h.Size, true, nil
	}
}

// paddingReader is the archive, whose padding has to be zeros: a size that is too small would go unnoticed.
type paddingReader struct {
	a   *foreignArchive
	err error
}

func (r *paddingReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	from := r.a.in.pos
	n, err := r.a.in.Read(p)
	to := min(from+int64(n), r.a.stored+r.a.padded)
	for i := max(from, r.a.stored); i < to; i++ {
		if p[i-from] != 0 {
			r.err = errorf(format.ErrFormat, "%s is not padded with zeros in the archive", quoted(r.a.in.name))
			return 0, r.err
		}
	}
	return n, err
}

// cleanName is the name of an entry without "./"; absolute paths and those that climb are refused.
func cleanName(name string) (string, error) {
	switch {
	case len(name) > format.MaxName:
		return "", errorf(format.ErrLimit, "a name in the archive has more than %d bytes", format.MaxName)
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return "", errorf(format.ErrFormat, "invalid file name %s in the archive", quoted(name))
	case strings.HasPrefix(name, "/"):
		return "", errorf(format.ErrFormat, "file name %s in the archive is absolute", quoted(name))
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errorf(format.ErrFormat, "file name %s in the archive leads out of its directory", quoted(name))
		}
	}
	return path.Clean(name), nil
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

func kindOfEntry(flag byte) string {
	switch flag {
	case tar.TypeLink:
		return "a link to another file"
	case tar.TypeSymlink:
		return "a symbolic link"
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a pipe"
	}
	return fmt.Sprintf("of the unknown type %q", flag)
}

// explain tells what is no tar from what is cut off.
func (a *foreignArchive) explain(err error) error {
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) {
		if a.in.name == "" {
			return errorf(format.ErrFormat, "this is no archive: neither a tar nor one packed with zstd or gzip")
		}
		return errorf(format.ErrFormat, "there is no header of a file behind %s in the archive, at byte %d", quoted(a.in.name), a.in.pos)
	}
	return a.in.explain(err)
}

// checkEnd checks that the tar has its two blocks of zeros, without which it may have been cut off, and that no more than zeros follow.
func (a *foreignArchive) checkEnd(ctx context.Context) error {
	if a.in.pos != a.stored+a.padded+format.TarEnd {
		return a.in.explain(io.ErrUnexpectedEOF)
	}
	return a.in.end(ctx, true)
}

// untilManifest reads and keeps everything up to the manifest.
func (a *foreignArchive) untilManifest(ctx context.Context) error {
	for {
		name, size, ok, err := a.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			return errorf(format.ErrIncomplete, "the archive has no %s: it is none of an export", format.ManifestFile)
		}
		if path.Base(name) == format.ManifestFile {
			a.base = path.Dir(name)
			return a.readManifest()
		}
		if err := a.keep(ctx, name, size); err != nil {
			return err
		}
	}
}

func (a *foreignArchive) readManifest() (err error) {
	list := []format.Artifact(nil)
	a.manifest, err = format.ReadManifestFunc(io.TeeReader(bufio.NewReader(a.tar), a.o.Manifest), func(x format.Artifact) error {
		list = append(list, x)
		if x.File != x.Name {
			x.Name += x.File
		}
		return a.remember(x.Name)
	})
	if errors.Is(err, io.ErrUnexpectedEOF) && a.in.in.err.Load() == nil && a.in.pos < a.stored {
		return a.in.explain(io.ErrUnexpectedEOF)
	}
	if err != nil {
		return manifestError(err)
	}
	a.manifest.Artifacts = list
	a.files, a.seen, a.sums, a.read = make(map[string]int, len(list)), make([]bool, len(list)), make([][sha256.Size]byte, len(list)), make([]bool, len(list))
	names := make(map[recordKey]bool, len(list))
	for i, x := range list {
		key := makeRecordKey([]byte(x.Name))
		file := path.Clean(x.File)
		if _, twice := a.files[file]; twice || names[key] {
			return errorf(format.ErrDuplicate, "manifest: duplicate artifact %s or file %s", quoted(x.Name), quoted(x.File))
		}
		if file == a.manifest.Data || file == format.ManifestFile {
			return errorf(format.ErrFormat, "manifest: artifact %s is in file %s", quoted(x.Name), quoted(x.File))
		}
		a.files[file], names[key] = i, true
	}
	return nil
}

// remember counts the memory that a name takes.
func (a *foreignArchive) remember(name string) error {
	if a.memory += int64(len(name)) + nameCost; a.memory > maxNames {
		return errorf(format.ErrLimit, "the names in the archive take more than %d bytes of memory", int64(maxNames))
	}
	return nil
}

// keep writes a file to the spool.
func (a *foreignArchive) keep(ctx context.Context, name string, size int64) error {
	if err := a.remember(name); err != nil {
		return err
	}
	if a.spool == nil {
		f, err := a.o.FS.Temp(a.o.TempDir)
		if err != nil {
			return fmt.Errorf("temporary file for what comes before the manifest: %w", err)
		}
		a.spool = f
	}
	if a.buf == nil {
		a.buf = make([]byte, archiveChunk)
	}
	n, err := io.CopyBuffer(&spoolWriter{ctx, a.spool}, struct{ io.Reader }{a.tar}, a.buf)
	if err != nil {
		var w *spoolError
		if errors.As(err, &w) {
			return w.err
		}
		return a.explain(err)
	}
	a.early = append(a.early, spooledFile{name, a.end, n})
	a.end += n
	return nil
}

// spoolWriter tells errors of writing from those of reading.
type spoolWriter struct {
	ctx context.Context
	f   *File
}

type spoolError struct{ err error }

func (e *spoolError) Error() string { return e.err.Error() }
func (e *spoolError) Unwrap() error { return e.err }

func (w *spoolWriter) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, &spoolError{context.Cause(w.ctx)}
	}
	n, err := w.f.Write(p)
	if err != nil {
		return n, &spoolError{err}
	}
	return n, nil
}

// matchEarly finds out what the files are that came before the manifest.
func (a *foreignArchive) matchEarly() error {
	for i := range a.early {
		if err := a.match(&a.early[i]); err != nil {
			return err
		}
	}
	return nil
}

// match checks the name of a file: it is in the directory of the manifest, and is there once. Its name is then that in the directory.
func (a *foreignArchive) match(f *spooledFile) error {
	if a.base != "." {
		in, ok := strings.CutPrefix(f.name, a.base+"/")
		if !ok {
			return errorf(format.ErrFormat, "file %s in the archive is not in the directory %s of the manifest", quoted(f.name), quoted(a.base))
		}
		f.name = in
	}
	if i, ok := a.files[f.name]; ok {
		if a.seen[i] {
			return a.twice(f.name)
		}
		a.seen[i] = true
		return nil
	}
	if a.others[f.name] || f.name == format.ManifestFile {
		return a.twice(f.name)
	}
	if f.name == a.manifest.Data || f.name == format.ChecksumsFile {
		a.others[f.name] = true
		return nil
	}
	name := strings.TrimSuffix(path.Base(f.name), ".gz")
	if _, err := format.ParseName(name); err == nil {
		return &ArtifactError{Name: name, Err: errorf(format.ErrMismatch, "file %s is in the archive and not in its manifest", quoted(f.name))}
	}
	if err := a.remember(f.name); err != nil {
		return err
	}
	a.others[f.name] = true
	return nil
}

func (a *foreignArchive) twice(name string) error {
	return errorf(format.ErrDuplicate, "file %s is in the archive twice", quoted(name))
}

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

// content reads the entry, with errors that say where.
func (a *foreignArchive) content() io.Reader { return &explained{a} }

type explained struct{ a *foreignArchive }

func (x *explained) Read(p []byte) (int, error) {
	n, err := x.a.tar.Read(p)
	if err != nil && err != io.EOF {
		err = x.a.explain(err)
	}
	return n, err
}

// hash hashes the export data.
func (a *foreignArchive) hash(r io.Reader) io.ReadCloser {
	return newHashedFile(r, func(sum []byte) { a.dataSum = sum })
}

// hashedFile tells what the hash of it is, at the end.
type hashedFile struct {
	io.Reader
	sum   func() []byte
	done  func([]byte)
	ended bool
}

func newHashedFile(r io.Reader, done func([]byte)) *hashedFile {
	r, sum := hashed(r)
	return &hashedFile{Reader: r, sum: sum, done: done}
}

func (h *hashedFile) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if err == io.EOF && !h.ended {
		h.ended = true
		h.done(h.sum())
	}
	return n, err
}

// SHA256 implements hashedReader.
func (h *hashedFile) SHA256() []byte { return h.sum() }

// Close implements io.Closer.
func (h *hashedFile) Close() error { return nil }

// Artifacts passes on what is in the spool, and then what comes.
func (a *foreignArchive) Artifacts(ctx context.Context, wanted func(name string) (bool, error), begin func(count int, bytes int64), take func(context.Context, Incoming) error) error {
	a.in.interruptOn(ctx)
	want := make([]bool, len(a.manifest.Artifacts))
	count := 0
	for i, x := range a.manifest.Artifacts {
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
		if i, ok := a.files[f.name]; ok && want[i] {
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
	x := a.manifest.Artifacts[i]
	return Incoming{Name: x.Name, Gzip: isGzip(x), Size: size}
}

func (a *foreignArchive) passSpooled(ctx context.Context, i int, f spooledFile, take func(context.Context, Incoming) error) error {
	c := &content{entry: format.ArchiveEntry{Offset: int64(i)}, done: make(chan struct{})}
	in := a.incoming(i, f.size)
	in.Open = func() (io.ReadCloser, error) {
		r := newHashedFile(&cancelled{ctx, io.NewSectionReader(a.spool, f.off, f.size)}, func(sum []byte) {
			copy(c.entry.SHA256[:], sum)
			close(c.done)
		})
		return &spooledReader{r}, nil
	}
	a.pending = append(a.pending, c)
	if err := take(ctx, in); err != nil {
		return err
	}
	return a.pending.settle(ctx, false, a.settled)
}

// spooledReader reads the rest when it is closed: Finish waits for its hash.
type spooledReader struct{ *hashedFile }

func (r *spooledReader) Close() error {
	_, err := io.Copy(io.Discard, r.hashedFile)
	return err
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
		i, known := a.files[f.name]
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

// cancelled is a reader that ends with a context.
type cancelled struct {
	ctx context.Context
	io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.Reader.Read(p)
}

// pass hands the entry to a worker.
func (a *foreignArchive) pass(ctx context.Context, i int, size int64, take func(context.Context, Incoming) error) error {
	c := a.pool.new(ctx, format.ArchiveEntry{Name: a.manifest.Artifacts[i].File, Offset: int64(i), Size: size})
	in := a.incoming(i, size)
	in.Open = func() (io.ReadCloser, error) { return c, nil }
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
	for i, x := range a.manifest.Artifacts {
		if !want[i] || a.seen[i] {
			continue
		}
		err := errorf(format.ErrIncomplete, "file %s is in the manifest and not in the archive", quoted(x.File))
		if !a.o.Lenient {
			return &ArtifactError{Name: x.Name, Err: err}
		}
		in := a.incoming(i, 0)
		in.Open = func() (io.ReadCloser, error) { return nil, err }
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
	listed := make([]bool, len(a.manifest.Artifacts))
	err := readChecksums(io.NewSectionReader(a.spool, a.listed.off, a.listed.size), func(name string, sum [sha256.Size]byte) error {
		if i, ok := a.files[path.Clean(name)]; ok {
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
		if x := a.manifest.Artifacts[i]; !ok {
			return &ArtifactError{Name: x.Name, Err: notListed(x.File)}
		}
	}
	return nil
}
