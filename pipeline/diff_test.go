package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// compared runs Diff and gives the differences as lines.
func compared(t *testing.T, o DiffOptions) (DiffReport, []string) {
	t.Helper()
	var lines []string
	o.Each = func(d Difference) {
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%s %s in %s: %s", d.What, d.Name, d.In, d.Detail), ": "))
	}
	r, err := Diff(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Differences != int64(len(lines)) {
		t.Errorf("the report counts %d differences, %d were told", r.Differences, len(lines))
	}
	return r, lines
}

// archiveFile writes bytes to a file.
func archiveFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// everyKind is one store as whatever can be compared.
func everyKind(t *testing.T, stateDir, exportDir string) map[string]string {
	t.Helper()
	pack := func(o testdata.ArchiveOptions) []byte {
		data, _ := testdata.Archive(t, exportDir, o)
		return data
	}
	return map[string]string{
		"store":        stateDir,
		"directory":    exportDir,
		"archive":      archiveFile(t, "a.tar", pack(testdata.ArchiveOptions{})),
		"zstd archive": archiveFile(t, "a.tar.zst", pack(testdata.ArchiveOptions{Zstd: true})),
		"gzip heaps":   archiveFile(t, "g.tar.zst", pack(testdata.ArchiveOptions{Zstd: true, Gzip: true})),
		"foreign tar":  archiveFile(t, "f.tar", testdata.ForeignTar(t, exportDir, testdata.ForeignOptions{Prefix: "./"})),
	}
}

// A store, its export, and archives of that are the same, whatever is compared with whatever, in the mode that the other side has.
func TestDiffSame(t *testing.T) {
	for _, mode := range []string{"operational", "replay", "archival", "debug"} {
		dir, _ := testdata.Export(t, "tiny", mode, "all")
		kinds := everyKind(t, testdata.Store(t, "tiny"), dir)
		for a, pathA := range kinds {
			for b, pathB := range kinds {
				r, lines := compared(t, DiffOptions{A: pathA, B: pathB})
				if len(lines) > 0 {
					t.Errorf("%s: %s and %s:\n%s", mode, a, b, strings.Join(lines, "\n"))
				}
				want := mode
				if a == "store" && b == "store" {
					want = "archival"
				}
				if r.ArtifactMode != want || r.Artifacts == 0 || r.Keys == 0 || !r.ExportData || len(r.Warnings) > 0 {
					t.Errorf("%s: %s and %s: %+v", mode, a, b, r)
				}
			}
		}
	}
}

// changedStore is the store tiny with a change of each kind, and its export.
func changedStore(t *testing.T) (stateDir, exportDir string) {
	t.Helper()
	b := testdata.Open(t, testdata.Store(t, "tiny"))
	b.Exec("UPDATE kvStore SET value = 'R ko57' WHERE key = 'v1.c.o+d11/56'")
	b.Exec("UPDATE kvStore SET value = 'longer' || value WHERE key = '-'")
	b.Exec("UPDATE kvStore SET value = 'only here' WHERE key GLOB 'local.*' OR key GLOB 'host.*'")
	b.Exec("UPDATE kvStore SET value = '1234569' WHERE key = 'host.height'")
	b.Exec("DELETE FROM kvStore WHERE key = 'B'")
	b.Exec("INSERT INTO kvStore VALUES ('new', 'x')")
	b.Exec("UPDATE transcriptItems SET item = item || 'x' WHERE vatID = 'v12' AND position = 0")
	b.Exec("UPDATE snapshots SET compressedSnapshot = ? WHERE vatID = 'v13' AND snapPos = 1", testdata.Gzip([]byte("another heap")))
	b.Exec("UPDATE transcriptSpans SET hash = ? WHERE vatID = 'v10' AND startPos = 0", hexSum("x"))
	b.Exec("DELETE FROM bundles WHERE bundleID LIKE 'b0-28e8%'")
	b.Close()
	exportDir = t.TempDir()
	_, err := Export(context.Background(), ExportOptions{StateDir: b.Dir, ExportDir: exportDir, ArtifactMode: "archival", ExportDataMode: "all", NoVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return b.Dir, exportDir
}

// What differs is said, the same for all kinds, and the other way round with the sides changed.
func TestDiffFindsDifferences(t *testing.T) {
	dir, _ := testdata.Export(t, "tiny", "archival", "all")
	as := everyKind(t, testdata.Store(t, "tiny"), dir)
	changed, changedDir := changedStore(t)
	bs := everyKind(t, changed, changedDir)
	const bundle = "bundle.b0-28e8a5e4847c8d869c987ff5ae78b3315ca70936b6c9e1f0aa3bf250979f8caf"
	want := []string{
		"height  in both: 1234567 in a, 1234569 in b",
		"artifact " + bundle + " in a",
		"artifact snapshot.v13.1 in both: 302000 bytes in a, 12 bytes in b",
		"artifact transcript.v12.0.1 in both: 27 bytes in a, 28 bytes in b",
		"export data " + bundle + " in a",
		"export data kv.- in both: 7 bytes in a, 13 bytes in b",
		"export data kv.B in a",
		"export data kv.new in b",
		"export data kv.v1.c.o+d11/56 in both: 6 bytes in both, with other content",
		"export data transcript.v10.0 in both: 143 bytes in both, with other content",
	}
	var back []string
	for _, line := range want {
		if strings.HasSuffix(line, " in a") && !strings.Contains(line, ":") {
			line = strings.TrimSuffix(line, "a") + "b"
		} else if strings.HasSuffix(line, " in b") && !strings.Contains(line, ":") {
			line = strings.TrimSuffix(line, "b") + "a"
		} else if x, y, ok := strings.Cut(line, " in a, "); ok {
			i := strings.LastIndex(x, ": ") + 2
			line = x[:i] + strings.TrimSuffix(y, " in b") + " in a, " + x[i:] + " in b"
		}
		back = append(back, line)
	}
	for a, pathA := range as {
		for b, pathB := range bs {
			_, lines := compared(t, DiffOptions{A: pathA, B: pathB})
			if !slices.Equal(lines, want) {
				t.Errorf("%s and %s:\n%s", a, b, strings.Join(lines, "\n"))
			}
			if _, lines = compared(t, DiffOptions{A: pathB, B: pathA}); !slices.Equal(lines, back) {
				t.Errorf("%s and %s:\n%s", b, a, strings.Join(lines, "\n"))
			}
		}
	}
}

// Stores are compared in a mode: that of the other side, the one that both satisfy, or the one that is asked for. Exports of different modes
// differ in that.
func TestDiffModes(t *testing.T) {
	tiny, pruned := testdata.Store(t, "tiny"), testdata.Store(t, "tiny")
	b := testdata.Open(t, pruned)
	b.Exec("DELETE FROM transcriptItems WHERE vatID = 'v1' AND position < 6")
	b.Close()
	archival, _ := testdata.Export(t, "tiny", "archival", "all")
	operational, _ := testdata.Export(t, "tiny", "operational", "skip")
	for _, c := range []struct {
		a, b  string
		mode  string // asked for
		used  string
		lines []string
	}{
		{tiny, pruned, "", "replay", nil},
		{tiny, pruned, "archival", "archival", []string{"artifact transcript.v1.0.6 in a"}},
		{pruned, archival, "", "archival", []string{"artifact transcript.v1.0.6 in b"}},
		{pruned, operational, "", "operational", nil},
		{operational, tiny, "", "operational", nil},
	} {
		r, lines := compared(t, DiffOptions{A: c.a, B: c.b, ArtifactMode: format.ArtifactMode(c.mode)})
		if r.ArtifactMode != c.used || !slices.Equal(lines, c.lines) {
			t.Errorf("%s and %s: %+v\n%s", c.a, c.b, r, strings.Join(lines, "\n"))
		}
		if without := c.b == operational || c.a == operational; without == r.ExportData || without != (len(r.Warnings) == 1) {
			t.Errorf("%+v", r)
		}
	}
	r, lines := compared(t, DiffOptions{A: archival, B: operational})
	if lines[0] != "mode  in both: archival in a, operational in b" || lines[1] != "artifact transcript.V1.0.3 in a" {
		t.Errorf("%+v\n%s", r, strings.Join(lines, "\n"))
	}
}

// Of a key that is there twice the last record counts, and names may have any bytes.
func TestDiffRepeatedKeys(t *testing.T) {
	x, y := handMade(), handMade()
	x.data = append(x.data, line("kv.a", "first"), line("kv.a\x00", "zero"), line("kv.a", "last"), line("kv.a\x00\xc3\xbf", "more"), `["kv.b",null]`)
	y.data = append([]string{`["kv.b"]`, line("kv.a\x00\xc3\xbf", "more"), line("kv.a", "last"), line("kv.a\x00", "zero")}, y.data...)
	if _, lines := compared(t, DiffOptions{A: x.write(t), B: y.write(t)}); len(lines) > 0 {
		t.Error(lines)
	}
}

// What cannot be compared is an error that names the side.
func TestDiffErrors(t *testing.T) {
	good := handMade().write(t)
	cutExport := handMade().write(t)
	cut(t, cutExport, format.ManifestFile)
	missing := handMade().write(t)
	remove(t, missing, spanOne)
	data, _ := testdata.Archive(t, good, testdata.ArchiveOptions{})
	short := archiveFile(t, "cut.tar", data[:len(data)-2000])
	empty := t.TempDir()
	for _, c := range []struct{ a, b, text string }{
		{good, cutExport, cutExport + ": "},
		{missing, good, missing + ": "},
		{good, short, short + ": "},
		{good, empty, empty + " holds neither swingstore.sqlite nor export-manifest.json"},
		{good, filepath.Join(empty, "no"), "no such file"},
		{"-", "-", "only one side of a comparison can be standard input"},
	} {
		_, err := Diff(context.Background(), DiffOptions{A: c.a, B: c.b})
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s and %s: %v", c.a, c.b, err)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := Diff(ctx, DiffOptions{A: good, B: good}); !errors.Is(err, enough) {
		t.Error(err)
	}
	if _, err := Diff(context.Background(), DiffOptions{A: "-", B: good, Stdin: bytes.NewReader(data)}); err != nil {
		t.Error(err)
	}
}
