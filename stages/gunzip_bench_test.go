package stages

import (
	"bytes"
	stdgzip "compress/gzip"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// BenchmarkGunzip unpacks a heap, with the gzip in the file HEAP_GZIP in place of a made-up one.
func BenchmarkGunzip(b *testing.B) {
	packed := packStandard(gzipData(8 << 20)["heap"], 6)
	if name := os.Getenv("HEAP_GZIP"); name != "" {
		var err error
		if packed, err = os.ReadFile(name); err != nil {
			b.Fatal(err)
		}
	}
	raw, err := standardGunzip(packed)
	if err != nil {
		b.Fatal(err)
	}
	ours, fast, standard := newGunzipReader(nil), new(gzip.Reader), new(stdgzip.Reader)
	for _, c := range []struct {
		name  string
		reset func(io.Reader) (io.Reader, error)
	}{
		{"ours", func(r io.Reader) (io.Reader, error) { ours.Reset(r); return ours, nil }},
		{"klauspost", func(r io.Reader) (io.Reader, error) { return fast, fast.Reset(r) }},
		{"standard", func(r io.Reader) (io.Reader, error) { return standard, standard.Reset(r) }},
	} {
		b.Run("reader="+c.name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := c.reset(bytes.NewReader(packed))
				if err == nil {
					_, err = io.Copy(io.Discard, r)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
