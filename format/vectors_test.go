package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// vectors reads what JavaScript itself made: ../testdata/vectors/make.mjs. An
// empty set is a failure.
func vectors[T any](t testing.TB, name string) []T {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", "vectors", name))
	if err != nil {
		t.Fatal(err)
	}
	var cases []T
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(cases) < 5 {
		t.Fatalf("%s has %d cases", name, len(cases))
	}
	return cases
}

// unhex decodes hexadecimal bytes; a vector that is none is a broken vector.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// float is the float64 of 16 hexadecimal digits.
func float(t testing.TB, s string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return math.Float64frombits(n)
}

// wtf8 is the WTF-8 of UTF-16 code units, four hexadecimal digits each.
func wtf8(t testing.TB, s string) []byte {
	t.Helper()
	b := unhex(t, s)
	units := make([]rune, len(b)/2)
	for i := range units {
		units[i] = rune(b[2*i])<<8 | rune(b[2*i+1])
	}
	out := []byte{}
	for i := 0; i < len(units); i++ {
		switch u := units[i]; {
		case !utf16.IsSurrogate(u):
			out = utf8.AppendRune(out, u)
		case i+1 < len(units) && utf16.DecodeRune(u, units[i+1]) != utf8.RuneError:
			out = utf8.AppendRune(out, utf16.DecodeRune(u, units[i+1]))
			i++
		default:
			out = append(out, 0xE0|byte(u>>12), 0x80|byte(u>>6)&0x3F, 0x80|byte(u)&0x3F)
		}
	}
	return out
}

func TestStringifyVectors(t *testing.T) {
	for _, c := range vectors[struct{ In, Out string }](t, "stringify.json") {
		in, want := unhex(t, c.In), unhex(t, c.Out)
		if got := AppendString(nil, in); !bytes.Equal(got, want) {
			t.Errorf("AppendString(%q) = %s, want %s", in, got, want)
		}
		var buf []byte
		back, next, ok := scanString(want, 0, &buf)
		if !ok || next != len(want) || !bytes.Equal(back, in) {
			t.Errorf("scanString(%s) = %q, %d, %v", want, back, next, ok)
		}
	}
}

func TestDecodeVectors(t *testing.T) {
	digests := 0
	for _, c := range vectors[struct {
		In, Out, Alphabet, Digest string
		Length                    int
	}](t, "decode.json") {
		if c.Length > 0 {
			digests++
			got := sha256.New()
			eachSequence(unhex(t, c.Alphabet), c.Length, func(seq []byte) {
				got.Write(append(AppendText(nil, seq), '\n'))
			})
			if hex.EncodeToString(got.Sum(nil)) != c.Digest {
				t.Errorf("some sequence of %d bytes decodes differently", c.Length)
			}
			continue
		}
		in, want := unhex(t, c.In), unhex(t, c.Out)
		if got := AppendText([]byte("x"), in); !bytes.Equal(got[1:], want) || got[0] != 'x' {
			t.Errorf("AppendText(% x) = % x, want % x", in, got, want)
		}
		if got := AppendString(nil, in); !bytes.Equal(got, AppendString(nil, want)) {
			t.Errorf("AppendString(% x) = % x", in, got)
		}
		if got := ValidText(in); got != bytes.Equal(in, want) {
			t.Errorf("ValidText(% x) = %v", in, got)
		}
	}
	if digests != 2 {
		t.Errorf("%d digests, want 2", digests)
	}
}

// eachSequence calls f for every sequence of n bytes, the first byte fastest.
func eachSequence(alphabet []byte, n int, f func([]byte)) {
	seq, at := make([]byte, n), make([]int, n)
	for {
		for i, a := range at {
			seq[i] = alphabet[a]
		}
		f(seq)
		i := 0
		for ; i < n; i++ {
			if at[i]++; at[i] < len(alphabet) {
				break
			}
			at[i] = 0
		}
		if i == n {
			return
		}
	}
}

func TestTrimEndVectors(t *testing.T) {
	spaces := vectors[rune](t, "trimend.json")
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		want := 2 + utf8.RuneLen(r)
		if slices.Contains(spaces, r) {
			want = 1
		}
		in := append(utf8.AppendRune([]byte("a"), r), "\t"...)
		if want > 1 {
			want--
		}
		if got := len(TrimEnd(in)); got != want {
			t.Fatalf("TrimEnd(%q) has %d bytes, want %d", in, got, want)
		}
	}
}

func TestNumberToStringVectors(t *testing.T) {
	for _, c := range vectors[struct{ Bits, String, JSON string }](t, "tostring.json") {
		f := float(t, c.Bits)
		if got := string(AppendNumber(nil, f)); got != c.String {
			t.Errorf("AppendNumber(%g) = %s, want %s", f, got, c.String)
		}
		if got := string(AppendJSON(nil, Value{Type: Real, Real: f})); got != c.JSON {
			t.Errorf("AppendJSON(%g) = %s, want %s", f, got, c.JSON)
		}
	}
}

