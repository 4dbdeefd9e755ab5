package main

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"swingport/testdata"
)

// The command starts no program but itself, for measurements, and speaks to no network.
func TestStartsNothing(t *testing.T) {
	starts := []string{"cmd/swingport/bench_run.go"}
	forbidden := []string{"net", "net/http", "net/rpc", "plugin", "os/exec"}
	root := filepath.Dir(testdata.Dir(t))
	n := 0
	for _, dir := range []string{"format", "stages", "stages/zenc", "pipeline", "cmd/swingport"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			n++
			parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			name := dir + "/" + filepath.Base(path)
			for _, spec := range parsed.Imports {
				if imported, _ := strconv.Unquote(spec.Path.Value); slices.Contains(forbidden, imported) && !(imported == "os/exec" && slices.Contains(starts, name)) {
					t.Errorf("%s imports %s", name, imported)
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("%d files were looked at", n)
	}
}
