package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"swingport/format"
	"swingport/stages"
)

// A scenario is a command, the store that it reads and the one that it replaces. A trial of it has a folder of its own; what is read is common
// to all.
type scenario struct {
	name   string
	job    job       // without paths, but for the names of archives
	source condition // of what is exported or copied
	old    condition // of what is replaced; of an export none, and "" is a directory with something else in it

	stores *stores
	dir    string
	input  string  // what is read
	before tree    // it, before
	writer *writer // to the input, where that is live

	oldTree    tree   // of the target, before
	oldContent string // as contentOfCopy says it; "" where the engine cannot even open it
	want       tree   // of the target, after an undisturbed run; without times
	content    string // of the new store
	refused    said   // what an undisturbed run said
	ops        []stages.OpKind
	took       time.Duration
}

// scenarios are those of the matrix.
func scenarios() (list []*scenario) {
	export := func(name string, source condition, j job) {
		j.Do = "export"
		list = append(list, &scenario{name: "export " + name, job: j, source: source, old: none})
	}
	dir, tar, zst := job{}, job{Archive: "x.tar"}, job{Archive: "x.tar.zst"}
	export("to a directory, idle", idle, dir)
	export("to a directory, full -wal", full, dir)
	export("to a directory, live", live, dir)
	export("to a directory, damaged", damaged, dir)
	export("to a directory, stale -wal", stale, job{Reader: "engine"})
	export("to a directory, full -wal, --resume", full, job{Resume: true})
	export("to a directory, live, --resume", live, job{Resume: true})
	export("to .tar, idle", idle, tar)
	export("to .tar.zst, live", live, zst)
	export("to .tar.zst, full -wal", full, zst)

	replace := func(name string, source, old condition, j job) {
		list = append(list, &scenario{name: j.Do + " " + name, job: j, source: source, old: old})
	}
	const fromDir, fromArchive = "of a directory, over ", "of .tar.zst, over "
	replace(fromDir+"none", idle, none, job{Do: "import"})
	replace(fromDir+"idle", idle, idle, job{Do: "import"})
	replace(fromDir+"full -wal, --keep-old", idle, full, job{Do: "import", KeepOld: true})
	replace(fromDir+"damaged", idle, damaged, job{Do: "import"})
	replace(fromDir+"live", idle, live, job{Do: "import"})
	replace(fromArchive+"stale -wal", idle, stale, job{Do: "import", Archive: "x.tar.zst"})
	replace(fromArchive+"foreign -wal, --writer pages", idle, foreign, job{Do: "import", Archive: "x.tar.zst", Writer: "pages"})
	replace(fromArchive+"full -wal", idle, full, job{Do: "import", Archive: "x.tar.zst"})
	replace("of live, over none", live, none, job{Do: "copy"})
	replace("of full -wal, over full -wal", full, full, job{Do: "copy"})
	replace("of idle, over damaged", idle, damaged, job{Do: "copy"})
	replace("of idle, over live", idle, live, job{Do: "copy"})
	replace("of live, over idle, --keep-old", live, idle, job{Do: "copy", KeepOld: true})
	return list
}

