package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"swingport/format"
	"swingport/pipeline"
)

func listFake() *fake {
	f := newFake()
	f.listing = pipeline.Listing{Kind: pipeline.KindArchive, BlockHeight: 10000001, ArtifactMode: "archival", ExportData: true,
		Snapshots: format.GzipSnapshots, Bytes: 1_238_000_000, CompressedBytes: 367_000_000, Seekable: true,
		Kinds: pipeline.ListKinds{Snapshots: pipeline.ListCount{Count: 85, Bytes: 379e6}, Spans: pipeline.ListCount{Count: 431957, Bytes: 616e6},
			Bundles: pipeline.ListCount{Count: 40, Bytes: 8e6}, ExportData: pipeline.ListCount{Count: 1, Bytes: 235e6}}}
	f.entries = []pipeline.ListEntry{
		{Name: "snapshot.v1.2", Kind: pipeline.ListSnapshot, Packed: true, Bytes: 27, SHA256: "ab"},
		{Name: "transcript.v\x1b[2J\n.0.3", Kind: pipeline.ListSpan, Bytes: 1 << 50},
	}
	return f
}

const listTable = `archive at height 10000001 (archival), snapshots gzip, file of 367 MB

kind             files      bytes
snapshots           85     379 MB
spans           431957     616 MB
bundles             40    8.00 MB
export data          1     235 MB
total           432083    1.24 GB
`

func TestListTable(t *testing.T) {
	f := listFake()
	if rc := f.run([]string{"list", "a.tar"}); rc != exitDone || f.out.String() != listTable || f.err.Len() > 0 || f.lists[0].Each != nil {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", rc, f.err.String(), f.out.String())
	}
	f = listFake()
	want := "           27  snapshot.v1.2.gz\n1125899906842624  transcript.v?[2J .0.3\n\n" + listTable
	if rc := f.run([]string{"list", "--long", "a.tar"}); rc != exitDone || f.out.String() != want || f.err.Len() > 0 {
		t.Errorf("exit code %d, stderr %q, stdout\n%s", rc, f.err.String(), f.out.String())
	}
	f = newFake()
	f.listing = pipeline.Listing{Kind: pipeline.KindExportDir, Snapshots: format.RawSnapshots}
	want = `export directory at height 0 (no artifact mode)

kind             files      bytes
snapshots            0        0 B
spans                0        0 B
bundles              0        0 B
export data          0        0 B
total                0        0 B
without export data: this cannot be imported
`
	if rc := f.run([]string{"list", "d"}); rc != exitDone || f.out.String() != want {
		t.Errorf("exit code %d, stdout\n%s", rc, f.out.String())
	}
}

func TestListAsJSON(t *testing.T) {
	const listing = `"kind":"archive","blockHeight":10000001,"artifactMode":"archival","exportData":true,"snapshots":"gzip",` +
		`"kinds":{"snapshots":{"count":85,"bytes":379000000},"spans":{"count":431957,"bytes":616000000},"bundles":{"count":40,"bytes":8000000},` +
		`"exportData":{"count":1,"bytes":235000000}},"bytes":1238000000,"compressedBytes":367000000,"seekable":true}` + "\n"
	f := listFake()
	if rc := f.run([]string{"list", "a.tar", "--json"}); rc != exitDone || f.out.String() != "{"+listing {
		t.Errorf("exit code %d, stdout %s", rc, f.out.String())
	}
	f = listFake()
	want := `{"entries":[
{"name":"snapshot.v1.2","kind":"snapshot","packed":true,"bytes":27,"sha256":"ab"},
{"name":"transcript.v\u001b[2J\n.0.3","kind":"span","bytes":1125899906842624}
],` + listing
	if rc := f.run([]string{"list", "a.tar", "--json", "--long"}); rc != exitDone || f.out.String() != want || !json.Valid(f.out.Bytes()) {
		t.Errorf("exit code %d, stdout %s", rc, f.out.String())
	}
	f.out.Reset()
	f.entries = nil
	if f.run([]string{"list", "a.tar", "--json", "--long"}); f.out.String() != "{\"entries\":[\n],"+listing {
		t.Errorf("stdout %s", f.out.String())
	}
}

