package pipeline

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

// What the export data cannot bring back of kvStore is said by who writes or verifies it.
func TestLostValues(t *testing.T) {
	const noText, nulls = "kvStore has values that are no text (2): no import takes their export data", "kvStore has values that are NULL (1): an import leaves their keys out"
	build := func(texts ...string) (stateDir string) {
		b := testdata.Build(t)
		b.B0("x") // an export without artifacts is not imported
		for _, sql := range texts {
			b.Exec(sql)
		}
		b.Close()
		return b.Dir
	}
	const height, null = "INSERT INTO kvStore VALUES ('host.height', '7')", "INSERT INTO kvStore VALUES ('n', NULL)"
	for name, c := range map[string]struct {
		stateDir string
		want     []string
	}{
		"texts":          {build(height, "INSERT INTO kvStore VALUES ('a', 'b')"), nil},
		"of the node":    {build(height, "INSERT INTO kvStore VALUES ('local.a', x'00')"), nil},
		"BLOBs and NULL": {build(height, "INSERT INTO kvStore VALUES ('a', x'00'), ('b', x'')", null), []string{noText, nulls}},
		"NULL":           {build(height, null), []string{nulls}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new")
			sum, err := Export(t.Context(), ExportOptions{StateDir: c.stateDir, ExportDir: dir, ExportDataMode: format.All})
			if err != nil || !slices.Equal(sum.Warnings, append([]string{}, c.want...)) {
				t.Errorf("export: %q, %v", sum.Warnings, err)
			}
			report, err := Verify(t.Context(), VerifyOptions{StateDir: c.stateDir})
			if err != nil || !slices.Equal(report.Warnings, append([]string{}, c.want...)) {
				t.Errorf("verify: %q, %v", report.Warnings, err)
			}
			refused := slices.Contains(c.want, noText)
			if _, err := Import(t.Context(), ImportOptions{ExportDir: dir, StateDir: t.TempDir()}); (err != nil) != refused {
				t.Errorf("import: %v", err)
			}
			copied, err := Copy(t.Context(), CopyOptions{StateDir: c.stateDir, ToStateDir: t.TempDir()})
			if refused && (err == nil || !strings.Contains(err.Error(), "must be a string")) || !refused && (err != nil || !slices.Equal(copied.Warnings, append([]string{}, c.want...))) {
				t.Errorf("copy: %q, %v", copied.Warnings, err)
			}
		})
	}
}
