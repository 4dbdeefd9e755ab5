package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// A storeReading is one way to read a store: it gives the height that it saw, and all that it made of it, in lines.
type storeReading struct {
	name string
	read func(t *testing.T, state string, how readHow) (height float64, result []string, err error)
}

// readHow is how a store is read. Quiet stores are read by the engine, to compare with.
type readHow struct {
	reader string
	mode   format.ArtifactMode
	fixed  string // an archive to compare with
	fs     *stages.FS
	log    *slog.Logger
}

var readings = []storeReading{
	{"export to a directory", func(t *testing.T, state string, how readHow) (float64, []string, error) {
		o := ExportOptions{StateDir: state, ExportDir: filepath.Join(t.TempDir(), "export"), ArtifactMode: how.mode, ExportDataMode: format.All, Checksums: true, Reader: how.reader, fs: how.fs, Log: how.log}
		sum, err := Export(t.Context(), o)
		if err != nil {
			nothingLeft(t, o.ExportDir)
			return 0, nil, err
		}
		return sum.BlockHeight, filesOf(t, o.ExportDir), nil
	}},
	{"export to an archive", func(t *testing.T, state string, how readHow) (float64, []string, error) {
		path, sum, err := toArchive(t, ExportOptions{StateDir: state, ArtifactMode: how.mode, Reader: how.reader, fs: how.fs, Log: how.log}, "x.tar.zst")
		if err != nil {
			return 0, nil, err
		}
		dir := t.TempDir()
		_, err = Extract(t.Context(), ExtractOptions{Path: path, To: dir})
		return sum.BlockHeight, filesOf(t, dir), err
	}},
	{"copy", func(t *testing.T, state string, how readHow) (float64, []string, error) {
		o := CopyOptions{StateDir: state, ToStateDir: filepath.Join(t.TempDir(), "copy"), ArtifactMode: how.mode, Reader: how.reader, fs: how.fs, Log: how.log}
		sum, err := Copy(t.Context(), o)
		if err != nil {
			nothingLeft(t, o.ToStateDir)
			return 0, nil, err
		}
		return sum.BlockHeight, slices.Collect(strings.Lines(dump(t, o.ToStateDir))), nil
	}},
	{"verify", func(t *testing.T, state string, how readHow) (float64, []string, error) {
		var defects []string
		r, err := Verify(t.Context(), VerifyOptions{StateDir: state, ArtifactMode: how.mode, Deep: how.mode == format.Operational, fs: how.fs, Log: how.log,
			Defect: func(d Defect) { defects = append(defects, d.String()) }})
		said := fmt.Sprint(r.Snapshots, r.Spans, r.Bundles, r.Items, r.KVRows, r.Bytes, r.ArtifactMode, r.Warnings)
		return r.BlockHeight, append(defects, said), err
	}},
	{"diff", func(t *testing.T, state string, how readHow) (float64, []string, error) {
		height, found := float64(fixedHeight), []string{} // unless it is told as a difference
		_, err := Diff(t.Context(), DiffOptions{A: state, KindA: KindStateDir, B: how.fixed, ArtifactMode: how.mode, fs: how.fs, Log: how.log, Each: func(d Difference) {
			if d.What == "height" {
				fmt.Sscan(d.Detail, &height)
			}
			found = append(found, fmt.Sprint(d))
		}})
		return height, found, err
	}},
}

// filesOf is the content of an export directory: the lines of its export data, and the hash of every file.
func filesOf(t *testing.T, dir string) (lines []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintln(e.Name(), len(data), hexSum(string(data))))
		if e.Name() == format.ExportDataFile {
			lines = slices.AppendSeq(lines, strings.Lines(string(data)))
		}
	}
	return lines
}

// seen is what somebody read beside a node.
type seen struct {
	what   string
	height int
	read   storeReading
	how    readHow
	result []string
}

const fixedHeight = 40

