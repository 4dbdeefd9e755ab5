package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A disk that is full for real ends the command with exit code 1, an error and a hint; so does one of which it is known before.
func TestDiskFull(t *testing.T) {
	state, disk := bigStore(t), t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("NOT RUN, since no tmpfs can be mounted here, which takes root; with CI=true that is a failure: ", err)
	}
	defer syscall.Unmount(disk, 0) //nolint:errcheck // the directory cannot be removed then, which fails the test
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
