package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// trusted is a hand-made export with a value that Go writes otherwise, and the two hashes of its export data.
func trusted(t *testing.T) (dir, sum, genesis string) {
	t.Helper()
	x := handMade()
	x.data = append([]string{`["kv.markup","<&>"]`, `["kv.gone",null]`}, x.data...)
	text := strings.Join(x.data, "\n") + "\n"
	again := strings.NewReplacer(`"<&>"`, `"\u003c\u0026\u003e"`, `,null]`, `]`).Replace(text)
	return x.write(t), hexSum(text), "sha256:" + hexSum(again)
}

// trustForms are the forms in which an export comes. The first is a directory.
func trustForms(t *testing.T, dir string) map[string]func() ImportOptions {
	t.Helper()
	own, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{})
	packed, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{Zstd: true, FrameSize: 3000})
	foreign := testdata.ForeignTar(t, dir, testdata.ForeignOptions{Prefix: "./"})
	forms := map[string]func() ImportOptions{"directory": func() ImportOptions { return ImportOptions{ExportDir: dir} }}
	for name, data := range map[string][]byte{"ours": own, "ours, packed": packed, "foreign": foreign} {
		forms[name] = func() ImportOptions { return ImportOptions{Archive: "-", Stdin: io.MultiReader(bytes.NewReader(data))} }
	}
	return forms
}

var (
	otherSum     = strings.Repeat("0123456789abcdef", 4)
	otherGenesis = "sha256:" + otherSum
)

// Export data that is what it should be is imported, and the summary has both hashes.
func TestImportTrusted(t *testing.T) {
	t.Parallel()
	dir, sum, genesis := trusted(t)
	for form, options := range trustForms(t, dir) {
		o := options()
		o.StateDir, o.Trust = t.TempDir(), Trust{ExportDataSHA256: strings.ToUpper(sum), GenesisHash: genesis}
		got, err := Import(context.Background(), o)
		if err != nil || got.ExportDataSHA256 != sum || got.GenesisHash != genesis || len(got.Warnings) > 0 {
			t.Errorf("%s: %+v, %v; want %s and %s", form, got, err, sum, genesis)
		}
		o = options()
		o.StateDir, o.HashGenesis = t.TempDir(), true
		if got, err := Import(context.Background(), o); err != nil || got.GenesisHash != genesis {
			t.Errorf("%s: %+v, %v; want %s", form, got, err, genesis)
		}
		o = options()
		o.StateDir = t.TempDir()
		if got, err := Import(context.Background(), o); err != nil || got.GenesisHash != "" {
			t.Errorf("%s: %+v, %v; nobody asked for the genesis hash", form, got, err)
		}
	}
}

// distrusts are expectations that the export of trusted does not meet, and the errors.
func distrusts(sum, genesis string) map[string]struct {
	Trust
	want []string
} {
	type c = struct {
		Trust
		want []string
	}
	wrongSum := "the sha256 of the export data is " + sum + ", and should be " + otherSum
	wrongGenesis := "the genesis hash of the export data is " + genesis + ", and should be " + otherGenesis
	return map[string]c{
		"sha256":           {Trust{ExportDataSHA256: otherSum}, []string{wrongSum}},
		"genesis hash":     {Trust{GenesisHash: otherGenesis}, []string{wrongGenesis}},
		"both":             {Trust{ExportDataSHA256: otherSum, GenesisHash: otherGenesis}, []string{wrongGenesis, wrongSum}},
		"one of them":      {Trust{ExportDataSHA256: sum, GenesisHash: otherGenesis}, []string{wrongGenesis}},
		"one as the other": {Trust{GenesisHash: "sha256:" + sum}, []string{strings.ReplaceAll(wrongGenesis, otherGenesis, "sha256:"+sum)}},
	}
}

