package stages

import (
	"context"
	"fmt"

	lib "modernc.org/sqlite/lib"
)

// QuickCheck runs PRAGMA quick_check on a database that nobody has open. The error wraps ErrDamaged where it finds something.
func QuickCheck(ctx context.Context, path string, fsys *FS) error {
	db, err := OpenDB(path, Immutable, fsys)
	if err != nil {
		return err
	}
	defer db.Close()
	stop := context.AfterFunc(ctx, db.Interrupt)
	defer stop()
	var found []string
	err = db.Query("PRAGMA quick_check", func(q *Stmt) error {
		found = append(found, q.Text(0))
		return nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0] != "ok" {
		return fmt.Errorf("%w: quick_check of the new store: %q", ErrDamaged, found)
	}
	return nil
}

// Interrupt makes the statement that runs on the connection, and those that begin before it has ended, fail. Any goroutine may call it
// while the connection is open.
func (d *DB) Interrupt() { lib.Xsqlite3_interrupt(d.tls, d.db) }
