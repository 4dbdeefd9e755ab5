package main

import (
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

const exportLong = `Export a swing-store to a directory, as Agoric's export-kernel-db does: a
manifest, the artifacts and, with --export-data-mode all, the export data.

A node may go on writing to the store: everything in the export is of one
commit, and the store's files do not change. Spans, heap snapshots and bundles
are verified against their hashes; one that does not match ends the export.

The export is there, whole, when export-manifest.json is. An export that fails
leaves none, and one that exists is never overwritten. Without the export data
an export cannot be imported.
` + modesHelp + `
` + referenceEnv + exitHelp

const exportExample = `  # a backup that can be imported again
  swingport export --state-dir ~/.agoric/data/agoric --export-dir backup \
      --artifact-mode replay --export-data-mode all

  # all history, of a known height, with checksums and a summary for a script
  swingport export --export-dir backup --artifact-mode archival \
      --export-data-mode all --check-block-height 10000001 --checksums --json

  # what is left of a damaged store
  swingport export --export-dir rescue --artifact-mode debug \
      --export-data-mode all --no-verify`

// exportCommand is "swingport export".
func (a *app) exportCommand() *cobra.Command {
	var t transferFlags
	var o pipeline.ExportOptions
	var g flagGroups
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Export a store to a directory",
		Long:    exportLong,
		Example: exportExample,
		Args:    noArgs,
	}
	g.group(cmd, "Where", func(f *pflag.FlagSet) {
		t.add(f)
		f.StringVar(&t.exportDir, "export-dir", ".", "`DIR` to export to; made if it is missing")
		f.StringVar(&t.tempDir, "temp-dir", "", "`DIR` for temporary files (default the export directory)")
	})
	g.group(cmd, "What", func(f *pflag.FlagSet) {
		addValue(f, &t.artifactMode, format.ParseArtifactMode, "artifact-mode",
			"`MODE`: none, operational, replay, archival or debug (default operational)")
		addValue(f, &t.exportDataMode, parseExportMode, "export-data-mode", "`MODE`: all or skip (default skip)")
		addBool(f, &o.Checksums, "checksums", "add a SHA256SUMS of all files")
	})
	g.group(cmd, "Checks", func(f *pflag.FlagSet) {
		addValue(f, &t.checkHeight, parseHeight, "check-block-height", "fail unless the store is at height `N`, if that is not 0")
		addBool(f, &o.NoVerify, "no-verify", "export what does not match its hash too, and say so at the end; completeness is checked all the same")
	})
	g.group(cmd, "How", func(f *pflag.FlagSet) {
		addValue(f, &o.Reader, parseReader, "reader", "read the large tables by `WAY`: sweep, page by page, or engine, by SQL, which is slower (default sweep)")
		t.addHow(f)
	})
	completeModes(cmd, "skip", "all")
	completeFlag(cmd, "reader", pipeline.ReaderSweep, pipeline.ReaderEngine)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if o.StateDir, err = t.finish(cmd.Flags(), a.env, "include-export-data", "export-mode"); err != nil {
			return err
		}
		o.ExportDir, o.TempDir, o.Workers = t.exportDir, t.tempDir, t.workers
		o.ArtifactMode, o.ExportDataMode, o.CheckBlockHeight = t.artifactMode, t.exportDataMode, t.checkHeight
		return a.transfer(&t, "exported", func(status *pipeline.Status, log *slog.Logger) (pipeline.Summary, error) {
			o.Status, o.Log = status, log
			return a.export(cmd.Context(), o)
		})
	}
	return cmd
}

func parseExportMode(s string) (format.ExportDataMode, error) {
	return format.ParseExportDataMode(s, false)
}
