package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
)

// Small stores of the shapes go through all commands. The budget is that of the large ones: what a span takes is tested where it is held.
func TestLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: it builds the command; go test without -short runs it")
	}
	var out, stderr bytes.Buffer
	if rc := run([]string{"large", "--small", "--archives-only", "--dir", t.TempDir()}, &out, &stderr); rc != 0 {
		t.Fatalf("exit code %d: %s\n%s", rc, stderr.String(), out.String())
	}
	for _, s := range shapes {
		if s.small == nil {
			continue
		}
		if n := strings.Count(out.String(), "| "+s.name+" | "); n < 10 {
			t.Errorf("%s: %d steps in\n%s", s.name, n, out.String())
		}
	}
}

func TestLargeCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"large", "--only=span,round"}, "unknown shape \"round\""},
		{[]string{"large", "--store=x"}, "one shape"},
		{[]string{"large", "x"}, "unexpected argument"},
	} {
		var stderr bytes.Buffer
		if rc := run(c.args, &stderr, &stderr); rc != 2 || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%v: exit code %d, %q", c.args, rc, stderr.String())
		}
	}
}

// The digest of a tar is that of the directory, in any order, and another one for another byte, name or number of files.
func TestDigest(t *testing.T) {
	pack := func(files ...string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, f := range append(files, format.ArchiveHeaderFile+"=x") {
			name, content, _ := strings.Cut(f, "=")
			if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		d, err := digestTar(&b)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "1", "b": "22", format.ChecksumsFile: "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := digestDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range [][]string{{"a=1", "b=22"}, {"b=22", "a=1"}} {
		if got := pack(files...); got != want {
			t.Errorf("%v: %s, want %s", files, got, want)
		}
	}
	for _, files := range [][]string{{"a=1"}, {"a=1", "b=23"}, {"a=1", "c=22"}, {"a=22", "b=1"}, {"a=1", "b=22", "b=22"}, {"a=12", "b=2"}} {
		if got := pack(files...); got == want {
			t.Errorf("%v: %s too", files, got)
		}
	}
}
