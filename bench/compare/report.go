package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

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
func writeReport(w io.Writer, facts []fact, all []section) {
	for _, f := range facts {
		fmt.Fprintf(w, "- %s: %s\n", f.what, f.is)
	}
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
	name := cell(r.name)
	if r.missing != "" {
		return fmt.Sprintf("| %s | 0 | not run: %s | | | | | | |", name, cell(r.missing))
	}
	wall := r.wall()
	against, seconds := yardstickOf(r, all)
	return fmt.Sprintf("| %s | %d | %.2f (%.2f-%.2f) | %.2f | %s | %.0f | %s | %s | %s |",
		name, len(r.samples), wall.median, wall.min, wall.max, r.cpu().median, r.peakText(),
		float64(r.samples[len(r.samples)-1].made)/1e6, cell(against), ratio(wall.median, seconds),
		ratio(find(all, func(x result) bool { return x.reference && x.job == r.job }).median(), wall.median))
}

// cell is text in a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// yardstickOf is what a result is compared with and its time in seconds, 0 if it was not measured.
func yardstickOf(r result, all []result) (name string, seconds float64) {
	named := func(name string) result { return find(all, func(x result) bool { return x.name == name }) }
	if len(r.halves) == 0 {
		return r.against, named(r.against).median()
	}
	var slower, cpu float64
	for _, name := range r.halves {
		half := named(name)
		if len(half.samples) == 0 {
			return "its halves", 0
		}
		slower, cpu = max(slower, half.median()), cpu+half.cpu().median
	}
	return "its halves", max(slower, cpu/float64(runtime.NumCPU()))
}

// find returns the first result that has samples and is what is looked for; the zero result if none is.
func find(all []result, is func(result) bool) result {
	for _, r := range all {
		if len(r.samples) > 0 && is(r) {
			return r
		}
	}
	return result{}
}

// ratio is how many times as long a is as b; one that is 0 was not measured.
func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// median is that of the wall-clock times in seconds, 0 without samples.
func (r result) median() float64 {
	if len(r.samples) == 0 {
		return 0
	}
	return r.wall().median
}

func (r result) wall() spread {
	return spreadOf(r.samples, func(s sample) float64 { return s.wall.Seconds() })
}

func (r result) cpu() spread {
	return spreadOf(r.samples, func(s sample) float64 { return s.cpu.Seconds() })
}

// peak is the largest of all runs, in MiB, and whether that is only a bound.
func (r result) peak() (mib float64, atMost bool) {
	const MiB = 1 << 20
	s := slices.MaxFunc(r.samples, func(a, b sample) int { return cmp.Compare(a.peak, b.peak) })
	return float64(max(s.peak, s.floor)) / MiB, s.peak <= s.floor
}

func (r result) peakText() string {
	mib, atMost := r.peak()
	if atMost {
		return fmt.Sprintf("< %.0f", mib)
	}
	return fmt.Sprintf("%.0f", mib)
}

// A spread is the median of some figures and their range.
type spread struct{ median, min, max float64 }

// spreadOf needs at least one sample. The median of an even number of them is the mean of the two in the middle.
func spreadOf(samples []sample, figure func(sample) float64) spread {
	var v []float64
	for _, s := range samples {
		v = append(v, figure(s))
	}
	slices.Sort(v)
	n := len(v)
	return spread{(v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}
}
