package measure

import (
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		seconds []float64
		want    Spread
	}{
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{4, 1}, Spread{2.5, 1, 4}},
		{[]float64{9, 1, 2}, Spread{2, 1, 9}},
		{[]float64{8, 1, 4, 2}, Spread{3, 1, 8}},
		{[]float64{5, 4, 3, 2, 1}, Spread{3, 1, 5}},
	} {
		var s Samples
		for _, sec := range c.seconds {
			d := time.Duration(sec * float64(time.Second))
			s = append(s, Sample{Wall: d, CPU: d / 2})
		}
		if got := s.Wall(); got != c.want {
			t.Errorf("%v: got %v, want %v", c.seconds, got, c.want)
		}
		if got := s.CPU().Median; got != c.want.Median/2 {
			t.Errorf("%v: CPU %v, want half of %v", c.seconds, got, c.want.Median)
		}
	}
}

func TestMeasureSeesTheChildrenOfAShell(t *testing.T) {
	s, _, err := Run(t.Context(), []string{"sh", "-c", `head -c 100000000 /dev/zero | tail -c 100000000 | sha256sum; true`})
	if err != nil {
		t.Fatal(err)
	}
	if s.Peak < 90e6 { // tail keeps it all
		t.Errorf("peak %d", s.Peak)
	}
	if s.CPU <= 0 || s.Wall <= 0 {
		t.Errorf("%+v", s)
	}
}

// A command that fails is an error with what it said, and what it took all the same.
func TestRunFails(t *testing.T) {
	s, _, err := Run(t.Context(), []string{"sh", "-c", "echo disk on fire >&2; exit 3"})
	if err == nil || !strings.Contains(err.Error(), "disk on fire") || s.Wall <= 0 {
		t.Errorf("%v, %+v", err, s)
	}
}

// The facts name the machine and the commit, and no path of it.
func TestFacts(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	WriteFacts(&b, Facts(t.Context(), dir, ""))
	text := b.String()
	for _, want := range []string{"- swingport: commit ", "- reference: none\n", " cores, ", "- day: 20"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, dir) {
		t.Errorf("a path in\n%s", text)
	}
}
