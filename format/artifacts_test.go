package format

import (
	"fmt"
	"strings"
	"testing"
)

func TestArtifacts(t *testing.T) {
	var want []Artifact
	for i := range 5*indexEvery + 3 {
		name := fmt.Sprintf("transcript.v%d.%d", i%7, i)
		file := name
		switch i % 4 {
		case 1:
			file = fmt.Sprint(i)
		case 2:
			name, file = strings.Repeat("n", i*i), strings.Repeat("f", i)
		case 3:
			name, file = "", "f"
		}
		want = append(want, Artifact{name, file})
	}
	for _, n := range []int{0, 1, indexEvery - 1, indexEvery, indexEvery + 1, len(want)} {
		l := ArtifactsOf(want[:n]...)
		if l.Len() != n {
			t.Errorf("%d artifacts, want %d", l.Len(), n)
		}
		next := 0
		for i, a := range l.All() {
			if i != next || a != want[i] {
				t.Fatalf("of %d: artifact %d is %.40v, want %.40v", n, i, a, want[next])
			}
			next++
		}
		if next != n {
			t.Errorf("All has %d of %d", next, n)
		}
		for i := range n {
			if got := l.At(i); got != want[i] {
				t.Fatalf("of %d: artifact %d is %.40v, want %.40v", n, i, got, want[i])
			}
		}
	}
	long := Artifact{strings.Repeat("x", 2*artifactBlock), "y"}
	l := ArtifactsOf(Artifact{"a", "a"}, long, Artifact{"b", "c"})
	if l.At(1) != long || l.At(2) != (Artifact{"b", "c"}) || l.At(0) != (Artifact{"a", "a"}) {
		t.Error("a name longer than a block is not found, or what stands beside it")
	}
	for range l.All() {
		break // does not go on
	}
}
