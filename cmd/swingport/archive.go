package main

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"swingport/pipeline"
	"swingport/stages"
)

// stdio names stdin or stdout where a file could stand.
const stdio = "-"

// Formats and levels of archives.
var (
	archiveFormats = []string{pipeline.FormatTar, pipeline.FormatTarZstd}
	archiveLevels  = []string{"fastest", "default", "better", "best"}
)

// outputFlags say which archive to write.
type outputFlags struct{ file, format, level string }

func (o *outputFlags) add(f *pflag.FlagSet) {
	f.VarP(&value[string]{to: &o.file, parse: parseFile}, "output", "o", "export to the archive `FILE`, or to stdout (-), instead of a directory")
}

func (o *outputFlags) addArchive(f *pflag.FlagSet) {
	addValue(f, &o.format, oneOf(archiveFormats), "format", "`FORMAT`: tar or tar.zst (default by the end of FILE; tar.zst for stdout, pipes and devices)")
	addValue(f, &o.level, oneOf(archiveLevels), "level", "pack by `LEVEL`: fastest, default, better or best (default default)")
}

func (o *outputFlags) complete(cmd *cobra.Command) {
	cmd.MarkFlagFilename("output", "tar", "zst") //nolint:errcheck // fails only for a flag that is not there
	completeFlag(cmd, "format", archiveFormats...)
	completeFlag(cmd, "level", archiveLevels...)
}

// finish refuses flags that mean nothing together, and terminals.
func (o *outputFlags) finish(a *app, flags *pflag.FlagSet) error {
	switch {
	case o.file == "" && flags.Changed("format"):
		return usagef("--format is for archives: it needs --output")
	case o.file == "" && flags.Changed("level"):
		return usagef("--level is for archives: it needs --output")
	case o.file == "":
		return nil
	case flags.Changed("export-dir"):
		return usagef("--output and --export-dir exclude each other")
	case flags.Changed("checksums"):
		return usagef("--checksums is for directories: an archive has checksums of all that is in it")
	case o.packed() == "":
		return usageHint("say with --format which it is to be: tar or tar.zst", "--output %s: neither .tar nor .tar.zst", o.file)
	case o.level != "" && o.packed() == pipeline.FormatTar:
		return usagef("--level %s: a .tar is not packed", o.level)
	case o.file == stdio && isTerminal(a.stdout) || terminalFile(o.file):
		return usageHint("redirect stdout to a file or a pipe, or name a file with --output", "an archive is not for a terminal")
	}
	return nil
}

// packed is the format of the archive, "" if nothing says it.
func (o *outputFlags) packed() string {
	if o.format != "" {
		return o.format
	}
	return pipeline.ArchiveFormat(o.file)
}

// inputFlags say which archive to read, and what it may ask for.
type inputFlags struct {
	file   string
	limits limitFlags
}

func (i *inputFlags) add(f *pflag.FlagSet) {
	f.VarP(&value[string]{to: &i.file, parse: parseFile}, "input", "i", "read the archive `FILE`, or stdin (-), instead of a directory")
}

func (i *inputFlags) complete(cmd *cobra.Command) {
	cmd.MarkFlagFilename("input", "tar", "zst", "gz", "tgz") //nolint:errcheck // fails only for a flag that is not there
}

func (i *inputFlags) finish(a *app, flags *pflag.FlagSet) error {
	switch {
	case i.file == "" && flags.Changed("max-window"):
		return usagef("--max-window is for archives: it needs --input")
	case i.file == "":
		return nil
	case flags.Changed("export-dir"):
		return usagef("--input and --export-dir exclude each other")
	case isDir(i.file):
		return usageHint("name it with --export-dir", "--input %s: a directory is no archive", i.file)
	}
	return a.refuseTerminal(i.file)
}

// refuseTerminal fails where an archive would be read from a terminal.
func (a *app) refuseTerminal(name string) error {
	if name == stdio && isTerminal(a.stdin) {
		return usageHint("redirect a file or a pipe into it", "stdin is a terminal, not an archive")
	}
	return nil
}

// limitFlags raise what an archive may ask for.
type limitFlags struct{ item, window int64 }

func (l *limitFlags) add(f *pflag.FlagSet) {
	l.addItem(f, humanize.IBytes(stages.DefaultMaxItem))
	l.addWindow(f)
}

// addBoth is add for a command that reads stores too.
func (l *limitFlags) addBoth(f *pflag.FlagSet) {
	l.addItem(f, humanize.IBytes(stages.DefaultMaxItem)+", of a store "+humanize.IBytes(stages.DefaultStoreItem))
	l.addWindow(f)
}

func (l *limitFlags) addItem(f *pflag.FlagSet, by string) {
	addValue(f, &l.item, parseSize, "max-item", "the largest item, line or bundle to take, a `SIZE` like 256MiB; memory grows with it (default "+by+")")
}

func (l *limitFlags) addWindow(f *pflag.FlagSet) {
	addValue(f, &l.window, parseWindow, "max-window",
		"the largest window of a zstd stream to take, a `SIZE` (default "+humanize.IBytes(stages.DefaultMaxWindow)+")")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// isTerminal says whether one of our streams is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	conn, err := f.SyscallConn() // Fd would make a stream that cannot block one that does
	if err != nil {
		return false
	}
	terminal := false
	err = conn.Control(func(fd uintptr) { terminal = term.IsTerminal(int(fd)) })
	return err == nil && terminal
}

// terminalFile says whether the file of that name is a terminal: /dev/stdout, /dev/tty.
func terminalFile(name string) bool {
	info, err := os.Stat(name)
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	f, err := os.OpenFile(name, os.O_WRONLY|syscall.O_NOCTTY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false // whoever writes to it says why
	}
	defer f.Close()
	return isTerminal(f)
}
