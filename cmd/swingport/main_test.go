package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	_ "modernc.org/sqlite" // the driver of the command sql

	"swingport/pipeline"
	"swingport/testdata"
)

// TestMain makes this binary also the programs that scripts and tests run.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"swingport": main,
		"waiting":   waiting,
	})
}

// TestScripts runs the command lines of testdata/script on the stores of the
// repository, $STORES, of which each script makes its own copies, and on the
// reference's exports: in $EXPORTS, or unpacked by the command reference.
func TestScripts(t *testing.T) {
	dir := testdata.Dir(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("STORES", filepath.Join(dir, "stores"))
			env.Setenv("EXPORTS", filepath.Join(dir, "exports"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"rc":      rc,
			"cpdir":   cpdir,
			"samedir": samedir,
			"sql":     sqlCommand,
			"flip":    flip,
			"tarball": tarball,
			"hold":    hold,
			"reference": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) != 4 {
					ts.Fatalf("usage: reference store artifact-mode export-data-mode dir")
				}
				export, _ := testdata.Export(t, args[0], args[1], args[2])
				cpdir(ts, false, []string{export, args[3]})
			},
		},
	})
}

// rc runs a command and expects an exit code: rc 2 swingport export --nope.
func rc(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: rc code command [args...]")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, not %s", got, args[0])
	}
}

// cpdir copies a directory: cpdir from to.
func cpdir(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cpdir from to")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(ts.MkAbs(args[0]))))
}

// samedir expects two directories with the same files: samedir a b.
func samedir(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: samedir a b")
	}
	a, b := files(ts, args[0]), files(ts, args[1])
	same := len(a) == len(b) && len(a) > 0
	for name, content := range a {
		if other, ok := b[name]; !ok || other != content {
			ts.Logf("%s differs", name)
			same = false
		}
	}
	if same == neg {
		ts.Fatalf("%s (%d files) and %s (%d files): the same is %v", args[0], len(a), args[1], len(b), same)
	}
}

// sqlCommand changes a database: sql file statement.
func sqlCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql file statement")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	result, err := db.Exec(args[1])
	ts.Check(err)
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		ts.Fatalf("%d rows changed, %v", n, err)
	}
}

// hold opens a database in WAL mode, as a node does, until the script ends:
// hold file.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: hold file")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { db.Close() })
	for _, statement := range []string{"PRAGMA journal_mode=WAL", "CREATE TABLE held (x)"} {
		_, err = db.Exec(statement)
		ts.Check(err)
	}
}

// flip inverts the bits of one byte of a file: flip file offset.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip file offset")
	}
	name := ts.MkAbs(args[0])
	data, err := os.ReadFile(name)
	ts.Check(err)
	offset, err := strconv.Atoi(args[1])
	ts.Check(err)
	data[offset] ^= 0xff
	ts.Check(os.WriteFile(name, data, 0o666))
}

// tarball packs a directory as other programs do, "./" in front of names in
// no order of ours: tarball dir file [gzip].
func tarball(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 && (len(args) != 3 || args[2] != "gzip") {
		ts.Fatalf("usage: tarball dir file [gzip]")
	}
	var packed bytes.Buffer
	var w io.Writer = &packed
	zw := gzip.NewWriter(&packed)
	if len(args) == 3 {
		w = zw
	}
	tw := tar.NewWriter(w)
	content := files(ts, args[0])
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(content))) {
		ts.Check(tw.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o600, Size: int64(len(content[name])), Format: tar.FormatGNU}))
		_, err := io.WriteString(tw, content[name])
		ts.Check(err)
	}
	ts.Check(tw.Close())
	if len(args) == 3 {
		ts.Check(zw.Close())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), packed.Bytes(), 0o666))
}

func files(ts *testscript.TestScript, dir string) map[string]string {
	dir = ts.MkAbs(dir)
	entries, err := os.ReadDir(dir)
	ts.Check(err)
	content := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		ts.Check(err)
		content[e.Name()] = string(data)
	}
	return content
}

// A fake is an app whose library calls only say what they were asked.
type fake struct {
	app
	out, err bytes.Buffer

	exports []pipeline.ExportOptions
	imports []pipeline.ImportOptions
	sum     pipeline.Summary

	verifies    []pipeline.VerifyOptions
	verified    pipeline.VerifyReport
	defects     []pipeline.Defect
	diffs       []pipeline.DiffOptions
	diffed      pipeline.DiffReport
	differences []pipeline.Difference
	lists       []pipeline.ListOptions
	entries     []pipeline.ListEntry
	listing     pipeline.Listing
	copies      []pipeline.CopyOptions
	copied      pipeline.CopySummary
	extracts    []pipeline.ExtractOptions
	extracted   pipeline.ExtractSummary

	fail error
}

// calls is how often the library was called.
func (f *fake) calls() int {
	return len(f.exports) + len(f.imports) + len(f.verifies) + len(f.diffs) + len(f.lists) + len(f.extracts) + len(f.copies)
}

// newFake gives a fake the environment environ, on top of a home directory.
func newFake(environ ...string) *fake {
	f := &fake{}
	f.app = *newApp(strings.NewReader(""), &f.out, &f.err, append([]string{"HOME=/home/node"}, environ...))
	f.app.export = func(_ context.Context, o pipeline.ExportOptions) (pipeline.Summary, error) {
		f.exports = append(f.exports, o)
		return f.sum, f.fail
	}
	f.app.importInto = func(_ context.Context, o pipeline.ImportOptions) (pipeline.Summary, error) {
		f.imports = append(f.imports, o)
		return f.sum, f.fail
	}
	f.app.measure = func(context.Context, benchJob) (benchRun, error) { return measured(1), f.fail }
	f.app.verify = func(_ context.Context, o pipeline.VerifyOptions) (pipeline.VerifyReport, error) {
		f.verifies = append(f.verifies, o)
		for _, d := range f.defects {
			o.Defect(d)
		}
		f.verified.DefectCount = len(f.defects)
		return f.verified, f.fail
	}
	f.app.diff = func(_ context.Context, o pipeline.DiffOptions) (pipeline.DiffReport, error) {
		f.diffs = append(f.diffs, o)
		for _, d := range f.differences {
			o.Each(d)
		}
		f.diffed.Differences = int64(len(f.differences))
		return f.diffed, f.fail
	}
	f.app.copy = func(_ context.Context, o pipeline.CopyOptions) (pipeline.CopySummary, error) {
		f.copies = append(f.copies, o)
		return f.copied, f.fail
	}
	f.app.list = func(_ context.Context, o pipeline.ListOptions) (pipeline.Listing, error) {
		f.lists = append(f.lists, o)
		for _, e := range f.entries {
			if o.Each == nil {
				break
			}
			if err := o.Each(e); err != nil {
				return pipeline.Listing{}, err
			}
		}
		return f.listing, f.fail
	}
	f.app.extract = func(_ context.Context, o pipeline.ExtractOptions) (pipeline.ExtractSummary, error) {
		f.extracts = append(f.extracts, o)
		return f.extracted, f.fail
	}
	f.app.height = func(context.Context, string) (float64, error) { return 12, f.fail }
	f.app.get = func(_ context.Context, dir, key string) ([]byte, bool, error) {
		return []byte(dir + " " + key), key != "missing", f.fail
	}
	return f
}
