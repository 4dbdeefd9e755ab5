package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"swingport/bench/measure"
	"swingport/pipeline"
)

// memoryLimit is the most that any command may have resident, in bytes.
const memoryLimit = 300 << 20

// cellWord, as the first argument, is for the processes that Run makes; its other one is a cell.
const cellWord = "cell"

var errBroken = errors.New("promises were broken")

// Run is the word hostile of the torture command.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	if len(args) == 2 && args[0] == cellWord {
		return runCell(ctx, args[1], stdout)
	}
	if len(args) == 2 && args[0] == burstWord {
		return runBurst(ctx, args[1], stdout)
	}
	f := flag.NewFlagSet("torture hostile", flag.ContinueOnError)
	f.SetOutput(stderr)
	most := f.Int("most", 0, "how much damage each command gets of each input, evenly spread; 0 means at every byte")
	only := f.String("only", "", "only inputs and commands whose names together, with a comma between them, contain this")
	dir := f.String("dir", "", "folder to work in; the system's temporary one by default")
	noBombs := f.Bool("no-bombs", false, "leave the bombs out")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || *most < 0 {
		return errors.New("usage: hostile [--most N] [--only TEXT] [--no-bombs] [--dir DIR]")
	}
	work, err := os.MkdirTemp(*dir, "swingport-hostile.")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	good := filepath.Join(work, "inputs")
	if err := os.Mkdir(good, 0o755); err != nil {
		return err
	}
	if err := makeInputs(ctx, good); err != nil {
		return err
	}
	broken, err := damageAll(ctx, cell{Dir: filepath.Join(work, "cell"), Inputs: good, Most: *most}, *only, stdout)
	if err != nil {
		return err
	}
	if !*noBombs {
		burst, err := bombs(ctx, good, filepath.Join(work, "bombs"), *only, stdout)
		if err != nil {
			return err
		}
		broken = append(broken, burst...)
	}
	if len(broken) > 0 {
		fmt.Fprintf(stdout, "\n%s\n", strings.Join(broken, "\n"))
		return errBroken
	}
	return nil
}

// cells are those of the matrix whose names contain a text.
func cells(as cell, only string) (list []cell) {
	for _, in := range inputs {
		for _, cmd := range commands {
			if slices.Contains(cmd.kinds, in.kind) && strings.Contains(in.name+","+cmd.name, only) {
				as.Input, as.Command = in.name, cmd.name
				list = append(list, as)
			}
		}
	}
	return list
}

// damageAll runs every cell in a process of its own, and prints a line for each.
func damageAll(ctx context.Context, as cell, only string, stdout io.Writer) (broken []string, err error) {
	fmt.Fprintf(stdout, "%-17s  %-15s  %7s  %7s  %7s  %7s  %8s\n", "input", "command", "tried", "errors", "same", "other", "peak MiB")
	var sum tally
	for _, c := range cells(as, only) {
		t, err := childCell(ctx, c)
		if err != nil {
			return broken, err
		}
		fmt.Fprintf(stdout, "%-17s  %-15s  %7d  %7d  %7d  %7d  %8d\n", c.Input, c.Command, t.Tried, t.Errors, t.Same, t.Other, t.Peak>>20)
		if t.Peak > memoryLimit {
			t.Broken = append(t.Broken, fmt.Sprintf("%s of %s: %d MiB resident", c.Command, c.Input, t.Peak>>20))
		}
		broken = append(broken, t.Broken...)
		sum = tally{Tried: sum.Tried + t.Tried, Errors: sum.Errors + t.Errors, Same: sum.Same + t.Same, Other: sum.Other + t.Other, Peak: max(sum.Peak, t.Peak)}
	}
	fmt.Fprintf(stdout, "%-17s  %-15s  %7d  %7d  %7d  %7d  %8d\n", "all", "", sum.Tried, sum.Errors, sum.Same, sum.Other, sum.Peak>>20)
	return broken, nil
}

// childCell runs a cell in another process. One that ends otherwise than it should has broken a promise; the last damage that it told of was it.
func childCell(ctx context.Context, c cell) (t tally, err error) {
	self, err := os.Executable()
	if err != nil {
		return t, err
	}
	arg, err := json.Marshal(c)
	if err != nil {
		return t, err
	}
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "hostile", cellWord, string(arg))
	cmd.Stdout, cmd.Stderr = &out, &complaint
	failed := cmd.Run()
	if ctx.Err() != nil {
		return t, context.Cause(ctx)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	last := lines[len(lines)-1]
	if failed == nil && json.Unmarshal([]byte(last), &t) == nil {
		return t, nil
	}
	t.Broken = append(t.Broken, fmt.Sprintf("%s of %s, %s: %v\n%s", c.Command, c.Input, last, failed, complaint.String()))
	return t, nil
}

// runCell is the other process: it prints each damage before it is done, and last the tally.
func runCell(ctx context.Context, arg string, stdout io.Writer) error {
	var c cell
	if err := json.Unmarshal([]byte(arg), &c); err != nil {
		return err
	}
	// As the command does, see limitMemory there.
	debug.SetMemoryLimit(pipeline.HeapLimit)
	debug.SetGCPercent(50)
	t, err := c.run(ctx, func(what string) { fmt.Fprintln(stdout, what) })
	if err != nil {
		return err
	}
	t.Peak = ownPeak()
	line, err := json.Marshal(t)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s\n", line)
	return err
}

// ownPeak is this process's high-water mark of resident memory, in bytes.
func ownPeak() int64 {
	for line := range strings.Lines(measure.ReadText("/proc/self/status")) {
		if kib, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 10, 64)
			return n << 10
		}
	}
	return 0
}
