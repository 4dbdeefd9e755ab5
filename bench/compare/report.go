package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// writeReport writes the facts, the table and the command lines, as markdown.
func writeReport(w io.Writer, facts []fact, results []result) {
	for _, f := range facts {
		fmt.Fprintf(w, "- %s: %s\n", f.what, f.is)
	}
	fmt.Fprintln(w, "\n| what | runs | wall s: median (min-max) | CPU s | peak MiB | made MB | wall / yardstick | reference / wall |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range results {
		fmt.Fprintln(w, tableRow(r, results))
	}
	fmt.Fprintf(w, "\nThe yardstick of archives is %s, of a pipe the longer of its slower half and both halves' CPU time over %d cores, of all else %s.\n",
		tarZstd, runtime.NumCPU(), copyAndHash)
	fmt.Fprintf(w, "\nThe commands; %s:\n\n```sh\n", meaning)
	for _, r := range results {
		fmt.Fprintln(w, r.line())
	}
	fmt.Fprintln(w, "```")
}

func tableRow(r result, all []result) string {
	if r.missing != "" {
		return fmt.Sprintf("| %s | 0 | not run: %s | | | | | |", r.name, r.missing)
	}
	wall := r.wall()
	return fmt.Sprintf("| %s | %d | %.2f (%.2f-%.2f) | %.2f | %s | %.0f | %s | %s |",
		strings.ReplaceAll(r.name, "|", "\\|"), len(r.samples), wall.median, wall.min, wall.max, r.cpu().median, r.peak(),
		float64(r.samples[len(r.samples)-1].made)/1e6, ratio(wall.median, yardstickOf(r, all)),
		ratio(find(all, func(x result) bool { return x.reference && x.job == r.job }).median(), wall.median))
}

// yardstickOf is the time in seconds that a result is compared with, 0 if it was not measured.
func yardstickOf(r result, all []result) float64 {
	named := func(name string) result { return find(all, func(x result) bool { return x.name == name }) }
	switch {
	case len(r.halves) > 0:
		var slower, cpu float64
		for _, name := range r.halves {
			half := named(name)
			if len(half.samples) == 0 {
				return 0
			}
			slower, cpu = max(slower, half.median()), cpu+half.cpu().median
		}
		return max(slower, cpu/float64(runtime.NumCPU()))
	case r.job == pick:
		return 0
	case r.job == archive || r.name == tarZstd:
		return named(tarZstd).median()
	}
	return named(copyAndHash).median()
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

// peak is the largest of all runs, in MiB.
func (r result) peak() string {
	const MiB = 1 << 20
	s := slices.MaxFunc(r.samples, func(a, b sample) int { return cmp.Compare(a.peak, b.peak) })
	if s.peak <= s.floor {
		return fmt.Sprintf("< %.0f", float64(s.floor)/MiB)
	}
	return fmt.Sprintf("%.0f", float64(s.peak)/MiB)
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
