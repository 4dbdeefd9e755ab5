package stages

import (
	"fmt"
	"strings"
	"testing"

	"swingport/format"
)

// Whichever of many artifacts the manifest leaves out, the error names it.
func TestArtifactNames(t *testing.T) {
	const n = 20_000
	name := func(i int) string { return fmt.Sprintf("transcript.v%d.%d.%d", i%7, i, i+1) }
	for _, missing := range []int{0, 1, n / 2, n - 1} {
		var s artifactNames
		s.add(format.KindSnapshot, "snapshot.v1.1", "snapshot.v1.1.gz")
		for i := range n {
			s.add(format.KindTranscript, name(i), name(i))
		}
		if err := s.listed(format.KindSnapshot, "snapshot.v1.1", "snapshot.v1.1.gz"); err != nil {
			t.Fatal(err)
		}
		for i := n - 1; i >= 0; i-- {
			if i == missing {
				continue
			}
			if err := s.listed(format.KindTranscript, name(i), name(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.complete(); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("%q ", name(missing))) {
			t.Errorf("without %s: %v", name(missing), err)
		}
		if err := s.listed(format.KindTranscript, name(missing), name(missing)); err != nil {
			t.Error(err)
		}
		if err := s.complete(); err != nil {
			t.Error(err)
		}
	}
}
