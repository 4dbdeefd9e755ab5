package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"swingport/bench/measure"
	"swingport/pipeline"
	"swingport/stages"
)

// A trial is one comparison: its work folder and what is in it.
type trial struct {
	options
	progress io.Writer
	dir      string // the work folder
	vars     variables
	dbBytes  int64
	summary  pipeline.Summary // of $EXPORT

	discarded int // targets, see discard
	holder    *holder
}

// A result is a row and its samples; missing says why there are none.
type result struct {
	row
	measure.Samples
	made    int64 // bytes of the files in the target directory after the last run
	missing string
}

func newTrial(o options, progress io.Writer) (*trial, error) {
	dir, err := os.MkdirTemp(o.work, "swingport-compare.")
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	return &trial{options: o, progress: progress, dir: dir, vars: variables{
		"STORE": in("store"), "DB": in("store/" + stages.StoreFile), "EXPORT": in("export"), "TARGET": in("target"),
		"RAW": in("raw.tar.zst"), "GZIP": in("gzip.tar.zst"), "SPAN": "", // known when the export is made
		"SWINGPORT": in("swingport"), "REFERENCE": o.reference,
	}}, nil
}

func (t *trial) close() error { return errors.Join(t.holder.close(), os.RemoveAll(t.dir)) }

// prepare fills the work folder: the store, made in a size or a copy, the program, and the exports that imports read.
func (t *trial) prepare(ctx context.Context, size string) error {
	fmt.Fprintln(t.progress, "making or copying the store, building swingport, exporting")
	if err := t.makeStore(ctx, size); err != nil {
		return err
	}
	if _, _, err := measure.Run(ctx, []string{"go", "build", "-o", t.vars["SWINGPORT"], "swingport/cmd/swingport"}); err != nil {
		return err
	}
	for _, to := range [][]string{{"--output=$RAW"}, {"--output=$GZIP", "--snapshots=gzip"}, {"--export-dir=$EXPORT"}} {
		argv := append([]string{"$SWINGPORT", "export", "--json", "--state-dir=$STORE", "--artifact-mode=archival", "--export-data-mode=all"}, to...)
		_, summary, err := measure.Run(ctx, t.vars.argv(row{command: argv}))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(summary, &t.summary); err != nil {
			return err
		}
	}
	spans, err := filepath.Glob(filepath.Join(t.vars["EXPORT"], "transcript.*"))
	if err != nil || len(spans) == 0 {
		return errors.Join(errors.New("the store has no spans"), err)
	}
	t.vars["SPAN"] = filepath.Base(spans[len(spans)/2])
	if t.holdMemory {
		t.holder, err = startHolder(ctx, t.dir)
	}
	return err
}

// makeStore makes or copies the store and moves its log's content into the database, so that every row reads the same bytes: cp knows
// of no log, and the reference would move it in its first run.
func (t *trial) makeStore(ctx context.Context, size string) (err error) {
	if size != "" {
		_, _, err = measure.Run(ctx, []string{"go", "run", "swingport/bench/genstore", "--size", size, "--out", t.vars["STORE"]})
	} else {
		err = t.copyStore()
	}
	if err != nil {
		return err
	}
	db, err := stages.OpenDB(t.vars["DB"], stages.ReadWrite, nil)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"), db.Close()); err != nil {
		return err
	}
	info, err := os.Stat(t.vars["DB"])
	if err == nil {
		t.dbBytes = info.Size()
	}
	return err
}

// copyStore copies the database and its log.
func (t *trial) copyStore() error {
	if err := os.Mkdir(t.vars["STORE"], 0o755); err != nil {
		return err
	}
	if err := copyFile(t.vars["DB"], filepath.Join(t.store, stages.StoreFile)); err != nil {
		return err
	}
	err := copyFile(t.vars["DB"]+"-wal", filepath.Join(t.store, stages.StoreFile+"-wal"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// run runs the rows in turn, round after round, with caches that are warm or cold. Round 0 warms up and does not count.
func (t *trial) run(ctx context.Context, rows []row, caches string) ([]result, error) {
	results := make([]result, len(rows))
	for i, r := range rows {
		results[i] = result{row: r, missing: t.vars.missing(r)}
	}
	if caches == cold {
		if err := measure.DropCaches(); err != nil {
			for i := range results {
				results[i].missing = err.Error() + "; it needs root"
			}
		}
	}
	for round := range 1 + max(t.rounds, t.referenceRounds) {
		for i := range results {
			r := &results[i]
			if r.missing != "" || round > t.roundsOf(r.row) {
				continue
			}
			s, made, err := t.once(ctx, r.row, caches)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
			if round > 0 {
				r.Samples, r.made = append(r.Samples, s), made
			}
			fmt.Fprintf(t.progress, "%s, %s: %.2f s (%d of %d)\n", r.name, caches, s.Wall.Seconds(), len(r.Samples), t.roundsOf(r.row))
		}
	}
	return results, nil
}

func (t *trial) roundsOf(r row) int {
	if r.reference {
		return t.referenceRounds
	}
	return t.rounds
}

// once runs one row in a new target directory, in which it made so many bytes.
func (t *trial) once(ctx context.Context, r row, caches string) (s measure.Sample, made int64, err error) {
	if err := os.Mkdir(t.vars["TARGET"], 0o755); err != nil {
		return s, 0, err
	}
	defer func() { err = errors.Join(err, t.discard()) }()
	syscall.Sync() // nobody pays for what the run before it left to be written
	if err := t.setCaches(r, caches); err != nil {
		return s, 0, err
	}
	if err := t.holder.take(); err != nil {
		return s, 0, err
	}
	if s, _, err = measure.Run(ctx, t.vars.argv(r)); err != nil {
		return s, 0, err
	}
	made, err = bytesIn(t.vars["TARGET"])
	return s, made, err
}

// bytesIn is the length of all files in a directory.
func bytesIn(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// discard gives the target's disk space back and puts what is left of it, empty files, aside until the end: for minutes after many files were
// removed ext4 makes new ones ten times slower, and the next run would pay for that.
func (t *trial) discard() error {
	err := filepath.WalkDir(t.vars["TARGET"], func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Truncate(name, 0)
	})
	t.discarded++
	return errors.Join(err, os.Rename(t.vars["TARGET"], filepath.Join(t.dir, fmt.Sprintf("discarded-%d", t.discarded))))
}

func (t *trial) setCaches(r row, caches string) error {
	if caches == cold {
		return measure.DropCaches()
	}
	return filepath.WalkDir(t.vars.expand(r.reads), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return readThrough(name)
	})
}

func readThrough(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(io.Discard, f)
	return err
}
