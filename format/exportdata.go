package format

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// MaxLine is the longest line or item that this package takes, in bytes.
// SQLite's own limit for a value is 10^9 bytes.
const MaxLine = 1 << 30

// AppendKV appends the line of one kvStore row: ["kv.KEY",VALUE] and a newline.
// key is the key as stored; rows of keys that begin "local." or "host." are not
// exported, which is for the caller to see.
func AppendKV(dst, key []byte, value Value) []byte {
	dst = appendEscaped(append(dst, `["kv.`...), key)
	dst = AppendJSON(append(dst, `",`...), value)
	return append(dst, ']', '\n')
}

// SpanColumns is a row of transcriptSpans with whatever types it has.
type SpanColumns struct {
	VatID, Start, End, Hash, Incarnation Value
	Current                              bool // isCurrent, by JavaScript's truthiness
}

// AppendSpanColumns appends the line of a span: its key is transcript.V.current
// or transcript.V.START, its value the JSON of the row.
func AppendSpanColumns(dst []byte, c SpanColumns) []byte {
	dst = appendEscapedTemplate(append(dst, `["transcript.`...), c.VatID)
	dst = append(dst, '.')
	current := byte('0')
	if c.Current {
		current = '1'
		dst = append(dst, "current"...)
	} else {
		dst = appendEscapedTemplate(dst, c.Start)
	}
	var room [512]byte
	rec := AppendJSON(append(room[:0], `{"vatID":`...), c.VatID)
	rec = AppendJSON(append(rec, `,"startPos":`...), c.Start)
	rec = AppendJSON(append(rec, `,"endPos":`...), c.End)
	rec = AppendJSON(append(rec, `,"hash":`...), c.Hash)
	rec = append(append(rec, `,"isCurrent":`...), current)
	rec = AppendJSON(append(rec, `,"incarnation":`...), c.Incarnation)
	return appendRecord(dst, append(rec, '}'))
}

// AppendSpanRecord is AppendSpanColumns for a row of the usual types.
func AppendSpanRecord(dst []byte, s Span) []byte {
	return AppendSpanColumns(dst, SpanColumns{
		VatID:       TextValue([]byte(s.VatID)),
		Start:       IntValue(s.Start),
		End:         s.End.value(),
		Hash:        TextValue([]byte(s.Hash)),
		Incarnation: s.Incarnation.value(),
		Current:     s.Current,
	})
}

// SnapshotColumns is a row of snapshots with whatever types it has.
type SnapshotColumns struct {
	VatID, Pos, Hash Value
	InUse            bool
}

// AppendSnapshotColumns appends the line of a snapshot, key snapshot.V.POS, and
// for one in use a second line: snapshot.V.current with the first one's key.
func AppendSnapshotColumns(dst []byte, c SnapshotColumns) []byte {
	dst = c.appendName(append(dst, `["`...))
	var room [512]byte
	rec := AppendJSON(append(room[:0], `{"vatID":`...), c.VatID)
	rec = AppendJSON(append(rec, `,"snapPos":`...), c.Pos)
	rec = AppendJSON(append(rec, `,"hash":`...), c.Hash)
	if !c.InUse {
		return appendRecord(dst, append(rec, `,"inUse":0}`...))
	}
	dst = appendRecord(dst, append(rec, `,"inUse":1}`...))
	dst = appendEscapedTemplate(append(dst, `["snapshot.`...), c.VatID)
	dst = c.appendName(append(dst, `.current","`...))
	return append(dst, "\"]\n"...)
}

// appendName appends snapshot.V.POS as it stands inside a JSON string.
func (c SnapshotColumns) appendName(dst []byte) []byte {
	dst = appendEscapedTemplate(append(dst, "snapshot."...), c.VatID)
	return appendEscapedTemplate(append(dst, '.'), c.Pos)
}

// AppendSnapshotRecord is AppendSnapshotColumns for a row of the usual types.
func AppendSnapshotRecord(dst []byte, s Snapshot) []byte {
	return AppendSnapshotColumns(dst, SnapshotColumns{
		VatID: TextValue([]byte(s.VatID)),
		Pos:   IntValue(s.Pos),
		Hash:  TextValue([]byte(s.Hash)),
		InUse: s.InUse,
	})
}

// AppendBundleRecord appends the line of a bundle: ["bundle.ID","ID"].
func AppendBundleRecord(dst []byte, id string) []byte {
	return AppendBundleColumn(dst, TextValue([]byte(id)))
}

