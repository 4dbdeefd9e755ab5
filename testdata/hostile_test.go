package testdata

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Every defect has a name of its own and makes another archive than the undamaged one; what is not a bomb is small. Kits
// that change nothing pack what Archive packs, so that it is the defect alone that makes the difference.
func TestHostileArchives(t *testing.T) {
	dir := WorkedExport(t)
	right, _ := Archive(t, dir, ArchiveOptions{})
	if got := newKit(t, dir, ArchiveOptions{}).pack(); len(got) != 1 || !bytes.Equal(got[0].data, right) {
		t.Error("a kit packs another archive")
	}
	seen := map[string]string{string(right): "the undamaged archive"}
	names := map[string]bool{}
	for _, h := range HostileArchives(t) {
		if names[h.Defect] {
			t.Errorf("%s: twice", h.Defect)
		}
		names[h.Defect] = true
		if h.Bomb {
			n, err := io.Copy(io.Discard, h.Open())
			if err != nil || n < smallBombSize && h.Defect != "ours: gzip of a bomb" {
				t.Errorf("%s: %d bytes, %v", h.Defect, n, err)
			}
			continue
		}
		data, err := io.ReadAll(h.Open())
		if err != nil || len(data) > 2<<20 {
			t.Errorf("%s: %d bytes, %v", h.Defect, len(data), err)
		}
		dec, err := zstd.NewReader(h.Zstd())
		if err != nil {
			t.Fatal(err)
		}
		again, err := io.ReadAll(dec)
		dec.Close()
		if !bytes.Equal(again, data) || err != nil {
			t.Errorf("%s: through zstd it is another one, %v", h.Defect, err)
		}
		if same, ok := seen[string(data)]; ok {
			t.Errorf("%s: is %s", h.Defect, same)
		}
		seen[string(data)] = h.Defect
	}
}

// The gzip of a bomb is one whole member of as many zeros as it promises.
func TestGzipZeros(t *testing.T) {
	for _, blocks := range []int{1, 2, 3, bombSize / blockSize} {
		in := bytes.NewReader(gzipZeros(blocks))
		z, err := gzip.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		z.Multistream(false)
		n, block, zeros := 0, make([]byte, blockSize), make([]byte, blockSize)
		for ; ; n++ {
			if _, err = io.ReadFull(z, block); err != nil {
				break
			}
			if !bytes.Equal(block, zeros) {
				t.Fatalf("block %d of %d: not zeros", n, blocks)
			}
		}
		if err != io.EOF || n != blocks || in.Len() > 0 {
			t.Errorf("%d blocks: %d, %v, %d bytes behind the member", blocks, n, err, in.Len())
		}
	}
}
