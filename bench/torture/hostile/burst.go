package hostile

import (
	"context"
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

// lines are the command lines that are given bombs: IN is the bomb, FROM the flag for it with it, GOOD a good store, TO a state
// directory with an old store, NEW a free name.
var lines = []struct {
	kinds []pipeline.Kind
	args  string
	reads bool // all that there is, so that it cannot end well
}{
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
		in := filepath.Join(dir, "bomb")
		if err := b.make(in, inputs); err != nil {
			return nil, fmt.Errorf("%s: %w", b.name, err)
		}
		for i, line := range lines {
			if !slices.Contains(line.kinds, b.kind) || !strings.Contains(b.name+","+line.args, only) {
				continue
			}
			r := burst{dir: filepath.Join(dir, "run"), inputs: inputs, program: program, in: in, kind: b.kind}
			peak, err := r.run(ctx, line.args, line.reads && !b.good)
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			if err != nil {
				broken = append(broken, fmt.Sprintf("%s: %s: %v", b.name, line.args, err))
			}
			peaks[i], counts[i] = max(peaks[i], peak), counts[i]+1
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

// A burst is one command line with one bomb.
type burst struct {
	dir, inputs, program, in string
	kind                     pipeline.Kind
}

// run says how much memory it took. The error is a promise that was broken.
func (r burst) run(ctx context.Context, line string, mustFail bool) (peak int64, err error) {
	to, temp := filepath.Join(r.dir, "to"), filepath.Join(r.dir, "temp")
	if err := os.RemoveAll(r.dir); err != nil {
		return 0, err
	}
	if err := errors.Join(os.MkdirAll(temp, 0o755), os.CopyFS(to, os.DirFS(filepath.Join(r.inputs, "store")))); err != nil {
		return 0, err
	}
	before, err := digest(r.dir)
	if err != nil {
		return 0, err
	}
	from := "--input"
	if r.kind == pipeline.KindExportDir {
		from = "--export-dir"
	}
	line = strings.NewReplacer("IN", r.in, "FROM", from+" "+r.in, "GOOD", filepath.Join(r.inputs, "store"), "TO", to, "NEW", filepath.Join(r.dir, "new")).Replace(line)
	sample, _, failed := measure.Run(ctx, []string{"sh", "-c", "TMPDIR=" + temp + " exec " + r.program + " " + line})
	code := 0
	var exit *exec.ExitError
	if errors.As(failed, &exit) {
		code = exit.ExitCode()
	}
	switch {
	case failed != nil && !slices.Contains([]int{1, 3}, code) || failed != nil && strings.Contains(failed.Error(), "goroutine "):
		return sample.Peak, fmt.Errorf("exit code %d: %w", code, failed)
	case failed == nil && mustFail:
		return sample.Peak, errors.New("nothing is said to be wrong")
	case sample.Peak > memoryLimit:
		return sample.Peak, fmt.Errorf("%d MiB resident", sample.Peak>>20)
	case failed == nil:
		return sample.Peak, nil
	}
	after, err := digest(r.dir)
	if err == nil && after != before {
		err = fmt.Errorf("there is now: %s", changes(before, after, ""))
	}
	return sample.Peak, err
}
