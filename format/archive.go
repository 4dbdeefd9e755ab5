package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Entries of an archive that are no part of the export directory.
const (
	ArchiveHeaderFile = "swingport-archive.jsonl" // the first entry
	ArchiveIndexFile  = "swingport-index"         // the last entry
)

// ArchiveVersion is the version of archives that this package writes, and the
// only one that it reads.
const ArchiveVersion = 1

// Limits of an archive.
const (
	// MaxArchiveEntries is the largest number of entries before the index.
	MaxArchiveEntries = 5_000_000
	// MaxArchiveSize is the largest tar, without its index, in bytes.
	MaxArchiveSize = 1 << 50
	// MaxArchiveHeader is the longest first line of an ArchiveHeaderFile, in bytes.
	MaxArchiveHeader = 1024
)

// ErrArchiveVersion: an archive of another version, made by a newer program. It
// also is ErrFormat.
var ErrArchiveVersion = errorf(ErrFormat, "unknown archive version")

// SnapshotForm says how an archive or a directory holds heap snapshots.
type SnapshotForm string

// The forms of snapshots: as the reference exports them, or as the store holds them.
const (
	RawSnapshots  SnapshotForm = "raw"
	GzipSnapshots SnapshotForm = "gzip"
)

// ParseSnapshotForm takes one of the two names; anything else is ErrMode.
func ParseSnapshotForm(s string) (SnapshotForm, error) {
	switch f := SnapshotForm(s); f {
	case RawSnapshots, GzipSnapshots:
		return f, nil
	}
	return "", errorf(ErrMode, "invalid value %s for snapshots, known are raw and gzip", quote(s))
}

// File is the name of the file that holds the snapshot artifact of that name.
func (f SnapshotForm) File(name string) string {
	if f == GzipSnapshots {
		return name + ".gz"
	}
	return name
}

// ArchiveHeader is the first line of an ArchiveHeaderFile.
type ArchiveHeader struct {
	BlockHeight    float64
	HasBlockHeight bool // false: the line says null, as a manifest does for a height that is not finite
	ArtifactMode   ArtifactMode
	ExportData     bool // the archive has an ExportDataFile
	Snapshots      SnapshotForm
}

const archiveFormat = "swingport-archive"

// AppendArchiveHeader appends the line with its newline. The mode and the form
// have to be known ones.
func AppendArchiveHeader(dst []byte, h ArchiveHeader) []byte {
	dst = append(dst, `{"format":"`+archiveFormat+`","version":`...)
	dst = strconv.AppendInt(dst, ArchiveVersion, 10)
	dst = append(dst, `,"blockHeight":`...)
	if h.HasBlockHeight {
		dst = appendFinite(dst, h.BlockHeight)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"artifactMode":"`...)
	dst = append(dst, h.ArtifactMode...)
	dst = append(dst, `","exportData":`...)
	dst = strconv.AppendBool(dst, h.ExportData)
	dst = append(dst, `,"snapshots":"`...)
	dst = append(dst, h.Snapshots...)
	return append(dst, "\"}\n"...)
}

// ParseArchiveHeader reads the line, given without its newline. It takes only
// what AppendArchiveHeader writes. Errors are ErrFormat, one of them
// ErrArchiveVersion, ErrMode or ErrLimit.
func ParseArchiveHeader(line []byte) (ArchiveHeader, error) {
	if len(line) > MaxArchiveHeader {
		return ArchiveHeader{}, errorf(ErrLimit, "archive header of more than %d bytes", MaxArchiveHeader)
	}
	// A later version may have other members: the version first.
	var v struct {
		Format  string
		Version int64
	}
	if err := json.Unmarshal(line, &v); err != nil || v.Format != archiveFormat {
		return ArchiveHeader{}, errorf(ErrFormat, "not the header of an archive: %s", quote(line))
	}
	if v.Version != ArchiveVersion {
		return ArchiveHeader{}, errorf(ErrArchiveVersion, "archive has version %d, this program reads version %d", v.Version, ArchiveVersion)
	}
	return parseHeader1(line)
}

// parseHeader1 reads a line of version 1.
func parseHeader1(line []byte) (ArchiveHeader, error) {
	var v struct {
		BlockHeight  *float64
		ArtifactMode string
		ExportData   bool
		Snapshots    string
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return ArchiveHeader{}, errorf(ErrFormat, "archive header: %v", err)
	}
	h := ArchiveHeader{ExportData: v.ExportData}
	if v.BlockHeight != nil {
		h.BlockHeight, h.HasBlockHeight = *v.BlockHeight, true
	}
	var err error
	if h.ArtifactMode, err = ParseArtifactMode(v.ArtifactMode); err != nil {
		return ArchiveHeader{}, err
	}
	if h.Snapshots, err = ParseSnapshotForm(v.Snapshots); err != nil {
		return ArchiveHeader{}, err
	}
	if !bytes.Equal(AppendArchiveHeader(nil, h), append(bytes.Clone(line), '\n')) {
		return ArchiveHeader{}, errorf(ErrFormat, "archive header is not as version %d writes it: %s", ArchiveVersion, quote(line))
	}
	return h, nil
}

// CheckArchiveName checks the name of a file in an archive: UTF-8 of 1 to MaxName
// bytes that can name a file in a directory, so no slash, no NUL, not "." or
// "..". Errors are ErrFormat or ErrLimit.
func CheckArchiveName(name string) error {
	switch {
	case len(name) > MaxName:
		return errorf(ErrLimit, "file name of more than %d bytes", MaxName)
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/\x00"), !utf8.ValidString(name):
		return errorf(ErrFormat, "invalid file name %s", quote(name))
	}
	return nil
}

// readFull fills p; io.ErrUnexpectedEOF where r ends before.
func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// ReadFullAt fills p from offset off; io.ErrUnexpectedEOF where r ends before.
func ReadFullAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}
