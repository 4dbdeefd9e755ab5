package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// tree is all that is in a directory, with content, times and modes; of directories only the modes, since who reads a store in WAL mode makes
// and removes a file beside it.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files[path] = info.Mode().String()
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			files[path] += fmt.Sprintf(" %v %x", info.ModTime(), content)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// near reports whether an estimate is within a tenth, or some bytes, of what came out.
func near(estimate, actual, some int64) bool {
	return max(estimate-actual, actual-estimate) <= max(actual/10, some)
}

// A plan names what the run then makes, and makes nothing.
func TestPlans(t *testing.T) {
	ctx := context.Background()
	for _, store := range testdata.Stores {
		for _, mode := range []format.ArtifactMode{format.Operational, format.Replay, format.Archival, format.Debug, AutoMode} {
			t.Run(store+"/"+string(mode), func(t *testing.T) {
				dir := t.TempDir()
				state := testdata.Store(t, store)
				if err := os.Rename(state, filepath.Join(dir, "state")); err != nil {
					t.Fatal(err)
				}
				o := ExportOptions{StateDir: filepath.Join(dir, "state"), ExportDir: filepath.Join(dir, "new", "export"), ArtifactMode: mode, ExportDataMode: format.All}
				before := tree(t, dir)
				p, planErr := PlanExport(ctx, o)
				if after := tree(t, dir); !maps.Equal(before, after) {
					t.Fatalf("planning changed something: %v", slices.Sorted(maps.Keys(after)))
				}
				sum, err := Export(ctx, o)
				if fmt.Sprint(planErr) != fmt.Sprint(err) {
					t.Fatalf("the plan says %v, the export %v", planErr, err)
				}
				if err != nil {
					return
				}
				k := p.Kinds
				if string(p.ArtifactMode) != sum.ArtifactMode || p.BlockHeight != sum.BlockHeight || k.Snapshots.Count != sum.Snapshots ||
					k.Bundles.Count != sum.Bundles || mode != format.Debug && (k.Spans.Count != sum.Spans || p.Items != sum.Items) {
					t.Errorf("planned %+v, exported %+v", p, sum)
				}
				if !near(p.Bytes, sum.Bytes, 0) || p.Places[0].Least > sum.Bytes {
					t.Errorf("planned %d bytes, at least %d; exported %d", p.Bytes, p.Places[0].Least, sum.Bytes)
				}
				if store == "tiny" || store == "pruned" {
					planImportOf(t, o, mode)
				}
			})
		}
	}
}

func planImportOf(t *testing.T, o ExportOptions, mode format.ArtifactMode) {
	t.Helper()
	ctx := context.Background()
	dir := filepath.Dir(filepath.Dir(o.ExportDir))
	archive := o
	archive.ExportDir, archive.Archive = "", filepath.Join(dir, "a.tar.zst")
	sum, err := Export(ctx, archive)
	if err != nil {
		t.Fatal(err)
	}
	im := ImportOptions{ExportDir: o.ExportDir, StateDir: filepath.Join(dir, "imported")}
	ia := ImportOptions{Archive: archive.Archive, StateDir: im.StateDir}
	co := CopyOptions{StateDir: o.StateDir, ToStateDir: im.StateDir, ArtifactMode: mode}
	before := tree(t, dir)
	plans := map[string]func() (Plan, error){
		"directory": func() (Plan, error) { return PlanImport(ctx, im) },
		"archive":   func() (Plan, error) { return PlanImport(ctx, ia) },
		"copy":      func() (Plan, error) { return PlanCopy(ctx, co) },
	}
	got := map[string]Plan{}
	for name, plan := range plans {
		p, err := plan()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.BlockHeight != sum.BlockHeight || !p.Known || p.Kinds.Snapshots.Count != sum.Snapshots || p.Kinds.Bundles.Count != sum.Bundles {
			t.Errorf("%s: planned %+v, exported %+v", name, p, sum)
		}
		if name != "copy" && p.Bytes != sum.Bytes {
			t.Errorf("%s: %d bytes in the files, not %d", name, p.Bytes, sum.Bytes)
		}
		got[name] = p
	}
	if after := tree(t, dir); !maps.Equal(before, after) {
		t.Fatalf("planning changed something: %v", slices.Sorted(maps.Keys(after)))
	}
	if _, err := Import(ctx, im); err != nil {
		t.Fatal(err)
	}
	made := databaseBytes(im.StateDir)
	for name, p := range got {
		if !near(p.ResultBytes, made, 200<<10) || p.Places[0].Least > made {
			t.Errorf("%s: planned a store of %d bytes, at least %d; it has %d", name, p.ResultBytes, p.Places[0].Least, made)
		}
	}
}

// room is a file system with so much room.
func room(free, files int64) *stages.FS {
	return &stages.FS{Space: func(s stages.Space) stages.Space { s.Known, s.Free, s.Files = true, free, files; return s }}
}

