package testdata

import (
	"bytes"
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
