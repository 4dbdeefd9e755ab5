package stages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"math"

	"swingport/format"
)

// Packer writes an archive as FORMAT.md has it: its methods, called once each in the order in which they stand here, write the entries. The
// bytes leave in pieces of PieceSize, whatever they were written in. It is used by one goroutine.
type Packer struct {
	modTime int64
	ctx     context.Context
	send    func(context.Context, *Chunk) error
	pool    *Pool
	cur     *Chunk // the piece that is being filled

	offset  int64 // of the next byte, in the tar
	content int64 // bytes of artifacts and export data
	dataSum string
	entry   format.ArchiveEntry // the one that is being written
	left    int64               // bytes that its content lacks
	index   *format.ArchiveIndexWriter
	spool   *spool // the index
}

// PieceSize is the length of all pieces of an archive but the last, and of the content of a zstd frame, in bytes.
const PieceSize = 2 << 20

// indexMemory is how much of the index stays in memory: 40,000 entries' worth.
const indexMemory = 4 << 20

// NewPacker makes a packer whose entries carry modTime, in seconds of Unix time. Its pieces come from a pool of that many; what memory does not
// keep of the index goes to a file in tempDir.
func NewPacker(modTime int64, pieces int, tempDir string, fsys *FS) *Packer {
	p := &Packer{modTime: modTime, pool: NewPool(pieces, PieceSize)}
	p.spool = newSpools(indexMemory, tempDir, fsys).new()
	p.index = format.NewArchiveIndexWriter(p.spool)
	return p
}

// To says where pieces go from now on, and how long.
func (p *Packer) To(ctx context.Context, send func(context.Context, *Chunk) error) {
	p.ctx, p.send = ctx, send
}

// Close gives back what the packer holds.
func (p *Packer) Close() error { return p.spool.Release() }

// ContentBytes is the number of bytes of export data and artifacts so far.
func (p *Packer) ContentBytes() int64 { return p.content }

// DataSum is the SHA-256 of the export data, once written.
func (p *Packer) DataSum() string { return p.dataSum }

// Head writes the first entry: the header line and, of the export data, the lines that metadata gives, which is called twice.
func (p *Packer) Head(h format.ArchiveHeader, metadata func(f func(line []byte) error) error) (metadataSize int64, err error) {
	h.HasBlockHeight = !math.IsInf(h.BlockHeight, 0) && !math.IsNaN(h.BlockHeight)
	line := format.AppendArchiveHeader(nil, h)
	err = metadata(func(l []byte) error { metadataSize += int64(len(l)); return nil })
	if err != nil {
		return 0, err
	}
	sum := sha256.New()
	return metadataSize, p.whole(format.ArchiveHeaderFile, int64(len(line))+metadataSize, sum, func(w io.Writer) error {
		if _, err := w.Write(line); err != nil {
			return err
		}
		return metadata(func(l []byte) error { _, err := w.Write(l); return err })
	})
}

// Part writes one part of an artifact, which must follow the parts before it.
func (p *Packer) Part(part Part) error {
	defer part.Release()
	name := part.File()
	if p.entry.Name != name {
		if err := p.begin(name, part.Size); err != nil {
			return &ArtifactError{part.Name, err}
		}
	}
	var err error
	if part.Chunk != nil {
		p.content += int64(len(part.Data))
		err = p.add(part.Data)
	}
	if err == nil && part.Last {
		err = p.end(part.SHA256)
	}
	if errors.Is(err, format.ErrFormat) {
		err = &ArtifactError{part.Name, err}
	}
	return err
}

// Data writes the export data, which has size bytes.
func (p *Packer) Data(size int64, in *Link[*Chunk]) error {
	sum := sha256.New()
	err := p.whole(format.ExportDataFile, size, sum, func(w io.Writer) error {
		return Each(p.ctx, in, func(c *Chunk) error {
			defer c.Release()
			p.content += int64(len(c.Data))
			_, err := w.Write(c.Data)
			return err
		})
	})
	p.dataSum = hex.EncodeToString(sum.Sum(nil))
	return err
}

// Manifest writes the manifest: write is called twice.
func (p *Packer) Manifest(write func(io.Writer) error) error {
	var size int64
	err := write(writerFunc(func(b []byte) (int, error) { size += int64(len(b)); return len(b), nil }))
	if err != nil {
		return err
	}
	return p.whole(format.ManifestFile, size, sha256.New(), write)
}

// End writes the index and what ends the tar, and sends the last piece.
func (p *Packer) End() error {
	if err := p.index.Close(); err != nil {
		return err
	}
	if err := p.begin(format.ArchiveIndexFile, p.index.Size()); err != nil {
		return err
	}
	err := p.spool.each(p.ctx, func(b []byte, _ int64) error { return p.add(b) })
	if err == nil {
		err = p.zeros(format.TarPadding(p.entry.Size) + format.TarEnd)
	}
	if err == nil && p.cur != nil {
		err = p.flush()
	}
	return err
}

// whole writes an entry whose content write gives.
func (p *Packer) whole(name string, size int64, sum hash.Hash, write func(io.Writer) error) error {
	if err := p.begin(name, size); err != nil {
		return err
	}
	err := write(writerFunc(func(b []byte) (int, error) {
		sum.Write(b)
		return len(b), p.add(b)
	}))
	if err != nil {
		return err
	}
	return p.end([sha256.Size]byte(sum.Sum(nil)))
}

// begin writes the header of an entry.
func (p *Packer) begin(name string, size int64) error {
	header, err := format.AppendTarHeader(nil, name, size, p.modTime)
	if err != nil {
		return err
	}
	p.left = int64(len(header))
	if err := p.add(header); err != nil {
		return err
	}
	p.entry, p.left = format.ArchiveEntry{Name: name, Offset: p.offset, Size: size}, size
	return nil
}

// end pads an entry and puts it into the index.
func (p *Packer) end(sum [sha256.Size]byte) error {
	if p.left != 0 {
		return p.wrongSize(-p.left)
	}
	p.entry.SHA256 = sum
	if err := p.index.Add(p.entry); err != nil {
		return err
	}
	err := p.zeros(format.TarPadding(p.entry.Size))
	p.entry = format.ArchiveEntry{}
	return err
}

// wrongSize is the error for content of more or fewer bytes than the header says: of a heap whose store and whose gzip, in its last member,
// agree on a size that is wrong.
func (p *Packer) wrongSize(by int64) error {
	return errorf(format.ErrFormat, "%s has %d bytes, and not the %d that were announced", p.entry.Name, p.entry.Size+by, p.entry.Size)
}

func (p *Packer) zeros(n int64) error {
	var zeros [format.TarEnd + format.TarBlock]byte
	p.left = n
	return p.add(zeros[:n])
}

// add writes bytes of the tar.
func (p *Packer) add(b []byte) error {
	if p.left -= int64(len(b)); p.left < 0 {
		return p.wrongSize(-p.left)
	}
	p.offset += int64(len(b))
	for len(b) > 0 {
		if p.cur == nil {
			c, err := p.pool.Get(p.ctx)
			if err != nil {
				return err
			}
			p.cur = c
		}
		n := min(len(b), PieceSize-len(p.cur.Data))
		p.cur.Data = append(p.cur.Data, b[:n]...)
		b = b[n:]
		if len(p.cur.Data) == PieceSize {
			if err := p.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Packer) flush() error {
	c := p.cur
	p.cur = nil
	return p.send(p.ctx, c)
}
