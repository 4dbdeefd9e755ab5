package stages

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"swingport/format"
)

// removeDead removes the folder of an export whose process is gone, and with undo what that had brought into place already. A living one
// holds a lock on its folder, and is in the way.
func (d *DirSink) removeDead(folder, of string, undo bool) error {
	work, also := filepath.Join(d.dir, folder), ""
	f, err := lockDead(work, d.fsys)
	if f == nil {
		return err
	}
	defer f.Close()
	if undo {
		n, err := d.unplace(work)
		if err != nil {
			return err
		}
		if n > 0 {
			also = fmt.Sprintf(", and %d files that it had put beside it", n)
		}
	}
	if err := d.fsys.removeFolder(work); err != nil {
		return err
	}
	d.warn(wasRemoved(work, of) + also)
	return nil
}

// lockDead locks the folder of an export whose process is gone, until the file is closed. There is no file where the folder has gone.
func lockDead(work string, fsys *FS) (*os.File, error) {
	f, err := os.Open(work)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if fsys.tryLock(f) != nil {
		return nil, errors.Join(&ExistsError{work}, f.Close())
	}
	return f, nil
}

// unplace removes the files that a killed export had brought into place.
func (d *DirSink) unplace(work string) (files int, err error) {
	err = eachPlaced(d.dir, work, func(name string) error {
		err := d.fsys.Remove(filepath.Join(d.dir, name))
		if err == nil {
			files++
		}
		return err
	})
	return files, err
}

// eachPlaced calls f with the files in dir that a killed export had brought into place. Its manifest, which would have come last, is still in
// its folder and names them; those that are still there too never came into place, and what has such a name in dir is somebody else's. Where
// dir has a manifest too the export had ended, and its name in the folder came back when the machine stopped.
func eachPlaced(dir, work string, f func(name string) error) error {
	if _, err := os.Lstat(filepath.Join(dir, format.ManifestFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	manifest, err := readPlain(filepath.Join(work, format.ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	m, err := format.ReadManifest(bytes.NewReader(manifest))
	if err != nil {
		return nil // not whole, so it was killed before
	}
	names := []string{m.Data}
	for _, a := range m.Artifacts.All() {
		names = append(names, a.File)
	}
	line := fmt.Sprintf("%x  %s\n", sha256.Sum256(manifest), format.ManifestFile)
	if sums, err := readPlain(filepath.Join(dir, format.ChecksumsFile)); err == nil && strings.HasPrefix(string(sums), line) {
		names = append(names, format.ChecksumsFile)
	}
	for _, name := range names {
		if name == "" || fileName(name) != nil {
			continue
		}
		if _, err := os.Lstat(filepath.Join(work, name)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := f(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// readPlain reads a file that is no link and nothing that would have to be waited for; what is no file is not there.
func readPlain(path string) ([]byte, error) {
	if info, err := os.Lstat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fs.ErrNotExist
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(f)
	return data, errors.Join(err, f.Close())
}
