package main

import (
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

const copyLong = `Make a new store of what another one has: an export and an import in one, with
nothing in between. Everything is verified as by both, and the new store is put
in the place of an old one as by import, or into a directory that has none.

With --artifact-mode operational this compacts: spans and heap snapshots that a
node does not need to run stay behind.

A copy is no clone. Like an export it has none of the node's own keys, local.*
and host.*, but the height; and the height must fit the cosmos database that the
new store is used with. A node may go on writing to the store that is read; stop
the one whose store is replaced.
` + modesHelp + `
  auto         archival, replay or operational, the first of them that the store
               can satisfy: the default
` + storeEnv + exitHelp

const copyExample = `  # shrink a store to what the node needs to run
  swingport copy --artifact-mode operational --to-state-dir /new/data/agoric

  # all that there is, at a known height
  swingport copy --state-dir ~/.agoric/data/agoric \
      --to-state-dir /new/data/agoric --check-block-height 10000001`

// copyCommand is "swingport copy".
func (a *app) copyCommand() *cobra.Command {
	var s storeFlags
	var h howFlags
	var live liveFlags
	var l limitFlags
	var plan planFlags
	var o pipeline.CopyOptions
	var g flagGroups
	cmd := &cobra.Command{
		Use:     "copy --to-state-dir DIR",
		Short:   "Copy a store into a new one, or compact it",
		Long:    copyLong,
		Example: copyExample,
		Args:    noArgs,
	}
	g.group(cmd, "Where", func(f *pflag.FlagSet) {
		s.add(f)
		addValue(f, &o.ToStateDir, parseFile, "to-state-dir", "`DIR` that gets the new swingstore.sqlite; made if it is missing")
		f.StringVar(&h.tempDir, "temp-dir", "", "`DIR` for temporary files (default the new state directory)")
		addBool(f, &o.KeepOld, "keep-old", "keep the database that was there, under a name that says its height")
	})
	g.group(cmd, "What", func(f *pflag.FlagSet) {
		addValue(f, &o.ArtifactMode, parseCopyMode, "artifact-mode", "`MODE`: operational, replay, archival, debug or auto (default auto)")
	})
	g.group(cmd, "Checks", func(f *pflag.FlagSet) {
		addValue(f, &o.CheckBlockHeight, parseHeight, "check-block-height", "fail unless the store is at height `N`, if that is not 0")
		addBool(f, &o.NoCheck, "no-check", "leave out the final quick_check of the new database")
		plan.add(f)
		l.addItem(f, humanize.IBytes(stages.DefaultMaxItem))
	})
	g.group(cmd, "Beside a node", live.add)
	g.group(cmd, "How", func(f *pflag.FlagSet) {
		addReader(f, &o.Reader)
		h.add(f)
	})
	completeDirs(cmd)
	completeReader(cmd)
	completeFlag(cmd, "artifact-mode", exportModes[1:]...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if o.StateDir, err = s.finish(cmd.Flags(), a.env); err != nil {
			return err
		}
		if o.ToStateDir == "" {
			return usagef("copy needs --to-state-dir")
		}
		o.Workers, o.TempDir, o.MaxItem = h.workers, h.tempDir, l.item
		limitMemory(a.env, l.item)
		o.Live, o.NoSpaceCheck = live.live(a), plan.noSpaceCheck
		if plan.dryRun {
			p, err := a.planCopy(cmd.Context(), o)
			return a.printPlan(p, err, h.json)
		}
		var stop func()
		o.Status, o.Log, stop = a.watch(&h)
		sum, err := a.copy(cmd.Context(), o)
		stop()
		return a.printCopy(sum, err, h.json)
	}
	return cmd
}

// parseCopyMode takes the modes in which an export can be imported.
func parseCopyMode(s string) (format.ArtifactMode, error) {
	if s == string(format.None) {
		return "", errors.New("a store cannot be made without artifacts")
	}
	return parseArtifactMode(s)
}

func (a *app) printCopy(sum pipeline.CopySummary, err error, asJSON bool) error {
	a.warnings(sum.Warnings)
	if err != nil {
		return err
	}
	if asJSON {
		sum.Warnings, sum.Defects = list(sum.Warnings), list(sum.Defects)
		line, err := jsonLine(sum)
		if err != nil {
			return err
		}
		return a.print(line)
	}
	return a.print(fmt.Appendf(nil, "%s; database of %s, from %s\n", summaryLine("copied", sum.Summary),
		formatBytes(float64(sum.ToBytes)), formatBytes(float64(sum.FromBytes))))
}
