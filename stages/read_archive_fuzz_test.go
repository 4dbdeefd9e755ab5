package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"swingport/format"
	"swingport/testdata"
)

// fuzzExport is a small export directory with an artifact of each kind.
func fuzzExport(t testing.TB) string {
	dir := t.TempDir()
	m := testdata.Manifest{BlockHeight: []byte("5"), ArtifactMode: "archival", Data: format.ExportDataFile}
	for name, content := range map[string]string{"snapshot.v1.1": "a heap", "transcript.v1.0.1": "one\n", "transcript.v1.1.2": "two\n", "bundle.b0-1": "{}"} {
		writeFile(t, dir, name, content)
		m.Artifacts = append(m.Artifacts, [2]string{name, name})
	}
	slices.SortFunc(m.Artifacts, func(a, b [2]string) int { return bytes.Compare([]byte(a[0]), []byte(b[0])) })
	writeFile(t, dir, format.ExportDataFile, `["kv.a","b"]`+"\n"+`["snapshot.v1.1","x"]`+"\n")
	writeFile(t, dir, format.ManifestFile, string(m.Bytes(t)))
	return dir
}

// sumOf is a digest of all that came out.
func sumOf(got taken) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q", got.head, got.tail)
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range got.artifacts {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range names {
		fmt.Fprintf(h, "%q %q", name, got.artifacts[name])
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// Whatever the bytes: an error or an archive whose artifacts are all in its manifest; never a panic, never a wait for ever, and the same
// with other pools.
func FuzzOpenArchive(f *testing.F) {
	dir := fuzzExport(f)
	own, entries := testdata.Archive(f, dir, testdata.ArchiveOptions{})
	packed, _ := testdata.Archive(f, dir, testdata.ArchiveOptions{Gzip: true})
	foreign := testdata.ForeignTar(f, dir, testdata.ForeignOptions{Prefix: "./"})
	seeds := [][]byte{own, packed, testdata.ArchiveZstd(own, 1000), testdata.Gzip(own), foreign,
		testdata.ForeignTar(f, dir, testdata.ForeignOptions{First: []string{format.ManifestFile}}), testdata.ArchiveZstd(foreign, 0)}
	for i, seed := range seeds {
		if got, err := readBytes(f, seed, 2, 100); err != nil || len(got.artifacts) != 4 {
			f.Fatalf("seed %d: %d artifacts, %v", i, len(got.artifacts), err)
		}
		f.Add(seed)
	}
	for _, e := range entries {
		for _, at := range []int64{e.Header + 2, e.Header + 130, e.Offset, e.End - 1} {
			damaged := bytes.Clone(own)
			damaged[at] ^= 1
			if _, err := readBytes(f, damaged, 2, 100); err == nil {
				f.Fatalf("byte %d, of %s, may be anything", at, e.Name)
			}
			f.Add(damaged)
		}
		f.Add(own[:e.End])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readBytes(t, data, 2, 100)
		again, errAgain := readBytes(t, data, 50, 3000)
		if (err == nil) != (errAgain == nil) {
			t.Fatalf("two chunks: %v; 50 chunks: %v", err, errAgain)
		}
		if err == nil && sumOf(got) != sumOf(again) {
			t.Fatal("the result depends on the pool")
		}
	})
}

// readBytes reads an archive whole.
func readBytes(t testing.TB, data []byte, chunks, size int) (taken, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	src, err := openBytes(t, data, chunks, size)
	if err != nil {
		return taken{}, err
	}
	defer src.Close()
	if src.Manifest().Data == "" && !src.Manifest().ArtifactsLater {
		return taken{}, format.ErrNoExportData
	}
	return take(ctx, src, 2, all)
}
