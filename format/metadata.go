package format

import (
	"bytes"
	"encoding/json"
	"strings"
)

// NullInt is an integer or NULL.
type NullInt struct {
	V     int64
	Valid bool // false: NULL
}

// Int returns a NullInt that is n.
func Int(n int64) NullInt { return NullInt{n, true} }

func (n NullInt) value() Value {
	if !n.Valid {
		return Value{}
	}
	return IntValue(n.V)
}

// Span is the record of a transcript span: items Start to End-1 of a vat.
type Span struct {
	VatID       string
	Start       int64
	End         NullInt
	Hash        string // see SpanHash
	Current     bool
	Incarnation NullInt
}

// Snapshot is the record of a heap snapshot of a vat.
type Snapshot struct {
	VatID string
	Pos   int64  // position of its save-snapshot item, the last of a span: that span's End is Pos+1
	Hash  string // SHA-256 of the uncompressed heap, hex
	InUse bool
}

// ParseSpan parses a transcript record: the key and value of an Entry whose tag
// is transcript. The value is JSON with its members in any order and others
// among them; endPos and incarnation may be null. Errors are ErrFormat, and
// ErrMismatch where key and value disagree.
func ParseSpan(key, value []byte) (Span, error) {
	rec, err := parseRecord("transcript", value)
	if err != nil {
		return Span{}, err
	}
	mismatch := func() error {
		return errorf(ErrMismatch, "transcript key %s mismatches metadata %s", quote(key), rec)
	}
	current := bytes.HasSuffix(key, []byte(".current"))
	if current != truthy(rec.current) {
		return Span{}, mismatch()
	}
	if err := rec.require("vatID", "startPos", "endPos", "hash", "isCurrent", "incarnation"); err != nil {
		return Span{}, err
	}
	_, keyVat, keyPos := splitKey(key)
	if keyPos != "current" && !sameNumber(keyPos, rec.pos) {
		return Span{}, mismatch()
	}
	s := Span{Current: current}
	if s.VatID, err = rec.text("vatID", rec.vatID); err != nil {
		return Span{}, err
	}
	if s.VatID != keyVat {
		return Span{}, mismatch()
	}
	if err := rec.fillSpan(&s); err != nil {
		return Span{}, err
	}
	return s, nil
}

// fillSpan sets what is not compared with the key.
func (r *record) fillSpan(s *Span) (err error) {
	if s.Start, err = r.integer("startPos", r.pos); err != nil {
		return err
	}
	if s.End, err = r.nullInt("endPos", r.end); err != nil {
		return err
	}
	if s.Incarnation, err = r.nullInt("incarnation", r.incarnation); err != nil {
		return err
	}
	s.Hash, err = r.text("hash", r.hash)
	return err
}

// ParseSnapshot parses a snapshot record. A record snapshot.V.current only says
// which one is in use, which the records themselves do too: current is then
// true and s empty. Import does not compare the key with the value; CheckKey
// does. Errors are ErrFormat.
func ParseSnapshot(key, value []byte) (s Snapshot, current bool, err error) {
	if _, _, pos := splitKey(key); pos == "current" {
		return Snapshot{}, true, nil
	}
	rec, err := parseRecord("snapshot", value)
	if err != nil {
		return Snapshot{}, false, err
	}
	if err := rec.require("vatID", "snapPos", "hash", "inUse"); err != nil {
		return Snapshot{}, false, err
	}
	if s.VatID, err = rec.text("vatID", rec.vatID); err != nil {
		return Snapshot{}, false, err
	}
	if s.Pos, err = rec.integer("snapPos", rec.pos); err != nil {
		return Snapshot{}, false, err
	}
	if s.Hash, err = rec.text("hash", rec.hash); err != nil {
		return Snapshot{}, false, err
	}
	s.InUse = truthy(rec.current)
	return s, false, nil
}

// CheckKey compares a snapshot record with its key, as repair-metadata does.
// The error is ErrMismatch.
func (s Snapshot) CheckKey(key []byte) error {
	_, vat, pos := splitKey(key)
	if vat != s.VatID {
		return errorf(ErrMismatch, "Expected %s is same as %s", quote(vat), quote(s.VatID))
	}
	switch n := ParseNumber(pos); {
	case n != n:
		return errorf(ErrMismatch, "Expected \"[NaN]\" is same as %d", s.Pos)
	case n != float64(s.Pos):
		return errorf(ErrMismatch, "Expected %s is same as %d", AppendNumber(nil, n), s.Pos)
	}
	return nil
}

