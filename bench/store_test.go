package bench

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"swingport/format"
	"swingport/pipeline"
	"swingport/testdata"
)

var storeFlag = flag.String("store", "", "state `DIR` to benchmark on, in place, instead of a small store that is made for it")

// The small store has the proportions of a chain's: items of 1.2 KB in the median, log-normal, interleaved across the vats in
// the order of time, in spans of 200; one heap a vat; short kv rows. About 25 MB.
const (
	vats        = 8
	spansPerVat = 6
	spanItems   = 200
	kvRows      = 20_000
	heapBytes   = 2 << 20
)

// store returns the state directory to benchmark on. The small one is the same each time.
func store(tb testing.TB) string {
	tb.Helper()
	if *storeFlag != "" {
		return *storeFlag
	}
	b := testdata.Build(tb)
	rng := rand.New(rand.NewPCG(1, 2))
	items := make([][]string, vats) // by vat, then position
	for vat := range items {
		for range spansPerVat * spanItems {
			items[vat] = append(items[vat], item(rng))
		}
	}
	b.Many("INSERT INTO transcriptItems VALUES (?,?,?,0)", vats*spansPerVat*spanItems, func(i int) []any {
		return []any{vatID(i % vats), i / vats, items[i%vats][i/vats]}
	})
	for vat := range items {
		addSpans(b, vatID(vat), items[vat])
		b.Heap(vatID(vat), (spansPerVat-1)*spanItems-1, true, text(rng, heapBytes))
	}
	b.Many("INSERT INTO kvStore VALUES (?,?)", kvRows, func(i int) []any {
		return []any{fmt.Sprintf("%s.vs.vom.o+d31/%d", vatID(i%vats), i), string(text(rng, 50))}
	})
	b.KV("host.height", "1000")
	b.B0(string(text(rng, 500_000)))
	b.Close()
	return b.Dir
}

func addSpans(b *testdata.Builder, vatID string, items []string) {
	for start := 0; start < len(items); start += spanItems {
		end := start + spanItems
		b.SpanRow(vatID, start, end, 0, end == len(items), testdata.SpanHash(items[start:end]...))
	}
}

func vatID(n int) string { return fmt.Sprintf("v%d", n+1) }

func item(rng *rand.Rand) string {
	size := int(1200 * math.Exp(rng.NormFloat64()*0.8))
	return fmt.Sprintf(`{"d":["message","o+%d",{"methargs":%q}],"sc":[],"r":{"status":"ok"}}`, rng.IntN(1000), text(rng, size))
}

// text is what packs about as well as a chain's text does.
func text(rng *rand.Rand, size int) []byte {
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, `{"body":"#{"brand":"$%d.Alleged: IST brand","value":"+%d"}","slots":["ko%d"]}`, rng.IntN(10), rng.IntN(1e9), rng.IntN(1e5))
	}
	return b.Bytes()[:size]
}

// TestStore: what is benchmarked is a whole store, which survives the way out and in again, by both readers.
func TestStore(t *testing.T) {
	dir := store(t)
	first, imported, again := t.TempDir(), t.TempDir(), t.TempDir()
	sum := exportTo(t, dir, first, format.Archival, pipeline.ReaderSweep)
	if got := importInto(t, pipeline.ImportOptions{ExportDir: first, StateDir: imported}); got.Items != sum.Items || got.KVRows != sum.KVRows || got.Bytes != sum.Bytes {
		t.Errorf("exported %+v, imported %+v", sum, got)
	}
	exportTo(t, imported, again, format.Archival, pipeline.ReaderEngine)
	for _, diff := range testdata.CompareExports(first, again) {
		t.Error(diff)
	}
	if *storeFlag == "" && (sum.Items != vats*spansPerVat*spanItems || sum.Snapshots != vats || sum.Spans != vats*spansPerVat || sum.Bundles != 1) {
		t.Errorf("not the store that was made: %+v", sum)
	}
}
