package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// keep gives the old database a second name that says its height. One that a killed import gave it already will do.
func (s *State) keep(old *oldStore) (name string, err error) {
	base := StoreFile + ".old-" + old.height()
	for n := 1; ; n++ {
		name = base
		if n > 1 {
			name = fmt.Sprintf("%s-%d", base, n)
		}
		second := filepath.Join(s.dir, name)
		err := s.secondName(old.path, second)
		if errors.Is(err, fs.ErrExist) && sameFile(second, old.info) {
			s.aside = append(s.aside, rename{old.path, second})
			err = nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
}

// secondName makes a hard link, or where the file system has none, renames; then there is no store for a moment, until the new one is
// renamed.
func (s *State) secondName(path, second string) error {
	err := s.fsys.Link(path, second)
	if err == nil {
		s.aside = append(s.aside, rename{path, second})
	}
	if err == nil || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOSPC) {
		return err
	}
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOTSUP) && !errors.Is(err, syscall.ENOSYS) && !errors.Is(err, syscall.EMLINK) {
		return err
	}
	if _, err := os.Lstat(second); !errors.Is(err, fs.ErrNotExist) {
		return fs.ErrExist
	}
	return s.rename(path, second)
}

// rename renames a file of the old store, and notes it for putBack.
func (s *State) rename(from, to string) error {
	err := s.fsys.Rename(from, to)
	if err == nil {
		s.aside = append(s.aside, rename{from, to})
	}
	return err
}

// moveAside gives a damaged store, and what is beside it, names that say so. The database itself keeps its own name too, until the rename.
func (s *State) moveAside(old *oldStore) (name string, err error) {
	begun, err := s.movedAside(old)
	if err != nil {
		return "", err
	}
	name = begun
	if begun == "" {
		name = s.damagedName()
	}
	aside := filepath.Join(s.dir, name)
	switch {
	case begun != "":
		s.aside = append(s.aside, rename{old.path, aside})
	case old.info != nil:
		if err := s.secondName(old.path, aside); err != nil {
			return "", err
		}
	}
	for _, end := range sideFiles {
		if err := s.rename(old.path+end, aside+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return name, nil
}

const damagedMark = ".damaged-"

// damagedName is a name that says when a store was found damaged, and is free.
func (s *State) damagedName() string {
	base := StoreFile + damagedMark + time.Now().UTC().Format("20060102T150405Z")
	name := base
	for n := 2; !free(filepath.Join(s.dir, name)); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

// movedAside is the name under which a killed import began to move the same store aside, "" if none did. Nothing beside it may be in the way
// of what is beside the store now.
func (s *State) movedAside(old *oldStore) (name string, err error) {
	if old.info == nil {
		return "", nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		path := filepath.Join(s.dir, e.Name())
		if !strings.HasPrefix(e.Name(), StoreFile+damagedMark) || !sameFile(path, old.info) {
			continue
		}
		inTheWay := false
		for _, end := range sideFiles {
			inTheWay = inTheWay || exists(path+end) && exists(old.path+end)
		}
		if !inTheWay {
			return e.Name(), nil
		}
	}
	return "", nil
}

func sameFile(path string, as fs.FileInfo) bool {
	info, err := os.Lstat(path)
	return err == nil && os.SameFile(info, as)
}

// exists reports whether something is there, or nobody can tell.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// free reports whether neither path nor a name that the engine derives from it is taken.
func free(path string) bool {
	for _, end := range append([]string{""}, sideFiles...) {
		if exists(path + end) {
			return false
		}
	}
	return true
}