// Export data that is not what it should be leaves the old store as it was. Of a directory no artifact was opened by then.
func TestImportDistrusted(t *testing.T) {
	t.Parallel()
	dir, sum, genesis := trusted(t)
	for what, c := range distrusts(sum, genesis) {
		for form, options := range trustForms(t, dir) {
			t.Run(what+"/"+form, func(t *testing.T) {
				o := options()
				o.StateDir, o.Trust = oldStore(t), c.Trust
				before := content(t, o.StateDir)
				fsys, opened := openedFiles()
				_, err := importInto(context.Background(), o, fsys)
				if !errors.As(err, new(*UntrustedError)) {
					t.Fatalf("error %v", err)
				}
				for _, text := range c.want {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("error %v; want %s", err, text)
					}
				}
				same(t, o.StateDir, before)
				for _, name := range opened() {
					if _, err := format.ParseName(name); err == nil {
						t.Errorf("%s was opened", name)
					}
				}
			})
		}
	}
}

// openedFiles is a file layer that notes the names of the files that are opened.
func openedFiles() (fsys *stages.FS, opened func() []string) {
	var mu sync.Mutex
	var list []string
	fsys = &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpOpen {
			mu.Lock()
			defer mu.Unlock()
			list = append(list, filepath.Base(op.Path))
		}
		return nil
	}}
	return fsys, func() []string { return list }
}

// Metadata of export data that is not what it should be is not added to a store.
func TestRepairDistrusted(t *testing.T) {
	t.Parallel()
	dir, sum, genesis := trusted(t)
	for form, options := range trustForms(t, dir) {
		o := options()
		o.StateDir = lost(t, "DELETE FROM transcriptSpans WHERE startPos = 0")
		o.ExportDataMode, o.ArtifactMode, o.CheckBlockHeight = format.RepairMetadata, format.None, height(1000)
		text := dump(t, o.StateDir)
		o.Trust = Trust{ExportDataSHA256: sum, GenesisHash: otherGenesis}
		if _, err := Import(context.Background(), o); !errors.As(err, new(*UntrustedError)) {
			t.Errorf("%s: error %v", form, err)
		}
		if dump(t, o.StateDir) != text {
			t.Errorf("%s: the store was changed", form)
		}
		o.Stdin, o.Trust = options().Stdin, Trust{ExportDataSHA256: sum, GenesisHash: genesis}
		if got, err := Import(context.Background(), o); err != nil || got.GenesisHash != genesis {
			t.Errorf("%s: %+v, %v", form, got, err)
		}
		if dump(t, o.StateDir) == text {
			t.Errorf("%s: nothing was repaired", form)
		}
	}
}

