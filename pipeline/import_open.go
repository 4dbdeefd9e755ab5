package pipeline

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"swingport/stages"
)

// open opens what is to be imported.
func (x *importer) open(ctx context.Context) (err error) {
	if x.o.Archive == "" {
		x.src, err = stages.OpenDir(x.o.ExportDir, x.fsys)
		return err
	}
	if x.o.ExportDir != "" {
		return errors.New("an import reads a directory or an archive, not both")
	}
	in, err := stages.OpenInput(ctx, x.o.Archive, x.o.Stdin, x.fsys, x.o.Status.AddBytes)
	if err != nil {
		return err
	}
	x.o.Status.SetPhase("archive", in.Size)
	x.src, err = stages.OpenArchive(ctx, in, stages.ArchiveOptions{TempDir: x.spoolDir(), FS: x.fsys, MaxWindow: x.o.MaxWindow})
	return err
}

// spoolDir is where somebody else's tar is spooled: on the disk of the new store, which is going to need that room.
func (x *importer) spoolDir() string {
	if x.o.TempDir != "" {
		return x.o.TempDir
	}
	dir := filepath.Clean(x.o.StateDir)
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// phase begins a phase of reading. An archive is one phase, whose bytes are those of the file: what is in it, nobody knows before its end.
func (x *importer) phase(name string, bytes int64) {
	if x.o.Archive == "" {
		x.o.Status.SetPhase(name, bytes)
	}
}

// progress counts what was read of a directory.
func (x *importer) progress() func(int64) {
	if x.o.Archive != "" {
		return func(int64) {}
	}
	return x.o.Status.AddBytes
}
