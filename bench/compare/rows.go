package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// meaning says what the variables in a row's strings are.
const meaning = "$STORE is the state directory, $DB the database in it, $EXPORT its archival export, $TARGET a directory " +
	"that is new and empty for each run, $SWINGPORT the program built from this tree, $REFERENCE what --reference says"

// A row is one line of the report: a command that is run and measured. Its strings may mention the variables of meaning.
type row struct {
	name      string
	job       job
	reference bool     // this is the reference: it runs fewer rounds, and the others of its job are compared with it
	reads     string   // what it reads: is in the page cache before each run, unless --cold
	command   []string // program and arguments
	source    string   // where the program comes from, if it may be missing
}

// A job is what several rows do, so that their times can be compared.
type job string

const (
	yardstick job = "yardstick" // reads the same bytes, but makes no export
	export    job = "export"
	imports   job = "import"
)

// copyAndHash names the row that all others are compared with.
const copyAndHash = "cp + sha256sum"

const fromInstall = "testdata/reference/install.sh and --reference"

var rows = []row{
	{
		name: copyAndHash, job: yardstick, reads: "$DB",
		command: []string{"sh", "-c", `cp "$DB" "$TARGET/copy" && sha256sum "$DB"`},
	},
	{
		name: "sqlite3 .backup", job: yardstick, reads: "$DB", source: "SQLite's command line",
		command: []string{"sqlite3", "$DB", ".backup '$TARGET/copy'"},
	},
	{
		name: "swingport export", job: export, reads: "$DB",
		command: []string{"$SWINGPORT", "export", "--state-dir=$STORE", "--export-dir=$TARGET", "--artifact-mode=archival", "--export-data-mode=all"},
	},
	{
		name: "reference export", job: export, reference: true, reads: "$DB", source: fromInstall,
		command: []string{"$REFERENCE/ref-swingport", "export", "--state-dir=$STORE", "--export-dir=$TARGET", "--artifact-mode=archival", "--export-data-mode=all"},
	},
	{
		name: "swingport import", job: imports, reads: "$EXPORT",
		command: []string{"$SWINGPORT", "import", "--state-dir=$TARGET", "--export-dir=$EXPORT", "--artifact-mode=archival"},
	},
	{
		name: "swingport import --no-check", job: imports, reads: "$EXPORT",
		command: []string{"$SWINGPORT", "import", "--state-dir=$TARGET", "--export-dir=$EXPORT", "--artifact-mode=archival", "--no-check"},
	},
	{
		name: "reference import", job: imports, reference: true, reads: "$EXPORT", source: fromInstall,
		command: []string{"$REFERENCE/ref-swingport", "import", "--state-dir=$TARGET", "--export-dir=$EXPORT", "--artifact-mode=archival"},
	},
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
	program := v.expand(r.command[0])
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
