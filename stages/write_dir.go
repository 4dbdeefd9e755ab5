package stages

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"swingport/format"
)

// DirSink writes an export directory. Files are written in a folder inside it and come into place when all are there, the manifest last,
// by one rename: before that nothing in the directory looks like an export, and after a failure nothing is left.
type DirSink struct {
	dir, work string
	lock      *os.File
	fsys      *FS
	made      []string // directories that did not exist
	sums      bool     // note the SHA-256 of every file
	resume    bool     // keep what is whole where the export does not come to its end
	warn      func(text string)

	leftovers  []leftover // of unfinished exports that are gone on with
	whole      atomic.Int64
	unfinished string // the folder that Abort kept

	mu      sync.Mutex
	sumOf   checksums
	placed  []string // files that came into place, without the directory
	bytes   atomic.Int64
	dataSum string
}

const workPrefix = ".swingport-export-"

// NewDirSink prepares dir, which is made if it is missing. An export that is there already is an ExistsError. What an unfinished export left in
// it is removed, and warn told of it, or with resume it stays for Leftovers to find.
func NewDirSink(ctx context.Context, dir string, checksums, resume bool, fsys *FS, warn func(text string)) (*DirSink, error) {
	d := &DirSink{dir: dir, fsys: fsys, sums: checksums, resume: resume, warn: warn}
	return d, d.open(ctx, workPrefix, exportLike)
}

