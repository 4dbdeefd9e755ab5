package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// seed is an input whose outcome is known: TestSeeds asserts it, the fuzz
// targets start from it.
type seed struct {
	in string
	ok bool
}

var lineSeeds = []seed{
	{`["kv.ko1.refCount","1,1"]`, true},
	{`["kv.v1.c.ko2","{\"body\":\"#\\\"$0\\\"\",\"slots\":[\"ko12\"]}"]`, true},
	{`["kv.gone",null]`, true},
	{`["kv.gone"]`, true},
	{` [ "kv.\ud83d\ude00\ud800" , "\u0000\/\b" , 5 ] `, true},
	{"[\"kv.\xe2\x82\",\"\xff\"]", true},
	{`["snapshot.v1.7","{\"vatID\":\"v1\",\"snapPos\":7,\"hash\":\"ab\",\"inUse\":1}"]`, true},
	{`["snapshot.v1.current","snapshot.v1.7"]`, true},
	{`["transcript.v1.current","{\"vatID\":\"v1\",\"startPos\":3,\"endPos\":9,\"hash\":\"ab\",\"isCurrent\":1,\"incarnation\":null}"]`, true},
	{`["transcript.v1.0","{ \"incarnation\" : 0,\"x\":[{\"y\":\"]\"}],\"isCurrent\":0, \"hash\":\"ab\",\"endPos\":3,\"startPos\":0.0,\"vatID\":\"\\u00761\"}"]`, true},
	{`["bundle.b1-00","b1-00"]`, true},
	{``, false},
	{`["kv.a","b"`, false},
	{`["kv.a","b"]x`, false},
	{`["kv.a",5]`, false},
	{`[5,"b"]`, false},
	{`{"kv.a":"b"}`, false},
	{`["kv.a","\u12g4"]`, false},
	{"[\"kv.a\",\"b\n\"]", false},
	{strings.Repeat("[", 20000), false},
}

var nameSeeds = []seed{
	{"snapshot.v1.5", true}, {"transcript.v1.0.5", true}, {"bundle.b0-00", true}, {"transcript.v1. 0x5.1e3", true}, {"bundle.", true}, {"snapshot..", true},
	{"", false}, {"snapshot", false}, {"snapshot.v1.5.6", false}, {"transcript.v1.5", false}, {"transcript.v1.a.5", false}, {"bundle.a.b", false}, {"snapshot.v1.1e999", false}, {"x.y.z", false},
}

var manifestSeeds = []seed{
	{`{"blockHeight":5,"artifactMode":"replay","artifacts":[["a","1-a"],["b","b"]],"data":"export-data.jsonl"}`, true},
	{`{"blockHeight":5,"artifacts":[],"data":null,"more":{"x":[1,{}]}}`, true},
	{"{}", true}, {" {}\n", true}, {`{"blockHeight":"5"}`, true},
	{"", false}, {"{", false}, {"[]", false}, {`{"artifacts":[["a"]]}`, false}, {`{"artifacts":[["a","1"],["a","2"]]}`, false}, {`{"artifacts":[["a","1"],["b","1"]]}`, false},
	{`{"data":"a`, false}, {`{"data":"a"}{}`, false}, {"\x00", false},
}

var spanSeeds = []string{"", "\n", "a", "a\nb\n", "a\n\n\nb", "a \u00a0\ufeff\nb\xe2\x82\n\xff", "{\"d\":[]}\r\n", "é\n€\n😀\n", "\u0085\n"}

func TestSeeds(t *testing.T) {
	check := func(kind string, seeds []seed, parse func(string) error) {
		if len(seeds) < 10 {
			t.Errorf("only %d seeds of %s", len(seeds), kind)
		}
		for _, s := range seeds {
			if err := parse(s.in); (err == nil) != s.ok {
				t.Errorf("%s %.60q: %v, want ok %v", kind, s.in, err, s.ok)
			}
		}
	}
	check("line", lineSeeds, func(s string) error { return ParseLine([]byte(s), new(Entry)) })
	check("name", nameSeeds, func(s string) error { _, err := ParseName(s); return err })
	check("manifest", manifestSeeds, func(s string) error { _, err := ReadManifest(strings.NewReader(s)); return err })
	for in, want := range map[string]int{spanSeeds[0]: 0, spanSeeds[1]: 1, spanSeeds[2]: 1, spanSeeds[3]: 2, spanSeeds[4]: 4, spanSeeds[5]: 3} {
		if got := len(items(t, []byte(in), 1)); got != want {
			t.Errorf("span %q has %d items, want %d", in, got, want)
		}
	}
}

// addLines adds the lines of the reference's export and those of lines.json.
func addLines(f *testing.F) {
	data, err := os.ReadFile(filepath.Join(referenceDir, ExportDataFile))
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		f.Add(bytes.TrimSuffix(line, []byte("\n")))
	}
	for _, c := range vectors[struct{ Line string }](f, "lines.json") {
		f.Add(unhex(f, c.Line))
	}
	for _, s := range lineSeeds {
		f.Add([]byte(s.in))
	}
}

func FuzzExportDataLine(f *testing.F) {
	addLines(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		var e Entry
		err := ParseLine(line, &e)
		key, value, null, ok := oracleLine(line)
		if (err == nil) != ok {
			t.Fatalf("ParseLine: %v, encoding/json takes it: %v", err, ok)
		}
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("error without a class: %v", err)
			}
			return
		}
		// encoding/json has no lone surrogates: compare where there are none.
		if e.Null != null || utf8.Valid(e.Key) && string(e.Key) != key || utf8.Valid(e.Value) && string(e.Value) != value {
			t.Fatalf("got %q %q %v, want %q %q %v", e.Key, e.Value, e.Null, key, value, null)
		}
		roundTrip(t, &e)
	})
}

