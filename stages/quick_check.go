package stages

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
	"strconv"
	"time"

	lib "modernc.org/sqlite/lib"
)

// QuickCheck runs PRAGMA quick_check on a database that nobody has open. The error wraps ErrDamaged where it finds something.
func QuickCheck(ctx context.Context, path string, fsys *FS) (err error) {
	db, err := OpenDB(path, Immutable, fsys)
	if err != nil {
		return err
	}
	release, err := db.useViews(fsys)
	if err != nil {
		err = errors.Join(err, db.Close())
		if release != nil {
			err = errors.Join(err, release())
		}
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		// A page that the system dropped, and cannot read again, shows when it is looked at, anywhere in the engine, which is not used after that.
		switch fault := recover().(type) {
		case nil:
			err = errors.Join(err, db.Close())
		case interface{ Addr() uintptr }:
			err = fmt.Errorf("quick_check of the new store: %s could not be read", path)
		default:
			panic(fault)
		}
		err = errors.Join(err, release())
	}()
	defer db.interruptOn(ctx)()
	var found []string
	err = db.Query("PRAGMA quick_check", func(q *Stmt) error {
		found = append(found, q.Text(0))
		return nil
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("quick_check of the new store: %w", err)
	}
	for _, line := range found {
		if err := db.unread(line); err != nil {
			return fmt.Errorf("quick_check of the new store: %w", err)
		}
	}
	if len(found) != 1 || found[0] != "ok" {
		return fmt.Errorf("%w: quick_check of the new store: %q", ErrDamaged, found)
	}
	return nil
}

var unreadPage = regexp.MustCompile(`((?:Tree \d+ )?page \d+): unable to get the page. error code=(\d+)`)

// unread is the error in a line of a check that says of a page that it cannot be read, which is no damage.
func (d *DB) unread(line string) error {
	m := unreadPage.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	code, err := strconv.Atoi(m[2])
	if err != nil || code&0xff != lib.SQLITE_IOERR {
		return nil
	}
	return &EngineError{Op: "check", Path: d.path, Of: m[1], Code: code, Msg: "disk I/O error", Err: systemError(d.tls, int32(code))}
}

// interruptOn makes statements of the connection fail once ctx has ended. The caller calls stop before it closes the connection.
func (d *DB) interruptOn(ctx context.Context) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		for { // again and again: an interrupt between two statements is forgotten
			lib.Xsqlite3_interrupt(d.tls, d.db)
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() { close(done); <-stopped }
}
