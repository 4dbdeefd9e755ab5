package format

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// Lines like those of a chain: a short one, and JSON in a string.
var benchValues = []struct{ name, value string }{
	{"plain", "1,1"},
	{"json", `{"body":"#{\"brand\":\"$0.Alleged: IST brand\",\"value\":\"+1250000\"}","slots":["ko12","kp40"]}`},
	{"long", strings.Repeat("abcdefghijklmnop", 256)},
	{"utf8", strings.Repeat("Grüße, 世界! ", 16)},
}

func BenchmarkAppendKV(b *testing.B) {
	key := []byte("v9.vs.vom.o+d31/756")
	dst := make([]byte, 0, 1<<14)
	for _, v := range benchValues {
		value := TextValue([]byte(v.value))
		b.Run("value="+v.name, func(b *testing.B) {
			b.SetBytes(int64(len(AppendKV(nil, key, value))))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendKV(dst[:0], key, value)
			}
		})
		// The yardstick: the same bytes, copied.
		b.Run("yardstick=append/value="+v.name, func(b *testing.B) {
			line := AppendKV(nil, key, value)
			b.SetBytes(int64(len(line)))
			for b.Loop() {
				dst = append(dst[:0], line...)
			}
		})
	}
}

func BenchmarkParseLine(b *testing.B) {
	var e Entry
	for _, v := range benchValues {
		line := bytes.TrimSuffix(AppendKV(nil, []byte("v9.vs.vom.o+d31/756"), TextValue([]byte(v.value))), []byte("\n"))
		b.Run("value="+v.name, func(b *testing.B) {
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if err := ParseLine(line, &e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSpanHash(b *testing.B) {
	for _, size := range []int{64, 1200, 64 << 10} {
		item := bytes.Repeat([]byte("x"), size)
		b.Run(fmt.Sprintf("item=%d", size), func(b *testing.B) {
			var h SpanHash
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				h.Add(item)
			}
		})
	}
}

func BenchmarkSpanSplit(b *testing.B) {
	span := []byte(strings.Repeat(strings.Repeat("x", 1200)+"\n", 200))
	var s SpanSplitter
	n := 0
	emit := func(item []byte) error { n += len(item); return nil }
	b.SetBytes(int64(len(span)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Feed(span, emit); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadManifest(b *testing.B) {
	var out bytes.Buffer
	w := NewManifestWriter(&out, 1, "archival")
	for i := range int64(10000) {
		name := string(AppendSpanName(nil, "v43", i*202, (i+1)*202))
		if err := w.Add(name, name); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.Close(ExportDataFile); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(out.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadManifest(bytes.NewReader(out.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}