// Too little room is an error before anything is made; room that may be too little is a warning, and the run goes on. Where the system does
// not say, or nobody wants to know, nothing is said.
func TestSpace(t *testing.T) {
	ctx := context.Background()
	state := testdata.Store(t, "tiny")
	export, _ := testdata.Export(t, "tiny", "archival", "all")
	runs := map[string]func(fsys *stages.FS, to string, anyway bool, warn func(string)) error{
		"export": func(fsys *stages.FS, to string, anyway bool, warn func(string)) error {
			o := archival(state)
			o.ExportDir, o.fs, o.NoSpaceCheck, o.Warn = to, fsys, anyway, warn
			_, err := Export(ctx, o)
			return err
		},
		"archive": func(fsys *stages.FS, to string, anyway bool, warn func(string)) error {
			o := archival(state)
			if err := os.MkdirAll(to, 0o777); err != nil {
				return err
			}
			o.Checksums, o.ExportDir, o.Archive, o.fs, o.NoSpaceCheck, o.Warn = false, "", filepath.Join(to, "a.tar"), fsys, anyway, warn
			_, err := Export(ctx, o)
			return err
		},
		"import": func(fsys *stages.FS, to string, anyway bool, warn func(string)) error {
			_, err := importInto(ctx, ImportOptions{ExportDir: export, StateDir: to, NoSpaceCheck: anyway, Warn: warn}, fsys)
			return err
		},
		"copy": func(fsys *stages.FS, to string, anyway bool, warn func(string)) error {
			o := CopyOptions{StateDir: state, ToStateDir: to, NoSpaceCheck: anyway, fs: fsys}
			o.Warn = warn
			_, err := Copy(ctx, o)
			return err
		},
	}
	unknown := &stages.FS{Space: func(s stages.Space) stages.Space { s.Known, s.Free = false, 0; return s }}
	for name, run := range runs {
		var least *SpaceError
		if err := run(room(0, 1e6), filepath.Join(t.TempDir(), "new"), false, nil); !errors.As(err, &least) {
			t.Fatal(err)
		}
		just := least.Needed
		if name == "copy" {
			just = just * 5 / 4 // a sample is smaller where the machine is slow
		}
		for _, c := range []struct {
			what            string
			fsys            *stages.FS
			anyway          bool
			fails, maybe    bool
			needed, hasRoom int64
		}{
			{"less", room(least.Needed/2, 1e6), false, true, false, 0, least.Needed / 2},
			{"little", room(100e3, 1e6), false, true, false, 0, 100e3},
			{"enough", room(1e9, 1e6), false, false, false, 0, 0},
			{"not known", unknown, false, false, false, 0, 0},
			{"none, anyway", room(0, 0), true, false, false, 0, 0},
			{"just", room(just, 1e6), false, false, true, 0, 0},
			{"no files", room(1e9, 0), false, true, false, 0, 0},
		} {
			to := filepath.Join(t.TempDir(), "new", "dir")
			var warnings []string
			err := run(c.fsys, to, c.anyway, func(text string) { warnings = append(warnings, text) })
			var space *SpaceError
			if c.fails != errors.As(err, &space) || !c.fails && err != nil {
				t.Errorf("%s, %s: %v", name, c.what, err)
				continue
			}
			if c.fails && (!errors.Is(err, syscall.ENOSPC) || space.Free != c.hasRoom || space.Needed <= space.Free || space.Dir == "") {
				t.Errorf("%s, %s: %+v", name, c.what, space)
			}
			if left, _ := os.ReadDir(to); c.fails && len(left) > 0 {
				t.Errorf("%s, %s: left %v", name, c.what, left)
			}
			if c.maybe != (len(warnings) > 0) || c.maybe && !strings.Contains(warnings[0], "may not be enough") {
				t.Errorf("%s, %s: warnings %q", name, c.what, warnings)
			}
		}
	}
}

// What goes to one file system is added up; each file system has to have room for its part.
func TestSpaceOfSeveralPlaces(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, c := range []struct {
		name   string
		same   bool
		free   int64
		places int
		fails  bool
	}{
		{"one file system", true, 19, 1, true},
		{"one with room", true, 20, 1, false},
		{"two", false, 10, 2, false},
		{"two without", false, 9, 2, true},
	} {
		fsys := &stages.FS{Space: func(s stages.Space) stages.Space {
			s.Known, s.Free, s.Device = true, c.free, 1
			if !c.same && s.Dir == two {
				s.Device = 2
			}
			return s
		}}
		var p Plan
		err := p.fit(fsys, false, need{dir: one, likely: 10, least: 10}, need{dir: two, likely: 10, least: 10})
		if c.fails != errors.As(err, new(*SpaceError)) || len(p.Places) != c.places {
			t.Errorf("%s: %v, %+v", c.name, err, p.Places)
		}
	}
}

