package stages

import (
	"context"
	"fmt"

	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// ReadByEngine reads the wanted tables by SQL in the order of their rowids: what every sweep is compared with, and the way to read what a
// sweep does not know.
func ReadByEngine(ctx context.Context, s *Store, t *Tables, progress func(bytes int64)) error {
	t.limit = s.max
	defer s.db.limitValues(s.max)()
	if t.Items != nil {
		if err := s.readItems(ctx, t, progress, "SELECT vatID, position, item FROM transcriptItems NOT INDEXED"); err != nil {
			return err
		}
	}
	if t.KV != nil {
		err := s.db.Stream("SELECT key, value FROM kvStore NOT INDEXED", 2, func(c []format.Value) error {
			progress(int64(len(c[0].Bytes) + len(c[1].Bytes)))
			return t.addKV(ctx, c[0], c[1])
		})
		if err != nil {
			return s.tooLarge(err, `SELECT 'kvStore: ' || iif(octet_length(key) > ?1, 'key', 'key ' || key || ': value')
				FROM kvStore NOT INDEXED WHERE octet_length(key) > ?1 OR octet_length(value) > ?1`)
		}
	}
	return t.flush(ctx)
}

// ReadItemsByIndex reads the items that the plan's mode needs, vat by vat through the index: for the few items of an operational export.
func ReadItemsByIndex(ctx context.Context, s *Store, p *Plan, t *Tables, progress func(bytes int64)) error {
	const sql = "SELECT vatID, position, item FROM transcriptItems WHERE vatID=?1 AND position>=?2 AND position<?3 ORDER BY position"
	t.limit = s.max
	defer s.db.limitValues(s.max)()
	for _, v := range p.Vats {
		err := p.unread(v, func(from, to int64) error { return s.readItems(ctx, t, progress, sql, v.ID, from, to) })
		if err != nil {
			return err
		}
	}
	return t.items.flush(ctx)
}

// readItems steps through a query for vatID, position and item.
func (s *Store) readItems(ctx context.Context, t *Tables, progress func(int64), sql string, args ...any) error {
	err := s.db.Stream(sql, 3, func(c []format.Value) error {
		progress(int64(len(c[2].Bytes)))
		return t.addItem(ctx, c[0], c[1], c[2])
	}, args...)
	return s.tooLarge(err, `SELECT 'transcriptItems: vat ' || vatID || ', position ' || position || ': item'
		FROM transcriptItems NOT INDEXED WHERE octet_length(item) > ?1`)
}

// tooLarge says in our words that the engine refused a value, see limitValues, and which one: the first by the query.
func (s *Store) tooLarge(err error, sql string) error {
	if !hasCode(err, lib.SQLITE_TOOBIG) {
		return err
	}
	what := "value"
	defer s.db.limitValues(maxValue)() // the engine looks at short values to tell their length
	if err := s.db.Query(sql+" LIMIT 1", func(q *Stmt) error { what = q.Text(0); return nil }, int64(s.max)); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", s.path, tooLarge(what, s.max))
}

// metadataQueries are the export data of snapshots, spans and bundles, in the order of the reference; columns as the functions take them.
var metadataQueries = []struct {
	table, sql string
	columns    int
	append     func(line []byte, c []format.Value) []byte
}{
	{"snapshots", "SELECT vatID, snapPos, hash, 1 FROM snapshots WHERE inUse IS 1 ORDER BY vatID, snapPos", 4, appendSnapshot},
	{"snapshots", "SELECT vatID, snapPos, hash, 0 FROM snapshots WHERE inUse IS NULL ORDER BY vatID, snapPos", 4, appendSnapshot},
	{"transcriptSpans", "SELECT vatID, startPos, endPos, hash, isCurrent IS 1, incarnation FROM transcriptSpans ORDER BY vatID, startPos", 6, appendSpan},
	{"bundles", "SELECT bundleID FROM bundles ORDER BY bundleID", 1, func(line []byte, c []format.Value) []byte { return format.AppendBundleColumn(line, c[0]) }},
}

func appendSnapshot(line []byte, c []format.Value) []byte {
	return format.AppendSnapshotColumns(line, format.SnapshotColumns{VatID: c[0], Pos: c[1], Hash: c[2], InUse: c[3].Int != 0})
}

func appendSpan(line []byte, c []format.Value) []byte {
	return format.AppendSpanColumns(line, format.SpanColumns{VatID: c[0], Start: c[1], End: c[2], Hash: c[3], Current: c[4].Int != 0, Incarnation: c[5]})
}

// EachMetadataLine calls f with the export data lines of snapshots, spans and bundles.
func EachMetadataLine(ctx context.Context, s *Store, f func(line []byte) error) error {
	var line []byte
	for _, q := range metadataQueries {
		if !s.schema.tables[q.table] {
			continue
		}
		err := s.db.Stream(q.sql, q.columns, func(c []format.Value) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			line = q.append(line[:0], c)
			return f(line)
		})
		if err != nil {
			return s.oldSchema(err)
		}
	}
	return nil
}
