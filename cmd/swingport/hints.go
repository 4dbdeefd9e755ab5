package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"unicode"

	"github.com/spf13/cobra"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

// Exit codes. A run that a signal stopped has 128 and the signal's number.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	exitNo     = 3 // the answer is no
)

func exitCode(err error) int {
	var stopped *signalError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &stopped):
		return 128 + int(stopped.sig)
	case errors.As(err, new(*usageError)):
		return exitUsage
	case errors.As(err, new(*noError)), errors.As(err, new(*pipeline.MissingError)):
		return exitNo
	}
	return exitFailed
}

// A noError is the answer no. Its text is "" where stdout has said it.
type noError struct{ text string }

func (e *noError) Error() string { return e.text }

// report prints an error of cmd, and a hint where one helps.
func (a *app) report(err error, cmd *cobra.Command) {
	var no *noError
	if errors.As(err, &no) && no.text == "" {
		return
	}
	a.warn("error", err.Error())
	if h := hint(err, cmd); h != "" {
		a.warn("hint", h)
	}
}

// hint says what to do about an error of cmd, or is "".
func hint(err error, cmd *cobra.Command) string {
	var usage *usageError
	switch {
	case errors.As(err, new(*signalError)):
		return ""
	case errors.As(err, &usage):
		if usage.hint != "" {
			return usage.hint
		}
		return fmt.Sprintf("see %s --help", cmd.CommandPath())
	}
	for _, about := range []func(error, *cobra.Command) string{systemHint, archiveHint, importHint, storeHint} {
		if h := about(err, cmd); h != "" {
			return h
		}
	}
	return ""
}

// systemHint is about what the machine refuses.
func systemHint(err error, cmd *cobra.Command) string {
	switch {
	case errors.Is(err, pipeline.ErrLogUnreadable):
		return "run as the user that the node runs as, or copy the directory and read the copy"
	case errors.As(err, new(*pipeline.SpaceError)):
		return "make room" + places(cmd) + "; sizes are of what is not packed by the file system: --no-space-check begins all the same"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "the disk is full: make room" + places(cmd)
	case errors.Is(err, syscall.ENOLCK):
		return "the file system cannot lock files, which a store needs: mount it with locks, or copy the directory to another disk while no node runs"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "too many files are open: raise the limit with ulimit -n"
	case errors.Is(err, fs.ErrPermission):
		return "run as the user that the node runs as, or check who owns the directories"
	}
	return ""
}

// places are the flags of cmd that say where it writes: ", or name other places with --output and --temp-dir".
func places(cmd *cobra.Command) string {
	var names []string
	for _, name := range []string{"output", "export-dir", "state-dir", "to-state-dir", "to", "temp-dir"} {
		reads := name == "state-dir" && cmd.Name() != "import" || name == "export-dir" && cmd.Name() != "export"
		if cmd.Flags().Lookup(name) != nil && !reads {
			names = append(names, "--"+name)
		}
	}
	last := len(names) - 1
	if last < 0 {
		return ""
	}
	list := names[last]
	if last > 0 {
		list = strings.Join(names[:last], ", ") + " and " + list
	}
	return ", or name other places with " + list
}

// archiveHint is about an archive, whoever reads or writes it.
func archiveHint(err error, cmd *cobra.Command) string {
	switch {
	case errors.Is(err, pipeline.ErrReaderGone):
		return "whatever read it ended early: its own error says why"
	case errors.Is(err, format.ErrArchiveVersion):
		return "a newer swingport made this archive: import it with that one, or unpack it with tar and import the directory"
	case errors.Is(err, io.ErrUnexpectedEOF) && input(cmd) == stdio:
		return "the stream ended early: the error of whatever wrote it says why"
	case errors.Is(err, io.ErrUnexpectedEOF) && input(cmd) != "":
		return "the archive is not whole: copy it again, or export again"
	case errors.Is(err, fs.ErrNotExist) && input(cmd) != "" && cmd.Name() == "import" && !errors.Is(err, pipeline.ErrNoStore):
		return "check --input: it is the archive to import"
	case errors.As(err, new(*pipeline.ExistsError)) && given(cmd, "output"):
		return "choose another name: what exists is never overwritten"
	case errors.As(err, new(*pipeline.MissingError)):
		return "swingport list --long shows what is there"
	case errors.Is(err, pipeline.ErrKind) && cmd.Name() == "verify" && strings.Contains(err.Error(), "say which"):
		return "with --state-dir or --export-dir"
	}
	return ""
}

