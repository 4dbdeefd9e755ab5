package stages

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"swingport/format"
)

// extractPrefix begins the folder of a run that takes single files out of an archive: unlike an export's it may name files in a manifest
// that were there before.
const extractPrefix = ".swingport-extract-"

// ExtractDir puts files of an archive into a directory. They are written in a folder inside it and come into place when all are there, over
// nothing that is there already, the manifest last; after a failure nothing is left.
type ExtractDir struct {
	*DirSink
	whole    bool // a whole export
	files    int
	manifest bool // among the files
	buf      []byte
}

// NewExtractDir prepares dir, which is made if it is missing, for the files called names, or with nil for a whole export. One of them that is
// there already is an ExistsError; for a whole export any file is that could be one.
func NewExtractDir(dir string, names []string, fsys *FS) (*ExtractDir, error) {
	prefix, inTheWay := workPrefix, exportLike
	if names != nil {
		prefix, inTheWay = extractPrefix, func(name string) bool { return slices.Contains(names, name) }
	}
	d, err := newDirSink(dir, prefix, false, inTheWay, fsys)
	if err != nil {
		return nil, err
	}
	return &ExtractDir{DirSink: d, whole: names == nil}, nil
}

// Write writes a file, to the end of r.
func (d *ExtractDir) Write(ctx context.Context, name string, r io.Reader) error {
	if err := format.CheckArchiveName(name); err != nil {
		return err
	}
	f, err := d.create(name, false)
	if err != nil {
		return err
	}
	if d.buf == nil {
		d.buf = make([]byte, copyBuffer)
	}
	if err := Copy(ctx, writerFunc(f.summed), r, d.buf); err != nil {
		return errors.Join(err, f.Close())
	}
	d.files++
	d.manifest = d.manifest || name == format.ManifestFile
	return d.close(f)
}

// Commit brings the files into place; each gives their names, the manifest's or not. Of a whole export the manifest has to be there, and to
// name the other files.
func (d *ExtractDir) Commit(ctx context.Context, each func(func(name string) error) error) error {
	if d.whole {
		if err := d.checkManifest(); err != nil {
			return err
		}
	}
	unlock, err := d.lockDir()
	if err != nil {
		return err
	}
	defer unlock()
	err = each(func(name string) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if name == format.ManifestFile {
			return nil
		}
		return d.place(name)
	})
	if err != nil {
		return err
	}
	if err := d.fsys.before(OpSync, d.dir); err != nil {
		return err
	}
	if err := syncAll(d.lock); err != nil {
		return fmt.Errorf("sync %s: %w", d.dir, err)
	}
	if d.manifest {
		if err := d.place(format.ManifestFile); err != nil {
			return err
		}
	}
	if err := d.fsys.SyncDir(d.dir); err != nil {
		return err
	}
	d.placed, d.made = nil, nil
	return d.Abort() // only the empty folder is left
}

// checkManifest compares the manifest with the files that were written.
func (d *ExtractDir) checkManifest() error {
	f, err := os.Open(filepath.Join(d.work, format.ManifestFile))
	if err != nil {
		return errorf(format.ErrIncomplete, "the archive has no %s", format.ManifestFile)
	}
	defer f.Close()
	m, err := format.ReadManifest(bufio.NewReader(f))
	if err != nil {
		return err
	}
	want := 1 + len(m.Artifacts)
	check := func(name string) error {
		if format.CheckArchiveName(name) == nil {
			if _, err := os.Lstat(filepath.Join(d.work, name)); err == nil {
				return nil
			}
		}
		return errorf(format.ErrIncomplete, "the manifest names %s, which is not in the archive", quoted(name))
	}
	if m.Data != "" {
		want++
		if err := check(m.Data); err != nil {
			return err
		}
	}
	for _, a := range m.Artifacts {
		if err := check(a.File); err != nil {
			return &ArtifactError{a.Name, err}
		}
	}
	if want != d.files {
		return errorf(format.ErrMismatch, "the archive has %d files, the manifest names %d", d.files, want)
	}
	return nil
}

const copyBuffer = 256 << 10 // bytes

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
