package testdata

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite"
)

// Dump returns what the store in stateDir holds as canonical text, one row a line: two stores with the same text are
// logically equal. reference/dump.mjs prints the same text.
//
// First come `pragma NAME VALUE` and, in the order of sqlite_master, `schema TYPE NAME on TABLE: SQL` with the statement
// quoted; then the rows of each table in the order of its primary key, `TABLE VALUE VALUE...`. A value is null, integer:N,
// real:X, a text of at most 200 printable ASCII bytes and no apostrophe between apostrophes, and otherwise text:LENGTH:SHA256
// or blob:LENGTH:SHA256. A heap is gunzip:LENGTH:SHA256 of its uncompressed bytes, since compressed bytes depend on the
// packer, and its compressedSize is the word right where it is that blob's length.
//
// A store in WAL mode gets a -wal and -shm from being read: dump a copy.
func Dump(stateDir string) (string, error) {
	file := url.URL{Scheme: "file", OmitHost: true, Path: filepath.Join(stateDir, "swingstore.sqlite"), RawQuery: "mode=ro"}
	db, err := sql.Open("sqlite", file.String())
	if err != nil {
		return "", err
	}
	defer db.Close()
	var text strings.Builder
	for _, part := range []func(io.Writer, *sql.DB) error{dumpPragmas, dumpSchema, dumpTables} {
		if err := part(&text, db); err != nil {
			return "", fmt.Errorf("dump %s: %w", stateDir, err)
		}
	}
	return text.String(), nil
}

func dumpPragmas(w io.Writer, db *sql.DB) error {
	for _, name := range []string{"encoding", "page_size", "auto_vacuum", "user_version", "application_id", "journal_mode"} {
		var value string
		if err := db.QueryRow("PRAGMA " + name).Scan(&value); err != nil {
			return err
		}
		fmt.Fprintf(w, "pragma %s %s\n", name, value)
	}
	return nil
}

func dumpSchema(w io.Writer, db *sql.DB) error {
	rows, err := db.Query("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, name, table string
		var statement sql.NullString
		if err := rows.Scan(&kind, &name, &table, &statement); err != nil {
			return err
		}
		quoted := "null"
		if statement.Valid {
			quoted = fmt.Sprintf("%q", statement.String)
		}
		fmt.Fprintf(w, "schema %s %s on %s: %s\n", kind, name, table, quoted)
	}
	return rows.Err()
}

var tables = []struct {
	name    string
	columns []string
	key     int // how many of the columns, from the first, are the primary key
}{
	{"pendingExports", []string{"key", "value"}, 1},
	{"kvStore", []string{"key", "value"}, 1},
	{"transcriptItems", []string{"vatID", "position", "item", "incarnation"}, 2},
	{"transcriptSpans", []string{"vatID", "startPos", "endPos", "hash", "isCurrent", "incarnation"}, 2},
	{"snapshots", []string{"vatID", "snapPos", "inUse", "hash", "uncompressedSize", "compressedSize", "compressedSnapshot"}, 2},
	{"bundles", []string{"bundleID", "bundle"}, 1},
}

func dumpTables(w io.Writer, db *sql.DB) error {
	for _, t := range tables {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", t.name).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if err := dumpTable(w, db, t.name, t.columns, t.key); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
	}
	return nil
}

func dumpTable(w io.Writer, db *sql.DB, table string, columns []string, key int) error {
	var fields []string
	for _, c := range columns {
		fields = append(fields, fmt.Sprintf("typeof(%s), CAST(%s AS BLOB)", c, c))
	}
	rows, err := db.Query(fmt.Sprintf("SELECT %s FROM %s ORDER BY %s",
		strings.Join(fields, ", "), table, strings.Join(columns[:key], ", ")))
	if err != nil {
		return err
	}
	defer rows.Close()

	types, values := make([]string, len(columns)), make([]sql.RawBytes, len(columns))
	targets := make([]any, 0, 2*len(columns))
	for i := range columns {
		targets = append(targets, &types[i], &values[i])
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		words := []string{table}
		for i := range columns {
			words = append(words, dumpValue(types[i], values[i]))
		}
		if table == "snapshots" && types[6] == "blob" {
			if words[7], err = dumpHeap(values[6]); err != nil {
				return fmt.Errorf("%s: %w", strings.Join(words[:3], " "), err)
			}
			if words[6] == fmt.Sprintf("integer:%d", len(values[6])) {
				words[6] = "right"
			}
		}
		fmt.Fprintln(w, strings.Join(words, " "))
	}
	return rows.Err()
}

func dumpValue(kind string, value []byte) string {
	unprintable := func(r rune) bool { return r < ' ' || r > '~' || r == '\'' }
	switch {
	case kind == "null":
		return kind
	case kind == "integer" || kind == "real":
		return kind + ":" + string(value)
	case kind == "text" && len(value) <= 200 && bytes.IndexFunc(value, unprintable) < 0:
		return "'" + string(value) + "'"
	}
	return fmt.Sprintf("%s:%d:%x", kind, len(value), sha256.Sum256(value))
}

func dumpHeap(blob []byte) (string, error) {
	zr, err := gzip.NewReader(bytes.NewReader(blob))
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	n, err := io.Copy(hash, zr)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("gunzip:%d:%x", n, hash.Sum(nil)), nil
}
