package bench

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

func exportTo(tb testing.TB, stateDir, exportDir string, mode format.ArtifactMode, reader string) pipeline.Summary {
	tb.Helper()
	s, err := pipeline.Export(tb.Context(), pipeline.ExportOptions{
		StateDir: stateDir, ExportDir: exportDir, ArtifactMode: mode, ExportDataMode: format.All, Reader: reader,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func importFrom(tb testing.TB, exportDir, stateDir string, noCheck bool) pipeline.Summary {
	tb.Helper()
	s, err := pipeline.Import(tb.Context(), pipeline.ImportOptions{StateDir: stateDir, ExportDir: exportDir, NoCheck: noCheck})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// intoNewDirs calls f with a new directory each time; making and removing it is not measured.
func intoNewDirs(b *testing.B, bytes int64, f func(dir string)) {
	b.SetBytes(bytes)
	b.ReportAllocs()
	parent := b.TempDir()
	for b.Loop() {
		b.StopTimer()
		dir, err := os.MkdirTemp(parent, "")
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		f(dir)
		b.StopTimer()
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkExport counts the bytes of the database in every mode, so that its MB/s stand beside those of the yardsticks.
func BenchmarkExport(b *testing.B) {
	dir := store(b)
	for _, c := range []struct {
		mode   format.ArtifactMode
		reader string
	}{
		{format.Operational, pipeline.ReaderSweep},
		{format.Archival, pipeline.ReaderSweep},
		{format.Archival, pipeline.ReaderEngine},
	} {
		b.Run("mode="+string(c.mode)+"/reader="+c.reader, func(b *testing.B) {
			intoNewDirs(b, size(b, database(dir)), func(target string) { exportTo(b, dir, target, c.mode, c.reader) })
		})
	}
}

// BenchmarkImport counts the bytes of the export.
func BenchmarkImport(b *testing.B) {
	exportDir := b.TempDir()
	exportTo(b, store(b), exportDir, format.Archival, "")
	for _, c := range []struct {
		check   string
		noCheck bool
	}{{"quick", false}, {"none", true}} {
		b.Run("mode=archival/check="+c.check, func(b *testing.B) {
			intoNewDirs(b, size(b, files(b, exportDir)), func(target string) { importFrom(b, exportDir, target, c.noCheck) })
		})
	}
}

// BenchmarkYardstick copies and hashes the bytes that BenchmarkExport and BenchmarkImport read, and does nothing else.
func BenchmarkYardstick(b *testing.B) {
	dir, exportDir := store(b), b.TempDir()
	exportTo(b, dir, exportDir, format.Archival, "")
	for _, input := range []struct {
		name  string
		files []string
	}{{"store", database(dir)}, {"export", files(b, exportDir)}} {
		b.Run("what=copy/of="+input.name, func(b *testing.B) {
			intoNewDirs(b, size(b, input.files), func(target string) { copyFiles(b, target, input.files) })
		})
		b.Run("what=sha256/of="+input.name, func(b *testing.B) {
			b.SetBytes(size(b, input.files))
			b.ReportAllocs()
			for b.Loop() {
				for _, name := range input.files {
					copyFile(b, sha256.New(), name)
				}
			}
		})
	}
}

func database(stateDir string) []string { return []string{filepath.Join(stateDir, stages.StoreFile)} }

func files(tb testing.TB, dir string) (names []string) {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	return names
}

func size(tb testing.TB, names []string) (n int64) {
	tb.Helper()
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			tb.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

func copyFiles(tb testing.TB, dir string, names []string) {
	tb.Helper()
	for _, name := range names {
		out, err := os.Create(filepath.Join(dir, filepath.Base(name)))
		if err != nil {
			tb.Fatal(err)
		}
		copyFile(tb, out, name)
		if err := out.Close(); err != nil {
			tb.Fatal(err)
		}
	}
}

func copyFile(tb testing.TB, w io.Writer, name string) {
	tb.Helper()
	in, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer in.Close()
	if _, err := io.Copy(w, in); err != nil {
		tb.Fatal(err)
	}
}
