package pipeline

import (
	"context"
	"slices"
	"strings"
	"testing"

	"swingport/testdata"
)

// verified runs Verify and gives the defects as lines, sorted.
func verified(t *testing.T, o VerifyOptions) (VerifyReport, []string) {
	t.Helper()
	var lines []string
	o.Defect = func(d Defect) { lines = append(lines, d.String()) }
	r, err := Verify(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.DefectCount != len(lines) {
		t.Errorf("the report counts %d defects, %d were told", r.DefectCount, len(lines))
	}
	slices.Sort(lines)
	return r, lines
}

// The stores of the reference have no defect, deep or not, and what is counted is what an export counts.
func TestVerifyStore(t *testing.T) {
	for _, store := range testdata.Stores {
		for _, deep := range []bool{false, true} {
			_, defects := verified(t, VerifyOptions{StateDir: testdata.Store(t, store), Deep: deep})
			if len(defects) > 0 {
				t.Errorf("%s:\n%s", store, strings.Join(defects, "\n"))
			}
		}
	}
}
