package format

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadManifest(t *testing.T) {
	long := strings.Repeat("x", MaxName)
	for _, c := range []struct {
		name, in string
		want     Manifest
	}{
		{"minimal", `{}`, Manifest{}},
		{"white space around", " \n{ \"blockHeight\" : 5 }\t\n", Manifest{BlockHeight: 5, HasBlockHeight: true}},
		{"height as JavaScript reads it", `{"blockHeight":1.5e1}`, Manifest{BlockHeight: 15, HasBlockHeight: true}},
		{"height a string", `{"blockHeight":"5"}`, Manifest{}},
		{"height an object", `{"blockHeight":{"a":[1,{}]},"data":"d"}`, Manifest{Data: "d"}},
		{"height null", `{"blockHeight":null,"data":"d"}`, Manifest{Data: "d"}},
		{"height false", `{"blockHeight":false,"data":"d"}`, Manifest{Data: "d"}},
		{"unknown members", `{"a":[[{"b":[]}],1],"data":"d","c":{},"e":null,"f":"g"}`, Manifest{Data: "d"}},
		{"names differ", `{"artifacts":[["a","1-a"],["b","2-b"]]}`, Manifest{Artifacts: ArtifactsOf(Artifact{"a", "1-a"}, Artifact{"b", "2-b"})}},
		{"extra elements", `{"artifacts":[["a","b",1,{"x":[]}]]}`, Manifest{Artifacts: ArtifactsOf(Artifact{"a", "b"})}},
		{"empty and null", `{"artifacts":null,"data":null,"artifactMode":null}`, Manifest{HasArtifactMode: true}},
		{"last counts", `{"data":"a","data":"b","blockHeight":1,"blockHeight":"x","artifacts":[["a","a"]],"artifacts":[]}`, Manifest{Data: "b"}},
		{"longest name", `{"data":"` + long + `"}`, Manifest{Data: long}},
		{"escapes", `{"data":"\u0061\/b"}`, Manifest{Data: "a/b"}},
	} {
		got, err := ReadManifest(iotest.OneByteReader(strings.NewReader(c.in)))
		if err != nil || fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestReadManifestDefects(t *testing.T) {
	for _, c := range []struct {
		name, in string
		class    error
		text     string
	}{
		{"empty", "", ErrIncomplete, "empty manifest: the export did not finish"},
		{"only white space", " \n", ErrIncomplete, "empty manifest"},
		{"zeros", "\x00\x00\x00", ErrFormat, "not JSON"},
		{"byte order mark", "\ufeff{}", ErrFormat, "not JSON"},
		{"an array", "[]", ErrFormat, "not an object"},
		{"null", "null", ErrFormat, "not an object"},
		{"a number", "5", ErrFormat, "not an object"},
		{"two objects", "{}{}", ErrFormat, "follows its end"},
		{"junk behind", "{}x", ErrFormat, "not JSON"},
		{"comma at end", `{"a":1,}`, ErrFormat, "not JSON"},
		{"no colon", `{"a" 1}`, ErrFormat, "not JSON"},
		{"no comma", `{"a":1 "b":2}`, ErrFormat, "not JSON"},
		{"brackets crossed", `{"a":[1}]`, ErrFormat, "not JSON"},
		{"control character", "{\"data\":\"a\nb\"}", ErrFormat, "not JSON"},
		{"data a number", `{"data":5}`, ErrFormat, "data is not a string"},
		{"mode a list", `{"artifactMode":["debug"]}`, ErrFormat, "artifactMode is not a string"},
		{"artifacts an object", `{"artifacts":{}}`, ErrFormat, "artifacts is not a list"},
		{"artifacts a string", `{"artifacts":"a"}`, ErrFormat, "artifacts is not a list"},
		{"artifact a string", `{"artifacts":["ab"]}`, ErrFormat, "ab where [ belongs"},
		{"artifact without file", `{"artifacts":[["a"]]}`, ErrFormat, "not a pair of names"},
		{"artifact of nothing", `{"artifacts":[[]]}`, ErrFormat, "not a pair of names"},
		{"name a number", `{"artifacts":[[5,"a"]]}`, ErrFormat, "not a pair of names"},
		{"file null", `{"artifacts":[["a",null]]}`, ErrFormat, "not a pair of names"},
		{"file empty", `{"artifacts":[["a",""]]}`, ErrFormat, `invalid artifact "a"`},
		{"name twice", `{"artifacts":[["a","1"],["b","2"],["a","3"]]}`, ErrDuplicate, `duplicate artifact "a"`},
		{"file twice", `{"artifacts":[["a","1"],["b","1"]]}`, ErrDuplicate, `duplicate file "1"`},
		{"name too long", `{"artifacts":[["` + strings.Repeat("x", MaxName+1) + `","1"]]}`, ErrLimit, "4097 bytes"},
		{"data too long", `{"data":"` + strings.Repeat("x", MaxName+1) + `"}`, ErrLimit, "4097 bytes"},
	} {
		m, err := ReadManifest(strings.NewReader(c.in))
		if m != nil || !errors.Is(err, c.class) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %+v, %v", c.name, m, err)
		}
	}
}

// Cut at every byte: an error each time, and the one that says so.
func TestReadManifestCut(t *testing.T) {
	whole := exampleManifest(t)
	for n := 1; n < len(whole); n++ {
		if m, err := ReadManifest(bytes.NewReader(whole[:n])); m != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %+v, %v", n, m, err)
		}
	}
}

