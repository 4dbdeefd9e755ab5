package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"swingport/pipeline"
)

// benchReport is what bench found; its JSON form is in the help.
type benchReport struct {
	StateDir    string         `json:"stateDir"`
	StoreBytes  int64          `json:"storeBytes"`
	Cores       int            `json:"cores"`
	MemoryBytes int64          `json:"memoryBytes"` // of the machine; 0: not known
	Rounds      int            `json:"rounds"`
	Results     []benchResult  `json:"results"`
	Findings    []benchFinding `json:"findings"` // of the fastest export, and the fastest import
}

// A benchResult is a row of the table.
type benchResult struct {
	What         string    `json:"what"`
	Level        string    `json:"level"`
	Workers      int       `json:"workers"`
	MBPerSecond  float64   `json:"mbPerSecond"`
	RoundSeconds []float64 `json:"roundSeconds"`
	benchRun               // of median time
}

// A benchFinding says in words what limits a kind of run.
type benchFinding struct {
	What   string `json:"what"`
	Result int    `json:"result"` // its index
	Limit  string `json:"limit"`  // the stage or phase that was busiest
	Text   string `json:"text"`
}

// report makes rows of the runs.
func (m *benchMatrix) report(stateDir string) benchReport {
	r := benchReport{StateDir: stateDir, StoreBytes: m.storeBytes, Cores: runtime.GOMAXPROCS(0), Rounds: m.b.rounds}
	if kib := procNumber("/proc/meminfo", "MemTotal:"); kib != nil {
		r.MemoryBytes = *kib << 10
	}
	for i, job := range m.jobs {
		row := benchResult{What: job.what(), Level: job.Level, Workers: job.Workers, benchRun: median(m.runs[i])}
		for _, run := range m.runs[i] {
			row.RoundSeconds = append(row.RoundSeconds, run.Seconds)
		}
		if row.Seconds > 0 {
			row.MBPerSecond = float64(row.Bytes) / 1e6 / row.Seconds
		}
		r.Results = append(r.Results, row)
	}
	r.find("export")
	r.find("import")
	return r
}

// find adds what limits the fastest run of a kind, if there was any.
func (r *benchReport) find(what string) {
	best := -1
	for i, row := range r.Results {
		if row.What == what && (best < 0 || row.MBPerSecond > r.Results[best].MBPerSecond) {
			best = i
		}
	}
	if best >= 0 {
		limit, _ := r.Results[best].limit()
		r.Findings = append(r.Findings, benchFinding{what, best, limit, r.Results[best].verdict(r.Cores)})
	}
}

// alone are the phases in which no stages run.
var alone = []string{"open", "sync", "check", "swap"}

// limit is the stage of which each worker was busy for the largest part of the run, or the phase beside all stages that took more of it.
func (b *benchRun) limit() (name string, share float64) {
	for _, s := range b.Stages {
		if part := s.Busy / float64(s.Workers) / b.Seconds; part > share {
			name, share = s.Name, part
		}
	}
	for _, p := range b.Phases {
		if part := p.Seconds / b.Seconds; slices.Contains(alone, p.Name) && part > share {
			name, share = p.Name, part
		}
	}
	return name, min(share, 1)
}

// advice is what helps where a stage or phase is the limit.
var advice = map[string]string{
	"read rows":     "one worker reads the store: a faster core, or a faster disk if much is read from it, would help",
	"check":         "it checks hashes or the new store",
	"compress":      "more cores or a lower level (--level fastest) would help",
	"insert":        "one worker writes the new store, since SQLite takes no more: a faster core would help",
	"artifacts":     "it unpacks and checks artifacts: more cores would help",
	"sync":          "it waits for the disk to take what was written: a faster disk would help",
	"write archive": "what the archive is written to is the limit",
}

// verdict names the bottleneck in words.
func (b *benchRun) verdict(cores int) string {
	name, share := b.limit()
	text := fmt.Sprintf("%s is busy %.0f%% of the time", name, 100*share)
	if used := b.CPUSeconds / b.Seconds; used > 0.85*float64(cores) {
		text = fmt.Sprintf("%.1f of %s are busy, so more cores would help; of the stages %s is the busiest, %.0f%% of the time",
			used, plural(int64(cores), "core"), name, 100*share)
	} else if share < 0.6 {
		text = fmt.Sprintf("nothing is busy for most of the time (%s %.0f%%): stages wait for one another by turns, and larger stores go faster", name, 100*share)
	}
	if advice[name] == "" || share < 0.6 {
		return text
	}
	return text + ": " + advice[name]
}

// table is the report as text of at most 100 columns.
func (r *benchReport) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s, %s, %s each\n\n", formatBytes(float64(r.StoreBytes)), clean(r.StateDir), plural(int64(r.Cores), "core"), plural(int64(r.Rounds), "round"))
	fmt.Fprintf(&b, "%-6s  %7s  %-8s  %7s  %7s  %8s  %8s  %s\n", "what", "workers", "level", "MB/s", "CPU s", "peak MiB", "read MB", "busiest")
	for _, row := range r.Results {
		name, share := row.limit()
		fmt.Fprintf(&b, "%-6s  %7d  %-8s  %7.1f  %7.2f  %8s  %8s  %s\n", row.What, row.Workers, row.Level, row.MBPerSecond, row.CPUSeconds,
			units(row.PeakBytes, 1<<20), units(row.ReadBytes, 1e6), share100(name, share))
	}
	for _, f := range r.Findings {
		row := &r.Results[f.Result]
		fmt.Fprintf(&b, "\nthe fastest %s: %s, level %s, %s\n\n", f.What, plural(int64(row.Workers), "worker"), row.Level, formatSeconds(row.Seconds))
		row.writeStages(&b)
	}
	fmt.Fprintln(&b)
	if text := r.caches(); text != "" {
		fmt.Fprintln(&b, text)
	}
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%s: %s\n", f.What, f.Text)
	}
	return b.String()
}

func share100(name string, share float64) string { return fmt.Sprintf("%s %.0f%%", name, 100*share) }

// caches says whether the store can be read from memory.
func (r *benchReport) caches() string {
	switch {
	case r.MemoryBytes == 0:
		return ""
	case r.StoreBytes < r.MemoryBytes/2:
		return "the store fits into the memory of this machine: after the first run little is read from disk"
	}
	return "the store does not fit well into the memory of this machine: each run reads from disk"
}

// units is a number of bytes in other units, "-" if it is not known.
func units(n *int64, unit float64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(*n)/unit)
}

// writeStages is where the time went.
func (b *benchRun) writeStages(w *strings.Builder) {
	fmt.Fprintf(w, "%-24s  %7s  %7s  %7s  %13s  %12s\n", "stage", "workers", "seconds", "busy", "waited before", "waited after")
	for _, s := range b.Stages {
		fmt.Fprintf(w, "%-24s  %7d  %7.2f  %6.0f%%  %12.0f%%  %11.0f%%\n", s.Name, s.Workers, s.Seconds,
			percent(s, s.Busy), percent(s, s.Before), percent(s, s.After))
	}
	for _, p := range b.Phases {
		if slices.Contains(alone, p.Name) {
			fmt.Fprintf(w, "%-24s  %7s  %7.2f\n", p.Name, "-", p.Seconds)
		}
	}
}

// percent is a part of a stage's time.
func percent(s pipeline.StageStats, part float64) float64 {
	if s.Seconds <= 0 {
		return 0
	}
	return 100 * part / s.Seconds
}
