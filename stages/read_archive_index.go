package stages

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"slices"

	"swingport/format"
)

// entryIndex is the index of an archive that is being read, as it should be. What it keeps of each hash finds the entry that is not what the
// archive's own index says.
type entryIndex struct {
	*format.ArchiveIndexWriter
	sums []uint64 // the first eight bytes of the hashes of the contents
}

func newEntryIndex() *entryIndex {
	return &entryIndex{ArchiveIndexWriter: format.NewArchiveIndexWriter(io.Discard)}
}

// add takes the next entry.
func (x *entryIndex) add(e format.ArchiveEntry) error {
	x.sums = append(x.sums, binary.LittleEndian.Uint64(e.SHA256[:]))
	return x.Add(e)
}

// indexReader looks at the entries of an index that goes by.
type indexReader struct {
	x    *entryIndex
	rest []byte // an entry that has only begun
	at   int    // the number of entries
	head bool   // the first bytes have gone by
	err  error
}

// Lengths of the parts of an index; FORMAT.md has the tables.
const (
	indexHead  = 16
	indexFixed = 50 // of an entry, in front of the name
)

// Write never fails: what it finds is in err.
func (r *indexReader) Write(p []byte) (int, error) {
	n := len(p)
	r.rest = append(r.rest, p...)
	b := r.rest
	if !r.head && len(b) >= indexHead {
		b, r.head = b[indexHead:], true
	}
	for r.head && r.at < len(r.x.sums) && len(b) >= indexFixed {
		name := int(binary.LittleEndian.Uint16(b[48:]))
		if len(b) < indexFixed+name {
			break
		}
		if binary.LittleEndian.Uint64(b) != r.x.sums[r.at] && r.err == nil {
			file := string(b[indexFixed : indexFixed+name])
			r.err = &ArtifactError{file, errorf(format.ErrHashMismatch, "%s has another sha256 than the index of the archive says, which is %s",
				quoted(file), hex.EncodeToString(b[:32]))}
		}
		b = b[indexFixed+name:]
		r.at++
	}
	if r.at == len(r.x.sums) {
		b = nil
	}
	r.rest = slices.Delete(r.rest, 0, len(r.rest)-len(b))
	return n, nil
}

// check reads the index in r to its end and compares it.
func (x *entryIndex) check(ctx context.Context, r *entryReader) error {
	if err := x.Close(); err != nil {
		return err
	}
	if r.size != x.Size() {
		return errorf(format.ErrMismatch, "%s has %d bytes, that of the %d files before it %d", format.ArchiveIndexFile, r.size, len(x.sums), x.Size())
	}
	look := &indexReader{x: x}
	if _, err := io.CopyBuffer(look, struct{ io.Reader }{&cancelled{ctx, r}}, make([]byte, archiveChunk)); err != nil {
		return err
	}
	if [32]byte(r.SHA256()) == x.Sum() {
		return nil
	}
	if look.err != nil {
		return look.err
	}
	return errorf(format.ErrHashMismatch, "%s is not that of the files before it", format.ArchiveIndexFile)
}
