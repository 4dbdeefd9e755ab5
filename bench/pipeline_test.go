package bench

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

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

// exportToArchive is archival, with all export data; the name says which format it has.
func exportToArchive(tb testing.TB, stateDir, archive string, snapshots format.SnapshotForm) {
	tb.Helper()
	_, err := pipeline.Export(tb.Context(), pipeline.ExportOptions{
		StateDir: stateDir, Archive: archive, ArtifactMode: format.Archival, Snapshots: snapshots,
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func importInto(tb testing.TB, o pipeline.ImportOptions) pipeline.Summary {
	tb.Helper()
	s, err := pipeline.Import(tb.Context(), o)
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

// BenchmarkExport counts the bytes of the database in every mode, so that its MB/s stand beside those of the yardsticks. Archives are archival, and
// compressed at level default.
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
	for _, to := range []string{pipeline.FormatTar, pipeline.FormatTarZstd} {
		for _, form := range []format.SnapshotForm{format.RawSnapshots, format.GzipSnapshots} {
			b.Run("to="+to+"/snapshots="+string(form), func(b *testing.B) {
				intoNewDirs(b, size(b, database(dir)), func(target string) {
					exportToArchive(b, dir, filepath.Join(target, "export."+to), form)
				})
			})
		}
	}
}

// BenchmarkImport counts the bytes of the export directory, also where the same export comes as an archive. Archives have gzip snapshots, which
// an import keeps as they are, only where that is said.
func BenchmarkImport(b *testing.B) {
	in := newInputs(b)
	gzip := in.made(b, "gzip.tar.zst", func(path string) { exportToArchive(b, in.dir, path, format.GzipSnapshots) })
	dir := pipeline.ImportOptions{ExportDir: in.export(b)}
	from := func(archive, writer string) pipeline.ImportOptions {
		return pipeline.ImportOptions{Archive: archive, Writer: writer}
	}
	tar, zst := in.archive(b, "export.tar"), in.archive(b, "export.tar.zst")
	unchecked, pages := dir, dir
	unchecked.NoCheck, pages.Writer = true, pipeline.WriterPages
	for _, c := range []struct {
		name string
		o    pipeline.ImportOptions
	}{
		{"mode=archival/check=quick", dir},
		{"mode=archival/check=none", unchecked},
		{"from=dir/writer=pages", pages},
		{"from=tar/writer=inserts", from(tar, pipeline.WriterInserts)},
		{"from=tar.zst/writer=inserts", from(zst, pipeline.WriterInserts)},
		{"from=tar.zst/writer=pages", from(zst, pipeline.WriterPages)},
		{"from=tar.zst/writer=inserts/snapshots=gzip", from(gzip, pipeline.WriterInserts)},
	} {
		b.Run(c.name, func(b *testing.B) {
			intoNewDirs(b, in.exportBytes(b), func(target string) {
				o := c.o
				o.StateDir = target
				importInto(b, o)
			})
		})
	}
}

// BenchmarkCopy counts the bytes of the database.
func BenchmarkCopy(b *testing.B) {
	dir := store(b)
	for _, c := range []struct {
		check   string
		noCheck bool
	}{{"quick", false}, {"none", true}} {
		b.Run("mode=archival/check="+c.check, func(b *testing.B) {
			intoNewDirs(b, size(b, database(dir)), func(target string) {
				o := pipeline.CopyOptions{StateDir: dir, ToStateDir: target, ArtifactMode: format.Archival, NoCheck: c.noCheck}
				if _, err := pipeline.Copy(b.Context(), o); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

// BenchmarkVerify counts the bytes of the database, or of the export directory, also where the same export is an archive.
func BenchmarkVerify(b *testing.B) {
	in := newInputs(b)
	for _, c := range []struct {
		of    string
		bytes int64
		o     pipeline.VerifyOptions
	}{
		{"store", size(b, database(in.dir)), pipeline.VerifyOptions{StateDir: in.dir}},
		{"dir", in.exportBytes(b), pipeline.VerifyOptions{ExportDir: in.export(b)}},
		{"tar", in.exportBytes(b), pipeline.VerifyOptions{Archive: in.archive(b, "export.tar")}},
		{"tar.zst", in.exportBytes(b), pipeline.VerifyOptions{Archive: in.archive(b, "export.tar.zst")}},
	} {
		b.Run("of="+c.of, func(b *testing.B) {
			o := c.o
			o.TempDir = b.TempDir()
			b.SetBytes(c.bytes)
			b.ReportAllocs()
			for b.Loop() {
				report, err := pipeline.Verify(b.Context(), o)
				if err != nil || report.DefectCount > 0 {
					b.Fatalf("%+v, %v", report, err)
				}
			}
		})
	}
}

// BenchmarkYardstick copies and hashes the bytes that the pipelines read, and packs those of the tar by one encoder, and does nothing else.
func BenchmarkYardstick(b *testing.B) {
	in := newInputs(b)
	tar := []string{in.archive(b, "export.tar")}
	for _, input := range []struct {
		name  string
		files []string
	}{{"store", database(in.dir)}, {"export", files(b, in.export(b))}, {"tar", tar}} {
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
	for _, level := range []string{"fastest", "default"} {
		b.Run("what=zstd/of=tar/level="+level, func(b *testing.B) { benchZstd(b, readFile(b, tar[0]), level) })
	}
}

// benchZstd packs data as io.Copy into an encoder of package zstd does, which has as many goroutines as it likes.
func benchZstd(b *testing.B, data []byte, level string) {
	ok, encoderLevel := zstd.EncoderLevelFromString(level)
	if !ok {
		b.Fatal(level)
	}
	var packed counter
	z, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(encoderLevel))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		packed = 0
		z.Reset(&packed)
		if _, err := io.Copy(z, bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
		if err := z.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(data))/float64(packed), "ratio")
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
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
