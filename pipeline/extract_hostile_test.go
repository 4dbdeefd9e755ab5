package pipeline

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// No archive with a defect makes a file outside of the directory or leaves one in it after an error. Extract lets pass what only the records tell:
// then the directory has the files of an export and no others.
func TestExtractHostileArchives(t *testing.T) {
	n, passed := 0, 0
	for _, h := range testdata.HostileArchives(t) {
		if h.Bomb {
			continue
		}
		if n++; testing.Short() && n%5 != 0 {
			continue
		}
		t.Run(h.Defect, func(t *testing.T) {
			data, err := io.ReadAll(h.Open())
			if err != nil {
				t.Fatal(err)
			}
			root := t.TempDir()
			path, to := filepath.Join(root, "archive"), filepath.Join(root, "below", "to")
			put(t, path, string(data))
			for _, o := range []ExtractOptions{{Path: path}, {Path: "-", Stdin: struct{ io.Reader }{bytes.NewReader(data)}}} {
				o.To = to
				if _, err := Extract(t.Context(), o); err != nil {
					nothingLeft(t, filepath.Dir(to))
					continue
				}
				passed++
				for name := range strings.SplitSeq(names(t, to), " ") {
					if _, err := format.ParseName(strings.TrimSuffix(name, ".gz")); err != nil && name != format.ManifestFile && name != format.ExportDataFile {
						t.Errorf("there is %s", name)
					}
				}
				if err := os.RemoveAll(filepath.Dir(to)); err != nil {
					t.Error(err)
				}
			}
			for _, name := range []string{testdata.WorkedSpan, testdata.WorkedHeap, format.ExportDataFile} {
				if _, err := Extract(t.Context(), ExtractOptions{Path: path, Names: []string{name}, To: to}); err == nil {
					if got := names(t, to); got != name {
						t.Errorf("there is %s, asked for was %s", got, name)
					}
					if err := os.RemoveAll(filepath.Dir(to)); err != nil {
						t.Error(err)
					}
				}
				nothingLeft(t, filepath.Dir(to))
			}
			if _, err := List(t.Context(), ListOptions{Path: path}); err != nil && err.Error() == "" {
				t.Error("an error that says nothing")
			}
			if left := names(t, root); left != "archive" {
				t.Errorf("there are %s", left)
			}
		})
	}
	if n < 150 || passed > n/4 {
		t.Errorf("%d archives, %d passed", n, passed)
	}
}
