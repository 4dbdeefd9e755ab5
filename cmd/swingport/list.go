package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

const listLong = `List what is in an archive or an export directory: block height, artifact mode,
and how many files of which kind there are, with their bytes. --long lists each
file too, in the order of the archive or the manifest.

Of an archive that is a file, only the index at its end is read; one from a pipe
(-), or of another program, is read to its end. Contents are not verified: that
is what swingport verify does.

Exit codes: 0 done, 1 failed, 2 usage, 130 stopped by SIGINT, 143 by SIGTERM.`

const listExample = `  swingport list backup.tar.zst
  swingport list --long backup.tar.zst
  ssh backup-host cat backup.tar.zst | swingport list - --json`

// listCommand is "swingport list".
func (a *app) listCommand() *cobra.Command {
	var h howFlags
	var l limitFlags
	var o pipeline.ListOptions
	var long bool
	var g flagGroups
	cmd := &cobra.Command{
		Use:     "list PATH",
		Short:   "List what is in an archive or an export directory",
		Long:    listLong,
		Example: listExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("list needs an archive or a directory")
			}
			return refuseArgs(args, 1)
		},
	}
	g.group(cmd, "Where", func(f *pflag.FlagSet) {
		f.StringVar(&h.tempDir, "temp-dir", "", "`DIR` for temporary files (default the system's)")
	})
	g.group(cmd, "What", func(f *pflag.FlagSet) {
		addBool(f, &long, "long", "list each file too")
	})
	g.group(cmd, "How", func(f *pflag.FlagSet) {
		l.addWindow(f)
		h.addOutput(f)
	})
	completeDirs(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.Path, o.Stdin, o.MaxWindow, o.TempDir = args[0], a.stdin, l.window, h.tempDir
		if err := a.refuseTerminal(o.Path); err != nil {
			return err
		}
		out := &pages{a: a}
		print := printList
		if h.json {
			print = printListJSON
		}
		status := new(pipeline.Status)
		o.Status = status
		stop := a.stderr.watch(status, h.verbose)
		defer stop()
		return print(out, long, func(each func(pipeline.ListEntry) error) (pipeline.Listing, error) {
			o.Each = each
			return a.list(cmd.Context(), o)
		})
	}
	return cmd
}

// pages collects what goes to stdout, to be written in large pieces of whole
// lines, until one cannot be.
type pages struct {
	bytes.Buffer
	a      *app
	broken bool
}

const pageBytes = 64 << 10

// turn writes what there is if that is a page.
func (p *pages) turn() error {
	if p.Len() < pageBytes {
		return nil
	}
	return p.end()
}

// end writes what there is.
func (p *pages) end() error {
	if p.broken || p.Len() == 0 {
		return nil
	}
	err := p.a.print(p.Bytes())
	p.Reset()
	p.broken = err != nil
	return err
}

// A listJob lists, and gives each entry to each, if that is not nil.
type listJob func(each func(pipeline.ListEntry) error) (pipeline.Listing, error)

// printList prints the entries if all of them are wanted, then the table.
func printList(out *pages, long bool, job listJob) error {
	var each func(pipeline.ListEntry) error
	if long {
		each = func(e pipeline.ListEntry) error {
			name := e.Name
			if e.Packed {
				name = format.GzipSnapshots.File(name)
			}
			fmt.Fprintf(out, "%13d  %s\n", e.Bytes, clean(name))
			return out.turn()
		}
	}
	l, err := job(each)
	if err != nil {
		return errors.Join(err, out.end()) // with the entries that there are
	}
	if long {
		fmt.Fprintln(out)
	}
	printListing(out, l)
	return out.end()
}

// printListing prints what is in l as a line and a table.
func printListing(w io.Writer, l pipeline.Listing) {
	fmt.Fprintf(w, "%s%s", l.Kind, heightAndMode(l.BlockHeight, l.ArtifactMode))
	if l.Kinds.Snapshots.Count > 0 {
		fmt.Fprintf(w, ", snapshots %s", l.Snapshots)
	}
	if l.CompressedBytes > 0 {
		fmt.Fprintf(w, ", file of %s", formatBytes(float64(l.CompressedBytes)))
	}
	fmt.Fprintf(w, "\n\n%-11s  %9s  %9s\n", "kind", "files", "bytes")
	k, total := l.Kinds, pipeline.ListCount{}
	for _, row := range []struct {
		name  string
		count pipeline.ListCount
	}{{"snapshots", k.Snapshots}, {"spans", k.Spans}, {"bundles", k.Bundles}, {"export data", k.ExportData}} {
		fmt.Fprintf(w, "%-11s  %9d  %9s\n", row.name, row.count.Count, formatBytes(float64(row.count.Bytes)))
		total.Count += row.count.Count
	}
	fmt.Fprintf(w, "%-11s  %9d  %9s\n", "total", total.Count, formatBytes(float64(l.Bytes)))
	if !l.ExportData {
		fmt.Fprintln(w, "without export data: this cannot be imported")
	}
}

// printListJSON prints one object. Its entries come first, one a line, since
// there can be millions and what they add up to is known behind them.
func printListJSON(out *pages, long bool, job listJob) error {
	var each func(pipeline.ListEntry) error
	separator := `{"entries":[`
	if long {
		each = func(e pipeline.ListEntry) error {
			line, err := jsonLine(e)
			if err != nil {
				return err
			}
			out.WriteString(separator + "\n")
			out.Write(bytes.TrimSuffix(line, []byte("\n")))
			separator = ","
			return out.turn()
		}
	}
	l, err := job(each)
	if err != nil {
		return err
	}
	line, err := jsonLine(l)
	if err != nil {
		return err
	}
	if long {
		if separator != "," {
			out.WriteString(separator)
		}
		out.WriteString("\n],")
		line = line[1:]
	}
	out.Write(line)
	return out.end()
}
