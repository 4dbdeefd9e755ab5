package stages

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"swingport/testdata"
)

func init() { children["writer"] = writer }

// writer is a node: it commits as fast as it can until its standard input ends, with every kind of checkpoint in between, and prints the
// number of its commits. Each commit brings every row to the same number.
func writer() error {
	db, err := OpenDB(os.Args[1], ReadWrite, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	db.BusyTimeout(30000)
	stop := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stop)
	}()
	for n := 1; ; n++ {
		select {
		case <-stop:
			fmt.Println(n - 1)
			return nil
		default:
		}
		if err := writerCommit(db, int64(n)); err != nil {
			return fmt.Errorf("commit %d: %w", n, err)
		}
		if n == 1 {
			fmt.Println("ready")
		}
		kind := []string{"PASSIVE", "FULL", "RESTART", "TRUNCATE"}[n/7%4]
		if n%7 != 0 {
			continue
		}
		// A checkpoint that has to wait for a reader may not wait long: the node goes on.
		db.BusyTimeout(50)
		err := db.Exec("PRAGMA wal_checkpoint(" + kind + ")")
		if err != nil && !Busy(err) {
			return fmt.Errorf("checkpoint %s: %w", kind, err)
		}
		db.BusyTimeout(30000)
	}
}

// writerCommit makes rows longer and shorter, so that pages and overflow chains come and go.
func writerCommit(db *DB, n int64) error {
	pad := strings.Repeat("x", int(n*397%3000))
	for _, x := range []struct {
		sql  string
		args []any
	}{
		{"BEGIN IMMEDIATE", nil},
		{"UPDATE kvStore SET value = ?1", []any{fmt.Sprint(n)}},
		{"UPDATE kvStore SET value = ?1 || substr(?2, 1, length(?2) * (rowid % 10) / 9) WHERE key LIKE 'pad%'", []any{fmt.Sprintf("%d ", n), pad}},
		{"DELETE FROM transcriptItems WHERE position % 3 = ?1 % 3", []any{n}},
		{"INSERT INTO transcriptItems SELECT 'v' || (value % 3), value, '', 0 FROM (SELECT rowid - 1 AS value FROM kvStore) WHERE value < 300 AND value % 3 = ?1 % 3", []any{n}},
		{"UPDATE transcriptItems SET item = ?1 || substr(?2, 1, length(?2) * (position % 10) / 9)", []any{fmt.Sprintf("%d ", n), pad}},
		{"COMMIT", nil},
	} {
		if err := db.Exec(x.sql, x.args...); err != nil {
			return fmt.Errorf("%s: %w", x.sql, err)
		}
	}
	return nil
}

// startWriter starts a writer on a store and returns how to end it, which gives the number of its commits.
func startWriter(t *testing.T, dir string) (stop func() int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], filepath.Join(dir, StoreFile))
	cmd.Env = append(os.Environ(), childEnv+"=writer")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	out := bufio.NewReader(pipe)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the writer said %q, %v", line, err)
	}
	return func() (commits int) {
		in.Close()
		if _, err := fmt.Fscan(out, &commits); err != nil {
			t.Errorf("the writer did not say how far it came: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the writer: %v", err)
		}
		return commits
	}
}

// writtenStore is what writers change.
func writtenStore(t *testing.T, pragmas ...string) string {
	b := testdata.Build(t, pragmas...)
	b.KV("host.height", "0")
	b.Many("INSERT INTO kvStore VALUES (?,'0')", 300, func(i int) []any { return []any{fmt.Sprintf("%s.%d", []string{"pad", "v1"}[i%2], i)} })
	b.Many("INSERT INTO transcriptItems VALUES (?,?,'',0)", 300, func(i int) []any { return []any{fmt.Sprint("v", i%3), i} })
	return finished(b)
}

// notWritten fails a test where the database or its log are written by this process.
func notWritten(t *testing.T) *FS {
	return &FS{Before: func(op Op) error {
		switch op.Kind {
		case OpWrite, OpTruncate, OpRename:
			if strings.Contains(op.Path, StoreFile) && !strings.HasSuffix(op.Path, "-shm") {
				t.Errorf("%s %s", op.Kind, op.Path)
			}
		}
		return nil
	}}
}

// Beside a process that commits and makes checkpoints all the while, every sweep has exactly the rows that the engine has in the same
// transaction, and all of one commit.
func TestSweepBesideWriter(t *testing.T) {
	for mode, commits := range map[string]int{"WAL": 300, "DELETE": 100} {
		t.Run(mode, func(t *testing.T) {
			dir := writtenStore(t, "page_size=512", "journal_mode="+mode)
			stop := startWriter(t, dir)
			fsys := notWritten(t)
			sweeps := 50
			if testing.Short() {
				commits, sweeps = 30, 10
			}
			seen, last := map[string]bool{}, 0
			for n := 0; n < sweeps || last < commits; n++ {
				height, err := sweepBesideWriter(dir, fsys, oddLimits[n%len(oddLimits)])
				if err != nil {
					t.Fatalf("sweep %d: %v", n, err)
				}
				seen[height] = true
				if last, err = strconv.Atoi(height); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("%d commits, sweeps saw %d of them", stop(), len(seen))
			if len(seen) < sweeps/4 {
				t.Error("the writer hardly wrote between the sweeps")
			}
		})
	}
}

func sweepBesideWriter(dir string, fsys *FS, limits sweepLimits) (value string, err error) {
	s, err := OpenStore(context.Background(), dir, fsys)
	if err != nil {
		return "", err
	}
	defer s.Close()
	height, _, err := s.Get("host.height")
	if err != nil {
		return "", err
	}
	got, err := sweepRows(s, true, true, limits)
	if err != nil {
		return "", fmt.Errorf("by the sweep: %w", err)
	}
	want, err := engineRows(s)
	if err != nil {
		return "", fmt.Errorf("by the engine: %w", err)
	}
	if len(want.items) != 300 || len(want.kv) != 300 {
		return "", fmt.Errorf("%d items, %d rows of kvStore", len(want.items), len(want.kv))
	}
	for _, row := range append(want.items, want.kv...) {
		if !strings.Contains(row, fmt.Sprintf("%q", height)) && !strings.Contains(row, fmt.Sprintf(`"%s `, height)) {
			return "", fmt.Errorf("height %s, row %s", height, row)
		}
	}
	return string(height), got.compare(want)
}