// What there is no hash of is not trusted.
func TestImportNoGenesisHash(t *testing.T) {
	t.Parallel()
	x := handMade()
	x.data = append(x.data, `["kv.more","a",1]`)
	dir := x.write(t)
	reason := fmt.Sprintf("the chain does not read line %d of the export data: it has more than a key and a value", len(x.data))
	o := ImportOptions{StateDir: t.TempDir(), ExportDir: dir, Trust: Trust{GenesisHash: otherGenesis}}
	_, err := Import(context.Background(), o)
	want := "the genesis hash of the export data should be " + otherGenesis + ", and is not known: " + reason
	if !errors.As(err, new(*UntrustedError)) || !errors.Is(err, format.ErrFormat) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("error %v; want %s", err, want)
	}
	o.Trust = Trust{HashGenesis: true}
	if got, err := Import(context.Background(), o); err != nil || got.GenesisHash != "" || !slices.Equal(got.Warnings, []string{"the export data has no genesis hash: " + reason}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// An export without export data is never taken for the one that is meant.
func TestTrustWithoutExportData(t *testing.T) {
	t.Parallel()
	dir, r := testdata.Export(t, "tiny", "archival", "skip")
	if r.RC != 0 {
		t.Fatal(r.Error)
	}
	full, _ := testdata.Export(t, "tiny", "archival", "all")
	own, _ := testdata.Archive(t, full, testdata.ArchiveOptions{NoExportData: true})
	archive := archiveFile(t, "own.tar", own)
	for form, o := range map[string]VerifyOptions{"directory": {ExportDir: dir}, "archive": {Archive: archive}} {
		if _, err := Import(context.Background(), ImportOptions{StateDir: t.TempDir(), ExportDir: o.ExportDir, Archive: o.Archive,
			Trust: Trust{ExportDataSHA256: otherSum}}); !errors.Is(err, ErrNoExportData) {
			t.Errorf("%s: error %v", form, err)
		}
		o.Trust = Trust{ExportDataSHA256: otherSum, GenesisHash: otherGenesis}
		if _, got := verified(t, o); len(got) != 2 || !strings.HasPrefix(got[0], "the genesis hash of the export data should be "+otherGenesis+", and is not known: ") ||
			!strings.HasPrefix(got[1], "the sha256 of the export data should be "+otherSum+", and is not known: ") {
			t.Errorf("%s: defects %q", form, got)
		}
		o.Trust = Trust{HashGenesis: true}
		if r, got := verified(t, o); len(got) > 0 || !slices.Contains(r.Warnings, "the export data has no genesis hash: "+ErrNoExportData.Error()) {
			t.Errorf("%s: %+v, defects %q", form, r, got)
		}
	}
}

// Verify says what is not as it should be, and what the hashes are.
func TestVerifyTrust(t *testing.T) {
	t.Parallel()
	dir, sum, genesis := trusted(t)
	for form, options := range trustForms(t, dir) {
		run := func(trust Trust) (VerifyReport, []string) {
			o := options()
			return verified(t, VerifyOptions{ExportDir: o.ExportDir, Archive: o.Archive, Stdin: o.Stdin, Trust: trust})
		}
		if r, got := run(Trust{ExportDataSHA256: sum, GenesisHash: genesis}); len(got) > 0 || r.ExportDataSHA256 != sum || r.GenesisHash != genesis {
			t.Errorf("%s: %+v, defects %q", form, r, got)
		}
		if r, got := run(Trust{HashGenesis: true}); len(got) > 0 || r.GenesisHash != genesis {
			t.Errorf("%s: %+v, defects %q", form, r, got)
		}
		if r, got := run(Trust{}); len(got) > 0 || r.ExportDataSHA256 != sum || r.GenesisHash != "" {
			t.Errorf("%s: %+v, defects %q", form, r, got)
		}
		for what, c := range distrusts(sum, genesis) {
			if r, got := run(c.Trust); !slices.Equal(got, c.want) || r.Artifacts != 4 {
				t.Errorf("%s, %s: %d artifacts, defects %q; want %q", form, what, r.Artifacts, got, c.want)
			}
		}
	}
}

// Of an archive that was cut, the hashes are not known.
func TestVerifyTrustOfCutArchive(t *testing.T) {
	dir, sum, _ := trusted(t)
	own, entries := testdata.Archive(t, dir, testdata.ArchiveOptions{})
	data := entries[slices.IndexFunc(entries, func(e testdata.ArchiveEntry) bool { return e.Name == format.ExportDataFile })]
	r, got := verified(t, VerifyOptions{Archive: "-", Stdin: bytes.NewReader(own[:data.Offset+100]), Trust: Trust{ExportDataSHA256: sum}})
	want := "the sha256 of the export data should be " + sum + ", and is not known: the export data was not read to its end"
	if len(got) != 2 || !slices.Contains(got, want) || r.ExportDataSHA256 != "" {
		t.Errorf("%+v, defects %q; want %s", r, got, want)
	}
}

// The hashes of a store are those of what an export of it writes, and of a damaged one there are none.
func TestVerifyTrustOfStore(t *testing.T) {
	t.Parallel()
	for _, store := range testdata.Stores {
		state := testdata.Store(t, store)
		dir, r := testdata.Export(t, store, "operational", "all")
		if r.RC != 0 {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, format.ExportDataFile))
		if err != nil {
			t.Fatal(err)
		}
		g := format.NewGenesisHash()
		g.Lines(data)
		genesis, err := g.Sum()
		if err != nil {
			t.Fatal(err)
		}
		sum := fmt.Sprintf("%x", sha256.Sum256(data))
		if r, got := verified(t, VerifyOptions{StateDir: state, Trust: Trust{ExportDataSHA256: sum, GenesisHash: genesis}}); len(got) > 0 || r.GenesisHash != genesis || r.ExportDataSHA256 != sum {
			t.Errorf("%s: %+v, defects %q", store, r, got)
		}
		if _, got := verified(t, VerifyOptions{StateDir: state, Trust: Trust{ExportDataSHA256: otherSum}}); !slices.Equal(got,
			[]string{"the sha256 of the export data is " + sum + ", and should be " + otherSum}) {
			t.Errorf("%s: defects %q", store, got)
		}
	}
	state := lost(t, "UPDATE transcriptSpans SET hash = '00' WHERE startPos = 0")
	if r, got := verified(t, VerifyOptions{StateDir: state, Trust: Trust{ExportDataSHA256: otherSum}}); r.ExportDataSHA256 != "" || !slices.Contains(got,
		"the sha256 of the export data should be "+otherSum+", and is not known: the store has defects") {
		t.Errorf("%+v, defects %q", r, got)
	}
}

