package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"swingport/testdata"
)

// need skips a test on a machine without the tools that it runs, saying so. In CI nothing may be missing.
func need(t *testing.T, tools ...string) {
	t.Helper()
	// Where sshd is, and no PATH of a normal user has it.
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/usr/local/sbin")
	var missing []string
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			missing = append(missing, tool)
		}
	}
	if missing == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s has to be there", strings.Join(missing, ", "))
	}
	t.Skipf("NOT RUN, since this machine lacks %s; with CI=true that is a failure", strings.Join(missing, ", "))
}

// shell runs a command line of bash, in which a failure anywhere in a pipe counts, and returns its stdout.
func shell(t *testing.T, dir, line string) string {
	t.Helper()
	stdout, stderr, err := tryShell(dir, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, stderr)
	}
	return stdout
}

func tryShell(dir, line string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", line)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// dumped is what a state directory holds.
func dumped(t *testing.T, stateDir string) string {
	t.Helper()
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(stateDir)); err != nil {
		t.Fatal(err)
	}
	text, err := testdata.Dump(copied)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// imported is the store that swingport makes of an export directory: what all archives of it have to become.
func imported(t *testing.T, exportDir string) string {
	t.Helper()
	work := t.TempDir()
	shell(t, work, "swingport import --state-dir state --export-dir "+exportDir)
	return dumped(t, filepath.Join(work, "state"))
}

func sameStore(t *testing.T, what, want, got string) {
	t.Helper()
	if diffs := testdata.CompareDumps(want, got); diffs != nil {
		t.Errorf("%s: another store: %.3000q", what, diffs)
	}
}

// tinyExport is an export of 70 artifacts, some of their names not ASCII.
func tinyExport(t *testing.T) string {
	return filepath.Join(testdata.Dir(t), "exports", "tiny", "archival")
}

// GNU tar and zstd take our archives as their own, and get the files that an export to a directory has.
func TestToolsReadArchives(t *testing.T) {
	need(t, "bash", "tar", "zstd")
	work := t.TempDir()
	state := testdata.Store(t, "tiny")
	for _, line := range []string{
		"swingport export --state-dir " + state + " -o a.tar",
		"swingport export --state-dir " + state + " -o a.tar.zst",
		"swingport export --state-dir " + state + " -o - --level best > best",
		"zstd -q -t a.tar.zst && zstd -q -t - < best",
		"zstd -q -d < a.tar.zst | cmp - a.tar && zstd -q -d < best | cmp - a.tar",
		"tar tf a.tar > list && zstd -q -d < a.tar.zst | tar t | cmp - list && tar --zstd -tf a.tar.zst | cmp - list",
		"mkdir plain packed piped && tar xf a.tar -C plain && tar --zstd -xf a.tar.zst -C packed && zstd -q -d < best | tar x -C piped",
		"for d in plain packed piped; do rm $d/swingport-archive.jsonl $d/swingport-index; done",
	} {
		shell(t, work, line)
	}
	for _, dir := range []string{"plain", "packed", "piped"} {
		if diffs := testdata.CompareExports(tinyExport(t), filepath.Join(work, dir)); diffs != nil {
			t.Errorf("%s: %q", dir, diffs)
		}
	}
	names := strings.Fields(strings.ReplaceAll(shell(t, work, "tar --quoting-style=literal -tf a.tar"), "\n", " "))
	if len(names) != 74 || names[0] != "swingport-archive.jsonl" || names[73] != "swingport-index" {
		t.Errorf("%d entries: %q", len(names), names)
	}
}

// madeByTools are archives of the export directory $X, on stdout; of $SHORT, whose names are all short, where the format takes no other.
var madeByTools = []struct{ name, line string }{
	{"tar", `tar c -C "$X" .`},
	{"tar of the names", `cd "$X" && tar c *`},
	{"tar of the directory", `tar c -C "$X/.." archival`},
	{"tar of an absolute path", `tar c "$X" 2>/dev/null`},
	{"tar in GNU format", `tar c --format=gnu -C "$X" .`},
	{"tar in ustar format", `tar c --format=ustar -C "$SHORT" .`},
	{"tar in PAX format", `tar c --format=pax -C "$X" .`},
	{"tar in PAX format without times", `tar c --format=posix --pax-option=delete=atime,delete=ctime -C "$X" .`},
	{"tar in v7 format", `tar c --format=v7 -C "$SHORT" .`},
	{"tar in old GNU format", `tar c --format=oldgnu -C "$X" .`},
	{"tar by name", `tar c --sort=name -C "$X" .`},
	{"tar by name, in ustar format, without ./", `cd "$SHORT" && tar c --sort=name --format=ustar *`},
	{"tar as the directory has them", `tar c --sort=none -C "$X" .`},
	{"tar from the last name", `cd "$X" && ls -r | tar c -T -`},
	{"tar with owner and time", `tar c --owner=node:1000 --group=node:1000 --mtime=2020-01-01 -C "$X" .`},
	{"tar with large blocks", `tar c -b 2000 -C "$X" .`},
	{"tar with extended attributes", `tar c --xattrs --acls --format=pax -C "$X" .`},
	{"tar.gz", `tar cz -C "$X" .`},
	{"tar.gz in two parts", `tar c -C "$X" . > t && (head -c 5000 t | gzip; tail -c +5001 t | gzip)`},
	{"tar.zst", `tar c --zstd -C "$X" .`},
	{"tar.zst -19", `tar c -C "$X" . | zstd -q -19 -T0`},
	{"tar.zst -1 --fast", `tar c -C "$X" . | zstd -q --fast=5`},
	{"tar.zst without checksums", `tar c -C "$X" . | zstd -q --no-check`},
	{"tar.zst of two streams", `tar c -C "$X" . > t && (head -c 5000 t | zstd -q; tail -c +5001 t | zstd -q)`},
}

// Import, verify and list take what GNU tar makes of an export directory, from a file and from a pipe, and find the same store in it.
func TestArchivesOfTools(t *testing.T) {
	need(t, "bash", "tar", "zstd", "gzip")
	t.Setenv("X", tinyExport(t))
	t.Setenv("SHORT", testdata.WorkedExport(t))
	stores := map[bool]string{false: imported(t, os.Getenv("X")), true: imported(t, os.Getenv("SHORT"))}
	for i, c := range madeByTools {
		if testing.Short() && i%6 > 0 {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			work := t.TempDir()
			want := stores[strings.Contains(c.line, "$SHORT")]
			shell(t, work, "( "+c.line+" ) > archive")
			shell(t, work, "swingport import --state-dir file --input archive; cat archive | swingport import --state-dir pipe -i -")
			sameStore(t, "from a file", want, dumped(t, filepath.Join(work, "file")))
			sameStore(t, "from a pipe", want, dumped(t, filepath.Join(work, "pipe")))
			shell(t, work, "swingport verify archive; swingport verify - < archive")
		})
	}
}

