package stages

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"swingport/format"
)

// IndexError says that a table and its index differ.
type IndexError struct {
	Path, Table string
	Err         error
}

func (e *IndexError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *IndexError) Unwrap() error { return e.Err }

// Deep is the checks of a store that only the engine can make, and that cost more than reading it.
type Deep struct {
	s     *Store
	named map[string]bool // tables and indexes that something was found of
	trees map[uint32]deepTree
}

// deepTree is a table or an index.
type deepTree struct{ name, table string }

// NewDeep reads the schema. odd is told what is no part of a swing-store.
func NewDeep(s *Store, odd func(string)) (*Deep, error) {
	d := &Deep{s: s, named: map[string]bool{}, trees: map[uint32]deepTree{}}
	known := map[string]bool{}
	for _, sql := range CreateStatements {
		known[strings.Fields(sql)[2]] = true // CREATE TABLE name
	}
	err := s.db.Query("SELECT type, name, tbl_name, rootpage FROM sqlite_schema ORDER BY rowid", func(q *Stmt) error {
		kind, name, table := q.Text(0), q.Text(1), q.Text(2)
		if root := q.Int(3); root > 0 {
			d.trees[uint32(root)] = deepTree{name, table}
		}
		if !known[name] && !strings.HasPrefix(name, "sqlite_") {
			odd(fmt.Sprintf("the %s %s is no part of a swing-store", kind, name))
		}
		return nil
	})
	return d, err
}

// Named reports whether something was found of a table or one of its indexes, which need not be said again.
func (d *Deep) Named(table string) bool { return d.named[table] }

var (
	treeLine  = regexp.MustCompile(`^Tree (\d+)\b`)
	indexLine = regexp.MustCompile(`\bindex (\S+)$`)
	tableLine = regexp.MustCompile(`(?:value in|affinity in|NULL in|to) (\w+)\.\w+$`)
)

// mostFindings is how many lines the integrity check writes at most: the engine has all of a kind in memory before it gives the first, and a
// file with room for 2^28 pages has one for each that nothing leads to.
const mostFindings = 10_000

// Integrity runs PRAGMA integrity_check and tells found of each of its lines.
func (d *Deep) Integrity(ctx context.Context, found func(error)) error {
	n := 0
	return d.query(ctx, "integrity_check", fmt.Sprintf("PRAGMA integrity_check(%d)", mostFindings), found, func(q *Stmt) {
		for line := range strings.Lines(q.Text(0)) {
			if n++; n == mostFindings {
				defer found(errorf(ErrDamaged, "integrity_check: it stops at %d findings, there may be more", n))
			}
			line = strings.TrimSpace(line)
			if line == "" || line == "ok" || strings.HasPrefix(line, "***") {
				continue
			}
			d.name(line)
			found(errorf(ErrDamaged, "integrity_check: %s", line))
		}
	})
}

// name notes what a line of the integrity check is about.
func (d *Deep) name(line string) {
	if m := treeLine.FindStringSubmatch(line); m != nil {
		n, _ := strconv.ParseUint(m[1], 10, 32)
		t := d.trees[uint32(n)]
		d.named[t.name], d.named[t.table] = true, true
	}
	if m := indexLine.FindStringSubmatch(line); m != nil {
		d.named[m[1]] = true
		for _, t := range d.trees {
			if t.name == m[1] {
				d.named[t.table] = true
			}
		}
	}
	if m := tableLine.FindStringSubmatch(line); m != nil {
		d.named[m[1]] = true
	}
}

// Counts counts the rows of each table by itself and by each of its indexes, and tells found where these differ. What the integrity check
// named is left out.
func (d *Deep) Counts(ctx context.Context, found func(error)) error {
	var indexes []deepTree
	err := d.query(ctx, "indexes", `SELECT l.name, i.name FROM pragma_table_list l, pragma_index_list(l.name) i
		WHERE l.schema = 'main' AND l.type = 'table' AND l.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND NOT i.partial AND NOT l.wr ORDER BY 1, 2`, found, func(q *Stmt) {
		indexes = append(indexes, deepTree{q.Text(1), q.Text(0)})
	})
	rows, counted := int64(0), ""
	for _, i := range indexes {
		if err != nil {
			return err
		}
		if d.named[i.name] || d.named[i.table] {
			continue
		}
		if counted != i.table {
			counted, rows = i.table, -1
			err = d.count(ctx, i.table, "NOT INDEXED", &rows, found)
		}
		entries := int64(-1)
		if err == nil && rows >= 0 {
			err = d.count(ctx, i.table, "INDEXED BY "+quoteName(i.name), &entries, found)
		}
		if entries >= 0 && entries != rows {
			d.named[i.table] = true
			found(&IndexError{d.s.path, i.table, errorf(ErrDamaged, "%s has %d rows, its index %s %d entries", i.table, rows, i.name, entries)})
		}
	}
	return err
}

// count counts the rows of a table in one way; n stays as it is where that fails. The engine takes count(*) of any index that it likes.
func (d *Deep) count(ctx context.Context, table, how string, n *int64, found func(error)) error {
	sql := fmt.Sprintf("SELECT ifnull(sum(1), 0) FROM %s %s", quoteName(table), how)
	return d.query(ctx, "count "+table, sql, found, func(q *Stmt) { *n = q.Int(0) })
}

func quoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Sizes tells odd of heaps whose column compressedSize is not the size of what is stored; nobody reads it.
func (d *Deep) Sizes(ctx context.Context, found func(error), odd func(string)) error {
	if !d.s.schema.tables["snapshots"] {
		return nil
	}
	const sql = `SELECT vatID, snapPos, compressedSize, octet_length(compressedSnapshot) FROM snapshots
		WHERE typeof(compressedSnapshot) <> 'null' AND compressedSize IS NOT octet_length(compressedSnapshot) ORDER BY vatID, snapPos`
	return d.query(ctx, "snapshots", sql, found, func(q *Stmt) {
		odd(fmt.Sprintf("snapshot.%s.%s has %d bytes stored, its row says %s", format.AppendTemplate(nil, q.Value(0)), format.AppendTemplate(nil, q.Value(1)),
			q.Int(3), format.AppendTemplate(nil, q.Value(2))))
	})
}

// query runs one statement, which ctx interrupts. Where it fails, found is told; the error is that of ctx.
func (d *Deep) query(ctx context.Context, what, sql string, found func(error), row func(*Stmt)) error {
	stop := d.s.db.interruptOn(ctx)
	err := d.s.db.Query(sql, func(q *Stmt) error { row(q); return nil })
	stop()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var engine *EngineError
	if err != nil && errors.As(err, &engine) {
		found(ended(what, err))
		return nil
	}
	return err
}
