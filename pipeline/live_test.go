package pipeline

import (
	"context"
	"strings"
	"sync"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// walStore is a store whose commits are in its log, and its writer, which has it open.
func walStore(t *testing.T) *testdata.Builder {
	t.Helper()
	b := goodStore(t)
	b.Exec("PRAGMA journal_mode=WAL")
	b.KV("before", "x")
	return b
}

// What a node commits while its store is read lets the log grow: the summary says by how much, and a warning comes once, when it is too much.
func TestLogGrowth(t *testing.T) {
	for _, limit := range []int64{0, 1, 1 << 40} {
		for name, run := range map[string]func(*stages.FS, string, Live) (LogGrowth, error){
			"export": func(fsys *stages.FS, state string, live Live) (LogGrowth, error) {
				sum, err := Export(context.Background(), ExportOptions{StateDir: state, ExportDir: t.TempDir(), ExportDataMode: format.All, Live: live, fs: fsys})
				return sum.LogGrowth, err
			},
			"copy": func(fsys *stages.FS, state string, live Live) (LogGrowth, error) {
				sum, err := Copy(context.Background(), CopyOptions{StateDir: state, ToStateDir: t.TempDir(), Live: live, fs: fsys})
				return sum.LogGrowth, err
			},
			"verify": func(fsys *stages.FS, state string, live Live) (LogGrowth, error) {
				report, err := Verify(context.Background(), VerifyOptions{StateDir: state, Live: live, fs: fsys})
				return report.LogGrowth, err
			},
		} {
			b := walStore(t)
			var warnings []string
			var commit sync.Once
			fsys := &stages.FS{Before: func(op stages.Op) error {
				if op.Kind == stages.OpRead && op.Len > 100<<10 || op.Kind == stages.OpRead && op.Off > 0 && strings.HasSuffix(op.Path, stages.StoreFile) {
					commit.Do(func() { b.KV("meanwhile", strings.Repeat("long ", 100_000)) })
				}
				return nil
			}}
			got, err := run(fsys, b.Dir, Live{RateLimit: 1 << 40, LogLimit: limit, Warn: func(text string) { warnings = append(warnings, text) }})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got.LogGrowth < 500_000 || got.LogBytes < got.LogGrowth {
				t.Errorf("%s: %+v", name, got)
			}
			if want := limit == 1; len(warnings) > 0 != want || len(warnings) > 1 || want && !strings.Contains(warnings[0], "write-ahead log grew by 5") {
				t.Errorf("%s, limit %d: warnings %q", name, limit, warnings)
			}
			b.Close()
		}
	}
}

// A store without a log has none that grows.
func TestNoLog(t *testing.T) {
	b := goodStore(t)
	b.Close()
	sum, err := Export(context.Background(), ExportOptions{StateDir: b.Dir, ExportDir: t.TempDir()})
	if err != nil || sum.LogGrowth != (LogGrowth{}) {
		t.Errorf("%+v, %v", sum.LogGrowth, err)
	}
}
