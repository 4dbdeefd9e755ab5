package pipeline

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

const wornPage = 512 // bytes

// wornStore is a small store with every kind of page: inner pages and leaves of all tables and indexes, overflow pages, and free ones.
func wornStore(t *testing.T) string {
	b := testdata.Build(t, fmt.Sprint("page_size=", wornPage))
	r := rand.New(rand.NewPCG(31, 32))
	text := func(n int) string {
		s := make([]byte, n)
		for i := range s {
			s[i] = 'a' + byte(r.IntN(26))
		}
		return string(s)
	}
	b.KV("host.height", "77")
	b.Many("INSERT INTO kvStore VALUES (?,?)", 20, func(i int) []any { return []any{fmt.Sprintf("v%d.c.%040d", i%3, i), text(r.IntN(60))} })
	b.KV("long", text(900))
	b.KV(text(700), "long key")
	for v := range 5 {
		vat := fmt.Sprintf("v%040d", v) // so that few rows fill the pages of an index
		b.Span(vat, 0, 0, false, text(r.IntN(200)), text(10))
		b.Span(vat, 2, 0, true, text(r.IntN(200)), text(10))
		b.Heap(vat, 3, true, []byte(text(30+v*150)))
		b.Heap(vat, 1, false, []byte(text(20)))
		b.B0(text(v * v * 60))
	}
	for i := range 4 {
		b.B0(text(100 + i))
	}
	b.Span("v9", 0, 0, true, text(1200))
	b.KV("gone", text(1800))
	b.Exec("DELETE FROM kvStore WHERE key='gone'")
	b.Close()
	return b.Dir
}

// damageReading is a command that reads a store: what it gives, by the names of its parts. What an import or a copy gives is the text of the new store.
type damageReading struct {
	name string
	read func(t *testing.T, state string) (map[string]string, error)
}

// damageReadings are all of them; whole is an export of the store as it was.
func damageReadings(whole string) []damageReading {
	ctx := context.Background()
	by := func(name, reader string, mode format.ArtifactMode) damageReading {
		return damageReading{name, func(t *testing.T, state string) (map[string]string, error) {
			return exportBy(t, reader, ExportOptions{StateDir: state, ArtifactMode: mode})
		}}
	}
	verify := func(t *testing.T, o VerifyOptions) (map[string]string, error) {
		var found []error
		o.Defect = func(d Defect) { found = append(found, errors.New(d.String())) }
		_, err := Verify(ctx, o)
		return nil, errors.Join(append(found, err)...)
	}
	return []damageReading{
		by("export by sweep", ReaderSweep, format.Archival),
		by("export by engine", ReaderEngine, format.Archival),
		by("export by index", readerIndex, format.Operational),
		{"copy", func(t *testing.T, state string) (map[string]string, error) {
			to, _, err := runCopy(t, CopyOptions{StateDir: state, ArtifactMode: format.Archival, Workers: 2})
			defer os.RemoveAll(to)
			if err != nil {
				nothingLeft(t, to)
				return nil, err
			}
			return map[string]string{"store": dump(t, to)}, nil
		}},
		{"verify", func(t *testing.T, state string) (map[string]string, error) {
			return verify(t, VerifyOptions{StateDir: state})
		}},
		{"verify --deep", func(t *testing.T, state string) (map[string]string, error) {
			return verify(t, VerifyOptions{StateDir: state, Deep: true})
		}},
		{"diff", func(t *testing.T, state string) (map[string]string, error) {
			found := map[string]string{}
			_, err := Diff(ctx, DiffOptions{A: state, B: whole, Each: func(d Difference) {
				if d.In != Both { // what is there and damaged may be told as a difference
					found[d.What+" "+d.Name] = d.Detail
				}
			}})
			return found, err
		}},
		{"height", func(t *testing.T, state string) (map[string]string, error) {
			h, err := Height(ctx, state)
			return map[string]string{"height": fmt.Sprint(h)}, err
		}},
		{"get", func(t *testing.T, state string) (map[string]string, error) {
			v, ok, err := Get(ctx, state, "long")
			if !ok && err == nil {
				return nil, errMissing
			}
			return map[string]string{"value": string(v)}, err
		}},
		{"import over it", func(t *testing.T, state string) (map[string]string, error) { return importOver(t, state, whole) }},
	}
}

