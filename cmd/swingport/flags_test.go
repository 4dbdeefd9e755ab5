package main

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

func at(n float64) *float64 { return &n }

// defaultDir is the state directory of a fake without flags.
const defaultDir = "/home/node/.agoric/data/agoric"

func TestExportOptions(t *testing.T) {
	for _, test := range []struct {
		name string
		env  string // NAME=VALUE;..., the prefix left out
		args string
		want pipeline.ExportOptions
	}{
		{"defaults", "", "", pipeline.ExportOptions{}},
		{"state dir", "", "--state-dir s", pipeline.ExportOptions{StateDir: "s"}},
		{"with equals", "", "--state-dir=s", pipeline.ExportOptions{StateDir: "s"}},
		{"value with dashes", "", "--state-dir=--s", pipeline.ExportOptions{StateDir: "--s"}},
		{"value with one dash", "", "--state-dir -s", pipeline.ExportOptions{StateDir: "-s"}},
		{"value with equals", "", "--state-dir=a=b", pipeline.ExportOptions{StateDir: "a=b"}},
		{"the last wins", "", "--state-dir a --state-dir=b", pipeline.ExportOptions{StateDir: "b"}},
		{"home", "", "--home /h", pipeline.ExportOptions{StateDir: "/h/data/agoric"}},
		{"state dir beats home", "", "--state-dir s --home /h", pipeline.ExportOptions{StateDir: "s"}},
		{"empty state dir", "", "--state-dir= --home /h", pipeline.ExportOptions{StateDir: "/h/data/agoric"}},
		{"a home called like the default", "", "--home ~/.agoric", pipeline.ExportOptions{StateDir: "~/.agoric/data/agoric"}},
		{"empty export dir", "", "--export-dir=", pipeline.ExportOptions{}},
		{"from the environment", "STATE_DIR=s;EXPORT_DIR=e;ARTIFACT_MODE=replay;EXPORT_DATA_MODE=all;CHECK_BLOCK_HEIGHT=7", "",
			pipeline.ExportOptions{StateDir: "s", ExportDir: "e", ArtifactMode: "replay", ExportDataMode: "all", CheckBlockHeight: at(7)}},
		{"home from the environment", "HOME=/h", "", pipeline.ExportOptions{StateDir: "/h/data/agoric"}},
		{"a flag beats the environment", "STATE_DIR=s;ARTIFACT_MODE=nonsense", "--state-dir t --artifact-mode debug",
			pipeline.ExportOptions{StateDir: "t", ArtifactMode: format.Debug}},
		{"an empty flag beats the environment", "STATE_DIR=s", "--state-dir=", pipeline.ExportOptions{}},
		{"no environment for our own", "CHECKSUMS=1;JSON=1;NO_VERIFY=1", "", pipeline.ExportOptions{}},
		{"empty height in the environment", "CHECK_BLOCK_HEIGHT=", "", pipeline.ExportOptions{}},
		{"height 0", "", "--check-block-height 0", pipeline.ExportOptions{CheckBlockHeight: at(0)}},
		{"negative height", "", "--check-block-height -5", pipeline.ExportOptions{CheckBlockHeight: at(-5)}},
		{"our own", "", "--no-verify --checksums --reader engine --workers 3 --temp-dir t",
			pipeline.ExportOptions{NoVerify: true, Checksums: true, Reader: pipeline.ReaderEngine, Workers: 3, TempDir: "t"}},
		{"booleans with a value", "", "--no-verify=false --checksums=1", pipeline.ExportOptions{Checksums: true}},
		{"gzip snapshots", "", "--snapshots gzip --artifact-mode auto", pipeline.ExportOptions{Snapshots: format.GzipSnapshots, ArtifactMode: pipeline.AutoMode}},
		{"archive", "", "--output a.tar.zst", pipeline.ExportOptions{Archive: "a.tar.zst"}},
		{"archive, short", "", "-o a.tar", pipeline.ExportOptions{Archive: "a.tar"}},
		{"archive to stdout", "", "-o - --level best --temp-dir t", pipeline.ExportOptions{Archive: "-", Level: "best", TempDir: "t"}},
		{"format and level", "", "-o=a.tar --format tar.zst --level fastest", pipeline.ExportOptions{Archive: "a.tar", Format: "tar.zst", Level: "fastest"}},
		{"modes of an archive", "", "-o a.tar --artifact-mode replay --export-data-mode skip",
			pipeline.ExportOptions{Archive: "a.tar", ArtifactMode: format.Replay, ExportDataMode: format.Skip}},
		{"an archive beats the environment", "EXPORT_DIR=e;ARTIFACT_MODE=replay", "-o a.tar", pipeline.ExportOptions{Archive: "a.tar", ArtifactMode: format.Replay}},
		{"auto from the environment", "ARTIFACT_MODE=auto", "", pipeline.ExportOptions{ArtifactMode: pipeline.AutoMode}},
		{"no environment for an archive", "OUTPUT=a.tar;FORMAT=tar", "", pipeline.ExportOptions{}},
		{"a verbose of a word of its own", "", "--verbose 0 --checksums", pipeline.ExportOptions{Checksums: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(prefixed(test.env)...)
			if rc := f.run(append([]string{"export"}, strings.Fields(test.args)...)); rc != 0 {
				t.Fatalf("exit code %d: %s", rc, f.err.String())
			}
			want := test.want
			if want.StateDir == "" {
				want.StateDir = defaultDir
			}
			if want.ExportDir == "" && want.Archive == "" {
				want.ExportDir = "."
			}
			got := f.exports[0]
			if toStdout := got.Stdout == io.Writer(&f.out); toStdout != (want.Archive != "") {
				t.Errorf("stdout is %v", got.Stdout)
			}
			got.Status, got.Log, got.Stdout, got.Live = nil, nil, nil, pipeline.Live{}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// What is said about a node reaches the options of each command that reads a store for long, and a warning reaches stderr.
func TestLiveFlags(t *testing.T) {
	for _, test := range []struct {
		args        string
		rate, limit int64
	}{
		{"", 0, 1 << 30},
		{"--rate-limit 50MB", 50_000_000, 1 << 30},
		{"--rate-limit 1MiB --wal-limit 2GB", 1 << 20, 2_000_000_000},
		{"--wal-limit 0", 0, 0},
	} {
		f := newFake()
		for _, command := range []string{"export", "verify", "copy --to-state-dir t"} {
			if rc := f.run(strings.Fields(command + " " + test.args)); rc != 0 {
				t.Fatalf("%s %s: exit code %d: %s", command, test.args, rc, f.err.String())
			}
		}
		for _, live := range []pipeline.Live{f.exports[0].Live, f.verifies[0].Live, f.copies[0].Live} {
			f.err.Reset()
			live.Warn("the log grew")
			if live.RateLimit != test.rate || live.LogLimit != test.limit || f.err.String() != "swingport: warning: the log grew\n" {
				t.Errorf("%s: %d and %d, want %d and %d; stderr %q", test.args, live.RateLimit, live.LogLimit, test.rate, test.limit, f.err.String())
			}
		}
	}
	for _, args := range []string{"export --rate-limit 0", "export --rate-limit fast", "copy --to-state-dir t --wal-limit -1", "import --rate-limit 5MB"} {
		if f := newFake(); f.run(strings.Fields(args)) != exitUsage {
			t.Errorf("%s: %s", args, f.err.String())
		}
	}
}

// Only --nice lowers the priority; that it cannot be lowered stops nothing.
func TestNiceFlag(t *testing.T) {
	for _, command := range []string{"export", "import", "verify", "copy --to-state-dir t", "diff a b"} {
		f := newFake()
		called := 0
		f.beNice = func() error { called++; return errors.New("not allowed") }
		for i, args := range []string{"", " --nice"} {
			if rc := f.run(strings.Fields(command + args)); rc != 0 || called != i {
				t.Errorf("%s%s: exit code %d, called %d times: %s", command, args, rc, called, f.err.String())
			}
		}
		if want := "swingport: warning: the priority stays as it is: not allowed\n"; f.err.String() != want {
			t.Errorf("%s: stderr %q", command, f.err.String())
		}
	}
}

func TestImportOptions(t *testing.T) {
	f := newFake(prefixed("EXPORT_DATA_MODE=repair-metadata;CHECK_BLOCK_HEIGHT=9")...)
	args := "import --export-dir e --artifact-mode none --check-block-height=0 --no-check --keep-old --workers=1 --temp-dir=t"
	if rc := f.run(strings.Fields(args)); rc != 0 {
		t.Fatalf("exit code %d: %s", rc, f.err.String())
	}
	got := f.imports[0]
	if got.Status == nil || got.Log != nil {
		t.Errorf("status %v and log %v, want a status and no log", got.Status, got.Log)
	}
	if got.Warn == nil {
		t.Error("nobody is told of warnings before the end")
	}
	got.Status, got.Warn = nil, nil
	want := pipeline.ImportOptions{StateDir: defaultDir, ExportDir: "e", ArtifactMode: format.None,
		ExportDataMode: format.RepairMetadata, CheckBlockHeight: at(0), NoCheck: true, KeepOld: true, Workers: 1, TempDir: "t"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestImportOptionsOfArchives(t *testing.T) {
	for _, test := range []struct {
		env, args string
		want      pipeline.ImportOptions
	}{
		{"", "--input a.tar.gz", pipeline.ImportOptions{Archive: "a.tar.gz"}},
		{"EXPORT_DIR=e", "-i - --max-window 128MiB", pipeline.ImportOptions{Archive: "-", MaxWindow: 128 << 20}},
		{"EXPORT_DIR=e", "--max-item 1.5GB", pipeline.ImportOptions{ExportDir: "e", MaxItem: 15e8}},
		{"", "--max-item 77", pipeline.ImportOptions{ExportDir: ".", MaxItem: 77}},
	} {
		f := newFake(prefixed(test.env)...)
		if rc := f.run(append([]string{"import"}, strings.Fields(test.args)...)); rc != 0 {
			t.Fatalf("%q: exit code %d: %s", test.args, rc, f.err.String())
		}
		got := f.imports[0]
		if hasStdin := got.Stdin != nil; hasStdin != (test.want.Archive != "") {
			t.Errorf("%q: stdin is %v", test.args, got.Stdin)
		}
		test.want.StateDir, got.Status, got.Stdin, got.Warn = defaultDir, nil, nil, nil
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q: got  %+v\nwant %+v", test.args, got, test.want)
		}
	}
}

// hexDigits are those of a SHA-256.
var hexDigits = strings.Repeat("0123456789abcdef", 4)

// Which export data is meant reaches the options of import and verify, in lower case.
func TestTrustFlags(t *testing.T) {
	upper := strings.ToUpper(hexDigits)
	for _, test := range []struct {
		args string
		want pipeline.Trust
	}{
		{"", pipeline.Trust{}},
		{"--expect-export-data-sha256 " + hexDigits, pipeline.Trust{ExportDataSHA256: hexDigits}},
		{"--expect-export-data-sha256=" + upper + " --genesis-hash", pipeline.Trust{ExportDataSHA256: hexDigits, HashGenesis: true}},
		{"--expect-genesis-hash sha256:" + upper, pipeline.Trust{GenesisHash: "sha256:" + hexDigits}},
	} {
		f := newFake()
		for _, command := range []string{"import", "verify"} {
			if rc := f.run(strings.Fields(command + " " + test.args)); rc != 0 {
				t.Fatalf("%s %s: exit code %d: %s", command, test.args, rc, f.err.String())
			}
		}
		if f.imports[0].Trust != test.want || f.verifies[0].Trust != test.want {
			t.Errorf("%s: %+v and %+v, want %+v", test.args, f.imports[0].Trust, f.verifies[0].Trust, test.want)
		}
	}
	for _, args := range []string{"-o a.tar", "--export-data-mode all"} {
		if f := newFake(); f.run(strings.Fields("export --genesis-hash "+args)) != 0 || !f.exports[0].HashGenesis {
			t.Errorf("%s: %s", args, f.err.String())
		}
	}
}

// The time of an archive's files is that of SOURCE_DATE_EPOCH, to the letter.
func TestSourceDate(t *testing.T) {
	for _, test := range []struct {
		value string
		want  int64 // -1 is an error
	}{
		{"", 0}, {"0", 0}, {"1700000000", 1700000000}, {"8589934591", 8589934591}, {"8589934592", -1}, {"-1", -1}, {"+5", -1}, {"07", -1},
		{"1e9", -1}, {"1.0", -1}, {" 1", -1}, {"now", -1}, {"99999999999999999999", -1},
	} {
		f := newFake("SOURCE_DATE_EPOCH=" + test.value)
		rc := f.run([]string{"export", "-o", "a.tar"})
		switch {
		case test.want >= 0 && (rc != 0 || f.exports[0].ModTime != test.want):
			t.Errorf("%q: exit code %d, %s", test.value, rc, f.err.String())
		case test.want < 0:
			want := fmt.Sprintf("swingport: error: SOURCE_DATE_EPOCH %q: not a whole number of seconds from 0 to 8589934591\n"+
				"swingport: hint: see swingport export --help\n", test.value)
			if rc != exitUsage || f.err.String() != want {
				t.Errorf("%q: exit code %d, %s", test.value, rc, f.err.String())
			}
		}
		f = newFake("SOURCE_DATE_EPOCH=" + test.value)
		if rc := f.run([]string{"export"}); rc != 0 {
			t.Errorf("%q and no archive: exit code %d, %s", test.value, rc, f.err.String())
		}
	}
}

func TestParseSize(t *testing.T) {
	for _, test := range []struct {
		text string
		want int64 // 0 is an error
	}{
		{"1", 1}, {"64MiB", 64 << 20}, {"64mib", 64 << 20}, {"64 MiB", 64 << 20}, {"64M", 64e6}, {"1.5GiB", 3 << 29}, {"2TB", 2e12}, {"1PiB", 1 << 50},
		{"0", 0}, {"0.1", 0}, {"", 0}, {"-1", 0}, {"MiB", 0}, {"64 apples", 0}, {"1e3", 0}, {"inf", 0}, {"2PiB", 0}, {"99999999999999999999", 0},
	} {
		if got, err := parseSize(test.text); got != test.want || (err == nil) != (test.want > 0) {
			t.Errorf("parseSize(%q) = %d, %v", test.text, got, err)
		}
	}
}

// The reference's reading of a boolean: what it does not know is as good as not given.
func TestVerbose(t *testing.T) {
	for _, test := range []struct {
		env, args string
		want      bool
	}{
		{"", "", false},
		{"", "--verbose", true},
		{"", "--verbose=", true},
		{"", "--verbose 1", true},
		{"", "--verbose false", false},
		{"", "--verbose --verbose=0", false},
		{"VERBOSE=1", "", true},
		{"VERBOSE=true", "", true},
		{"VERBOSE=", "", true},
		{"VERBOSE=0", "", false},
		{"VERBOSE=false", "", false},
		{"VERBOSE=yes", "", false},
		{"VERBOSE=1", "--verbose=0", false},
	} {
		f := newFake(prefixed(test.env)...)
		if rc := f.run(append([]string{"export"}, strings.Fields(test.args)...)); rc != 0 {
			t.Fatalf("%q %q: exit code %d: %s", test.env, test.args, rc, f.err.String())
		}
		if got := f.exports[0].Log != nil; got != test.want {
			t.Errorf("%q %q: verbose is %v", test.env, test.args, got)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	const seeExport = "see swingport export --help"
	for _, test := range []struct{ env, args, want, hint string }{
		{"", "exprot", `unknown command "exprot"`, `did you mean "export"?`},
		{"", "--state-dir s frobnicate", `unknown command "frobnicate"`, "see swingport --help"},
		{"", "help exprot", `unknown command "exprot"`, `did you mean "export"?`},
		{"", "--nope", "unknown flag: --nope", "see swingport --help"},
		{"", "export --nope", "unknown flag: --nope", seeExport},
		{"", "export -x", "unknown shorthand flag: 'x' in -x", seeExport},
		{"", "export stray", `unexpected argument "stray"`, seeExport},
		{"", "export -- --verbose", `unexpected argument "--verbose"`, seeExport},
		{"", "export --verbose maybe", `unexpected argument "maybe"`, seeExport},
		{"", "export --verbose=maybe", `--verbose "maybe": not one of true, false, 1, 0`, seeExport},
		{"", "export --state-dir", "--state-dir needs a value", seeExport},
		{"", "export --state-dir --verbose", "--state-dir needs a value", seeExport},
		{"", "export --state-dir --", "--state-dir needs a value", seeExport},
		{"", "export --check-block-height --verbose", "--check-block-height needs a value", seeExport},
		{"", "export --check-block-height abc", `--check-block-height "abc": not a block height, which is a whole number`, seeExport},
		{"", "export --check-block-height 007", `--check-block-height "007": not a block height, which is a whole number`, seeExport},
		{"", "export --check-block-height 1.5", `--check-block-height "1.5": not a block height, which is a whole number`, seeExport},
		{"", "export --check-block-height=", `--check-block-height "": not a block height, which is a whole number`, seeExport},
		{"", "export --check-block-height 9007199254740993", `--check-block-height "9007199254740993": not a block height, which is a whole number`, seeExport},
		{"CHECK_BLOCK_HEIGHT=x", "export", `AG_CHAIN_COSMOS_CHECK_BLOCK_HEIGHT "x": not a block height, which is a whole number`, seeExport},
		{"", "export --artifact-mode=", `Invalid value "" for "artifact-mode"`, seeExport},
		{"", "export --artifact-mode Replay", `Invalid value "Replay" for "artifact-mode"`, seeExport},
		{"", "export --export-data-mode repair-metadata", `Invalid value "repair-metadata" for "export-data-mode"`, seeExport},
		{"", "import --export-data-mode some", `Invalid value "some" for "export-data-mode"`, "see swingport import --help"},
		{"", "export --workers 1.5", `--workers "1.5": not a whole number from 0 to 1024`, seeExport},
		{"", "export --workers -1", `--workers "-1": not a whole number from 0 to 1024`, seeExport},
		{"", "export --reader mmap", `--reader "mmap": not one of sweep, engine`, seeExport},
		{"", "export --home=", "--home is empty", seeExport},
		{"HOME=", "import", "--home is empty", "see swingport import --help"},
		{"", "export --keep-old", "unknown flag: --keep-old", seeExport},
		{"", "import --checksums", "unknown flag: --checksums", "see swingport import --help"},
		{"", "import --expect-export-data-sha256 abc", `--expect-export-data-sha256 "abc": not a SHA-256, which is 64 hexadecimal digits`, "see swingport import --help"},
		{"", "import --expect-export-data-sha256=", `--expect-export-data-sha256 "": not a SHA-256, which is 64 hexadecimal digits`, "see swingport import --help"},
		{"", "import --expect-export-data-sha256 --no-check", "--expect-export-data-sha256 needs a value", "see swingport import --help"},
		{"", "verify --expect-export-data-sha256 sha256:" + hexDigits, `--expect-export-data-sha256 "sha256:` + hexDigits + `": not a SHA-256, which is 64 hexadecimal digits`,
			"see swingport verify --help"},
		{"", "verify --expect-genesis-hash " + hexDigits, `--expect-genesis-hash "` + hexDigits + `": not the hash of a genesis file, which is sha256: and 64 hexadecimal digits`,
			"see swingport verify --help"},
		{"", "export --genesis-hash", "--genesis-hash is of the export data, which this export leaves out", "add --export-data-mode all"},
		{"", "export --genesis-hash -o a.tar --export-data-mode skip", "--genesis-hash is of the export data, which this export leaves out", "add --export-data-mode all"},
		{"", "export --include-export-data", `deprecated "include-export-data" options, use "export-data-mode" instead`,
			"leave out --include-export-data and AG_CHAIN_COSMOS_INCLUDE_EXPORT_DATA"},
		{"", "export --export-mode=debug", `deprecated "export-mode" options, use "artifact-mode" instead`,
			"leave out --export-mode and AG_CHAIN_COSMOS_EXPORT_MODE"},
		{"", "import --include-historical", `deprecated "include-historical" options, use "artifact-mode" instead`,
			"leave out --include-historical and AG_CHAIN_COSMOS_INCLUDE_HISTORICAL"},
		{"EXPORT_MODE=x", "export", `deprecated "export-mode" options, use "artifact-mode" instead`,
			"leave out --export-mode and AG_CHAIN_COSMOS_EXPORT_MODE"},
		{"INCLUDE_HISTORICAL=", "import", `deprecated "include-historical" options, use "artifact-mode" instead`,
			"leave out --include-historical and AG_CHAIN_COSMOS_INCLUDE_HISTORICAL"},
		{"", "export --output", "--output needs a value", seeExport},
		{"", "export -o", "--output needs a value", seeExport},
		{"", "export -o --json", "--output needs a value", seeExport},
		{"", "export --output --json", "--output needs a value", seeExport},
		{"", "export --output=", `--output "": empty`, seeExport},
		{"", "-o a.tar exprot", `unknown command "exprot"`, `did you mean "export"?`},
		{"", "export -o backup", "--output backup: neither .tar nor .tar.zst", "say with --format which it is to be: tar or tar.zst"},
		{"", "export -o a.tar --export-dir e", "--output and --export-dir exclude each other", seeExport},
		{"", "export -o a.tar --export-dir=", "--output and --export-dir exclude each other", seeExport},
		{"", "export --format tar", "--format is for archives: it needs --output", seeExport},
		{"", "export --level best", "--level is for archives: it needs --output", seeExport},
		{"", "export -o a.tar --level best", "--level best: a .tar is not packed", seeExport},
		{"", "export -o a.tar.zst --format tar --level default", "--level default: a .tar is not packed", seeExport},
		{"", "export -o a.tar.zst --format zip", `--format "zip": not one of tar, tar.zst`, seeExport},
		{"", "export -o a.tar.zst --level 19", `--level "19": not one of fastest, default, better, best`, seeExport},
		{"", "export -o a.tar --checksums", "--checksums is for directories: an archive has checksums of all that is in it", seeExport},
		{"", "export --snapshots zip", `invalid value "zip" for snapshots, known are raw and gzip`, seeExport},
		{"", "import --artifact-mode auto", `Invalid value "auto" for "artifact-mode"`, "see swingport import --help"},
		{"", "import -i a.tar --export-dir e", "--input and --export-dir exclude each other", "see swingport import --help"},
		{"", "import -i", "--input needs a value", "see swingport import --help"},
		{"", "import --input=", `--input "": empty`, "see swingport import --help"},
		{"", "import --output a.tar", "unknown flag: --output", "see swingport import --help"},
		{"", "import --max-window 1GiB", "--max-window is for archives: it needs --input", "see swingport import --help"},
		{"", "import --max-item huge", `--max-item "huge": not a size like 256MiB`, "see swingport import --help"},
		{"", "import -i - --max-window 0", `--max-window "0": not a size from 1KiB to 2GiB`, "see swingport import --help"},
		{"", "verify a b", `unexpected argument "b"`, "see swingport verify --help"},
		{"", "verify - --input a.tar", "verify takes one of PATH, --state-dir, --export-dir and --input", "see swingport verify --help"},
		{"", "verify --home h --export-dir e", "verify takes one of PATH, --state-dir, --export-dir and --input", "see swingport verify --help"},
		{"", "verify --deep --input a.tar", "--deep is for state directories, and a.tar is an archive", "see swingport verify --help"},
		{"", "verify --deep --export-dir e", "--deep is for state directories, and e is an export directory", "see swingport verify --help"},
		{"", "verify --export-dir=", `--export-dir "": empty`, "see swingport verify --help"},
		{"", "verify --artifact-mode all", `Invalid value "all" for "artifact-mode"`, "see swingport verify --help"},
		{"", "copy", "copy needs --to-state-dir", "see swingport copy --help"},
		{"", "copy s t", `unexpected argument "s"`, "see swingport copy --help"},
		{"", "copy --to-state-dir=", `--to-state-dir "": empty`, "see swingport copy --help"},
		{"", "copy --to-state-dir t --artifact-mode none", `--artifact-mode "none": a store cannot be made without artifacts`, "see swingport copy --help"},
		{"", "copy --to-state-dir t --export-dir e", "unknown flag: --export-dir", "see swingport copy --help"},
		{"", "copy --to-state-dir t --no-verify", "unknown flag: --no-verify", "see swingport copy --help"},
		{"", "list", "list needs an archive or a directory", "see swingport list --help"},
		{"", "list a b", `unexpected argument "b"`, "see swingport list --help"},
		{"", "list a --workers 1", "unknown flag: --workers", "see swingport list --help"},
		{"", "extract", "extract needs an archive", "see swingport extract --help"},
		{"", "extract a.tar", "extract needs the name of a file, or --to for all of them", "see swingport extract --help"},
		{"", "extract a.tar b c", "2 files cannot go to stdout: extract needs --to", "see swingport extract --help"},
		{"", "extract a.tar --to=", `--to "": empty`, "see swingport extract --help"},
		{"", "diff", "diff needs two paths", "see swingport diff --help"},
		{"", "diff a", "diff needs two paths", "see swingport diff --help"},
		{"", "diff a b c", `unexpected argument "c"`, "see swingport diff --help"},
		{"", "diff - -", "only one side can be stdin", "see swingport diff --help"},
		{"", "diff a b --artifact-mode auto", `Invalid value "auto" for "artifact-mode"`, "see swingport diff --help"},
		{"", "import -i - --max-window 1023", `--max-window "1023": not a size from 1KiB to 2GiB`, "see swingport import --help"},
		{"", "list - --max-window 3GiB", `--max-window "3GiB": not a size from 1KiB to 2GiB`, "see swingport list --help"},
		{"", "get", "get needs a key", "see swingport get --help"},
		{"", "get a b", `unexpected argument "b"`, "see swingport get --help"},
		{"", "get k --json", "unknown flag: --json", "see swingport get --help"},
		{"", "height 5", `unexpected argument "5"`, "see swingport height --help"},
		{"", "version 5", `unexpected argument "5"`, "see swingport version --help"},
	} {
		f := newFake(prefixed(test.env)...)
		rc := f.run(strings.Fields(test.args))
		want := "swingport: error: " + test.want + "\nswingport: hint: " + test.hint + "\n"
		if rc != exitUsage || f.err.String() != want || f.out.Len() > 0 || f.calls() > 0 {
			t.Errorf("%q %q: exit code %d, stdout %q, stderr %q", test.env, test.args, rc, f.out.String(), f.err.String())
		}
	}
}

// What the reference reads as no boolean, or only its other command refuses, is overlooked.
func TestReplacedFlagsInTheEnvironment(t *testing.T) {
	f := newFake(prefixed("INCLUDE_EXPORT_DATA=maybe;INCLUDE_HISTORICAL=1")...)
	if rc := f.run([]string{"export"}); rc != 0 {
		t.Errorf("exit code %d: %s", rc, f.err.String())
	}
}

func TestNoCommand(t *testing.T) {
	f := newFake()
	rc := f.run(nil)
	if got := f.err.String(); rc != exitUsage || !strings.Contains(got, "Available Commands:") ||
		!strings.HasSuffix(got, "swingport: error: no command given\nswingport: hint: see swingport --help\n") {
		t.Errorf("exit code %d, stderr %q", rc, got)
	}
}

// The values of flags are also found where shells ask for completions; the last line says what else to offer.
func TestCompletion(t *testing.T) {
	const nothing, extensions, dirs, files = ":4", ":8", ":16", ":0"
	for _, test := range []struct {
		args string
		want []string
	}{
		{"export --artifact-mode", []string{"none", "operational", "replay", "archival", "debug", "auto", nothing}},
		{"import --artifact-mode", []string{"none", "operational", "replay", "archival", "debug", nothing}},
		{"copy --artifact-mode", []string{"operational", "replay", "archival", "debug", "auto", nothing}},
		{"export --format", []string{"tar", "tar.zst", nothing}},
		{"export --level", []string{"fastest", "default", "better", "best", nothing}},
		{"export --snapshots", []string{"raw", "gzip", nothing}},
		{"copy --reader", []string{"sweep", "engine", nothing}},
		{"export --output", []string{"tar", "zst", extensions}},
		{"import --input", []string{"tar", "zst", "gz", "tgz", extensions}},
		{"verify --export-dir", []string{dirs}},
		{"copy --to-state-dir", []string{dirs}},
		{"extract --to", []string{dirs}},
		{"verify", []string{files}},
		{"diff a", []string{files}},
	} {
		f := newFake()
		if rc := f.run(append(append([]string{"__complete"}, strings.Fields(test.args)...), "")); rc != 0 {
			t.Fatalf("%s: exit code %d: %s", test.args, rc, f.err.String())
		}
		if got := strings.Fields(f.out.String()); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %q, not %q", test.args, got, test.want)
		}
	}
}

// Help lists every flag of a command, in one of its groups, within the width.
func TestHelp(t *testing.T) {
	for _, name := range []string{"export", "import", "copy", "verify", "list", "extract", "diff", "get", "height"} {
		f := newFake()
		if rc := f.run([]string{name, "--help"}); rc != 0 || f.err.Len() > 0 {
			t.Fatalf("%s --help: exit code %d, stderr %q", name, rc, f.err.String())
		}
		text := f.out.String()
		for _, want := range []string{"Usage:\n  swingport " + name, "Examples:\n", "Exit codes:", "\nWhere:\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s --help has no %q", name, want)
			}
		}
		cmd, _, err := f.rootCommand().Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if !strings.Contains(text, " --"+flag.Name+" ") {
				t.Errorf("%s --help does not explain --%s", name, flag.Name)
			}
		})
		for line := range strings.Lines(text) {
			if len(line) > helpWidth+1 {
				t.Errorf("%s --help is %d columns wide: %q", name, len(line)-1, line)
			}
		}
	}
}

// prefixed makes an environment of NAME=VALUE;NAME=VALUE.
func prefixed(list string) []string {
	if list == "" {
		return nil
	}
	var environ []string
	for kv := range strings.SplitSeq(list, ";") {
		environ = append(environ, envPrefix+kv)
	}
	return environ
}
