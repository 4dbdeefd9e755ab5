package stages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// Repair adds metadata rows that a store has lost, in the database that is there, whatever its journal mode. Nothing is written before
// Commit; Close without it leaves the store as it was.
type Repair struct {
	db   *DB
	path string
}

// OpenRepair opens the store and checks that it is at the height that is expected, in the reference's words.
func OpenRepair(stateDir string, height float64, fsys *FS) (*Repair, error) {
	r := &Repair{path: filepath.Join(stateDir, StoreFile)}
	if _, err := os.Stat(r.path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no %s", ErrNoStore, r.path)
	} else if err != nil {
		return nil, err
	}
	db, err := OpenDB(r.path, ReadWrite, fsys)
	if err != nil {
		return nil, err
	}
	db.BusyTimeout(lockTimeout)
	r.db = db
	if err := r.checkHeight(height); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return r, nil
}

func (r *Repair) checkHeight(want float64) error {
	have := 0.0
	err := r.db.Query("SELECT value FROM kvStore WHERE key = 'host.height'", func(q *Stmt) error {
		if have = format.ParseNumber(q.Text(0)); have != have {
			have = 0
		}
		return nil
	})
	if err != nil {
		return r.explain(err)
	}
	if have != want {
		return errorf(format.ErrMismatch, "block height doesn't match. requested=%s, current=%s", format.AppendNumber(nil, want), format.AppendNumber(nil, have))
	}
	return nil
}

// explain tells what kind of failure the engine's is.
func (r *Repair) explain(err error) error {
	switch {
	case Busy(err):
		return &InUseError{Path: r.path, Err: err}
	case hasCode(err, lib.SQLITE_NOTADB), hasCode(err, lib.SQLITE_ERROR):
		return fmt.Errorf("%w: %w", ErrNotStore, err)
	}
	return err
}

// Close rolls back what was not committed.
func (r *Repair) Close() error { return r.db.Close() }

// Commit makes the added rows durable.
func (r *Repair) Commit() error { return r.db.Exec("COMMIT") }

// Add compares the metadata with the rows that are there and adds those that are not, in a transaction of its own. Rows that differ, and
// bundles that are not there, are errors; and so is a store that then is not operational. m must be settled.
func (r *Repair) Add(ctx context.Context, m *Metadata, height float64) (added int, err error) {
	if err := r.db.Exec("BEGIN IMMEDIATE"); err != nil {
		return 0, r.explain(err)
	}
	if err := r.checkHeight(height); err != nil { // nobody can change it now
		return 0, err
	}
	known, err := r.newLookup(m)
	if err != nil {
		return 0, r.explain(err)
	}
	defer known.close()
	err = insertMetadata(ctx, r.db, m, func(kind recordKind, i int) (bool, error) {
		there, err := known.check(kind, i)
		if err == nil && !there {
			added++
		}
		return !there, err
	})
	if err != nil {
		return 0, err
	}
	return added, r.complete(ctx)
}

// lookup finds the row of a record.
type lookup struct {
	m                       *Metadata
	bundle, snapshot, spans *Stmt
}

