package stages

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// walStore is a store in WAL mode with rows in the file and nothing in the log; no checkpoint comes by itself.
func walStore(t *testing.T) *testdata.Builder {
	b := testdata.Build(t, "page_size=512", "journal_mode=WAL", "wal_autocheckpoint=0")
	fill(b, rand.New(rand.NewPCG(1, 1)), 0, 300)
	b.Int("PRAGMA wal_checkpoint(TRUNCATE)")
	return b
}

// logFrames is the number of frames that the log has room for.
func logFrames(t *testing.T, dir string) int {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, StoreFile+"-wal"))
	if err != nil {
		return -1
	}
	return int(max(0, info.Size()-32) / (512 + 24))
}

// The log as it is beside a connection that lives: never written, with one frame, with many, checkpointed in part and wholly, begun again,
// naming pages beyond the end of the file, and after a vacuum that leaves the file too long.
func TestSweepLiveLog(t *testing.T) {
	more := func(b *testdata.Builder, seed uint64, n int) {
		fill(b, rand.New(rand.NewPCG(seed, seed)), int(seed)*1000, n)
	}
	for _, c := range []struct {
		name   string
		change func(*testing.T, *testdata.Builder)
		frames func(n int) bool
	}{
		{"no frame", func(*testing.T, *testdata.Builder) {}, func(n int) bool { return n <= 0 }},
		{"one frame", func(_ *testing.T, b *testdata.Builder) { b.Exec("UPDATE kvStore SET value='x' WHERE rowid=1") }, func(n int) bool { return n > 0 && n < 12 }},
		{"many frames", func(_ *testing.T, b *testdata.Builder) {
			for i := range 20 {
				more(b, uint64(i+2), 20)
			}
		}, func(n int) bool { return n > 200 }},
		{"deletes", func(_ *testing.T, b *testdata.Builder) {
			b.Exec("DELETE FROM kvStore WHERE rowid%3=1")
			b.Exec("DELETE FROM transcriptItems WHERE rowid%2=1")
		}, func(n int) bool { return n > 20 }},
		{"partly checkpointed", func(t *testing.T, b *testdata.Builder) {
			more(b, 2, 100)
			reader := testdata.Open(t, b.Dir)
			reader.Exec("BEGIN")
			reader.Int("SELECT count(*) FROM kvStore")
			more(b, 3, 100)
			b.Int("PRAGMA wal_checkpoint(PASSIVE)")
		}, func(n int) bool { return n > 200 }},
		{"wholly checkpointed", func(_ *testing.T, b *testdata.Builder) {
			more(b, 2, 100)
			b.Int("PRAGMA wal_checkpoint(FULL)")
		}, func(n int) bool { return n > 100 }},
		{"begun again", func(_ *testing.T, b *testdata.Builder) {
			more(b, 2, 200)
			b.Int("PRAGMA wal_checkpoint(RESTART)")
			more(b, 3, 20)
		}, func(n int) bool { return n > 200 }},
		{"truncated", func(_ *testing.T, b *testdata.Builder) {
			more(b, 2, 200)
			b.Int("PRAGMA wal_checkpoint(TRUNCATE)")
		}, func(n int) bool { return n <= 0 }},
		{"vacuumed", func(_ *testing.T, b *testdata.Builder) {
			b.Exec("DELETE FROM kvStore WHERE rowid%3>0")
			b.Exec("DELETE FROM transcriptItems WHERE rowid%3>0")
			b.Exec("VACUUM")
		}, func(n int) bool { return n > 50 }},
		{"vacuumed and checkpointed", func(_ *testing.T, b *testdata.Builder) {
			b.Exec("DELETE FROM kvStore WHERE rowid%3>0")
			b.Exec("VACUUM")
			b.Int("PRAGMA wal_checkpoint(PASSIVE)")
			more(b, 4, 30)
		}, func(n int) bool { return n > 50 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := walStore(t)
			c.change(t, b)
			if n := logFrames(t, b.Dir); !c.frames(n) {
				t.Fatalf("the log has %d frames", n)
			}
			live := sweepEqualsEngine(t, b.Dir)
			if live < 100 {
				t.Errorf("%d rows", live)
			}

			// What a crash leaves, with the log and without shared memory.
			crashed := b.CopyFiles("-wal")
			before := storeBytes(t, crashed)
			if n := sweepEqualsEngine(t, crashed); n != live {
				t.Errorf("%d rows after a crash, %d before", n, live)
			}
			if after := storeBytes(t, crashed); after != before {
				t.Errorf("the store changed: %v, before %v", after, before)
			}
			if _, err := os.Stat(filepath.Join(crashed, StoreFile+"-shm")); err == nil {
				t.Error("-shm was left behind")
			}
		})
	}
}

