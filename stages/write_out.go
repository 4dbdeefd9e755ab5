package stages

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"swingport/format"
)

// A sync of gigabytes keeps even a process that is killed from ending before the disk has them. So what was written is waited for piece by
// piece first, and the end of a context ends that; the sync then finds little left.

// writeOutPiece is how much is waited for at once, in bytes: a tenth of a second or so, and enough for a disk to be kept busy.
const writeOutPiece = 8 << 20

// SyncSlowly is Sync that ends when ctx does, but for the last piece.
func (f *File) SyncSlowly(ctx context.Context) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := writeOutPieces(ctx, f.File, info.Size()); err != nil {
		return err
	}
	return f.Sync()
}

func writeOutPieces(ctx context.Context, f *os.File, size int64) error {
	const ahead = 4 * writeOutPiece
	for at := int64(0); at < size+ahead; at += writeOutPiece {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := waitWriteback(f, at, at-ahead, writeOutPiece); err != nil {
			return err
		}
	}
	return nil
}

// writeOut waits until the files are written out, some of them at a time.
func (d *DirSink) writeOut(ctx context.Context, eachName func(func(name, file string) error) error, data bool) error {
	var open []*os.File
	size := int64(0)
	settle := func() error {
		var errs []error
		for _, f := range open {
			errs = append(errs, waitWriteback(f, 0, 0, 0), f.Close())
		}
		open, size = open[:0], 0
		return errors.Join(errs...)
	}
	one := func(_, file string) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f, err := os.Open(filepath.Join(d.work, file))
		if err != nil {
			return err
		}
		open = append(open, f)
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if info.Size() > writeOutPiece {
			return writeOutPieces(ctx, f, info.Size())
		}
		size += info.Size()
		if err := waitWriteback(f, 0, -1, 0); err != nil || size < writeOutPiece && len(open) < 100 {
			return err
		}
		return settle()
	}
	err := eachName(one)
	if err == nil && data {
		err = one("", format.ExportDataFile)
	}
	return errors.Join(err, settle())
}
