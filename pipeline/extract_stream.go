package pipeline

import (
	"context"
	"errors"
	"io"

	"swingport/format"
	"swingport/stages"
)

// openArchiveStream opens the archive at path, "-" is stdin. progress is told how many bytes of it were read.
func openArchiveStream(ctx context.Context, path string, stdin io.Reader, s *Status, phase string, o stages.ArchiveOptions, progress func(int64)) (stages.Source, error) {
	in, err := stages.OpenInput(ctx, path, stdin, o.FS, func(n int64) {
		s.AddBytes(n)
		progress(n)
	})
	if err != nil {
		return nil, err
	}
	s.SetPhase(phase, in.Size)
	src, err := stages.OpenArchive(ctx, in, o)
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return src, nil
}

// readThrough reads an archive to its end: head and tail are given the export data, or nil where there is none, and take, beside them, one
// artifact after the other of those that are wanted.
func readThrough(ctx context.Context, src stages.Source, head, tail func(context.Context, io.Reader) error,
	wanted func(name string) (bool, error), take func(context.Context, stages.Incoming, io.Reader) error,
) error {
	r := newRun(ctx, nil)
	queue := stages.NewLink[stages.Incoming](4, nil)
	r.stage("read the archive", func(ctx context.Context) error {
		if err := readData(ctx, src.Head, head); err != nil {
			return err
		}
		if err := src.Artifacts(ctx, wanted, func(int, int64) {}, queue.Send); err != nil {
			return err
		}
		if err := readData(ctx, src.Tail, tail); err != nil {
			return err
		}
		return src.Finish(ctx)
	}, queue)
	r.stage("artifacts", func(ctx context.Context) error {
		return stages.Each(ctx, queue, func(in stages.Incoming) error {
			content, err := in.Open(ctx)
			if err != nil {
				return &ArtifactError{Name: in.Name, Err: err}
			}
			return errors.Join(take(ctx, in, content), content.Close())
		})
	})
	return r.wait()
}

func readData(ctx context.Context, open func(context.Context) (io.ReadCloser, int64, error), read func(context.Context, io.Reader) error) error {
	r, _, err := open(ctx)
	if errors.Is(err, format.ErrNoExportData) || err == nil && r == nil {
		return read(ctx, nil)
	}
	if err != nil {
		return err
	}
	return errors.Join(read(ctx, r), r.Close())
}

