package stages

import (
	"context"
	"strings"

	"swingport/format"
)

// ExportSizes is what an export holds, by the sizes of its files: numbers and bytes.
type ExportSizes struct {
	Snapshots, Spans, Bundles                                           int
	SnapshotBytes, PackedBytes, SpanBytes, BundleBytes, ExportDataBytes int64 // PackedBytes are the part of SnapshotBytes that is packed

	Read int64 // bytes of the files, or of the archive
}

// add counts a file. What is none of an export is left to whoever reads it.
func (s *ExportSizes) add(file string, size int64) {
	name, packed := strings.CutSuffix(file, ".gz")
	if !packed || !strings.HasPrefix(name, "snapshot.") {
		name, packed = file, false
	}
	n, err := format.ParseName(name)
	switch {
	case file == format.ExportDataFile:
		s.ExportDataBytes += size
	case err != nil:
	case n.Kind == format.KindSnapshot:
		s.Snapshots, s.SnapshotBytes = s.Snapshots+1, s.SnapshotBytes+size
		if packed {
			s.PackedBytes += size
		}
	case n.Kind == format.KindTranscript:
		s.Spans, s.SpanBytes = s.Spans+1, s.SpanBytes+size
	case n.Kind == format.KindBundle:
		s.Bundles, s.BundleBytes = s.Bundles+1, s.BundleBytes+size
	}
}

// Sizes looks at the files of the directory. What is missing counts nothing: whoever reads it says so.
func (d *Dir) Sizes() (s ExportSizes) {
	size := func(file, as string) {
		if info, err := d.stat(file); err == nil {
			s.add(as, info.Size())
			s.Read += info.Size()
		}
	}
	for _, a := range d.manifest.Artifacts.All() {
		name := a.Name
		if isGzip(a) {
			name += ".gz"
		}
		size(a.File, name)
	}
	if d.manifest.Data != "" {
		size(d.manifest.Data, format.ExportDataFile)
	}
	return s
}

// Sizes reads the index of the archive.
func (a *ArchiveFile) Sizes(ctx context.Context) (s ExportSizes, err error) {
	s.Read = a.size
	err = a.index.Each(func(e format.ArchiveEntry) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.add(e.Name, e.Size)
		return nil
	})
	return s, err
}
