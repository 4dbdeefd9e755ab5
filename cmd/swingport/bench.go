package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

const benchLong = `Measure how fast this machine exports a store, and with --import also imports it,
and what it waits for. The export is made several times, with several numbers of
workers and levels of compression, by turns, each time by a process of its own;
what it writes is discarded, and nothing is written to the store. A node may go
on writing to it.

A row of the table is the run whose time is the median of its rounds: megabytes
(10^6) of the uncompressed export a second, CPU seconds of all cores, the largest
resident memory, what really came from the disk, and the stage that was busy for
the largest part of the time. Below it is where the time of each stage went in
the fastest run: busy (files read and written, and waiting for a core,
included), waiting for input from the stages before it, or waiting for room in
those after it; and how long it took before and after the stages.

What is "-" cannot be known on this system. Level none is a plain tar. The first
round fills the caches: from then on a store that fits into memory is not read
from disk again.

--import makes one archive in a new directory in --temp-dir, which needs room for
two and a half times the store, and imports it there; all that is removed at the
end. --html makes a page with plots, in one file that loads nothing.

--json prints an object with stateDir, storeBytes, cores, memoryBytes (0: not
known), rounds, results and findings. Each of results has what, level, workers,
mbPerSecond, roundSeconds (of all rounds), and of its median run seconds,
cpuSeconds, peakBytes, readBytes (null: not known), bytes, memory (samples of
seconds and bytes), phases and stages (seconds each).
` + storeEnv + exitHelp

const benchExample = `  swingport bench --state-dir ~/.agoric/data/agoric
  swingport bench --workers 1,2,4 --levels none,default --rounds 5 --html report.html

  # imports too, as JSON
  swingport bench --import --temp-dir /big/disk --json`

// noLevel is a plain tar among the levels.
const noLevel = "none"

var benchLevels = append([]string{noLevel}, archiveLevels...)

// benchFlags say what to measure.
type benchFlags struct {
	store   storeFlags
	how     howFlags
	workers []int
	levels  []string
	rounds  int
	imports bool
	html    string
	mode    format.ArtifactMode
	form    format.SnapshotForm
}

// benchCommand is "swingport bench".
func (a *app) benchCommand() *cobra.Command {
	b := benchFlags{levels: []string{noLevel, "fastest", "default"}, rounds: 3, mode: pipeline.AutoMode, form: format.RawSnapshots}
	var g flagGroups
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure how fast a store is exported and imported, and what that waits for",
		Long:    benchLong,
		Example: benchExample,
		Args:    noArgs,
	}
	g.group(cmd, "Where", func(f *pflag.FlagSet) {
		b.store.add(f)
		f.StringVar(&b.how.tempDir, "temp-dir", "", "`DIR` for temporary files and what is imported (default the system's)")
	})
	g.group(cmd, "What", func(f *pflag.FlagSet) {
		addBool(f, &b.imports, "import", "measure imports too")
		addValue(f, &b.workers, parseList(parseBenchWorkers), "workers", "work so wide: `N,N,...`, 16 at most (default 1,2,4,... up to the cores)")
		addValue(f, &b.levels, parseList(oneOf(benchLevels)), "levels",
			"pack by these: `LEVEL,...` of none, fastest, default, better and best (default none,fastest,default)")
		addValue(f, &b.mode, parseArtifactMode, "artifact-mode", "`MODE`: none, operational, replay, archival, debug or auto (default auto)")
		addValue(f, &b.form, format.ParseSnapshotForm, "snapshots", "heap snapshots as `FORM`: raw or gzip (default raw)")
		addValue(f, &b.rounds, parseRounds, "rounds", "measure everything `N` times (default 3)")
	})
	g.group(cmd, "Output", func(f *pflag.FlagSet) {
		addValue(f, &b.html, parseFile, "html", "write a page with plots to `FILE`")
		addBool(f, &b.how.json, "json", "print the report as one JSON object")
	})
	completeDirs(cmd)
	cmd.MarkFlagFilename("html", "html") //nolint:errcheck // fails only for a flag that is not there
	completeFlag(cmd, "artifact-mode", exportModes...)
	completeFlag(cmd, "snapshots", string(format.RawSnapshots), string(format.GzipSnapshots))
	completeFlag(cmd, "levels", benchLevels...)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := b.store.finish(cmd.Flags(), a.env)
		if err != nil {
			return err
		}
		if b.imports && b.mode == format.None {
			return usagef("--import with --artifact-mode none: a store cannot be made without artifacts")
		}
		return a.bench(cmd.Context(), dir, &b)
	}
	return cmd
}

// parseList takes values with commas between them, each once.
func parseList[T comparable](parse func(string) (T, error)) func(string) ([]T, error) {
	return func(s string) (list []T, err error) {
		for part := range strings.SplitSeq(s, ",") {
			v, err := parse(part)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(list, v) {
				list = append(list, v)
			}
		}
		return list, nil
	}
}

func parseBenchWorkers(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > pipeline.MaxWorkers {
		return 0, errors.New("not whole numbers from 1 to " + strconv.Itoa(pipeline.MaxWorkers))
	}
	return n, nil
}

func parseRounds(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100 {
		return 0, errors.New("not a whole number from 1 to 100")
	}
	return n, nil
}
