package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"swingport/bench/measure"
)

// largeTrial is a run of all steps for some shapes.
type largeTrial struct {
	work, swingport string
	out             io.Writer
	failed          int

	name   string // of the shape
	digest string // of its archival export
}

// build builds the command that is tortured.
func (t *largeTrial) build(ctx context.Context) error {
	_, _, err := measure.Run(ctx, []string{"go", "build", "-o", t.swingport, "swingport/cmd/swingport"})
	return err
}

// shape takes a shape through all steps.
func (t *largeTrial) shape(ctx context.Context, s shape, store string) error {
	t.name, t.digest = s.name, ""
	if store == "" {
		store = t.path("store")
		defer os.RemoveAll(store)
		argv := append([]string{"go", "run", "swingport/bench/genstore", "--out", store}, s.store...)
		if _, _, err := measure.Run(ctx, argv); err != nil {
			return err
		}
	}
	var max []string
	if s.maxItem != "" {
		max = []string{"--max-item", s.maxItem}
	}
	archive, dir := t.path("archive.tar.zst"), t.path("directory")
	defer os.RemoveAll(archive)
	defer os.RemoveAll(dir)
	t.run(ctx, "export archival, .tar.zst", nil, "export", "--state-dir", store, "--artifact-mode=archival", "--output", archive)
	t.export(ctx, "export archival, to a pipe", store, "sweep")
	for _, mode := range []string{"operational", "replay"} {
		t.run(ctx, "export "+mode+", .tar to a pipe", io.Discard, "export", "--state-dir", store, "--artifact-mode", mode, "--format=tar", "--output=-")
	}
	t.run(ctx, "verify the store", nil, "verify", store)
	t.run(ctx, "verify the archive", nil, append([]string{"verify", archive}, max...)...)
	t.copy(ctx, store, "import the archive, by inserts", append([]string{"import", "--input", archive}, max...)...)
	if s.archive {
		t.copy(ctx, store, "import the archive, by pages", append([]string{"import", "--input", archive, "--writer=pages"}, max...)...)
	} else {
		os.RemoveAll(archive)
		t.directory(ctx, store, dir, max)
	}
	t.copy(ctx, store, "copy", append([]string{"copy", "--artifact-mode=archival"}, max...)...)
	return ctx.Err()
}

// directory takes a shape through the form that the reference knows.
func (t *largeTrial) directory(ctx context.Context, store, dir string, max []string) {
	t.run(ctx, "export archival, directory", nil,
		"export", "--state-dir", store, "--artifact-mode=archival", "--export-data-mode=all", "--checksums", "--export-dir", dir)
	t.step("read the directory", 0, 0, func() (string, error) { return digestDir(dir) })
	t.run(ctx, "verify the directory", nil, append([]string{"verify", dir}, max...)...)
	t.copy(ctx, store, "import the directory, by pages", append([]string{"import", "--export-dir", dir, "--writer=pages"}, max...)...)
	os.RemoveAll(dir)
}

// copy makes a store by an import or a copy, and compares what it exports, by either reader.
func (t *largeTrial) copy(ctx context.Context, store, step string, argv ...string) {
	to := t.path("new")
	defer os.RemoveAll(to)
	if argv[0] == "copy" {
		argv = append(argv, "--state-dir", store, "--to-state-dir", to)
	} else {
		argv = append(argv, "--state-dir", to)
		if err := os.Mkdir(to, 0o755); err != nil {
			t.row(step, 0, 0, err)
			return
		}
	}
	if t.run(ctx, step, nil, argv...) {
		t.export(ctx, "export that, reader sweep", to, "sweep")
		if strings.Contains(step, "inserts") {
			t.export(ctx, "export that, reader engine", to, "engine")
		}
	}
}

func (t *largeTrial) path(name string) string { return filepath.Join(t.work, name) }

// export exports a store as a tar to a pipe, and compares what comes out with what the first export had.
func (t *largeTrial) export(ctx context.Context, step, store, reader string) {
	r, w := io.Pipe()
	type digested struct {
		digest string
		err    error
	}
	done := make(chan digested, 1)
	go func() {
		d, err := digestTar(r)
		r.CloseWithError(err) // with an error the export ends; without one it has
		done <- digested{d, err}
	}()
	seconds, peak, err := t.child(ctx, w, "export", "--state-dir", store, "--artifact-mode=archival", "--reader", reader, "--format=tar", "--output=-")
	w.CloseWithError(err)
	d := <-done
	if err != nil {
		t.row(step, seconds, peak, err)
		return
	}
	t.step(step, seconds, peak, func() (string, error) { return d.digest, d.err })
}

// step compares a digest with the first one and prints the row.
func (t *largeTrial) step(step string, seconds float64, peak int64, digest func() (string, error)) {
	d, err := digest()
	if t.digest == "" {
		t.digest = d
	}
	if err == nil && d != t.digest {
		err = fmt.Errorf("other files: %s and not %s", d, t.digest)
	}
	t.row(step, seconds, peak, err)
}

// run runs a step that is only measured.
func (t *largeTrial) run(ctx context.Context, step string, stdout io.Writer, argv ...string) bool {
	seconds, peak, err := t.child(ctx, stdout, argv...)
	t.row(step, seconds, peak, err)
	return err == nil
}

// row prints a row, and counts it where it is a failure.
func (t *largeTrial) row(step string, seconds float64, peak int64, err error) {
	result := "ok"
	switch {
	case err != nil:
		result = "FAILED: " + strings.ReplaceAll(err.Error(), "\n", " ")
	case peak > budget:
		result = "TOO MUCH MEMORY"
	}
	if result != "ok" {
		t.failed++
	}
	fmt.Fprintf(t.out, "| %s | %s | %.1f | %d | %s |\n", t.name, step, seconds, peak>>20, measure.Cell(result))
}

// child runs swingport and says how long it took, and its VmHWM.
func (t *largeTrial) child(ctx context.Context, stdout io.Writer, argv ...string) (seconds float64, peak int64, err error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, t.swingport, argv...)
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	cmd.Env = append(os.Environ(), "TMPDIR="+t.work)
	start := time.Now()
	err = cmd.Run()
	seconds = time.Since(start).Seconds()
	if cmd.ProcessState != nil {
		peak = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return seconds, peak, err
}
