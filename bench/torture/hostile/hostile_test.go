package hostile

import (
	"os"
	"path/filepath"
	"testing"
)

// Every command takes some damage of every kind of input; go run ./bench/torture hostile does the same at every byte.
func TestDamage(t *testing.T) {
	good := t.TempDir()
	if err := makeInputs(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	most := 20
	if testing.Short() {
		most = 3
	}
	tried := 0
	for _, c := range cells(cell{Dir: filepath.Join(t.TempDir(), "cell"), Inputs: good, Most: most}, os.Getenv("HOSTILE_ONLY")) {
		last := ""
		got, err := c.run(t.Context(), func(what string) { last = what })
		if err != nil {
			t.Fatalf("%s, %s: %v", c.Command, last, err)
		}
		for _, text := range got.Broken {
			t.Error(text)
		}
		tried += got.Tried
		t.Logf("%-17s %-15s %+v", c.Input, c.Command, got)
	}
	t.Logf("%d inputs", tried)
}
