package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"swingport/bench/measure"
)

// A row is a command that is run confined. Its arguments may hold $DB, $STORE, $TARGET, a new directory, $TEMP, one on the same disk, and
// $REFERENCE.
type row struct {
	name      string
	reference bool
	wanted    bool // what it reads is compared with what an operational export has
	command   []string
}

const dd = "dd"

var rows = []row{
	{name: dd, command: []string{"dd", "if=$DB", "of=/dev/null", "bs=4M"}},
	{name: "archival, .tar to /dev/null", command: exportTo("archival", "--output=/dev/null", "--format=tar")},
	{name: "archival, .tar.zst to /dev/null", command: exportTo("archival", "--output=/dev/null", "--format=tar.zst", "--snapshots=gzip")},
	{name: "archival, to a directory", command: exportTo("archival", "--export-dir=$TARGET", "--export-data-mode=all")},
	{name: "replay, .tar to /dev/null", command: exportTo("replay", "--output=/dev/null", "--format=tar")},
	{name: "operational, .tar to /dev/null", wanted: true, command: exportTo("operational", "--output=/dev/null", "--format=tar")},
	{name: "reference, archival", reference: true, command: referenceTo("archival")},
	{name: "reference, operational", reference: true, wanted: true, command: referenceTo("operational")},
}

func exportTo(mode string, to ...string) []string {
	return append([]string{"$SWINGPORT", "export", "--state-dir=$STORE", "--temp-dir=$TEMP", "--artifact-mode=" + mode}, to...)
}

func referenceTo(mode string) []string {
	return []string{"$REFERENCE/ref-swingport", "export", "--state-dir=$STORE", "--export-dir=$TARGET", "--artifact-mode=" + mode, "--export-data-mode=all"}
}

// A result is a row and what its runs took.
type result struct {
	row
	measure.Samples
	bytes, ops  int64 // read from the disk, in the last run
	wantedBytes int64 // see wantedBytes; 0 unless they are asked for
	stopped     time.Duration
	missing     string // why there are no runs
}

// A trial is one measurement: its work folder and its group.
type trial struct {
	options
	db       string
	dir      string
	vars     map[string]string
	progress io.Writer
}

func newTrial(ctx context.Context, o options, db string, progress io.Writer) (*trial, error) {
	dir, err := os.MkdirTemp(o.work, "swingport-bigstore.")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	t := &trial{options: o, db: db, dir: dir, progress: progress}
	t.vars = map[string]string{
		"DB": db, "STORE": o.store, "TARGET": filepath.Join(dir, "target"), "TEMP": filepath.Join(dir, "temp"),
		"SWINGPORT": filepath.Join(dir, "swingport"), "REFERENCE": o.reference,
	}
	if err = os.Mkdir(t.vars["TEMP"], 0o755); err == nil {
		_, _, err = measure.Run(ctx, []string{"go", "build", "-o", t.vars["SWINGPORT"], "swingport/cmd/swingport"})
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

func (t *trial) close() error { return os.RemoveAll(t.dir) }

// run runs the rows in turn, round after round; the reference once.
func (t *trial) run(ctx context.Context) ([]result, error) {
	var results []result
	for _, r := range rows {
		if t.only.MatchString(r.name) {
			results = append(results, result{row: r, missing: t.missing(r)})
		}
	}
	wanted, err := wantedBytes(ctx, t.store)
	if err != nil {
		return nil, err
	}
	for round := range t.rounds {
		for i := range results {
			r := &results[i]
			if r.missing != "" || r.reference && round > 0 {
				continue
			}
			if r.wanted {
				r.wantedBytes = wanted
			}
			if err := t.once(ctx, r); err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			fmt.Fprintf(t.progress, "%s: %s (%d of %d)\n", r.name, r.seconds(), round+1, t.rounds)
		}
	}
	return results, nil
}

func (t *trial) missing(r row) string {
	if r.reference && t.reference == "" {
		return "--reference is missing"
	}
	return ""
}

// once runs a row with nothing cached.
func (t *trial) once(ctx context.Context, r *result) (err error) {
	if err := os.Mkdir(t.vars["TARGET"], 0o755); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.vars["TARGET"])) }()
	group, err := confine(t.db, t.limits)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, group.close()) }()
	argv, err := t.argv(r.row, group)
	if err != nil {
		return err
	}
	syscall.Sync()
	if err := measure.DropCaches(); err != nil {
		return err
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if r.reference {
		limited, cancel = context.WithTimeout(ctx, t.referenceLimit)
	}
	defer cancel()
	s, _, err := measure.Run(limited, argv)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		r.stopped, err = t.referenceLimit, nil
	}
	if err != nil {
		return err
	}
	r.Samples = append(r.Samples, s)
	r.bytes, r.ops, err = group.reads()
	return err
}

func (t *trial) argv(r row, group *confinement) ([]string, error) {
	var argv []string
	for _, arg := range r.command {
		argv = append(argv, os.Expand(arg, func(name string) string { return t.vars[name] }))
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, err
	}
	argv[0] = path
	return group.command(argv)
}

// facts are what the limits are, and the store.
func (t *trial) facts(dbBytes int64) []measure.Fact {
	return []measure.Fact{
		{What: "store", Is: comma(dbBytes) + " bytes"},
		{What: "confined to", Is: fmt.Sprintf("%s bytes of memory, page cache included; %s bytes and %s reads a second; nothing cached before",
			comma(t.memory), comma(t.bytesPerSecond), comma(t.readsPerSecond))},
		{What: "runs", Is: fmt.Sprintf("%d, of the reference 1, stopped after %v", t.rounds, t.referenceLimit)},
	}
}
