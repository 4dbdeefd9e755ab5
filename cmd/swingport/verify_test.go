package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"swingport/format"
	"swingport/pipeline"
)

func TestVerifyOptions(t *testing.T) {
	store, export := t.TempDir(), t.TempDir()
	for _, file := range []string{filepath.Join(store, "swingstore.sqlite"), filepath.Join(export, "export-manifest.json")} {
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	archive := filepath.Join(export, "a.tar")
	if err := os.WriteFile(archive, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		env, args string
		want      pipeline.VerifyOptions
	}{
		{"", "", pipeline.VerifyOptions{StateDir: defaultDir}},
		{"STATE_DIR=s", "", pipeline.VerifyOptions{StateDir: "s"}},
		{"STATE_DIR=s", "--home h", pipeline.VerifyOptions{StateDir: "s"}},
		{"EXPORT_DIR=e;ARTIFACT_MODE=replay", "--state-dir s --deep", pipeline.VerifyOptions{StateDir: "s", Deep: true}},
		{"STATE_DIR=s", "--export-dir e --artifact-mode replay", pipeline.VerifyOptions{ExportDir: "e", ArtifactMode: format.Replay}},
		{"STATE_DIR=s", "--input i --max-item 1GiB --max-window 2GiB", pipeline.VerifyOptions{Archive: "i", MaxItem: 1 << 30, MaxWindow: 2 << 30}},
		{"STATE_DIR=s", "-", pipeline.VerifyOptions{Archive: "-"}},
		{"", store + " --deep --workers 2 --temp-dir t", pipeline.VerifyOptions{StateDir: store, Deep: true, Workers: 2, TempDir: "t"}},
		{"", export, pipeline.VerifyOptions{ExportDir: export}},
		{"", archive, pipeline.VerifyOptions{Archive: archive}},
	} {
		f := newFake(prefixed(test.env)...)
		if rc := f.run(append([]string{"verify"}, strings.Fields(test.args)...)); rc != 0 {
			t.Fatalf("%q: exit code %d: %s", test.args, rc, f.err.String())
		}
		got := f.verifies[0]
		if (got.Stdin != nil) != (test.want.Archive != "") || got.Status == nil || got.Log != nil || got.Defect == nil {
			t.Errorf("%q: stdin %v, status %v, log %v", test.args, got.Stdin, got.Status, got.Log)
		}
		got.Stdin, got.Status, got.Defect, got.Live = nil, nil, nil, pipeline.Live{}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got  %+v\nwant %+v", test.args, got, test.want)
		}
	}
}

func verifyFake() *fake {
	f := newFake()
	f.verified = pipeline.VerifyReport{Kind: pipeline.KindArchive, BlockHeight: 17, ArtifactMode: "archival", ExportData: true,
		Artifacts: 2082, Snapshots: 85, Spans: 1957, Bundles: 40, Items: 392870, KVRows: 5, Bytes: 1_240_000_000, Seconds: 4, MBPerSecond: 310,
		Warnings: []string{}}
	return f
}

func TestVerifyLines(t *testing.T) {
	f := verifyFake()
	if rc := f.run([]string{"verify", "-"}); rc != exitDone || f.err.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", rc, f.err.String())
	}
	const summary = "verified archive at height 17 (archival): 2082 artifacts, 1.24 GB in 4.0 s, 310 MB/s; "
	if f.out.String() != summary+"no defects\n" {
		t.Errorf("stdout %q", f.out.String())
	}

	f = verifyFake()
	f.verified.Warnings = []string{"look"}
	f.defects = []pipeline.Defect{{Artifact: "bundle.b1-00\x1b[2J", Reason: "hash\nmismatch"}, {Reason: "reading ended here"}}
	if rc := f.run([]string{"verify", "-"}); rc != exitNo || f.err.String() != "swingport: warning: look\n" {
		t.Errorf("exit code %d, stderr %q", rc, f.err.String())
	}
	want := "defect: bundle.b1-00?[2J: hash mismatch\ndefect: reading ended here\n" + summary + "2 defects\n"
	if f.out.String() != want {
		t.Errorf("stdout %q", f.out.String())
	}

	f = verifyFake()
	f.defects = []pipeline.Defect{{Reason: "gone"}}
	if rc := f.run([]string{"verify", "-"}); rc != exitNo || f.out.String() != "defect: gone\n"+summary+"1 defect\n" {
		t.Errorf("exit code %d, stdout %q", rc, f.out.String())
	}
}

// All defects are counted, and the first of them listed.
func TestVerifyAsJSON(t *testing.T) {
	f := verifyFake()
	if rc := f.run([]string{"verify", "-", "--json"}); rc != exitDone || f.err.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", rc, f.err.String())
	}
	want := `{"kind":"archive","blockHeight":17,"artifactMode":"archival","exportData":true,"artifacts":2082,"snapshots":85,"spans":1957,` +
		`"bundles":40,"items":392870,"kvRows":5,"bytes":1240000000,"seconds":4,"mbPerSecond":310,"defectCount":0,"warnings":[],"defects":[]}` + "\n"
	if f.out.String() != want {
		t.Errorf("stdout %s", f.out.String())
	}
	f = verifyFake()
	for i := range maxDefects + 7 {
		f.defects = append(f.defects, pipeline.Defect{Artifact: fmt.Sprint("bundle.", i), Reason: "a < b"})
	}
	if rc := f.run([]string{"verify", "-", "--json"}); rc != exitNo || f.err.Len() > 0 {
		t.Errorf("exit code %d, stderr %q", rc, f.err.String())
	}
	var got struct {
		DefectCount int
		Defects     []pipeline.Defect
	}
	if err := json.Unmarshal(f.out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.DefectCount != maxDefects+7 || !reflect.DeepEqual(got.Defects, f.defects[:maxDefects]) {
		t.Errorf("%d defects, %d listed", got.DefectCount, len(got.Defects))
	}
}

