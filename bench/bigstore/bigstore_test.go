package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"swingport/bench/measure"
	"swingport/testdata"
)

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestReads(t *testing.T) {
	second := file(t, "8:0 rbytes=9 wbytes=1 rios=8 wios=1\n254:0 rbytes=4096000 wbytes=5 rios=1000 wios=1 dbytes=0 dios=0\n")
	if bytes, ops, err := readsOf(second, "254:0"); bytes != 4096000 || ops != 1000 || err != nil {
		t.Errorf("%d bytes, %d reads, %v", bytes, ops, err)
	}
	if bytes, ops, err := readsOf(second, "1:0"); bytes != 0 || ops != 0 || err != nil {
		t.Errorf("of a disk that was not read: %d, %d, %v", bytes, ops, err)
	}
	first := file(t, "8:0 Read 9\n254:0 Read 4096000\n254:0 Write 5\n254:0 Total 4096005\nTotal 4096014\n")
	if n, err := readsOfFirst(first, "254:0"); n != 4096000 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := readsOfFirst(filepath.Join(t.TempDir(), "none"), "254:0"); err == nil {
		t.Error("a file that is not there has an answer")
	}
}

func TestParseMounts(t *testing.T) {
	got := parseMounts("cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\nshort\n")
	want := []mount{{"/sys/fs/cgroup/memory", "cgroup", "rw,relatime,memory"}, {"/sys/fs/cgroup/unified", "cgroup2", "rw"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// What an operational export wants is counted by hand for a store with spans and heaps that it does not want.
func TestWantedBytes(t *testing.T) {
	b := testdata.Build(t)
	b.Span("v1", 0, 0, false, strings.Repeat("old", 100))
	b.Span("v1", 1, 0, true, "item1", "item22")
	b.KV("host.height", "17")
	b.Close()
	n, err := wantedBytes(t.Context(), b.Dir)
	if want := int64(len("item1item22host.height17")); n != want || err != nil {
		t.Errorf("%d, want %d; %v", n, want, err)
	}
}

func TestReport(t *testing.T) {
	of := func(seconds float64) measure.Samples {
		return measure.Samples{{Wall: time.Duration(seconds * 1e9), CPU: time.Second, Peak: 200 << 20, Floor: 10 << 20}}
	}
	var b strings.Builder
	writeReport(&b, []measure.Fact{{What: "store", Is: "1 byte"}}, []result{
		{row: row{name: dd}, Samples: of(10), bytes: 1e9, ops: 1000},
		{row: row{name: "ours"}, Samples: of(11), bytes: 2e9, ops: 123456, wantedBytes: 1e9},
		{row: row{name: "theirs"}, Samples: of(60), stopped: time.Minute},
		{row: row{name: "absent"}, missing: "--reference is missing"},
	})
	want := `- store: 1 byte

| export | runs | wall s: median (min-max) | CPU s | peak MiB | read MB | reads | wall / dd | read / wanted |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
| dd | 1 | 10.00 (10.00-10.00) | 1.00 | 200 | 1000 | 1,000 | 1.00 | - |
| ours | 1 | 11.00 (11.00-11.00) | 1.00 | 200 | 2000 | 123,456 | 1.10 | 2.00 |
| theirs | 1 | > 60 | 1.00 | 200 | 0 | 0 | > 6.00 | - |
| absent | 0 | not run: --reference is missing | | | | | | |
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// Where control groups can be made, a program enters them and becomes another one, and nothing is left of them.
func TestConfine(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: control groups need root")
	}
	// The tree's own file: what is temporary may be on no disk.
	db := filepath.Join(testdata.Dir(t), "stores", "tiny", "swingstore.sqlite")
	group, err := confine(db, limits{64 << 20, 125e6, 3000})
	if err != nil {
		t.Skipf("not run: there are no control groups here: %v", err)
	}
	argv, err := group.command([]string{"/bin/cat", "/proc/self/cgroup"})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil || strings.Count(string(out), "/swingport-bigstore-") != len(group.groups) {
		t.Errorf("%v: %s", err, out)
	}
	if _, _, err := group.reads(); err != nil {
		t.Error(err)
	}
	made := group.made
	if err := group.close(); err != nil {
		t.Error(err)
	}
	for _, dir := range made {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}

// TestMain lets the test's own program enter groups, as the command does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == joinArgument {
		join(os.Args[2:])
	}
	os.Exit(m.Run())
}

func TestErrors(t *testing.T) {
	for _, args := range []string{"", "--store=x y", "--store=x --rounds=0", "--store=x --memory=0", "--store=x --only=(", "--unknown"} {
		if rc := run(strings.Fields(args), io.Discard, io.Discard); rc != 2 {
			t.Errorf("%q: exit code %d", args, rc)
		}
	}
	var stderr strings.Builder
	if rc := run([]string{"--store", testdata.Store(t, "tiny")}, io.Discard, &stderr); rc != 1 || !strings.Contains(stderr.String(), "at least 4000000000 are needed") {
		t.Errorf("exit code %d: %s", rc, stderr.String())
	}
}
