package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"swingport/bench/measure"
	"swingport/pipeline"
)

type commandLine struct {
	kinds []pipeline.Kind
	args  string
	reads bool // all that there is, so that it cannot end well
}

func (l commandLine) wanted(b bomb, only string) bool {
	return slices.Contains(l.kinds, b.kind) && strings.Contains(b.name+","+l.args, only)
}

// lines are the command lines that are given bombs: IN is the bomb, FROM the flag for it with it, GOOD a good store, TO a state
// directory with an old store, NEW a free name.
var lines = []commandLine{
	{exports, "import --state-dir TO FROM", true},
	{exports, "import --state-dir TO FROM --writer pages", true},
	{exports, "import --state-dir TO FROM --export-data-mode repair-metadata --artifact-mode none --check-block-height 17", false},
	{archive, "import --state-dir TO --input - < IN", true},
	{anyKind, "verify IN", true},
	{archive, "verify - < IN", true},
	{exports, "list IN", false},
	{archive, "extract IN --to NEW", false},
	{archive, "extract IN transcript.v1.0.3", false},
	{anyKind, "diff IN GOOD", true},
	{store, "export --state-dir IN --output - --artifact-mode archival > /dev/null", true},
	{store, "export --state-dir IN --export-dir NEW --artifact-mode archival --export-data-mode all", true},
	{store, "verify --deep IN", true},
	{store, "copy --state-dir IN --to-state-dir TO", true},
	{store, "height --state-dir IN", false},
	{store, "get --state-dir IN " + someKey, false},
}

// bombs gives every bomb to the command itself, built for it, and prints the memory that each command line took at most.
func bombs(ctx context.Context, inputs, dir, only string, stdout io.Writer) (broken []string, err error) {
	program := filepath.Join(dir, "swingport")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "swingport/cmd/swingport").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build swingport: %w\n%s", err, out)
	}
	names, err := exportedFiles(inputs)
	if err != nil {
		return nil, err
	}
	peaks := make([]int64, len(lines))
	counts := make([]int, len(lines))
	for _, b := range allBombs(names) {
		if !slices.ContainsFunc(lines, func(l commandLine) bool { return l.wanted(b, only) }) {
			continue
		}
		in := filepath.Join(dir, "bomb")
		if err := b.make(in, inputs); err != nil {
			return nil, fmt.Errorf("%s: %w", b.name, err)
		}
		for i, line := range lines {
			if !line.wanted(b, only) {
				continue
			}
			r := burst{Dir: filepath.Join(dir, "run"), Inputs: inputs, Program: program, In: in, Kind: b.kind, Line: line.args, MustFail: line.reads && !b.good}
			got, err := r.child(ctx)
			if err != nil {
				return nil, err
			}
			if got.Broken != "" {
				broken = append(broken, fmt.Sprintf("%s: %s: %s", b.name, line.args, got.Broken))
			}
			peaks[i], counts[i] = max(peaks[i], got.Peak), counts[i]+1
		}
		if err := os.RemoveAll(in); err != nil {
			return nil, err
		}
	}
	fmt.Fprintf(stdout, "\n%5s  %8s  %s\n", "bombs", "peak MiB", "command")
	for i, line := range lines {
		fmt.Fprintf(stdout, "%5d  %8d  %s\n", counts[i], peaks[i]>>20, line.args)
	}
	return broken, nil
}

// A burst is one command line with one bomb. It has a process of its own, which does nothing else: what Linux says of the memory of a process begins
// with that of the one that starts it, and who makes bombs is large.
type burst struct {
	Dir, Inputs, Program, In string
	Kind                     pipeline.Kind
	Line                     string
	MustFail                 bool
}

// A shock is what came of it.
type shock struct {
	Peak   int64
	Broken string // the promise that was
}

// burstWord, as the first argument, is for the process of a burst.
const burstWord = "burst"

func (r burst) child(ctx context.Context) (got shock, err error) {
	self, err := os.Executable()
	if err != nil {
		return got, err
	}
	arg, err := json.Marshal(r)
	if err != nil {
		return got, err
	}
	_, out, err := measure.Run(ctx, []string{self, "hostile", burstWord, string(arg)})
	if err != nil {
		return got, err
	}
	return got, json.Unmarshal(out, &got)
}

// runBurst is that process.
func runBurst(ctx context.Context, arg string, stdout io.Writer) error {
	var r burst
	if err := json.Unmarshal([]byte(arg), &r); err != nil {
		return err
	}
	var got shock
	var broken error
	if got.Peak, broken = r.run(ctx); broken != nil {
		got.Broken = broken.Error()
	}
	return json.NewEncoder(stdout).Encode(got)
}

// run says how much memory it took. The error is a promise that was broken.
func (r burst) run(ctx context.Context) (peak int64, err error) {
	to, temp := filepath.Join(r.Dir, "to"), filepath.Join(r.Dir, "temp")
	if err := os.RemoveAll(r.Dir); err != nil {
		return 0, err
	}
	if err := errors.Join(os.MkdirAll(temp, 0o755), os.CopyFS(to, os.DirFS(filepath.Join(r.Inputs, "store")))); err != nil {
		return 0, err
	}
	before, err := digest(r.Dir)
	if err != nil {
		return 0, err
	}
	from := "--input"
	if r.Kind == pipeline.KindExportDir {
		from = "--export-dir"
	}
	line := strings.NewReplacer("IN", r.In, "FROM", from+" "+r.In, "GOOD", filepath.Join(r.Inputs, "store"), "TO", to, "NEW", filepath.Join(r.Dir, "new")).Replace(r.Line)
	sample, _, failed := measure.Run(ctx, []string{"sh", "-c", "TMPDIR=" + temp + " exec " + r.Program + " " + line})
	code := 0
	if exit := new(exec.ExitError); errors.As(failed, &exit) {
		code = exit.ExitCode()
	}
	switch {
	case failed != nil && !slices.Contains([]int{1, 3}, code) || failed != nil && strings.Contains(failed.Error(), "goroutine "):
		return sample.Peak, fmt.Errorf("exit code %d: %w", code, failed)
	case failed == nil && r.MustFail:
		return sample.Peak, errors.New("nothing is said to be wrong")
	case sample.Peak > memoryLimit:
		return sample.Peak, fmt.Errorf("%d MiB resident", sample.Peak>>20)
	case failed == nil:
		return sample.Peak, nil
	}
	after, err := digest(r.Dir)
	if err == nil && after != before {
		err = fmt.Errorf("there is now: %s", changes(before, after, ""))
	}
	return sample.Peak, err
}
