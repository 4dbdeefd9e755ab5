package pipeline

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"swingport/format"
	"swingport/stages"
)

// Kind is what holds a swing-store's data.
type Kind string

// The kinds that Verify and Diff take.
const (
	KindStateDir  Kind = "state-dir"  // a directory that holds swingstore.sqlite
	KindExportDir Kind = "export-dir" // a directory that holds export-manifest.json
	KindArchive   Kind = "archive"    // a tar, tar.zst or tar.gz of an export directory, as a file or a pipe
)

// String is the kind in words.
func (k Kind) String() string {
	switch k {
	case KindStateDir:
		return "state directory"
	case KindExportDir:
		return "export directory"
	}
	return string(k)
}

// ErrKind: a path is none of the kinds, or more than one of them.
var ErrKind = errors.New("neither a state directory, nor an export directory, nor an archive")

// kindError is ErrKind in the words of one path.
type kindError struct{ text string }

func (e *kindError) Error() string { return e.text }
func (e *kindError) Unwrap() error { return ErrKind }

// Detect says what kind a path is, by what is in a directory; any file, and "-", is an archive until it is read. Errors are ErrKind, one of
// them for a directory that holds both a store and an export, and the system's.
func Detect(path string) (Kind, error) {
	if path == "-" {
		return KindArchive, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return detectFile(path, info)
	}
	var found []Kind
	for _, is := range []struct {
		file string
		kind Kind
	}{{stages.StoreFile, KindStateDir}, {format.ManifestFile, KindExportDir}} {
		if _, err := os.Stat(filepath.Join(path, is.file)); err == nil {
			found = append(found, is.kind)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	switch len(found) {
	case 0:
		return "", &kindError{fmt.Sprintf("%s holds neither %s nor %s", path, stages.StoreFile, format.ManifestFile)}
	case 2:
		return "", &kindError{fmt.Sprintf("%s holds both %s and %s: say which of them is meant", path, stages.StoreFile, format.ManifestFile)}
	}
	return found[0], nil
}

// detectFile takes any file but a database, whose directory was meant. What is no regular file is not opened: that could wait for a writer.
func detectFile(path string, info fs.FileInfo) (Kind, error) {
	if !info.Mode().IsRegular() {
		return KindArchive, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, len(databaseHead))
	if _, err := io.ReadFull(f, head); err == nil && string(head) == databaseHead {
		return "", &kindError{fmt.Sprintf("%s is a database: name the directory that it is in", path)}
	}
	if filepath.Base(path) == format.ManifestFile {
		return "", &kindError{fmt.Sprintf("%s is a manifest: name the directory that it is in", path)}
	}
	return KindArchive, nil
}

const databaseHead = "SQLite format 3\x00"
