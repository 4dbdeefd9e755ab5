package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

// jobVariable is the environment's variable that makes this program a child, with what it is to do.
const jobVariable = "SWINGPORT_TORTURE_JOB"

// A job is what a child does: an export, an import or a copy, or writing to a store as a node does.
type job struct {
	Do      string // export, import, copy or leaks; write or node, to a store until standard input ends
	State   string // the state directory: of an import and of copy's target the one that is replaced
	From    string // the state directory that is copied
	Dir     string // the export directory, or
	Archive string // the archive
	KeepOld bool
	Writer  string
	Reader  string
	Resume  bool

	Kill *killPoint // where the child kills itself
	Ask  bool       // before each operation it waits for a byte on descriptor 3, having said on 4 which one
}

// said is what a child says when it has come to its end.
type said struct {
	Error    string
	Exists   bool // the error is that the export is there already
	InUse    bool // the error is that another process has the store open
	Warnings []string
	Ops      []stages.OpKind // all operations but reads
}

// runJob is the child's main.
func runJob(text string, stdout, stderr io.Writer) int {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", jobVariable, err)
		return 2
	}
	switch j.Do {
	case "write":
		return writeOn(j.State, 5*time.Millisecond, (*node).local, stdout, stderr)
	case "node":
		return writeOn(j.State, 50*time.Millisecond, (*node).commit, stdout, stderr)
	case "leaks":
		return leaks(j.State, j.Dir, stdout, stderr)
	}
	w := &watch{at: j.Kill}
	if j.Ask {
		w.asks = bufio.NewWriter(os.NewFile(4, "operations"))
		w.answers = os.NewFile(3, "answers")
	}
	ctx := stages.WithFS(context.Background(), &stages.FS{Before: w.before})
	sum, err := j.run(ctx)
	if w.at != nil && w.at.End {
		die()
	}
	s := said{Warnings: sum.Warnings, Ops: w.ops}
	if err != nil {
		var inUse *pipeline.InUseError
		s.Error, s.Exists, s.InUse = err.Error(), errors.Is(err, fs.ErrExist), errors.As(err, &inUse)
	}
	if err := json.NewEncoder(stdout).Encode(s); err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	return 0
}

func (j job) run(ctx context.Context) (pipeline.Summary, error) {
	switch j.Do {
	case "export":
		return pipeline.Export(ctx, pipeline.ExportOptions{
			StateDir: j.State, ExportDir: j.Dir, Archive: j.Archive, Reader: j.Reader, Checksums: j.Dir != "", Resume: j.Resume,
			ArtifactMode: format.Archival, ExportDataMode: format.All,
		})
	case "import":
		return pipeline.Import(ctx, pipeline.ImportOptions{
			StateDir: j.State, ExportDir: j.Dir, Archive: j.Archive, KeepOld: j.KeepOld, Writer: j.Writer,
		})
	}
	sum, err := pipeline.Copy(ctx, pipeline.CopyOptions{
		StateDir: j.From, ToStateDir: j.State, ArtifactMode: format.Archival, KeepOld: j.KeepOld, Reader: j.Reader,
	})
	return sum.Summary, err
}

// A killPoint is where a child kills itself: before the Nth operation of a kind, or in the midst of it; or at the end of all.
type killPoint struct {
	Kind stages.OpKind
	N    int
	Torn bool // a write: when half of it is written
	End  bool
}

func (k killPoint) String() string {
	switch {
	case k.End:
		return "at the end"
	case k.Torn:
		return fmt.Sprintf("in %s %d", k.Kind, k.N)
	}
	return fmt.Sprintf("before %s %d", k.Kind, k.N)
}

// watch sees every operation of a child, one at a time.
type watch struct {
	at      *killPoint
	asks    *bufio.Writer
	answers io.Reader

	mu  sync.Mutex
	ops []stages.OpKind
	n   int // those of the kind that is waited for
}

func (w *watch) before(op stages.Op) error {
	if op.Kind == stages.OpRead {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops = append(w.ops, op.Kind)
	if w.asks != nil {
		if err := w.ask(op); err != nil {
			return err
		}
	}
	if w.at == nil || w.at.End || w.at.Kind != op.Kind {
		return nil
	}
	if w.n++; w.n == w.at.N {
		if w.at.Torn {
			tear(op)
		}
		die()
	}
	return nil
}

// ask says which operation comes next, and waits until it may.
func (w *watch) ask(op stages.Op) error {
	op.Data = nil
	if err := json.NewEncoder(w.asks).Encode(op); err != nil {
		return err
	}
	if err := w.asks.Flush(); err != nil {
		return err
	}
	var b [1]byte
	_, err := io.ReadFull(w.answers, b[:])
	return err
}

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // it cannot fail
	select {}
}

// tear does half of a write. The descriptor stays open: closing it would drop the engine's locks.
func tear(op stages.Op) {
	f, err := os.OpenFile(op.Path, os.O_WRONLY, 0)
	if err != nil {
		return // it has no name, so that nothing will be left of it
	}
	at := op.Off
	if at < 0 {
		at, _ = f.Seek(0, io.SeekEnd)
	}
	f.WriteAt(op.Data[:len(op.Data)/2], at) //nolint:errcheck // then nothing of it is written
}

// writeOn commits to a store again and again until its input ends or a signal comes.
func writeOn(state string, pause time.Duration, commit func(*node, int) error, stdout, stderr io.Writer) int {
	n, err := openNode(state)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // that it ended is what matters
		cancel()
	}()
	i := 0
	for ; ctx.Err() == nil; i++ {
		if err := commit(n, i); err != nil {
			fmt.Fprintln(stderr, err)
			return 1
		}
		if i == 0 {
			fmt.Fprintln(stdout, "writing")
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	if err := n.close(); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	fmt.Fprintln(stdout, i)
	return 0
}
