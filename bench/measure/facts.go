package measure

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Fact is a line above a table.
type Fact struct{ What, Is string }

// WriteFacts writes a list of facts, as markdown.
func WriteFacts(w io.Writer, facts []Fact) {
	for _, f := range facts {
		fmt.Fprintf(w, "- %s: %s\n", f.What, f.Is)
	}
}

// Facts are what one needs to know to read figures that were measured on the disk that holds dir. They do not say whose machine it is.
// reference is the folder of the reference's command line, or "".
func Facts(ctx context.Context, dir, reference string) []Fact {
	return []Fact{
		{"swingport", "commit " + commit(ctx) + ", " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
		{"reference", referenceVersion(ctx, reference)},
		{"machine", fmt.Sprintf("%d cores, %s, %s of memory, kernel %s, file system %s", runtime.NumCPU(), processor(),
			memory(), known(strings.TrimSpace(ReadText("/proc/sys/kernel/osrelease"))), output(ctx, "stat", "-f", "-c", "%T", dir))},
		{"load after it", known(strings.Join(firstFields("/proc/loadavg", 3), " "))},
		{"day", time.Now().UTC().Format(time.DateOnly)},
	}
}

// commit is the tree's, and whether the tree differs from it.
func commit(ctx context.Context) string {
	c := output(ctx, "git", "rev-parse", "--short=12", "HEAD")
	if _, changes, err := Run(ctx, []string{"git", "status", "--porcelain"}); err == nil && len(changes) > 0 {
		c += " with changes"
	}
	return c
}

func referenceVersion(ctx context.Context, dir string) string {
	const name = "@agoric/cosmic-swingset"
	if dir == "" {
		return "none"
	}
	var about struct{ Version string }
	file := filepath.Join(dir, "node_modules", name, "package.json")
	if json.Unmarshal([]byte(ReadText(file)), &about) != nil {
		about.Version = unknown
	}
	return name + " " + about.Version + ", node " + output(ctx, "node", "--version")
}

func processor() string {
	for line := range strings.Lines(ReadText("/proc/cpuinfo")) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, " \t\n:")
		}
	}
	return "processor " + unknown
}

func memory() string {
	fields := firstFields("/proc/meminfo", 2) // MemTotal: N kB
	if len(fields) < 2 {
		return unknown
	}
	kib, _ := strconv.ParseUint(fields[1], 10, 64)
	return humanize.IBytes(kib << 10)
}

func firstFields(file string, n int) []string {
	fields := strings.Fields(ReadText(file))
	return fields[:min(n, len(fields))]
}

// output is what a command prints on its first line.
func output(ctx context.Context, argv ...string) string {
	_, out, _ := Run(ctx, argv) // what cannot be asked is unknown
	line, _, _ := strings.Cut(string(out), "\n")
	return known(line)
}

const unknown = "unknown"

func known(s string) string {
	if s == "" {
		return unknown
	}
	return s
}