// oracleLine is ParseLine by encoding/json.
func oracleLine(line []byte) (key, value string, null, ok bool) {
	var list []json.RawMessage
	if json.Unmarshal(AppendText(nil, line), &list) != nil || len(list) == 0 || list[0][0] != '"' {
		return "", "", false, false
	}
	if json.Unmarshal(list[0], &key) != nil {
		return "", "", false, false
	}
	if len(list) == 1 || string(list[1]) == "null" {
		return key, "", true, true
	}
	return key, value, false, list[1][0] == '"' && json.Unmarshal(list[1], &value) == nil
}

// roundTrip writes what was parsed and parses it again.
func roundTrip(t *testing.T, e *Entry) {
	if string(e.Tag()) == "kv" && !e.Null && utf8.Valid(e.Key) && utf8.Valid(e.Value) {
		again := mustParse(t, AppendKV(nil, e.KVKey(), TextValue(e.Value)))
		if !bytes.Equal(again.KVKey(), e.KVKey()) || !bytes.Equal(again.Value, e.Value) {
			t.Fatalf("kv %q %q came back as %q %q", e.KVKey(), e.Value, again.KVKey(), again.Value)
		}
	}
	// Whatever the tag: no panic, and what parses once parses the same again.
	// Text that is not UTF-8 is left out, it changes on the way.
	if s, err := ParseSpan(e.Key, e.Value); err == nil && utf8.ValidString(s.VatID+s.Hash) {
		again := mustParse(t, AppendSpanRecord(nil, s))
		if got, err := ParseSpan(again.Key, again.Value); !strings.Contains(s.VatID, ".") && (err != nil || got != s) {
			t.Fatalf("span %+v came back as %+v, %v", s, got, err)
		}
	}
	if s, current, err := ParseSnapshot(e.Key, e.Value); err == nil && !current && utf8.ValidString(s.VatID+s.Hash) {
		lines := AppendSnapshotRecord(nil, s)
		again := mustParse(t, lines[:bytes.IndexByte(lines, '\n')+1])
		got, _, err := ParseSnapshot(again.Key, again.Value)
		if !strings.Contains(s.VatID, ".") && (err != nil || got != s || got.CheckKey(again.Key) != nil) {
			t.Fatalf("snapshot %+v came back as %+v, %v", s, got, err)
		}
	}
	if id, err := ParseBundleRecord(e.Key, e.Value); err == nil && id != string(e.Value) {
		t.Fatalf("bundle %q has the record %q", id, e.Value)
	}
}

func FuzzManifest(f *testing.F) {
	for _, s := range manifestSeeds {
		f.Add([]byte(s.in))
	}
	f.Add(exampleManifest(f))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := ReadManifest(bytes.NewReader(in))
		if err != nil {
			known := []error{ErrFormat, ErrIncomplete, ErrDuplicate, ErrLimit, io.ErrUnexpectedEOF}
			if m != nil || !slices.ContainsFunc(known, func(k error) bool { return errors.Is(err, k) }) {
				t.Fatalf("%+v, error without a class: %v", m, err)
			}
			return
		}
		if !json.Valid(in) && bytes.Count(in, []byte("["))+bytes.Count(in, []byte("{")) < 1000 {
			t.Fatal("took what is no JSON")
		}
		var out bytes.Buffer
		w := NewManifestWriter(&out, m.BlockHeight, m.ArtifactMode)
		for _, a := range m.Artifacts.All() {
			if err := w.Add(a.Name, a.File); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(m.Data); err != nil {
			t.Fatal(err)
		}
		again, err := ReadManifest(&out)
		if err != nil || again.ArtifactMode != m.ArtifactMode || again.Data != m.Data || !reflect.DeepEqual(again.Artifacts, m.Artifacts) ||
			m.HasBlockHeight && again.BlockHeight != m.BlockHeight && again.HasBlockHeight {
			t.Fatalf("%+v came back as %+v, %v", m, again, err)
		}
	})
}

func FuzzArtifactName(f *testing.F) {
	for _, s := range nameSeeds {
		f.Add(s.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		n, err := ParseName(in)
		if err != nil {
			if !errors.Is(err, ErrFormat) || n != (Name{}) && n.Kind != KindBundle {
				t.Fatalf("%+v, %v", n, err)
			}
			return
		}
		if again, err := ParseName(n.String()); err != nil || again != n {
			t.Fatalf("%+v came back as %+v, %v", n, again, err)
		}
	})
}

func FuzzSpanSplit(f *testing.F) {
	for _, s := range spanSeeds {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		got := items(t, in, int(chunk)+1)
		var want []string
		for line := range bytes.Lines(in) {
			want = append(want, string(TrimEnd(AppendText(nil, line))))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("chunks of %d: %q, want %q", int(chunk)+1, got, want)
		}
		var out []byte
		for _, item := range got {
			if !ItemSurvives([]byte(item)) {
				t.Fatalf("%q was split but does not survive", item)
			}
			out = AppendItem(out, TextValue([]byte(item)))
		}
		if again := items(t, out, int(chunk)+1); !slices.Equal(again, got) {
			t.Fatalf("%q came back as %q", got, again)
		}
	})
}
