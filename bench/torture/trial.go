package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"swingport/stages"
)

// A trial is one run of a scenario that is killed, and what comes after.
type trial struct {
	s      *scenario
	dir    string
	state  string  // the state directory, or the directory of the export or archive
	writer *writer // to the store that is to be replaced
}

// An outcome is what a killed run left.
type outcome string

const (
	missed  outcome = "missed"  // the run ended before it was killed
	nothing outcome = "nothing" // neither a store nor what looks like an export
	oldOne  outcome = "old"
	newOne  outcome = "new"
	bad     outcome = "bad" // something else
)

// A broken promise keeps the folder of its trial.
type broken struct {
	scenario string
	kill     string
	dir      string
	lines    []string
}

func (b *broken) Error() string {
	return fmt.Sprintf("%s, killed %s, in %s: %s", b.scenario, b.kill, b.dir, strings.Join(b.lines, "; "))
}

func (s *scenario) newTrial(ctx context.Context, name string) (*trial, error) {
	t := &trial{s: s, dir: filepath.Join(s.dir, name)}
	t.state = filepath.Join(t.dir, "target", "agoric")
	for _, name := range []string{"cwd", "tmp", "target"} {
		if err := os.MkdirAll(filepath.Join(t.dir, name), 0o755); err != nil {
			return nil, err
		}
	}
	if s.old == none && (s.replaces() || s.job.Archive == "") {
		return t, nil
	}
	if s.replaces() {
		if err := s.stores.put(t.state, older, s.old); err != nil {
			return nil, err
		}
	} else if err := os.Mkdir(t.state, 0o755); err != nil {
		return nil, err
	}
	return t, os.WriteFile(filepath.Join(t.state, "other.txt"), []byte("somebody else's\n"), 0o644)
}

// job is the scenario's with its paths.
func (t *trial) job() job {
	j := t.s.job
	j.State = t.state
	switch j.Do {
	case "export":
		j.State = t.s.input
		if j.Archive != "" {
			j.Archive = filepath.Join(t.state, j.Archive)
		} else {
			j.Dir = t.state
		}
	case "import":
		if j.Archive != "" {
			j.Archive = t.s.input
		} else {
			j.Dir = t.s.input
		}
	default:
		j.From = t.s.input
	}
	return j
}

func (t *trial) startWriter(ctx context.Context) (err error) {
	t.writer, err = startWriter(ctx, job{Do: "write", State: t.state}, t.dir)
	return err
}

func (t *trial) stopWriter() error {
	w := t.writer
	t.writer = nil
	return w.stop()
}

// placed is the file that is there, or another one, when the result is in place.
func (t *trial) placed() string {
	if t.s.replaces() {
		return filepath.Join(t.state, stages.StoreFile)
	}
	return filepath.Join(t.state, t.s.whole())
}

// A blow is how one run is killed: by itself at an operation, or from outside after a time, from the beginning or since the result is in place.
type blow struct {
	at     *killPoint
	after  time.Duration
	placed bool
}

func (b blow) String() string {
	switch {
	case b.at != nil:
		return b.at.String()
	case b.placed:
		return fmt.Sprintf("%v after the result was in place", b.after)
	}
	return fmt.Sprintf("after %v", b.after)
}

// try runs the job of a scenario with a kill. It looks at what is left, runs it again, and compares.
func (s *scenario) try(ctx context.Context, name string, b blow) (result outcome, err error) {
	t, err := s.newTrial(ctx, name)
	if err != nil {
		return "", err
	}
	if s.old == live {
		if err := t.startWriter(ctx); err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, t.stopWriter()) }()
	}
	j := t.job()
	j.Kill = b.at
	k := strike{after: b.after}
	if b.placed {
		k.placed = t.placed()
	}
	_, killed, err := do(ctx, j, t.dir, k)
	if err != nil {
		return "", err
	}
	if err := t.stopWriter(); err != nil {
		return "", err
	}
	if !killed {
		return missed, os.RemoveAll(t.dir)
	}
	result, lines, err := t.left(ctx, true)
	if err != nil {
		return "", err
	}
	if lines != nil {
		return result, &broken{s.name, b.String(), t.dir, lines}
	}
	return result, os.RemoveAll(t.dir)
}

