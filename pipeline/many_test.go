package pipeline

import (
	"fmt"
	"path/filepath"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// 3,000 vats, and 21,000 spans of one item, whose rows a chain would have written in turns.
func TestManySmallArtifacts(t *testing.T) {
	vats, spans := 3000, 21000
	if testing.Short() {
		vats, spans = 100, 500
	}
	b := testdata.Build(t)
	b.KV("host.height", "7")
	each := spans / vats
	item := func(i int) string { return fmt.Sprintf(`{"d":["message",%d],"sc":[],"r":{"status":"ok"}}`, i) }
	b.Many("INSERT INTO transcriptSpans VALUES (?,?,?,?,?,0)", vats*each, func(i int) []any {
		start := i / vats
		var current any
		if start == each-1 {
			current = 1
		}
		return []any{fmt.Sprint("v", i%vats), start, start + 1, testdata.SpanHash(item(i)), current}
	})
	b.Many("INSERT INTO transcriptItems VALUES (?,?,?,0)", vats*each, func(i int) []any {
		return []any{fmt.Sprint("v", i%vats), i / vats, item(i)}
	})
	b.Close()
	o := ExportOptions{StateDir: b.Dir, ArtifactMode: format.Archival, ExportDataMode: format.All}
	first, sum, err := runExport(t, o)
	if err != nil || sum.Spans != vats*each || sum.Items != int64(vats*each) {
		t.Fatalf("%d spans with %d items, %v", sum.Spans, sum.Items, err)
	}
	state := filepath.Join(t.TempDir(), "state")
	if _, err := Import(t.Context(), ImportOptions{StateDir: state, ExportDir: first}); err != nil {
		t.Fatal(err)
	}
	o.StateDir, o.Reader = state, ReaderEngine
	again, _, err := runExport(t, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, diff := range testdata.CompareExports(first, again) {
		t.Error(diff)
	}
}