// fixedArchive is an export of a chain at fixedHeight, for diff.
func fixedArchive(t *testing.T, kind chainNode) string {
	t.Helper()
	dir := chainStore(t, kind)
	replay(t, dir, kind).to(fixedHeight)
	path, _, err := toArchive(t, ExportOptions{StateDir: dir, ArtifactMode: format.Debug}, "fixed.tar")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// replayed is a store that nobody writes to, which goes from height to height.
type replayed struct {
	t *testing.T
	chain
}

func replay(t *testing.T, dir string, kind chainNode) *replayed {
	return &replayed{t, chain{db: testdata.Open(t, dir).DB, prunes: kind.prunes}}
}

func (r *replayed) to(height int) {
	r.t.Helper()
	if err := r.reach(height); err != nil {
		r.t.Fatal(err)
	}
}

// check compares everything that was seen with what the same readings make of a store of the same height that nobody writes to.
func check(t *testing.T, kind chainNode, list []seen) {
	t.Helper()
	quiet := chainNode{prunes: kind.prunes} // another page size, and no log
	dir := chainStore(t, quiet)
	chain := replay(t, dir, quiet)
	slices.SortFunc(list, func(a, b seen) int { return a.height - b.height })
	for _, s := range list {
		chain.to(s.height)
		s.how.reader, s.how.fs, s.how.log = ReaderEngine, nil, nil
		height, want, err := s.read.read(t, dir, s.how)
		if err != nil || int(height) != s.height {
			t.Fatalf("%s of a store of height %d: height %v, %v", s.what, s.height, height, err)
		}
		if n := differing(s.result, want); n != "" {
			t.Errorf("%s is not of commit %d:\n%s", s.what, s.height, n)
		}
	}
}

// differing is the first line that two lists do not share, "" if they are the same.
func differing(got, want []string) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			return fmt.Sprintf("line %d: got %.300q, want %.300q", i, got[min(i, len(got)):min(i+1, len(got))], want[min(i, len(want)):min(i+1, len(want))])
		}
	}
	return ""
}

// ways goes through all that can be done with a store, n by n.
func ways(n int, prunes bool) (storeReading, readHow) {
	modes := []format.ArtifactMode{format.Archival, format.Operational, format.Replay, format.Debug}
	if prunes {
		modes = []format.ArtifactMode{format.Operational, format.Operational, format.Debug}
	}
	r := readings[[]int{0, 0, 1, 0, 2, 1, 3, 0, 4}[n%9]]
	how := readHow{reader: []string{ReaderSweep, ReaderSweep, ReaderEngine}[n/2%3], mode: modes[n%len(modes)]}
	if r.name == "copy" && how.mode == format.Debug {
		how.mode = format.Operational
	}
	return r, how
}

// notWritten fails a test where a store or its log is written.
func notWritten(t *testing.T, dir string, before func()) *stages.FS {
	return &stages.FS{Before: func(op stages.Op) error {
		if (op.Kind == stages.OpWrite || op.Kind == stages.OpTruncate || op.Kind == stages.OpRename) && filepath.Dir(op.Path) == dir && !strings.HasSuffix(op.Path, "-shm") {
			t.Errorf("%s %s", op.Kind, op.Path)
		}
		if before != nil {
			before()
		}
		return nil
	}}
}

// Beside a process that commits hundreds of times a second and makes checkpoints of every kind, prunes, vacuums, and is stopped and started
// again, whatever is read of its store is what the store was at one commit, to the byte: that of a store which is made anew with as many commits.
func TestBesideNode(t *testing.T) {
	for name, kind := range chainNodes {
		t.Run(name, func(t *testing.T) {
			dir, fixed := chainStore(t, kind), fixedArchive(t, kind)
			node := startNode(t, dir, name)
			node.ask("run")
			began, rounds := time.Now(), 18
			if testing.Short() {
				rounds = 9
			}
			var list []seen
			readers, heights := map[string]bool{}, map[int]bool{}
			for n := 0; n < rounds || len(heights) < rounds*2/3 && n < 20*rounds; n++ { // a node may be slow
				r, how := ways(n, kind.prunes)
				what := fmt.Sprintf("%s in mode %s by %s (%d)", r.name, how.mode, how.reader, n)
				how.fixed, how.fs, how.log = fixed, notWritten(t, dir, nil), slog.New(readerLog{slog.DiscardHandler, readers})
				height, result, err := r.read(t, dir, how)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				list = append(list, seen{what, int(height), r, how, result})
				heights[int(height)] = true
			}
			made, _ := node.ask("stop")
			t.Logf("%d commits in %v, %d of them seen, by %v", made, time.Since(began).Round(time.Millisecond), len(heights), readers)
			if len(heights) < rounds*2/3 || made < rounds {
				t.Error("the node hardly wrote")
			}
			if kind.filler > 0 && len(readers) != 3 {
				t.Errorf("only read by %v", readers)
			}
			check(t, kind, list)
		})
	}
}

// readerLog notes by which readers exports were made.
type readerLog struct {
	slog.Handler
	readers map[string]bool
}

func (l readerLog) Enabled(context.Context, slog.Level) bool { return true }

func (l readerLog) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "reader" {
			l.readers[a.Value.String()] = true
		}
		return true
	})
	return nil
}

