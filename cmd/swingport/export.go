package main

import (
	"log/slog"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

const exportLong = `Export a swing-store to a directory, as Agoric's export-kernel-db does: a
manifest, the artifacts and, with --export-data-mode all, the export data. Or,
with --output, to an archive.

A node may go on writing to the store: everything in the export is of one
commit, and the store's files do not change. Spans, heap snapshots and bundles
are verified against their hashes; one that does not match ends the export.

The export is there, whole, when export-manifest.json is. An export that fails
leaves none, and one that exists is never overwritten. Without the export data
an export cannot be imported.

With --resume an export that ends early, by an error or a signal, keeps the
artifacts that are whole in a folder .swingport-export-* of the directory. The
next one with --resume, which need not be at the same height, takes over each
that is byte by byte what the store has, also from an export that was killed;
the result is the same as without a break. One without --resume removes them.

An archive is one file, a tar of the directory: as it is (.tar) or packed on all
cores into a zstd stream (.tar.zst). "tar --zstd -xf" makes a directory of it
that any import takes; swingport import, verify, list, extract and diff read it
as it is, also from a pipe. An index at its end has the hashes of everything
before it, so that one that was cut or changed is seen. Unless told otherwise,
an archive has the export data and the most complete artifact mode that the
store can satisfy. The file is there, whole, when the export is done; what went
to stdout has no index when the export failed. The same store makes the same
bytes; files in it are of the time SOURCE_DATE_EPOCH (seconds), else of 1970.

Heap snapshots are raw, the only form that the reference's import takes. With
--snapshots gzip they stay packed as the store has them, which saves the work
of packing them again at both ends; swingport takes both.
` + modesHelp + `
  auto         archival, replay or operational, the first of them that the store
               can satisfy: what an archive has by default
` + referenceEnv + exitHelp

const exportExample = `  # a backup that can be imported again
  swingport export --state-dir ~/.agoric/data/agoric --export-dir backup \
      --artifact-mode replay --export-data-mode all

  # all history, of a known height, with checksums and a summary for a script
  swingport export --export-dir backup --artifact-mode archival \
      --export-data-mode all --check-block-height 10000001 --checksums --json

  # the same in one file, and from one machine to another
  swingport export --output backup.tar.zst --artifact-mode replay
  swingport export -o - | ssh new-host swingport import -i -

  # a long one that may be interrupted; the same command goes on
  swingport export --export-dir backup --artifact-mode archival \
      --export-data-mode all --resume

  # what is left of a damaged store
  swingport export --export-dir rescue --artifact-mode debug \
      --export-data-mode all --no-verify`

// exportCommand is "swingport export".
func (a *app) exportCommand() *cobra.Command {
	var t transferFlags
	var out outputFlags
	var o pipeline.ExportOptions
	var live liveFlags
	var plan planFlags
	var limits limitFlags
	var g flagGroups
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Export a store to a directory or an archive",
		Long:    exportLong,
		Example: exportExample,
		Args:    noArgs,
	}
	g.group(cmd, "Where", func(f *pflag.FlagSet) {
		t.storeFlags.add(f)
		f.StringVar(&t.exportDir, "export-dir", ".", "`DIR` to export to; made if it is missing")
		out.add(f)
		f.StringVar(&t.tempDir, "temp-dir", "", "`DIR` for temporary files (default where the export goes, or the system's with -o -)")
	})
	g.group(cmd, "What", func(f *pflag.FlagSet) {
		addValue(f, &t.artifactMode, parseArtifactMode, "artifact-mode",
			"`MODE`: none, operational, replay, archival, debug or auto (default operational; auto with --output)")
		addValue(f, &t.exportDataMode, parseExportMode, "export-data-mode", "`MODE`: all or skip (default skip; all with --output)")
		addValue(f, &o.Snapshots, format.ParseSnapshotForm, "snapshots",
			"heap snapshots as `FORM`: raw, or gzip, which the reference does not take (default raw)")
		addGenesisHash(f, &o.HashGenesis)
		addBool(f, &o.Checksums, "checksums", "add a SHA256SUMS of all files to the directory")
		addBool(f, &o.Resume, "resume", "go on where an export to this directory ended early, and keep what is whole if this one does")
	})
	g.group(cmd, "Archive", out.addArchive)
	g.group(cmd, "Checks", func(f *pflag.FlagSet) {
		addValue(f, &t.checkHeight, parseHeight, "check-block-height", "fail unless the store is at height `N`, if that is not 0")
		addBool(f, &o.NoVerify, "no-verify", "export what does not match its hash too, and say so at the end; completeness is checked all the same")
		plan.add(f)
		limits.addItem(f, humanize.IBytes(stages.DefaultStoreItem))
	})
	g.group(cmd, "Beside a node", live.add)
	g.group(cmd, "How", func(f *pflag.FlagSet) {
		addReader(f, &o.Reader)
		t.howFlags.add(f)
	})
	completeDirs(cmd)
	completeModes(cmd, exportModes, "skip", "all")
	completeFlag(cmd, "snapshots", string(format.RawSnapshots), string(format.GzipSnapshots))
	out.complete(cmd)
	completeReader(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if o.StateDir, err = t.finish(cmd.Flags(), a.env, "include-export-data", "export-mode"); err != nil {
			return err
		}
		if err = out.finish(a, cmd.Flags()); err != nil {
			return err
		}
		if o.Resume && out.file != "" {
			return usagef("--resume is for a directory: an archive is written from its beginning")
		}
		a.keeps.Store(o.Resume)
		o.ExportDir, o.TempDir, o.Workers = t.exportDir, t.tempDir, t.workers
		if out.file != "" {
			o.ExportDir, o.Archive, o.Format, o.Level, o.Stdout = "", out.file, out.format, out.level, a.stdout
			t.binary = out.file == stdio
			if o.ModTime, err = sourceDate(a.env); err != nil {
				return err
			}
		}
		if o.HashGenesis && t.exportDataMode != format.All && (t.exportDataMode == format.Skip || out.file == "") {
			return usageHint("add --export-data-mode all", "--genesis-hash is of the export data, which this export leaves out")
		}
		o.Live = live.live(a)
		o.ArtifactMode, o.ExportDataMode, o.CheckBlockHeight = t.artifactMode, t.exportDataMode, t.checkHeight
		o.NoSpaceCheck, o.MaxItem = plan.noSpaceCheck, limits.item
		limitMemory(a.env, limits.item)
		if plan.dryRun {
			p, err := a.planExport(cmd.Context(), o)
			return a.printPlan(p, err, t.json)
		}
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
