package main

import (
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

const importLong = `Import an export, a directory or an archive, into a new store, as Agoric's
import-kernel-db does.

Everything is checked on the way: the manifest, the export data, every artifact
against its hash, SHA256SUMS where there is one, and in the end that the store
is complete for its mode. The new store is built inside the state directory and
then put in the place of the old one, which until then is as it was. Other
files in the state directory stay. Stop the node first.

An export can be imported in its own mode or a lower one: operational, replay,
archival. Archives are told by their content, not their name: those of swingport
export --output, and any tar of an export directory, as it is or in zstd or
gzip. From a pipe (-) they are read once; of a tar of another program, what
stands in front of its manifest and export data waits in a temporary file.
Rows are inserted by SQL. With --writer pages the pages of the two large tables
and of their indexes are built and written one after the other, which is faster
and gives the same rows; the checks at the end are the same.
With --export-data-mode repair-metadata nothing is replaced: metadata
rows that the store has lost are added to it, which needs --artifact-mode none
and --check-block-height.
` + trustHelp + modesHelp + `
` + referenceEnv + exitHelp

const importExample = `  # restore a backup, in the mode in which it was made
  swingport import --state-dir ~/.agoric/data/agoric --export-dir backup

  # an archive, from a file and from another machine
  swingport import --input backup.tar.zst
  ssh old-host swingport export -o - | swingport import -i -

  # keep the old store beside the new one
  swingport import --export-dir backup --check-block-height 10000001 --keep-old

  # add lost metadata to the store at this height
  swingport import --export-dir backup --export-data-mode repair-metadata \
      --artifact-mode none --check-block-height 10000001`

// importCommand is "swingport import".
func (a *app) importCommand() *cobra.Command {
	var t transferFlags
	var in inputFlags
	var trust trustFlags
	var plan planFlags
	var o pipeline.ImportOptions
	var g flagGroups
	cmd := &cobra.Command{
		Use:     "import",
		Short:   "Import an export into a new store",
		Long:    importLong,
		Example: importExample,
		Args:    noArgs,
	}
	g.group(cmd, "Where", func(f *pflag.FlagSet) {
		t.storeFlags.add(f)
		f.StringVar(&t.exportDir, "export-dir", ".", "`DIR` that holds export-manifest.json")
		in.add(f)
		f.StringVar(&t.tempDir, "temp-dir", "", "`DIR` for temporary files (default the state directory)")
		addBool(f, &o.KeepOld, "keep-old", "keep the old database, under a name that says its height")
	})
	g.group(cmd, "What", func(f *pflag.FlagSet) {
		addValue(f, &t.artifactMode, format.ParseArtifactMode, "artifact-mode",
			"`MODE`: operational, replay, archival or debug; none with repair-metadata (default that of the export)")
		addValue(f, &t.exportDataMode, parseImportMode, "export-data-mode", "`MODE`: all or repair-metadata (default all)")
	})
	g.group(cmd, "Checks", func(f *pflag.FlagSet) {
		addValue(f, &t.checkHeight, parseHeight, "check-block-height", "fail unless the export is of height `N`")
		trust.add(f)
		addBool(f, &o.NoCheck, "no-check", "leave out the final quick_check of the new database")
		plan.add(f)
		in.limits.add(f)
	})
	g.group(cmd, "How", func(f *pflag.FlagSet) {
		addValue(f, &o.Writer, oneOf(writers), "writer",
			"fill the large tables by `WAY`: inserts, by SQL, or pages, page by page, which is faster (default inserts)")
		t.howFlags.add(f)
	})
	completeFlag(cmd, "writer", writers...)
	completeDirs(cmd)
	completeModes(cmd, artifactModes, "all", "repair-metadata")
	in.complete(cmd)
	trust.complete(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if o.StateDir, err = t.finish(cmd.Flags(), a.env, "include-historical"); err != nil {
			return err
		}
		if err = in.finish(a, cmd.Flags()); err != nil {
			return err
		}
		o.ExportDir, o.TempDir, o.Workers = t.exportDir, t.tempDir, t.workers
		o.MaxItem, o.MaxWindow = in.limits.item, in.limits.window
		limitMemory(a.env, in.limits.item)
		if in.file != "" {
			o.ExportDir, o.Archive, o.Stdin = "", in.file, a.stdin
		}
		o.ArtifactMode, o.ExportDataMode, o.CheckBlockHeight = t.artifactMode, t.exportDataMode, t.checkHeight
		o.Trust = trust.Trust
		o.NoSpaceCheck, o.Warn = plan.noSpaceCheck, a.warnAtOnce
		if plan.dryRun {
			p, err := a.planImport(cmd.Context(), o)
			return a.printPlan(p, err, t.json)
		}
		verb := "imported"
		if o.ExportDataMode == format.RepairMetadata {
			verb = "repaired metadata with"
		}
		return a.transfer(&t, verb, func(status *pipeline.Status, log *slog.Logger) (pipeline.Summary, error) {
			o.Status, o.Log = status, log
			return a.importInto(cmd.Context(), o)
		})
	}
	return cmd
}

var writers = []string{pipeline.WriterInserts, pipeline.WriterPages}

func parseImportMode(s string) (format.ExportDataMode, error) {
	return format.ParseExportDataMode(s, true)
}