// errMissing is the answer of get where the index, in which alone it looks, does not have the key.
var errMissing = errors.New("kvStore does not have the key")

// exportBy is an export to a directory by one of the readers, also where another one would have been chosen.
func exportBy(t *testing.T, reader string, o ExportOptions) (map[string]string, error) {
	t.Helper()
	o.ExportDir, o.ExportDataMode, o.Workers = filepath.Join(t.TempDir(), "export"), format.All, 2
	defer os.RemoveAll(o.ExportDir)
	if err := o.defaults(); err != nil {
		t.Fatal(err)
	}
	store, err := stages.OpenStore(context.Background(), o.StateDir, o.fs)
	if err != nil {
		return nil, err
	}
	o.Reader = reader
	_, err = exportOnce(context.Background(), o, store, func(o *ExportOptions) (sink, error) { return newDirSink(context.Background(), o) })
	if err = errors.Join(err, store.Close()); err != nil {
		nothingLeft(t, o.ExportDir)
		return nil, err
	}
	files := map[string]string{}
	for _, name := range strings.Fields(names(t, o.ExportDir)) {
		files[name] = readText(t, o.ExportDir, name)
	}
	return files, nil
}

// importOver imports over a copy of the store, which has to be kept, whatever is wrong with it.
func importOver(t *testing.T, state, exportDir string) (map[string]string, error) {
	t.Helper()
	to := t.TempDir()
	defer os.RemoveAll(to)
	if err := os.CopyFS(to, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	old := readText(t, to, stages.StoreFile)
	sum, err := Import(context.Background(), ImportOptions{StateDir: to, ExportDir: exportDir, KeepOld: true, Workers: 2})
	kept := sum.KeptOld + sum.MovedAside
	if err != nil {
		kept = stages.StoreFile
	}
	if text := readText(t, to, kept); text != old {
		t.Errorf("%s is another file than the old store", kept)
	}
	if err != nil {
		return nil, err
	}
	for _, end := range []string{kept, kept + "-journal"} {
		os.Remove(filepath.Join(to, end))
	}
	return map[string]string{"store": dump(t, to)}, nil
}

// damagedPages calls try with a store of which one page was overwritten, for each page and pattern.
func damagedPages(t *testing.T, state string, step int, try func(what string)) (pages, patterns int) {
	path := filepath.Join(state, stages.StoreFile)
	good := []byte(readText(t, state, stages.StoreFile))
	pages = len(good) / wornPage
	page := func(n int) []byte { return good[(n-1)*wornPage : n*wornPage] }
	alike := func(n int, ok func(p []byte) bool) []byte { // the first page behind it of that kind, or the next one
		for k := n%pages + 1; k != n; k = k%pages + 1 {
			if ok(page(k)) {
				return page(k)
			}
		}
		return page(n%pages + 1)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(n int, p []byte) {
		if _, err := f.WriteAt(p, int64(n-1)*wornPage); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	random := make([]byte, wornPage)
	for n := 1; n <= pages; n += step {
		for i := range random {
			random[i] = byte(r.Uint32())
		}
		kind := page(n)[0]
		for _, c := range []struct {
			name string
			page []byte
		}{
			{"zeros", make([]byte, wornPage)}, {"random bytes", random}, {"ff", bytes.Repeat([]byte{0xff}, wornPage)},
			{"another page of its kind", alike(n, func(p []byte) bool { return p[0] == kind })},
			{"an empty leaf", alike(n, func(p []byte) bool {
				return (p[0] == 13 || p[0] == 10) && p[0]&7 == kind&7|8&7 && p[3] == 0 && p[4] == 0
			})},
		} {
			if bytes.Equal(c.page, page(n)) {
				continue
			}
			put(n, c.page)
			try(fmt.Sprintf("page %d of kind %d is %s", n, kind, c.name))
			patterns++
		}
		put(n, page(n))
	}
	return pages, patterns
}

// Whatever page of a store is damaged, each command says so, or gives what it would have given without; nothing is missing silently. Only of a
// value of kvStore, which has no hash, other bytes may come, and where rows of it are missing verify --deep says so.
func TestDamagedPages(t *testing.T) {
	noLeaks(t)
	state := wornStore(t)
	whole := filepath.Join(t.TempDir(), "export")
	if _, err := Export(context.Background(), ExportOptions{StateDir: state, ExportDir: whole, ArtifactMode: format.Archival, ExportDataMode: format.All}); err != nil {
		t.Fatal(err)
	}
	all := damageReadings(whole)
	want := make([]map[string]string, len(all))
	for i, x := range all {
		var err error
		if want[i], err = x.read(t, state); err != nil {
			t.Fatalf("%s of the whole store: %v", x.name, err)
		}
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	failed, same, values, rows := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	k := 0
	pages, patterns := damagedPages(t, state, step, func(what string) {
		k++
		find := func(name string) bool {
			i := slices.IndexFunc(all, func(x damageReading) bool { return x.name == name })
			_, err := all[i].read(t, state)
			return err != nil
		}
		for i, x := range all {
			if i > 0 && (k+i)%6 != 0 && !*exhaustive {
				continue
			}
			got, err := x.read(t, state)
			switch {
			case err != nil:
				failed[x.name]++
				if !namesDamage(err) {
					t.Errorf("%s: %s: the error does not say what is damaged: %v", what, x.name, err)
				}
				if x.name == "export by sweep" && k%3 == 0 && !(find("verify") && find("verify --deep")) {
					t.Errorf("%s: an export fails, and verify finds nothing", what)
				}
			case maps.Equal(got, want[i]):
				same[x.name]++
			case x.name == "get" && strings.Contains(what, "of kind 0"):
				values[x.name]++
			default:
				values[x.name]++
				if onlyValues(t, fmt.Sprint(what, ": ", x.name), got, want[i]) {
					rows[x.name]++
					if !find("verify --deep") {
						t.Errorf("%s: %s lacks rows of kvStore, and verify --deep finds nothing", what, x.name)
					}
				}
			}
		}
	})
	for _, x := range all {
		n := failed[x.name] + same[x.name] + values[x.name]
		t.Logf("%s: %d damages, %d errors, %d times the same, %d with other values of kvStore, %d of them without some rows", x.name, n, failed[x.name], same[x.name], values[x.name], rows[x.name])
		if x.name != "get" && x.name != "height" && x.name != "import over it" && failed[x.name] < n/2 {
			t.Errorf("%s: hardly any damage was found", x.name)
		}
	}
	t.Logf("%d pages, %d damages", pages, patterns)
}

// exhaustive is for whoever has the time: go run ./bench/torture faults.
var exhaustive = flag.Bool("exhaustive", false, "try every fault and damage on everything")

// onlyValues fails a test where anything but lines of kvStore differs, and reports whether any of those are missing.
func onlyValues(t *testing.T, what string, got, want map[string]string) (lost bool) {
	t.Helper()
	kv := func(text string) (keys []string, rest string) {
		for line := range strings.Lines(text) {
			if key, _, _ := strings.Cut(line, `",`); strings.HasPrefix(line, `["kv.`) {
				keys = append(keys, key)
			} else if !strings.HasPrefix(line, "kvStore ") {
				rest += line
			}
		}
		return keys, rest
	}
	for name := range maps.Keys(want) {
		gotKeys, gotRest := kv(got[name])
		wantKeys, wantRest := kv(want[name])
		if gotRest != wantRest {
			t.Errorf("%s: %q is another one", what, name)
		}
		lost = lost || !slices.Equal(gotKeys, wantKeys)
	}
	for name, detail := range got {
		if _, ok := want[name]; ok {
			continue
		}
		if lost = true; !strings.HasPrefix(name, "export data kv.") {
			t.Errorf("%s: %q, %s", what, name, detail)
		}
	}
	return lost
}

// namesDamage reports whether an error says more than that a file is damaged: a page, a table, an index or an artifact.
func namesDamage(err error) bool {
	for _, part := range []string{"page ", "Page ", "kvStore", "transcript", "snapshot", "bundle", "swing-store", "not a database", "schema", "host.height", "index ", "pendingExports"} {
		if strings.Contains(strings.ReplaceAll(err.Error(), "/", " "), part) {
			return true
		}
	}
	return false
}
