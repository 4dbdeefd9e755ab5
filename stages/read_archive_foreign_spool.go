package stages

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"swingport/format"
)

// spooledFile is a file in the spool.
type spooledFile struct {
	name string // clean
	off  int64
	size int64
}

func (a *foreignArchive) closeSpool() error {
	if a.spool == nil {
		return nil
	}
	f := a.spool
	a.spool = nil
	return f.Close()
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
	var list format.Artifacts
	a.manifest, err = format.ReadManifestFunc(io.TeeReader(bufio.NewReader(a.tar), a.o.Manifest), func(x format.Artifact) error {
		list.Add(x)
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
	a.seen, a.sums, a.read = make([]bool, list.Len()), make([][sha256.Size]byte, list.Len()), make([]bool, list.Len())
	var names nameTable[int]
	for i, x := range list.All() {
		file := path.Clean(x.File)
		if file == a.manifest.Data || file == format.ManifestFile {
			return errorf(format.ErrFormat, "manifest: artifact %s is in file %s", quoted(x.Name), quoted(x.File))
		}
		a.files.add(file, i)
		names.add(x.Name, i)
	}
	for _, t := range []*nameTable[int]{&a.files, &names} {
		if twice := t.sort(); twice != nil {
			x := list.At(twice.value)
			return errorf(format.ErrDuplicate, "manifest: duplicate artifact %s or file %s", quoted(x.Name), quoted(x.File))
		}
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
	if i, ok := a.files.find(f.name); ok {
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

func (a *foreignArchive) passSpooled(ctx context.Context, i int, f spooledFile, take func(context.Context, Incoming) error) error {
	c := &content{entry: format.ArchiveEntry{Offset: int64(i)}, done: make(chan struct{})}
	in := a.incoming(i, f.size)
	in.Open = func(ctx context.Context) (io.ReadCloser, error) {
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
