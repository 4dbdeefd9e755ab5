package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/pipeline"
)

const extractLong = `Take single files out of an archive, or all of them, without importing it. Each
is compared with its hash. Of an archive that is a file, only the parts that are
needed are read; one from a pipe (-), or of another program, is read to its end.

NAME is an artifact as swingport list --long shows it, export-data.jsonl or
export-manifest.json. Heap snapshots that the archive holds packed are unpacked,
or taken as they are with .gz behind the name.

One file goes to stdout, several into the directory --to. There all of them
appear or none, and nothing that exists is overwritten. With --to and no NAME it
is a whole export directory, which import takes, and the reference's import too
unless heap snapshots are packed in it.

Exit codes: 0 done, 1 failed, 2 usage, 3 no such file, 130 stopped by SIGINT,
143 by SIGTERM.`

const extractExample = `  swingport extract backup.tar.zst export-manifest.json
  swingport extract backup.tar.zst transcript.v7.0.202 snapshot.v7.200 --to v7

  # the directory that the reference imports
  swingport extract backup.tar.zst --to backup`

// extractCommand is "swingport extract".
func (a *app) extractCommand() *cobra.Command {
	var h howFlags
	var l limitFlags
	var o pipeline.ExtractOptions
	var g flagGroups
	cmd := &cobra.Command{
		Use:     "extract ARCHIVE [NAME...]",
		Short:   "Take files out of an archive",
		Long:    extractLong,
		Example: extractExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("extract needs an archive")
			}
			return nil
		},
	}
	g.group(cmd, "Where", func(f *pflag.FlagSet) {
		addValue(f, &o.To, parseFile, "to", "`DIR` to put the files into; made if it is missing")
		f.StringVar(&h.tempDir, "temp-dir", "", "`DIR` for temporary files (default that of --to, or the system's)")
	})
	g.group(cmd, "How", func(f *pflag.FlagSet) {
		l.addWindow(f)
		h.addOutput(f)
	})
	completeDirs(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.Path, o.Names, o.Stdin, o.Stdout = args[0], args[1:], a.stdin, a.stdout
		o.MaxWindow, o.TempDir = l.window, h.tempDir
		if err := a.checkExtract(o); err != nil {
			return err
		}
		status := new(pipeline.Status)
		o.Status = status
		stop := a.stderr.watch(status, h.verbose)
		sum, err := a.extract(cmd.Context(), o)
		stop()
		a.warnings(sum.Warnings)
		if err != nil {
			return err
		}
		return a.printExtract(sum, o.To == "", h.json)
	}
	return cmd
}

// checkExtract refuses what cannot be, and terminals: a heap or a bundle is not for one.
func (a *app) checkExtract(o pipeline.ExtractOptions) error {
	switch {
	case o.To == "" && len(o.Names) == 0:
		return usagef("extract needs the name of a file, or --to for all of them")
	case o.To == "" && len(o.Names) > 1:
		return usagef("%d files cannot go to stdout: extract needs --to", len(o.Names))
	case o.To == "" && isTerminal(a.stdout):
		return usageHint("redirect stdout to a file or a pipe, or name a directory with --to", "the content of an archive is not for a terminal")
	}
	return a.refuseTerminal(o.Path)
}

func (a *app) printExtract(sum pipeline.ExtractSummary, toStdout, asJSON bool) error {
	line := fmt.Appendf(nil, "extracted %s: %s in %s\n", plural(int64(sum.Files), "file"), formatBytes(float64(sum.Bytes)), formatSeconds(sum.Seconds))
	if asJSON {
		var err error
		if line, err = jsonLine(sum); err != nil {
			return err
		}
	}
	if !toStdout {
		return a.print(line)
	}
	if !asJSON {
		return nil // stdout has said it
	}
	_, err := a.stderr.Write(line)
	return err
}
