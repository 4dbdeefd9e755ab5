package main

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"swingport/pipeline"
)

var mainnetSummary = pipeline.Summary{
	BlockHeight: 10000001, ArtifactMode: "archival", Artifacts: 2082, Snapshots: 85, Spans: 1957, Bundles: 40,
	Items: 392870, KVRows: 1450000, Bytes: 1_238_000_000, Seconds: 4.1, MBPerSecond: 302, ExportDataSHA256: "ab12",
}

func TestSummaryLine(t *testing.T) {
	f := newFake()
	f.sum = mainnetSummary
	f.sum.Warnings = []string{"span transcript.v1.0.3 has an item\nof two lines"}
	f.sum.Defects = []string{"transcript.v2.0.3: hash mismatch", "bundle.b1-00: hash mismatch"}
	if rc := f.run([]string{"export"}); rc != 0 {
		t.Fatalf("exit code %d: %s", rc, f.err.String())
	}
	want := "exported 2082 artifacts at height 10000001 (archival): 1.24 GB in 4.1 s, 302 MB/s; export data sha256 ab12\n"
	if f.out.String() != want {
		t.Errorf("stdout %q", f.out.String())
	}
	want = "swingport: warning: span transcript.v1.0.3 has an item of two lines\n" +
		"swingport: defect: transcript.v2.0.3: hash mismatch\nswingport: defect: bundle.b1-00: hash mismatch\n"
	if f.err.String() != want {
		t.Errorf("stderr %q", f.err.String())
	}
}

func TestSummaryLineOfImports(t *testing.T) {
	f := newFake()
	f.sum = pipeline.Summary{ArtifactMode: "operational", Artifacts: 1, Bytes: 999, KeptOld: "old.sqlite", MovedAside: "damaged.sqlite"}
	f.run([]string{"import"})
	f.run([]string{"import", "--export-data-mode=repair-metadata"})
	want := "imported 1 artifact at height 0 (operational): 999 B in 0.000 s; old store kept as old.sqlite; damaged old store moved to damaged.sqlite\n" +
		"repaired metadata with 1 artifact at height 0 (operational): 999 B in 0.000 s; old store kept as old.sqlite; damaged old store moved to damaged.sqlite\n"
	if f.out.String() != want {
		t.Errorf("stdout %q", f.out.String())
	}
}

func TestSummaryAsJSON(t *testing.T) {
	f := newFake()
	f.sum = mainnetSummary
	if rc := f.run([]string{"export", "--json"}); rc != 0 {
		t.Fatalf("exit code %d: %s", rc, f.err.String())
	}
	want := `{"blockHeight":10000001,"artifactMode":"archival","artifacts":2082,"snapshots":85,"spans":1957,"bundles":40,` +
		`"items":392870,"kvRows":1450000,"bytes":1238000000,"seconds":4.1,"mbPerSecond":302,"exportDataSHA256":"ab12","warnings":[],"defects":[]}` + "\n"
	if f.out.String() != want || f.err.Len() > 0 {
		t.Errorf("stdout %s, stderr %s", f.out.String(), f.err.String())
	}
	f.out.Reset()
	f.sum.Warnings, f.sum.KeptOld = []string{"a < b & c"}, "old"
	f.run([]string{"import", "--json"})
	var got pipeline.Summary
	if err := json.Unmarshal(f.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	f.sum.Defects = []string{}
	if !reflect.DeepEqual(got, f.sum) {
		t.Errorf("got %+v", got)
	}
}

// The summary of an archive on stdout is on stderr, or it would be in the archive.
func TestSummaryBesideAnArchive(t *testing.T) {
	for _, test := range []struct{ args, out, err string }{
		{"export -o a.tar.zst", "exported 2082 artifacts at height 10000001 (archival): 1.24 GB in 4.1 s, 302 MB/s; archive of 367 MB; export data sha256 ab12\n", ""},
		{"export -o -", "", "swingport: exported 2082 artifacts at height 10000001 (archival): 1.24 GB in 4.1 s, 302 MB/s; archive of 367 MB; export data sha256 ab12\n"},
		{"export -o - --json", "", `{"blockHeight":10000001,"artifactMode":"archival","artifacts":2082,"snapshots":85,"spans":1957,"bundles":40,"items":392870,` +
			`"kvRows":1450000,"bytes":1238000000,"archiveBytes":367000000,"seconds":4.1,"mbPerSecond":302,"exportDataSHA256":"ab12","warnings":[],"defects":[]}` + "\n"},
	} {
		f := newFake()
		f.sum = mainnetSummary
		f.sum.ArchiveBytes = 367_000_000
		if rc := f.run(strings.Fields(test.args)); rc != exitDone || f.out.String() != test.out || f.err.String() != test.err {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", test.args, rc, f.out.String(), f.err.String())
		}
	}
}

// An export that worked and could not say so is a failure: a script that
// reads the summary must not take its absence for success.
func TestSummaryThatCannotBeWritten(t *testing.T) {
	f := newFake()
	f.stdout = brokenWriter{}
	if rc := f.run([]string{"export", "--json"}); rc != exitFailed || f.err.String() != "swingport: error: write to stdout: broken\n" {
		t.Errorf("exit code %d, stderr %q", rc, f.err.String())
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken") }

func TestGetAndHeight(t *testing.T) {
	for _, test := range []struct {
		args     []string
		rc       int
		out, err string
	}{
		{[]string{"get", "v1.options", "--state-dir=s"}, exitDone, "s v1.options\n", ""},
		{[]string{"get", "--home=h", "--", "--key"}, exitDone, "h/data/agoric --key\n", ""},
		{[]string{"get", "missing"}, exitNo, "", "swingport: error: no such key: missing\n"},
		{[]string{"height"}, exitDone, "12\n", ""},
	} {
		f := newFake()
		if rc := f.run(test.args); rc != test.rc || f.out.String() != test.out || f.err.String() != test.err {
			t.Errorf("%q: exit code %d, stdout %q, stderr %q", test.args, rc, f.out.String(), f.err.String())
		}
	}
}

func TestFormatSeconds(t *testing.T) {
	for s, want := range map[float64]string{
		0: "0.000 s", 0.0124: "0.012 s", 1: "1.0 s", 4.13: "4.1 s", 9.94: "9.9 s", 9.95: "10 s", 59.4: "59 s", 59.5: "1m0s", 3725: "1h2m5s",
	} {
		if got := formatSeconds(s); got != want {
			t.Errorf("formatSeconds(%v) = %q, not %q", s, got, want)
		}
	}
}
