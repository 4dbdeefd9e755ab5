package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"swingport/format"
	"swingport/stages"
)

// A tree is what is below a directory: of each file its SHA-256, of a directory "folder". A directory that is not there is nil.
type tree map[string]string

func treeOf(dir string) (tree, error) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	t := tree{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		switch {
		case e.IsDir():
			t[name] = "folder"
		case e.Type().IsRegular():
			t[name], err = hashFile(path)
		default:
			t[name] = e.Type().String()
		}
		return err
	})
	return t, err
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// damagedAt is the time in the name of a store that was moved aside.
var damagedAt = regexp.MustCompile(`\.damaged-[0-9TZ]+`)

// timeless is the tree with names that do not depend on the clock.
func (t tree) timeless() tree {
	if t == nil {
		return nil
	}
	out := tree{}
	for name, sum := range t {
		out[damagedAt.ReplaceAllString(name, ".damaged-T")] = sum
	}
	return out
}

// temporary lists the names that only a run in progress has.
func (t tree) temporary() (names []string) {
	for name := range t {
		if strings.HasPrefix(name, ".swingport-") && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// differences says how b is not as a. That a directory is missing is the same as that there is nothing in it.
func differences(a, b tree) (lines []string) {
	for _, name := range slices.Sorted(maps.Keys(a)) {
		switch sum, ok := b[name]; {
		case !ok:
			lines = append(lines, name+" is missing")
		case sum != a[name]:
			lines = append(lines, name+" is another one")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[name]; !ok {
			lines = append(lines, name+" is too many")
		}
	}
	return lines
}

// contentOf is what the engine finds in the store of a state directory, as one hash: a sum over all rows but those that a live node keeps
// writing, so that neither their order nor their place counts. What is damaged is an error. The engine may write to the directory.
func contentOf(state string) (_ string, err error) {
	db, err := stages.OpenDB(filepath.Join(state, stages.StoreFile), stages.ReadWrite, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := sound(db); err != nil {
		return "", err
	}
	var tables []string
	columns := map[string]int{}
	err = db.Query("SELECT m.name, count(*) FROM sqlite_schema m, pragma_table_info(m.name) GROUP BY m.name ORDER BY m.name", func(q *stages.Stmt) error {
		tables = append(tables, q.Text(0))
		columns[q.Text(0)] = int(q.Int(1))
		return nil
	})
	if err != nil {
		return "", err
	}
	all := sha256.New()
	for _, name := range tables {
		var sum rowSum
		query := fmt.Sprintf("SELECT * FROM \"%s\"", name)
		if name == "kvStore" {
			query += " WHERE key NOT GLOB 'local.*'"
		}
		if err := db.Query(query, func(q *stages.Stmt) error { sum.add(q, columns[name]); return nil }); err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%s %d %x\n", name, sum.rows, sum.sum)
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

// imageOf is a hash of the database of a state directory with what its log adds, whatever the engine thinks of it, but for what the header
// counts. The engine may write to the directory.
func imageOf(state string) (string, error) {
	path := filepath.Join(state, stages.StoreFile)
	db, err := stages.OpenDB(path, stages.ReadWrite, nil)
	if err != nil {
		return "", err
	}
	err = errors.Join(db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"), db.Close())
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(path)
	if err != nil || len(data) < 100 {
		return "", err
	}
	clear(data[18:20]) // log or journal
	clear(data[24:28]) // changes
	clear(data[92:100])
	sum := sha256.Sum256(data)
	return "image " + hex.EncodeToString(sum[:]), nil
}

// sound is an error unless the engine's own check has nothing to say.
func sound(db *stages.DB) error {
	var lines []string
	err := db.Query("PRAGMA integrity_check(3)", func(q *stages.Stmt) error { lines = append(lines, q.Text(0)); return nil })
	if err == nil && !slices.Equal(lines, []string{"ok"}) {
		err = fmt.Errorf("integrity check: %s", strings.Join(lines, "; "))
	}
	return err
}

// rowSum adds up the hashes of rows.
type rowSum struct {
	rows int64
	sum  [4]uint64
	buf  []byte
}

func (s *rowSum) add(q *stages.Stmt, columns int) {
	s.buf = s.buf[:0]
	for i := range columns {
		s.buf = appendValue(s.buf, q.Value(i))
	}
	h := sha256.Sum256(s.buf)
	for i := range s.sum {
		s.sum[i] += binary.LittleEndian.Uint64(h[8*i:])
	}
	s.rows++
}

func appendValue(b []byte, v format.Value) []byte {
	b = append(b, byte(v.Type))
	b = binary.LittleEndian.AppendUint64(b, uint64(v.Int))
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v.Real))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(v.Bytes)))
	return append(b, v.Bytes...)
}