// input is the archive that cmd reads, "" if that is not known.
func input(cmd *cobra.Command) string {
	args := cmd.Flags().Args()
	switch cmd.Name() {
	case "import", "verify":
		if given(cmd, "input") {
			return cmd.Flags().Lookup("input").Value.String()
		}
	}
	switch cmd.Name() {
	case "verify", "list", "extract":
		if len(args) > 0 {
			return args[0]
		}
	}
	return ""
}

// given says whether the command line has the flag.
func given(cmd *cobra.Command, flag string) bool { return cmd.Flags().Changed(flag) }

// importHint is about an export that cannot be imported.
func importHint(err error, cmd *cobra.Command) string {
	if cmd.Name() != "import" {
		return ""
	}
	switch {
	case errors.Is(err, pipeline.ErrNoExportData):
		return "this export was made without its export data and cannot be imported: export again with --export-data-mode all"
	case errors.As(err, new(*pipeline.UntrustedError)):
		return "this is not the export that is meant: get it again from whoever made it, or check the hash that was given"
	case errors.Is(err, format.ErrHashMismatch):
		return "the export is damaged: copy it again, or export again"
	case errors.As(err, new(*pipeline.IncompleteError)):
		return ""
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, format.ErrIncomplete):
		return "the export is not whole: copy it again, or export again"
	case errors.Is(err, format.ErrMode):
		return "an export can be imported in its own mode or a lower one (operational, replay, archival); without --artifact-mode it is its own"
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, pipeline.ErrNoStore):
		return "check --export-dir: it is the directory that holds export-manifest.json and the files that it names"
	}
	return ""
}

// storeHint is about the store, or what has to do with both store and export.
func storeHint(err error, cmd *cobra.Command) string {
	var incomplete *pipeline.IncompleteError
	var inUse *pipeline.InUseError
	switch {
	case errors.As(err, &incomplete):
		return incompleteHint(incomplete, cmd.Name())
	case errors.As(err, &inUse), stages.Busy(err):
		return "stop the node, or whatever else has the store open, and try again"
	case errors.As(err, new(*pipeline.ExistsError)):
		return "choose an empty directory: what exists is never overwritten"
	case errors.Is(err, pipeline.ErrNoStore):
		return "check --state-dir and --home: the state directory is the one that holds swingstore.sqlite"
	case errors.Is(err, pipeline.ErrNotStore), errors.Is(err, stages.ErrDamaged), stages.Damaged(err):
		return "the file is damaged or no swing-store: check --state-dir, or restore swingstore.sqlite from a backup"
	case errors.Is(err, format.ErrHashMismatch):
		return hashHint(cmd.Name())
	}
	return ""
}

func hashHint(command string) string {
	switch command {
	case "export":
		return "the store is damaged: restore it from a backup; --no-verify exports it as it is"
	case "copy":
		return "the store is damaged: restore it from a backup; swingport verify finds all that is wrong"
	case "extract":
		return "the archive is damaged: copy it again, or export again"
	}
	return ""
}

// maxLacks is how many of the missing things a hint names.
const maxLacks = 5

func incompleteHint(e *pipeline.IncompleteError, command string) string {
	lacks := e.Lacks
	if n := len(lacks) - maxLacks; n > 0 {
		lacks = append(lacks[:maxLacks:maxLacks], fmt.Sprintf("and %d more", n))
	}
	advice := "no artifact mode fits what is left; restore from a backup or state-sync"
	if e.Possible != "" {
		advice = fmt.Sprintf("%s with --artifact-mode %s would work", command, e.Possible)
	}
	return strings.Join(append(lacks[:len(lacks):len(lacks)], advice), "; ")
}

// warnAtOnce prints a warning while a run goes on.
func (a *app) warnAtOnce(text string) { a.warn("warning", text) }

// warn prints one line of stderr: what it is (error, hint, warning, defect)
// and the text.
func (a *app) warn(what, text string) { a.stderr.line(what, clean(text)) }

// clean makes one line of text: line ends are folded, and other control
// characters, which a file name may bring along, do not reach the terminal.
func clean(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, word := range words {
		words[i] = strings.TrimSpace(strings.Map(printable, word))
	}
	return strings.Join(words, " ")
}

func printable(r rune) rune {
	if r != '\t' && unicode.IsControl(r) {
		return '?'
	}
	return r
}
