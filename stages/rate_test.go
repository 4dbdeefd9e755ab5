package stages

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Reads are spread evenly: none begins before those in front of it are paid for, and what was not read in time is not made up for.
func TestRateLimit(t *testing.T) {
	now := time.Unix(1e9, 0)
	r := &rateLimit{rate: 1000, now: func() time.Time { return now }, sleep: func(d time.Duration) { now = now.Add(d) }}
	begin := now
	for _, step := range []struct {
		pause time.Duration // before the read
		bytes int
		at    time.Duration // when it may begin
	}{
		{0, 500, 0},
		{0, 500, 500 * time.Millisecond},
		{0, 1, time.Second},
		{0, 4, time.Second},   // 1 ms is not worth a sleep
		{0, 100, time.Second}, // and neither are 5
		{0, 5, 1105 * time.Millisecond},
		{10 * time.Second, 1000, 11105 * time.Millisecond}, // a pause saves nothing up
		{0, 1, 12105 * time.Millisecond},
	} {
		now = now.Add(step.pause)
		r.pay(step.bytes)
		if got := now.Sub(begin); got != step.at {
			t.Errorf("%d bytes at %v, expected %v", step.bytes, got, step.at)
		}
	}
}

// Through a limited file system the engine reads too, what another file system says still counts, and the end of the context ends the waiting.
func TestLimitRate(t *testing.T) {
	dir := writtenStore(t, "journal_mode=DELETE")
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nobody waits
	broken := errors.New("broken")
	var reads int
	var fail error
	inner := &FS{Before: func(op Op) error {
		if op.Kind == OpRead {
			reads++
			return fail
		}
		return nil
	}}
	for range 3 {
		fsys, release := LimitRate(ctx, inner, 1)
		reads, fail = 0, nil
		s, err := OpenStore(context.Background(), dir, fsys)
		if err != nil {
			t.Fatal(err)
		}
		if rows, err := sweepRows(s, true, true, defaultLimits); err != nil || len(rows.kv) != 300 || reads < 3 {
			t.Errorf("%d rows, %v, %d reads", len(rows.kv), err, reads)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		fail = broken
		f, err := fsys.Open(filepath.Join(dir, StoreFile))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read(make([]byte, 10)); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		release()
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}