// AppendBundleColumn is AppendBundleRecord for a bundleID of any type.
func AppendBundleColumn(dst []byte, id Value) []byte {
	dst = appendEscapedTemplate(append(dst, `["bundle.`...), id)
	dst = AppendJSON(append(dst, `",`...), id)
	return append(dst, ']', '\n')
}

// appendRecord ends a line whose key was appended: the value is rec, JSON text,
// as a string.
func appendRecord(dst, rec []byte) []byte {
	dst = AppendString(append(dst, `",`...), rec)
	return append(dst, ']', '\n')
}

// Entry is one line of export data. Its slices belong to the Entry or to the
// line it was parsed from, and hold until the next ParseLine or until the line
// changes. An Entry keeps its buffers: reuse it.
type Entry struct {
	// Key is the first element, decoded. A surrogate that stands alone in the
	// JSON (\ud800) is three bytes, ED A0 80, in Key and in Value.
	Key []byte
	// Value is the second element, decoded; empty if Null.
	Value []byte
	// Null: the value is null or missing, which deletes the key.
	Null bool

	more bool // there are elements behind the value

	keyBuf, valueBuf, lineBuf []byte
}

// Tag returns Key up to its first dot: kv, snapshot, transcript or bundle.
func (e *Entry) Tag() []byte {
	tag, _, _ := bytes.Cut(e.Key, []byte("."))
	return tag
}

// KVKey returns what follows the tag and its dot: the kvStore key of a kv entry.
func (e *Entry) KVKey() []byte {
	_, key, _ := bytes.Cut(e.Key, []byte("."))
	return key
}

// ParseLine parses a line of export data, without its newline, into e. The line
// is a JSON array of a string and a string or null; white space between them is
// ignored, and so are a third and further elements, as JavaScript's
// destructuring does. Broken UTF-8 is decoded as AppendText does. Errors are
// ErrFormat or ErrLimit; after one, e holds nothing of use.
func ParseLine(line []byte, e *Entry) error {
	if len(line) > MaxLine {
		return errorf(ErrLimit, "export data line of %d bytes, at most %d are taken", len(line), MaxLine)
	}
	if !utf8.Valid(line) {
		e.lineBuf = AppendText(e.lineBuf[:0], line)
		line = e.lineBuf
	}
	e.Key, e.Value, e.Null, e.more = nil, nil, false, false
	if !e.parse(line) {
		return e.explain(line)
	}
	return nil
}

// parse takes lines of two elements. It returns false for whatever is less
// usual than that, right or wrong.
func (e *Entry) parse(line []byte) (ok bool) {
	i := skipSpace(line, 0)
	if i >= len(line) || line[i] != '[' {
		return false
	}
	if i = skipSpace(line, i+1); i >= len(line) || line[i] != '"' {
		return false
	}
	if e.Key, i, ok = scanString(line, i, &e.keyBuf); !ok {
		return false
	}
	if i = skipSpace(line, i); i >= len(line) || line[i] != ',' {
		return false
	}
	if i = skipSpace(line, i+1); i >= len(line) {
		return false
	}
	switch {
	case line[i] == '"':
		if e.Value, i, ok = scanString(line, i, &e.valueBuf); !ok {
			return false
		}
	case bytes.HasPrefix(line[i:], []byte("null")):
		e.Null = true
		i += len("null")
	default:
		return false
	}
	if i = skipSpace(line, i); i >= len(line) || line[i] != ']' {
		return false
	}
	return skipSpace(line, i+1) == len(line)
}

// explain takes a line that parse did not: it fills e from an array of one, or
// of three and more elements, or says what is wrong.
func (e *Entry) explain(line []byte) error {
	if !json.Valid(line) {
		return syntaxError("export data line", line)
	}
	i := skipSpace(line, 0)
	if line[i] != '[' {
		return errorf(ErrFormat, "export data line is not an array")
	}
	if i = skipSpace(line, i+1); line[i] != '"' {
		return errorf(ErrFormat, "export data key must be a string")
	}
	e.Key, i, _ = scanString(line, i, &e.keyBuf)
	if i = skipSpace(line, i); line[i] == ']' {
		e.Null = true
		return nil
	}
	e.more = true // parse takes all that have just two
	switch i = skipSpace(line, i+1); line[i] {
	case '"':
		e.Value, _, _ = scanString(line, i, &e.valueBuf)
	case 'n':
		e.Null = true
	default:
		return errorf(ErrFormat, "value must be a string, export data key %s", quote(e.Key))
	}
	return nil
}