func TestParseNumberVectors(t *testing.T) {
	for _, c := range vectors[struct{ In, Bits string }](t, "number.json") {
		got, want := ParseNumber(c.In), float(t, c.Bits)
		if math.Float64bits(got) != math.Float64bits(want) && !(got != got && want != want) {
			t.Errorf("ParseNumber(%q) = %g, want %g", c.In, got, want)
		}
	}
}

func TestLineVectors(t *testing.T) {
	var e Entry // one for all: nothing of a line may show in the next
	for _, c := range vectors[struct {
		Line, Key string
		Value     *string
		OK        bool
	}](t, "lines.json") {
		line := unhex(t, c.Line)
		before := bytes.Clone(line)
		err := ParseLine(line, &e)
		if !bytes.Equal(line, before) {
			t.Errorf("ParseLine(%q) changed the line", before)
		}
		if c.OK != (err == nil) {
			t.Errorf("ParseLine(%q) = %v, want ok %v", line, err, c.OK)
		}
		if err != nil || !c.OK {
			continue
		}
		if want := wtf8(t, c.Key); !bytes.Equal(e.Key, want) {
			t.Errorf("ParseLine(%q): key %q, want %q", line, e.Key, want)
		}
		if e.Null != (c.Value == nil) {
			t.Errorf("ParseLine(%q): Null is %v", line, e.Null)
		}
		if c.Value != nil && !bytes.Equal(e.Value, wtf8(t, *c.Value)) {
			t.Errorf("ParseLine(%q): value %q, want %q", line, e.Value, wtf8(t, *c.Value))
		}
	}
}

// column is a value of records.json.
type column struct{ N, T, B *string }

func (c *column) value(t testing.TB) Value {
	switch {
	case c == nil:
		return Value{}
	case c.N != nil:
		f := float(t, *c.N)
		if n, ok := safeInteger(f); ok && !math.Signbit(f) {
			return IntValue(n)
		}
		return Value{Type: Real, Real: f}
	case c.T != nil:
		return TextValue(unhex(t, *c.T))
	}
	return Value{Type: Blob, Bytes: unhex(t, *c.B)}
}

func TestRecordVectors(t *testing.T) {
	for _, c := range vectors[struct {
		Kind, Out string
		Columns   map[string]*column
		Current   bool
	}](t, "records.json") {
		col := func(name string) Value {
			v, ok := c.Columns[name]
			if !ok {
				t.Fatalf("%s vector without %s", c.Kind, name)
			}
			return v.value(t)
		}
		var got []byte
		switch c.Kind {
		case "kv":
			got = AppendKV(nil, col("key").Bytes, col("value"))
		case "transcript":
			got = AppendSpanColumns(nil, SpanColumns{col("vatID"), col("startPos"), col("endPos"), col("hash"), col("incarnation"), c.Current})
		case "snapshot":
			got = AppendSnapshotColumns(nil, SnapshotColumns{col("vatID"), col("snapPos"), col("hash"), c.Current})
		case "bundle":
			got = AppendBundleColumn(nil, col("bundleID"))
		default:
			t.Fatalf("unknown kind %q", c.Kind)
		}
		if want := unhex(t, c.Out); !bytes.Equal(got, want) {
			t.Errorf("%s record\n got %s\nwant %s", c.Kind, got, want)
		}
	}
}

func TestManifestVectors(t *testing.T) {
	for _, c := range vectors[struct {
		Height, Mode, Data, Out string
		Artifacts               [][2]string
	}](t, "manifest.json") {
		var out bytes.Buffer
		height := float(t, c.Height)
		w := NewManifestWriter(&out, height, c.Mode)
		for _, a := range c.Artifacts {
			if err := w.Add(a[0], a[1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(c.Data); err != nil {
			t.Fatal(err)
		}
		want := unhex(t, c.Out)
		if !bytes.Equal(out.Bytes(), want) {
			t.Errorf("manifest\n got %s\nwant %s", out.Bytes(), want)
		}
		m, err := ReadManifest(bytes.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		if m.HasBlockHeight == math.IsInf(height, 0) || m.HasBlockHeight && m.BlockHeight != height {
			t.Errorf("height %v %g, want %g", m.HasBlockHeight, m.BlockHeight, height)
		}
		if m.ArtifactMode != c.Mode || !m.HasArtifactMode || m.Data != c.Data || m.Artifacts.Len() != len(c.Artifacts) {
			t.Errorf("read back %+v", m)
		}
		for i, a := range m.Artifacts.All() {
			if a.Name != c.Artifacts[i][0] || a.File != c.Artifacts[i][1] {
				t.Errorf("artifact %d: %+v", i, a)
			}
		}
	}
}
