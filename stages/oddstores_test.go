package stages

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"swingport/testdata"
)

// oddStore is a store that no node makes, or hardly ever.
type oddStore struct {
	build func(*testing.T) (dir string)
	rows  int  // at least
	large bool // left out with -short
}

var oddStores = map[string]oddStore{
	"empty":            {func(t *testing.T) string { return finished(testdata.Build(t)) }, 0, false},
	"one-page-tables":  {onePageTables, 6, false},
	"page-512":         {mixed("page_size=512"), 3000, false},
	"page-1024":        {mixed("page_size=1024"), 3000, false},
	"page-4096":        {mixed(), 3000, false},
	"page-65536":       {mixed("page_size=65536"), 3000, true},
	"auto-vacuum":      {mixed("page_size=512", "auto_vacuum=FULL"), 3000, false},
	"auto-incremental": {mixed("page_size=1024", "auto_vacuum=INCREMENTAL"), 3000, true},
	"reserved-32":      {reserved(512, 32), 500, false},
	"reserved-255":     {reserved(4096, 255), 500, false},
	"shuffled":         {rowids("page_size=512", func(n int) []int { return rand.New(rand.NewPCG(1, 2)).Perm(n) }), 4000, false},
	"reversed":         {rowids("page_size=1024", reversed), 4000, false},
	"negative-rowids":  {negativeRowids, 600, false},
	"freelist":         {freelist, 1000, false},
	"residues-512":     {residues(512, 0, 1600), 2 * 1600, false},
	"residues-1024":    {residues(1024, 900, 1100, 1900, 2200), 2 * 300, false},
	"residues-4096":    {residues(4096, 480, 520, 4000, 4140, 4560, 4640, 8000, 8200, 8600, 8800), 2 * 100, false},
	"residues-65536":   {residues(65536, 65480, 65560, 73500, 73600, 131000, 131100), 2 * 100, true},
	"huge":             {huge, 20, true},
	"types":            {types, 80, false},
	"texts":            {texts, 16, false},
	"long-keys":        {longKeys, 400, false},
	"one-span":         {oneSpan, 20000, true},
	"many-vats":        {manyVats, 6000, true},
	"vacuumed":         {vacuumed, 500, false},
	"more-indexes":     {moreIndexes, 3000, false},
}

func finished(b *testdata.Builder) string {
	b.Close()
	return b.Dir
}

func onePageTables(t *testing.T) string {
	b := testdata.Build(t)
	for i := range 3 {
		b.KV(fmt.Sprint("k", i), strings.Repeat("v", i*100))
	}
	b.Span("v1", 0, 0, true, "a", "", strings.Repeat("x", 300))
	return finished(b)
}

// sizes has many small lengths and a tail, as items and values have.
func sizes(r *rand.Rand) int {
	switch r.IntN(20) {
	case 0:
		return r.IntN(40000)
	case 1, 2, 3:
		return r.IntN(3000)
	}
	return r.IntN(150)
}

// letters is text that has no two stretches alike.
func letters(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return string(b)
}

// fill adds n rows to each table, interleaved, of several vats.
func fill(b *testdata.Builder, r *rand.Rand, from, n int) {
	b.Many("INSERT INTO transcriptItems VALUES (?,?,?,0)", n, func(i int) []any {
		return []any{fmt.Sprint("v", i%7), from + i, letters(r, sizes(r))}
	})
	b.Many("INSERT INTO kvStore VALUES (?,?)", n, func(i int) []any {
		return []any{fmt.Sprintf("v%d.%s.%d", i%7, letters(r, r.IntN(30)), from+i), letters(r, sizes(r))}
	})
}

func mixed(pragmas ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		b := testdata.Build(t, pragmas...)
		r := rand.New(rand.NewPCG(3, 4))
		for i := range 15 {
			fill(b, r, i*100, 100)
		}
		return finished(b)
	}
}

