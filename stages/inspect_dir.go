package stages

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"swingport/format"
)

// InspectDir is OpenDir for whoever looks for all that is wrong: found is told what is wrong with SHA256SUMS, and whether the manifest is not
// what it says. The directory is lenient.
func InspectDir(path string, fsys *FS, found func(error)) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: path, root: root, fsys: fsys, Lenient: true}
	if err := d.inspect(found); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

func (d *Dir) inspect(found func(error)) (err error) {
	if d.sums, err = d.readChecksums(); err != nil {
		found(err)
	}
	if _, ok := d.sums.find(format.ManifestFile); !ok && d.sums != nil {
		found(notListed(format.ManifestFile))
	}
	f, _, err := d.openPlain(format.ManifestFile)
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = f
	if want, ok := d.sums.find(format.ManifestFile); ok {
		r = &checkedFile{f: f, name: format.ManifestFile, want: want, sum: sha256.New()}
	}
	late := &LateReader{R: r}
	if d.manifest, err = format.ReadManifest(late); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(d.path, format.ManifestFile), err)
	}
	if late.Err != nil {
		found(late.Err)
	}
	return nil
}

// LateReader reads on to the end of what shows only there that it is not what it should be. Err is that.
type LateReader struct {
	R   io.Reader
	Err error
}

func (l *LateReader) Read(p []byte) (int, error) {
	n, err := l.R.Read(p)
	if errors.Is(err, format.ErrHashMismatch) || errors.Is(err, format.ErrMismatch) {
		l.Err, err = err, io.EOF
	}
	return n, err
}

// goName is a file of an export by the chain's Go code, see format/FORMAT.md.
var goName = regexp.MustCompile(`^[0-9]+-(snapshot|transcript|bundle)-`)

// LeftOver tells found of files that look like artifacts and that the manifest does not name, and of files that SHA256SUMS lists and the
// manifest does not name.
func (d *Dir) LeftOver(found func(error)) error {
	files := d.named()
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		list, err := f.ReadDir(1024)
		for _, e := range list {
			if !files.has(e.Name()) && looksLikeArtifact(e.Name()) {
				found(&ArtifactError{e.Name(), errorf(format.ErrMismatch, "left over: the manifest does not name this file")})
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if d.sums == nil {
		return nil
	}
	return d.eachChecksum(func(name string, _ [sha256.Size]byte) error {
		if !files.has(name) {
			found(errorf(format.ErrMismatch, "%s lists file %s, which the manifest does not name", format.ChecksumsFile, quoted(name)))
		}
		return nil
	})
}

// nameSet is a set of names in 16 bytes each.
type nameSet []recordKey

func (s nameSet) has(name string) bool {
	_, ok := slices.BinarySearchFunc(s, makeRecordKey([]byte(name)), recordKey.compare)
	return ok
}

// named are the files that the manifest names, and the manifest.
func (d *Dir) named() nameSet {
	files := make(nameSet, 0, d.manifest.Artifacts.Len()+2)
	for _, a := range d.manifest.Artifacts.All() {
		files = append(files, makeRecordKey([]byte(a.File)))
	}
	files = append(files, makeRecordKey([]byte(d.manifest.Data)), makeRecordKey([]byte(format.ManifestFile)))
	slices.SortFunc(files, recordKey.compare)
	return files
}

func looksLikeArtifact(file string) bool {
	_, err := format.ParseName(strings.TrimSuffix(file, ".gz"))
	return err == nil || goName.MatchString(file) || file == format.ExportDataFile
}
