package stages

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What waits for others to let go of a store or a directory ends with its context.
func TestWaitingEnds(t *testing.T) {
	why := errors.New("enough")
	store := writtenStore(t, "journal_mode=DELETE")
	db, err := OpenDB(filepath.Join(store, StoreFile), ReadWrite, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	locked, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	if err := unix.Flock(int(locked.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for name, wait := range map[string]func(context.Context) error{
		"a store": func(ctx context.Context) error {
			s, err := OpenStore(ctx, store, nil)
			if err == nil {
				s.Close()
			}
			return err
		},
		"an export directory": func(ctx context.Context) error {
			_, err := NewDirSink(ctx, dir, false, false, nil, nil)
			return err
		},
		"a directory for files": func(ctx context.Context) error {
			_, err := NewExtractDir(ctx, dir, []string{"export-manifest.json"}, nil, nil)
			return err
		},
		"a directory for an archive": func(ctx context.Context) error {
			target, err := OpenTarget(ctx, filepath.Join(dir, "a.tar"), nil, nil, nil)
			return errors.Join(err, target.Abort())
		},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- wait(ctx) }()
		select {
		case err := <-ended:
			t.Errorf("%s: it does not wait: %v", name, err)
		case <-time.After(50 * time.Millisecond):
			cancel(why)
			begun := time.Now()
			if err := <-ended; !errors.Is(err, why) || time.Since(begun) > openTimeout/2 {
				t.Errorf("%s: after %v: %v", name, time.Since(begun), err)
			}
		}
		cancel(nil)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A pipe that nobody writes to does not keep who opens it, even if the waiting ends before it has begun.
func TestPipeWaitingEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	late := &FS{Before: func(op Op) error {
		if op.Kind == OpOpen {
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	}}
	why := errors.New("enough")
	for _, moment := range []time.Duration{0, 50 * time.Millisecond} {
		for _, gone := range []bool{false, true} {
			ctx, cancel := context.WithCancelCause(context.Background())
			ended := make(chan error, 1)
			go func() {
				_, err := OpenInput(ctx, path, nil, late, nil)
				ended <- err
			}()
			time.Sleep(moment)
			if gone {
				if err := os.Rename(path, path+".gone"); err != nil {
					t.Fatal(err)
				}
			}
			cancel(why)
			select {
			case err := <-ended:
				if err != why && !(gone && moment == 0 && errors.Is(err, os.ErrNotExist)) {
					t.Errorf("after %v, gone %v: %v", moment, gone, err)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("after %v, gone %v: it waits for somebody to write", moment, gone)
			}
			if gone {
				if err := os.Rename(path+".gone", path); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// What is waited for in pieces is durable all the same, whatever its size; nothing more is waited for when the context has ended.
func TestSyncSlowly(t *testing.T) {
	for _, size := range []int64{0, 1, writeOutPiece - 1, writeOutPiece, 6 * writeOutPiece} {
		synced := 0
		fsys := &FS{Before: func(op Op) error {
			if op.Kind == OpSync {
				synced++
			}
			return nil
		}}
		f, err := fsys.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte("x"), max(0, size-1)); err != nil {
			t.Fatal(err)
		}
		if err := f.SyncSlowly(context.Background()); err != nil || synced != 1 {
			t.Errorf("%d bytes: %v, %d times", size, err, synced)
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(why)
		if err := f.SyncSlowly(ctx); err != why || synced != 1 {
			t.Errorf("%d bytes: %v, %d times", size, err, synced)
		}
	}
}
