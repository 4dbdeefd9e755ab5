package pipeline

import (
	"bytes"
	"context"
	"testing"

	"swingport/testdata"
)

// An archive of ours is imported as the directory is that it was made of, packed in any way.
func TestImportArchive(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"tiny", "tiny1a", "tinyraw"} {
		dir, _ := testdata.Export(t, store, "archival", "all")
		o := ImportOptions{StateDir: t.TempDir(), ExportDir: dir}
		want, err := Import(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		text := dump(t, o.StateDir)
		for _, a := range []testdata.ArchiveOptions{{}, {Zstd: true}, {Gzip: true}, {Zstd: true, Gzip: true, FrameSize: 1000}} {
			archive, _ := testdata.Archive(t, dir, a)
			for _, workers := range []int{1, 2, 8} {
				o := ImportOptions{StateDir: t.TempDir(), Archive: "-", Stdin: bytes.NewReader(archive), Workers: workers}
				sum, err := Import(context.Background(), o)
				if err != nil {
					t.Fatalf("%s %+v: %v", store, a, err)
				}
				got := dump(t, o.StateDir)
				if !a.Gzip { // else the blobs are others
					for _, line := range testdata.CompareDumps(got, text) {
						t.Errorf("%s %+v: %s", store, a, line)
					}
				}
				sum.Seconds, sum.MBPerSecond, want.Seconds, want.MBPerSecond = 0, 0, 0, 0
				if a := sum; a.ExportDataSHA256 != want.ExportDataSHA256 || a.Artifacts != want.Artifacts || a.Items != want.Items || a.KVRows != want.KVRows || a.Bytes != want.Bytes {
					t.Errorf("%s: %+v, want %+v", store, sum, want)
				}
			}
		}
	}
}
