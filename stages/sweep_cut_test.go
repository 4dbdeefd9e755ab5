package stages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swingport/testdata"
)

// A file that was cut is found, whatever its pages say.
func TestSweepCutFile(t *testing.T) {
	dir, data := damagedStore(t)
	for _, n := range []int{512, 513, len(data) / 2, len(data) - 512, len(data) - 1} {
		patch(t, dir, data[:n])
		s, err := OpenStore(context.Background(), dir, nil)
		if err == nil {
			_, err = sweepRows(s, true, true, defaultLimits)
			s.Close()
		}
		if err == nil {
			t.Errorf("cut at %d of %d: no error", n, len(data))
		}
	}
}

// A value whose last page is cut off is damage, and no value that ends with zeros: where nothing says how long the file has to be, since that is
// what the log says, and where the file ends within its last page.
func TestSweepCutValue(t *testing.T) {
	for _, logged := range []bool{true, false} {
		b := testdata.Build(t, "page_size=512", "journal_mode=WAL", "wal_autocheckpoint=0")
		b.KV("k", "value")
		b.KV("long", strings.Repeat("x", 3000))
		b.Int("PRAGMA wal_checkpoint(TRUNCATE)")
		if logged {
			b.Exec("UPDATE kvStore SET value='other' WHERE key='k'")
		}
		dir := b.CopyFiles("-wal")
		info, err := os.Stat(filepath.Join(dir, StoreFile))
		if err != nil {
			t.Fatal(err)
		}
		cuts := []int64{1, 300, 511}
		if logged {
			cuts = append(cuts, 512, 600)
		}
		for _, cut := range cuts {
			if err := os.Truncate(filepath.Join(dir, StoreFile), info.Size()-cut); err != nil {
				t.Fatal(err)
			}
			if _, err := sweepAndEngine(t, dir); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), fmt.Sprintf("page %d:", (info.Size()-cut)/512+1)) {
				t.Errorf("log %v, cut by %d bytes: %v", logged, cut, err)
			}
		}
	}
}
