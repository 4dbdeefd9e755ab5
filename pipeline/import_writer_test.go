package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// bothWriters imports by either writer and fails unless the rows are the same, in the same order, and the engine finds nothing wrong.
func bothWriters(t *testing.T, what string, o ImportOptions, archive []byte) {
	t.Helper()
	var want string
	var failed error
	for _, o.Writer = range []string{WriterInserts, WriterPages} {
		o.StateDir = t.TempDir()
		if archive != nil {
			o.Archive, o.Stdin = "-", bytes.NewReader(archive)
		}
		_, err := Import(context.Background(), o)
		if o.Writer == WriterInserts {
			if failed = err; err == nil {
				want = dump(t, o.StateDir) + inOrder(t, o.StateDir)
			}
			continue
		}
		if failed != nil || err != nil {
			sameFailure(t, what, err, failed)
			continue
		}
		for _, line := range testdata.CompareDumps(dump(t, o.StateDir)+inOrder(t, o.StateDir), want) {
			t.Errorf("%s: %s", what, line)
		}
	}
}

// inOrder is the rows of the large tables in the order of their rowids, and what integrity_check says.
func inOrder(t *testing.T, stateDir string) string {
	t.Helper()
	db, err := stages.OpenDB(filepath.Join(stateDir, stages.StoreFile), stages.ReadOnly, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var b strings.Builder
	for _, sql := range []string{
		"SELECT quote(key) || quote(value) || typeof(value) FROM kvStore ORDER BY rowid",
		"SELECT quote(vatID) || quote(position) || quote(item) || quote(incarnation) FROM transcriptItems ORDER BY rowid",
		"SELECT key FROM kvStore ORDER BY key",
		"SELECT vatID || ' ' || position FROM transcriptItems ORDER BY vatID, position",
	} {
		if err := db.Query(sql, func(s *stages.Stmt) error { fmt.Fprintf(&b, "%s\n", s.Bytes(0)); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	err = db.Query("PRAGMA integrity_check", func(s *stages.Stmt) error {
		if s.Text(0) != "ok" {
			t.Errorf("integrity_check: %s", s.Text(0))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// Pages hold the rows that inserts make, of every export and every archive that the reference made or read.
func TestImportWriters(t *testing.T) {
	t.Parallel()
	n := 0
	for _, store := range testdata.Stores {
		for _, mode := range testdata.Modes[1:] {
			dir, r := testdata.Export(t, store, mode, "all")
			if r.RC != 0 {
				continue
			}
			n++
			bothWriters(t, store+" "+mode, ImportOptions{ExportDir: dir}, nil)
			if mode == "archival" {
				archive, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{Zstd: true})
				bothWriters(t, store+" archive", ImportOptions{}, archive)
				bothWriters(t, store+" tar", ImportOptions{}, testdata.ForeignTar(t, dir, testdata.ForeignOptions{}))
			}
		}
	}
	if n < 18 {
		t.Errorf("%d exports compared, expected at least 18", n)
	}
}

// Lines of kv in any order, repeated, deleted and added again, of all lengths around those at which pages overflow.
func TestImportWritersKV(t *testing.T) {
	t.Parallel()
	kv := func(key string, value int) string { return line("kv."+key, strings.Repeat("v", value)) }
	gone := func(key string) string { return `["kv.` + key + `",null]` }
	var sizes, keys, many []string
	for n := range 4200 {
		if n < 10 || n > 4040 && n < 4080 || n%97 == 0 {
			sizes = append(sizes, kv(fmt.Sprintf("s%04d", n), n), kv(fmt.Sprintf("t%04d", n), 4092+n), kv(fmt.Sprintf("u%04d", n), 2*4092+n))
		}
		if n > 980 && n < 1020 || n > 470 && n < 500 || n%89 == 0 {
			keys = append(keys, kv(fmt.Sprintf("%04d", n)+strings.Repeat("k", n), n%3), kv(fmt.Sprintf("%04d", n)+strings.Repeat("l", n+4092), 1))
		}
	}
	manyRows := 40_000
	if testing.Short() {
		manyRows /= 4
	}
	for n := range manyRows {
		many = append(many, kv(fmt.Sprintf("many%06d", n), 10+n%50))
	}
	r := rand.New(rand.NewPCG(1, 2))
	mixed := append(append(append([]string{}, sizes...), keys...), many[:3000]...)
	r.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
	again := []string{}
	for range 3000 {
		key := fmt.Sprint("again", r.IntN(300))
		if again = append(again, kv(key, r.IntN(5000))); r.IntN(3) == 0 {
			again[len(again)-1] = gone(key)
		}
	}
	for what, lines := range map[string][]string{
		"nothing": nil, "one": {kv("a", 1)}, "an empty key": {kv("", 0), kv("a", 0), kv("", 3)}, "zero bytes": {`["kv.a\u0000b","1"]`, `["kv.a","2"]`, `["kv.a\u0000","3"]`, `["kv.a\u0001","4"]`},
		"nothing is deleted": {gone("a")}, "deleted": {kv("a", 1), gone("a")}, "again": {kv("a", 1), kv("b", 1), gone("a"), kv("a", 2)},
		"twice": {kv("a", 1), kv("b", 1), kv("a", 2)}, "height": {kv("host.height", 3)},
		"sizes": sizes, "keys": keys, "many": many, "mixed": mixed, "many again": again,
	} {
		x := handMade()
		x.data = append(x.data, lines...)
		bothWriters(t, what, ImportOptions{ExportDir: x.write(t)}, nil)
	}
}

// Where the context ends, the old store or the new one is there, also with pages.
func TestImportPagesCancelled(t *testing.T) {
	o, fresh := template(t)
	o.Writer = WriterPages
	pages := func() ImportOptions {
		p := fresh()
		p.Writer = WriterPages
		return p
	}
	checkCancelled(t, o, pages, 3)
}

func TestImportUnknownWriter(t *testing.T) {
	_, err := Import(context.Background(), ImportOptions{StateDir: t.TempDir(), ExportDir: handMade().write(t), Writer: "quill", ArtifactMode: format.Archival})
	if err == nil || err.Error() != `unknown writer "quill": inserts or pages` {
		t.Errorf("%v", err)
	}
}