// ParseBundleRecord parses a bundle record, whose value is the id in its key.
// Errors are ErrFormat and ErrMismatch.
func ParseBundleRecord(key, value []byte) (id string, err error) {
	if id, err = bundleIDFromName(string(key)); err != nil {
		return "", err
	}
	if id != string(value) {
		return "", errorf(ErrMismatch, "Expected %s is same as %s", quote(id), quote(value))
	}
	return id, nil
}

// splitKey returns the first three parts of a key, "" where there are fewer.
func splitKey(key []byte) (tag, vat, pos string) {
	tag, rest, _ := strings.Cut(string(key), ".")
	vat, rest, _ = strings.Cut(rest, ".")
	pos, _, _ = strings.Cut(rest, ".")
	return tag, vat, pos
}

// sameNumber reports whether JavaScript's Number(s) is the number in raw.
func sameNumber(s string, raw []byte) bool {
	// A part that is missing is undefined there, which is no number. An empty
	// one ("transcript.v1.") would be 0; it is refused here like a missing one.
	return s != "" && isNumber(raw) && ParseNumber(s) == ParseNumber(string(raw))
}

// record is the JSON text of the members that a metadata record may have; nil
// is a missing one. pos is startPos or snapPos, current is isCurrent or inUse.
type record struct {
	kind                                        string
	value                                       []byte
	vatID, pos, end, hash, current, incarnation []byte
}

func parseRecord(kind string, value []byte) (*record, error) {
	if !json.Valid(value) {
		return nil, syntaxError(kind+" metadata", value)
	}
	r := &record{kind: kind, value: value}
	members(value, func(name, raw []byte) {
		if p := r.member(string(name)); p != nil {
			*p = raw
		}
	})
	return r, nil
}

// member is where the member called name is kept.
func (r *record) member(name string) *[]byte {
	switch name {
	case "vatID":
		return &r.vatID
	case "hash":
		return &r.hash
	}
	switch {
	case r.kind == "snapshot" && name == "snapPos", r.kind != "snapshot" && name == "startPos":
		return &r.pos
	case r.kind == "snapshot" && name == "inUse", r.kind != "snapshot" && name == "isCurrent":
		return &r.current
	case name == "endPos":
		return &r.end
	case name == "incarnation":
		return &r.incarnation
	}
	return nil
}

// require checks that the members called names are there; vatID and hash must
// be truthy too.
func (r *record) require(names ...string) error {
	for _, name := range names {
		raw := *r.member(name)
		missing := raw == nil
		if name == "vatID" || name == "hash" {
			missing = !truthy(raw)
		}
		if missing {
			return errorf(ErrFormat, "%s metadata missing %s: %s", r.kind, name, r)
		}
	}
	return nil
}

// text is the string in raw.
func (r *record) text(name string, raw []byte) (string, error) {
	if raw[0] != '"' {
		return "", errorf(ErrFormat, "%s metadata %s is not a string: %s", r.kind, name, r)
	}
	var buf []byte
	s, _, _ := scanString(raw, 0, &buf)
	return string(s), nil
}

// integer is the number in raw, one that a JavaScript number holds exactly.
func (r *record) integer(name string, raw []byte) (int64, error) {
	if isNumber(raw) {
		if n, ok := safeInteger(ParseNumber(string(raw))); ok {
			return n, nil
		}
	}
	return 0, errorf(ErrFormat, "%s metadata %s is not an integer below 2^53: %s", r.kind, name, r)
}

// nullInt is the number or null in raw.
func (r *record) nullInt(name string, raw []byte) (NullInt, error) {
	if raw[0] == 'n' {
		return NullInt{}, nil
	}
	n, err := r.integer(name, raw)
	return NullInt{n, err == nil}, err
}

// isNumber reports whether raw, a JSON value, is a number.
func isNumber(raw []byte) bool {
	return len(raw) > 0 && (raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9')
}

// truthy is JavaScript's Boolean() of the JSON value raw, or of undefined.
func truthy(raw []byte) bool {
	switch {
	case raw == nil, raw[0] == 'n', raw[0] == 'f':
		return false
	case raw[0] == '"':
		return len(raw) > 2
	case isNumber(raw):
		return ParseNumber(string(raw)) != 0
	}
	return true
}

// String is the record as the reference prints it in an error: members sorted.
func (r *record) String() string {
	var v any
	d := json.NewDecoder(bytes.NewReader(r.value))
	d.UseNumber()
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if d.Decode(&v) != nil || e.Encode(v) != nil {
		return quote(r.value)
	}
	s := strings.TrimSuffix(out.String(), "\n")
	if len(s) > maxQuoted {
		return s[:maxQuoted] + "..."
	}
	return s
}