// A plan fails where the run would, with the same error.
func TestPlansFail(t *testing.T) {
	ctx := context.Background()
	state := testdata.Store(t, "tiny")
	export, _ := testdata.Export(t, "tiny", "archival", "all")
	operational, _ := testdata.Export(t, "tiny", "operational", "all")
	noData, _ := testdata.Export(t, "tiny", "archival", "skip")
	file := filepath.Join(t.TempDir(), "file.tar")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	seven := 7.0
	to := filepath.Join(t.TempDir(), "to")
	for name, c := range map[string]struct {
		plan, run func() error
	}{
		"a height":                    exportsOf(ctx, ExportOptions{StateDir: state, ExportDir: to, CheckBlockHeight: &seven}),
		"a mode":                      exportsOf(ctx, ExportOptions{StateDir: testdata.Store(t, "pruned"), ExportDir: to, ArtifactMode: format.Archival}),
		"no store":                    exportsOf(ctx, ExportOptions{StateDir: to, ExportDir: to}),
		"an export is there":          exportsOf(ctx, ExportOptions{StateDir: state, ExportDir: export}),
		"an archive is there":         exportsOf(ctx, ExportOptions{StateDir: state, Archive: file}),
		"no directory":                exportsOf(ctx, ExportOptions{StateDir: state, ExportDir: file}),
		"below a file":                exportsOf(ctx, ExportOptions{StateDir: state, ExportDir: filepath.Join(file, "dir")}),
		"no temporary directory":      exportsOf(ctx, ExportOptions{StateDir: state, ExportDir: to, TempDir: file}),
		"an import of another height": importsOf(ctx, ImportOptions{ExportDir: export, StateDir: to, CheckBlockHeight: &seven}),
		"an import of a lesser mode":  importsOf(ctx, ImportOptions{ExportDir: operational, StateDir: to, ArtifactMode: format.Archival}),
		"an import without data":      importsOf(ctx, ImportOptions{ExportDir: noData, StateDir: to}),
		"an import of nothing":        importsOf(ctx, ImportOptions{ExportDir: to, StateDir: to}),
		"an import of no archive":     importsOf(ctx, ImportOptions{Archive: to, StateDir: to}),
		"an import to a file":         importsOf(ctx, ImportOptions{ExportDir: export, StateDir: file}),
		"a copy onto itself": {
			func() error { _, err := PlanCopy(ctx, CopyOptions{StateDir: state, ToStateDir: state}); return err },
			func() error { _, err := Copy(ctx, CopyOptions{StateDir: state, ToStateDir: state}); return err },
		},
	} {
		planned, ran := c.plan(), c.run()
		if planned == nil || ran == nil || planned.Error() != ran.Error() {
			t.Errorf("%s: the plan says %v, the run %v", name, planned, ran)
		}
	}
}

type planAndRun = struct{ plan, run func() error }

func exportsOf(ctx context.Context, o ExportOptions) planAndRun {
	return planAndRun{
		func() error { _, err := PlanExport(ctx, o); return err },
		func() error { _, err := Export(ctx, o); return err },
	}
}

func importsOf(ctx context.Context, o ImportOptions) planAndRun {
	return planAndRun{
		func() error { _, err := PlanImport(ctx, o); return err },
		func() error { _, err := Import(ctx, o); return err },
	}
}

// A store that another process has open is no target, which the plan of an import or copy sees without opening it.
func TestPlanOfStoreInUse(t *testing.T) {
	held := testdata.Store(t, "tiny1a") // in WAL mode
	hold(t, held, "PRAGMA journal_mode=WAL", "SELECT count(*) FROM kvStore")
	before := tree(t, held)
	export, _ := testdata.Export(t, "tiny", "archival", "all")
	_, importErr := PlanImport(context.Background(), ImportOptions{ExportDir: export, StateDir: held})
	_, copyErr := PlanCopy(context.Background(), CopyOptions{StateDir: testdata.Store(t, "tiny"), ToStateDir: held})
	for _, err := range []error{importErr, copyErr} {
		if !errors.As(err, new(*InUseError)) {
			t.Errorf("%v", err)
		}
	}
	if after := tree(t, held); !maps.Equal(before, after) {
		t.Errorf("planning changed something")
	}
}

// What only reading tells is not known of a stream, and of somebody else's archive.
func TestPlanOfUnknownArchive(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(t.TempDir(), "a.tar.gz")
	if err := os.WriteFile(foreign, testdata.Gzip([]byte("a tar")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, archive := range []string{"-", fifo, foreign} {
		p, err := PlanImport(context.Background(), ImportOptions{Archive: archive, StateDir: t.TempDir()})
		if err != nil || p.Known || p.Bytes != 0 || len(p.Warnings) != 1 || len(p.Places) != 1 {
			t.Errorf("%s: %+v, %v", archive, p, err)
		}
	}
}

// The names of the JSON form are documented, in README.md.
func TestPlanJSON(t *testing.T) {
	data, err := json.Marshal(Plan{Places: []PlanPlace{{}}})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("README.md does not name %s", name)
		}
	}
}
