package main

import (
	"reflect"
	"strings"
	"testing"

	"swingport/format"
	"swingport/pipeline"
)

func TestCopyOptions(t *testing.T) {
	for _, test := range []struct {
		env, args string
		want      pipeline.CopyOptions
	}{
		{"", "--to-state-dir t", pipeline.CopyOptions{StateDir: defaultDir, ToStateDir: "t"}},
		{"STATE_DIR=s;ARTIFACT_MODE=nonsense;EXPORT_DIR=e", "--to-state-dir t", pipeline.CopyOptions{StateDir: "s", ToStateDir: "t"}},
		{"", "--home h --to-state-dir t --artifact-mode operational", pipeline.CopyOptions{StateDir: "h/data/agoric", ToStateDir: "t", ArtifactMode: format.Operational}},
		{"", "--state-dir s --to-state-dir t --artifact-mode auto --check-block-height 7 --no-check --keep-old --reader engine --workers 2 --temp-dir x --max-item 1GiB",
			pipeline.CopyOptions{StateDir: "s", ToStateDir: "t", ArtifactMode: pipeline.AutoMode, CheckBlockHeight: at(7), NoCheck: true, KeepOld: true,
				Reader: pipeline.ReaderEngine, Workers: 2, TempDir: "x", MaxItem: 1 << 30}},
	} {
		f := newFake(prefixed(test.env)...)
		if rc := f.run(append([]string{"copy"}, strings.Fields(test.args)...)); rc != exitDone {
			t.Fatalf("%q: exit code %d: %s", test.args, rc, f.err.String())
		}
		got := f.copies[0]
		if got.Status == nil || got.Log != nil {
			t.Errorf("%q: status %v, log %v", test.args, got.Status, got.Log)
		}
		got.Status, got.Live = nil, pipeline.Live{}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got  %+v\nwant %+v", test.args, got, test.want)
		}
	}
}

// Both sizes are what a copy is for.
func TestCopySummary(t *testing.T) {
	f := newFake()
	f.copied = pipeline.CopySummary{Summary: pipeline.Summary{BlockHeight: 10000001, ArtifactMode: "operational", Artifacts: 170, Bytes: 5e9, Seconds: 10,
		Warnings: []string{"look"}}, FromBytes: 147e9, ToBytes: 5.1e9}
	want := "copied 170 artifacts at height 10000001 (operational): 5.00 GB in 10 s, 500 MB/s; database of 5.10 GB, from 147 GB\n"
	if rc := f.run([]string{"copy", "--to-state-dir", "t"}); rc != exitDone || f.out.String() != want || f.err.String() != "swingport: warning: look\n" {
		t.Errorf("exit code %d, stdout %q, stderr %q", rc, f.out.String(), f.err.String())
	}
	f.out.Reset()
	want = `{"blockHeight":10000001,"artifactMode":"operational","artifacts":170,"snapshots":0,"spans":0,"bundles":0,"items":0,"kvRows":0,` +
		`"bytes":5000000000,"seconds":10,"mbPerSecond":0,"exportDataSHA256":"","warnings":["look"],"defects":[],"fromBytes":147000000000,"toBytes":5100000000}` + "\n"
	if rc := f.run([]string{"copy", "--to-state-dir", "t", "--json"}); rc != exitDone || f.out.String() != want {
		t.Errorf("exit code %d, stdout %s", rc, f.out.String())
	}
}
