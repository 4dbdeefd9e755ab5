package pipeline

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// What is larger in a store than --max-item says is refused by name, by each way to read it, and what is not is exported as without a limit. Heaps
// have none.
func TestMaxItemOfStore(t *testing.T) {
	heap := make([]byte, 20_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range heap {
		heap[i] = byte(rng.Uint32())
	}
	for _, c := range []struct {
		name   string
		change func(b *testdata.Builder)
		fits   int64  // the least limit that takes it
		says   string // who it is
	}{
		{"item", func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "a", strings.Repeat("x", 9000)) }, 9000, "v3"},
		{"item in a page", func(b *testdata.Builder) { b.Span("v3", 0, 0, true, "a", strings.Repeat("x", 900)) }, 900, "v3"},
		{"value", func(b *testdata.Builder) { b.KV("v.k", strings.Repeat("x", 200_000)) }, int64(200_000 + len(`["kv.v.k",""]`)), "v.k"},
		{"value that is escaped", func(b *testdata.Builder) { b.KV("v.k", strings.Repeat("\x01", 9000)) }, int64(6*9000 + len(`["kv.v.k",""]`)), "v.k"},
		{"bytes", func(b *testdata.Builder) { b.KV("v.k", bytes.Repeat([]byte{200}, 9000)) }, int64(4*9000 - 1 + len(`["kv.v.k",{"type":"Buffer","data":[]}]`)), "v.k"},
		{"key", func(b *testdata.Builder) { b.KV(strings.Repeat("k", 9000), "v") }, int64(9000 + len(`["kv.","v"]`)), "kvStore: key"},
		{"bundle", func(b *testdata.Builder) { b.B0(strings.Repeat("x", 9000)) }, int64(9000 + len(`{"moduleFormat":"nestedEvaluate","source":"","sourceMap":""}`)), "bundle.b0-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := goodStore(t)
			b.Heap("v1", 5, false, heap)
			c.change(b)
			b.Close()
			o := ExportOptions{StateDir: b.Dir, ArtifactMode: format.Archival, ExportDataMode: format.All}
			whole, _, err := runExport(t, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, reader := range []string{ReaderSweep, ReaderEngine} {
				for _, mode := range []format.ArtifactMode{format.Archival, format.Operational} {
					for _, limit := range []int64{c.fits - 1, 800} {
						o.Reader, o.ArtifactMode, o.MaxItem = reader, mode, limit
						dir, _, err := runExport(t, o)
						refused(t, err, c.says)
						nothingLeft(t, dir)
					}
				}
				o.ArtifactMode, o.MaxItem = format.Archival, c.fits
				dir, _, err := runExport(t, o)
				if err != nil {
					t.Errorf("%s, at most %d: %v", reader, c.fits, err)
					continue
				}
				for _, diff := range testdata.CompareExports(dir, whole) {
					t.Errorf("%s: %s", reader, diff)
				}
			}
			o = ExportOptions{StateDir: b.Dir, Archive: filepath.Join(t.TempDir(), "a.tar"), MaxItem: c.fits - 1}
			_, err = Export(context.Background(), o)
			refused(t, err, c.says)
			_, err = Diff(context.Background(), DiffOptions{A: b.Dir, B: b.Dir, MaxItem: c.fits - 1})
			refused(t, err, c.says)

			for limit, want := range map[int64]bool{c.fits - 1: true, c.fits: false} {
				var found []string
				report, err := Verify(context.Background(), VerifyOptions{StateDir: b.Dir, MaxItem: limit,
					Defect: func(d Defect) { found = append(found, d.String()) }})
				if err != nil || want != (report.DefectCount > 0) || want && !strings.Contains(strings.Join(found, "\n"), "--max-item") {
					t.Errorf("at most %d: verify finds %q, error %v", limit, found, err)
				}
			}
		})
	}
}

// refused checks the error about something too large.
func refused(t *testing.T, err error, says string) {
	t.Helper()
	if !errors.Is(err, format.ErrLimit) || !strings.Contains(err.Error(), "--max-item") || !strings.Contains(err.Error(), says) {
		t.Errorf("error %v does not name %s", err, says)
	}
}

// An item that becomes three times as large as it is read needs four times the limit.
func TestMaxItemOfBrokenText(t *testing.T) {
	const size = 5 << 20
	b := goodStore(t)
	b.Span("v3", 0, 0, true, "a", strings.Repeat("\xff", size))
	b.Close()
	o := ExportOptions{StateDir: b.Dir, NoVerify: true, MaxItem: 4*size - 1}
	_, _, err := runExport(t, o)
	refused(t, err, "v3")
	o.MaxItem = 4 * size
	if _, sum, err := runExport(t, o); err != nil || len(sum.Defects) != 1 { // its hash was made of the bytes
		t.Error(err, sum.Defects)
	}
}
