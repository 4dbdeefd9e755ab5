package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"swingport/pipeline"
)

// leaks exports a store, verifies and imports that, all in this process and twice, and says if descriptors or goroutines are left: the first
// time some stay for good.
func leaks(state, dir string, stdout, stderr io.Writer) int {
	var s said
	files, routines := 0, 0
	for turn := range 3 {
		archive := filepath.Join(dir, fmt.Sprintf("leaks-%d.tar.zst", turn))
		if err := onceInProcess(state, archive, filepath.Join(dir, "leaks")); err != nil {
			s.Error = err.Error()
			break
		}
		f, r, err := openNow()
		if err != nil {
			s.Error = err.Error()
		}
		if turn > 0 && (f > files || r > routines) {
			s.Error = fmt.Sprintf("%d descriptors and %d goroutines are open, before it were %d and %d", f, r, files, routines)
		}
		files, routines = f, r
	}
	if err := json.NewEncoder(stdout).Encode(s); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func onceInProcess(state, archive, to string) error {
	ctx := context.Background()
	if _, err := pipeline.Export(ctx, pipeline.ExportOptions{StateDir: state, Archive: archive}); err != nil {
		return err
	}
	report, err := pipeline.Verify(ctx, pipeline.VerifyOptions{Archive: archive})
	if err == nil && report.DefectCount > 0 {
		err = fmt.Errorf("verify found %d defects", report.DefectCount)
	}
	if err != nil {
		return err
	}
	if _, err := pipeline.Import(ctx, pipeline.ImportOptions{StateDir: to, Archive: archive}); err != nil {
		return err
	}
	return os.Remove(archive)
}

// openNow counts descriptors and goroutines, when those that are about to end had a moment.
func openNow() (files, routines int, err error) {
	runtime.GC()
	time.Sleep(200 * time.Millisecond)
	entries, err := os.ReadDir("/proc/self/fd")
	return len(entries), runtime.NumGoroutine(), err
}
