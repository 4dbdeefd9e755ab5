package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"swingport/format"
	"swingport/pipeline"
)

// benchChild is the hidden command by which bench starts itself: what one process takes, only a process of its own can say.
const benchChild = "bench-run"

// A benchJob is one run that is to be measured: an import where ToStateDir is set, else an export, to Archive or to nothing.
type benchJob struct {
	StateDir   string
	ToStateDir string
	Archive    string
	Level      string
	Workers    int
	Mode       format.ArtifactMode
	Snapshots  format.SnapshotForm
	TempDir    string
}

// A benchRun is what one run took.
type benchRun struct {
	Seconds    float64               `json:"seconds"`
	Bytes      int64                 `json:"bytes"` // of the uncompressed export
	CPUSeconds float64               `json:"cpuSeconds"`
	PeakBytes  *int64                `json:"peakBytes"` // nil where the system does not say, as the next one
	ReadBytes  *int64                `json:"readBytes"` // from disk, not from caches
	Memory     []memorySample        `json:"memory"`
	Phases     []pipeline.PhaseStats `json:"phases"`
	Stages     []pipeline.StageStats `json:"stages"`
}

type memorySample struct {
	Seconds float64 `json:"seconds"`
	Bytes   int64   `json:"bytes"`
}

func (a *app) benchChildCommand() *cobra.Command {
	return &cobra.Command{
		Use: benchChild, Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var job benchJob
			if err := json.Unmarshal([]byte(args[0]), &job); err != nil {
				return usagef("%s: %w", benchChild, err)
			}
			run, err := a.runJob(cmd.Context(), job)
			if err != nil {
				return err
			}
			line, err := jsonLine(run)
			if err != nil {
				return err
			}
			return a.print(line)
		},
	}
}

// runJob does a job in this process.
func (a *app) runJob(ctx context.Context, job benchJob) (run benchRun, err error) {
	status := new(pipeline.Status)
	stop := sampleMemory(&run.Memory)
	var sum pipeline.Summary
	if job.ToStateDir != "" {
		sum, err = a.importInto(ctx, pipeline.ImportOptions{
			StateDir: job.ToStateDir, Archive: job.Archive, Workers: job.Workers, TempDir: job.TempDir, Status: status,
		})
	} else {
		sum, err = a.export(ctx, job.export(status))
	}
	stop()
	if err != nil {
		return run, err
	}
	run.Seconds, run.Bytes = sum.Seconds, sum.Bytes
	run.Stages, run.Phases = status.Stages(), phases(status, sum.Seconds)
	run.CPUSeconds, run.PeakBytes = usage()
	run.ReadBytes = procNumber("/proc/self/io", "read_bytes:")
	return run, nil
}

func (j benchJob) export(status *pipeline.Status) pipeline.ExportOptions {
	o := pipeline.ExportOptions{
		StateDir: j.StateDir, Archive: j.Archive, Format: pipeline.FormatTarZstd, Level: j.Level, Workers: j.Workers, TempDir: j.TempDir,
		ArtifactMode: j.Mode, Snapshots: j.Snapshots, Status: status,
	}
	if o.Archive == "" {
		o.Archive, o.Stdout = stdio, io.Discard
	}
	if j.Level == noLevel {
		o.Format, o.Level = pipeline.FormatTar, ""
	}
	return o
}

// phases are those of the status, and in front of them what came before.
func phases(status *pipeline.Status, seconds float64) []pipeline.PhaseStats {
	list := status.Phases()
	for _, p := range list {
		seconds -= p.Seconds
	}
	return append([]pipeline.PhaseStats{{Name: "open", Seconds: max(0, seconds)}}, list...)
}

// usage is what the system counted for this process.
func usage() (cpuSeconds float64, peak *int64) {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0, nil
	}
	cpuSeconds = time.Duration(syscall.TimevalToNsec(u.Utime) + syscall.TimevalToNsec(u.Stime)).Seconds()
	// The system's ru_maxrss begins with that of the parent on Linux, and VmHWM does not.
	if peak = procNumber("/proc/self/status", "VmHWM:"); peak != nil {
		*peak <<= 10
	} else if runtime.GOOS == "darwin" {
		bytes := int64(u.Maxrss) //nolint:unconvert // an int32 where int is
		peak = &bytes
	}
	return cpuSeconds, peak
}

// procNumber is the number behind a name in a file of /proc; nil where there is none.
func procNumber(file, name string) *int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseInt(strings.Fields(value + " -")[0], 10, 64)
			if err == nil {
				return &n
			}
		}
	}
	return nil
}

// maxSamples is how many samples of memory are kept; with more, every second one goes and the time between them doubles.
const maxSamples = 240

// sampleMemory notes the resident memory now and then, until stop is called.
func sampleMemory(to *[]memorySample) (stop func()) {
	began, quit := time.Now(), make(chan struct{})
	*to = []memorySample{}
	var done sync.WaitGroup
	done.Go(func() {
		for every := 10 * time.Millisecond; ; {
			if kib := procNumber("/proc/self/status", "VmRSS:"); kib != nil {
				*to = append(*to, memorySample{time.Since(began).Seconds(), *kib << 10})
			}
			if len(*to) == maxSamples {
				for i := range maxSamples / 2 {
					(*to)[i] = (*to)[2*i]
				}
				*to, every = (*to)[:maxSamples/2], 2*every
			}
			select {
			case <-time.After(every):
			case <-quit:
				return
			}
		}
	})
	return func() { close(quit); done.Wait() }
}

// databaseBytes is what the files of a store take.
func databaseBytes(stateDir string) (n int64) {
	for _, name := range []string{"swingstore.sqlite", "swingstore.sqlite-wal"} {
		if info, err := os.Stat(filepath.Join(stateDir, name)); err == nil {
			n += info.Size()
		}
	}
	return n
}
