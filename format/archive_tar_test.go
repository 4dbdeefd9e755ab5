package format

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestTarHeader(t *testing.T) {
	long := strings.Repeat("x", 101)
	for _, c := range []struct {
		name        string
		size, mtime int64
		length      int // of the header, in bytes
	}{
		{"a", 0, 0, 512},
		{"transcript.v1.0.5", 1, MaxTarTime, 512},
		{long[:100], 1<<33 - 1, 0, 512},
		{long, 0, 0, 3 * 512},
		{"snapshot.ü.5", 7, 0, 3 * 512},
		{"line\nbreak", 7, 0, 512},
		{"a", 1 << 33, 0, 3 * 512},
		{long, MaxArchiveSize, 1, 3 * 512},
		{strings.Repeat("x", MaxName), 0, 0, 512 + 9*512 + 512},
	} {
		head, err := AppendTarHeader([]byte("dst"), c.name, c.size, c.mtime)
		if err != nil || len(head) != 3+c.length || string(head[:3]) != "dst" {
			t.Errorf("%.20s: header of %d bytes, want %d, %v", c.name, len(head)-3, c.length, err)
			continue
		}
		h, err := tar.NewReader(bytes.NewReader(head[3:])).Next()
		if err != nil || h.Name != c.name || h.Size != c.size || h.ModTime.Unix() != c.mtime ||
			h.Mode != 0o644 || h.Typeflag != tar.TypeReg || h.Uid+h.Gid != 0 || h.Uname+h.Gname != "" {
			t.Errorf("%.20s: read as %+v, %v", c.name, h, err)
		}
	}
}

func TestTarHeaderLimits(t *testing.T) {
	for _, c := range []struct {
		what, name  string
		size, mtime int64
		want        error
	}{
		{"name with a slash", "a/b", 0, 0, ErrFormat},
		{"longest name and one", strings.Repeat("x", MaxName+1), 0, 0, ErrLimit},
		{"negative size", "a", -1, 0, ErrLimit},
		{"largest size and one", "a", MaxArchiveSize + 1, 0, ErrLimit},
		{"negative time", "a", 0, -1, ErrLimit},
		{"latest time and one", "a", 0, MaxTarTime + 1, ErrLimit},
	} {
		if b, err := AppendTarHeader([]byte("dst"), c.name, c.size, c.mtime); !errors.Is(err, c.want) || string(b) != "dst" {
			t.Errorf("%s: %q, %v, want %v", c.what, b, err, c.want)
		}
	}
	for size, want := range map[int64]int64{0: 0, 1: 511, 511: 1, 512: 0, 513: 511, MaxArchiveSize: 0} {
		if got := TarPadding(size); got != want {
			t.Errorf("padding behind %d bytes: %d, want %d", size, got, want)
		}
	}
}

// gnuTar runs tar with input on its stdin. Without tar it fails in CI, and
// elsewhere says what was not run.
func gnuTar(t *testing.T, input io.Reader, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("tar"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("not run: that tar reads canonical headers (%v)", err)
	}
	cmd := exec.Command("tar", args...)
	cmd.Stdin = input
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("tar %v: %v, %s", args, err, &stderr)
	}
	return string(out)
}

// tar reads the headers, and content behind them is content.
func TestTarReadsHeaders(t *testing.T) {
	var archive []byte
	var err error
	want := ""
	for i, name := range []string{"a", strings.Repeat("x", 100), strings.Repeat("y", 101), "snapshot.ü.5", strings.Repeat("z", 4000)} {
		content := strings.Repeat(fmt.Sprint(i), 511+i)
		if archive, err = AppendTarHeader(archive, name, int64(len(content)), 1700000000); err != nil {
			t.Fatal(err)
		}
		archive = append(append(archive, content...), make([]byte, TarPadding(int64(len(content))))...)
		want += fmt.Sprintf("-rw-r--r-- 0/0 %d 2023-11-14 22:13:20 %s\n", len(content), name)
	}
	archive = append(archive, make([]byte, TarEnd)...)
	got := ""
	for line := range strings.Lines(gnuTar(t, bytes.NewReader(archive), "-tv", "--numeric-owner", "--full-time", "--quoting-style=literal", "-f", "-")) {
		got += strings.Join(strings.Fields(line), " ") + "\n"
	}
	if got != want {
		t.Errorf("tar lists\n%s, want\n%s", got, want)
	}
	if got := gnuTar(t, bytes.NewReader(archive), "-xO", "-f", "-", strings.Repeat("y", 101)); got != strings.Repeat("2", 513) {
		t.Errorf("tar extracts %q", got)
	}
}

// tar takes sizes around 8 GiB, where the PAX record begins. The content is a hole.
func TestTarReadsLargeSizes(t *testing.T) {
	for _, size := range []int64{1<<33 - 1, 1 << 33, 1<<33 + 1} {
		first, err := AppendTarHeader(nil, "large", size, 0)
		if err != nil {
			t.Fatal(err)
		}
		second, err := AppendTarHeader(nil, "behind", 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "large.tar")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err1 := f.Write(first)
		next := int64(len(first)) + size + TarPadding(size)
		_, err2 := f.WriteAt(second, next)
		if err := errors.Join(err1, err2, f.Truncate(next+int64(len(second))+TarEnd), f.Close()); err != nil {
			t.Fatal(err)
		}
		got := gnuTar(t, nil, "-tv", "-f", file)
		if !strings.Contains(got, fmt.Sprintf(" %d ", size)) || !strings.HasSuffix(got, " behind\n") {
			t.Errorf("%d bytes: tar lists %q", size, got)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
