package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
	"swingport/testdata"
)

func generated(t *testing.T, r recipe) (string, made) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	m, err := generate(t.Context(), r, dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

var shapes = recipe{size: 4e6, seed: 3, wal: true, spans: 2000, vats: 50, spanBytes: 3e6, heapSize: 1e6, oneItem: 300e3}

// What is made is a whole archival store without a defect, with as many rows of each kind as it says.
func TestGenerate(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]recipe{
		"live":       {size: 8e6, seed: 1, wal: true},
		"contiguous": {size: 8e6, seed: 1, contiguous: true},
		"smallest":   {size: 1e6, seed: 2, wal: true},
		"shapes":     shapes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, m := generated(t, r)
			if r.spans > 0 {
				r.size += 500*r.spans + r.spanBytes
			}
			if m.Bytes < r.size*8/10 || m.Bytes > r.size*15/10 {
				t.Errorf("%d bytes for %d", m.Bytes, r.size)
			}
			_, err := os.Stat(filepath.Join(dir, stages.StoreFile+"-wal"))
			if (err == nil) != r.wal {
				t.Errorf("a log was asked for: %v, and stat says %v", r.wal, err)
			}
			v, err := pipeline.Verify(t.Context(), pipeline.VerifyOptions{StateDir: dir, Deep: true, ArtifactMode: format.Archival,
				Defect: func(d pipeline.Defect) { t.Error(d) }})
			if err != nil {
				t.Error(err)
			}
			if v.Items != m.Items || v.KVRows != m.KVRows || v.Spans != m.Spans || v.Snapshots != m.Heaps || v.Bundles != m.Bundles {
				t.Errorf("made %+v, verified %+v", m, v)
			}
			for _, w := range v.Warnings {
				if !strings.Contains(w, "terminated") {
					t.Error(w)
				}
			}
		})
	}
}

// The flags for stores out of proportion give what they say.
func TestShapes(t *testing.T) {
	t.Parallel()
	dir, m := generated(t, shapes)
	db, err := stages.OpenDB(filepath.Join(dir, stages.StoreFile), stages.ReadWrite, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for sql, atLeast := range map[string]int64{
		"SELECT count(*) FROM transcriptSpans WHERE endPos - startPos = 1":                             shapes.spans,
		"SELECT count(*) FROM snapshots":                                                               shapes.spans,
		"SELECT count(*) FROM transcriptSpans WHERE isCurrent":                                         int64(shapes.vats),
		"SELECT max(octet_length(item)) FROM transcriptItems":                                          shapes.oneItem,
		"SELECT max(uncompressedSize) FROM snapshots":                                                  shapes.heapSize,
		"SELECT max(n) FROM (SELECT sum(octet_length(item)) AS n FROM transcriptItems GROUP BY vatID)": shapes.spanBytes,
	} {
		err := db.Query(sql, func(q *stages.Stmt) error {
			if n := q.Int(0); n < atLeast || n > 2*atLeast {
				t.Errorf("%s: %d, want %d or some more", sql, n, atLeast)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if int64(m.Spans) < shapes.spans+int64(shapes.vats) || m.Heaps != shapes.vats {
		t.Errorf("made %+v", m)
	}
}

// One seed, one store; another seed, another store.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	var dumps []string
	for _, seed := range []uint64{1, 1, 2} {
		dir, _ := generated(t, recipe{size: 2e6, seed: seed, wal: true})
		dump, err := testdata.Dump(dir)
		if err != nil {
			t.Fatal(err)
		}
		dumps = append(dumps, dump)
	}
	if diff := testdata.CompareDumps(dumps[0], dumps[1]); len(diff) > 0 {
		t.Error(diff)
	}
	if dumps[0] == dumps[2] {
		t.Error("two seeds, one store")
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	there := filepath.Join(t.TempDir(), "store")
	var out bytes.Buffer
	if rc := run([]string{"--size=1M", "--out", there}, &out, io.Discard); rc != 0 || !strings.Contains(out.String(), "kv rows") {
		t.Errorf("%d, %q", rc, out.String())
	}
	for _, c := range []struct {
		args []string
		rc   int
		says string
	}{
		{[]string{"--size=1M", "--out", there}, 1, "there already"},
		{[]string{"--size=1M"}, 2, "--out is missing"},
		{[]string{"--size=1T", "--out", there}, 2, "with K, M or G"},
		{[]string{"--size=999999999999G", "--out", there}, 2, "with K, M or G"},
		{[]string{"--size=1K", "--out", there}, 2, "at least 1M"},
		{[]string{"--spans=-1", "--out", there}, 2, "--spans"},
		{[]string{"--vats=100001", "--out", there}, 2, "--vats"},
		{[]string{"--item-bytes=1G", "--out", there}, 2, "at most 900M"},
		{[]string{"--heap-bytes=x", "--out", there}, 2, "with K, M or G"},
		{[]string{"--layout=x", "--out", there}, 2, "live or contiguous"},
		{[]string{"--out", there, "x"}, 2, "unexpected argument"},
	} {
		var stderr bytes.Buffer
		if rc := run(c.args, io.Discard, &stderr); rc != c.rc || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%v: exit code %d, %q", c.args, rc, stderr.String())
		}
	}
}

// What is cancelled leaves no store.
func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := generate(ctx, recipe{size: 200e6, seed: 1}, dir); err == nil {
		t.Error("no error")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}
