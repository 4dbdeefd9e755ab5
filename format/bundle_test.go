package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const bundleVectors = "../testdata/bundles"

// bundleVector is a line of verdicts.json with the file it is about.
type bundleVector struct {
	File, ID, Reference string
	Accept              bool
	data                []byte
}

func readBundleVectors(tb testing.TB) []bundleVector {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(bundleVectors, "verdicts.json"))
	if err != nil {
		tb.Fatal(err)
	}
	var list []bundleVector
	if err := json.Unmarshal(text, &list); err != nil {
		tb.Fatal(err)
	}
	for i := range list {
		if list[i].data, err = os.ReadFile(filepath.Join(bundleVectors, list[i].File)); err != nil {
			tb.Fatal(err)
		}
	}
	return list
}

func bundleVectorNamed(tb testing.TB, file string) bundleVector {
	tb.Helper()
	for _, v := range readBundleVectors(tb) {
		if v.File == file {
			return v
		}
	}
	tb.Fatalf("no vector %s", file)
	return bundleVector{}
}

// classified reports whether err wraps what the package promises to wrap.
func classified(err error) bool {
	for _, class := range []error{ErrFormat, ErrHashMismatch, ErrIncomplete, ErrLimit, io.ErrUnexpectedEOF} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

func TestBundleVectors(t *testing.T) {
	vectors := readBundleVectors(t)
	files, err := filepath.Glob(filepath.Join(bundleVectors, "b[01]-*"))
	if err != nil || len(files) != len(vectors) || len(vectors) < 80 {
		t.Fatalf("%d vectors, %d files, %v", len(vectors), len(files), err)
	}
	accepted := 0
	for _, v := range vectors {
		err := BundleImportable(v.ID, v.data)
		if err == nil {
			accepted++
		}
		switch {
		case (err == nil) != v.Accept:
			t.Errorf("%s: %v, the reference: %q", v.File, err, v.Reference)
		case err != nil && !classified(err):
			t.Errorf("%s: unclassified error %v", v.File, err)
		case strings.Contains(v.File, "-good") != v.Accept:
			t.Errorf("%s: the name does not say the verdict", v.File)
		}
	}
	if accepted == 0 || accepted == len(vectors) {
		t.Errorf("%d of %d accepted", accepted, len(vectors))
	}
}

func TestBundleErrors(t *testing.T) {
	for _, test := range []struct {
		file, text string
		class      error
	}{
		{"b0-hash-of-other-text.json", "does not match bundle artifact", ErrHashMismatch},
		{"b0-cut.json", "cannot parse JSON of bundle", io.ErrUnexpectedEOF},
		{"b0-nested-too-deep.json", "nested deeper than 4000", ErrLimit},
		{"b1-id-of-other-map.zip", "failed a SHA-512 integrity check", ErrHashMismatch},
		{"b1-file-other-content.zip", `module "p-v1/m.js" failed a SHA-512 integrity check`, ErrHashMismatch},
		{"b1-file-missing.zip", `cannot find file "q-v1/q.js"`, ErrIncomplete},
		{"b1-file-extra.zip", `extraneous files: "x"`, ErrFormat},
		{"b1-zip-crc-wrong.zip", "CRC-32", ErrHashMismatch},
		{"b1-zip-zip64-end.zip", "Zip64", ErrFormat},
		{"b1-zip-size-too-large.zip", "read zip", io.ErrUnexpectedEOF},
		{"b1-map-alias-to-itself.zip", "alias of itself", ErrFormat},
		{"b1-map-policy-attenuator.zip", "attenuator", ErrFormat},
	} {
		v := bundleVectorNamed(t, test.file)
		err := BundleImportable(v.ID, v.data)
		if !errors.Is(err, test.class) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", test.file, err)
		}
	}
}

func TestBundleUnsupported(t *testing.T) {
	const want = `unsupported BundleID "b2-x"`
	_, errB0 := NormalizeB0("b2-x", nil)
	for i, err := range []error{errB0, CheckB1("b2-x", nil), BundleMatches("b2-x", nil), BundleImportable("b2-x", nil)} {
		if err == nil || err.Error() != want || !errors.Is(err, ErrFormat) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// TestBundleTooLarge makes slices that are never written, so they cost no memory.
func TestBundleTooLarge(t *testing.T) {
	if _, err := NormalizeB0("b0-x", make([]byte, MaxB0Size+1)); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	if err := CheckB1("b1-x", make([]byte, MaxB1Size+1)); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	if err := CheckB1("b1-x", make([]byte, MaxB1Size)); errors.Is(err, ErrLimit) || err == nil {
		t.Error(err)
	}
}

func b0ID(stored string) string {
	sum := sha256.Sum256([]byte(stored))
	return "b0-" + hex.EncodeToString(sum[:])
}

func TestNormalizeB0(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"order", `{"sourceMap":"c","x":1,"source":"b","moduleFormat":"a"}`, `{"moduleFormat":"a","source":"b","sourceMap":"c"}`},
		{"undefined", ` {"source" : null } `, `{"source":null}`},
		{"array", `[1]`, `{}`},
		{"twice", `{"source":1,"source":{"a":1,"b":2,"a":3}}`, `{"source":{"a":3,"b":2}}`},
		{"escaped name", `{"sourc\u0065":"x"}`, `{"source":"x"}`},
		{"array indexes", `{"source":{"4294967295":1,"4294967294":2,"01":3,"-1":4,"10":5,"9":6,"0":7}}`,
			`{"source":{"0":7,"9":6,"10":5,"4294967294":2,"4294967295":1,"01":3,"-1":4}}`},
		{"proto", `{"source":{"__proto__":{"toJSON":1}}}`, `{"source":{"__proto__":{"toJSON":1}}}`},
		{"numbers", `{"source":[-0,1E2,1e21,123456789012345680000,5e-324,1e999,-1e999,0.1]}`,
			`{"source":[0,100,1e+21,123456789012345680000,5e-324,null,null,0.1]}`},
		{"escapes", `{"source":"\u0000\u001f\b\/\"\\\u00e9\u007f\u2028"}`, "{\"source\":\"\\u0000\\u001f\\b/\\\"\\\\\u00e9\x7f\u2028\"}"},
		{"surrogates", `{"source":"\uD83D\uDE00\uD83D \uDE00\uDBFF\uDFFF"}`, "{\"source\":\"\U0001F600\\ud83d \\ude00\U0010FFFF\"}"},
		{"surrogate key", `{"source":{"\udfff":1}}`, `{"source":{"\udfff":1}}`},
		{"broken UTF-8", "{\"source\":\"a\xe2\x82b\xed\xa0\x80\"}", "{\"source\":\"a\uFFFDb\uFFFD\uFFFD\uFFFD\"}"},
	} {
		got, err := NormalizeB0(b0ID(test.want), []byte(test.in))
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %s, %v", test.name, got, err)
		}
	}
}

