package format

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// genesisLines are lines of export data and what the chain makes of them.
var genesisLines = []struct{ name, line, want string }{
	{"plain", `["kv.ko1.refCount","1,1"]`, `["kv.ko1.refCount","1,1"]`},
	{"white space", ` [ "kv.a" , "b" ] `, `["kv.a","b"]`},
	{"null", `["kv.gone",null]`, `["kv.gone"]`},
	{"no value", `["kv.gone"]`, `["kv.gone"]`},
	{"empty value", `["kv.a",""]`, `["kv.a",""]`},
	{"quotes", `["kv.a","{\"b\":\"\\\\\"}"]`, `["kv.a","{\"b\":\"\\\\\"}"]`},
	{"markup", `["kv.<","a>b&c/"]`, `["kv.\u003c","a\u003eb\u0026c/"]`},
	{"line separators", "[\"kv.a\",\"x\u2028y\u2029z\u2027\"]", `["kv.a","x\u2028y\u2029z` + "\u2027" + `"]`},
	{"control characters", `["kv.a","\u0000\u0001\b\t\n\u000b\f\r\u001F"]` + "", `["kv.a","\u0000\u0001\b\t\n\u000b\f\r\u001f"]`},
	{"DEL and a byte order mark", "[\"kv.a\",\"\x7f\ufeff\"]", "[\"kv.a\",\"\x7f\ufeff\"]"},
	{"escaped without need", `["kv.\u0061\/","\u00e9\ud83d\ude00"]`, `["kv.a/","é😀"]`},
	{"a surrogate alone", `["kv.a","\ud800x\udc00\ud800\ud800\udc00"]`, "[\"kv.a\",\"\ufffdx\ufffd\ufffd\U00010000\"]"},
	{"broken UTF-8", "[\"kv.a\",\"\xe2\x82 \xff\"]", "[\"kv.a\",\"\ufffd\ufffd \ufffd\"]"},
	{"a stored surrogate", "[\"kv.a\",\"\xed\xa0\x80\"]", "[\"kv.a\",\"\ufffd\ufffd\ufffd\"]"},
	{"long", `["kv.a","` + strings.Repeat("x", 3*genesisBuffer) + `<"]`, `["kv.a","` + strings.Repeat("x", 3*genesisBuffer) + `\u003c"]`},
}

func TestGenesisHash(t *testing.T) {
	var all, want string
	for _, test := range genesisLines {
		t.Run(test.name, func(t *testing.T) {
			if got, err := genesisHash(test.line); err != nil || got != shaOf(test.want+"\n") {
				t.Errorf("%s, %v; want %s, of %s", got, err, shaOf(test.want+"\n"), test.want)
			}
			if again, err := asGoEncodes(test.line); err != nil || again != test.want {
				t.Errorf("encoding/json: %s, %v; the table has %s", again, err, test.want)
			}
		})
		all, want = all+test.line+"\n", want+test.want+"\n"
	}
	for _, size := range []int{1, 2, len(genesisLines)} { // lines at a time
		g := NewGenesisHash()
		lines := strings.SplitAfter(strings.TrimSuffix(all, "\n"), "\n")
		for len(lines) > 0 {
			n := min(size, len(lines))
			g.Lines([]byte(strings.Join(lines[:n], "")))
			lines = lines[n:]
		}
		if got, err := g.Sum(); err != nil || got != shaOf(want) {
			t.Errorf("%d lines at a time: %s, %v; want %s", size, got, err, shaOf(want))
		}
	}
	if got, err := genesisHash(""); err != nil || got != shaOf("") {
		t.Errorf("of nothing: %s, %v", got, err)
	}
}

// The hash of a file that the reference wrote is that of what Go makes of each line.
func TestGenesisHashOfReference(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "testdata", "exports", "tiny", "archival", ExportDataFile))
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for line := range strings.Lines(string(data)) {
		again, err := asGoEncodes(strings.TrimSuffix(line, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		want.WriteString(again + "\n")
	}
	if want.String() == string(data) {
		t.Error("no line is another one in Go: the test shows nothing")
	}
	if got, err := genesisHash(string(data)); err != nil || got != shaOf(want.String()) {
		t.Errorf("%s, %v; want %s", got, err, shaOf(want.String()))
	}
}

// A line that the chain does not read has no hash, and neither has what follows; the error says which one it is.
func TestGenesisHashOfNoEntry(t *testing.T) {
	for _, test := range []struct{ line, text string }{
		{`["kv.a","b","c"]`, "it has more than a key and a value"},
		{`["kv.a",null,null]`, "it has more than a key and a value"},
		{`["","b"]`, "its key is empty"},
		{`[]`, "export data key must be a string"},
		{`[null,"b"]`, "export data key must be a string"},
		{`["kv.a",{"type":"Buffer","data":[1]}]`, "value must be a string"},
		{``, "export data line is empty"},
		{`"kv.a"`, "export data line is not an array"},
		{`["kv.a","b"`, "export data line is not JSON"},
	} {
		g := NewGenesisHash()
		g.Lines([]byte(`["kv.ok","1"]` + "\n" + test.line + "\n"))
		g.Lines([]byte(`["kv.ok","1"]` + "\n[]\n"))
		got, err := g.Sum()
		if want := "the chain does not read line 2 of the export data: " + test.text; got != "" || !errors.Is(err, ErrFormat) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %q, %v; want %s", test.line, got, err, want)
		}
		if _, err := asGoEncodes(test.line); err == nil {
			t.Errorf("%s: the chain reads it", test.line)
		}
	}
}

func FuzzGenesisHash(f *testing.F) {
	for _, s := range lineSeeds {
		f.Add([]byte(s.in))
	}
	for _, test := range genesisLines {
		f.Add([]byte(test.line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if strings.Contains(string(line), "\n") || len(line) == 0 {
			return
		}
		got, err := genesisHash(string(line))
		want, wantErr := asGoEncodes(string(line))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, encoding/json says %v", line, err, wantErr)
		}
		if err == nil && got != shaOf(want+"\n") {
			t.Errorf("%q: %s, want %s, of %q", line, got, shaOf(want+"\n"), want)
		}
	})
}

func BenchmarkGenesisHash(b *testing.B) {
	data, err := os.ReadFile(filepath.Join("..", "testdata", "exports", "tiny", "archival", ExportDataFile))
	if err != nil {
		b.Fatal(err)
	}
	g := NewGenesisHash()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		g.Lines(data)
	}
	if _, err := g.Sum(); err != nil {
		b.Fatal(err)
	}
}

func genesisHash(lines string) (string, error) {
	g := NewGenesisHash()
	g.Lines([]byte(lines))
	return g.Sum()
}

func shaOf(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }

// asGoEncodes is a line as the chain reads and writes it: an array of one or two strings, of which the second may be null and is then left
// out; the first is not empty.
func asGoEncodes(line string) (string, error) {
	var in []*string
	if err := json.Unmarshal([]byte(line), &in); err != nil {
		return "", err
	}
	if len(in) < 1 || len(in) > 2 || in[0] == nil || *in[0] == "" {
		return "", errors.New("no entry")
	}
	out := []string{*in[0]}
	if len(in) == 2 && in[1] != nil {
		out = append(out, *in[1])
	}
	text, err := json.Marshal(out)
	return string(text), err
}
