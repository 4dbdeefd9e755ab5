package stages

import (
	"context"
	"errors"
	"fmt"
	"strings"

	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// Sink stores what an import brings. One goroutine calls it, in this order: KV, then Metadata once, then Items, Snapshot and Bundle, then
// KV again where the export data comes last, then Finish. It keeps nothing of its arguments.
type Sink interface {
	KV(rows []KV) error
	Metadata(ctx context.Context, m *Metadata) error
	Items(p *SpanItems) error
	Snapshot(ctx context.Context, p *PackedSnapshot) error
	Bundle(p *CheckedBundle) error
	Finish(height float64) error
}

// Insert is the one stage that stores.
type Insert struct {
	Sink     Sink
	Meta     *Metadata
	Progress func(exportDataBytes int64)
	Artifact func()       // one more was stored
	Known    func() error // all metadata is stored, before the first part is waited for
	KVLater  bool         // the head has metadata alone
	KVTail   bool         // the tail has the kv lines alone, not all the lines
	KVRows   int64        // counts

	headLines, tailLines int // that are no kv lines
}

// Run stores everything and returns nil when there is no more: what Head has, parsed, then the parts of the artifacts, unpacked, then what
// Tail has, parsed.
func (s *Insert) Run(ctx context.Context, head *Link[*Job[*Chunk, *Entries]], parts *Link[*Job[Incoming, Unpacked]], tail *Link[*Job[*Chunk, *Entries]]) error {
	err := eachEntries(ctx, head, func(e *Entries) error {
		if s.headLines += e.Others; s.KVLater && len(e.KV) > 0 {
			return errorf(format.ErrFormat, "export data key %s is among the metadata that comes before the artifacts", quoted("kv."+string(e.KV[0].Key)))
		}
		return s.entries(e)
	})
	if err != nil {
		return err
	}
	if err := s.Meta.Settle(); err != nil {
		return err
	}
	if err := s.Sink.Metadata(ctx, s.Meta); err != nil {
		return err
	}
	if err := s.Known(); err != nil {
		return err
	}
	if err := s.artifacts(ctx, parts); err != nil {
		return err
	}
	some := false
	err = eachEntries(ctx, tail, func(e *Entries) error {
		some = true
		s.tailLines += e.Others
		return s.entries(e)
	})
	if err == nil && some && !s.KVTail {
		err = SameLines(s.headLines, s.tailLines)
	}
	return err
}

// SameLines compares the numbers of lines of metadata in the head and in the tail: that the tail ends with the same lines, the source has seen.
func SameLines(head, tail int) error {
	if head != tail {
		return errorf(format.ErrMismatch, "the export data has %d lines of metadata, before the artifacts there are %d", tail, head)
	}
	return nil
}

func (s *Insert) artifacts(ctx context.Context, parts *Link[*Job[Incoming, Unpacked]]) error {
	return Each(ctx, parts, func(j *Job[Incoming, Unpacked]) error {
		close(j.In.turn)
		err := Each(ctx, j.Out, func(p Unpacked) error {
			defer p.Release()
			return p.store(ctx, s.Sink)
		})
		if err == nil {
			s.Artifact()
		} else if ctx.Err() == nil {
			err = &ArtifactError{Name: j.In.Name, Err: err}
		}
		return err
	})
}

// eachEntries calls f for all entries, in the order of the lines.
func eachEntries(ctx context.Context, lines *Link[*Job[*Chunk, *Entries]], f func(*Entries) error) error {
	return Each(ctx, lines, func(j *Job[*Chunk, *Entries]) error {
		return Each(ctx, j.Out, func(e *Entries) error {
			defer e.Release()
			return f(e)
		})
	})
}

func (s *Insert) entries(e *Entries) error {
	for i := range e.Records {
		s.Meta.Add(e.Records[i])
	}
	for i := range e.KV {
		if !e.KV[i].Delete {
			s.KVRows++
		}
	}
	s.Progress(e.Bytes)
	return s.Sink.KV(e.KV)
}

// Inserter is a Sink that fills a new database by SQL, many rows a statement, in one transaction without a journal: what becomes of the
// file when that is cut off is worth nothing.
type Inserter struct {
	db                                 *DB
	kv, items                          [len(batchSizes)]*Stmt
	deleteKV, fillSnapshot, fillBundle *Stmt
}

// batchSizes are the numbers of rows of the prepared statements. 25 to 100 rows are equally fast, one by one takes 1.4 times as long.
var batchSizes = [...]int{32, 4, 1}

// insertCache is the engine's page cache in KiB. Rows come mostly in the order of their keys, so that little is needed; with 32 MiB it is
// not faster.
const insertCache = 4000

// NewInserter makes the database at path, with the tables of a swing-store.
func NewInserter(path string, fsys *FS) (*Inserter, error) {
	db, err := OpenDB(path, Create, fsys)
	if err != nil {
		return nil, err
	}
	s := &Inserter{db: db}
	for _, sql := range append([]string{
		"PRAGMA journal_mode = off", "PRAGMA synchronous = off", "PRAGMA locking_mode = exclusive",
		fmt.Sprintf("PRAGMA cache_size = -%d", insertCache), "BEGIN EXCLUSIVE",
	}, CreateStatements...) {
		if err := db.Exec(sql); err != nil {
			s.Close()
			return nil, err
		}
	}
	err = s.prepare()
	if err == nil {
		err = db.useBlocks(blocksWrite)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Inserter) prepare() error {
	for i, n := range batchSizes {
		kv := "INSERT INTO kvStore (key, value) VALUES " + strings.Repeat("(?,?),", n-1) + "(?,?) ON CONFLICT DO UPDATE SET value = excluded.value"
		items := "INSERT INTO transcriptItems (vatID, position, incarnation, item) VALUES "
		for row := range n {
			if row > 0 {
				items += ","
			}
			items += fmt.Sprintf("(?1,?2+%d,?3,?%d)", row, row+4)
		}
		if err := s.prepareInto(&s.kv[i], kv); err != nil {
			return err
		}
		if err := s.prepareInto(&s.items[i], items); err != nil {
			return err
		}
	}
	for st, sql := range map[**Stmt]string{
		&s.deleteKV:     "DELETE FROM kvStore WHERE key = ?",
		&s.fillSnapshot: "UPDATE snapshots SET uncompressedSize = ?, compressedSize = ?, compressedSnapshot = ? WHERE rowid = ?",
		&s.fillBundle:   "UPDATE bundles SET bundle = ? WHERE rowid = ?",
	} {
		if err := s.prepareInto(st, sql); err != nil {
			return err
		}
	}
	return nil
}

func (s *Inserter) prepareInto(st **Stmt, sql string) (err error) {
	*st, err = s.db.Prepare(sql)
	return err
}

// Close ends the connection. What Finish did not commit is lost.
func (s *Inserter) Close() error {
	for _, st := range append(append(s.kv[:], s.items[:]...), s.deleteKV, s.fillSnapshot, s.fillBundle) {
		if st != nil {
			st.Finalize()
		}
	}
	return s.db.Close()
}

// KV implements Sink: of rows with the same key the last one wins.
func (s *Inserter) KV(rows []KV) error {
	for len(rows) > 0 {
		if rows[0].Delete {
			if err := s.deleteKey(rows[0].Key); err != nil {
				return err
			}
			rows = rows[1:]
			continue
		}
		which, n := 0, 0
		for n < batchSizes[0] && n < len(rows) && !rows[n].Delete {
			n++
		}
		for batchSizes[which] > n {
			which++
		}
		st := s.kv[which]
		for i, row := range rows[:batchSizes[which]] {
			if err := st.BindText(2*i+1, row.Key); err != nil {
				return err
			}
			if err := st.BindText(2*i+2, row.Value); err != nil {
				return err
			}
		}
		if err := st.Run(); err != nil {
			return err
		}
		rows = rows[batchSizes[which]:]
	}
	return nil
}

func (s *Inserter) deleteKey(key []byte) error {
	if err := s.deleteKV.BindText(1, key); err != nil {
		return err
	}
	return s.deleteKV.Run()
}

// Items implements Sink.
func (s *Inserter) Items(p *SpanItems) error {
	pos := p.Start
	for items := p.Items; len(items) > 0; {
		which := 0
		for batchSizes[which] > len(items) {
			which++
		}
		st := s.items[which]
		if err := st.Bind(p.VatID, pos, nullable(p.Incarnation)); err != nil {
			return err
		}
		for i, item := range items[:batchSizes[which]] {
			if err := st.BindText(i+4, item); err != nil {
				return err
			}
		}
		if err := st.Run(); err != nil {
			return rowError(err)
		}
		pos += int64(batchSizes[which])
		items = items[batchSizes[which]:]
	}
	return nil
}

func nullable(n format.NullInt) any {
	if !n.Valid {
		return nil
	}
	return n.V
}

// Metadata implements Sink: all rows of spans, snapshots and bundles, without content. Row i of each gets the rowid i+1.
func (s *Inserter) Metadata(ctx context.Context, m *Metadata) error {
	return insertMetadata(ctx, s.db, m, nil)
}

// insertMetadata inserts the rows that choose accepts; nil accepts all.
func insertMetadata(ctx context.Context, db *DB, m *Metadata, choose func(kind recordKind, i int) (bool, error)) error {
	each := func(kind recordKind, n int, sql string, args func(i int) []any) error {
		st, err := db.Prepare(sql)
		if err != nil {
			return err
		}
		defer st.Finalize()
		for i := range n {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if choose != nil {
				if ok, err := choose(kind, i); err != nil {
					return err
				} else if !ok {
					continue
				}
			}
			a := args(i)
			if err := st.Bind(a...); err != nil {
				return err
			}
			if err := st.Run(); err != nil {
				return fmt.Errorf("metadata of %s %v: %w", kind, a[:min(2, len(a))], rowError(err))
			}
		}
		return nil
	}
	err := each(bundleRecord, len(m.bundles), "INSERT INTO bundles (bundleID, bundle) VALUES (?, NULL)", func(i int) []any {
		return []any{m.bundles[i]}
	})
	if err != nil {
		return err
	}
	err = each(snapshotRecord, m.snapshots.len(), "INSERT INTO snapshots (vatID, snapPos, hash, inUse) VALUES (?, ?, ?, ?)", func(i int) []any {
		r := m.Snapshot(i)
		return []any{r.VatID, r.Pos, r.Hash, oneOrNull(r.InUse)}
	})
	if err != nil {
		return err
	}
	const spans = "INSERT INTO transcriptSpans (vatID, startPos, endPos, hash, isCurrent, incarnation) VALUES (?, ?, ?, ?, ?, ?)"
	return each(spanRecord, m.spans.len(), spans, func(i int) []any {
		r := m.Span(i)
		return []any{r.VatID, r.Start, nullable(r.End), r.Hash, oneOrNull(r.Current), nullable(r.Incarnation)}
	})
}

// rowError is what the engine says of a row that the tables do not take, without the name of a file that will never be seen.
func rowError(err error) error {
	var e *EngineError
	if errors.As(err, &e) && e.Code&0xff == lib.SQLITE_CONSTRAINT {
		return errorf(format.ErrDuplicate, "%s", e.Msg)
	}
	return err
}

func oneOrNull(b bool) any {
	if b {
		return int64(1)
	}
	return nil
}

// Snapshot implements Sink. The content is written in pieces into a value of zeros, so that it never is in memory as a whole.
func (s *Inserter) Snapshot(ctx context.Context, p *PackedSnapshot) error {
	rowid := int64(p.Row) + 1
	st := s.fillSnapshot
	for _, err := range []error{st.BindInt(1, p.UncompressedSize), st.BindInt(2, p.Size()), st.BindZeroBlob(3, p.Size()), st.BindInt(4, rowid)} {
		if err != nil {
			return err
		}
	}
	if err := st.Run(); err != nil {
		return err
	}
	b, err := s.db.OpenBlob("snapshots", "compressedSnapshot", rowid, true)
	if err != nil {
		return err
	}
	if err := p.Each(ctx, b.WriteAt); err != nil {
		b.Close()
		return err
	}
	return b.Close()
}

// Bundle implements Sink.
func (s *Inserter) Bundle(p *CheckedBundle) error {
	st, bind := s.fillBundle, s.fillBundle.BindBlob
	if p.Text {
		bind = st.BindText
	}
	if err := bind(1, p.Content); err != nil {
		return err
	}
	if err := st.BindInt(2, int64(p.Row)+1); err != nil {
		return err
	}
	return st.Run()
}

// Finish implements Sink: it sets host.height and commits.
func (s *Inserter) Finish(height float64) error {
	if err := s.KV([]KV{heightRow(height)}); err != nil {
		return err
	}
	return s.commit()
}

func heightRow(height float64) KV {
	return KV{Key: []byte("host.height"), Value: format.AppendNumber(nil, height)}
}

// commit writes all that was inserted to the file.
func (s *Inserter) commit() error {
	if err := s.db.Exec("COMMIT"); err != nil {
		return err
	}
	return s.db.flushBlocks()
}
