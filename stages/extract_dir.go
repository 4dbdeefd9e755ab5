package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"swingport/format"
)

// extractPrefix begins the folder of a run that takes single files out of an archive: unlike an export's it may name files in a manifest
// that were there before.
const extractPrefix = ".swingport-extract-"

// ExtractDir puts files of an archive into a directory. They are written in a folder inside it and come into place when all are there, over
// nothing that is there already, the manifest last; after a failure nothing is left.
type ExtractDir struct {
	*DirSink
	files    int
	manifest bool // among the files
}

// NewExtractDir prepares dir, which is made if it is missing, for the files called names, or with nil for a whole export. One of them that is
// there already is an ExistsError; for a whole export any file is that could be one.
func NewExtractDir(ctx context.Context, dir string, names []string, fsys *FS, warn func(text string)) (*ExtractDir, error) {
	prefix, inTheWay := workPrefix, exportLike
	if names != nil {
		asked := map[string]bool{}
		for _, name := range names {
			asked[name] = true
		}
		prefix, inTheWay = extractPrefix, func(name string) bool { return asked[name] }
	}
	d := &DirSink{dir: dir, fsys: fsys, warn: warn}
	if err := d.open(ctx, prefix, inTheWay); err != nil {
		return nil, err
	}
	return &ExtractDir{DirSink: d}, nil
}

// Create begins a file; several may be written side by side. Its Close ends it; whoever does not come so far calls it too, and does not Commit.
func (d *ExtractDir) Create(name string) (io.WriteCloser, error) {
	if err := format.CheckArchiveName(name); err != nil {
		return nil, err
	}
	f, err := d.create(name, false)
	if err != nil {
		return nil, err
	}
	return &extractFile{f, d}, nil
}

type extractFile struct {
	f *sinkFile
	d *ExtractDir
}

func (e *extractFile) Write(p []byte) (int, error) { return e.f.summed(p) }

func (e *extractFile) Close() error {
	e.d.mu.Lock()
	e.d.files++
	e.d.manifest = e.d.manifest || e.f.name == format.ManifestFile
	e.d.mu.Unlock()
	return e.d.close(e.f)
}

// Commit brings the files into place.
func (d *ExtractDir) Commit(ctx context.Context) error {
	if err := d.sync(); err != nil {
		return err
	}
	unlock, err := lockDir(ctx, d.dir, d.fsys)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.placeAll(ctx); err != nil {
		return err
	}
	if !d.manifest {
		return d.settle(nil)
	}
	return d.settle(d.place)
}

// placeAll brings all files but the manifest into place: as many as the folder lists at a time, since there may be a million.
func (d *ExtractDir) placeAll(ctx context.Context) error {
	for left := d.files; ; {
		folder, err := os.Open(d.work)
		if err != nil {
			return err
		}
		names, err := folder.Readdirnames(1000)
		if err := errors.Join(folder.Close(), ignoreEOF(err)); err != nil {
			return err
		}
		before := left
		for _, name := range names {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if name == format.ManifestFile {
				continue
			}
			if err := d.place(name); err != nil {
				return err
			}
			left--
		}
		if left == 0 || left == 1 && d.manifest {
			return nil
		}
		if left == before {
			return fmt.Errorf("%d of %d files are gone from %s", left, d.files, d.work)
		}
	}
}

// place is DirSink's, but not even a file that came in this moment is replaced.
func (d *ExtractDir) place(name string) error {
	to := filepath.Join(d.dir, name)
	err := d.fsys.renameNew(filepath.Join(d.work, name), to)
	if errors.Is(err, fs.ErrExist) {
		return &ExistsError{to}
	} else if err != nil {
		return err
	}
	d.placed = append(d.placed, name)
	return nil
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// CopyBuffer is the size of the pieces that files are moved in, in bytes.
const CopyBuffer = 256 << 10

// Copy is io.CopyBuffer that ends when ctx does.
func Copy(ctx context.Context, w io.Writer, r io.Reader, buf []byte) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, contextReader{ctx, r}, buf)
	return err
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
