package format

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// items splits b in chunks of n bytes.
func items(t testing.TB, b []byte, n int) (out []string) {
	t.Helper()
	var s SpanSplitter
	emit := func(item []byte) error {
		out = append(out, string(item))
		return nil
	}
	for chunk := range slices.Chunk(b, n) {
		if err := s.Feed(chunk, emit); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(emit); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSpanSplitter(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"empty file", "", nil},
		{"one item", "a\n", []string{"a"}},
		{"no last newline", "a\nb", []string{"a", "b"}},
		{"empty items", "\n\na\n\n", []string{"", "", "a", ""}},
		{"only a newline", "\n", []string{""}},
		{"white space at the end", "a \t\u00a0\u2028\ufeff\r\nb\u3000", []string{"a", "b"}},
		{"nothing but white space", " \r\n \n ", []string{"", "", ""}},
		{"white space elsewhere", " a b\n\u00a0c\n", []string{" a b", "\u00a0c"}},
		{"not white space there", "a\u0085\nb\u180e\nc\u200b\n\x00\n", []string{"a\u0085", "b\u180e", "c\u200b", "\x00"}},
		{"broken UTF-8", "a\xff\n\xe2\x82\n\xed\xa0\x80 \n", []string{"a\ufffd", "\ufffd", "\ufffd\ufffd\ufffd"}},
		{"characters over chunks", "é€😀é€😀\n€\n", []string{"é€😀é€😀", "€"}},
	} {
		for n := 1; n <= len(c.in)+1; n++ {
			if got := items(t, []byte(c.in), n); !slices.Equal(got, c.want) {
				t.Errorf("%s, chunks of %d: %q, want %q", c.name, n, got, c.want)
			}
		}
	}
}

func TestSpanSplitterIsSticky(t *testing.T) {
	stop := errors.New("stop")
	var s SpanSplitter
	n := 0
	emit := func([]byte) error { n++; return stop }
	if err := s.Feed([]byte("a\nb\nc"), emit); err != stop || n != 1 {
		t.Errorf("%v after %d items", err, n)
	}
	if s.Feed([]byte("\n"), emit) != stop || s.Finish(emit) != stop || n != 1 {
		t.Errorf("the error was forgotten, %d items", n)
	}
}

func TestSplitterIsReusable(t *testing.T) {
	var s LineSplitter
	var got []string
	emit := func(line []byte) error { got = append(got, string(line)); return nil }
	for _, in := range []string{"a\nb", "c\n", "d"} {
		if err := errors.Join(s.Feed([]byte(in), emit), s.Finish(emit)); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Join(got, ",") != "a,b,c,d" {
		t.Errorf("got %q", got)
	}
}

func TestItemSurvives(t *testing.T) {
	for item, want := range map[string]bool{
		"": true, "a": true, " a": true, "a\x00": true, "a\u0085": true,
		"a ": false, "a\n": false, "a\nb": false, "\n": false, "a\r": false, "a\ufeff": false,
	} {
		if got := ItemSurvives([]byte(item)); got != want {
			t.Errorf("ItemSurvives(%q) = %v", item, got)
		}
		back := items(t, AppendItem(nil, TextValue([]byte(item))), 3)
		if got := slices.Equal(back, []string{item}); got != want {
			t.Errorf("%q comes back as %q", item, back)
		}
	}
}

func TestAppendItem(t *testing.T) {
	for want, v := range map[string]Value{
		"null\n":      {},
		"5\n":         IntValue(5),
		"1e+21\n":     {Type: Real, Real: 1e21},
		"a\"\ufffd\n": TextValue([]byte("a\"\xff")),
		"\ufffdb\n":   {Type: Blob, Bytes: []byte("\xe2\x82b")},
	} {
		if got := string(AppendItem(nil, v)); got != want {
			t.Errorf("AppendItem(%v) = %q, want %q", v, got, want)
		}
	}
}

func sha256hex(s string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(s))) }

func TestSpanHash(t *testing.T) {
	if got := sha256hex("start of transcript span"); got != InitialSpanHash {
		t.Errorf("InitialSpanHash is %s", got)
	}
	var h SpanHash
	for range 2 { // the second time after Reset
		want := InitialSpanHash
		if h.Sum() != want {
			t.Errorf("hash of no items is %s", h.Sum())
		}
		for i := range 5 {
			item := strings.Repeat("é", i*40)
			want = sha256hex(want + sha256hex(item))
			if h.Add([]byte(item)); h.Sum() != want {
				t.Errorf("after item %d: %s, want %s", i, h.Sum(), want)
			}
		}
		h.Reset()
	}
	a, b := NewSpanHash(), NewSpanHash()
	a.Add([]byte("x"))
	b.AddSum(sha256.Sum256([]byte("x")))
	if a.Sum() != b.Sum() {
		t.Error("AddSum differs from Add")
	}
}

// A span and the hash the reference wrote for it (testdata/exports/tiny).
func TestSpanHashOfTheReference(t *testing.T) {
	records, read := referenceExport(t)
	checked := 0
	for _, s := range records {
		name := string(AppendSpanName(nil, s.VatID, s.Start, s.End.V))
		data, ok := read(name)
		if !ok {
			continue
		}
		var h SpanHash
		for _, item := range items(t, data, 7) {
			h.Add([]byte(item))
		}
		if h.Sum() != s.Hash {
			t.Errorf("%s: %s, want %s", name, h.Sum(), s.Hash)
		}
		checked++
	}
	if checked < 10 {
		t.Errorf("only %d spans in the export", checked)
	}
}

func TestNothingAllocates(t *testing.T) {
	dst := make([]byte, 0, 1<<12)
	key, value := []byte("v9.vs.vom.o+d31/756"), []byte(`{"body":"#\"$0\"","slots":["ko12"],"x":"é`+"\xff"+`"}`)
	line := bytes.TrimSuffix(AppendKV(nil, key, TextValue(value)), []byte("\n"))
	plain := []byte(`["kv.ko1.refCount","1,1"]`)
	odd := []byte("[ \"kv.a\xff\" , null ]")
	newlines := []byte("\n\n")
	var e Entry
	var h SpanHash
	var s SpanSplitter
	add := func(item []byte) error { h.Add(item); return nil }
	for name, f := range map[string]func(){
		"AppendKV":          func() { dst = AppendKV(dst[:0], key, TextValue(value)) },
		"AppendString":      func() { dst = AppendString(dst[:0], value) },
		"AppendText":        func() { dst = AppendText(dst[:0], value) },
		"AppendItem":        func() { dst = AppendItem(dst[:0], TextValue(value)) },
		"AppendSpanColumns": func() { dst = AppendSpanColumns(dst[:0], SpanColumns{VatID: TextValue(key), Hash: TextValue(key)}) },
		"ParseLine":         func() { _ = ParseLine(line, &e) },
		"ParseLine plain":   func() { _ = ParseLine(plain, &e) },
		"ParseLine odd":     func() { _ = ParseLine(odd, &e) },
		"SpanHash":          func() { h.Add(value) },
		"SpanSplitter":      func() { _ = s.Feed(line, add); _ = s.Feed(newlines, add) },
	} {
		f()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