// What is there is shown also when the end is not: but no table, and no object.
func TestListThatFails(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"list a.tar --long", "           27  snapshot.v1.2.gz\n"},
		{"list a.tar", ""},
		{"list a.tar --json --long", ""},
	} {
		f := listFake()
		f.entries, f.fail = f.entries[:1], errors.New("boom")
		if rc := f.run(strings.Fields(test.args)); rc != exitFailed || f.out.String() != test.want || f.err.String() != "swingport: error: boom\n" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", test.args, rc, f.out.String(), f.err.String())
		}
	}
}

// Long lists come in pages of whole lines, and end when nobody reads on.
func TestLongLists(t *testing.T) {
	f := listFake()
	f.entries = nil
	for i := range 10000 {
		f.entries = append(f.entries, pipeline.ListEntry{Name: fmt.Sprint("bundle.b1-", i), Kind: pipeline.ListBundle})
	}
	var sizes []int
	f.stdout = writerFunc(func(p []byte) (int, error) {
		sizes = append(sizes, len(p))
		if p[len(p)-1] != '\n' {
			t.Errorf("a page ends in %q", p[len(p)-20:])
		}
		return len(p), nil
	})
	if rc := f.run([]string{"list", "--long", "a.tar"}); rc != exitDone || len(sizes) < 3 || sizes[0] > pageBytes+100 {
		t.Errorf("exit code %d, pages of %d bytes", rc, sizes)
	}
	f.stdout = brokenWriter{}
	if rc := f.run([]string{"list", "--long", "a.tar"}); rc != exitFailed || f.err.String() != "swingport: error: write to stdout: broken\n" {
		t.Errorf("exit code %d, stderr %q", rc, f.err.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestListAndExtractOptions(t *testing.T) {
	f := newFake()
	if rc := f.run(strings.Fields("list - --temp-dir t --max-window 2KiB")); rc != exitDone {
		t.Fatalf("exit code %d: %s", rc, f.err.String())
	}
	list := f.lists[0]
	if list.Stdin == nil || list.Status == nil {
		t.Errorf("stdin %v, status %v", list.Stdin, list.Status)
	}
	list.Stdin, list.Status = nil, nil
	if want := (pipeline.ListOptions{Path: "-", TempDir: "t", MaxWindow: 2048}); !reflect.DeepEqual(list, want) {
		t.Errorf("got  %+v\nwant %+v", list, want)
	}
	if rc := f.run(strings.Fields("extract a.tar x y --to d --temp-dir t --max-window 2KiB")); rc != exitDone {
		t.Fatalf("exit code %d: %s", rc, f.err.String())
	}
	extract := f.extracts[0]
	if extract.Stdin == nil || extract.Status == nil || extract.Stdout == nil {
		t.Errorf("stdin %v, status %v", extract.Stdin, extract.Status)
	}
	extract.Stdin, extract.Stdout, extract.Status = nil, nil, nil
	want := pipeline.ExtractOptions{Path: "a.tar", Names: []string{"x", "y"}, To: "d", TempDir: "t", MaxWindow: 2048}
	if !reflect.DeepEqual(extract, want) {
		t.Errorf("got  %+v\nwant %+v", extract, want)
	}
}

// The summary of what went to stdout is for who asks, on stderr.
func TestExtractSummary(t *testing.T) {
	for _, test := range []struct{ args, out, err string }{
		{"extract a.tar --to d", "extracted 3 files: 27 B in 0.500 s\n", ""},
		{"extract a.tar --to d --json", `{"files":3,"bytes":27,"seconds":0.5}` + "\n", ""},
		{"extract a.tar n", "", ""},
		{"extract a.tar n --json", "", `{"files":3,"bytes":27,"seconds":0.5}` + "\n"},
	} {
		f := newFake()
		f.extracted = pipeline.ExtractSummary{Files: 3, Bytes: 27, Seconds: 0.5}
		if rc := f.run(strings.Fields(test.args)); rc != exitDone || f.out.String() != test.out || f.err.String() != test.err {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", test.args, rc, f.out.String(), f.err.String())
		}
	}
	f := newFake()
	f.fail = &pipeline.MissingError{Name: "bundle.b1-00"}
	want := "swingport: error: the archive has no \"bundle.b1-00\"\nswingport: hint: swingport list --long shows what is there\n"
	if rc := f.run([]string{"extract", "a.tar", "bundle.b1-00"}); rc != exitNo || f.err.String() != want {
		t.Errorf("exit code %d, stderr %q", rc, f.err.String())
	}
}
