package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"swingport/testdata"
)

// A disk that is full for real ends the command with exit code 1, an error and a hint; so does one of which it is known before.
func TestDiskFull(t *testing.T) {
	state := bigStore(t)
	disk, _ := testdata.SmallDisk(t, 1<<20)
	for _, c := range []struct{ flags, says string }{
		{"--no-space-check", "no space left on device"},
		{"", "too little space in"},
	} {
		for _, target := range []string{"--export-dir " + filepath.Join(disk, "export"), "-o " + filepath.Join(disk, "a.tar")} {
			args := "export --artifact-mode archival --export-data-mode all --state-dir " + state + " " + target + " " + c.flags
			out, err := exec.Command("swingport", strings.Fields(args)...).CombinedOutput()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != exitFailed {
				t.Errorf("%s: %v", args, err)
			}
			if text := string(out); !strings.Contains(text, c.says) || !strings.Contains(text, disk) || !strings.Contains(text, "swingport: hint: ") {
				t.Errorf("%s: %s", args, text)
			}
			if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
				t.Errorf("%s left %v, %v", args, left, err)
			}
		}
	}
}