// A log that is cut, or whose last commit is, ends with the commit before, as for the engine.
func TestSweepCutLog(t *testing.T) {
	b := walStore(t)
	for i := range 6 {
		fill(b, rand.New(rand.NewPCG(uint64(i), 5)), 1000*(i+1), 10)
	}
	whole := b.CopyFiles("-wal")
	wal, err := os.ReadFile(filepath.Join(whole, StoreFile+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for cut := 0; cut < len(wal); cut += len(wal)/31 + 1 {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, StoreFile+"-wal"), int64(cut)); err != nil {
			t.Fatal(err)
		}
		seen[sweepEqualsEngine(t, dir)] = true
	}
	if len(seen) < 6 {
		t.Errorf("only %d commits seen", len(seen))
	}
}

// Schemas that a sweep does not know go through the engine; those that are no swing-store are refused.
func TestOddSchemas(t *testing.T) {
	replace := func(table, columns string) func(*testdata.Builder) {
		return func(b *testdata.Builder) {
			b.Exec("DROP TABLE " + table)
			b.Exec("CREATE TABLE " + table + " " + columns)
		}
	}
	for _, c := range []struct {
		name, odd string
		pragma    string
		change    func(*testdata.Builder)
		insert    string
	}{
		{"other order", "item TEXT 0", "page_size=4096",
			replace("transcriptItems", "(item TEXT, position INTEGER, incarnation INTEGER, vatID TEXT, PRIMARY KEY (vatID, position))"), ""},
		{"one more column", "extra", "page_size=4096", func(b *testdata.Builder) { b.Exec("ALTER TABLE kvStore ADD COLUMN extra") }, ""},
		{"default", "with a default", "page_size=4096", replace("kvStore", "(key TEXT PRIMARY KEY, value TEXT DEFAULT 'd')"), ""},
		{"generated", "generated", "page_size=4096", replace("kvStore", "(key TEXT PRIMARY KEY, value TEXT AS (key || '!'))"), "INSERT INTO kvStore (key) VALUES ('k1'), ('k2')"},
		{"without rowid", "WITHOUT ROWID kvStore", "page_size=4096", replace("kvStore", "(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID"), ""},
		{"integer key", "key INTEGER", "page_size=4096", replace("kvStore", "(value TEXT, key INTEGER PRIMARY KEY)"), "INSERT INTO kvStore VALUES ('v', 1)"},
		{"UTF-16le", "UTF-16le", "encoding='UTF-16le'", func(*testdata.Builder) {}, ""},
		{"UTF-16be", "UTF-16be", "encoding='UTF-16be'", func(*testdata.Builder) {}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := testdata.Build(t, c.pragma)
			c.change(b)
			if c.insert == "" {
				c.insert = "INSERT INTO kvStore (key, value) VALUES ('k1', 'v1'), ('k2', 'ü')"
			}
			b.Exec(c.insert)
			b.Exec("INSERT INTO transcriptItems (vatID, position, item) VALUES ('v1', 0, 'item')")
			b.Close()
			s, err := OpenStore(context.Background(), b.Dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if !strings.Contains(s.Odd(), c.odd) {
				t.Errorf("odd: %q", s.Odd())
			}
			rows, err := engineRows(s)
			if c.name == "integer key" {
				if err == nil {
					t.Error("a key that is a number was taken")
				}
				return
			}
			if err != nil || len(rows.kv) != 2 || len(rows.items) != 1 || c.name != "generated" && !strings.Contains(rows.kv[1], `"ü"`) {
				t.Errorf("rows %q, %v", rows, err)
			}
		})
	}
}

