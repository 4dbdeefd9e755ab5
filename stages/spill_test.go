package stages

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"swingport/format"
)

// Where a spill cannot be made, written or read, the stage fails with that error, and leaves no file.
func TestSpillFails(t *testing.T) {
	long := strings.Repeat("x", 300<<10)
	spillAll := func(fsys *FS, dir string) error {
		s := newSpill(0, dir, fsys)
		defer s.close()
		for _, keys := range []string{"ace", "bdf"} {
			err := s.add(context.Background(), func(add func([]byte) error) error {
				for _, k := range keys {
					if err := add(appendRow(nil, []byte(string(k)), format.TextValue([]byte(long)), 0)); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		m, err := s.merge()
		if err != nil {
			return err
		}
		var got strings.Builder
		for {
			row, err := m.next()
			if err != nil {
				return err
			}
			if row == nil {
				break
			}
			got.Write(rowKey(row))
		}
		if got.String() != "abcdef" {
			t.Errorf("the rows come as %s", got.String())
		}
		return nil
	}
	for at := int64(1); ; at++ {
		var n atomic.Int64
		dir := t.TempDir()
		err := spillAll(&FS{Before: func(Op) error {
			if n.Add(1) == at {
				return syscall.ENOSPC
			}
			return nil
		}}, dir)
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("operation %d left %v", at, left)
		}
		if n.Load() < at {
			if err != nil || at < 8 {
				t.Errorf("after %d operations: %v", at-1, err)
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("operation %d: %v", at, err)
		}
	}
}

// A store that is read as a file which nobody changes says so when somebody does.
func TestFrozenStoreChanges(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"nothing": func(string) error { return nil },
		"longer":  func(path string) error { return os.Truncate(path, 1<<20) },
		"another": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, nil, 0o644))
		},
		"gone":        os.Remove,
		"a log":       func(path string) error { return os.WriteFile(path+"-wal", []byte("frames"), 0o644) },
		"a log empty": func(path string) error { return os.WriteFile(path+"-wal", nil, 0o644) },
	} {
		dir := writtenStore(t, "journal_mode=WAL")
		s := &Store{path: dir + "/" + StoreFile}
		if err := s.openFrozen(errors.New("cannot be written")); err != nil {
			t.Fatal(err)
		}
		if err := s.begin(); err != nil {
			t.Fatal(err)
		}
		if rows, err := sweepRows(s, true, true, defaultLimits); err != nil || len(rows.kv) != 300 {
			t.Errorf("%d rows, %v", len(rows.kv), err)
		}
		if err := change(s.path); err != nil {
			t.Fatal(err)
		}
		if err := s.Unchanged(); (err == nil) != (name == "nothing" || name == "a log empty") {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A link gives away what it is sent, drops what nobody will receive, and tells the cause of an end.
func TestLink(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	dropped := 0
	l := NewLink(1, func(int) { dropped++ })
	if err := l.Send(ctx, 1); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error)
	go func() { sent <- l.Send(ctx, 2) }() // waits: there is room for one
	cancel(why)
	if err := <-sent; err != why || dropped != 1 {
		t.Errorf("%v, %d dropped", err, dropped)
	}
	if err := l.Send(ctx, 3); err != why || dropped != 2 {
		t.Errorf("%v, %d dropped", err, dropped)
	}
	if _, ok, err := l.Recv(ctx); ok || err != why {
		t.Errorf("%v, %v", ok, err)
	}
	if v, ok, err := l.Recv(context.Background()); v != 1 || !ok || err != nil {
		t.Errorf("%d, %v, %v", v, ok, err)
	}
	l.Close()
	if _, ok, err := l.Recv(context.Background()); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}

// The last chunk of a pool is waited for, and the wait ends with the context.
func TestPool(t *testing.T) {
	p := NewPool(1, 100)
	c, err := p.Get(context.Background())
	if err != nil || cap(c.Data) != 100 || len(c.Data) != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	if _, err := p.Get(ctx); err != why {
		t.Errorf("%v", err)
	}
	c.Data = append(c.Data, "text"...)
	c.Release()
	if again, err := p.Get(context.Background()); again != c || len(again.Data) != 0 || err != nil {
		t.Errorf("%+v, %v", again, err)
	}
}
