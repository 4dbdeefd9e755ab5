package pipeline

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swingport/testdata"
)

// packings are the ways in which an archive comes in.
var packings = []struct {
	name string
	open func(h testdata.Hostile) io.Reader
}{
	{"tar", testdata.Hostile.Open},
	{"tar.zst", testdata.Hostile.Zstd},
	{"tar.gz", testdata.Hostile.Gzip},
}

// onlyReader hides that a reader is anything else, as a pipe does.
type onlyReader struct{ io.Reader }

// hostile calls f for each archive with a defect, in each packing; with -short for each step-th one, as it is. Bombs are for the tests of
// the command, which measure memory.
func hostile(t *testing.T, step int, f func(t *testing.T, h testdata.Hostile, r io.Reader)) {
	n := 0
	for _, h := range testdata.HostileArchives(t) {
		if h.Bomb {
			continue
		}
		if n++; testing.Short() && n%step > 0 {
			continue
		}
		t.Run(h.Defect, func(t *testing.T) {
			for i, p := range packings {
				if i > 0 && (h.Packed || testing.Short()) {
					break
				}
				t.Run(p.name, func(t *testing.T) { f(t, h, onlyReader{p.open(h)}) })
			}
		})
	}
	if n < 150 {
		t.Errorf("%d archives only", n)
	}
}

// outside is what no archive may write: the names in the corpus that lead out of where they belong.
func outside(t *testing.T) {
	t.Helper()
	for _, name := range []string{filepath.Join("/tmp", testdata.WorkedSpan), filepath.Join("..", testdata.WorkedSpan), testdata.WorkedSpan} {
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("%s was written, %v", name, err)
		}
	}
}

// No archive with a defect is imported: each gives its error, the old store stands byte for byte, and nothing else is there,
// neither in the state directory nor beside it.
func TestImportHostileArchives(t *testing.T) {
	outside(t)
	hostile(t, 48, func(t *testing.T, h testdata.Hostile, r io.Reader) {
		root := t.TempDir()
		o := ImportOptions{StateDir: filepath.Join(root, "state"), TempDir: filepath.Join(root, "temp"), Archive: "-", Stdin: r}
		if err := os.Rename(oldStore(t), o.StateDir); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(o.TempDir, 0o755); err != nil {
			t.Fatal(err)
		}
		before := content(t, root)
		_, err := Import(context.Background(), o)
		if err == nil {
			t.Fatal("imported")
		}
		if !h.Says(err.Error()) {
			t.Errorf("error %q, without %q", err, h.Text)
		}
		same(t, root, before)
	})
	outside(t)
}

// The same corpus into no store at all: none is there afterwards.
func TestImportHostileArchivesWithoutStore(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: the archives of TestImportHostileArchives once more; go test without -short runs them")
	}
	hostile(t, 1, func(t *testing.T, _ testdata.Hostile, r io.Reader) {
		dir := t.TempDir()
		if _, err := Import(context.Background(), ImportOptions{StateDir: dir, Archive: "-", Stdin: r}); err == nil {
			t.Fatal("imported")
		}
		if left := names(t, dir); left != "" {
			t.Errorf("left over: %s", left)
		}
	})
}

// Verify has a defect for each archive that no import takes, and says where it is.
func TestVerifyHostileArchives(t *testing.T) {
	hostile(t, 24, func(t *testing.T, h testdata.Hostile, r io.Reader) {
		var found []string
		temp := t.TempDir()
		report, err := Verify(context.Background(), VerifyOptions{Archive: "-", Stdin: r, TempDir: temp, Defect: func(d Defect) { found = append(found, d.String()) }})
		if err != nil {
			found = append(found, err.Error())
		}
		if len(found) == 0 {
			t.Fatal("no defect")
		}
		if err == nil && report.DefectCount != len(found) {
			t.Errorf("%d defects counted, told of %d", report.DefectCount, len(found))
		}
		if all := strings.Join(found, "\n"); !h.Says(all) {
			t.Errorf("defects %q, none with %q", found, h.Text)
		}
		if left := names(t, temp); left != "" {
			t.Errorf("left over: %s", left)
		}
	})
	outside(t)
}

// Of very many wrong lines the first ones are reported, and that there are more.
func TestVerifyManyWrongLines(t *testing.T) {
	x := handMade()
	for i := range 30_000 {
		x.data = append(x.data, fmt.Sprintf(`["kv.%d",%d]`, i, i))
	}
	var found []string
	_, err := Verify(context.Background(), VerifyOptions{ExportDir: x.write(t), Defect: func(d Defect) { found = append(found, d.String()) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10_001 || len(found) > 10_010 || !strings.Contains(strings.Join(found, "\n"), "more than 10000 lines that are wrong") {
		t.Errorf("%d defects, the last one %q", len(found), found[len(found)-1])
	}
}
