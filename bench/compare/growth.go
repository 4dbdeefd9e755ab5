package main

import (
	"fmt"
	"io"
	"math"

	"swingport/bench/measure"
)

// writeGrowth writes how time and memory grow with the store, where there are several sizes: with warm caches, if there are such.
func writeGrowth(w io.Writer, all []section) {
	caches := all[0].caches
	var of []section
	for _, s := range all {
		if s.caches == caches {
			of = append(of, s)
		}
	}
	if len(of) < 2 {
		return
	}
	fmt.Fprintf(w, "\n### Growth, %s\n\nWall-clock seconds (median) and peak MiB by the size of the store, and the exponents p of wall and of CPU time ~ size^p by least squares. What\n"+
		"writes more than the system buffers waits for the disk, which bends the wall time and not the CPU's.\n\n| what |", caches)
	for _, s := range of {
		fmt.Fprintf(w, " %s |", s.size())
	}
	fmt.Fprint(w, " p, wall | p, CPU |\n|---|")
	for range of {
		fmt.Fprint(w, "--:|")
	}
	fmt.Fprintln(w, "--:|--:|")
	for i, r := range of[0].results {
		if r.missing != "" || r.job == pick {
			continue
		}
		fmt.Fprintf(w, "| %s |", measure.Cell(r.name))
		var size, wall, cpu []float64
		for _, s := range of {
			x := s.results[i]
			if len(x.Samples) == 0 {
				fmt.Fprint(w, " - |")
				continue
			}
			fmt.Fprintf(w, " %.2f s, %s |", x.median(), x.Peak())
			size, wall, cpu = append(size, float64(s.dbBytes)), append(wall, x.median()), append(cpu, x.CPU().Median)
		}
		fmt.Fprintf(w, " %.2f | %.2f |\n", exponent(size, wall), exponent(size, cpu))
	}
}

// exponent is p of the line log y = p log x + c that fits best, NaN for less than two points.
func exponent(x, y []float64) float64 {
	var mx, my, above, below float64
	n := float64(len(x))
	for i := range x {
		mx, my = mx+math.Log(x[i])/n, my+math.Log(y[i])/n
	}
	for i := range x {
		dx := math.Log(x[i]) - mx
		above, below = above+dx*(math.Log(y[i])-my), below+dx*dx
	}
	return above / below
}
