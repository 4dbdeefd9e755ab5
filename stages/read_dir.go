package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"swingport/format"
)

// Dir is an export directory. Every file in it is opened without following links and must be a regular one; where there is a SHA256SUMS,
// every file that is read has to be in it and is compared with it while it is read.
type Dir struct {
	path     string
	root     *os.Root
	fsys     *FS
	sums     *checksums // nil: no SHA256SUMS
	manifest *format.Manifest

	// Lenient leaves an artifact whose file is missing, or no file, to whoever opens it; else that is the end before the first one is read.
	Lenient bool
}

// OpenDir opens an export directory and reads its manifest. fsys may be nil.
func OpenDir(path string, fsys *FS) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, root: root, fsys: fsys}
	if err := d.read(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

// Close releases the directory.
func (d *Dir) Close() error { return d.root.Close() }

func (d *Dir) read() (err error) {
	if d.sums, err = d.readChecksums(); err != nil {
		return err
	}
	f, _, err := d.open(format.ManifestFile)
	if err != nil {
		return err
	}
	defer f.Close()
	d.manifest, err = format.ReadManifest(f)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(d.path, format.ManifestFile), err)
	}
	return nil
}

// listed checks that SHA256SUMS, where there is one, knows every file that the manifest names.
func (d *Dir) listed() error {
	if d.sums == nil {
		return nil
	}
	for _, a := range d.manifest.Artifacts.All() {
		if _, ok := d.sums.find(a.File); !ok {
			return &ArtifactError{Name: a.Name, Err: notListed(a.File)}
		}
	}
	if _, ok := d.sums.find(d.manifest.Data); !ok && d.manifest.Data != "" {
		return notListed(d.manifest.Data)
	}
	return nil
}

// Manifest returns what export-manifest.json says.
func (d *Dir) Manifest() *format.Manifest { return d.manifest }

// Head opens the export data.
func (d *Dir) Head(context.Context) (io.ReadCloser, int64, error) {
	if !d.Lenient {
		if err := d.listed(); err != nil {
			return nil, 0, err
		}
	}
	return d.open(d.manifest.Data)
}

// Tail implements Source: the head is everything.
func (d *Dir) Tail(context.Context) (io.ReadCloser, int64, error) { return nil, 0, nil }

// Finish implements Source.
func (d *Dir) Finish(context.Context) error { return nil }

// Artifacts passes on the artifacts that are wanted in the order of the manifest.
func (d *Dir) Artifacts(ctx context.Context, wanted func(name string) (bool, error), begin func(count int, bytes int64), take func(context.Context, Incoming) error) error {
	const unwanted = -1
	sizes := make([]int64, d.manifest.Artifacts.Len())
	count, total := 0, int64(0)
	for i, a := range d.manifest.Artifacts.All() {
		ok, err := wanted(a.Name)
		if err != nil {
			return &ArtifactError{Name: a.Name, Err: err}
		}
		if !ok {
			sizes[i] = unwanted
			continue
		}
		if info, err := d.stat(a.File); err == nil {
			sizes[i] = info.Size()
		} else if !d.Lenient {
			return &ArtifactError{Name: a.Name, Err: err}
		}
		count, total = count+1, total+sizes[i]
	}
	begin(count, total)
	for i, a := range d.manifest.Artifacts.All() {
		if sizes[i] == unwanted {
			continue
		}
		err := take(ctx, Incoming{Name: a.Name, Gzip: isGzip(a), Size: sizes[i], Open: func(context.Context) (io.ReadCloser, error) {
			r, _, err := d.open(a.File)
			return r, err
		}})
		if err != nil {
			return err
		}
	}
	return nil
}

// isGzip says whether an artifact is a heap as the store holds it: its file says so.
func isGzip(a format.Artifact) bool {
	return strings.HasPrefix(a.Name, "snapshot.") && strings.HasSuffix(a.File, ".gz") && !strings.HasSuffix(a.Name, ".gz")
}

// stat says what a file is, and refuses what is not a regular file inside the directory.
func (d *Dir) stat(name string) (fs.FileInfo, error) {
	if !filepath.IsLocal(name) {
		return nil, errorf(format.ErrFormat, "Exported file %s must be in export dir %s", quoted(name), quoted(d.path))
	}
	if err := d.straight(name); err != nil {
		return nil, err
	}
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, d.explain(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, errorf(format.ErrFormat, "file %s is %s, not a regular file", quoted(name), kindOf(info.Mode()))
	}
	return info, nil
}

// straight refuses a file that is reached through a link, be it one that stays inside the directory.
func (d *Dir) straight(name string) error {
	for i, c := range name {
		if c != '/' {
			continue
		}
		if info, err := d.root.Lstat(name[:i]); err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return errorf(format.ErrFormat, "file %s is behind %s, which is a symbolic link", quoted(name), quoted(name[:i]))
		}
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsDir():
		return "a directory"
	}
	return "a device, pipe or socket"
}

// open opens a file for reading; the reader compares it with SHA256SUMS.
func (d *Dir) open(name string) (io.ReadCloser, int64, error) {
	want, listed := d.sums.find(name)
	if d.sums != nil && !listed {
		return nil, 0, notListed(name)
	}
	f, info, err := d.openPlain(name)
	if err != nil {
		return nil, 0, err
	}
	if d.sums == nil {
		return f, info.Size(), nil
	}
	return &checkedFile{f: f, name: name, want: want, sum: sha256.New()}, info.Size(), nil
}

func (d *Dir) openPlain(name string) (*File, fs.FileInfo, error) {
	info, err := d.stat(name)
	if err != nil {
		return nil, nil, err
	}
	f, err := d.fsys.OpenIn(d.root, name)
	if err != nil {
		return nil, nil, d.explain(name, err)
	}
	now, err := f.Stat()
	if err == nil && !os.SameFile(info, now) {
		err = fmt.Errorf("file %s changed while it was opened", quoted(name))
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, now, nil
}

// explain gives an error of os.Root the whole path.
func (d *Dir) explain(name string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return &fs.PathError{Op: "open", Path: filepath.Join(d.path, name), Err: pe.Err}
	}
	return err
}

// checkedFile compares a file's SHA-256 at its end.
type checkedFile struct {
	f    *File
	name string
	want [sha256.Size]byte
	sum  hash.Hash
}

func (c *checkedFile) Read(p []byte) (int, error) {
	n, err := c.f.Read(p)
	c.sum.Write(p[:n])
	if err == io.EOF {
		if got := c.sum.Sum(nil); !bytes.Equal(got, c.want[:]) {
			return n, wrongChecksum(c.name, got, c.want[:])
		}
	}
	return n, err
}

func (c *checkedFile) Close() error { return c.f.Close() }

// SHA256 implements hashedReader.
func (c *checkedFile) SHA256() []byte { return c.sum.Sum(nil) }

func wrongChecksum(name string, got, want []byte) error {
	return errorf(format.ErrHashMismatch, "file %s: sha256 is %x, %s says %x", quoted(name), got, format.ChecksumsFile, want)
}

func notListed(name string) error {
	return errorf(format.ErrIncomplete, "file %s is not in %s", quoted(name), format.ChecksumsFile)
}

// OpenIn opens a file below root for reading.
func (x *FS) OpenIn(root *os.Root, name string) (*File, error) {
	if err := x.before(OpOpen, filepath.Join(root.Name(), name)); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	return &File{f, x}, nil
}
