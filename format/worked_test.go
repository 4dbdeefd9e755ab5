package format

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

// workedExample is the files in FORMAT.md, with the newline that a block ends with.
func workedExample(t *testing.T) (page string, files map[string]string) {
	t.Helper()
	data, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for _, m := range regexp.MustCompile("(?ms)^```\\w+ file=(\\S+)\n(.*?)^```$").FindAllStringSubmatch(string(data), -1) {
		files[m[1]] = m[2]
	}
	return string(data), files
}

func TestWorkedExample(t *testing.T) {
	page, files := workedExample(t)
	text := strings.TrimSuffix(files[ManifestFile], "\n")
	m, err := ReadManifest(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	w := NewManifestWriter(&again, m.BlockHeight, m.ArtifactMode)
	kinds := map[Kind]int{}
	for _, a := range m.Artifacts.All() {
		name, err := ParseName(a.Name)
		if err != nil {
			t.Fatal(err)
		}
		kinds[name.Kind]++
		if _, ok := files[a.File]; !ok {
			t.Errorf("%s is not on the page", a.File)
		}
		if err := w.Add(a.Name, a.File); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(m.Data); err != nil || again.String() != text {
		t.Errorf("manifest came out as\n%s\n%v", &again, err)
	}
	if kinds[KindSnapshot] != 1 || kinds[KindTranscript] != 2 || kinds[KindBundle] != 1 || len(files) != 6 {
		t.Errorf("kinds %v, %d files", kinds, len(files))
	}
	checkWorkedData(t, page, files[m.Data], files)
}

// checkWorkedData writes each line again and checks the artifact of each record.
func checkWorkedData(t *testing.T, page, data string, files map[string]string) {
	var out []byte
	for line := range strings.Lines(data) {
		e := mustParse(t, []byte(line))
		var err error
		if out, err = appendEntry(out, e); err != nil {
			t.Fatal(err)
		}
		switch string(e.Tag()) {
		case "snapshot":
			s, current, err := ParseSnapshot(e.Key, e.Value)
			if file := files[string(e.Key)]; err == nil && !current && sha256hex(file) != s.Hash {
				t.Errorf("%s has hash %s", e.Key, sha256hex(file))
			}
		case "transcript":
			checkWorkedSpan(t, page, e, files)
		case "bundle":
			// The id of a b0 bundle is the hash of its text.
			if id := "b0-" + sha256hex(strings.TrimSuffix(files[string(e.Key)], "\n")); id != string(e.Value) {
				t.Errorf("%s has id %s", e.Key, id)
			}
		}
	}
	if string(out) != data {
		t.Errorf("export data came out as\n%s", out)
	}
}

// checkWorkedSpan compares the hash, and for the first span each line of the
// table of hashes.
func checkWorkedSpan(t *testing.T, page string, e *Entry, files map[string]string) {
	s, err := ParseSpan(e.Key, e.Value)
	if err != nil {
		t.Fatal(err)
	}
	name := string(AppendSpanName(nil, s.VatID, s.Start, s.End.V))
	var h SpanHash
	for _, item := range items(t, []byte(files[name]), 5) {
		h.Add([]byte(item))
		row := "| `" + item + "` | `" + sha256hex(item) + "` | `" + h.Sum() + "` |"
		if s.Start == 0 && !strings.Contains(page, row) {
			t.Errorf("the page lacks %s", row)
		}
	}
	if h.Sum() != s.Hash {
		t.Errorf("%s has hash %s, want %s", name, h.Sum(), s.Hash)
	}
}

// The constants on the page are those of the code.
func TestFormatPageNamesTheConstants(t *testing.T) {
	page, _ := workedExample(t)
	for _, s := range []string{InitialSpanHash, ManifestFile, ExportDataFile, ChecksumsFile} {
		if !strings.Contains(page, s) {
			t.Errorf("FORMAT.md does not have %s", s)
		}
	}
}
