package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(jobVariable); text != "" {
		os.Exit(runJob(text, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func newTestTrial(t *testing.T, s *scenario) *trial {
	t.Helper()
	s.dir = t.TempDir()
	tr, err := s.newTrial(context.Background(), "trial")
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func said1(lines []string, what string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, what) })
}

// An export that looks complete and is not is seen.
func TestBrokenExportIsSeen(t *testing.T) {
	s := &scenario{job: job{Do: "export"}, old: none, want: tree{format.ManifestFile: "m", "bundle.x": "b"}}
	tr := newTestTrial(t, s)
	for _, c := range []struct {
		left  tree
		is    outcome
		lines int
	}{
		{nil, nothing, 0},
		{tree{"bundle.x": "b"}, nothing, 0},
		{s.want, newOne, 0},
		{tree{format.ManifestFile: "m"}, newOne, 1},
		{tree{format.ManifestFile: "m", "bundle.x": "other"}, newOne, 1},
		{tree{format.ManifestFile: "other", "bundle.x": "b"}, newOne, 1},
	} {
		if is, lines := tr.exportLeft(c.left); is != c.is || len(lines) != c.lines {
			t.Errorf("%v: %s, %q", c.left, is, lines)
		}
	}
	s.job.Archive, s.want = "x.tar", tree{"x.tar": "x"}
	if is, lines := tr.exportLeft(tree{"y.tar": "x"}); is != nothing || len(lines) != 1 {
		t.Errorf("%s, %q", is, lines)
	}
}

// A store that is gone, damaged, or another one is seen.
func TestBrokenStoreIsSeen(t *testing.T) {
	s := &scenario{job: job{Do: "import"}, old: none}
	tr := newTestTrial(t, s)
	if err := os.CopyFS(tr.state, os.DirFS(testdata.Store(t, "tiny"))); err != nil {
		t.Fatal(err)
	}
	look := func(what string) (outcome, []string) {
		t.Helper()
		left, err := treeOf(tr.state)
		if err != nil {
			t.Fatal(err)
		}
		return tr.storeLeft(left)
	}
	if is, lines := look("none of both"); is != bad || !said1(lines, "neither") {
		t.Errorf("a store that is neither: %s, %q", is, lines)
	}
	var err error
	if s.content, err = contentOfCopy(tr.state, filepath.Join(tr.dir, "look")); err != nil {
		t.Fatal(err)
	}
	if is, lines := look("new"); is != newOne || lines != nil {
		t.Errorf("the new store: %s, %q", is, lines)
	}
	s.oldContent, s.content = s.content, ""
	if is, lines := look("old"); is != oldOne || lines != nil {
		t.Errorf("the old store: %s, %q", is, lines)
	}
	path := filepath.Join(tr.state, stages.StoreFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(data[len(data)/2&^4095:], strings.Repeat("junk", 1024))
	write(t, path, string(data))
	if is, lines := look("damaged"); is != bad || !said1(lines, "damaged") {
		t.Errorf("a damaged store: %s, %q", is, lines)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if is, lines := look("none"); is != nothing || lines != nil {
		t.Errorf("no store where there was none: %s, %q", is, lines)
	}
	s.old = idle
	if _, lines := look("gone"); !said1(lines, "neither the old store") {
		t.Errorf("a store that is gone: %q", lines)
	}
}

// Of a damaged store nothing may go.
func TestLostLogIsSeen(t *testing.T) {
	s := &scenario{job: job{Do: "import"}, old: none, oldTree: tree{stages.StoreFile: "s", stages.StoreFile + "-wal": "w"}}
	tr := newTestTrial(t, s)
	if is, lines := tr.storeLeft(tree{stages.StoreFile: "s", "x.damaged-T-wal": "w"}); is != oldOne || lines != nil {
		t.Errorf("%s, %q", is, lines)
	}
	if _, lines := tr.storeLeft(tree{stages.StoreFile: "s", ".swingport-x": "w"}); !said1(lines, "-wal of the damaged store is gone") {
		t.Errorf("%q", lines)
	}
}

// A second run that fails, does not name what it found, leaves something, or leaves something else, is seen.
func TestBrokenSecondRunIsSeen(t *testing.T) {
	s := &scenario{job: job{Do: "import", KeepOld: true}, old: none, want: tree{stages.StoreFile: "new"}}
	tr := newTestTrial(t, s)
	left := tree{".swingport-import-1": "folder", ".swingport-import-1/x": "x"}.temporary()
	for _, c := range []struct {
		said said
		want string
	}{
		{said{Error: "no"}, `says "no"`},
		{said{}, "does not name .swingport-import-1"},
		{said{Warnings: []string{"removed .swingport-import-1"}}, ""},
	} {
		if lines := tr.saidAgain(c.said, oldOne, left); c.want == "" && lines != nil || c.want != "" && !said1(lines, c.want) {
			t.Errorf("%+v: %q", c.said, lines)
		}
	}
	for _, c := range []struct {
		end    tree
		result outcome
		broken bool
	}{
		{tree{stages.StoreFile: "new"}, oldOne, false},
		{tree{stages.StoreFile: "other"}, oldOne, true},
		{tree{}, oldOne, true},
		{tree{stages.StoreFile: "new", ".swingport-import-1": "folder"}, oldOne, true},
		{tree{stages.StoreFile: "new", "x.old-7": "new"}, newOne, false},
		{tree{stages.StoreFile: "new", "x.old-7": "new"}, oldOne, true},
	} {
		if lines := tr.compare(c.end, c.result); (lines != nil) != c.broken {
			t.Errorf("%v after %s: %q", c.end, c.result, lines)
		}
	}
	write(t, filepath.Join(tr.dir, "cwd", "stray"), "x")
	if lines, err := tr.outside(); err != nil || !said1(lines, "cwd/stray is outside") {
		t.Errorf("%q, %v", lines, err)
	}
}

// A name that its directory was not synced for, and content that was not synced, may be gone after a power failure; what was synced is not.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	write(t, filepath.Join(root, "a"), "old")
	d, err := newDisk(root, filepath.Join(dir, "pins"))
	if err != nil {
		t.Fatal(err)
	}
	images := 0
	image := func(c cut) tree {
		t.Helper()
		if err := d.look(); err != nil {
			t.Fatal(err)
		}
		images++
		to := filepath.Join(dir, "image", string(rune('a'+images)))
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := d.image(to, c, rand.New(rand.NewPCG(1, 2))); err != nil {
			t.Fatal(err)
		}
		out := tree{}
		entries, err := os.ReadDir(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(to, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			out[e.Name()] = string(text)
		}
		return out
	}
	is := func(c cut, want tree) {
		t.Helper()
		if lines := differences(want, image(c)); lines != nil {
			t.Errorf("%s: %q", c, lines)
		}
	}
	did := func(kind stages.OpKind, name string) {
		t.Helper()
		if err := d.look(); err != nil {
			t.Fatal(err)
		}
		if err := d.did(stages.Op{Kind: kind, Path: filepath.Join(root, name)}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "b"), "new")
	is(cutAll, tree{"a": "old"})
	is(cutContents, tree{"a": "old", "b": ""})
	if err := os.Rename(filepath.Join(root, "b"), filepath.Join(root, "a")); err != nil {
		t.Fatal(err)
	}
	is(cutAll, tree{"a": "old"})
	is(cutContents, tree{"a": ""}) // what a rename without fsync leaves
	did(stages.OpSync, "a")
	is(cutAll, tree{"a": "old"})
	is(cutContents, tree{"a": "new"})
	did(stages.OpSyncDir, "")
	is(cutAll, tree{"a": "new"})
	write(t, filepath.Join(root, "x-journal"), "journal")
	did(stages.OpSync, "x-journal")
	is(cutAll, tree{"a": "new", "x-journal": "journal"})
	if err := os.Remove(filepath.Join(root, "x-journal")); err != nil {
		t.Fatal(err)
	}
	is(cutAll, tree{"a": "new", "x-journal": "journal"})
	write(t, filepath.Join(root, "c"), "c")
	image(cutAll) // looks
	write(t, filepath.Join(root, "e"), "e")
	is(cutOthers, tree{"a": "new", "x-journal": "journal", "e": ""})
	if err := errors.Join(os.Remove(filepath.Join(root, "c")), os.Remove(filepath.Join(root, "e"))); err != nil {
		t.Fatal(err)
	}
	did(stages.OpSync, "") // of the whole file system
	is(cutAll, tree{"a": "new"})
}

// However few kills there are, one is on either side of the last rename.
func TestPoints(t *testing.T) {
	ops := []stages.OpKind{"open", "write", "rename", "write", "sync", "rename", "syncdir", "remove"}
	for _, n := range []int{2, 3, 4, 20} {
		list := points(ops, n, rand.New(rand.NewPCG(1, 2)))
		for _, want := range []killPoint{{Kind: "syncdir", N: 1}, {Kind: "rename", N: 2}} {
			if len(list) != n || !slices.Contains(list, want) {
				t.Errorf("%d kills: %v", n, list)
			}
		}
	}
}

func runTorture(t *testing.T, args ...string) (rc int, stdout, stderr string) {
	t.Helper()
	var out, complaint strings.Builder
	rc = run(append(args, "--dir", t.TempDir()), &out, &complaint)
	return rc, out.String(), complaint.String()
}

func TestKillsAndPower(t *testing.T) {
	rc, out, complaint := runTorture(t, "--kills=4", "--random=50", "--size=2M", "--only=copy.* over damaged")
	if rc != 0 || !strings.Contains(out, "\n| all | 4 |") || strings.Count(out, "\n| copy of idle, over damaged |") != 2 {
		t.Errorf("exit code %d:\n%s%s", rc, out, complaint)
	}
}

func TestLoop(t *testing.T) {
	rc, out, complaint := runTorture(t, "loop", "--for=1ms", "--size=1M")
	if rc != 0 || !strings.Contains(out, "\n1 rounds, ") {
		t.Errorf("exit code %d:\n%s%s", rc, out, complaint)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"unknown", "kills x", "--kills=0", "kills --random=101", "power --every=0", "loop --for=x", "--unknown", "kills --only=("} {
		if rc := run(strings.Fields(args), io.Discard, io.Discard); rc != 2 {
			t.Errorf("%q: exit code %d", args, rc)
		}
	}
}
