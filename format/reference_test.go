package format

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// referenceDir is an archival export that the reference made.
var referenceDir = filepath.Join("..", "testdata", "exports", "tiny", "archival")

// referenceExport reads the reference's export: its span records, and a
// function that reads an artifact of it, if it is there.
func referenceExport(t testing.TB) (spans []Span, read func(name string) ([]byte, bool)) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(referenceDir, ExportDataFile))
	if err != nil {
		t.Fatal(err)
	}
	var e Entry
	for line := range bytes.Lines(data) {
		if err := ParseLine(line, &e); err != nil {
			t.Fatal(err)
		}
		if string(e.Tag()) != "transcript" {
			continue
		}
		s, err := ParseSpan(e.Key, e.Value)
		if err != nil {
			t.Fatal(err)
		}
		spans = append(spans, s)
	}
	return spans, func(name string) ([]byte, bool) {
		data, err := os.ReadFile(filepath.Join(referenceDir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return data, err == nil
	}
}

// What the reference wrote is parsed, and what was parsed is written: the same
// bytes come out.
func TestReferenceExportRoundTrip(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(referenceDir, ExportDataFile))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	var e Entry
	counts := map[string]int{}
	for line := range bytes.Lines(data) {
		if err := ParseLine(line, &e); err != nil {
			t.Fatal(err)
		}
		counts[string(e.Tag())]++
		if out, err = appendEntry(out, &e); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out, data) {
		t.Errorf("export data of %d bytes came out as other %d bytes", len(data), len(out))
	}
	for _, tag := range []string{"kv", "snapshot", "transcript", "bundle"} {
		if counts[tag] == 0 {
			t.Errorf("no %s record in the export", tag)
		}
	}
}

// appendEntry writes a parsed line again.
func appendEntry(dst []byte, e *Entry) ([]byte, error) {
	switch string(e.Tag()) {
	case "kv":
		v := TextValue(e.Value)
		if e.Null {
			v = Value{}
		}
		return AppendKV(dst, e.KVKey(), v), nil
	case "snapshot":
		s, current, err := ParseSnapshot(e.Key, e.Value)
		if err != nil || current { // AppendSnapshotRecord wrote that line
			return dst, err
		}
		return AppendSnapshotRecord(dst, s), s.CheckKey(e.Key)
	case "transcript":
		s, err := ParseSpan(e.Key, e.Value)
		return AppendSpanRecord(dst, s), err
	}
	id, err := ParseBundleRecord(e.Key, e.Value)
	return AppendBundleRecord(dst, id), err
}

func TestReferenceManifestRoundTrip(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(referenceDir, ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ReadManifest(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := NewManifestWriter(&out, m.BlockHeight, m.ArtifactMode)
	for _, a := range m.Artifacts.All() {
		name, err := ParseName(a.Name)
		if err != nil || name.String() != a.Name {
			t.Errorf("%s is %s, %v", a.Name, name, err)
		}
		if err := w.Add(a.Name, a.File); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(m.Data); err != nil || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("another manifest came out, %v", err)
	}
	if mode, err := ImportMode("", m); err != nil || mode != Archival {
		t.Errorf("ImportMode: %q, %v", mode, err)
	}
}
