package stages

import (
	"path/filepath"
	"testing"
)

// A store whose log is in the database already holds its place in the log all the same: what its writer commits meanwhile comes behind it, and
// a checkpoint knows that it has nothing to move. The store stays at its commit.
func TestPinLog(t *testing.T) {
	dir := writtenStore(t, "journal_mode=WAL")
	w, err := OpenDB(filepath.Join(dir, StoreFile), ReadWrite, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	set := func(value string) {
		t.Helper()
		if err := w.Exec("INSERT INTO kvStore VALUES ('pinned', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value", value); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint := func() (log, moved int64) {
		t.Helper()
		err := w.Query("PRAGMA wal_checkpoint(PASSIVE)", func(q *Stmt) error { log, moved = q.Int(1), q.Int(2); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return log, moved
	}
	set("before")
	frames, moved := checkpoint()
	if frames == 0 || moved != frames {
		t.Fatalf("%d of %d frames are in the database", moved, frames)
	}
	s, err := OpenStore(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	set("after")
	if log, moved := checkpoint(); log <= frames || moved != frames {
		t.Errorf("the log has %d frames, %d moved; %d when the store was opened", log, moved, frames)
	}
	if v, ok, err := s.Get("pinned"); string(v) != "before" || !ok || err != nil {
		t.Errorf("%q, %v, %v", v, ok, err)
	}
	if rows, err := sweepRows(s, true, true, defaultLimits); err != nil || len(rows.kv) != 301 {
		t.Errorf("%d rows, %v", len(rows.kv), err)
	}
}
