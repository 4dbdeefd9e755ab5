package format

import (
	"errors"
	"strings"
	"testing"
)

// metadataCase is what the reference made of a record: metadata.json.
type metadataCase struct {
	Key, Value, Error, Repair string
	Row                       *struct {
		VatID, Hash, BundleID    string
		StartPos, SnapPos        int64
		EndPos, IsCurrent, Inuse *int64
		Incarnation              *int64
	}
}

func TestMetadataVectors(t *testing.T) {
	for _, c := range vectors[metadataCase](t, "metadata.json") {
		kind, _, _ := strings.Cut(c.Key, ".")
		var err error
		switch kind {
		case "transcript":
			err = c.checkSpan(t)
		case "snapshot":
			err = c.checkSnapshot(t)
		case "bundle":
			var id string
			if id, err = ParseBundleRecord([]byte(c.Key), []byte(c.Value)); err == nil && c.Row != nil && id != c.Row.BundleID {
				t.Errorf("%s: id %q, want %q", c.Key, id, c.Row.BundleID)
			}
		default:
			t.Fatalf("unknown kind %q", kind)
		}
		if (err == nil) != (c.Error == "") {
			t.Errorf("%s %s: error %v, the reference's %q", c.Key, c.Value, err, c.Error)
			continue
		}
		// The engine of the reference words its own errors, we word ours.
		if err != nil && !strings.HasPrefix(c.Error, "SyntaxError: ") && err.Error() != c.Error {
			t.Errorf("%s %s:\nerror %v\n want %s", c.Key, c.Value, err, c.Error)
		}
		if err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrMismatch) {
			t.Errorf("%s %s: error %v has no class", c.Key, c.Value, err)
		}
	}
}

func (c metadataCase) checkSpan(t *testing.T) error {
	got, err := ParseSpan([]byte(c.Key), []byte(c.Value))
	if err != nil || c.Row == nil {
		return err
	}
	want := Span{VatID: c.Row.VatID, Start: c.Row.StartPos, End: nullInt(c.Row.EndPos), Hash: c.Row.Hash, Current: c.Row.IsCurrent != nil, Incarnation: nullInt(c.Row.Incarnation)}
	if got != want {
		t.Errorf("%s %s:\n got %+v\nwant %+v", c.Key, c.Value, got, want)
	}
	return nil
}

func (c metadataCase) checkSnapshot(t *testing.T) error {
	got, current, err := ParseSnapshot([]byte(c.Key), []byte(c.Value))
	if err != nil {
		return err
	}
	if current != (c.Row == nil) {
		t.Errorf("%s: current is %v", c.Key, current)
	}
	if c.Row == nil {
		return nil
	}
	if want := (Snapshot{c.Row.VatID, c.Row.SnapPos, c.Row.Hash, c.Row.Inuse != nil}); got != want {
		t.Errorf("%s %s:\n got %+v\nwant %+v", c.Key, c.Value, got, want)
	}
	repair := ""
	if err := got.CheckKey([]byte(c.Key)); err != nil {
		repair = err.Error()
	}
	if repair != c.Repair {
		t.Errorf("CheckKey(%s) = %q, want %q", c.Key, repair, c.Repair)
	}
	return nil
}

func nullInt(p *int64) NullInt {
	if p == nil {
		return NullInt{}
	}
	return Int(*p)
}

// The reference stores these; no store should hold what they say.
func TestMetadataRefusedHere(t *testing.T) {
	span := func(pos, end, hash, incarnation string) string {
		return `{"vatID":"v1","startPos":` + pos + `,"endPos":` + end + `,"hash":` + hash + `,"isCurrent":1,"incarnation":` + incarnation + `}`
	}
	for _, c := range []struct{ value, want string }{
		{span("1.5", "5", `"h"`, "0"), "startPos is not an integer"},
		{span(`"3"`, "5", `"h"`, "0"), "startPos is not an integer"},
		{span("null", "5", `"h"`, "0"), "startPos is not an integer"},
		{span("3", "5.25", `"h"`, "0"), "endPos is not an integer"},
		{span("3", `"5"`, `"h"`, "0"), "endPos is not an integer"},
		{span("3", "9007199254740993", `"h"`, "0"), "endPos is not an integer"},
		{span("3", "1e400", `"h"`, "0"), "endPos is not an integer"},
		{span("3", "5", `"h"`, "true"), "incarnation is not an integer"},
		{span("3", "5", `5`, "0"), "hash is not a string"},
		{span("3", "5", `{"a":[1]}`, "0"), "hash is not a string"},
	} {
		_, err := ParseSpan([]byte("transcript.v1.current"), []byte(c.value))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.value, err, c.want)
		}
	}
	for _, value := range []string{
		`{"vatID":5,"snapPos":7,"hash":"h","inUse":1}`,
		`{"vatID":"v1","snapPos":7.5,"hash":"h","inUse":1}`,
		`{"vatID":"v1","snapPos":null,"hash":"h","inUse":1}`,
		`{"vatID":"v1","snapPos":7,"hash":["h"],"inUse":1}`,
	} {
		if _, _, err := ParseSnapshot([]byte("snapshot.v1.7"), []byte(value)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestMetadataNumbersAsJavaScriptReadsThem(t *testing.T) {
	value := `{"vatID":"v1","startPos":1e3,"endPos":9007199254740991,"hash":"h","isCurrent":1e0,"incarnation":-0}`
	got, err := ParseSpan([]byte("transcript.v1.current"), []byte(value))
	if want := (Span{"v1", 1000, Int(1<<53 - 1), "h", true, Int(0)}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for _, s := range []Span{
		{"v1", 0, Int(0), InitialSpanHash, true, Int(0)},
		{"v\"é\n", 5, NullInt{}, "h", false, NullInt{}},
		{"v9", 1<<53 - 1, Int(-1), "h", false, Int(12)},
	} {
		e := mustParse(t, AppendSpanRecord(nil, s))
		if got, err := ParseSpan(e.Key, e.Value); err != nil || got != s {
			t.Errorf("got %+v, %v, want %+v", got, err, s)
		}
	}
	s := Snapshot{"v1", 7, "h", false}
	e := mustParse(t, AppendSnapshotRecord(nil, s))
	if got, current, err := ParseSnapshot(e.Key, e.Value); err != nil || current || got != s {
		t.Errorf("got %+v, %v, %v", got, current, err)
	}
	e = mustParse(t, AppendBundleRecord(nil, "b1-00"))
	if id, err := ParseBundleRecord(e.Key, e.Value); err != nil || id != "b1-00" {
		t.Errorf("got %q, %v", id, err)
	}
}

// mustParse parses one line that ends in a newline.
func mustParse(t *testing.T, line []byte) *Entry {
	t.Helper()
	var e Entry
	if err := ParseLine(line[:len(line)-1], &e); err != nil || line[len(line)-1] != '\n' {
		t.Fatalf("%q: %v", line, err)
	}
	return &e
}
