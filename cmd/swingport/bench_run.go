package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"swingport/pipeline"
)

// bench measures, and prints what it found.
func (a *app) bench(ctx context.Context, stateDir string, b *benchFlags) (err error) {
	if _, err := a.height(ctx, stateDir); err != nil {
		return err // with the hints of all commands
	}
	page, err := newPage(b.html) // now, rather than after hours
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, page.abort()) }()
	m := &benchMatrix{a: a, b: b, storeBytes: databaseBytes(stateDir)}
	if err := m.plan(ctx, stateDir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.remove()) }()
	if err := m.measure(ctx); err != nil {
		return err
	}
	report := m.report(stateDir)
	if err := page.write(report); err != nil {
		return err
	}
	if !b.how.json {
		return a.print([]byte(report.table()))
	}
	line, err := jsonLine(report)
	if err != nil {
		return err
	}
	return a.print(line)
}

// benchMatrix is all that is to be measured.
type benchMatrix struct {
	a          *app
	b          *benchFlags
	storeBytes int64
	temp       string // "" without imports
	jobs       []benchJob
	runs       [][]benchRun // of each job
}

// plan lists the jobs, and makes what they need.
func (m *benchMatrix) plan(ctx context.Context, stateDir string) error {
	b := m.b
	workers := b.workers
	if len(workers) == 0 {
		workers = defaultWorkers(runtime.GOMAXPROCS(0))
	}
	for _, level := range b.levels {
		for _, n := range workers {
			m.jobs = append(m.jobs, benchJob{StateDir: stateDir, Level: level, Workers: n, Mode: b.mode, Snapshots: b.form, TempDir: b.how.tempDir})
		}
	}
	if b.imports {
		if err := m.prepareImports(ctx, stateDir, workers); err != nil {
			return err
		}
	}
	m.runs = make([][]benchRun, len(m.jobs))
	return nil
}

// defaultWorkers are the powers of two up to the number of cores.
func defaultWorkers(cores int) (list []int) {
	for n := 1; n <= min(cores, pipeline.MaxWorkers); n *= 2 {
		list = append(list, n)
	}
	return list
}

// prepareImports makes the archive that is imported.
func (m *benchMatrix) prepareImports(ctx context.Context, stateDir string, workers []int) (err error) {
	parent := cmp.Or(m.b.how.tempDir, os.TempDir())
	if err := checkRoom(parent, m.storeBytes); err != nil {
		return err
	}
	if m.temp, err = os.MkdirTemp(parent, "swingport-bench-"); err != nil {
		return err
	}
	archive := filepath.Join(m.temp, "export.tar.zst")
	m.a.benchProgress("making an archive to import")
	job := benchJob{StateDir: stateDir, Archive: archive, Level: "default", Mode: m.b.mode, Snapshots: m.b.form, TempDir: m.temp}
	if _, err := m.a.measure(ctx, job); err != nil {
		return errors.Join(fmt.Errorf("archive to import: %w", err), m.remove())
	}
	for _, n := range workers {
		m.jobs = append(m.jobs, benchJob{ToStateDir: filepath.Join(m.temp, "state"), Archive: archive, Level: "default", Workers: n})
	}
	return nil
}

// checkRoom fails where a directory lacks the room for an archive of a store and a new store, and for what is spilled meanwhile.
func checkRoom(dir string, storeBytes int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	need := float64(storeBytes) * 2.5
	if free := float64(s.Bavail) * float64(s.Bsize); free < need {
		return fmt.Errorf("importing needs %s of room in %s, which has %s: %w", formatBytes(need), dir, formatBytes(free), syscall.ENOSPC)
	}
	return nil
}

func (m *benchMatrix) remove() error {
	if m.temp == "" {
		return nil
	}
	return os.RemoveAll(m.temp)
}

// measure does all jobs by turns, round after round, so that whatever else the machine does hits all of them alike.
func (m *benchMatrix) measure(ctx context.Context) error {
	defer m.a.stderr.clear()
	began, total := time.Now(), m.b.rounds*len(m.jobs)
	for n := range total {
		i := n % len(m.jobs)
		job := m.jobs[i]
		text := fmt.Sprintf("run %d of %d: %s", n+1, total, job)
		if n > 0 {
			text += ", " + formatSeconds(time.Since(began).Seconds()/float64(n)*float64(total-n)) + " left"
		}
		m.a.benchProgress(text)
		run, err := m.a.measure(ctx, job)
		if job.ToStateDir != "" {
			err = errors.Join(err, os.RemoveAll(job.ToStateDir))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", job, err)
		}
		m.runs[i] = append(m.runs[i], run)
	}
	return nil
}

// what the job is, for a table.
func (j benchJob) what() string {
	if j.ToStateDir != "" {
		return "import"
	}
	return "export"
}

func (j benchJob) String() string {
	return fmt.Sprintf("%s, level %s, %s", j.what(), j.Level, plural(int64(j.Workers), "worker"))
}

// benchProgress says what goes on: in the place of a bar on a terminal, as a line elsewhere.
func (a *app) benchProgress(text string) {
	if a.stderr.width == nil {
		fmt.Fprintf(a.stderr, "swingport: %s\n", text)
		return
	}
	a.stderr.draw(text[:min(len(text), max(0, a.stderr.width()-3))])
}

// measureJob does a job in a process of its own. What it says of an error is the error.
func measureJob(ctx context.Context, job benchJob) (run benchRun, err error) {
	arg, err := json.Marshal(job)
	if err != nil {
		return run, err
	}
	self, err := os.Executable()
	if err != nil {
		return run, err
	}
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, self, benchChild, string(arg))
	cmd.Args[0] = os.Args[0]
	cmd.Stdout, cmd.Stderr = &out, &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's ^C is for this process, which passes it on
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return run, context.Cause(ctx)
		}
		return run, childError(complaint.String(), err)
	}
	if err := json.Unmarshal(out.Bytes(), &run); err != nil {
		return run, fmt.Errorf("what the run measured: %w", err)
	}
	return run, nil
}

// childError is what a child said, or how it ended.
func childError(complaint string, err error) error {
	for line := range strings.Lines(complaint) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "swingport: error: "); ok {
			return errors.New(text)
		}
	}
	return err
}

// median is the run whose time is in the middle.
func median(runs []benchRun) benchRun {
	sorted := slices.SortedFunc(slices.Values(runs), func(a, b benchRun) int { return cmp.Compare(a.Seconds, b.Seconds) })
	return sorted[(len(sorted)-1)/2]
}