// reserved makes a store that leaves bytes free at the end of each page, as extensions for checksums and encryption ask for.
func reserved(pageSize, bytes int) func(*testing.T) string {
	return func(t *testing.T) string {
		dir := t.TempDir()
		d, err := OpenDB(filepath.Join(dir, StoreFile), Create, nil)
		if err != nil {
			t.Fatal(err)
		}
		name, n := d.cstring("main"), d.malloc(4)
		*(*int32)(ptr(n)) = int32(bytes)
		if err := d.Exec(fmt.Sprint("PRAGMA page_size=", pageSize)); err != nil {
			t.Fatal(err)
		}
		if rc := lib.Xsqlite3_file_control(d.tls, d.db, name, lib.SQLITE_FCNTL_RESERVE_BYTES, n); rc != lib.SQLITE_OK {
			t.Fatal(d.fail("reserve", rc))
		}
		libc.Xfree(d.tls, name)
		libc.Xfree(d.tls, n)
		for _, sql := range CreateStatements {
			if err := d.Exec(sql); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		b := testdata.Open(t, dir)
		fill(b, rand.New(rand.NewPCG(5, 6)), 0, 300)
		b.Close()
		s, err := OpenDB(filepath.Join(dir, StoreFile), ReadOnly, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Query("SELECT 1 FROM sqlite_schema", nil); err != nil {
			t.Fatal(err)
		}
		p, err := newPager(s)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		if p.pageSize-p.usable != bytes {
			t.Fatalf("%d bytes are reserved, not %d", p.pageSize-p.usable, bytes)
		}
		return dir
	}
}

func reversed(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = n - 1 - i
	}
	return p
}

// rowids gives rows rowids in another order than that of the positions and keys, and puts the pages in yet another one by inserting in the
// order of the positions.
func rowids(pragma string, order func(n int) []int) func(*testing.T) string {
	return func(t *testing.T) string {
		b := testdata.Build(t, pragma)
		r := rand.New(rand.NewPCG(7, 8))
		const n = 2000
		perm := order(n)
		b.Many("INSERT INTO transcriptItems (rowid, vatID, position, item, incarnation) VALUES (?,?,?,?,0)", n, func(i int) []any {
			return []any{perm[i] + 1, fmt.Sprint("v", i%3), i, letters(r, sizes(r))}
		})
		b.Many("INSERT INTO kvStore (rowid, key, value) VALUES (?,?,?)", n, func(i int) []any {
			return []any{perm[i] * 1000003, fmt.Sprintf("k%06d", i), letters(r, sizes(r))}
		})
		return finished(b)
	}
}

func negativeRowids(t *testing.T) string {
	b := testdata.Build(t, "page_size=512")
	at := []int64{-1 << 63, -1 << 40, -300, -1, 0, 1, 127, 128, 1 << 40, 1<<63 - 1}
	b.Many("INSERT INTO kvStore (rowid, key, value) VALUES (?,?,?)", len(at), func(i int) []any { return []any{at[i], fmt.Sprint("k", i), i} })
	b.Many("INSERT INTO transcriptItems (rowid, vatID, position, item) VALUES (?,?,?,?)", 600, func(i int) []any {
		return []any{int64(i-300) * 1e12, fmt.Sprint("v", i), int64(i-300) << (i % 50), fmt.Sprint(i)}
	})
	return finished(b)
}

// freelist leaves free pages, half-empty ones, and chains that run backwards through pages used again.
func freelist(t *testing.T) string {
	b := testdata.Build(t, "page_size=512")
	r := rand.New(rand.NewPCG(9, 10))
	fill(b, r, 0, 600)
	for i := range 4 {
		b.Exec("DELETE FROM kvStore WHERE rowid % 3 = ?", i%3)
		b.Exec("DELETE FROM transcriptItems WHERE rowid % 5 < 2")
		fill(b, r, 1000*(i+1), 300)
	}
	b.Exec("DELETE FROM transcriptItems WHERE position % 4 = 1")
	if b.Int("PRAGMA freelist_count") == 0 {
		t.Fatal("no free pages")
	}
	return finished(b)
}

// residues has an item and a value of every length in the ranges, two limits each.
func residues(pageSize int, ranges ...int) func(*testing.T) string {
	return func(t *testing.T) string {
		b := testdata.Build(t, fmt.Sprint("page_size=", pageSize))
		r := rand.New(rand.NewPCG(11, 12))
		for limits := range slices.Chunk(ranges, 2) {
			from, n := limits[0], limits[1]-limits[0]
			b.Many("INSERT INTO transcriptItems VALUES ('v1',?,?,0)", n, func(i int) []any { return []any{from + i, letters(r, from+i)} })
			b.Many("INSERT INTO kvStore VALUES (?,?)", n, func(i int) []any { return []any{fmt.Sprint("k", from+i), letters(r, from+i)} })
		}
		return finished(b)
	}
}

// huge has rows of 30 MB between small ones, more of them at once than may wait.
func huge(t *testing.T) string {
	b := testdata.Build(t)
	text := letters(rand.New(rand.NewPCG(13, 14)), 1<<20)
	long := strings.Repeat(text, 30)
	for i := range 3 {
		b.Exec("INSERT INTO transcriptItems VALUES ('v1',?,?,0)", i, long[i:])
		b.KV(fmt.Sprint("k", i), "short")
	}
	b.KV("large", long)
	b.Many("INSERT INTO transcriptItems VALUES ('v2',?,?,0)", 20, func(i int) []any { return []any{i, text[i*50000:]} })
	return finished(b)
}

// types stores every storage class in columns that would not take it by their affinity.
func types(t *testing.T) string {
	b := testdata.Build(t, "page_size=512")
	odd := []any{nil, "", "text", []byte{}, []byte("blob"), []byte{0, 0xff}, 0.5, -1e300, 1e-320, 5e-324}
	for n := range 9 {
		v := int64(1) << (8*min(n, 7) + 6)
		odd = append(odd, v, -v, v-1, -v-1, 2*v, 2*v-1, -2*v)
	}
	odd = append(odd, int64(0), int64(1), int64(-1), int64(1<<63-1), int64(-1<<63))
	without := func(table, columns string) {
		b.Exec("DROP TABLE " + table)
		b.Exec(fmt.Sprintf("CREATE TABLE %s (%s)", table, columns))
	}
	statement := map[string]string{}
	for _, table := range []string{"kvStore", "transcriptItems"} {
		var sql string
		if err := b.DB.QueryRow("SELECT sql FROM sqlite_schema WHERE name=?", table).Scan(&sql); err != nil {
			t.Fatal(err)
		}
		statement[table] = sql
	}
	without("kvStore", "key, value, PRIMARY KEY (key)")
	without("transcriptItems", "vatID, position, item, incarnation, PRIMARY KEY (vatID, position)")
	b.Many("INSERT INTO kvStore VALUES (?,?)", len(odd), func(i int) []any { return []any{fmt.Sprint("k", i), odd[i]} })
	b.Exec("INSERT INTO kvStore VALUES ('infinite', 9e999)")
	b.Many("INSERT INTO transcriptItems VALUES ('v1',?,?,?)", len(odd), func(i int) []any { return []any{i, odd[i], odd[len(odd)-1-i]} })
	for i, v := range odd {
		b.Exec("INSERT OR IGNORE INTO transcriptItems VALUES (?,?,'item',0)", v, i)
		if _, real := v.(float64); !real {
			b.Exec("INSERT OR IGNORE INTO transcriptItems VALUES ('v2',?,'item',0)", v)
		}
	}
	b.Exec("PRAGMA writable_schema=ON")
	for table, sql := range statement {
		b.Exec("UPDATE sqlite_schema SET sql=? WHERE type='table' AND name=?", sql, table)
	}
	return finished(b)
}

func texts(t *testing.T) string {
	b := testdata.Build(t)
	for i, text := range []string{"", "\x00", "a\x00b", "\xff", "\xed\xa0\x80", "\xe2\x82", "e\u0301 \u00e9", "\U0001f600\ue000", strings.Repeat("\xff\x00", 5000)} {
		b.KV(text, text)
		b.Exec("INSERT INTO transcriptItems VALUES (?,?,?,0)", "v"+text, i, text)
	}
	return finished(b)
}

// longKeys have keys up to and beyond what an index page holds of them.
func longKeys(t *testing.T) string {
	b := testdata.Build(t, "page_size=512")
	r := rand.New(rand.NewPCG(15, 16))
	b.Many("INSERT INTO kvStore VALUES (?,?)", 300, func(i int) []any { return []any{letters(r, i+1), letters(r, r.IntN(600))} })
	b.Many("INSERT INTO transcriptItems VALUES (?,?,?,0)", 300, func(i int) []any { return []any{letters(r, i), int64(i) << (i % 60), "item"} })
	b.KV(letters(r, 100000), "v")
	return finished(b)
}

func oneSpan(t *testing.T) string {
	b := testdata.Build(t)
	items := make([]string, 20000)
	for i := range items {
		items[i] = fmt.Sprintf(`{"d":["message",%d]}`, i)
	}
	b.Span("v1", 0, 0, true, items...)
	return finished(b)
}

func manyVats(t *testing.T) string {
	b := testdata.Build(t)
	b.Many("INSERT INTO transcriptItems VALUES (?,?,?,0)", 9000, func(i int) []any {
		return []any{fmt.Sprint("v", i%3000), i / 3000, fmt.Sprintf(`{"d":["message",%d]}`, i)}
	})
	return finished(b)
}

func vacuumed(t *testing.T) string {
	b := testdata.Build(t, "page_size=1024")
	fill(b, rand.New(rand.NewPCG(17, 18)), 0, 600)
	b.Exec("DELETE FROM kvStore WHERE rowid % 2 = 1")
	b.Exec("PRAGMA page_size=512")
	b.Exec("VACUUM")
	return finished(b)
}

func moreIndexes(t *testing.T) string {
	b := testdata.Build(t)
	b.Exec("CREATE INDEX byValue ON kvStore (value)")
	b.Exec("CREATE INDEX byIncarnation ON transcriptItems (incarnation, vatID)")
	b.Exec("CREATE TABLE other (a, b)")
	fill(b, rand.New(rand.NewPCG(19, 20)), 0, 1500)
	b.Exec("INSERT INTO other SELECT key, value FROM kvStore")
	b.Exec("ANALYZE")
	return finished(b)
}