func TestReadManifestReadError(t *testing.T) {
	broken := errors.New("broken")
	r := io.MultiReader(strings.NewReader(`{"data":`), iotest.ErrReader(broken))
	if _, err := ReadManifest(r); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestReadManifestOfManyArtifacts(t *testing.T) {
	const n = 20000
	var b bytes.Buffer
	w := NewManifestWriter(&b, 1, "archival")
	for i := range n {
		name := string(AppendSpanName(nil, "v1", int64(i), int64(i+1)))
		if err := w.Add(name, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(ExportDataFile); err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(&b)
	if err != nil || m.Artifacts.Len() != n || m.Artifacts.At(n-1).Name != fmt.Sprintf("transcript.v1.%d.%d", n-1, n) {
		t.Errorf("%d artifacts, %v", m.Artifacts.Len(), err)
	}
}

// failAfter fails the write that goes beyond n bytes.
type failAfter struct{ n int }

var errFull = errors.New("full")

func (w *failAfter) Write(b []byte) (int, error) {
	if w.n -= len(b); w.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// repeated is an endless text.
type repeated string

func (r repeated) Read(p []byte) (n int, err error) {
	for n+len(r) <= len(p) {
		n += copy(p[n:], r)
	}
	return n, nil
}

// What the decoder would hold as a whole has an end, wherever it is.
func TestReadManifestOfEndlessTokens(t *testing.T) {
	for _, begin := range []string{"", "{", `{"blockHeight":`, `{"x":`, `{"artifacts":[`, `{"artifacts":[["a"`, `{"data":"d"`, `{"data":"d"}`} {
		for _, more := range []repeated{" ", "\n\t", "[", `{"a":`, "[ ", "1"} {
			_, err := ReadManifestFunc(io.MultiReader(strings.NewReader(begin), more), func(Artifact) error { return nil })
			if !errors.Is(err, ErrLimit) && !errors.Is(err, ErrFormat) || strings.Contains(err.Error(), "white space") != (strings.TrimSpace(string(more)) == "" || more == "1") && errors.Is(err, ErrLimit) {
				t.Errorf("%s, then without end %q: %v", begin, string(more), err)
			}
		}
	}
	spaces := strings.Repeat(" ", maxToken-1)
	if m, err := ReadManifest(strings.NewReader(`{` + spaces + `"blockHeight":` + spaces + `7}` + spaces)); err != nil || m.BlockHeight != 7 {
		t.Errorf("white space that is not too long: %+v, %v", m, err)
	}
}

func TestManifestWriterIsSticky(t *testing.T) {
	w := NewManifestWriter(&failAfter{40 << 10}, 1, "debug")
	var err error
	for range 10000 {
		if err = w.Add("a", "a"); err != nil {
			break
		}
	}
	for i, err := range []error{err, w.Add("a", "a"), w.Close(""), w.Close("")} {
		if !errors.Is(err, errFull) {
			t.Errorf("call %d on a full disk: %v", i, err)
		}
	}
	w = NewManifestWriter(&failAfter{0}, 1, "debug")
	for range 2 {
		if err := w.Close("d"); !errors.Is(err, errFull) {
			t.Errorf("the last flush failed and Close said %v", err)
		}
	}
}

func TestManifestWriterClosed(t *testing.T) {
	var b bytes.Buffer
	w := NewManifestWriter(&b, 1, "none")
	if err := w.Close(""); err != nil {
		t.Fatal(err)
	}
	n := b.Len()
	if err := w.Close("again"); err != nil || b.Len() != n {
		t.Errorf("second Close: %v, %d bytes more", err, b.Len()-n)
	}
	if err := w.Add("a", "a"); err == nil {
		t.Error("Add after Close")
	}
}

// exampleManifest is a manifest with two artifacts and data.
func exampleManifest(t testing.TB) []byte {
	var b bytes.Buffer
	w := NewManifestWriter(&b, 1234567, "archival")
	for _, name := range []string{"snapshot.v1.34", "transcript.v1.0.3"} {
		if err := w.Add(name, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(ExportDataFile); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