func (r *Repair) newLookup(m *Metadata) (l *lookup, err error) {
	l = &lookup{m: m}
	for st, sql := range map[**Stmt]string{
		&l.bundle:   "SELECT 1 FROM bundles WHERE bundleID = ?",
		&l.snapshot: "SELECT hash, inUse FROM snapshots WHERE vatID = ? AND snapPos = ?",
		&l.spans:    "SELECT hash, isCurrent, incarnation, endPos FROM transcriptSpans WHERE vatID = ? AND startPos = ?",
	} {
		if *st, err = r.db.Prepare(sql); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *lookup) close() {
	for _, st := range []*Stmt{l.bundle, l.snapshot, l.spans} {
		if st != nil {
			st.Finalize()
		}
	}
}

// check reports whether a record's row is there; the error is that it says something else.
func (l *lookup) check(kind recordKind, i int) (there bool, err error) {
	switch kind {
	case bundleRecord:
		id := l.m.bundles[i]
		there, err := first(l.bundle, nil, id)
		if err == nil && !there {
			err = errorf(format.ErrMismatch, "unexpected new bundle record for %s during repair", id)
		}
		return there, err
	case snapshotRecord:
		s := l.m.Snapshot(i)
		return first(l.snapshot, func(q *Stmt) error { return sameSnapshot(q, s) }, s.VatID, s.Pos)
	}
	s := l.m.Span(i)
	return first(l.spans, func(q *Stmt) error { return sameSpan(q, s) }, s.VatID, s.Start)
}

// first runs st and calls row for its first row.
func first(st *Stmt, row func(*Stmt) error, args ...any) (found bool, err error) {
	defer st.Reset()
	if err := st.Bind(args...); err != nil {
		return false, err
	}
	if found, err = st.Step(); err != nil || !found || row == nil {
		return found, err
	}
	return true, row(st)
}

func sameSnapshot(q *Stmt, s format.Snapshot) error {
	if q.Text(0) == s.Hash && (q.Int(1) != 0) == s.InUse {
		return nil
	}
	return errorf(format.ErrMismatch, `repairSnapshotRecord metadata mismatch: {"hash":%s,"inUse":%s} vs {"hash":%s,"inUse":%d,"snapPos":%d,"vatID":%s}`,
		quoted(q.Text(0)), columnText(q, 1), quoted(s.Hash), bit(s.InUse), s.Pos, quoted(s.VatID))
}

func sameSpan(q *Stmt, s format.Span) error {
	if q.Text(0) == s.Hash && (q.Int(1) != 0) == s.Current && columnText(q, 2) == nullText(s.Incarnation) && columnText(q, 3) == nullText(s.End) {
		return nil
	}
	const text = `repairTranscriptSpanRecord metadata mismatch: {"endPos":%s,"hash":%s,"incarnation":%s,"isCurrent":%s}` +
		` vs {"endPos":%s,"hash":%s,"incarnation":%s,"isCurrent":%d,"startPos":%d,"vatID":%s}`
	return errorf(format.ErrMismatch, text, columnText(q, 3), quoted(q.Text(0)), columnText(q, 2), columnText(q, 1),
		nullText(s.End), quoted(s.Hash), nullText(s.Incarnation), bit(s.Current), s.Start, quoted(s.VatID))
}

func columnText(q *Stmt, i int) string {
	if q.Null(i) {
		return "null"
	}
	return strconv.FormatInt(q.Int(i), 10)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// complete is the operational completeness check, by SQL: content is not imported here, so nothing else knows it.
func (r *Repair) complete(ctx context.Context) error {
	if err := r.none("SELECT bundleID FROM bundles WHERE bundle IS NULL ORDER BY bundleID", "missing bundles for: %s"); err != nil {
		return err
	}
	count, err := r.db.Prepare("SELECT count(*) FROM transcriptItems WHERE vatID = ? AND position >= ? AND position < ?")
	if err != nil {
		return err
	}
	defer count.Finalize()
	const spans = "SELECT vatID, startPos, endPos, hash, incarnation FROM transcriptSpans WHERE isCurrent = 1 ORDER BY vatID, startPos"
	err = r.db.Query(spans, func(q *Stmt) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var n int64
		if _, err := first(count, func(c *Stmt) error { n = c.Int(0); return nil }, q.Text(0), q.Int(1), q.Int(2)); err != nil {
			return err
		}
		if n == q.Int(2)-q.Int(1) && !q.Null(2) {
			return nil
		}
		s := format.Span{VatID: q.Text(0), Start: q.Int(1), End: format.NullInt{V: q.Int(2), Valid: !q.Null(2)}, Hash: q.Text(3),
			Incarnation: format.NullInt{V: q.Int(4), Valid: !q.Null(4)}}
		return incomplete(errorf(format.ErrIncomplete, "incomplete current transcript span: %d items, %s", n, spanText(s)))
	})
	if err != nil {
		return err
	}
	return r.none("SELECT vatID FROM snapshots WHERE inUse = 1 AND compressedSnapshot IS NULL ORDER BY vatID", "current snapshots are pruned for vats %s")
}

// none fails with text, and the list, if sql finds anything.
func (r *Repair) none(sql, text string) error {
	list := ""
	err := r.db.Query(sql, func(q *Stmt) error {
		if list != "" {
			list += ","
		}
		list += q.Text(0)
		return nil
	})
	if err == nil && list != "" {
		err = incomplete(errorf(format.ErrIncomplete, text, list))
	}
	return err
}

func incomplete(err error) error {
	return &IncompleteError{Mode: format.Operational, Err: err, Lacks: []string{err.Error()}}
}
