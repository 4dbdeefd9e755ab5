package format

import (
	"strconv"
	"strings"
)

// Kind says what an artifact is.
type Kind uint8

// The kinds of artifacts, in the order in which a manifest lists them.
const (
	KindSnapshot Kind = iota + 1
	KindTranscript
	KindBundle
)

// String returns the first part of the artifact's name.
func (k Kind) String() string {
	switch k {
	case KindSnapshot:
		return "snapshot"
	case KindTranscript:
		return "transcript"
	case KindBundle:
		return "bundle"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Name is a parsed artifact name.
type Name struct {
	Kind     Kind
	VatID    string // snapshot and transcript
	Pos      int64  // snapshot: snapPos; transcript: startPos, inclusive
	End      int64  // transcript: endPos, exclusive
	BundleID string // bundle
}

// AppendSnapshotName appends snapshot.{vatID}.{snapPos}.
func AppendSnapshotName(dst []byte, vatID string, snapPos int64) []byte {
	dst = append(append(dst, "snapshot."...), vatID...)
	return strconv.AppendInt(append(dst, '.'), snapPos, 10)
}

// AppendSpanName appends transcript.{vatID}.{startPos}.{endPos}.
func AppendSpanName(dst []byte, vatID string, start, end int64) []byte {
	dst = append(append(dst, "transcript."...), vatID...)
	dst = strconv.AppendInt(append(dst, '.'), start, 10)
	return strconv.AppendInt(append(dst, '.'), end, 10)
}

// AppendBundleName appends bundle.{bundleID}.
func AppendBundleName(dst []byte, id string) []byte {
	return append(append(dst, "bundle."...), id...)
}

// String returns the artifact name.
func (n Name) String() string {
	switch n.Kind {
	case KindSnapshot:
		return string(AppendSnapshotName(nil, n.VatID, n.Pos))
	case KindTranscript:
		return string(AppendSpanName(nil, n.VatID, n.Pos, n.End))
	case KindBundle:
		return string(AppendBundleName(nil, n.BundleID))
	}
	return n.Kind.String()
}

// ParseName parses an artifact name as import does. A position is whatever
// JavaScript's Number() takes, so "transcript.v1.00.0x5" is transcript.v1.0.5;
// one that is no integer up to 2^53 is an error. Errors are ErrFormat.
func ParseName(s string) (Name, error) {
	tag, _, _ := strings.Cut(s, ".")
	parts := strings.Count(s, ".") + 1
	switch tag {
	case "snapshot":
		if parts != 3 {
			return Name{}, errorf(ErrFormat, "expected snapshot name of the form 'snapshot.{vatID}.{snapPos}', saw '%s'", quote(s))
		}
	case "transcript":
		if parts != 4 {
			return Name{}, errorf(ErrFormat, "expected artifact name of the form 'transcript.{vatID}.{startPos}.{endPos}', saw '%s'", quote(s))
		}
	case "bundle":
		id, err := bundleIDFromName(s)
		return Name{Kind: KindBundle, BundleID: id}, err
	default:
		return Name{}, errorf(ErrFormat, "unknown artifact type %s on import", quote(tag))
	}
	return parsePositions(s)
}

// parsePositions parses a snapshot's or span's name, whose parts were counted.
func parsePositions(s string) (Name, error) {
	parts := strings.Split(s, ".")
	n := Name{Kind: KindSnapshot, VatID: parts[1]}
	if len(parts) == 4 {
		n.Kind = KindTranscript
	}
	for i, p := range parts[2:] {
		pos, ok := safeInteger(ParseNumber(p))
		if !ok {
			return Name{}, errorf(ErrFormat, "artifact name %s: position %s is not an integer", quote(s), quote(p))
		}
		if i == 0 {
			n.Pos = pos
		} else {
			n.End = pos
		}
	}
	return n, nil
}

// bundleIDFromName returns what follows "bundle.", which has no dot in it.
func bundleIDFromName(s string) (string, error) {
	id, ok := strings.CutPrefix(s, "bundle.")
	if !ok || strings.Contains(id, ".") {
		return "", errorf(ErrFormat, "expected artifact name of the form 'bundle.{bundleID}', saw %s", quote(s))
	}
	return id, nil
}
