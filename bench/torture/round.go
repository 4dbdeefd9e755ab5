package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// round is one turn of the loop.
type round struct {
	*looper
	mode, reader, writer string
	archive              bool
	first, second        string // the exports: of the live store, and of what was imported
	kill                 bool
}

// choose takes the forms by turns, so that each meets each other one.
func (l *looper) choose() *round {
	i := l.round
	r := &round{
		looper: l, archive: i%2 == 1, kill: l.rng.IntN(2) == 0,
		mode:   []string{"archival", "operational", "replay"}[i%3],
		reader: []string{"sweep", "sweep", "engine", "sweep", "sweep"}[i%5],
		writer: []string{"inserts", "pages", "inserts", "pages", "inserts", "inserts", "pages"}[i%7],
	}
	r.first, r.second = filepath.Join(l.dir, "first"), filepath.Join(l.dir, "second")
	if r.archive {
		r.first, r.second = r.first+".tar.zst", r.second+".tar.zst"
	}
	return r
}

func (r *round) name() string {
	form := "directory"
	if r.archive {
		form = ".tar.zst"
	}
	words := []string{form, r.mode, "--reader " + r.reader, "--writer " + r.writer}
	if r.kill {
		words = append(words, "with kills")
	}
	return strings.Join(words, " ")
}

func (r *round) exportArgs(state, to string) []string {
	args := []string{"export", "--state-dir", state, "--artifact-mode", r.mode, "--export-data-mode", "all", "--reader", r.reader}
	if r.archive {
		return append(args, "--output", to)
	}
	return append(args, "--export-dir", to)
}

// whole is the file of an export that comes last.
func (r *round) whole(export string) string {
	if r.archive {
		return export
	}
	return filepath.Join(export, "export-manifest.json")
}

// exportIt exports beside the writer. A killed run has left all or nothing; what it left is not removed by hand, unless it is all.
func (r *round) exportIt(ctx context.Context) (err error) {
	if r.kill {
		if err := r.killed(ctx, r.export, r.whole(r.first), r.exportArgs(r.state, r.first)...); err != nil {
			return err
		}
		if _, err := os.Stat(r.whole(r.first)); err == nil {
			return nil // verify says whether it is whole
		}
	}
	r.export, err = r.swing(ctx, r.exportArgs(r.state, r.first)...)
	return err
}

func (r *round) verify(ctx context.Context) error {
	_, err := r.swing(ctx, "verify", r.first)
	return err
}

func (r *round) target() string { return filepath.Join(r.dir, "imported") }

// importIt replaces what the round before imported.
func (r *round) importIt(ctx context.Context) (err error) {
	args := []string{"import", "--state-dir", r.target(), "--writer", r.writer}
	if r.archive {
		args = append(args, "--input", r.first)
	} else {
		args = append(args, "--export-dir", r.first)
	}
	if r.kill {
		if err := r.killed(ctx, r.imported, "", args...); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(r.target(), "swingstore.sqlite")); r.round > 0 && err != nil {
			return fmt.Errorf("after a killed import: %w", err)
		}
	}
	r.imported, err = r.swing(ctx, args...)
	return err
}

func (r *round) exportAgain(ctx context.Context) error {
	_, err := r.swing(ctx, r.exportArgs(r.target(), r.second)...)
	return err
}

// compare takes archives apart, since the order of their entries is that of the store's pages.
func (r *round) compare(ctx context.Context) error {
	dirs := []string{r.first, r.second}
	if r.archive {
		for i := range dirs {
			to := dirs[i] + ".d"
			if _, err := r.swing(ctx, "extract", dirs[i], "--to", to); err != nil {
				return err
			}
			dirs[i] = to
		}
	}
	first, err := treeOf(dirs[0])
	if err != nil {
		return err
	}
	second, err := treeOf(dirs[1])
	if err != nil {
		return err
	}
	if lines := differences(first, second); lines != nil || len(first) < 3 {
		return fmt.Errorf("the export of the import is another one, of %d files: %s", len(first), strings.Join(lines, "; "))
	}
	for name := range first {
		if info, err := os.Stat(filepath.Join(dirs[0], name)); err == nil {
			r.totals.bytes += info.Size()
		}
	}
	_, err = r.swing(ctx, "diff", r.first, r.second)
	return err
}

// copyIt copies the live store over the imported one, now and then.
func (r *round) copyIt(ctx context.Context) error {
	if r.round%4 != 3 {
		return nil
	}
	args := []string{"copy", "--state-dir", r.state, "--to-state-dir", r.target(), "--artifact-mode", r.mode}
	if r.kill {
		if err := r.killed(ctx, r.imported, "", args...); err != nil {
			return err
		}
	}
	if _, err := r.swing(ctx, args...); err != nil {
		return err
	}
	_, err := r.swing(ctx, "verify", "--state-dir", r.target(), "--artifact-mode", r.mode, "--deep")
	return err
}

// inProcess looks for descriptors and goroutines that stay, now and then.
func (r *round) inProcess(ctx context.Context) error {
	if r.round%5 != 4 {
		return nil
	}
	s, _, err := do(ctx, job{Do: "leaks", State: r.state, Dir: r.dir}, r.work, strike{})
	if err == nil && s.Error != "" {
		err = errors.New(s.Error)
	}
	r.totals.inProcess++
	return errors.Join(err, os.RemoveAll(filepath.Join(r.dir, "leaks")))
}

// tidy removes what the round made, by its names: what else is there was left by swingport.
func (r *round) tidy(context.Context) error {
	for _, path := range []string{r.first, r.second, r.first + ".d", r.second + ".d"} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	all, err := treeOf(r.work)
	if err != nil {
		return err
	}
	known := []string{"cwd", "dir", "dir/imported", "dir/imported/swingstore.sqlite", "genstore", "state", "swingport", "tmp"}
	for name := range all {
		if !slices.Contains(known, name) && !strings.HasPrefix(name, "state/swingstore.sqlite") {
			return fmt.Errorf("%s was left", name)
		}
	}
	return nil
}