func TestNoStores(t *testing.T) {
	open := func(dir string) error {
		s, err := OpenStore(context.Background(), dir, nil)
		if err == nil {
			defer s.Close()
			_, err = NewPlan(context.Background(), s, "archival")
		}
		return err
	}
	file := func(data string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, StoreFile), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	old := testdata.Build(t)
	old.Exec("DROP TABLE transcriptSpans")
	old.Exec("CREATE TABLE transcriptSpans (vatID TEXT, startPos INTEGER, endPos INTEGER, hash TEXT, isCurrent INTEGER, PRIMARY KEY (vatID, startPos))")
	old.Close()
	none := testdata.Build(t)
	none.Exec("DROP TABLE kvStore")
	none.Close()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, StoreFile), 0o755); err != nil {
		t.Fatal(err)
	}
	plain := file("text")
	for _, c := range []struct {
		name, dir string
		is        error
		says      string
	}{
		{"no directory", filepath.Join(t.TempDir(), "missing"), ErrNoStore, "missing"},
		{"a file", filepath.Join(plain, StoreFile), ErrNoStore, "must be an existing directory"},
		{"nothing", t.TempDir(), ErrNoStore, StoreFile},
		{"a folder", folder, ErrNotStore, "no regular file"},
		{"empty", file(""), ErrNotStore, "is empty"},
		{"short", plain, ErrNotStore, "not a database"},
		{"noise", file(strings.Repeat("no database ", 1000)), ErrNotStore, "not a database"},
		{"no kvStore", none.Dir, ErrNotStore, "no table kvStore"},
		{"no incarnation", old.Dir, ErrNotStore, "no column incarnation"},
	} {
		if err := open(c.dir); !errors.Is(err, c.is) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A store behind a link: the engine's files are beside the store itself, and nothing is left there either.
func TestLinkedStore(t *testing.T) {
	for name, height := range map[string]float64{"tiny": 1234567, "tiny1a": 1234567, "tinywal": 1234568} {
		real, dir := testdata.Store(t, name), t.TempDir()
		if err := os.Symlink(filepath.Join(real, StoreFile), filepath.Join(dir, StoreFile)); err != nil {
			t.Fatal(err)
		}
		files := func() string {
			var names []string
			for _, d := range []string{real, dir} {
				entries, err := os.ReadDir(d)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					names = append(names, e.Name())
				}
			}
			return strings.Join(names, " ")
		}
		before := files()
		s, err := OpenStore(context.Background(), dir, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if h, err := s.Height(); h != height || err != nil {
			t.Errorf("%s: height %v, %v", name, h, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if after := files(); after != before {
			t.Errorf("%s: left %s, before %s", name, after, before)
		}
	}
}

// A plan knows how large heaps are without reading them.
func TestPlanReadsNoHeaps(t *testing.T) {
	b := testdata.Build(t)
	b.Exec("INSERT INTO snapshots VALUES ('v1', 3, 1, 'hash', 1, 1, zeroblob(20000000))")
	b.Exec("INSERT INTO snapshots VALUES ('v1', 2, NULL, 'hash', 1, 1, zeroblob(20000000))")
	b.Exec("INSERT INTO bundles VALUES ('b1-00', zeroblob(20000000))")
	b.Close()
	var read atomic.Int64
	s, err := OpenStore(context.Background(), b.Dir, &FS{Before: func(op Op) error {
		if op.Kind == OpRead {
			read.Add(int64(op.Len))
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, mode := range []format.ArtifactMode{format.None, format.Debug} {
		if _, err := NewPlan(context.Background(), s, mode); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	if n := read.Load(); n == 0 || n > 1<<20 {
		t.Errorf("%d bytes were read", n)
	}
}

// A position that is no integer belongs to no span, and is not silently left out by either reader.
func TestRealPosition(t *testing.T) {
	b := testdata.Build(t)
	b.Exec("INSERT INTO transcriptItems VALUES ('v1', 1.5, 'item', 0)")
	b.Close()
	s, err := OpenStore(context.Background(), b.Dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := engineRows(s); err == nil || !strings.Contains(err.Error(), "1.5") {
		t.Errorf("by the engine: %v", err)
	}
	if _, err := sweepRows(s, true, true, defaultLimits); err == nil || !strings.Contains(err.Error(), "1.5") {
		t.Errorf("by the sweep: %v", err)
	}
}
