package main

import (
	"bytes"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
)

// planFlags are about what is checked before a run begins.
type planFlags struct{ dryRun, noSpaceCheck bool }

func (p *planFlags) add(f *pflag.FlagSet) {
	addBool(f, &p.dryRun, "dry-run", "check, say what would be done, how large it gets and about how long it takes, and do nothing")
	addBool(f, &p.noSpaceCheck, "no-space-check", "begin although the disk has too little room, by what is known of the size")
}

// printPlan prints what is known, also beside an error.
func (a *app) printPlan(p pipeline.Plan, err error, asJSON bool) error {
	if !asJSON {
		a.warnings(p.Warnings)
	}
	if p.ArtifactMode == "" && !p.Known && err != nil {
		return err
	}
	text := planText(p, err == nil)
	if asJSON {
		p.Warnings = list(p.Warnings)
		var jsonErr error
		if text, jsonErr = jsonLine(p); jsonErr != nil {
			return jsonErr
		}
	}
	if printErr := a.print(text); err == nil {
		err = printErr
	}
	return err
}

// planText is the plan in lines of at most helpWidth columns, as long as paths are short.
func planText(p pipeline.Plan, starts bool) []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, text string) { fmt.Fprintf(w, "%s\t%s\n", name, text) }
	row("from", fmt.Sprintf("%s %s", p.Kind, clean(p.Source)))
	row("to", clean(p.Target))
	if p.Known {
		row("height", string(format.AppendNumber(nil, p.BlockHeight)))
		row("mode", string(p.ArtifactMode))
		kinds := p.Kinds
		row("snapshots", sized(kinds.Snapshots, "snapshot"))
		row("spans", sized(kinds.Spans, "span"))
		row("bundles", sized(kinds.Bundles, "bundle"))
		if kinds.ExportData.Count > 0 {
			row("export data", about(kinds.ExportData.Bytes))
		}
		row("together", about(p.Bytes))
		row("result", about(p.ResultBytes))
		row("temporary", about(p.TempBytes))
		row("time", fmt.Sprintf("about %s, for a disk of %s/s: nothing was measured", formatSeconds(p.Seconds), formatBytes(pipeline.AssumedRate)))
	}
	for _, place := range p.Places {
		free := "nobody says how much is free"
		if place.Free >= 0 {
			free = formatBytes(float64(place.Free)) + " free"
		}
		row("space", fmt.Sprintf("%s: %s needed, %s", clean(place.Dir), about(place.Needed), free))
	}
	w.Flush() //nolint:errcheck // into memory
	if starts {
		fmt.Fprintf(&b, "this was a dry run: nothing was done\n")
	}
	return b.Bytes()
}

func sized(c pipeline.ListCount, what string) string {
	return fmt.Sprintf("%s, %s", plural(int64(c.Count), what), about(c.Bytes))
}

func about(bytes int64) string {
	if bytes == 0 {
		return formatBytes(0)
	}
	return "about " + formatBytes(float64(bytes))
}
