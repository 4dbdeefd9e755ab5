package zenc

import (
	"os"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// libraryOptions are those of the yardstick: the fastest level of package zstd with the frames that this package makes.
var libraryOptions = []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(true),
	zstd.WithWindowSize(MaxInput)}

// BenchmarkFrame packs pieces of 2 MiB: made-up ones, or 16 at most of the file PIECES, such as a plain archive. The ratio is that of content and
// frame.
func BenchmarkFrame(b *testing.B) {
	library, err := zstd.NewWriter(nil, libraryOptions...)
	if err != nil {
		b.Fatal(err)
	}
	all := contents(MaxInput)
	pieces := map[string][][]byte{"items": {all["items"]}, "heap": {all["heap"]}, "random": {all["random"]}}
	if name := os.Getenv("PIECES"); name != "" {
		pieces = map[string][][]byte{"file": piecesOf(b, name)}
	}
	full, raw := NewEncoder(false), NewEncoder(true)
	for content, pieces := range pieces {
		for _, packer := range []struct {
			name string
			pack func(dst, src []byte) ([]byte, error)
		}{
			{"ours", full.AppendFrame},
			{"ours-raw-literals", raw.AppendFrame},
			{"klauspost", func(dst, src []byte) ([]byte, error) { return library.EncodeAll(src, dst), nil }},
		} {
			b.Run("content="+content+"/packer="+packer.name, func(b *testing.B) { benchmarkPack(b, pieces, packer.pack) })
		}
	}
}

func benchmarkPack(b *testing.B, pieces [][]byte, pack func(dst, src []byte) ([]byte, error)) {
	room := make([]byte, 0, MaxInput+1<<16)
	size, packed := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		size, packed = 0, 0
		for _, p := range pieces {
			frame, err := pack(room, p)
			if err != nil {
				b.Fatal(err)
			}
			size += len(p)
			packed += len(frame)
		}
	}
	b.SetBytes(int64(size))
	b.ReportMetric(float64(size)/float64(packed), "ratio")
}

// piecesOf are up to 16 pieces of a file, at equal distances.
func piecesOf(b *testing.B, name string) [][]byte {
	all, err := os.ReadFile(name)
	if err != nil {
		b.Fatal(err)
	}
	pieces := slices.Collect(slices.Chunk(all, MaxInput))
	step := (len(pieces) + 15) / 16
	var some [][]byte
	for i := 0; i < len(pieces); i += step {
		some = append(some, pieces[i])
	}
	return some
}
