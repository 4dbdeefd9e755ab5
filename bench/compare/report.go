package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/dustin/go-humanize"

	"swingport/bench/measure"
	"swingport/pipeline"
)

// A section is what was measured on one store, with caches in one state.
type section struct {
	caches  string
	dbBytes int64
	summary pipeline.Summary // of its archival export
	results []result
}

// writeReport writes the facts, a table for each section, how the times grow if there are stores of several sizes, and the command
// lines, as markdown.
func writeReport(w io.Writer, facts []measure.Fact, all []section) {
	measure.WriteFacts(w, facts)
	for _, s := range all {
		s.write(w)
	}
	writeGrowth(w, all)
	fmt.Fprintf(w, "\nThe yardstick of a pipe is the longer of its slower half and both halves' CPU time over %d cores.\n", runtime.NumCPU())
	fmt.Fprintf(w, "\nThe commands; %s:\n\n```sh\n", meaning)
	for _, r := range all[0].results {
		fmt.Fprintln(w, r.line())
	}
	fmt.Fprintln(w, "```")
}

func (s section) write(w io.Writer) {
	fmt.Fprintf(w, "\n### %s, %s\n\n", s.size(), s.caches)
	fmt.Fprintf(w, "A store of %s bytes; its archival export: %s bytes, %s artifacts, %s items, %s kv rows.\n\n", comma(s.dbBytes),
		comma(s.summary.Bytes), comma(int64(s.summary.Artifacts)), comma(s.summary.Items), comma(s.summary.KVRows))
	fmt.Fprintln(w, "| what | runs | wall s: median (min-max) | CPU s | peak MiB | made MB | yardstick | wall / it | reference / wall |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|---|--:|--:|")
	for _, r := range s.results {
		fmt.Fprintln(w, tableRow(r, s.results))
	}
}

// size is that of the store for a heading: "1.1 GB".
func (s section) size() string { return humanize.Bytes(uint64(s.dbBytes)) }

func tableRow(r result, all []result) string {
	name := measure.Cell(r.name)
	if r.missing != "" {
		return fmt.Sprintf("| %s | 0 | not run: %s | | | | | | |", name, measure.Cell(r.missing))
	}
	against, seconds := yardstickOf(r, all)
	return fmt.Sprintf("| %s | %d | %v | %.2f | %s | %.0f | %s | %s | %s |",
		name, len(r.Samples), r.Wall(), r.CPU().Median, r.Peak(),
		float64(r.made)/1e6, measure.Cell(against), measure.Ratio(r.median(), seconds),
		measure.Ratio(find(all, func(x result) bool { return x.reference && x.job == r.job }).median(), r.median()))
}

// yardstickOf is what a result is compared with and its time in seconds, 0 if it was not measured.
func yardstickOf(r result, all []result) (name string, seconds float64) {
	named := func(name string) result { return find(all, func(x result) bool { return x.name == name }) }
	if len(r.halves) == 0 {
		return r.against, named(r.against).median()
	}
	var slower, cpu float64
	for _, name := range r.halves {
		half := named(name)
		if len(half.Samples) == 0 {
			return "its halves", 0
		}
		slower, cpu = max(slower, half.median()), cpu+half.CPU().Median
	}
	return "its halves", max(slower, cpu/float64(runtime.NumCPU()))
}

// find returns the first result that has samples and is what is looked for; the zero result if none is.
func find(all []result, is func(result) bool) result {
	for _, r := range all {
		if len(r.Samples) > 0 && is(r) {
			return r
		}
	}
	return result{}
}

// median is that of the wall-clock times in seconds, 0 without samples.
func (r result) median() float64 {
	return r.Wall().Median
}

func comma(n int64) string { return humanize.Comma(n) }
