package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"swingport/stages"
	"swingport/testdata"
)

// A store with one thing wrong has the one defect that says so.
func TestVerifyStoreDefects(t *testing.T) {
	for _, c := range []struct {
		defect string
		spoil  func(b *testdata.Builder)
		o      VerifyOptions
		mode   string // that the store is verified for; "" is archival
		want   []string
	}{
		{defect: "nothing"},
		{defect: "item changed", spoil: func(b *testdata.Builder) {
			b.Exec("UPDATE transcriptItems SET item = 'x' WHERE vatID = 'v12' AND position = 0")
		}, want: []string{`transcript.v12.0.1: artifact transcript.v12.0.1 hash is "` + spanHash("x") + `", metadata says "0a81e9710a6d9ac18263c3d9ae156f19a7498da54b8760b7bc3202afbac3f852"`}},
		{defect: "item missing in the middle", spoil: func(b *testdata.Builder) {
			b.Exec("DELETE FROM transcriptItems WHERE vatID = 'v8' AND position = 20")
		}, want: []string{"transcript.v8.0.52: 51 of its 52 items are there"}},
		{defect: "first item missing", spoil: func(b *testdata.Builder) {
			b.Exec("DELETE FROM transcriptItems WHERE vatID = 'v8' AND position = 0")
		}, mode: "operational", want: []string{"transcript.v8.0.52: 51 of its 52 items are there"}},
		{defect: "item changed that is not valid UTF-8", spoil: func(b *testdata.Builder) {
			b.Exec("UPDATE transcriptItems SET item = CAST(x'ff' AS TEXT) WHERE vatID = 'v12' AND position = 0")
		}, want: []string{
			`transcript.v12.0.1: artifact transcript.v12.0.1 hash is "7cc58e9c8add44d44b5427865cff7e2e17ce8dbeab39411914a40b1a85d17e56", metadata says "0a81e9710a6d9ac18263c3d9ae156f19a7498da54b8760b7bc3202afbac3f852"`}},
		{defect: "heap changed", spoil: heap("v13", 1, testdata.Gzip([]byte("another heap"))), want: []string{
			`snapshot.v13.1: snapshot snapshot.v13.1 hash is "ab1d266cdf48ba26e648aad017f4afa73482ed093516c8a85469596d82886019", metadata says "20fe375ed590fd324622fb92f147a01b56d9dd6e86a971b63d61af1e6f0ffdce"`}},
		{defect: "heap no gzip", spoil: heap("v13", 1, []byte("this is no gzip at all")), want: []string{
			"snapshot.v13.1: unpack the stored gzip: gzip: invalid header"}},
		{defect: "heap empty", spoil: heap("v13", 1, []byte{}), want: []string{
			"snapshot.v13.1: unpack the stored gzip: unexpected EOF"}},
		{defect: "heap cut", spoil: func(b *testdata.Builder) {
			b.Exec("UPDATE snapshots SET compressedSnapshot = substr(compressedSnapshot, 1, 100) WHERE vatID = 'v13'")
		}, want: []string{
			"snapshot.v13.1: unpack the stored gzip: unexpected EOF"}},
		{defect: "old heap changed", spoil: heap("v1", 5, testdata.Gzip([]byte("another heap"))), want: []string{
			`snapshot.v1.5: snapshot snapshot.v1.5 hash is "ab1d266cdf48ba26e648aad017f4afa73482ed093516c8a85469596d82886019", metadata says "83f75d42d6c8798ef7c871a64baca0196323c4118b4f6fd2a4340fa49059f07c"`}},
		{defect: "heap in use pruned", spoil: heap("v13", 1, nil), want: []string{
			"snapshot.v13.1: pruned, and in use"}},
		{defect: "old heap pruned", spoil: heap("v1", 5, nil)},
		{defect: "bundle changed", spoil: func(b *testdata.Builder) {
			b.Exec("UPDATE bundles SET bundle = replace(bundle, 'a', 'b') WHERE bundleID LIKE 'b0-28e8%'")
		}, want: []string{
			`bundle.b0-28e8a5e4847c8d869c987ff5ae78b3315ca70936b6c9e1f0aa3bf250979f8caf: bundleID "b0-28e8a5e4847c8d869c987ff5ae78b3315ca70936b6c9e1f0aa3bf250979f8caf" does not match bundle artifact`}},
		{defect: "bundle pruned", spoil: func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle = NULL WHERE bundleID LIKE 'b0-28e8%'") }, want: []string{
			`bundle.b0-28e8a5e4847c8d869c987ff5ae78b3315ca70936b6c9e1f0aa3bf250979f8caf: bundle "b0-28e8a5e4847c8d869c987ff5ae78b3315ca70936b6c9e1f0aa3bf250979f8caf" pruned`}},
		{defect: "bundle is a number", spoil: func(b *testdata.Builder) { b.Exec("UPDATE bundles SET bundle = 7 WHERE bundleID LIKE 'b0-28e8%'") }, want: []string{
			"bundle b0-28e8a5e4847c8d869c987ff5ae78b3315ca70936b6c9e1f0aa3bf250979f8caf is stored as integer"}},
		{defect: "old span pruned", spoil: func(b *testdata.Builder) {
			b.Exec("DELETE FROM transcriptItems WHERE vatID = 'v1' AND position < 6")
		}, mode: "replay"},
		{defect: "old span pruned, and needed", spoil: func(b *testdata.Builder) {
			b.Exec("DELETE FROM transcriptItems WHERE vatID = 'v1' AND position < 6")
		}, o: VerifyOptions{ArtifactMode: "archival"}, want: []string{
			"transcript.v1.0.6: 0 of its 6 items are there"}},
		{defect: "span ends early", spoil: func(b *testdata.Builder) {
			b.Exec("UPDATE transcriptSpans SET endPos = 5 WHERE vatID = 'v1' AND startPos = 0")
		}, want: []string{
			`transcript.v1.0.5: artifact transcript.v1.0.5 hash is "0b987bdf669e2d098f58eb313b3cc96784392297ff33bb9d119889ba81bfdd1a", metadata says "0ee9ed92889cf43d39ff238e925902c9f364c76caf79062a0239810611166d1b"`,
			"transcript.v1.6.14: the span before it ends at 5: the spans of vat v1 do not follow one another"}},
		{defect: "record of a span missing", spoil: func(b *testdata.Builder) {
			b.Exec("DELETE FROM transcriptSpans WHERE vatID = 'v1' AND startPos = 6")
		}, want: []string{
			"transcript.v1.14.16: the span before it ends at 6: the spans of vat v1 do not follow one another"}},
		{defect: "record of the first span missing", spoil: func(b *testdata.Builder) {
			b.Exec("DELETE FROM transcriptSpans WHERE vatID = 'v1' AND startPos = 0")
			b.Exec("DELETE FROM transcriptItems WHERE vatID = 'v1' AND position < 6")
		}, o: VerifyOptions{ArtifactMode: "archival"}, want: []string{
			"incomplete archival transcript: 31 vs 37 of vat v1"}},
		{defect: "current span not the last", spoil: func(b *testdata.Builder) {
			b.Exec("UPDATE transcriptSpans SET isCurrent = NULL WHERE vatID = 'v1'")
			b.Exec("UPDATE transcriptSpans SET isCurrent = 1 WHERE vatID = 'v1' AND startPos = 28")
		}, want: []string{
			"transcript.v1.28.35: it is current, and not the last span of vat v1"}},
		{defect: "hash missing", spoil: func(b *testdata.Builder) {
			b.Exec("UPDATE transcriptSpans SET hash = NULL WHERE vatID = 'v12' AND startPos = 0")
		}, want: []string{
			`export data "transcript.v12.0": transcript metadata missing hash: {"endPos":1,"hash":null,"incarnation":0,"isCurrent":0,"startPos":0,"vatID":"v12"}`,
			`transcript.v12.0.1: artifact transcript.v12.0.1 hash is "0a81e9710a6d9ac18263c3d9ae156f19a7498da54b8760b7bc3202afbac3f852", metadata says "null"`}},
		{defect: "start is no number", spoil: func(b *testdata.Builder) {
			b.Exec("UPDATE transcriptSpans SET startPos = 'x' WHERE vatID = 'v12' AND startPos = 0")
		}, want: []string{
			"transcript span v12.x.1 has no vatID or positions"}},
		{defect: "vat without a name for a file", spoil: func(b *testdata.Builder) {
			b.Exec("UPDATE transcriptSpans SET vatID = 'v/12' WHERE vatID = 'v12'")
			b.Exec("UPDATE transcriptItems SET vatID = 'v/12' WHERE vatID = 'v12'")
		}, want: []string{
			`transcript.v/12.0.1: artifact "transcript.v/12.0.1" cannot be a file name`,
			`transcript.v/12.1.1: artifact "transcript.v/12.1.1" cannot be a file name`}},
		{defect: "two snapshots in use", spoil: func(b *testdata.Builder) {
			loosen(b, "snapshots")
			b.Exec("UPDATE snapshots SET inUse = 1 WHERE vatID = 'v1' AND snapPos = 5")
		}, want: []string{
			"vat v1 has 2 snapshots in use: snapshot.v1.5, snapshot.v1.34"}},
		{defect: "two current spans", spoil: func(b *testdata.Builder) {
			loosen(b, "transcriptSpans")
			b.Exec("UPDATE transcriptSpans SET isCurrent = 1 WHERE vatID = 'v1' AND startPos = 28")
		}, want: []string{
			"transcript.v1.28.35: it is current, and not the last span of vat v1"}},
		{defect: "two rows of a key", spoil: func(b *testdata.Builder) {
			loosen(b, "kvStore")
			b.Exec("INSERT INTO kvStore VALUES ('B', 'x')")
		}, want: []string{
			`kvStore has two rows of key "B": the database is damaged: reading ended here`}},
		{defect: "two items at a position", spoil: func(b *testdata.Builder) {
			loosen(b, "transcriptItems")
			b.Exec("INSERT INTO transcriptItems SELECT * FROM transcriptItems WHERE vatID = 'v8' AND position IN (7, 9)")
		}, want: []string{
			"transcript.v8.0.52: vat v8 has two items at position 7: the database is damaged"}},
		{defect: "key is a blob", spoil: func(b *testdata.Builder) { b.Exec("INSERT INTO kvStore VALUES (x'61', 'x')") }, want: []string{
			"DIR/swingstore.sqlite: page 29: kvStore: key must be a string, not blob"}},
		{defect: "position is no integer", spoil: func(b *testdata.Builder) { b.Exec("INSERT INTO transcriptItems VALUES ('v1', 1.5, 'x', 0)") }, want: []string{
			`DIR/swingstore.sqlite: page 70: transcriptItems: vat "v1" has an item at position 1.5, which is no integer`}},
		{defect: "value is a number", spoil: func(b *testdata.Builder) { b.Exec("UPDATE kvStore SET value = 7.5 WHERE key = 'B'") }},
		{defect: "item of no span", spoil: func(b *testdata.Builder) { b.Exec("INSERT INTO transcriptItems VALUES ('v1', 900, 'x', 0)") }},
	} {
		t.Run(c.defect, func(t *testing.T) {
			b := testdata.Open(t, testdata.Store(t, "tiny"))
			if c.spoil != nil {
				c.spoil(b)
			}
			b.Close()
			c.o.StateDir = b.Dir
			r, got := verified(t, c.o)
			if c.mode == "" {
				c.mode = "archival"
			}
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], b.Dir, "DIR")
			}
			if !slices.Equal(got, c.want) || r.ArtifactMode != c.mode {
				t.Errorf("%s, defects:\n%s\nnot\n%s", r.ArtifactMode, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// heap changes what is stored of a snapshot.
func heap(vat string, pos int, blob []byte) func(b *testdata.Builder) {
	return func(b *testdata.Builder) {
		b.Exec("UPDATE snapshots SET compressedSnapshot = ? WHERE vatID = ? AND snapPos = ?", blob, vat, pos)
	}
}

// loosen makes a table one without constraints and indexes.
func loosen(b *testdata.Builder, table string) {
	b.Exec("CREATE TABLE loose AS SELECT * FROM " + table)
	b.Exec("DROP TABLE " + table)
	b.Exec("ALTER TABLE loose RENAME TO " + table)
}

// pageOf is the leaf of 512 bytes of a table that holds a text.
func pageOf(t *testing.T, data []byte, text string) int {
	t.Helper()
	for page := range len(data) / 512 {
		if p := data[page*512:][:512]; p[0] == 13 && bytes.Contains(p, []byte(text)) {
			return page + 1
		}
	}
	t.Fatalf("there is no %q", text)
	return 0
}

// pagedStore is a small store on pages of 512 bytes: two vats with an old and a current span each, a heap, a bundle, and keys.
func pagedStore(t *testing.T) (dir, bundleID string) {
	t.Helper()
	b := testdata.Build(t, "page_size=512")
	for _, vat := range []string{"v1", "v2"} {
		for span := range 2 {
			var items []string
			for pos := 10 * span; pos < 10*span+10; pos++ {
				items = append(items, fmt.Sprintf("%s item %d %s", vat, pos, strings.Repeat("=", 60)))
				b.Exec("INSERT INTO transcriptItems VALUES (?,?,?,0)", vat, pos, items[len(items)-1])
			}
			current := any(1)
			if span == 0 {
				current = nil
			}
			b.Exec("INSERT INTO transcriptSpans VALUES (?,?,?,?,?,0)", vat, 10*span, 10*span+10, testdata.SpanHash(items...), current)
		}
		b.Heap(vat, 9, true, []byte("the heap of "+vat+strings.Repeat(" and more", 10)))
	}
	bundleID = b.B0(strings.Repeat("source ", 100))
	b.Exec("INSERT INTO kvStore VALUES ('host.height', '77')")
	for i := range 40 {
		b.Exec("INSERT INTO kvStore VALUES (?,?)", fmt.Sprintf("key%02d", i), fmt.Sprintf("the value of %02d %s", i, strings.Repeat("-", 40)))
	}
	b.Close()
	return b.Dir, bundleID
}

// Damaged pages are named, and with them the artifacts that they cost; everything else is verified. Items on them are lost, keys are nobody's.
func TestVerifyDamagedPages(t *testing.T) {
	dir, bundleID := pagedStore(t)
	path := filepath.Join(dir, stages.StoreFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if r, got := verified(t, VerifyOptions{StateDir: dir, Deep: true}); len(got) > 0 || r.Artifacts != 7 || r.Items != 40 || r.KVRows != 40 || r.ArtifactMode != "archival" || r.BlockHeight != 77 {
		t.Fatalf("%+v: %q", r, got)
	}
	items, keys := pageOf(t, data, "v1 item 3 "), pageOf(t, data, "the value of 07 ")
	page := func(n int) string {
		return fmt.Sprintf("DIR/swingstore.sqlite: page %d: the page is damaged: type 0x00, expected 0x0d", n)
	}
	for _, c := range []struct {
		name  string
		spoil func(data []byte)
		want  []string
	}{
		{"page of items", func(d []byte) { clear(d[(items-1)*512:][:512]) }, []string{
			page(items), "transcript.v1.0.10: 4 of its 10 items are there"}},
		{"page of keys", func(d []byte) { clear(d[(keys-1)*512:][:512]) }, []string{page(keys)}},
		{"both, a heap and a bundle", func(d []byte) {
			clear(d[(items-1)*512:][:512])
			clear(d[(keys-1)*512:][:512])
			d[bytes.Index(d, []byte("source source"))+30] ^= 1
		}, []string{page(items), page(keys),
			"bundle." + bundleID + `: bundleID "` + bundleID + `" does not match bundle artifact`,
			"transcript.v1.0.10: 4 of its 10 items are there"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := bytes.Clone(data)
			c.spoil(bad)
			if err := os.WriteFile(path, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			_, got := verified(t, VerifyOptions{StateDir: dir})
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], dir, "DIR")
			}
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("defects:\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// Every page of a store made nothing: either the store cannot be opened at all, or it has a defect; never a panic.
func TestVerifyEachPageDamaged(t *testing.T) {
	dir, _ := pagedStore(t)
	path := filepath.Join(dir, stages.StoreFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := range len(data) / 512 {
		for _, how := range []func(p []byte){func(p []byte) { clear(p) }, func(p []byte) { p[0] ^= 7 }, func(p []byte) { p[4]++ }} {
			bad := bytes.Clone(data)
			how(bad[page*512:][:512])
			if err := os.WriteFile(path, bad, 0o644); err != nil {
				t.Fatal(err)
			}
			r, err := Verify(context.Background(), VerifyOptions{StateDir: dir, Deep: true})
			if cannotOpen := page == 0; cannotOpen != (err != nil) || cannotOpen != (r.DefectCount == 0) {
				t.Errorf("page %d: %+v, %v", page+1, r, err)
			}
		}
	}
}

// A deep verification finds what the engine finds of indexes, all of it, and what a sweep would say of them again is not said twice.
func TestVerifyDeep(t *testing.T) {
	unindexed := func(dir, index, row string) {
		b := testdata.Open(t, dir)
		b.Exec("CREATE TABLE kept AS SELECT * FROM sqlite_schema WHERE name = '" + index + "'")
		b.Exec("PRAGMA writable_schema = ON")
		b.Exec("DELETE FROM sqlite_schema WHERE name = '" + index + "'")
		b.Close()
		b = testdata.Open(t, dir)
		b.Exec(row)
		b.Exec("PRAGMA writable_schema = ON")
		b.Exec("INSERT INTO sqlite_schema SELECT * FROM kept")
		b.Exec("DROP TABLE kept")
		b.Close()
	}
	dir := testdata.Store(t, "tiny")
	unindexed(dir, "currentTranscriptIndex", "UPDATE transcriptSpans SET isCurrent = NULL WHERE vatID = 'v12'")
	b := testdata.Open(t, dir)
	b.Exec("CREATE TABLE foreigner (x)")
	b.Exec("UPDATE snapshots SET compressedSize = 5 WHERE vatID = 'v13'")
	b.Close()
	r, got := verified(t, VerifyOptions{StateDir: dir, Deep: true})
	if want := []string{"integrity_check: row 23 missing from index currentTranscriptIndex"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"the table foreigner is no part of a swing-store", "snapshot.v13.1 has 1911 bytes stored, its row says 5"} {
		if !slices.Contains(r.Warnings, text) {
			t.Errorf("no warning %q in %q", text, r.Warnings)
		}
	}
	if _, got := verified(t, VerifyOptions{StateDir: dir}); len(got) > 0 {
		t.Errorf("not deep: %q", got)
	}

	dir, _ = pagedStore(t)
	path := filepath.Join(dir, stages.StoreFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := range len(data) / 512 {
		if p := data[page*512:][:512]; p[0] == 10 && bytes.Contains(p, []byte("key01")) {
			p[4]-- // a cell less
		}
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, got = verified(t, VerifyOptions{StateDir: dir})
	if want := []string{path + ": kvStore has 41 rows, its index 40 entries: the database is damaged"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if _, got = verified(t, VerifyOptions{StateDir: dir, Deep: true}); len(got) == 0 {
		t.Error("nothing found")
	}
	for _, line := range got {
		if !strings.HasPrefix(line, "integrity_check: ") {
			t.Errorf("%q", got)
		}
	}
}

// Cancelling ends it at any time, with the cause.
func TestVerifyCancel(t *testing.T) {
	store, dir := testdata.Store(t, "tiny"), ""
	dir, _ = testdata.Export(t, "tiny", "archival", "all")
	packed, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{Zstd: true})
	enough := errors.New("enough")
	step := 200 * time.Microsecond
	if testing.Short() {
		step = 10 * time.Millisecond // under the race detector a run takes hundreds of milliseconds
	}
	for name, o := range map[string]VerifyOptions{
		"store": {StateDir: store, Deep: true}, "directory": {ExportDir: dir}, "archive": {Archive: archiveFile(t, "a.tar.zst", packed)},
	} {
		done := 0
		for wait := time.Duration(0); done < 3; wait += step {
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(wait, func() { cancel(enough) })
			r, err := Verify(ctx, o)
			if err == nil {
				done++ // it was faster
			} else if !errors.Is(err, enough) {
				t.Fatalf("%s after %v: %v", name, wait, err)
			}
			if r.DefectCount > 0 {
				t.Fatalf("%s after %v: %d defects", name, wait, r.DefectCount)
			}
			cancel(nil)
		}
	}
}

// A file with room for very many pages that nothing leads to does not get a finding for each.
func TestVerifyDeepManyFindings(t *testing.T) {
	const pages = 20_000
	state := testdata.Store(t, "tiny")
	path := filepath.Join(state, stages.StoreFile)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(content[28:], pages)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, pages*4096); err != nil {
		t.Fatal(err)
	}
	_, found := verified(t, VerifyOptions{StateDir: state, Deep: true})
	if n := len(found); n != 10_001 || !strings.Contains(found[n-1], "it stops at 10000 findings") {
		t.Errorf("%d findings", n)
	}
}