// steps are the operations at which a test does something: all of the first ones, in which a store is opened, and then so many as to be done
// soon. Without -short, BESIDE_ALL=1 takes all of them.
func steps(t *testing.T, operations, want int) (list []int) {
	t.Helper()
	const opening = 24
	step := max(1, (operations-opening)/want)
	if os.Getenv("BESIDE_ALL") != "" {
		step = 1
	}
	for n := 0; n < operations; n++ {
		if n < opening || (n-opening)%step == 0 {
			list = append(list, n)
		}
	}
	if testing.Short() {
		list = slices.DeleteFunc(list, func(n int) bool { return n%4 > 0 })
	}
	return list
}

// atOperation does something ahead of operation n, and counts them.
func atOperation(t *testing.T, dir string, do func(n int)) (fs *stages.FS, count *int) {
	var mu sync.Mutex
	count = new(int)
	return notWritten(t, dir, func() {
		mu.Lock()
		defer mu.Unlock()
		do(*count)
		*count++
	}), count
}

// With a commit ahead of every operation, and a checkpoint ahead of every seventh, nothing of a later commit is seen.
func TestBesideNodeAtEveryOperation(t *testing.T) {
	for _, name := range []string{"checkpoints of every kind", "vacuum"} {
		kind := chainNodes[name]
		dir, fixed := chainStore(t, kind), fixedArchive(t, kind)
		node := startNode(t, dir, name)
		made, _ := node.ask("commit 50")
		var list []seen
		commits := 0
		for n := range 9 {
			r, how := ways(n, kind.prunes)
			what := fmt.Sprintf("%s in mode %s by %s (%d)", r.name, how.mode, how.reader, n)
			how.fixed = fixed
			how.fs, _ = atOperation(t, dir, func(n int) {
				if n < 60 || n%20 == 0 && n < 2000 {
					made, _ = node.ask("commit 1")
					commits++
				}
			})
			before := made
			height, result, err := r.read(t, dir, how)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if height < float64(before) || height > float64(before)+40 {
				t.Errorf("%s: height %v, from %d to %d", what, height, before, made)
			}
			list = append(list, seen{what, int(height), r, how, result})
		}
		t.Logf("%s: %d commits at operations of 9 readings", name, commits)
		if commits < 300 {
			t.Error("that is too few")
		}
		check(t, kind, list)
	}
}

// Whatever the node does, and whenever: an export is of the commit at which it opened the store.
func TestBesideNodeBursts(t *testing.T) {
	kind := chainNode{build: []string{"page_size=1024", "journal_mode=WAL"}}
	for name, lines := range map[string][]string{
		"many commits, and the log begins anew": {"commit 12", "PRAGMA wal_checkpoint(RESTART)", "commit 3", "PRAGMA wal_checkpoint(TRUNCATE)"},
		"the log is cut, and grows":             {"PRAGMA wal_checkpoint(TRUNCATE)", "commit 10"},
		"vacuum":                                {"VACUUM", "PRAGMA wal_checkpoint(RESTART)", "commit 1", "PRAGMA wal_checkpoint(RESTART)", "commit 1"},
		"the node is stopped, and started":      {"restart", "commit 2"},
		"the node is killed, and started":       {"kill", "commit 2", "PRAGMA wal_checkpoint(TRUNCATE)"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := chainStore(t, kind)
			node := startNode(t, dir, "")
			node.ask("commit 30")
			var count *int
			var list []seen
			do := func(line string) {
				if line != "kill" {
					if _, said := node.ask(line); strings.Contains(said, "error") {
						t.Errorf("%s: %s", line, said)
					}
					return
				}
				for _, line := range []string{"PRAGMA cache_size=1", "BEGIN IMMEDIATE", "UPDATE kvStore SET value='never committed'"} {
					node.ask(line)
				}
				node.kill()
				node = startNode(t, dir, "")
			}
			operations, want := 1<<20, 12
			if lines[0] == "kill" {
				want = 5
			}
			for at := []int{operations}; len(at) > 0; at = at[1:] {
				r, how := readings[len(list)%2], readHow{mode: format.Archival, reader: []string{ReaderSweep, ReaderSweep, ReaderEngine}[len(list)%3]}
				how.fs, count = atOperation(t, dir, func(n int) {
					if n == at[0] {
						for _, line := range lines {
							do(line)
						}
					}
				})
				height, result, err := r.read(t, dir, how)
				if err != nil {
					t.Fatalf("%s by %s at operation %d: %v", r.name, how.reader, at[0], err)
				}
				list = append(list, seen{fmt.Sprintf("%s by %s at operation %d", r.name, how.reader, at[0]), int(height), r, how, result})
				if at[0] == operations { // the first one counts them
					at = append(at, steps(t, *count, want)...)
				}
			}
			made, _ := node.ask("stop")
			t.Logf("at %d of %d operations, %d commits", len(list)-1, *count, made)
			check(t, kind, list)
		})
	}
}
