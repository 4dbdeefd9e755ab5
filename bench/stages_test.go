package bench

import (
	"bytes"
	"context"
	"testing"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
	"swingport/testdata"
)

// stageBenchmarks are the stages of all pipelines, in about the order in which data passes them. Each runs by itself, as in a pipeline: what is
// in front of it gives what memory holds, what is behind it lets all go.
var stageBenchmarks = []struct {
	name string
	run  func(*testing.B, *inputs)
}{
	{"plan", benchPlan},
	{"sweep", benchSweep},
	{"read-by-engine", benchReadByEngine},
	{"read-by-index", benchReadByIndex},
	{"sort-kv", benchSortKV},
	{"export-data", benchExportData},
	{"assemble-spans", benchAssembleSpans},
	{"read-snapshots/snapshots=raw", benchReadSnapshots(format.RawSnapshots)},
	{"read-snapshots/snapshots=gzip", benchReadSnapshots(format.GzipSnapshots)},
	{"read-bundles", benchReadBundles},
	{"check/sums=no", benchCheck(false)},
	{"check/sums=yes", benchCheck(true)},
	{"write-dir", benchWriteDir},
	{"pack", benchPack},
	{"compress/level=fastest", benchCompress("fastest")},
	{"compress/level=default", benchCompress("default")},
	{"write-archive", benchWriteArchive},

	{"read-dir", benchReadDir},
	{"read-archive/from=tar", benchReadArchive("export.tar")},
	{"read-archive/from=tar.zst", benchReadArchive("export.tar.zst")},
	{"parse-export-data", benchParseExportData},
	{"convert-kv", benchConvertKV},
	{"unpack/snapshots=raw", benchUnpack(format.RawSnapshots)},
	{"unpack/snapshots=gzip", benchUnpack(format.GzipSnapshots)},
	{"insert/writer=" + pipeline.WriterInserts, benchInsert(pipeline.WriterInserts)},
	{"insert/writer=" + pipeline.WriterPages, benchInsert(pipeline.WriterPages)},
	{"quick-check", benchQuickCheck},
}

func BenchmarkStage(b *testing.B) {
	in := newInputs(b)
	for _, s := range stageBenchmarks {
		b.Run("stage="+s.name, func(b *testing.B) { s.run(b, in) })
	}
}

// TestStageInputs: what the stages are given by themselves is what an export has, and is not used up: of the artifacts in memory comes the same
// archive twice, which is the one that an export writes; and of the rows the same export data.
func TestStageInputs(t *testing.T) {
	in := newInputs(t)
	p := newPacking(t, in)
	want := readFile(t, in.archive(t, "export.tar"))
	for range 2 {
		if got := p.tar(t); !bytes.Equal(got, want) {
			t.Errorf("the archive of what memory holds has %d bytes, not the %d of an export, or others", len(got), len(want))
		}
	}
	_, kv := holdRows(t, p.store)
	for range 2 {
		sorter := sortKV(t, kv, t.TempDir())
		if got := merged(t, p.store, sorter); !bytes.Equal(got, p.lines) {
			t.Errorf("the rows in memory give %d bytes of export data, not the %d of an export, or others", len(got), len(p.lines))
		}
		sorter.Close()
	}
}

// TestInsertInputs: what the sinks are given by itself makes the store that an import makes, with either writer, and is not used up.
func TestInsertInputs(t *testing.T) {
	in := newInputs(t)
	given, want := holdInserts(t, in), dump(t, in.imported(t))
	for _, writer := range []string{pipeline.WriterInserts, pipeline.WriterPages} {
		dir := t.TempDir()
		path := given.insert(t, dir, writer)
		if err := stages.QuickCheck(t.Context(), path, nil); err != nil {
			t.Errorf("%s: %v", writer, err)
		}
		if dump(t, dir) != want {
			t.Errorf("%s: not the store that an import makes", writer)
		}
	}
}

func dump(t *testing.T, stateDir string) string {
	t.Helper()
	text, err := testdata.Dump(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tar is the tar of what memory holds.
func (p *packing) tar(tb testing.TB) []byte {
	var tar bytes.Buffer
	p.pack(tb, func(_ context.Context, c *stages.Chunk) error {
		defer c.Release()
		_, err := tar.Write(c.Data)
		return err
	})
	return tar.Bytes()
}

// merged is the export data of what was sorted.
func merged(tb testing.TB, s *stages.Store, sorter *stages.KVSorter) (lines []byte) {
	link := stages.NewLink(4, (*stages.Chunk).Release)
	f := newFlow(tb)
	f.stage(1, func(ctx context.Context) error { return stages.WriteLines(ctx, s, sorter, nil, link) }, link)
	f.stage(1, func(ctx context.Context) error {
		return stages.Each(ctx, link, func(c *stages.Chunk) error {
			defer c.Release()
			lines = append(lines, c.Data...)
			return nil
		})
	})
	f.wait(tb)
	return lines
}