// open makes the folder, whose name begins with prefix; inTheWay says which files are in the way. After an error nothing is left to abort.
func (d *DirSink) open(ctx context.Context, prefix string, inTheWay func(name string) bool) error {
	dir := d.dir
	made, err := d.fsys.MkdirAll(dir, resultDirMode)
	d.made = made
	if info, statErr := os.Stat(dir); err == nil && statErr == nil && !info.IsDir() { // to open a pipe would wait for its writer
		err = &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	if err == nil {
		err = d.prepare(ctx, prefix, inTheWay)
	}
	if err != nil {
		return errors.Join(err, d.Abort())
	}
	return nil
}

func (d *DirSink) prepare(ctx context.Context, prefix string, inTheWay func(name string) bool) error {
	unlock, err := lockDir(ctx, d.dir, d.fsys)
	if err != nil {
		return err
	}
	defer unlock()
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	_, noExport := os.Lstat(filepath.Join(d.dir, format.ManifestFile)) // else the one that left a folder had come to its end
	for _, e := range entries {
		switch name := e.Name(); {
		case !e.IsDir(): // a link to a folder, say: it is none of ours
		case strings.HasPrefix(name, workPrefix) && d.resume && noExport != nil:
			err = d.takeOver(name)
		case strings.HasPrefix(name, workPrefix):
			err = d.removeDead(name, "an export", true)
		case strings.HasPrefix(name, extractPrefix):
			err = d.removeDead(name, "an extract", false)
		}
		if err != nil {
			return err
		}
	}
	if entries, err = os.ReadDir(d.dir); err != nil {
		return err
	}
	for _, e := range entries {
		if inTheWay(e.Name()) {
			return &ExistsError{filepath.Join(d.dir, e.Name())}
		}
	}
	if d.work, err = d.fsys.MkdirTemp(d.dir, prefix+"*"); err != nil {
		return err
	}
	d.lock, err = os.Open(d.work)
	if err != nil {
		return err
	}
	if err := d.fsys.tryLock(d.lock); err != nil && !noLocks(err) {
		return err
	}
	return nil
}

// exportLike reports whether a file could be one of an export.
func exportLike(name string) bool {
	return name == format.ManifestFile || name == format.ExportDataFile || name == format.ChecksumsFile || artifactLike(name)
}

// artifactLike reports whether a file could be an artifact of an export.
func artifactLike(name string) bool {
	for _, k := range []format.Kind{format.KindSnapshot, format.KindTranscript, format.KindBundle} {
		if strings.HasPrefix(name, k.String()+".") {
			return true
		}
	}
	return false
}

// TempDir is where the export may spill.
func (d *DirSink) TempDir() string { return d.work }

// Bytes is the number of bytes written so far.
func (d *DirSink) Bytes() int64 { return d.bytes.Load() }

// DataSum is the SHA-256 of the export data, once written.
func (d *DirSink) DataSum() string { return d.dataSum }

// sinkFile is a file being written, and its hash where one is wanted.
type sinkFile struct {
	*File
	name string
	size int64
	sum  hash.Hash
}

func (d *DirSink) create(name string, sum bool) (*sinkFile, error) {
	f, err := d.fsys.OpenFile(filepath.Join(d.work, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, resultMode)
	if err != nil {
		return nil, err
	}
	s := &sinkFile{File: f, name: name}
	if sum {
		s.sum = sha256.New()
	}
	return s, nil
}

func (d *DirSink) write(f *sinkFile, b []byte) error {
	n, err := f.summed(b)
	d.bytes.Add(int64(n))
	return err
}

func (f *sinkFile) summed(b []byte) (int, error) {
	if f.sum != nil {
		f.sum.Write(b)
	}
	f.size += int64(len(b))
	return f.Write(b)
}

// writebackSize is how large a file must be, in bytes, to be written out by itself; the sync at the end does small ones better together.
const writebackSize = 256 << 10

// close ends a file and asks the system to begin writing it out, so that little is left to wait for at the end.
func (d *DirSink) close(f *sinkFile) error {
	if f.sum != nil {
		d.noteSum(f.name, [sha256.Size]byte(f.sum.Sum(nil)))
	}
	if f.size >= writebackSize {
		startWriteback(f.File)
	}
	return f.Close()
}

// noteSum keeps the hash of a file, if the sums are wanted.
func (d *DirSink) noteSum(name string, sum [sha256.Size]byte) {
	if d.sums {
		d.mu.Lock()
		d.sumOf.add(name, sum)
		d.mu.Unlock()
	}
}

// Artifacts is the body of one writer: it writes the artifacts whose parts come through in, several side by side.
func (d *DirSink) Artifacts(ctx context.Context, in *Link[Part]) (err error) {
	open := map[*Artifact]*sinkFile{}
	defer func() {
		for _, f := range open {
			err = errors.Join(err, f.Close())
		}
	}()
	return Each(ctx, in, func(p Part) error {
		defer p.Release()
		f := open[p.Artifact]
		if f == nil {
			var err error
			if f, err = d.create(p.File(), false); err != nil {
				return &ArtifactError{p.Name, err}
			}
			open[p.Artifact] = f
		}
		if p.Chunk != nil {
			if err := d.write(f, p.Data); err != nil {
				return &ArtifactError{p.Name, err}
			}
		}
		if !p.Last {
			return nil
		}
		delete(open, p.Artifact)
		d.noteSum(p.File(), p.SHA256)
		d.whole.Add(1)
		return d.close(f)
	})
}

// Data writes the export data.
func (d *DirSink) Data(ctx context.Context, in *Link[*Chunk]) error {
	f, err := d.create(format.ExportDataFile, true)
	if err != nil {
		return err
	}
	err = Each(ctx, in, func(c *Chunk) error {
		defer c.Release()
		return d.write(f, c.Data)
	})
	if err != nil {
		return errors.Join(err, f.Close())
	}
	d.dataSum = hex.EncodeToString(f.sum.Sum(nil))
	return d.close(f)
}

// Commit brings everything into place. eachName gives the artifacts and their files in manifest order; data says whether there is export data.
func (d *DirSink) Commit(ctx context.Context, height float64, mode format.ArtifactMode, eachName func(func(name, file string) error) error, data bool) error {
	if err := d.writeManifest(height, mode, eachName, data); err != nil {
		return err
	}
	if d.sums {
		if err := d.writeSums(eachName, data); err != nil {
			return err
		}
	}
	if err := d.writeOut(ctx, eachName, data); err != nil {
		return err
	}
	if err := d.sync(); err != nil {
		return err
	}
	unlock, err := lockDir(ctx, d.dir, d.fsys) // keeps other exports to the same directory from bringing files into place at the same time
	if err != nil {
		return err
	}
	defer unlock()
	if data {
		if err := d.place(format.ExportDataFile); err != nil {
			return err
		}
	}
	if err := eachName(func(_, file string) error { return d.place(file) }); err != nil {
		return err
	}
	if d.sums {
		if err := d.place(format.ChecksumsFile); err != nil {
			return err
		}
	}
	return d.settle(d.place)
}

// sync makes everything durable while it is still in the folder: should the machine stop while files come into place, the manifest in there has to
// say which of them are this export's.
func (d *DirSink) sync() error {
	if err := d.fsys.before(OpSync, d.dir); err != nil {
		return &fs.PathError{Op: "sync", Path: d.dir, Err: err}
	}
	if err := syncAll(d.lock); err != nil {
		return fmt.Errorf("sync %s: %w", d.dir, err)
	}
	return nil
}

// settle makes the names of what is in place durable, then has place do the same with the manifest, unless it is nil, and removes the empty folder.
func (d *DirSink) settle(place func(name string) error) error {
	if place != nil {
		if err := d.fsys.SyncDir(d.dir); err != nil {
			return err
		}
		if err := place(format.ManifestFile); err != nil {
			return err
		}
	}
	if err := d.fsys.SyncDir(d.dir); err != nil {
		return err
	}
	d.placed, d.made, d.resume = nil, nil, false
	if err := d.Abort(); err != nil { // of the empty folder: the next run removes it
		d.warn(err.Error())
	}
	return nil
}

func (d *DirSink) writeManifest(height float64, mode format.ArtifactMode, eachName func(func(name, file string) error) error, data bool) error {
	f, err := d.create(format.ManifestFile, d.sums)
	if err != nil {
		return err
	}
	w := format.NewManifestWriter(writerFunc(f.summed), height, string(mode))
	err = eachName(w.Add)
	if err == nil {
		name := ""
		if data {
			name = format.ExportDataFile
		}
		err = w.Close(name)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return d.close(f)
}

// writeSums writes SHA256SUMS as sha256sum -c reads it.
func (d *DirSink) writeSums(eachName func(func(name, file string) error) error, data bool) error {
	f, err := d.create(format.ChecksumsFile, false)
	if err != nil {
		return err
	}
	d.sumOf.sort()
	w := bufio.NewWriter(writerFunc(f.Write))
	add := func(name string) error {
		sum, _ := d.sumOf.find(name)
		_, err := w.WriteString(sumLine(sum, name))
		return err
	}
	names := []string{format.ManifestFile}
	if data {
		names = append(names, format.ExportDataFile)
	}
	for _, name := range names {
		if err := add(name); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := errors.Join(eachName(func(_, file string) error { return add(file) }), w.Flush()); err != nil {
		return errors.Join(err, f.Close())
	}
	return d.close(f)
}

// sumLine is a line of SHA256SUMS: a backslash in front says that the name is escaped, as a newline in it has to be.
func sumLine(sum [32]byte, name string) string {
	if strings.Contains(name, "\n") || strings.HasSuffix(name, "\r") {
		return fmt.Sprintf("\\%x  %s\n", sum, strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r").Replace(name))
	}
	return fmt.Sprintf("%x  %s\n", sum, name)
}

// place moves a finished file to its name in the directory, which must be free.
func (d *DirSink) place(name string) error {
	to := filepath.Join(d.dir, name)
	err := d.fsys.renameNew(filepath.Join(d.work, name), to)
	if errors.Is(err, fs.ErrExist) {
		d.resume = false // somebody else's export is there
		return &ExistsError{to}
	} else if err != nil {
		return err
	}
	d.placed = append(d.placed, name)
	return nil
}

// Abort removes everything that the export made, but for what is whole if it may be gone on with. After Commit there is nothing of that
// kind, and it does no harm.
func (d *DirSink) Abort() error {
	var errs []error
	for _, l := range d.leftovers {
		d.unfinished = l.path
		errs = append(errs, l.lock.Close())
	}
	if d.resume && d.work != "" && d.whole.Load() > 0 {
		errs = append(errs, d.putBack())
		d.unfinished, d.work, d.made = d.work, "", nil
	}
	for _, name := range d.placed {
		errs = append(errs, d.fsys.Remove(filepath.Join(d.dir, name)))
	}
	if d.work != "" {
		errs = append(errs, d.fsys.removeFolder(d.work))
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	for i := len(d.made) - 1; i >= 0; i-- {
		if err := d.fsys.Remove(d.made[i]); !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err) // others may have come to use it
		}
	}
	d.leftovers, d.placed, d.work, d.lock, d.made = nil, nil, "", nil, nil
	return errors.Join(errs...)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

var _ io.Writer = writerFunc(nil)
