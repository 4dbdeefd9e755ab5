package pipeline

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swingport/testdata"
)

// smallCase is an archive of at most 10 KB that has an entry of each kind, and what is read from it.
type smallCase struct {
	plain, zst []byte
	entries    []testdata.ArchiveEntry
	dump       string
	report     VerifyReport
}

// smallExport is one heap, one bundle and one span, with a few keys.
func smallExport() *madeExport {
	x := handMade()
	x.artifacts[heapOne] = "a heap"
	delete(x.artifacts, spanTwo)
	bundle := x.data[len(x.data)-1]
	x.data = []string{line("kv.a", "some value"), line("kv.b", "1"), line("kv.c", ""),
		line(heapOne, `{"vatID":"v1","snapPos":2,"hash":"`+hexSum("a heap")+`","inUse":1}`), line("snapshot.v1.current", heapOne),
		line("transcript.v1.current", `{"vatID":"v1","startPos":0,"endPos":3,"hash":"`+spanHash("one", "two", "three")+`","isCurrent":1,"incarnation":0}`), bundle}
	return x
}

func small(t *testing.T) smallCase {
	t.Helper()
	dir := smallExport().write(t)
	var c smallCase
	var err error
	c.plain, c.entries = testdata.Archive(t, dir, testdata.ArchiveOptions{})
	c.zst = testdata.ArchiveZstd(c.plain, 4000)
	if len(c.plain) > 10<<10 {
		t.Fatalf("%d bytes", len(c.plain))
	}
	for _, data := range [][]byte{c.plain, c.zst} {
		if c.dump, err = importBytes(t, data); err != nil {
			t.Fatal(err)
		}
		var found []string
		if c.report, found = verifyBytes(t, data); len(found) > 0 {
			t.Fatalf("verify: %q", found)
		}
	}
	o := ImportOptions{StateDir: t.TempDir(), ExportDir: dir}
	if _, err := Import(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if diffs := testdata.CompareDumps(dump(t, o.StateDir), c.dump); diffs != nil {
		t.Fatalf("archive and directory are imported as different stores: %q", diffs)
	}
	return c
}

// importBytes imports into an empty directory and dumps the store, whatever the error says.
func importBytes(t *testing.T, data []byte) (text string, err error) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	_, err = Import(context.Background(), ImportOptions{StateDir: dir, Archive: "-", Stdin: onlyReader{bytes.NewReader(data)}, Workers: 2})
	if left := names(t, dir); err != nil && left != "" {
		t.Fatalf("error %v, and left over: %s", err, left)
	}
	if err != nil {
		return "", err
	}
	text, dumpErr := testdata.Dump(dir)
	if dumpErr != nil {
		t.Fatal(dumpErr)
	}
	return text, nil
}

// verifyBytes returns all that is wrong, what ended the run among it.
func verifyBytes(t *testing.T, data []byte) (report VerifyReport, found []string) {
	t.Helper()
	report, err := Verify(context.Background(), VerifyOptions{Archive: "-", Stdin: onlyReader{bytes.NewReader(data)}, TempDir: os.TempDir(), Workers: 2,
		Defect: func(d Defect) { found = append(found, d.String()) }})
	if err != nil {
		found = append(found, err.Error())
	}
	report.Seconds, report.MBPerSecond = 0, 0
	return report, found
}

// damaged checks an archive with one damage: it has a defect, or it is exactly the undamaged one, to verify and to import.
func (c smallCase) damaged(t *testing.T, what string, data []byte) (accepted bool) {
	t.Helper()
	report, found := verifyBytes(t, data)
	if len(found) > 0 {
		return false
	}
	if fmt.Sprint(report) != fmt.Sprint(c.report) {
		t.Errorf("%s: report %+v", what, report)
	}
	text, err := importBytes(t, data)
	if err != nil {
		t.Errorf("%s: verified, and yet import says %v", what, err)
	} else if text != c.dump {
		t.Errorf("%s: another store: %q", what, testdata.CompareDumps(c.dump, text))
	}
	return true
}

// stride leaves bytes out where a test runs under the race detector or with -short.
func stride() int {
	if testing.Short() {
		return 41
	}
	return 1
}

// An archive that is cut at any byte is not whole, to verify and to import.
func TestArchiveCutAnywhere(t *testing.T) {
	t.Parallel()
	c := small(t)
	for name, data := range map[string][]byte{"tar": c.plain, "tar.zst": c.zst} {
		for n := 0; n < len(data); n += stride() {
			_, found := verifyBytes(t, data[:n])
			whole := false
			if len(found) == 0 {
				whole = name == "tar.zst" && sameContent(c, data[:n])
			}
			if len(found) == 0 && !whole {
				t.Fatalf("%s cut after %d of %d bytes: no defect", name, n, len(data))
			}
			if all := strings.Join(found, "\n"); n > 0 && !whole && !strings.Contains(all, "truncated") {
				t.Errorf("%s cut after %d of %d bytes: %q does not say so", name, n, len(data), found)
			}
		}
	}
}

// sameContent says whether all frames of a cut stream are there: what was cut off is the seek table, and the cut is where it began.
func sameContent(c smallCase, cut []byte) bool {
	dec, err := zstd.NewReader(bytes.NewReader(cut))
	if err != nil {
		return false
	}
	defer dec.Close()
	plain, err := io.ReadAll(dec)
	return err == nil && bytes.Equal(plain, c.plain)
}