// left looks at what a killed run left, and if it is asked to runs the job again. Lines say what is not as promised.
func (t *trial) left(ctx context.Context, again bool) (result outcome, lines []string, err error) {
	left, err := treeOf(t.state)
	if err != nil {
		return "", nil, err
	}
	if t.s.replaces() {
		result, lines = t.storeLeft(left)
	} else {
		result, lines = t.exportLeft(left)
	}
	if lines != nil || !again {
		return result, lines, nil
	}
	said, killed, err := do(ctx, t.job(), t.dir, strike{})
	if err != nil || killed {
		return result, nil, errors.Join(err, ctx.Err())
	}
	lines = t.saidAgain(said, result, left.temporary())
	end, err := treeOf(t.state)
	if err != nil {
		return result, nil, err
	}
	lines = append(lines, t.compare(end.timeless(), result)...)
	outside, err := t.outside()
	return result, append(lines, outside...), err
}

// exportLeft: what looks complete is.
func (t *trial) exportLeft(left tree) (outcome, []string) {
	if _, ok := left[t.s.whole()]; !ok {
		var lines []string
		for name := range left {
			if t.s.job.Archive != "" && name != "other.txt" && !strings.HasPrefix(name, ".swingport-") {
				lines = append(lines, name+" is neither the archive nor a temporary file")
			}
		}
		return nothing, lines
	}
	var lines []string
	for name, sum := range t.s.want {
		if left[name] != sum {
			lines = append(lines, fmt.Sprintf("it looks complete, but %s is not as it should be", name))
		}
	}
	return newOne, lines
}

// storeLeft: the old store or the new one is there, whole.
func (t *trial) storeLeft(left tree) (outcome, []string) {
	if _, ok := left[stages.StoreFile]; !ok {
		if t.s.old == none {
			return nothing, nil
		}
		return nothing, []string{"neither the old store nor the new one is there"}
	}
	if t.s.oldContent == "" && left[stages.StoreFile] == t.s.oldTree[stages.StoreFile] {
		return oldOne, t.damagedLeft(left)
	}
	content, err := contentOfCopy(t.state, filepath.Join(t.dir, "look"))
	switch {
	case content != "" && content == t.s.oldContent:
		return oldOne, nil
	case err != nil:
		return bad, []string{fmt.Sprintf("what is there is damaged: %v", err)}
	case content == t.s.content:
		return newOne, nil
	}
	return bad, []string{"what is there is neither the old store nor the new one"}
}

// damagedLeft: of a store that the engine cannot read every file is still there, under whatever name.
func (t *trial) damagedLeft(left tree) (lines []string) {
	for name, sum := range t.s.oldTree {
		found := false
		for is, sum2 := range left {
			found = found || sum == sum2 && !strings.HasPrefix(is, ".swingport-")
		}
		if !found {
			lines = append(lines, name+" of the damaged store is gone")
		}
	}
	return lines
}

// saidAgain: the second run succeeds, unless what it was to make is there, or it cannot succeed, and names what it removed.
func (t *trial) saidAgain(again said, result outcome, temporary []string) (lines []string) {
	exists := t.s.job.Do == "export" && result == newOne
	switch {
	case exists && !again.Exists:
		lines = append(lines, fmt.Sprintf("the export is there, and the second run says %q", again.Error))
	case !exists && (again.Error == "") != (t.s.refused.Error == ""):
		lines = append(lines, fmt.Sprintf("the second run says %q", again.Error))
	}
	if t.s.job.Resume {
		temporary = nil // it goes on with them
	}
	for _, name := range temporary {
		if !slices.ContainsFunc(again.Warnings, func(w string) bool { return strings.Contains(w, name) }) {
			lines = append(lines, fmt.Sprintf("the second run does not name %s, which it found; it says %q", name, again.Warnings))
		}
	}
	return lines
}

// compare: the second run leaves what an undisturbed one does. Where the new store was in place, --keep-old keeps that.
func (t *trial) compare(end tree, result outcome) []string {
	for name, sum := range end {
		if _, ok := t.s.want[name]; !ok && t.s.job.KeepOld && result == newOne && strings.Contains(name, ".old-") && sum == t.s.want[stages.StoreFile] {
			delete(end, name)
		}
	}
	return differences(t.s.want, end)
}

// outside: nothing is written outside the target.
func (t *trial) outside() (lines []string, err error) {
	all, err := treeOf(t.dir)
	if err != nil {
		return nil, err
	}
	for name := range all {
		switch {
		case name == "cwd", name == "tmp", name == "target", name == "target/agoric", strings.HasPrefix(name, "target/agoric/"):
		default:
			lines = append(lines, name+" is outside the target")
		}
	}
	return lines, nil
}