// TestBundleMatches has bundles whose bytes are intact, though the reference
// would not import them, and one that has lost a byte.
func TestBundleMatches(t *testing.T) {
	for _, test := range []struct {
		file       string
		matches    bool
		importable bool
	}{
		{"b0-good.json", true, true},
		{"b0-hash-of-text-as-it-is-in-other-order.json", true, false},
		{"b0-good-other-order-with-extra-property.json", false, true},
		{"b0-hash-of-other-text.json", false, false},
		{"b1-good-by-the-bundler.zip", true, true},
		{"b1-map-extra-property.zip", true, false},
		{"b1-file-extra.zip", true, false},
		{"b1-file-other-content.zip", false, false},
		{"b1-zip-cut-by-one-byte.zip", false, false},
		{"b1-id-of-other-map.zip", false, false},
	} {
		v := bundleVectorNamed(t, test.file)
		if err := BundleMatches(v.ID, v.data); (err == nil) != test.matches {
			t.Errorf("%s: matches: %v", test.file, err)
		}
		if err := BundleImportable(v.ID, v.data); (err == nil) != test.importable {
			t.Errorf("%s: importable: %v", test.file, err)
		}
	}
}

// TestBundleCutAndFlip damages a good archive at every byte. Cut, it must be
// refused; with one bit changed too, unless the bit is one of those that
// nothing reads: then all files are the same.
func TestBundleCutAndFlip(t *testing.T) {
	v := bundleVectorNamed(t, "b1-good.zip")
	for n := range v.data {
		if err := CheckB1(v.ID, v.data[:n]); err == nil || !classified(err) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	want, err := readZip(v.data)
	if err != nil {
		t.Fatal(err)
	}
	unread := 0
	for i := range v.data {
		for bit := range 8 {
			data := bytes.Clone(v.data)
			data[i] ^= 1 << bit
			if err := CheckB1(v.ID, data); err != nil {
				if !classified(err) {
					t.Fatalf("bit %d of byte %d: unclassified %v", bit, i, err)
				}
				continue
			}
			unread++
			if got, err := readZip(data); err != nil || !sameFiles(got, want) {
				t.Fatalf("bit %d of byte %d changes the files, and is accepted (%v)", bit, i, err)
			}
		}
	}
	// Of a file: 6 bytes of version and date, and in the directory 14 bytes of
	// versions, date, disk and attributes. Less than that would be too strict.
	if least := len(want) * (6 + 14) * 8; unread < least {
		t.Errorf("%d bits that nothing reads, want %d or more", unread, least)
	}
}

func sameFiles(a, b map[string][]byte) bool {
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			return false
		}
	}
	return len(a) == len(b)
}

// FuzzBundle gives every input the id that fits it, so that it comes past the
// hashes, and checks that nothing panics and that the functions agree.
func FuzzBundle(f *testing.F) {
	for _, v := range readBundleVectors(f) {
		f.Add(v.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzB0(t, data)
		files, err := readZip(data)
		if err != nil {
			if !classified(err) {
				t.Fatalf("unclassified error %v", err)
			}
			return
		}
		id := "b1-" + sha512Hex(files[compartmentMapFile])
		if err := CheckB1(id, data); err != nil && !classified(err) {
			t.Fatalf("unclassified error %v", err)
		} else if err == nil && BundleMatches(id, data) != nil {
			t.Fatal("importable, but does not match")
		}
	})
}

func fuzzB0(t *testing.T, data []byte) {
	stored, err := normalizeB0(data)
	if err != nil {
		if !classified(err) {
			t.Fatalf("unclassified error %v", err)
		}
		return
	}
	id := b0ID(string(stored))
	for _, in := range [][]byte{data, stored} {
		got, err := NormalizeB0(id, in)
		if err != nil || !bytes.Equal(got, stored) {
			t.Fatalf("%s: %s, %v", in, got, err)
		}
	}
	if err := BundleMatches(id, stored); err != nil {
		t.Fatal(err)
	}
}
