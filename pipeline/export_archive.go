package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"swingport/format"
	"swingport/stages"
)

// The formats of an archive; the values of [ExportOptions.Format].
const (
	FormatTar     = "tar"
	FormatTarZstd = "tar.zst"
)

// archiveSink is an archive as a sink.
type archiveSink struct {
	o      *ExportOptions
	target *stages.Target
	packer *stages.Packer
	zstd   *stages.Compressor // nil for a plain tar
}

// newArchiveSink opens the target. What it spills goes where the options say, or beside the archive.
func newArchiveSink(ctx context.Context, o *ExportOptions) (sink, error) {
	s := &archiveSink{o: o}
	pieces := 4
	if o.Format == FormatTarZstd {
		var err error
		if s.zstd, err = stages.NewCompressor(o.Level, o.Workers); err != nil {
			return nil, err
		}
		pieces = s.zstd.Workers() + 2
	}
	var err error
	if s.target, err = stages.OpenTarget(ctx, o.Archive, o.Stdout, o.fs, o.noteLeft); err != nil {
		return nil, errors.Join(err, s.target.Abort())
	}
	temp := o.TempDir
	if temp == "" {
		temp = s.target.TempDir()
	}
	s.packer = stages.NewPacker(o.ModTime, pieces, temp, o.fs)
	return s, nil
}

func (s *archiveSink) wants() wants {
	return wants{ordered: true, snapshots: s.o.Snapshots, data: true, sums: true, size: true, again: s.target.Again()}
}

func (s *archiveSink) start(r *run, x *export) {
	watching, written := context.WithCancel(r.ctx)
	r.beside("write archive", func(context.Context) error { return s.target.Watch(watching) })
	s.write(r, "pack archive", func(ctx context.Context) error { return s.pack(ctx, x) }, written)
}

// write starts the stages that write what pack gives to s.packer, and calls written at the end:
//
//	pack -> pieces -> compress -> frames -> write
func (s *archiveSink) write(r *run, name string, pack func(context.Context) error, written func()) {
	if s.zstd == nil {
		pieces := stages.NewLink(2, (*stages.Chunk).Release)
		r.stage(name, func(ctx context.Context) error { s.packer.To(ctx, pieces.Send); return pack(ctx) }, pieces)
		r.stage("write archive", func(ctx context.Context) error {
			defer written()
			return stages.Each(ctx, pieces, func(c *stages.Chunk) error {
				defer c.Release()
				return s.target.Write(ctx, c.Data)
			})
		})
		return
	}
	frames := s.zstd.NewFrames()
	r.stage(name, func(ctx context.Context) error { s.packer.To(ctx, frames.Dispatch); return pack(ctx) }, frames)
	r.workers("compress", s.zstd.Workers(), func(ctx context.Context) error { return s.zstd.Work(ctx, frames) })
	r.stage("write archive", func(ctx context.Context) error {
		defer written()
		return s.zstd.Write(ctx, frames, s.target)
	})
}

// pack packs all entries that come before the manifest.
func (s *archiveSink) pack(ctx context.Context, x *export) error {
	head := format.ArchiveHeader{BlockHeight: x.plan.Height, ArtifactMode: x.o.ArtifactMode, ExportData: x.withData(), Snapshots: s.o.Snapshots}
	metadataSize, err := s.packer.Head(head, func(f func([]byte) error) error { return stages.EachMetadataLine(ctx, x.store, f) })
	if err != nil {
		return err
	}
	err = stages.Each(ctx, x.queue.Queue, func(j *stages.Job[*stages.Artifact, stages.Part]) error {
		return stages.Each(ctx, j.Out, s.packer.Part)
	})
	if err != nil || !x.withData() {
		return err
	}
	if err := x.sorted.wait(ctx); err != nil {
		return err
	}
	return s.packer.Data(x.sorter.Size()+metadataSize, x.lines)
}

// commit writes the end of the archive: where anything before was wrong, a reader sees that it is cut. Nobody watches the reader any more, which
// may go when it has the last byte.
func (s *archiveSink) commit(ctx context.Context, x *export) error {
	r := newRun(ctx, s.o.Status)
	s.write(r, "pack manifest and index", func(context.Context) error {
		if err := s.packer.Manifest(func(w io.Writer) error { return writeManifest(w, x) }); err != nil {
			return err
		}
		return s.packer.End()
	}, func() {})
	if err := r.wait(); err != nil {
		return err
	}
	if s.zstd != nil {
		if err := s.zstd.WriteTable(ctx, s.target); err != nil {
			return err
		}
	}
	return s.target.Commit(ctx)
}

func writeManifest(w io.Writer, x *export) error {
	m := format.NewManifestWriter(w, x.plan.Height, string(x.o.ArtifactMode))
	if err := x.names(m.Add); err != nil {
		return err
	}
	data := ""
	if x.withData() {
		data = format.ExportDataFile
	}
	return m.Close(data)
}

func (s *archiveSink) abort() error { return errors.Join(s.packer.Close(), s.target.Abort()) }

func (s *archiveSink) tempDir() string { return s.target.TempDir() }
func (s *archiveSink) bytes() int64    { return s.packer.ContentBytes() }
func (s *archiveSink) dataSum() string { return s.packer.DataSum() }

// archiveDefaults fills in what was left out of an export to an archive, and refuses what cannot be.
func (o *ExportOptions) archiveDefaults() error {
	if o.ArtifactMode == "" {
		o.ArtifactMode = AutoMode
	}
	if o.ExportDataMode == "" {
		o.ExportDataMode = format.All
	}
	if o.Format == "" {
		o.Format = ArchiveFormat(o.Archive)
	}
	if o.Level == "" {
		o.Level = "default"
	}
	switch {
	case o.Checksums:
		return errors.New("an archive has no SHA256SUMS: its index has the hash of each file")
	case o.Format == "":
		return fmt.Errorf("%s: neither .tar nor .tar.zst, so say which format it is to have", o.Archive)
	case o.Format != FormatTar && o.Format != FormatTarZstd:
		return fmt.Errorf("unknown format %q: %s or %s", o.Format, FormatTar, FormatTarZstd)
	case o.ModTime < 0 || o.ModTime > format.MaxTarTime:
		return fmt.Errorf("modification time %d: from 0 to %d seconds", o.ModTime, int64(format.MaxTarTime))
	}
	return nil
}

// ArchiveFormat is the format that a file of that name should have, "" where it does not say. What is no regular file has a name that says nothing.
func ArchiveFormat(path string) string {
	lower := strings.ToLower(path)
	switch {
	case strings.HasSuffix(lower, ".tar"):
		return FormatTar
	case path == "-", strings.HasSuffix(lower, ".tar.zst"), strings.HasSuffix(lower, ".tzst"):
		return FormatTarZstd
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Type()&^fs.ModeDir != 0 {
		return FormatTarZstd
	}
	return ""
}
