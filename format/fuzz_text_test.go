package format

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var textSeeds = []string{"", "a", "\xe2\x82", "\xed\xa0\x80", "a\x00\"\\\x1f\x7f", "é€😀", "\xf0\x9f\x98x\xff", "x \u00a0\ufeff", "\u0085", "\xc0\x80\xf4\x90\x80\x80"}

// FuzzText compares what is done with the bytes of a TEXT with slower ways to do the same.
func FuzzText(f *testing.F) {
	for _, s := range textSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(checkText)
}

func checkText(t *testing.T, in []byte) {
	text := AppendText(nil, in)
	if !utf8.Valid(text) || utf8.Valid(in) && !bytes.Equal(text, in) {
		t.Fatalf("%q is decoded as %q", in, text)
	}
	// As Go decodes it, with fewer replacements where several bytes are one broken character.
	if got, want := strings.ReplaceAll(string(text), replacement, ""), strings.ReplaceAll(strings.ToValidUTF8(string(in), ""), replacement, ""); got != want {
		t.Fatalf("%q is decoded as %q, its valid part is %q", in, got, want)
	}
	var back string
	if line := AppendString(nil, in); json.Unmarshal(line, &back) != nil || back != string(text) {
		t.Fatalf("%q is printed as %s", in, line)
	}
	if got, want := string(TrimEnd(text)), strings.TrimRightFunc(string(text), isSpace); got != want {
		t.Fatalf("trimmed %q, want %q", got, want)
	}
	for _, v := range []Value{TextValue(in), {Type: Blob, Bytes: in}} {
		if got, want := KVSize(in, v), len(AppendKV(nil, in, v)); got != want {
			t.Fatalf("a line of %d bytes is said to have %d", want, got)
		}
	}
}

var numberSeeds = []seed{
	{"", true}, {" 12\n", true}, {"-0", true}, {"0x1F", true}, {"0b11", true}, {"0o17", true}, {"1e999", true}, {".5", true}, {"5.", true}, {"+Infinity", true}, {"1e-400", true},
	{"0x", false}, {"-0x1", false}, {"1_000", false}, {"inf", false}, {"NaN", false}, {"0x1p4", false}, {"1e", false}, {".", false}, {"\u00851", false},
}

// FuzzNumber checks that numbers come back from their text, and what is a number beside encoding/json, which takes a part of them.
func FuzzNumber(f *testing.F) {
	for i, s := range numberSeeds {
		f.Add(s.in, math.Float64bits(math.Pow(10, float64(i*3-20))))
	}
	f.Fuzz(func(t *testing.T, s string, bits uint64) {
		checkNumber(t, math.Float64frombits(bits))
		if !utf8.ValidString(s) {
			return
		}
		got := ParseNumber(s)
		checkNumber(t, got)
		var want float64
		if json.Unmarshal([]byte(s), &want) == nil && strings.TrimSpace(s) != "null" && got != want {
			t.Fatalf("%q is %v, want %v", s, got, want)
		}
	})
}

func checkNumber(t *testing.T, f float64) {
	text := string(AppendNumber(nil, f))
	if back := ParseNumber(text); text != "NaN" && back != f || (text == "NaN") != (f != f) {
		t.Fatalf("%v is printed as %s, which is %v", f, text, back)
	}
}

var metadataSeeds = []struct {
	key, value string
	ok         bool
}{
	{"snapshot.v1.7", `{"vatID":"v1","snapPos":7,"hash":"ab","inUse":1}`, true},
	{"snapshot.v1.current", "snapshot.v1.7", true},
	{"transcript.v1.current", `{"vatID":"v1","startPos":3,"endPos":9,"hash":"ab","isCurrent":1,"incarnation":null}`, true},
	{"transcript.v1.0", `{"vatID":"v1","startPos":0,"endPos":3,"hash":"ab","isCurrent":0,"incarnation":0}`, true},
	{"bundle.b1-00", "b1-00", true},
	{"transcript.v1.0", `{"vatID":"v1","startPos":1,"endPos":3,"hash":"ab","isCurrent":0,"incarnation":0}`, false},
	{"transcript.v1.0", `{"vatID":"v1"}`, false},
	{"snapshot.v1.7", `[]`, false},
	{"snapshot.v1.7", `{"vatID":"v1","snapPos":1e400,"hash":"ab","inUse":1}`, false},
	{"bundle.b1-00", "b1-01", false},
	{"bundle.b1-00", "", false},
	{"kv.a", "b", false},
}

