package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"swingport/stages"
)

// A disk is a folder of which it is known what would be left if the power failed: the names that were there when their directory was synced last,
// and what files held when they were. Everything else may be there or not; a rename is one change, as file systems with a journal have it.
type disk struct {
	root, pins string // pins has a link to every file there ever was, so that no inode number comes twice

	names   map[string]uint64 // inodes by path below root, as they are safe
	now     map[string]uint64 // as they are
	changes []map[string]uint64
	content map[uint64][]byte // as it is safe
	folders map[uint64]bool
}

// newDisk takes everything that is there for safe.
func newDisk(root, pins string) (*disk, error) {
	d := &disk{root: root, pins: pins, content: map[uint64][]byte{}, folders: map[uint64]bool{}}
	if err := os.Mkdir(pins, 0o755); err != nil {
		return nil, err
	}
	err := d.look()
	if err == nil {
		err = d.syncAll()
	}
	return d, err
}

// look notes what changed since it looked last.
func (d *disk) look() error {
	now := map[string]uint64{}
	err := filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || path == d.root {
			return nil // it went in this moment
		}
		if err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		n := info.Sys().(*syscall.Stat_t).Ino
		if e.IsDir() {
			d.folders[n] = true
		} else if err := os.Link(path, d.pin(n)); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		name, err := filepath.Rel(d.root, path)
		now[name] = n
		return err
	})
	if err != nil {
		return err
	}
	change := map[string]uint64{}
	for name, n := range now {
		if d.now[name] != n {
			change[name] = n
		}
	}
	for name := range d.now {
		if _, ok := now[name]; !ok {
			change[name] = 0
		}
	}
	if d.now = now; len(change) > 0 {
		d.changes = append(d.changes, change)
	}
	return nil
}

func (d *disk) pin(inode uint64) string { return filepath.Join(d.pins, fmt.Sprint(inode)) }

// did notes what an operation makes safe.
func (d *disk) did(op stages.Op) error {
	if op.Kind == stages.OpSyncDir {
		d.syncNames(op.Path)
		return nil
	}
	if op.Kind != stages.OpSync {
		return nil
	}
	info, err := os.Stat(op.Path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return d.syncAll() // syncfs
	}
	n := info.Sys().(*syscall.Stat_t).Ino
	if strings.HasSuffix(op.Path, "-journal") || strings.HasSuffix(op.Path, "-wal") {
		d.safe(d.below(op.Path), n) // the engine syncs the directory with a log or journal that it made (os_unix.c, UNIXFILE_DIRSYNC)
	}
	return d.syncContent(n)
}

// below is a path as a name below root.
func (d *disk) below(path string) string {
	name, err := filepath.Rel(d.root, path)
	if err != nil {
		return path
	}
	return name
}

func (d *disk) syncContent(inode uint64) (err error) {
	d.content[inode], err = os.ReadFile(d.pin(inode))
	return err
}

func (d *disk) syncAll() error {
	d.names, d.changes = maps.Clone(d.now), nil
	for _, n := range d.now {
		if !d.folders[n] {
			if err := d.syncContent(n); err != nil {
				return err
			}
		}
	}
	return nil
}

// syncNames makes the names in one directory safe, and of a rename that ended or began there the other name too.
func (d *disk) syncNames(dir string) {
	var later []map[string]uint64
	for _, change := range d.changes {
		here := false
		for name := range change {
			here = here || filepath.Join(d.root, filepath.Dir(name)) == filepath.Clean(dir)
		}
		if !here {
			later = append(later, change)
			continue
		}
		for name, n := range change {
			d.set(name, n)
		}
	}
	d.changes = later
}

func (d *disk) set(name string, inode uint64) {
	if inode == 0 {
		delete(d.names, name)
	} else {
		d.names[name] = inode
	}
}

// safe makes one name safe, or safely gone.
func (d *disk) safe(name string, inode uint64) {
	d.set(name, inode)
	for _, change := range d.changes {
		delete(change, name)
	}
}

// A cut is what a failure of the power takes.
type cut string

const (
	cutAll      cut = "all that was not synced"
	cutContents cut = "contents that were not synced, but no names"
	cutOthers   cut = "all that was not synced but the last change of names"
	cutSome     cut = "some of what was not synced"
)

var cuts = []cut{cutAll, cutContents, cutOthers, cutSome, cutSome, cutSome}

// image makes in dir what is there after a power failure.
func (d *disk) image(dir string, c cut, rng *rand.Rand) error {
	names := maps.Clone(d.names)
	for i, change := range d.changes {
		if c == cutAll || c == cutOthers && i < len(d.changes)-1 || c == cutSome && rng.IntN(2) == 0 {
			continue
		}
		for name, n := range change {
			if names[name] = n; n == 0 {
				delete(names, name)
			}
		}
	}
	first := map[uint64]string{}
	for _, name := range slices.Sorted(maps.Keys(names)) { // folders before what is in them
		path := filepath.Join(dir, name)
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			continue // its folder is lost
		}
		if d.folders[names[name]] {
			if err := os.Mkdir(path, 0o755); err != nil {
				return err
			}
			continue
		}
		if other, ok := first[names[name]]; ok {
			if err := os.Link(other, path); err != nil {
				return err
			}
			continue
		}
		first[names[name]] = path
		data, err := d.contentAfter(names[name], c, rng)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// contentAfter is what a file holds after a power failure: where only some is lost, that is page by page.
func (d *disk) contentAfter(inode uint64, c cut, rng *rand.Rand) ([]byte, error) {
	old := d.content[inode]
	if c != cutSome || rng.IntN(3) == 0 {
		return old, nil
	}
	data, err := os.ReadFile(d.pin(inode))
	if err != nil || rng.IntN(2) == 0 {
		return data, err
	}
	const page = 4096
	for at := 0; at < len(data); at += page {
		if rng.IntN(2) == 0 {
			part := data[at:min(at+page, len(data))]
			clear(part)
			if at < len(old) {
				copy(part, old[at:])
			}
		}
	}
	return data, nil
}
