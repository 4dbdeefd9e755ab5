package format

import (
	"errors"
	"fmt"
	"testing"
)

func TestParseModes(t *testing.T) {
	for _, s := range []string{"none", "operational", "replay", "archival", "debug"} {
		if m, err := ParseArtifactMode(s); err != nil || string(m) != s {
			t.Errorf("ParseArtifactMode(%q) = %q, %v", s, m, err)
		}
	}
	for s, want := range map[string]string{
		"":      `Invalid value "" for "artifact-mode"`,
		"Debug": `Invalid value "Debug" for "artifact-mode"`,
		"a\"\n": `Invalid value "a\"\n" for "artifact-mode"`,
	} {
		if m, err := ParseArtifactMode(s); m != "" || err == nil || err.Error() != want || !errors.Is(err, ErrMode) {
			t.Errorf("ParseArtifactMode(%q) = %q, %v", s, m, err)
		}
	}
	for _, c := range []struct {
		s        string
		isImport bool
		err      string
	}{
		{"skip", false, ""}, {"all", false, ""}, {"skip", true, ""}, {"all", true, ""}, {"repair-metadata", true, ""},
		{"repair-metadata", false, `Invalid value "repair-metadata" for "export-data-mode"`},
		{"", true, `Invalid value "" for "export-data-mode"`},
	} {
		m, err := ParseExportDataMode(c.s, c.isImport)
		if c.err == "" && (err != nil || string(m) != c.s) || c.err != "" && (err == nil || err.Error() != c.err) {
			t.Errorf("ParseExportDataMode(%q, %v) = %q, %v", c.s, c.isImport, m, err)
		}
	}
}

// The whole table of FORMAT.md: rows are the flag, columns the manifest's mode.
func TestImportMode(t *testing.T) {
	manifests := []string{"operational", "replay", "archival", "debug", "absent", "none", "other"}
	table := map[ArtifactMode]string{
		"":          "ooooonu", // o: accepted
		Operational: "ooooorr", // r: insufficient
		Replay:      "rooo" + "orr",
		Archival:    "rroo" + "orr",
		Debug:       "ooooorr",
		None:        "nnnnnnn",
		"bogus":     "uuuuuuu",
	}
	for flag, row := range table {
		for i, has := range manifests {
			m := &Manifest{HasBlockHeight: true, Data: "d", Artifacts: ArtifactsOf(Artifact{"a", "a"}), ArtifactMode: has, HasArtifactMode: has != "absent"}
			if has == "absent" {
				m.ArtifactMode = ""
			}
			mode, err := ImportMode(flag, m)
			want := flag
			if want == "" {
				want = ArtifactMode(m.ArtifactMode)
			}
			if want == "" {
				want = Operational
			}
			var text string
			switch row[i] {
			case 'o':
				if err != nil || mode != want {
					t.Errorf("flag %q, manifest %s: %q, %v", flag, has, mode, err)
				}
				continue
			case 'r':
				text = fmt.Sprintf("State-sync manifest has insufficient artifacts: requested import artifact mode: %q, manifest has %q artifacts", want, has)
			case 'n':
				text = `Cannot import "export data" without at least "operational" artifacts`
			case 'u':
				text = fmt.Sprintf("Unexpected artifactMode %q", want)
			}
			if err == nil || err.Error() != text || mode != "" || !errors.Is(err, ErrMode) {
				t.Errorf("flag %q, manifest %s: %q, %v, want %s", flag, has, mode, err, text)
			}
		}
	}
}

func TestImportModeNeeds(t *testing.T) {
	whole := Manifest{HasBlockHeight: true, Data: "d", Artifacts: ArtifactsOf(Artifact{"a", "a"})}
	for _, c := range []struct {
		change func(*Manifest)
		class  error
		text   string
	}{
		{func(m *Manifest) { m.HasBlockHeight = false }, ErrFormat, "Cannot restore snapshot without block height"},
		{func(m *Manifest) { m.Data = "" }, ErrNoExportData, "State-sync manifest missing export data"},
		{func(m *Manifest) { m.Data = "" }, ErrIncomplete, "State-sync manifest missing export data"},
		{func(m *Manifest) { m.Artifacts = Artifacts{} }, ErrIncomplete, "State-sync manifest missing required artifacts"},
	} {
		m := whole
		c.change(&m)
		if _, err := ImportMode("", &m); !errors.Is(err, c.class) || err.Error() != c.text {
			t.Errorf("got %v, want %s", err, c.text)
		}
	}
}