// fromStream takes files out of an archive that is read from front to back.
func (x *extraction) fromStream(ctx context.Context) (err error) {
	if err := x.open(ctx); err != nil {
		return err
	}
	manifest := &laterFile{x: x, ctx: ctx, name: format.ManifestFile, wanted: x.wants(format.ManifestFile)}
	o := stages.ArchiveOptions{TempDir: x.o.TempDir, FS: x.o.fs, MaxWindow: x.o.MaxWindow, Manifest: manifest}
	if o.TempDir == "" {
		o.TempDir = x.out.tempDir()
	}
	src, err := openArchiveStream(ctx, x.o.Path, x.o.Stdin, x.o.Status, "extract", o, func(int64) {})
	if err != nil {
		return errors.Join(err, manifest.close())
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	s := newStreamed(x, src.Manifest())
	err = readThrough(ctx, src, s.head, s.tail, s.wanted, s.take)
	if err := errors.Join(err, manifest.close()); err != nil {
		return err
	}
	s.found[format.ManifestFile], s.found[format.ExportDataFile] = true, s.foundData
	if err := s.missing(); err != nil {
		return err
	}
	return x.out.commit(ctx)
}

// wants reports whether a file was asked for by name, or everything.
func (x *extraction) wants(name string) bool { return x.names == nil || x.asked[name] }

// laterFile is a file that begins with the first write, if it is wanted. It is sticky: whoever reads the same bytes may try again after an error.
type laterFile struct {
	x      *extraction
	ctx    context.Context
	name   string
	wanted bool
	w      io.WriteCloser
	err    error
}

func (f *laterFile) Write(p []byte) (int, error) {
	if !f.wanted {
		return len(p), nil
	}
	if f.w == nil && f.err == nil {
		if f.w, f.err = f.x.out.create(f.ctx, f.name); f.err == nil {
			f.x.count(1, 0)
		}
	}
	if f.err == nil {
		_, f.err = countingWriter{f.w, f.x}.Write(p)
	}
	if f.err != nil {
		return 0, f.err // with any bytes, whoever reads them might go on with those and meet the end first
	}
	return len(p), nil
}

func (f *laterFile) close() error {
	if f.w == nil {
		return nil
	}
	w := f.w
	f.w = nil
	return w.Close()
}

// streamed is what one goes through a stream with.
type streamed struct {
	x        *extraction
	manifest *format.Manifest
	files    map[string]string // file of each artifact, where the manifest comes first and they differ
	heaps    map[string]string // hashes of heaps that may have to be unpacked
	found    map[string]bool   // artifacts that were asked for
	near     []nearest         // for the first names that may be missing

	foundData bool
}

// maxNearNames is for how many names that may be missing others are compared.
const maxNearNames = 8

func newStreamed(x *extraction, m *format.Manifest) *streamed {
	s := &streamed{x: x, manifest: m, files: map[string]string{}, heaps: map[string]string{}, found: map[string]bool{}}
	for _, a := range m.Artifacts.All() {
		if a.File != a.Name {
			s.files[a.Name] = a.File
		}
	}
	for _, name := range x.names {
		if n, err := format.ParseName(name); err == nil && n.Kind == format.KindSnapshot {
			s.heaps[n.String()] = ""
		}
		if len(s.near) < maxNearNames {
			s.near = append(s.near, nearest{name: name})
		}
	}
	return s
}

// head has the hashes of heaps. Of our archives the export data itself comes behind the artifacts.
func (s *streamed) head(ctx context.Context, r io.Reader) error {
	return s.data(ctx, r, !s.manifest.ArtifactsLater, true)
}

func (s *streamed) tail(ctx context.Context, r io.Reader) error {
	return s.data(ctx, r, s.manifest.ArtifactsLater, false)
}

// data reads export data or only metadata lines, and writes it where it is the whole and wanted.
func (s *streamed) data(ctx context.Context, r io.Reader, whole, heaps bool) error {
	if r == nil {
		return nil
	}
	name := format.ExportDataFile
	f := &laterFile{x: s.x, ctx: ctx, name: name, wanted: whole && s.x.wants(name)}
	if s.x.names == nil {
		f.name = s.manifest.Data
	}
	if _, err := f.Write(nil); err != nil { // so that an empty one is there too
		return errors.Join(err, f.close())
	}
	in := io.TeeReader(r, f)
	var err error
	if heaps {
		err = stages.ReadHeapHashes(ctx, in, s.heaps)
	}
	if err == nil {
		err = stages.Copy(ctx, io.Discard, in, nil)
	}
	s.foundData = f.wanted
	return errors.Join(err, f.close())
}

// wanted says whether an artifact is to be read.
func (s *streamed) wanted(name string) (bool, error) {
	for i := range s.near {
		s.near[i].add(name)
	}
	return s.x.wants(name) || s.x.asked[format.GzipSnapshots.File(name)], nil
}

// take writes an artifact.
func (s *streamed) take(ctx context.Context, in stages.Incoming, r io.Reader) error {
	stored := in.Name
	if in.Gzip {
		stored = format.GzipSnapshots.File(in.Name)
	}
	switch x := s.x; {
	case x.names == nil:
		if file, ok := s.files[in.Name]; ok {
			stored = file
		}
	case x.asked[stored]:
		s.found[stored] = true
	case in.Gzip && x.asked[in.Name]:
		s.found[in.Name] = true
		return x.heap(ctx, in.Name, r, s.heapHash(in.Name))
	default: // asked for as it would be packed, and it is not
		return stages.Copy(ctx, io.Discard, r, nil)
	}
	if err := s.x.put(ctx, stored, r); err != nil {
		return &ArtifactError{Name: in.Name, Err: err}
	}
	return nil
}

func (s *streamed) heapHash(name string) string {
	n, err := format.ParseName(name)
	if err != nil {
		return ""
	}
	return s.heaps[n.String()]
}

// missing is the error for the first name that did not come by.
func (s *streamed) missing() error {
	for i, name := range s.x.names {
		if s.found[name] {
			continue
		}
		e := &MissingError{Name: name}
		if i < len(s.near) {
			e.Near = s.near[i].names()
		}
		return e
	}
	return nil
}
