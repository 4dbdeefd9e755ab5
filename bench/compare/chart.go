package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// The chart's measures, in pixels.
const (
	chartWidth  = 860
	chartLabels = 290 // to the left of the bars
	chartValues = 110 // to their right
	chartBar    = 20
	chartGap    = 6
	chartHead   = 34 // in front of a group
)

const chartStyle = `text{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#24292f}
.job{font-weight:600}.ours{fill:#1a7f37}.other{fill:#8c959f}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ours{fill:#3fb950}.other{fill:#6e7681}}`

// chart draws the wall-clock times of a section as bars, in a group for each job: a page or a README shows it in light and in dark.
func chart(s section) []byte {
	var bars bytes.Buffer
	longest := 0.0
	for _, r := range s.results {
		if r.chart != "" {
			longest = max(longest, r.median())
		}
	}
	y, group := 24, job("")
	fmt.Fprintf(&bars, `<text x="0" y="14">Seconds for a store of %s, %s caches, medians</text>`+"\n", escape(s.size()), s.caches)
	for _, r := range s.results {
		if r.chart == "" || len(r.Samples) == 0 {
			continue
		}
		if r.job != group {
			group = r.job
			y += chartHead - 12
			fmt.Fprintf(&bars, `<text class="job" x="0" y="%d">%s</text>`+"\n", y, escape(string(group)))
			y += 12
		}
		y = chartRow(&bars, r, longest, y)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`+"\n<style>%s</style>\n", chartWidth, y+4, chartStyle)
	b.Write(bars.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// chartRow draws a bar at y and returns where the next one begins.
func chartRow(b *bytes.Buffer, r result, longest float64, y int) int {
	class := "other"
	if bytes.HasPrefix([]byte(r.chart), []byte("swingport")) {
		class = "ours"
	}
	width := max(2, r.median()/longest*(chartWidth-chartLabels-chartValues))
	text := y + chartBar - 5
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, chartLabels-10, text, escape(r.chart))
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="3"/>`, class, chartLabels, y, width, chartBar)
	fmt.Fprintf(b, `<text x="%.1f" y="%d">%.1f s</text>`+"\n", chartLabels+width+8, text, r.median())
	return y + chartBar + chartGap
}

func escape(text string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(text)) //nolint:errcheck // a buffer
	return b.String()
}
