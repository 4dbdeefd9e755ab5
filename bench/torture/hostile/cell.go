package hostile

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"swingport/pipeline"
)

// A cell of the matrix is what one command makes of the damage of one input.
type cell struct {
	Input   string `json:"input"`
	Command string `json:"command"`
	Dir     string `json:"dir"`    // to work in
	Inputs  string `json:"inputs"` // where the undamaged ones are
	Most    int    `json:"most"`   // damages, evenly spread; 0 means all
}

// A tally is what came of a cell.
type tally struct {
	Tried  int      `json:"tried"`
	Errors int      `json:"errors"` // said to be wrong
	Same   int      `json:"same"`   // the result of the undamaged input
	Other  int      `json:"other"`  // another one, as the engine reads the damaged store: no value of kvStore has a hash
	Broken []string `json:"broken"` // what must not be
	Peak   int64    `json:"peak"`   // resident bytes of the process, at most
}

// maxBroken is how many broken promises of a cell are told in words.
const maxBroken = 20

// A damage of one file.
type damage struct {
	file string // below the input
	cut  bool   // else a bit is flipped
	at   int
}

func (d damage) String() string {
	what := "bit flipped in"
	if d.cut {
		what = "cut before"
	}
	return fmt.Sprintf("%s byte %d of %q", what, d.at, d.file)
}

func (d damage) of(data []byte) []byte {
	if d.cut {
		return data[:d.at]
	}
	bad := slices.Clone(data)
	bad[d.at] ^= 1 << (d.at % 8)
	return bad
}

// longRun is how many equal bytes one after the other are damaged: those behind are free space, padding, or more of the same.
const longRun = 24

// damages are a cut and a flip at every byte but in long runs of one byte. Of a store most cuts within a page are left out.
func damages(kind pipeline.Kind, all map[string][]byte) (list []damage) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		data, run := all[name], 0
		for at, b := range data {
			if run++; at == 0 || b != data[at-1] {
				run = 0
			}
			if run > longRun {
				continue
			}
			list = append(list, damage{name, false, at})
			if kind != pipeline.KindStateDir || at%64 == 0 {
				list = append(list, damage{name, true, at})
			}
		}
	}
	return list
}

// spread are some of the damages, at most a number, in places and of kinds that are not all the same.
func spread(list []damage, most int) (some []damage) {
	if most <= 0 || len(list) <= most {
		return list
	}
	for i := range most {
		some = append(some, list[(2*i+1)*len(list)/(2*most)])
	}
	return some
}

// run gives the command all of the damage; see is told of each one before.
func (c cell) run(ctx context.Context, see func(what string)) (t tally, err error) {
	in, err := inputNamed(c.Input)
	if err != nil {
		return t, err
	}
	cmd, err := commandNamed(c.Command)
	if err != nil {
		return t, err
	}
	b := &bench{in: in, dir: c.Dir, inputs: c.Inputs}
	good, err := files(filepath.Join(b.inputs, in.path))
	if err != nil {
		return t, err
	}
	if err := b.setUp(good); err != nil {
		return t, err
	}
	want, err := cmd.run(ctx, b)
	if err != nil {
		return t, fmt.Errorf("%s of the undamaged %s: %w", cmd.name, in.name, err)
	}
	for _, d := range spread(damages(in.kind, good), c.Most) {
		if ctx.Err() != nil {
			return t, context.Cause(ctx)
		}
		see(d.String())
		if err := b.setUp(good); err != nil {
			return t, err
		}
		if err := os.WriteFile(filepath.Join(b.path(), d.file), d.of(good[d.file]), 0o644); err != nil {
			return t, err
		}
		if err := t.add(ctx, b, cmd, want, d.String()); err != nil {
			return t, err
		}
	}
	return t, nil
}

// setUp makes everything as it is before a command.
func (b *bench) setUp(good map[string][]byte) error {
	if err := os.RemoveAll(b.dir); err != nil {
		return err
	}
	for _, dir := range []string{b.dir, b.to(), b.temp()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if b.in.kind != pipeline.KindArchive {
		if err := os.Mkdir(b.path(), 0o755); err != nil {
			return err
		}
	}
	for name, data := range good {
		if err := os.WriteFile(filepath.Join(b.path(), name), data, 0o644); err != nil {
			return err
		}
	}
	old, err := files(filepath.Join(b.inputs, "store"))
	if err != nil {
		return err
	}
	for name, data := range old {
		if err := os.WriteFile(filepath.Join(b.to(), name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// add runs the command once and judges it.
func (t *tally) add(ctx context.Context, b *bench, cmd command, want, what string) error {
	before, err := digest(b.dir)
	if err != nil {
		return err
	}
	t.Tried++
	got, failed := cmd.run(ctx, b)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	after, err := digest(b.dir)
	if err != nil {
		return err
	}
	broken := func(format string, args ...any) {
		if len(t.Broken) < maxBroken {
			t.Broken = append(t.Broken, fmt.Sprintf("%s of %s, %s: %s", cmd.name, b.in.name, what, fmt.Sprintf(format, args...)))
		}
	}
	if failed != nil && failed.Error() == "" {
		broken("an error that says nothing")
	}
	made := ""
	if failed == nil {
		made = cmd.makes
		if made == intoInput {
			made = b.in.path + "/"
		}
	}
	if left := strings.TrimSpace(changes(before, after, made)); left != "" {
		broken("result %v; there is now: %s", failed, left)
	}
	switch {
	case failed != nil:
		t.Errors++
	case got == want:
		t.Same++
	case b.in.kind != pipeline.KindStateDir || cmd.other == isWrong:
		broken("no error, and another result: %.300s", got)
	default:
		t.Other++
		if cmd.other == isRight {
			break
		}
		if engine, err := exported(ctx, b.path(), pipeline.ReaderEngine); err != nil || engine != got {
			broken("no error, and the engine reads something else: %v", err)
		}
	}
	return nil
}

// changes are the lines of two digests that only one of them has, without those of files that a command makes.
func changes(before, after, made string) string {
	was := map[string]bool{}
	for line := range strings.Lines(before) {
		was[line] = true
	}
	isMade := func(line string) bool { return made != "" && strings.HasPrefix(line, `"`+made) }
	var changed strings.Builder
	for line := range strings.Lines(after) {
		if !was[line] && !isMade(line) {
			changed.WriteString(line)
		}
		delete(was, line)
	}
	for line := range was {
		if !isMade(line) {
			changed.WriteString("no longer " + line)
		}
	}
	return changed.String()
}