// prepare makes what is read, and runs the job once without disturbance: everything is compared with what that leaves.
func (s *scenario) prepare(ctx context.Context, stores *stores, dir string) (err error) {
	s.stores, s.dir = stores, dir
	if err := s.makeInput(ctx); err != nil {
		return err
	}
	t, err := s.newTrial(ctx, "undisturbed")
	if err != nil {
		return err
	}
	if s.oldTree, err = treeOf(t.state); err != nil {
		return err
	}
	if s.replaces() && s.old != none {
		s.oldContent, _ = contentOfCopy(t.state, filepath.Join(t.dir, "look")) // of a damaged one there is none
	}
	if s.old == live {
		if err := t.startWriter(ctx); err != nil {
			return err
		}
	}
	began := time.Now()
	if s.refused, _, err = do(ctx, t.job(), t.dir, strike{}); err != nil {
		return err
	}
	s.ops, s.took = s.refused.Ops, time.Since(began)
	if s.old == live {
		if !s.refused.InUse {
			return fmt.Errorf("%s: a store that is in use was not refused, but %q", s.name, s.refused.Error)
		}
		if err := t.stopWriter(); err != nil {
			return err
		}
		if s.refused, _, err = do(ctx, t.job(), t.dir, strike{}); err != nil {
			return err
		}
	}
	if failed := s.refused.Error != ""; failed != (s.source == damaged) {
		return fmt.Errorf("%s: undisturbed it said %q", s.name, s.refused.Error)
	}
	if s.want, err = treeOf(t.state); err != nil {
		return err
	}
	if s.replaces() {
		if s.content, err = contentOfCopy(t.state, filepath.Join(t.dir, "look")); err != nil {
			return err
		}
	}
	s.want = s.want.timeless()
	s.before, err = s.inputTree()
	return errors.Join(err, os.RemoveAll(t.dir))
}

// makeInput makes the store that is read, or the export of it.
func (s *scenario) makeInput(ctx context.Context) (err error) {
	for _, name := range []string{"cwd", "tmp"} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o755); err != nil {
			return err
		}
	}
	if s.input == "" {
		s.input = filepath.Join(s.dir, "input")
		if err := s.stores.put(s.input, newer, s.source); err != nil {
			return err
		}
	}
	if s.source == live {
		s.writer, err = startWriter(ctx, job{Do: "write", State: s.input}, s.dir)
		return err
	}
	if s.job.Do != "import" {
		return nil
	}
	export := job{Do: "export", State: s.input}
	if s.input = filepath.Join(s.dir, "export"); s.job.Archive != "" {
		s.input = filepath.Join(s.dir, s.job.Archive)
		export.Archive = s.input
	} else {
		export.Dir = s.input
	}
	said, _, err := do(ctx, export, s.dir, strike{})
	if err == nil && said.Error != "" {
		err = errors.New(said.Error)
	}
	return err
}

// close ends what was begun, and is an error if the input is not as it was.
func (s *scenario) close() error {
	if err := s.writer.stop(); err != nil || s.before == nil {
		return err
	}
	now, err := s.inputTree()
	if lines := differences(s.before, now); err == nil && lines != nil {
		err = fmt.Errorf("%s: its input is not as it was: %s", s.name, strings.Join(lines, "; "))
	}
	return err
}

// inputTree is what is read. The engine's files beside a store belong to all its readers, and a live one changes.
func (s *scenario) inputTree() (tree, error) {
	if s.source == live {
		return nil, nil
	}
	if info, err := os.Stat(s.input); err == nil && !info.IsDir() {
		sum, err := hashFile(s.input)
		return tree{"": sum}, err
	}
	t, err := treeOf(s.input)
	for name := range t {
		if name == stages.StoreFile+"-shm" || name == stages.StoreFile+"-wal" && s.source != full && s.source != stale {
			delete(t, name)
		}
	}
	return t, err
}

// replaces reports whether the job replaces a store.
func (s *scenario) replaces() bool { return s.job.Do != "export" }

// whole is the file of an export without which nothing looks complete.
func (s *scenario) whole() string {
	if s.job.Archive != "" {
		return s.job.Archive
	}
	return format.ManifestFile
}

// contentOfCopy is contentOf a copy, which is made and removed again; with the error of damage comes imageOf it, "" where there is none.
func contentOfCopy(state, look string) (content string, err error) {
	for i, of := range []func(string) (string, error){contentOf, imageOf} {
		if err := copyDir(look, state); err != nil {
			return "", err
		}
		found, err2 := of(look)
		if err2 := os.RemoveAll(look); err2 != nil {
			return "", err2
		}
		content = found
		if i == 0 {
			err = err2
		}
		if err == nil {
			return content, nil
		}
	}
	return content, err
}
