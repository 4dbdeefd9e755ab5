package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"swingport/stages"
)

// made says what there is in a store that was made.
type made struct {
	Bytes         int64 // of the database and its log
	Items, KVRows int64
	Spans, Heaps  int
	Bundles       int
}

// generate makes the store in the directory dir. What an error leaves there is removed.
func generate(ctx context.Context, r recipe, dir string) (_ made, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return made{}, err
	}
	path := filepath.Join(dir, stages.StoreFile)
	if _, err := os.Lstat(path); err == nil {
		return made{}, fmt.Errorf("%s is there already", path)
	} else if !errors.Is(err, os.ErrNotExist) {
		return made{}, err
	}
	defer func() {
		if err != nil {
			for _, end := range []string{"", "-wal", "-shm", "-journal"} {
				os.Remove(path + end)
			}
		}
	}()
	m := &maker{r: r, t: newTexts(r.rng(1)), vats: r.newVats(), bigDone: r.spanBytes > 0}
	if err := write(ctx, m, path, stages.Create, m.all); err != nil {
		return made{}, err
	}
	if r.wal {
		if err := writeLog(ctx, m, path); err != nil {
			return made{}, err
		}
	}
	m.made.Spans += r.liveVats() // the current ones
	for _, end := range []string{"", "-wal"} {
		if info, err := os.Stat(path + end); err == nil {
			m.made.Bytes += info.Size()
		}
	}
	return m.made, nil
}

// writeLog adds the last commits, as a node leaves them that was killed.
func writeLog(ctx context.Context, m *maker, path string) error {
	db, err := stages.OpenDB(path, stages.ReadWrite, nil)
	if err == nil {
		err = errors.Join(db.Exec("PRAGMA journal_mode = wal"), db.Close())
	}
	if err != nil {
		return err
	}
	// A connection that may not write keeps the other one from emptying the log when it closes, and cannot do it itself.
	reader, err := stages.OpenDB(path, stages.ReadOnly, nil)
	if err != nil {
		return err
	}
	err = reader.Exec("SELECT 1 FROM kvStore LIMIT 1")
	if err == nil {
		err = write(ctx, m, path, stages.ReadWrite, m.log)
	}
	return errors.Join(err, reader.Close(), os.Remove(path+"-shm"))
}

// write makes rows in one goroutine and inserts them in another, in one transaction. A new store gets its heaps and bundles behind them.
func write(ctx context.Context, m *maker, path string, mode stages.OpenMode, rows func() error) (err error) {
	db, err := stages.OpenDB(path, mode, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	begin := []string{"BEGIN"}
	if mode == stages.Create {
		begin = []string{"PRAGMA journal_mode = off", "PRAGMA synchronous = off", "PRAGMA locking_mode = exclusive", "PRAGMA cache_size = -64000", "BEGIN"}
		begin = append(begin, stages.CreateStatements...)
	}
	for _, sql := range begin {
		if err := db.Exec(sql); err != nil {
			return err
		}
	}
	in, err := newInserts(db)
	if err != nil {
		return err
	}
	defer in.close()
	g, ctx := errgroup.WithContext(ctx)
	full, empty := make(chan *batch, 2), make(chan *batch, 4) // room for all, so that to give one back never waits
	for range cap(empty) - 1 {
		empty <- new(batch)
	}
	m.b = new(batch)
	m.flush = func(b *batch) (*batch, error) {
		select {
		case full <- b:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		select {
		case b := <-empty:
			return b, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	g.Go(func() error {
		defer close(full)
		return rows()
	})
	g.Go(func() error {
		for b := range full {
			if err := in.batch(b); err != nil {
				return err
			}
			b.reset()
			empty <- b
		}
		return nil
	})
	var c content
	if mode == stages.Create {
		g.Go(func() (err error) {
			c, err = m.r.content(ctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := c.insert(db, m); err != nil {
		return err
	}
	at := height
	if mode != stages.Create {
		at++
	}
	if err := db.Exec(fmt.Sprintf("INSERT OR REPLACE INTO kvStore VALUES ('host.height', '%d')", at)); err != nil {
		return err
	}
	return db.Exec("COMMIT")
}

// inserts are the statements that rows are inserted by.
type inserts struct {
	items, items1, kv, kv1, spans, snaps *stages.Stmt
}

const rowsAtOnce = 25

func newInserts(db *stages.DB) (*inserts, error) {
	in := new(inserts)
	many := func(sql, row string) string { return sql + strings.Repeat(row+",", rowsAtOnce-1) + row }
	const items, kv = "INSERT INTO transcriptItems (vatID, position, incarnation, item) VALUES ", "INSERT INTO kvStore VALUES "
	for _, p := range []struct {
		st  **stages.Stmt
		sql string
	}{
		{&in.items, many(items, "(?,?,?,?)")}, {&in.items1, items + "(?,?,?,?)"},
		{&in.kv, many(kv, "(?,?)")}, {&in.kv1, kv + "(?,?)"},
		{&in.spans, "INSERT OR REPLACE INTO transcriptSpans (vatID, startPos, endPos, hash, isCurrent, incarnation) VALUES (?,?,?,?,?,?)"},
		{&in.snaps, "INSERT INTO snapshots (vatID, snapPos, hash) VALUES (?,?,?)"},
	} {
		var err error
		if *p.st, err = db.Prepare(p.sql); err != nil {
			in.close()
			return nil, err
		}
	}
	return in, nil
}

func (in *inserts) close() {
	for _, st := range []*stages.Stmt{in.items, in.items1, in.kv, in.kv1, in.spans, in.snaps} {
		if st != nil {
			st.Finalize()
		}
	}
}

// rows runs many for as many rows at once as it takes, and one for the rest; bind binds row i from parameter at on.
func rows(many, one *stages.Stmt, n int, bind func(st *stages.Stmt, at, i int) (int, error)) error {
	for i := 0; i < n; {
		st, count := one, 1
		if n-i >= rowsAtOnce {
			st, count = many, rowsAtOnce
		}
		at := 1
		for range count {
			var err error
			if at, err = bind(st, at, i); err != nil {
				return err
			}
			i++
		}
		if err := st.Run(); err != nil {
			return err
		}
	}
	return nil
}

func (in *inserts) batch(b *batch) error {
	err := rows(in.items, in.items1, len(b.items), func(st *stages.Stmt, at, i int) (int, error) {
		r := &b.items[i]
		return at + 4, errors.Join(st.BindText(at, []byte(r.vat)), st.BindInt(at+1, r.pos), st.BindInt(at+2, r.incarnation), st.BindText(at+3, b.buf[r.start:r.end]))
	})
	if err != nil {
		return err
	}
	err = rows(in.kv, in.kv1, len(b.kv), func(st *stages.Stmt, at, i int) (int, error) {
		r := b.kv[i]
		return at + 2, errors.Join(st.BindText(at, b.buf[r.key:r.value]), st.BindText(at+1, b.buf[r.value:r.end]))
	})
	if err != nil {
		return err
	}
	for _, s := range b.spans {
		var current any
		if s.current {
			current = int64(1)
		}
		if err := errors.Join(in.spans.Bind(s.vat, s.start, s.end, s.hash, current, s.incarnation), in.spans.Run()); err != nil {
			return err
		}
	}
	for _, s := range b.snaps {
		if err := errors.Join(in.snaps.Bind(s.vat, s.pos, s.hash), in.snaps.Run()); err != nil {
			return err
		}
	}
	return nil
}
