package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

const verifyLong = `Verify a state directory, an export directory or an archive, which may come from
a pipe (-): every hash, that the records agree with one another, and that no
artifact is missing for the mode or left over. Nothing is written.

PATH may be any of the three; the flags say which one is meant where a directory
holds both a store and an export. Without either it is the state directory of
the node.

Every defect is a line on stdout, which names the artifact, and in the end there
is a summary; --json makes one object of it. A store that a node is writing to
is verified as of one commit.
` + trustHelp + `Of a store it is the export data that an export would write.
` + storeEnv + `
Exit codes: 0 no defects, 1 failed, 2 usage, 3 there are defects, 130 stopped by
SIGINT, 143 by SIGTERM.`

const verifyExample = `  swingport verify backup.tar.zst
  ssh backup-host cat backup.tar.zst | swingport verify -
  swingport verify --export-dir backup --artifact-mode replay
  swingport verify backup.tar.zst --genesis-hash

  # the node's own store, its indexes too
  swingport verify --state-dir ~/.agoric/data/agoric --deep --json`

// maxDefects is how many defects --json lists; it counts them all.
const maxDefects = 1000

// verifyCommand is "swingport verify".
func (a *app) verifyCommand() *cobra.Command {
	var v verifyFlags
	var g flagGroups
	cmd := &cobra.Command{
		Use:     "verify [PATH]",
		Short:   "Verify a store, an export or an archive, and list every defect",
		Long:    verifyLong,
		Example: verifyExample,
		Args:    atMost(1),
	}
	g.group(cmd, "Where", func(f *pflag.FlagSet) {
		v.store.add(f)
		addValue(f, &v.o.ExportDir, parseFile, "export-dir", "`DIR` that holds export-manifest.json")
		v.in.add(f)
		f.StringVar(&v.how.tempDir, "temp-dir", "", "`DIR` for temporary files (default the system's)")
	})
	g.group(cmd, "Checks", func(f *pflag.FlagSet) {
		addValue(f, &v.o.ArtifactMode, parseArtifactMode, "artifact-mode",
			"the `MODE` for which all artifacts must be there (default that of the export; for a store auto, the most complete one)")
		addBool(f, &v.o.Deep, "deep", "of a state directory: also SQLite's integrity check, and each table against its indexes")
		v.trust.add(f)
		v.in.limits.addBoth(f)
	})
	g.group(cmd, "Beside a node", v.live.add)
	g.group(cmd, "How", v.how.add)
	completeDirs(cmd)
	completeFlag(cmd, "artifact-mode", exportModes...)
	v.in.complete(cmd)
	v.trust.complete(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := v.finish(a, cmd.Flags(), args); err != nil {
			return err
		}
		return a.runVerify(cmd, v.o, &v.how)
	}
	return cmd
}

// verifyFlags say what to verify, and how.
type verifyFlags struct {
	store storeFlags
	in    inputFlags
	trust trustFlags
	live  liveFlags
	how   howFlags
	o     pipeline.VerifyOptions
}

// finish completes the options.
func (v *verifyFlags) finish(a *app, flags *pflag.FlagSet, args []string) error {
	kind, path, err := v.what(a, flags, args)
	switch {
	case err != nil:
		return err
	case v.o.Deep && kind != pipeline.KindStateDir:
		return usagef("--deep is for state directories, and %s is an %s", path, kind)
	}
	v.o.Live, v.o.Trust = v.live.live(a), v.trust.Trust
	v.o.StateDir, v.o.ExportDir, v.o.Archive = "", "", ""
	switch kind {
	case pipeline.KindStateDir:
		v.o.StateDir = path
	case pipeline.KindExportDir:
		v.o.ExportDir = path
	default:
		v.o.Archive, v.o.Stdin = path, a.stdin
	}
	v.o.MaxItem, v.o.MaxWindow, v.o.Workers, v.o.TempDir = v.in.limits.item, v.in.limits.window, v.how.workers, v.how.tempDir
	return nil
}

// what is the one thing that the command line names, or else the node's store.
func (v *verifyFlags) what(a *app, flags *pflag.FlagSet, args []string) (kind pipeline.Kind, path string, err error) {
	named := len(args)
	for _, given := range []bool{flags.Changed("state-dir") || flags.Changed("home"), flags.Changed("export-dir"), flags.Changed("input")} {
		if given {
			named++
		}
	}
	switch {
	case named > 1:
		return "", "", usagef("verify takes one of PATH, --state-dir, --export-dir and --input")
	case len(args) == 1:
		kind, err = pipeline.Detect(args[0])
		if err == nil && kind == pipeline.KindArchive {
			err = a.refuseTerminal(args[0])
		}
		return kind, args[0], err
	case v.in.file != "":
		return pipeline.KindArchive, v.in.file, v.in.finish(a, flags)
	case v.o.ExportDir != "":
		return pipeline.KindExportDir, v.o.ExportDir, nil
	}
	path, err = v.store.finish(flags, a.env)
	return pipeline.KindStateDir, path, err
}

// verifyJSON is what --json prints.
type verifyJSON struct {
	pipeline.VerifyReport
	Defects []pipeline.Defect `json:"defects"` // the first of them
}

func (a *app) runVerify(cmd *cobra.Command, o pipeline.VerifyOptions, h *howFlags) error {
	ctx, out := a.printer(cmd.Context())
	defer out.close()
	object := verifyJSON{Defects: []pipeline.Defect{}}
	o.Defect = func(d pipeline.Defect) {
		switch {
		case !h.json:
			out.line("defect: " + d.String())
		case len(object.Defects) < maxDefects:
			object.Defects = append(object.Defects, d)
		}
	}
	var stop func()
	o.Status, o.Log, stop = a.watch(h)
	report, err := a.verify(ctx, o)
	stop()
	a.warnings(report.Warnings)
	if err != nil {
		return err
	}
	if h.json {
		object.VerifyReport = report
		out.json(object)
	} else {
		out.line(verifyLine(report))
	}
	switch {
	case out.err != nil:
		return out.err
	case report.DefectCount > 0:
		return &noError{}
	}
	return nil
}

func verifyLine(r pipeline.VerifyReport) string {
	line := fmt.Sprintf("verified %s%s: %s, %s in %s", r.Kind, heightAndMode(r.BlockHeight, r.ArtifactMode),
		artifacts(int64(r.Artifacts)), formatBytes(float64(r.Bytes)), formatSeconds(r.Seconds))
	if r.Seconds > 0 && r.Bytes > 0 {
		line += fmt.Sprintf(", %s/s", formatBytes(float64(r.Bytes)/r.Seconds))
	}
	line += logGrowth(r.LogGrowth) + genesisHash(r.GenesisHash)
	if r.DefectCount == 0 {
		return line + "; no defects"
	}
	return line + "; " + plural(int64(r.DefectCount), "defect")
}

// heightAndMode is " at height 17 (archival)".
func heightAndMode(height float64, mode string) string {
	if mode == "" {
		mode = "no artifact mode"
	}
	return fmt.Sprintf(" at height %s (%s)", format.AppendNumber(nil, height), mode)
}
