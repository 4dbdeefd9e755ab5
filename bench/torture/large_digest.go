package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"swingport/format"
)

// fileDigest is what a set of files comes to, in whatever order they come: their number and the sum of the hashes of each with its name.
type fileDigest struct {
	files int
	sum   [4]uint64
}

// add takes a file.
func (d *fileDigest) add(name string, content io.Reader) error {
	h := sha256.New()
	fmt.Fprintf(h, "%d %s ", len(name), name)
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, content, make([]byte, 64<<10)); err != nil {
		return err
	}
	d.fold(h)
	return nil
}

func (d *fileDigest) fold(h hash.Hash) {
	sum := h.Sum(nil)
	for i := range d.sum {
		d.sum[i] += binary.LittleEndian.Uint64(sum[8*i:])
	}
	d.files++
}

func (d *fileDigest) String() string { return fmt.Sprintf("%d files, %016x", d.files, d.sum) }

// digestTar is the digest of the files of an export in a tar, read by archive/tar: all but those that only archives have.
func digestTar(r io.Reader) (string, error) {
	d := new(fileDigest)
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r)
			return d.String(), err
		}
		if err != nil {
			return "", err
		}
		if h.Name == format.ArchiveHeaderFile || h.Name == format.ArchiveIndexFile {
			continue
		}
		if err := d.add(h.Name, files); err != nil {
			return "", err
		}
	}
}

// digestDir is the digest of an export directory: all files but SHA256SUMS.
func digestDir(dir string) (string, error) {
	d := new(fileDigest)
	f, err := os.Open(dir)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for {
		list, err := f.ReadDir(1000)
		for _, e := range list {
			if e.Name() == format.ChecksumsFile {
				continue
			}
			if err := d.addFile(dir, e.Name()); err != nil {
				return "", err
			}
		}
		if errors.Is(err, io.EOF) {
			return d.String(), nil
		}
		if err != nil {
			return "", err
		}
	}
}

func (d *fileDigest) addFile(dir, name string) error {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	return d.add(name, f)
}