// A window that is larger than what is taken is an error that names the flag; with the flag it is taken.
func TestLongWindow(t *testing.T) {
	need(t, "bash", "tar", "zstd")
	want := imported(t, tinyExport(t))
	t.Setenv("X", tinyExport(t))
	work := t.TempDir()
	shell(t, work, `tar c -C "$X" . | zstd -q -19 --long=27 > a`)
	_, stderr, err := tryShell(work, "swingport import --state-dir none -i a")
	if err == nil {
		t.Error("a window of 128 MiB was taken without being asked for")
	} else if !strings.Contains(stderr, "window") || !strings.Contains(stderr, "--max-window") {
		t.Errorf("stderr %q", stderr)
	}
	shell(t, work, "swingport import --state-dir state --max-window 128MiB -i - < a")
	sameStore(t, "--long=27", want, dumped(t, filepath.Join(work, "state")))
}

// Our archives that somebody packed in another way are still whole archives of ours, and cut they still are not.
func TestRecompressedArchives(t *testing.T) {
	need(t, "bash", "zstd", "gzip")
	want := imported(t, tinyExport(t))
	for _, snapshots := range []string{"gzip", "raw"} {
		if testing.Short() && snapshots == "raw" {
			continue
		}
		work := t.TempDir()
		shell(t, work, "swingport export --snapshots "+snapshots+" --state-dir "+testdata.Store(t, "tiny")+" -o a.tar.zst")
		for _, line := range []string{"zstd -q -d", "zstd -q -d | zstd -q -19", "zstd -q -d | zstd -q -1 --no-check", "zstd -q -d | gzip", "zstd -q -d | gzip -1 | cat"} {
			what := snapshots + " " + line
			shell(t, work, "rm -rf state; < a.tar.zst "+line+" > b; swingport verify - < b; swingport import --state-dir state -i b")
			sameStore(t, what, want, dumped(t, filepath.Join(work, "state")))
			_, stderr, err := tryShell(work, "head -c -700 b | swingport import --state-dir state -i -")
			if err == nil || !strings.Contains(stderr, "truncated") {
				t.Errorf("%s, cut: %v, %q", what, err, stderr)
			}
		}
	}
}

// An archive that was unpacked and packed again by GNU tar is a tar of another program, in which our own two files mean nothing.
func TestRepackedArchive(t *testing.T) {
	need(t, "bash", "tar", "zstd")
	want := imported(t, tinyExport(t))
	work := t.TempDir()
	shell(t, work, "swingport export --state-dir "+testdata.Store(t, "tiny")+" -o a.tar.zst && mkdir x && tar --zstd -xf a.tar.zst -C x")
	for _, line := range []string{"tar c -C x .", "tar c --sort=name -C x . | zstd -q", "cd x && tar c --sort=name --format=pax *", "cd x && tar c $(tar --zstd -tf ../a.tar.zst --quoting-style=literal)"} {
		shell(t, work, "rm -rf state; ( "+line+" ) | swingport import --state-dir state -i -")
		sameStore(t, line, want, dumped(t, filepath.Join(work, "state")))
	}
	shell(t, work, "swingport verify x")
}
