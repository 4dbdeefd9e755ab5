package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// meaning says what the variables in a row's strings are.
const meaning = "$STORE is the state directory, $DB the database in it, $EXPORT its archival export, $RAW and $GZIP archives of it with " +
	"raw and gzip snapshots, $SPAN the name of a span in the middle of it, $TARGET a directory that is new and empty for each run, $SWINGPORT the program built from this tree, " +
	"$REFERENCE what --reference says"

// A row is one line of the report: a command that is run and measured. Its strings may mention the variables of meaning.
type row struct {
	name      string
	job       job
	against   string   // name of the row that its time is compared with, the yardstick
	chart     string   // what its bar in the chart is called; "" for rows that are not in it
	reference bool     // this is the reference: it runs fewer rounds, and the others of its job are compared with it
	reads     string   // what it reads: is in the page cache before each run, unless caches are cold
	command   []string // program and arguments
	needs     string   // a program that the command runs, where that is not its first word
	source    string   // where the program comes from, if it may be missing
	halves    []string // names of the rows that do one half each of what this one does in a pipe; they are its yardstick
}

// A job is what several rows do, so that their times can be compared, and what a part of the chart is called.
type job string

const (
	reading job = "copy the database" // makes no export
	export  job = "export to a directory"
	imports job = "import from a directory"
	archive job = "export to an archive"
	unpack  job = "import from an archive"
	pipe    job = "pipe" // a half of a pipe, or the whole
	pick    job = "pick" // one thing out of an archive
)

// Yardsticks.
const (
	copyAndHash   = "cp + sha256sum"
	backup        = "sqlite3 .backup"
	backupAndHash = "sqlite3 .backup + sha256sum"
	tarExport     = "tar c export | zstd -3 -T0"
	tarDatabase   = "tar c db | zstd -3 -T0"
	oneCore       = "export gzip .tar.zst, GOMAXPROCS=1"
)

const (
	fromInstall = "testdata/reference/install.sh and --reference"
	fromSQLite  = "SQLite's command line"
	fromZstd    = "Zstandard's command line"
)

var rows = []row{
	{
		name: copyAndHash, job: reading, chart: "cp + sha256sum", reads: "$DB",
		command: []string{"sh", "-c", `cp "$DB" "$TARGET/copy" && sha256sum "$DB"`},
	},
	{
		name: backup, job: reading, against: copyAndHash, reads: "$DB", source: fromSQLite,
		command: []string{"sqlite3", "$DB", ".backup '$TARGET/copy'"},
	},
	{
		name: backupAndHash, job: reading, against: copyAndHash, chart: "sqlite3 .backup + sha256sum", reads: "$DB", needs: "sqlite3", source: fromSQLite,
		command: []string{"sh", "-c", `sqlite3 "$DB" ".backup '$TARGET/copy'" && sha256sum "$DB"`},
	},
	{
		name: tarDatabase, job: reading, against: copyAndHash, chart: "tar | zstd -3 -T0", reads: "$DB", needs: "zstd", source: fromZstd,
		command: []string{"bash", "-o", "pipefail", "-c", `tar c -C "$STORE" swingstore.sqlite | zstd -3 -T0 -q -o "$TARGET/copy.tar.zst"`},
	},
	{
		name: "swingport export", job: export, against: copyAndHash, chart: "swingport", reads: "$DB",
		command: []string{"$SWINGPORT", "export", "--state-dir=$STORE", "--export-dir=$TARGET", "--artifact-mode=archival", "--export-data-mode=all"},
	},
	{
		name: "reference export", job: export, against: copyAndHash, chart: "reference", reference: true, reads: "$DB", source: fromInstall,
		command: []string{"$REFERENCE/ref-swingport", "export", "--state-dir=$STORE", "--export-dir=$TARGET", "--artifact-mode=archival", "--export-data-mode=all"},
	},
	{
		name: "swingport import", job: imports, against: copyAndHash, chart: "swingport", reads: "$EXPORT",
		command: []string{"$SWINGPORT", "import", "--state-dir=$TARGET", "--export-dir=$EXPORT", "--artifact-mode=archival"},
	},
	{
		name: "swingport import --writer pages", job: imports, against: copyAndHash, chart: "swingport, --writer pages", reads: "$EXPORT",
		command: []string{"$SWINGPORT", "import", "--state-dir=$TARGET", "--export-dir=$EXPORT", "--artifact-mode=archival", "--writer=pages"},
	},
	{
		name: "swingport import --no-check", job: imports, against: copyAndHash, reads: "$EXPORT",
		command: []string{"$SWINGPORT", "import", "--state-dir=$TARGET", "--export-dir=$EXPORT", "--artifact-mode=archival", "--no-check"},
	},
	{
		name: "reference import", job: imports, against: copyAndHash, chart: "reference", reference: true, reads: "$EXPORT", source: fromInstall,
		command: []string{"$REFERENCE/ref-swingport", "import", "--state-dir=$TARGET", "--export-dir=$EXPORT", "--artifact-mode=archival"},
	},
	{
		name: tarExport, job: archive, chart: "tar | zstd -3 -T0 of a finished export", reads: "$EXPORT", needs: "zstd", source: fromZstd,
		command: []string{"bash", "-o", "pipefail", "-c", `tar c -C "$EXPORT" . | zstd -3 -T0 -q -o "$TARGET/copy.tar.zst"`},
	},
	archiveRow("raw", "default", "swingport, raw snapshots"),
	archiveRow("gzip", "default", "swingport, gzip snapshots"),
	archiveRow("raw", "fastest", ""),
	archiveRow("raw", "better", ""),
	{
		name: "export --output x.tar", job: archive, against: tarExport, reads: "$DB",
		command: []string{"$SWINGPORT", "export", "--state-dir=$STORE", "--output=$TARGET/x.tar", "--artifact-mode=archival"},
	},
	coresRow(1),
	coresRow(2),
	importRow("import raw .tar.zst", "$RAW", ""),
	importRow("import gzip .tar.zst", "$GZIP", "swingport, gzip snapshots"),
	importRow("import gzip .tar.zst --writer pages", "$GZIP", "swingport, gzip snapshots, --writer pages", "--writer=pages"),
	{
		name: "half: export raw", job: pipe, reads: "$DB",
		command: []string{"sh", "-c", `"$SWINGPORT" export --state-dir="$STORE" --output=- --artifact-mode=archival >/dev/null`},
	},
	{
		name: "half: export gzip", job: pipe, reads: "$DB",
		command: []string{"sh", "-c", `"$SWINGPORT" export --state-dir="$STORE" --output=- --artifact-mode=archival --snapshots=gzip >/dev/null`},
	},
	{
		name: "half: import raw", job: pipe, reads: "$RAW",
		command: []string{"sh", "-c", `"$SWINGPORT" import --state-dir="$TARGET" --input=- <"$RAW"`},
	},
	{
		name: "half: import gzip", job: pipe, reads: "$GZIP",
		command: []string{"sh", "-c", `"$SWINGPORT" import --state-dir="$TARGET" --input=- <"$GZIP"`},
	},
	pipeRow("raw"),
	pipeRow("gzip"),
	{
		name: "copy", job: pipe, against: copyAndHash, reads: "$DB",
		command: []string{"$SWINGPORT", "copy", "--state-dir=$STORE", "--to-state-dir=$TARGET", "--artifact-mode=archival"},
	},
	{
		name: "verify archive", job: pick, reads: "$RAW",
		command: []string{"$SWINGPORT", "verify", "--input=$RAW"},
	},
	{
		name: "extract one span", job: pick, reads: "$RAW",
		command: []string{"$SWINGPORT", "extract", "$RAW", "$SPAN", "--to=$TARGET/out"},
	},
}