// An export tells the genesis hash of what it wrote, and why there is none.
func TestExportGenesisHash(t *testing.T) {
	t.Parallel()
	b := goodStore(t)
	b.KV("markup", "<&>")
	b.Close()
	dir, sum, err := runExport(t, ExportOptions{StateDir: b.Dir, ExportDataMode: format.All, HashGenesis: true})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := verified(t, VerifyOptions{ExportDir: dir, Trust: Trust{HashGenesis: true}})
	if sum.GenesisHash == "" || sum.GenesisHash != r.GenesisHash || sum.GenesisHash == "sha256:"+sum.ExportDataSHA256 {
		t.Errorf("exported %s, verified %s", sum.GenesisHash, r.GenesisHash)
	}
	_, again, err := toArchive(t, ExportOptions{StateDir: b.Dir, HashGenesis: true}, "a.tar")
	if err != nil || again.GenesisHash != sum.GenesisHash {
		t.Errorf("in an archive: %s, %v; in a directory %s", again.GenesisHash, err, sum.GenesisHash)
	}
	if _, _, err := runExport(t, ExportOptions{StateDir: b.Dir, HashGenesis: true}); err == nil {
		t.Error("an export without export data has a genesis hash")
	}
	odd := testdata.Open(t, b.Dir)
	odd.KV("blob", []byte{1})
	odd.Close()
	_, sum, err = runExport(t, ExportOptions{StateDir: b.Dir, ExportDataMode: format.All, HashGenesis: true})
	if err != nil || sum.GenesisHash != "" || !slices.ContainsFunc(sum.Warnings, func(w string) bool {
		return strings.HasPrefix(w, "the export data has no genesis hash: the chain does not read line 1 of the export data: value must be a string")
	}) {
		t.Errorf("%+v, %v", sum, err)
	}
}

func TestParseTrust(t *testing.T) {
	upper := strings.ToUpper(otherSum)
	for _, test := range []struct{ in, sum, genesis string }{
		{otherSum, otherSum, ""}, {upper, otherSum, ""}, {otherGenesis, "", otherGenesis}, {"sha256:" + upper, "", otherGenesis},
		{"", "", ""}, {otherSum[1:], "", ""}, {otherSum + "0", "", ""}, {otherSum[1:] + "g", "", ""}, {" " + otherSum, "", ""}, {"0x" + otherSum[2:], "", ""},
		{"sha256:", "", ""}, {"sha256:" + otherSum[2:], "", ""}, {"SHA256:" + otherSum, "", ""}, {"sha512:" + otherSum, "", ""}, {"sha256:sha256:" + otherSum, "", ""},
	} {
		sum, err := ParseSHA256(test.in)
		if sum != test.sum || (err == nil) != (sum != "") {
			t.Errorf("ParseSHA256(%q): %q, %v", test.in, sum, err)
		}
		genesis, err := ParseGenesisHash(test.in)
		if genesis != test.genesis || (err == nil) != (genesis != "") {
			t.Errorf("ParseGenesisHash(%q): %q, %v", test.in, genesis, err)
		}
		if test.in == "" {
			continue
		}
		wrong := Trust{ExportDataSHA256: test.in, GenesisHash: otherGenesis}
		if test.sum != "" {
			wrong = Trust{GenesisHash: test.in}
		}
		if _, err := Import(context.Background(), ImportOptions{StateDir: t.TempDir(), ExportDir: t.TempDir(), Trust: wrong}); err == nil || !strings.Contains(err.Error(), "64 hexadecimal digits") {
			t.Errorf("Import with %q: %v", test.in, err)
		}
		if _, err := Verify(context.Background(), VerifyOptions{ExportDir: t.TempDir(), Trust: wrong}); err == nil || !strings.Contains(err.Error(), "64 hexadecimal digits") {
			t.Errorf("Verify with %q: %v", test.in, err)
		}
	}
}
