package testdata

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// StoreFile is the database in a state directory.
const StoreFile = "swingstore.sqlite"

// Builder makes a store that no generator of the reference makes: with other page sizes, odd rows, or things missing.
type Builder struct {
	tb  testing.TB
	Dir string  // its state directory
	DB  *sql.DB // one connection
}

// Build makes an empty store with the schema of the reference, after the given pragmas ("page_size=512").
func Build(tb testing.TB, pragmas ...string) *Builder {
	tb.Helper()
	b := Open(tb, tb.TempDir())
	for _, p := range pragmas {
		b.Exec("PRAGMA " + p)
	}
	for _, statement := range schemaOf(tb, filepath.Join(Dir(tb), "stores", "tiny")) {
		b.Exec(statement)
	}
	return b
}

// Open opens the store in a directory for changes; a missing one is made, without tables.
func Open(tb testing.TB, dir string) *Builder {
	tb.Helper()
	// Whoever closes a store with a log has it to himself for a moment.
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.Join(dir, StoreFile), RawQuery: "_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { db.Close() })
	b := &Builder{tb, dir, db}
	b.Exec("PRAGMA synchronous=OFF")
	return b
}

func schemaOf(tb testing.TB, dir string) (statements []string) {
	tb.Helper()
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.Join(dir, StoreFile), RawQuery: "mode=ro"}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		tb.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var statement string
		if err := rows.Scan(&statement); err != nil {
			tb.Fatal(err)
		}
		statements = append(statements, statement)
	}
	return statements
}

// Exec runs a statement. A string is TEXT, a []byte a BLOB.
func (b *Builder) Exec(statement string, args ...any) {
	b.tb.Helper()
	if _, err := b.DB.Exec(statement, args...); err != nil {
		b.tb.Fatalf("%.200s: %v", statement, err)
	}
}

// Int is the first column of the first row.
func (b *Builder) Int(query string, args ...any) (n int64) {
	b.tb.Helper()
	rows, err := b.DB.Query(query, args...)
	if err != nil {
		b.tb.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || !rows.Next() {
		b.tb.Fatalf("%s: %v, %v", query, err, rows.Err())
	}
	to := []any{&n}
	for range columns[1:] {
		to = append(to, new(any))
	}
	if err := rows.Scan(to...); err != nil {
		b.tb.Fatalf("%s: %v", query, err)
	}
	return n
}

// Many runs one statement n times in one transaction.
func (b *Builder) Many(statement string, n int, args func(i int) []any) {
	b.tb.Helper()
	tx, err := b.DB.Begin()
	if err != nil {
		b.tb.Fatal(err)
	}
	defer tx.Rollback()
	st, err := tx.Prepare(statement)
	if err != nil {
		b.tb.Fatal(err)
	}
	for i := range n {
		if _, err := st.Exec(args(i)...); err != nil {
			b.tb.Fatalf("%s: row %d: %v", statement, i, err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.tb.Fatal(err)
	}
}

// KV sets a row of kvStore.
func (b *Builder) KV(key string, value any) {
	b.tb.Helper()
	b.Exec("INSERT OR REPLACE INTO kvStore VALUES (?,?)", key, value)
}

// Span adds a row of transcriptSpans and the items of it, the first one at start.
func (b *Builder) Span(vatID string, start, incarnation int, current bool, items ...string) {
	b.tb.Helper()
	b.SpanRow(vatID, start, start+len(items), incarnation, current, SpanHash(items...))
	b.Many("INSERT INTO transcriptItems VALUES (?,?,?,?)", len(items), func(i int) []any { return []any{vatID, start + i, items[i], incarnation} })
}

// SpanRow adds a row of transcriptSpans alone.
func (b *Builder) SpanRow(vatID string, start, end, incarnation int, current bool, hash string) {
	b.tb.Helper()
	var isCurrent any
	if current {
		isCurrent = 1
	}
	b.Exec("INSERT INTO transcriptSpans VALUES (?,?,?,?,?,?)", vatID, start, end, hash, isCurrent, incarnation)
}

// Heap adds a row of snapshots.
func (b *Builder) Heap(vatID string, pos int, inUse bool, heap []byte) {
	b.tb.Helper()
	b.HeapBlob(vatID, pos, inUse, heap, Gzip(heap))
}

// HeapBlob adds a row of snapshots with any stored blob.
func (b *Builder) HeapBlob(vatID string, pos int, inUse bool, heap, blob []byte) {
	b.tb.Helper()
	var use any
	if inUse {
		use = 1
	}
	sum := sha256.Sum256(heap)
	b.Exec("INSERT INTO snapshots VALUES (?,?,?,?,?,?,?)", vatID, pos, use, hex.EncodeToString(sum[:]), len(heap), len(blob), blob)
}

// B0 adds a bundle of the form b0 and returns its id.
func (b *Builder) B0(source string) string {
	b.tb.Helper()
	text := fmt.Sprintf(`{"moduleFormat":"nestedEvaluate","source":%q,"sourceMap":""}`, source)
	sum := sha256.Sum256([]byte(text))
	id := "b0-" + hex.EncodeToString(sum[:])
	b.Exec("INSERT INTO bundles VALUES (?,?)", id, text)
	return id
}

// Close closes the connection.
func (b *Builder) Close() {
	b.tb.Helper()
	if err := b.DB.Close(); err != nil {
		b.tb.Fatal(err)
	}
}

// CopyFiles copies the store's files as they are now to another state directory: with the connection open, what a crash leaves.
func (b *Builder) CopyFiles(ends ...string) string {
	b.tb.Helper()
	dir := b.tb.TempDir()
	for _, end := range append(ends, "") {
		data, err := os.ReadFile(filepath.Join(b.Dir, StoreFile+end))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, StoreFile+end), data, 0o644)
		}
		if err != nil {
			b.tb.Fatal(err)
		}
	}
	return dir
}

// SpanHash is the hash of a span of these items.
func SpanHash(items ...string) string {
	hexSum := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:])
	}
	h := hexSum("start of transcript span")
	for _, item := range items {
		h = hexSum(h + hexSum(item))
	}
	return h
}

// Gzip packs b.
func Gzip(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(b)
	z.Close()
	return buf.Bytes()
}

// gzipZeros is a gzip of so many blocks of zeros. Packed one byte after the other, hundreds of megabytes take seconds, and most of a
// minute under the race detector. A flush ends at a whole byte, and of zeros behind zeros each block gives the same bytes again.
func gzipZeros(blocks int) []byte {
	var buf bytes.Buffer
	block := make([]byte, blockSize)
	sum := crc32.NewIEEE()
	z, _ := flate.NewWriter(&buf, flate.DefaultCompression)
	var ends [2]int
	for i := range ends {
		z.Write(block)
		z.Flush()
		ends[i] = buf.Len()
	}
	again := slices.Clone(buf.Bytes()[ends[0]:])
	z.Close()
	last := slices.Clone(buf.Bytes()[ends[1]:])
	out := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}, buf.Bytes()[:ends[0]]...)
	for i := range blocks {
		sum.Write(block)
		if i > 0 {
			out = append(out, again...)
		}
	}
	out = binary.LittleEndian.AppendUint32(append(out, last...), sum.Sum32())
	return binary.LittleEndian.AppendUint32(out, uint32(blocks*blockSize))
}