func archiveRow(snapshots, level, chart string) row {
	return row{
		name: fmt.Sprintf("export --snapshots %s --level %s", snapshots, level), job: archive, against: tarExport, chart: chart, reads: "$DB",
		command: []string{"$SWINGPORT", "export", "--state-dir=$STORE", "--output=$TARGET/x.tar.zst", "--artifact-mode=archival",
			"--snapshots=" + snapshots, "--level=" + level},
	}
}

// coresRow is an export on so many cores, to see what the second one is good for.
func coresRow(cores int) row {
	return row{
		name: fmt.Sprintf("export gzip .tar.zst, GOMAXPROCS=%d", cores), job: archive, against: oneCore, reads: "$DB",
		command: []string{"env", fmt.Sprintf("GOMAXPROCS=%d", cores), "$SWINGPORT", "export", "--state-dir=$STORE", "--output=$TARGET/x.tar.zst",
			"--artifact-mode=archival", "--snapshots=gzip"},
	}
}

func importRow(name, from, chart string, flags ...string) row {
	return row{
		name: name, job: unpack, against: backupAndHash, chart: chart, reads: from,
		command: append([]string{"$SWINGPORT", "import", "--state-dir=$TARGET", "--input=" + from}, flags...),
	}
}

func pipeRow(snapshots string) row {
	return row{
		name: "export | import " + snapshots, job: pipe, reads: "$DB", halves: []string{"half: export " + snapshots, "half: import " + snapshots},
		command: []string{"bash", "-o", "pipefail", "-c", `"$SWINGPORT" export --state-dir="$STORE" --output=- --artifact-mode=archival --snapshots=` +
			snapshots + ` | "$SWINGPORT" import --state-dir="$TARGET" --input=-`},
	}
}

func chosen(rows []row, only *regexp.Regexp) []row {
	var some []row
	for _, r := range rows {
		if only.MatchString(r.name) {
			some = append(some, r)
		}
	}
	return some
}

// variables are the values of what a row's strings mention, by name.
type variables map[string]string

func (v variables) expand(s string) string {
	return os.Expand(s, func(name string) string { return v[name] })
}

func (v variables) argv(r row) []string {
	argv := make([]string, len(r.command))
	for i, arg := range r.command {
		argv[i] = v.expand(arg)
	}
	return argv
}

// missing is why the row cannot run; "" if it can.
func (v variables) missing(r row) string {
	program := v.expand(cmp.Or(r.needs, r.command[0]))
	if _, err := exec.LookPath(program); err == nil || r.source == "" {
		return ""
	}
	return filepath.Base(program) + " is missing: " + r.source
}

// line is the row's command as one types it in a shell where the variables are set.
func (r row) line() string {
	words := make([]string, len(r.command))
	for i, word := range r.command {
		words[i] = quote(word)
	}
	return strings.Join(words, " ")
}

func quote(word string) string {
	switch {
	case !strings.ContainsAny(word, ` '"&|<>;`):
		return word
	case strings.Contains(word, `"`):
		return "'" + word + "'"
	}
	return `"` + word + `"`
}
