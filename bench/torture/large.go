package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A shape is a store out of proportion, and what the command needs to be told for it.
type shape struct {
	name    string
	store   []string // flags of genstore
	small   []string // the same in small; nil where that is no shape
	maxItem string   // of imports and verify; "" for the default
	archive bool     // no directories: so many files say nothing more and take an hour
}

var shapes = []shape{
	{name: "10g", store: []string{"--size=10G"}},
	{name: "span", store: []string{"--size=20M", "--span-bytes=300M"}, small: []string{"--size=2M", "--span-bytes=6M"}},
	{name: "heap", store: []string{"--size=20M", "--heap-bytes=700M"}, small: []string{"--size=2M", "--heap-bytes=6M"}},
	{name: "item", store: []string{"--size=20M", "--item-bytes=50M"}, small: []string{"--size=2M", "--item-bytes=4M"}, maxItem: "64MiB"},
	{name: "spans", store: []string{"--size=20M", "--spans=1000000"}, small: []string{"--size=2M", "--spans=2000"}},
	{name: "vats", store: []string{"--size=200M", "--vats=2000"}, small: []string{"--size=2M", "--vats=100"}},
}

// budget is the memory that any command may take, in bytes: VmHWM.
const budget = 300 << 20

// large takes stores out of proportion through every command, and prints what each took. It fails where one fails, takes more memory than
// is promised, or where an export is not that of the store.
func large(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("torture large", flag.ContinueOnError)
	only := f.String("only", "", "`SHAPES` to take, with commas between them: "+shapeNames()+"; default all")
	dir := f.String("dir", "", "`DIR` to work in, with 40 GB of room for all shapes; default the system's for temporary files")
	from := f.String("store", "", "`DIR` of a store to take in place of one that is made; with one shape")
	small := f.Bool("small", false, "take small stores")
	skip := f.Bool("archives-only", false, "leave out what writes or reads directories")
	if err := parseFlags(f, args, stderr); err != nil {
		return err
	}
	chosen, err := chooseShapes(*only)
	if err != nil {
		return usageError{err}
	}
	if *from != "" && len(chosen) != 1 {
		return usageError{errors.New("--store takes --only with one shape")}
	}
	work, err := os.MkdirTemp(*dir, "swingport-large.")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	t := &largeTrial{work: work, out: stdout, swingport: filepath.Join(work, "swingport")}
	if err := t.build(ctx); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "| shape | step | seconds | peak MiB | |\n|---|---|--:|--:|---|\n")
	for _, s := range chosen {
		if *small {
			if s.store = s.small; s.store == nil {
				continue
			}
		}
		s.archive = s.archive || *skip
		if err := t.shape(ctx, s, *from); err != nil {
			return err
		}
	}
	if t.failed > 0 {
		return fmt.Errorf("%d steps failed", t.failed)
	}
	return nil
}

func shapeNames() string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// chooseShapes are those of a list of names; all of an empty one.
func chooseShapes(only string) (chosen []shape, err error) {
	if only == "" {
		return shapes, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(shapes, func(s shape) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown shape %q: one of %s", name, shapeNames())
		}
		chosen = append(chosen, shapes[i])
	}
	return chosen, nil
}
