package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"swingport/format"
	"swingport/stages"
)

// madeExport is an export made by hand: one vat with two spans and a heap, one bundle, some keys. Tests change it before they write it.
type madeExport struct {
	height    string // JSON
	mode      string // JSON; "" leaves it out
	data      []string
	artifacts map[string]string // name to content
	files     map[string]string // name to file, where they differ
	checksums bool
}

const (
	spanOne  = "transcript.v1.0.3"
	spanTwo  = "transcript.v1.3.5"
	heapOne  = "snapshot.v1.2"
	otherDoc = "{\"moduleFormat\":\"nestedEvaluate\",\"source\":\"x\",\"sourceMap\":\"y\"}"
)

var bundleOne = "bundle.b0-" + hexSum(otherDoc)

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func spanHash(items ...string) string {
	h := format.NewSpanHash()
	for _, item := range items {
		h.Add([]byte(item))
	}
	return h.Sum()
}

func line(key, value string) string {
	b, _ := json.Marshal([]string{key, value})
	return string(b)
}

func handMade() *madeExport {
	heap := strings.Repeat("a heap of some length. ", 400)
	x := &madeExport{height: "1000", mode: `"archival"`, artifacts: map[string]string{
		heapOne: heap, spanOne: "one\ntwo\nthree\n", spanTwo: "four\nfive\n", bundleOne: otherDoc,
	}, files: map[string]string{}}
	for i := range 40 {
		x.data = append(x.data, line(fmt.Sprintf("kv.key%02d", i), strings.Repeat("value ", i)))
	}
	x.data = append(x.data,
		line(heapOne, `{"vatID":"v1","snapPos":2,"hash":"`+hexSum(heap)+`","inUse":1}`),
		line("snapshot.v1.current", heapOne),
		line("transcript.v1.0", `{"vatID":"v1","startPos":0,"endPos":3,"hash":"`+spanHash("one", "two", "three")+`","isCurrent":0,"incarnation":0}`),
		line("transcript.v1.current", `{"vatID":"v1","startPos":3,"endPos":5,"hash":"`+spanHash("four", "five")+`","isCurrent":1,"incarnation":0}`),
		line(bundleOne, strings.TrimPrefix(bundleOne, "bundle.")))
	return x
}

// replaceData replaces text in every line of the export data.
func (x *madeExport) replaceData(t *testing.T, from, to string) {
	t.Helper()
	n := 0
	for i := range x.data {
		n += strings.Count(x.data[i], from)
		x.data[i] = strings.ReplaceAll(x.data[i], from, to)
	}
	if n == 0 {
		t.Fatalf("no %q in the export data", from)
	}
}

func (x *madeExport) file(name string) string {
	if f, ok := x.files[name]; ok {
		return f
	}
	return name
}

// write makes the directory.
func (x *madeExport) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var order []string
	for name := range x.artifacts {
		order = append(order, name)
	}
	sort.Strings(order)
	files := map[string]string{format.ExportDataFile: strings.Join(x.data, "\n") + "\n"}
	var list []string
	for _, name := range order {
		list = append(list, line(name, x.file(name)))
		if filepath.IsLocal(x.file(name)) {
			files[x.file(name)] = x.artifacts[name]
		}
	}
	manifest := `{"blockHeight":` + x.height + `,"artifacts":[` + strings.Join(list, ",") + `],"data":"export-data.jsonl"`
	if x.mode != "" {
		manifest += `,"artifactMode":` + x.mode
	}
	files[format.ManifestFile] = manifest + "}"
	sums := ""
	for name, content := range files {
		put(t, filepath.Join(dir, name), content)
		sums += hexSum(content) + "  " + name + "\n"
	}
	if x.checksums {
		put(t, filepath.Join(dir, format.ChecksumsFile), sums)
	}
	return dir
}

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// oldStore makes a state directory with a store of height 7 and a file that is none of ours.
func oldStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	sink, err := stages.NewInserter(filepath.Join(dir, stages.StoreFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Finish(7); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "other.txt"), "not ours")
	return dir
}

// content is every file below a directory, with its mode.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += hexSum(string(b))
		}
		files[path] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// same fails if a directory is not what it was.
func same(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	after := content(t, dir)
	for path, text := range before {
		if after[path] != text {
			t.Errorf("%s: it was %q and is %q", path, text, after[path])
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			t.Errorf("%s was left behind", path)
		}
	}
}