// parseMetadata parses a value as whatever its key says.
func parseMetadata(key, value []byte) error {
	e := Entry{Key: key, Value: value}
	switch string(e.Tag()) {
	case "transcript":
		_, err := ParseSpan(key, value)
		return err
	case "snapshot":
		s, current, err := ParseSnapshot(key, value)
		if err == nil && !current {
			err = s.CheckKey(key)
		}
		return err
	case "bundle":
		_, err := ParseBundleRecord(key, value)
		return err
	}
	return ErrFormat
}

// FuzzMetadata parses records whose JSON is not in the text of a line: what is taken comes back from its own line.
func FuzzMetadata(f *testing.F) {
	for _, s := range metadataSeeds {
		f.Add([]byte(s.key), []byte(s.value))
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if !utf8.Valid(key) || !utf8.Valid(value) {
			return
		}
		if err := parseMetadata(key, value); err != nil && !isOneOf(err, ErrFormat, ErrMismatch, ErrLimit) {
			t.Fatalf("error without a class: %v", err)
		}
		roundTrip(t, &Entry{Key: key, Value: value})
	})
}

// goodBundle is the files of a bundle that can be imported.
func goodBundle(tb testing.TB) map[string][]byte {
	files, err := readZip(bundleVectorNamed(tb, "b1-good-policy.zip").data)
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

// FuzzCompartmentMap puts any map into a bundle: in FuzzBundle a checksum is in its way.
func FuzzCompartmentMap(f *testing.F) {
	good := goodBundle(f)
	for _, v := range readBundleVectors(f) {
		if files, err := readZip(v.data); err == nil {
			f.Add(files[compartmentMapFile])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseCompartmentMap(data)
		if err == nil {
			err = checkModules(m, good)
		}
		if err != nil && !classified(err) {
			t.Fatalf("unclassified error %v", err)
		}
	})
}

// FuzzModule puts any content into the place of a module of an archive.
func FuzzModule(f *testing.F) {
	for _, v := range readBundleVectors(f) {
		files, _ := readZip(v.data)
		for name, content := range files {
			if name != compartmentMapFile {
				f.Add(content)
			}
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, parser := range []string{"pre-mjs-json", "pre-cjs-json", "json", "text", "bytes", ""} {
			imports, err := moduleImports(parser, "./m.js", content)
			if err != nil && !classified(err) {
				t.Fatalf("%s: unclassified error %v", parser, err)
			}
			for _, specifier := range imports {
				to, err := resolveSpecifier(specifier, "./lib/m.js")
				if err == nil && strings.HasPrefix(to, "./") && slices.Contains(strings.Split(to, "/"), "..") {
					t.Fatalf("%q leads to %q", specifier, to)
				}
			}
		}
	})
}

// What the fuzz targets of this file start from has these outcomes.
func TestTextSeeds(t *testing.T) {
	for _, s := range textSeeds {
		checkText(t, []byte(s))
	}
	for _, s := range numberSeeds {
		if got := ParseNumber(s.in); (got == got) != s.ok {
			t.Errorf("%q is %v", s.in, got)
		}
	}
	for _, s := range metadataSeeds {
		if err := parseMetadata([]byte(s.key), []byte(s.value)); (err == nil) != s.ok {
			t.Errorf("%s %s: %v", s.key, s.value, err)
		}
	}
	good := goodBundle(t)
	if m, err := parseCompartmentMap(good[compartmentMapFile]); err != nil || checkModules(m, good) != nil {
		t.Errorf("the map of a good bundle: %v", err)
	}
	for _, s := range []string{"", "{}", "null", `{"entry":{},"compartments":{}}`} {
		if _, err := parseCompartmentMap([]byte(s)); err == nil {
			t.Errorf("%q is taken for a map", s)
		}
	}
}