// Nobody reads on: the work is cancelled, and that is a failure whatever was found.
func TestVerifyThatCannotBeWritten(t *testing.T) {
	for _, args := range []string{"verify -", "verify - --json", "diff a b", "diff a b --json"} {
		f := verifyFake()
		f.stdout = brokenWriter{}
		f.defects, f.differences = []pipeline.Defect{{Reason: "gone"}}, []pipeline.Difference{{What: "height", In: pipeline.Both}}
		if rc := f.run(strings.Fields(args)); rc != exitFailed || f.err.String() != "swingport: error: write to stdout: broken\n" {
			t.Errorf("%s: exit code %d, stderr %q", args, rc, f.err.String())
		}
	}
}

func TestDiffOptions(t *testing.T) {
	f := newFake(prefixed("STATE_DIR=s;ARTIFACT_MODE=replay")...)
	if rc := f.run(strings.Fields("diff - b --artifact-mode archival --workers 2 --temp-dir t --max-item 9 --max-window 2KiB")); rc != exitDone {
		t.Fatalf("exit code %d: %s", rc, f.err.String())
	}
	got := f.diffs[0]
	if got.Stdin == nil || got.Status == nil || got.Log != nil || got.Each == nil {
		t.Errorf("stdin %v, status %v, log %v", got.Stdin, got.Status, got.Log)
	}
	got.Stdin, got.Status, got.Each = nil, nil, nil
	want := pipeline.DiffOptions{A: "-", B: "b", ArtifactMode: format.Archival, Workers: 2, TempDir: "t", MaxItem: 9, MaxWindow: 2048}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDiffLines(t *testing.T) {
	f := newFake()
	f.diffed = pipeline.DiffReport{ArtifactMode: "archival", Artifacts: 70, ExportData: true, Keys: 12, Seconds: 0.5}
	f.differences = []pipeline.Difference{
		{What: "height", In: pipeline.Both, Detail: "17 and 18"},
		{What: "artifact", Name: "bundle.b1-00", In: pipeline.OnlyA},
		{What: "artifact", Name: "bundle.b1-01", In: pipeline.OnlyB},
		{What: "artifact", Name: "transcript.v1.0.3", In: pipeline.Both, Detail: "71 and 72 bytes"},
		{What: "export data", Name: "kv.a\x1b\nb", In: pipeline.Both},
	}
	want := `differs: height: 17 and 18
only in A: artifact bundle.b1-00
only in B: artifact bundle.b1-01
differs: artifact transcript.v1.0.3: 71 and 72 bytes
differs: export data kv.a? b
5 differences in 70 artifacts and 12 records of export data (archival), in 0.500 s
`
	if rc := f.run([]string{"diff", "a", "b"}); rc != exitNo || f.out.String() != want || f.err.Len() > 0 {
		t.Errorf("exit code %d, stdout %q, stderr %q", rc, f.out.String(), f.err.String())
	}
	for _, test := range []struct {
		report pipeline.DiffReport
		want   string
	}{
		{pipeline.DiffReport{Artifacts: 1, ExportData: true, Keys: 1, ArtifactMode: "replay"},
			"no differences in 1 artifact and 1 record of export data (replay), in 0.000 s"},
		{pipeline.DiffReport{Artifacts: 2, ArtifactMode: "debug", Differences: 1},
			"1 difference in 2 artifacts, and no export data to compare (debug), in 0.000 s"},
	} {
		if got := diffLine(test.report); got != test.want {
			t.Errorf("%q", got)
		}
	}
}

func TestDiffAsJSON(t *testing.T) {
	f := newFake()
	f.diffed = pipeline.DiffReport{KindA: pipeline.KindStateDir, KindB: pipeline.KindArchive, ArtifactMode: "archival", Artifacts: 70,
		ExportData: true, Keys: 12, Seconds: 0.5, Warnings: []string{}}
	f.differences = []pipeline.Difference{{What: "artifact", Name: "bundle.b1-00", In: pipeline.OnlyA}}
	want := `{"kindA":"state-dir","kindB":"archive","artifactMode":"archival","artifacts":70,"exportData":true,"keys":12,"differenceCount":1,` +
		`"seconds":0.5,"warnings":[],"differences":[{"what":"artifact","name":"bundle.b1-00","in":"a"}]}` + "\n"
	if rc := f.run([]string{"diff", "a", "b", "--json"}); rc != exitNo || f.out.String() != want || f.err.Len() > 0 {
		t.Errorf("exit code %d, stdout %s, stderr %q", rc, f.out.String(), f.err.String())
	}
}