// Import says of a cut archive that it is truncated: at every boundary of entries, a byte before and behind, and each 64th byte.
func TestArchiveImportCut(t *testing.T) {
	t.Parallel()
	c := small(t)
	for name, data := range map[string][]byte{"tar": c.plain, "tar.zst": c.zst} {
		cuts := map[int]bool{}
		for n := 0; n < len(data); n += 64 {
			cuts[n] = true
		}
		for _, e := range c.entries {
			for _, at := range []int64{e.Header, e.Offset, e.Offset + e.Size, e.End} {
				for d := -1; d <= 1; d++ {
					if n := int(at) + d; n >= 0 && n < len(data) {
						cuts[n] = true
					}
				}
			}
		}
		for n := range cuts {
			if testing.Short() && n%7 > 0 {
				continue
			}
			if _, err := importBytes(t, data[:n]); err == nil && !sameContent(c, data[:n]) {
				t.Errorf("%s cut after %d of %d bytes: imported", name, n, len(data))
			} else if n > 0 && err != nil && (!errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "truncated")) {
				t.Errorf("%s cut after %d of %d bytes: %v", name, n, len(data), err)
			}
		}
	}
}

// A bit that is flipped anywhere is a defect, or changes nothing at all.
func TestArchiveFlippedAnywhere(t *testing.T) {
	t.Parallel()
	c := small(t)
	for name, whole := range map[string][]byte{"tar": c.plain, "tar.zst": c.zst} {
		accepted := 0
		for n := 0; n < len(whole); n += stride() {
			data := slices.Clone(whole)
			data[n] ^= 1 << (n % 8)
			if c.damaged(t, fmt.Sprintf("%s, byte %d of %d", name, n, len(whole)), data) {
				accepted++
			}
		}
		t.Logf("%s: %d of %d flips change nothing", name, accepted, len(whole)/stride())
	}
}

// Import takes no flipped archive but as what it was: each 64th byte, all eight bits at once.
func TestArchiveImportFlipped(t *testing.T) {
	t.Parallel()
	c := small(t)
	for name, whole := range map[string][]byte{"tar": c.plain, "tar.zst": c.zst} {
		for n := 0; n < len(whole); n += 64 * min(stride(), 5) {
			data := slices.Clone(whole)
			data[n] ^= 0xff
			if text, err := importBytes(t, data); err == nil && text != c.dump {
				t.Errorf("%s, byte %d of %d: another store: %q", name, n, len(whole), testdata.CompareDumps(c.dump, text))
			}
		}
	}
}

// A tar that another program made and that is cut before its end is not whole.
func TestForeignCut(t *testing.T) {
	t.Parallel()
	dir := smallExport().write(t)
	for _, o := range []testdata.ForeignOptions{{}, {Reverse: true, Prefix: "./"}} {
		data := testdata.ForeignTar(t, dir, o)
		if _, err := importBytes(t, data); err != nil {
			t.Fatal(err)
		}
		for n := 0; n <= len(data)-512; n += min(stride(), 7) {
			if n%512 > 2 && n%512 < 510 && n%31 > 0 {
				continue
			}
			if _, found := verifyBytes(t, data[:n]); len(found) == 0 || n > 0 && !strings.Contains(strings.Join(found, "\n"), "truncated") {
				t.Fatalf("cut after %d of %d bytes: %q", n, len(data), found)
			}
			if n%512 > 0 {
				continue
			}
			if _, err := importBytes(t, data[:n]); err == nil {
				t.Fatalf("cut after %d of %d bytes: imported", n, len(data))
			}
		}
	}
}

// foreignTars are what GNU tar, bsdtar and others make of one directory: all are the same store.
func TestForeignTars(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(testdata.Dir(t), "exports", "tiny", "archival")
	o := ImportOptions{StateDir: t.TempDir(), ExportDir: dir}
	if _, err := Import(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	want := dump(t, o.StateDir)
	for _, c := range foreignCases {
		t.Run(c.name, func(t *testing.T) {
			data := testdata.ForeignTar(t, dir, c.o)
			text, err := importBytes(t, data)
			if err != nil {
				t.Fatal(err)
			}
			if diffs := testdata.CompareDumps(want, text); diffs != nil {
				t.Errorf("another store: %.2000q", diffs)
			}
			if _, found := verifyBytes(t, data); found != nil {
				t.Errorf("verify: %q", found)
			}
		})
	}
}

var foreignCases = []struct {
	name string
	o    testdata.ForeignOptions
}{
	{"GNU", testdata.ForeignOptions{}},
	{"PAX", testdata.ForeignOptions{Format: tar.FormatPAX}},
	{"names from the last one", testdata.ForeignOptions{Reverse: true}},
	{"dot", testdata.ForeignOptions{Prefix: "./"}},
	{"dot, without an entry for it", testdata.ForeignOptions{Prefix: "./", NoDir: true}},
	{"folder", testdata.ForeignOptions{Prefix: "export/"}},
	{"folder, names from the last one", testdata.ForeignOptions{Prefix: "export/", Reverse: true}},
	{"folder, without an entry for it, PAX", testdata.ForeignOptions{Prefix: "export/", NoDir: true, Format: tar.FormatPAX}},
	{"manifest first", testdata.ForeignOptions{First: []string{"export-manifest.json"}}},
	{"export data first", testdata.ForeignOptions{First: []string{"export-data.jsonl"}}},
	{"manifest first, then export data", testdata.ForeignOptions{First: []string{"export-manifest.json", "export-data.jsonl"}}},
}
