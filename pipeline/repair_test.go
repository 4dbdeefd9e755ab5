package pipeline

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// lost is a store that handMade was imported into and that has lost rows, by the statements given.
func lost(t *testing.T, statements ...string) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := Import(context.Background(), ImportOptions{StateDir: dir, ExportDir: handMade().write(t)}); err != nil {
		t.Fatal(err)
	}
	change(t, dir, statements...)
	return dir
}

func change(t *testing.T, stateDir string, statements ...string) {
	t.Helper()
	db, err := stages.OpenDB(filepath.Join(stateDir, stages.StoreFile), stages.ReadWrite, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, sql := range statements {
		if err := db.Exec(sql); err != nil {
			t.Fatal(err)
		}
	}
}

func repairOptions(stateDir, exportDir string, at float64) ImportOptions {
	return ImportOptions{StateDir: stateDir, ExportDir: exportDir, ExportDataMode: format.RepairMetadata, ArtifactMode: format.None, CheckBlockHeight: &at}
}

func TestRepairLikeReference(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"tiny", "tiny1a", "tinywal", "tinyraw"} {
		t.Run(store, func(t *testing.T) {
			stateDir, want := testdata.Repair(t, store)
			exported, _ := testdata.Export(t, store, "archival", "all")
			src, err := stages.OpenDir(exported, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			sum, err := Import(context.Background(), repairOptions(stateDir, exported, src.Manifest().BlockHeight))
			if err != nil {
				t.Fatal(err)
			}
			if sum.BlockHeight != src.Manifest().BlockHeight || len(sum.ExportDataSHA256) != 64 {
				t.Errorf("summary %+v", sum)
			}
			got := strings.Replace(dump(t, stateDir), "pragma journal_mode wal", "pragma journal_mode delete", 1) // as want has it
			for _, line := range testdata.CompareDumps(got, want) {
				t.Error(line)
			}
		})
	}
}

func TestRepair(t *testing.T) {
	t.Parallel()
	const loseSpan = "DELETE FROM transcriptSpans WHERE startPos = 0"
	for _, c := range []struct {
		name    string
		lost    []string
		spoil   func(t *testing.T, x *madeExport)
		options func(o *ImportOptions)
		text    string // of the error; "": it works
		more    string // how the dump then differs from that of the whole store
	}{
		{name: "span lost", lost: []string{loseSpan}},
		{name: "nothing lost"},
		{name: "snapshot not in use lost", spoil: func(t *testing.T, x *madeExport) {
			x.data = append(x.data, line("snapshot.v1.9", `{"vatID":"v1","snapPos":9,"hash":"x","inUse":0}`))
		}, more: "- snapshots 'v1' integer:9 null 'x' null null null"},
		{name: "WAL mode", lost: []string{"PRAGMA journal_mode = WAL", loseSpan}},
		{name: "bad artifacts", lost: []string{loseSpan}, spoil: func(t *testing.T, x *madeExport) { x.artifacts[spanOne] = "other\n" }},
		{name: "host keys in the export data", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, line("kv.host.x", "y")) }},
		{name: "no height", options: func(o *ImportOptions) { o.CheckBlockHeight = nil }, text: "repair metadata requires a block height"},
		{name: "height zero", spoil: func(t *testing.T, x *madeExport) { x.height = "0" }, options: func(o *ImportOptions) { o.CheckBlockHeight = height(0) },
			text: "repair metadata requires a block height"},
		{name: "height of another manifest", options: func(o *ImportOptions) { o.CheckBlockHeight = height(5) }, text: "unexpected block height 1000 (expected 5)"},
		{name: "height of another store", lost: []string{"UPDATE kvStore SET value = '5' WHERE key = 'host.height'"},
			text: "block height doesn't match. requested=1000, current=5"},
		{name: "mode", options: func(o *ImportOptions) { o.ArtifactMode = format.Operational }, text: "Cannot restore artifacts while repairing metadata"},
		{name: "no mode", options: func(o *ImportOptions) { o.ArtifactMode = "" }, text: "Cannot restore artifacts while repairing metadata"},
		{name: "span with other hash", spoil: func(t *testing.T, x *madeExport) { x.replaceData(t, spanHash("one", "two", "three"), spanHash("one")) },
			text: "repairTranscriptSpanRecord metadata mismatch: {"},
		{name: "span with other end", spoil: func(t *testing.T, x *madeExport) { x.replaceData(t, `\"endPos\":3`, `\"endPos\":4`) }, text: `"endPos":4`},
		{name: "span of another incarnation", spoil: func(t *testing.T, x *madeExport) { x.replaceData(t, `\"incarnation\":0`, `\"incarnation\":null`) },
			text: `"incarnation":null`},
		{name: "snapshot with other hash", spoil: func(t *testing.T, x *madeExport) {
			x.replaceData(t, hexSum(x.artifacts[heapOne]), hexSum(""))
		}, text: "repairSnapshotRecord metadata mismatch: {"},
		{name: "snapshot under another key", spoil: func(t *testing.T, x *madeExport) { x.replaceData(t, `["snapshot.v1.2"`, `["snapshot.v1.3"`) },
			text: "Expected 3 is same as 2"},
		{name: "new bundle", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, line("bundle.b0-1", "b0-1")) },
			text: "unexpected new bundle record for b0-1 during repair"},
		{name: "unknown tag", spoil: func(t *testing.T, x *madeExport) { x.data = append(x.data, line("vat.v1", "x")) },
			text: `unknown export-data type in key "vat.v1" on repairMetadata`},
		{name: "items lost", lost: []string{"DELETE FROM transcriptItems WHERE position = 4"}, text: "incomplete current transcript span: 1 items"},
		{name: "heap lost", lost: []string{"UPDATE snapshots SET compressedSnapshot = NULL"}, text: "current snapshots are pruned for vats v1"},
		{name: "bundle lost", lost: []string{"UPDATE bundles SET bundle = NULL"}, text: "missing bundles for: b0-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := handMade()
			if c.spoil != nil {
				c.spoil(t, x)
			}
			stateDir := lost(t, c.lost...)
			before := dump(t, stateDir)
			o := repairOptions(stateDir, x.write(t), 1000)
			if c.options != nil {
				c.options(&o)
			}
			_, err := Import(context.Background(), o)
			if c.text != "" {
				if err == nil || !strings.Contains(err.Error(), c.text) {
					t.Errorf("error %v lacks %q", err, c.text)
				}
				if dump(t, stateDir) != before {
					t.Error("the store changed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Replace(dump(t, stateDir), "pragma journal_mode wal", "pragma journal_mode delete", 1)
			if diff := strings.Join(testdata.CompareDumps(got, newDump(t)), "\n"); diff != c.more {
				t.Errorf("%s", diff)
			}
		})
	}
}

// Another process that writes keeps repair out, and the store is as before.
func TestRepairOfStoreInUse(t *testing.T) {
	t.Parallel()
	exported := handMade().write(t)
	stateDir := lost(t, "DELETE FROM transcriptSpans WHERE startPos = 0")
	kill := hold(t, stateDir, "BEGIN IMMEDIATE")
	_, err := Import(context.Background(), repairOptions(stateDir, exported, 1000))
	var inUse *InUseError
	if !errors.As(err, &inUse) {
		t.Errorf("error %v", err)
	}
	kill()
	checkOldOrNew(t, stateDir, dump(t, lost(t, "DELETE FROM transcriptSpans WHERE startPos = 0")), "")
}

func TestRepairNoStore(t *testing.T) {
	_, err := Import(context.Background(), repairOptions(t.TempDir(), handMade().write(t), 1000))
	if !errors.Is(err, ErrNoStore) {
		t.Errorf("error %v", err)
	}
}
