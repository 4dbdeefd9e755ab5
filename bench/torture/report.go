package main

import (
	"fmt"
	"io"
	"strings"
)

// A row is what became of the runs of one scenario that were killed.
type row struct {
	*scenario
	kills int  // to do
	large bool // at random times

	outcomes map[outcome]int
	torn     int // kills in the midst of a write
	broken   []*broken
}

// killed is the number of runs that were killed.
func (r *row) killed() (n int) {
	for _, o := range outcomes {
		n += r.outcomes[o]
	}
	return n
}

var outcomes = []outcome{nothing, oldOne, newOne, bad}

func writeKills(w io.Writer, rows []*row) {
	fmt.Fprintf(w, "| killed | kills | in a write | left: nothing | the old store | the new one | a broken promise |\n|---|--:|--:|--:|--:|--:|--:|\n")
	var all row
	all.outcomes = map[outcome]int{}
	line := func(name string, r *row) {
		fmt.Fprintf(w, "| %s | %d | %d |", name, r.killed(), r.torn)
		for _, o := range outcomes {
			fmt.Fprintf(w, " %d |", r.outcomes[o])
		}
		fmt.Fprintln(w)
	}
	for _, r := range rows {
		line(strings.ReplaceAll(r.name, "|", "\\|"), r)
		for o, n := range r.outcomes {
			all.outcomes[o] += n
		}
		all.torn += r.torn
	}
	line("all", &all)
	fmt.Fprintln(w, "\nAfter each kill the same command was run again, and left what it leaves without one.")
}
