package stages

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// checkedStore is a database of several views, some of them more than are mapped at a time.
func checkedStore(t *testing.T) string {
	path := filepath.Join(t.TempDir(), StoreFile)
	s, err := NewInserter(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 12_000 {
		if err := s.KV([]KV{{Key: fmt.Appendf(nil, "key%d", i*7919%12_000), Value: []byte(strings.Repeat("v", 3700))}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Finish(5); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() < (viewCount+2)*viewBytes {
		t.Fatalf("a store of %d bytes: %v", info.Size(), err)
	}
	return path
}

// What cannot be mapped or read ends the check with an error, and so does a page that is gone when it is looked at.
func TestQuickCheckFaults(t *testing.T) {
	path := checkedStore(t)
	views := 0
	at := func(n int, f func() error) *FS {
		views = 0
		return &FS{Before: func(op Op) error {
			if op.Kind == OpRead && op.Len > blockBytes {
				if views++; views == n {
					return f()
				}
			}
			return nil
		}}
	}
	if err := QuickCheck(context.Background(), path, at(0, nil)); err != nil || views <= viewCount {
		t.Fatalf("%d views: %v", views, err)
	}
	for n := 1; n <= views; n += 3 {
		if err := QuickCheck(context.Background(), path, at(n, func() error { return syscall.EIO })); err == nil {
			t.Errorf("view %d cannot be read: no error", n)
		}
	}
	err := QuickCheck(context.Background(), path, at(3, func() error { return os.Truncate(path, 3*pageUnit) }))
	if err == nil || !strings.HasSuffix(err.Error(), path+" could not be read") {
		t.Errorf("the file was cut off: %v", err)
	}
}
