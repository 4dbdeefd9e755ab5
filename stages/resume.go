package stages

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"swingport/format"
)

// leftover is the folder of an unfinished export, which this one goes on with.
type leftover struct {
	path string
	lock *os.File
}

// Leftover is an artifact of the plan whose file is in an unfinished export, whole or not.
type Leftover struct {
	*Artifact
	path  string
	check func(ctx context.Context, r io.Reader) error // reads all of the file; nil if an export would write the same
	keep  func()                                       // tells the plan that it is there
}

// errOther is what the check of a file says that is not the artifact.
var errOther = errors.New("not what the store has")

// takeOver locks the folder of an unfinished export and takes back what that had brought into place.
func (d *DirSink) takeOver(folder string) error {
	l := leftover{path: filepath.Join(d.dir, folder)}
	var err error
	if l.lock, err = lockDead(l.path, d.fsys); l.lock == nil {
		return err
	}
	d.leftovers = append(d.leftovers, l)
	err = eachPlaced(d.dir, l.path, func(name string) error {
		return d.fsys.Rename(filepath.Join(d.dir, name), filepath.Join(l.path, name))
	})
	if err != nil {
		return err
	}
	// From here on files are missing in the folder because they were taken out of it.
	if err := d.fsys.Remove(filepath.Join(l.path, format.ManifestFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Leftovers sends the artifacts of the plan of which there is a file in an unfinished export, in manifest order, and says first how many bytes
// there are to read.
func (d *DirSink) Leftovers(ctx context.Context, s *Store, p *Plan, form format.SnapshotForm, begin func(bytes int64), out *Link[*Leftover]) error {
	if len(d.leftovers) == 0 {
		return nil
	}
	var total int64
	find := func(f func(*Leftover) error) error {
		return p.eachKept(s, form, func(l *Leftover) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if !d.find(l) {
				return nil
			}
			return f(l)
		})
	}
	if err := find(func(l *Leftover) error { total += l.Size; return nil }); err != nil {
		return err
	}
	begin(total)
	return find(func(l *Leftover) error { return out.Send(ctx, l) })
}

// find looks for the file of an artifact.
func (d *DirSink) find(l *Leftover) bool {
	if fileName(l.Name) != nil {
		return false
	}
	for _, from := range d.leftovers {
		path := filepath.Join(from.path, l.File())
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			l.path, l.Size = path, info.Size()
			return true
		}
	}
	return false
}

// Check reports whether the file of a leftover is, byte by byte, what an export would write. progress is told how many bytes were read.
func (d *DirSink) Check(ctx context.Context, l *Leftover, progress func(int64)) (bool, error) {
	f, err := d.fsys.OpenFile(l.path, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false, ctx.Err()
	}
	defer f.Close()
	var sum hash.Hash
	r := io.Reader(&countedReader{ctx, f, progress})
	if d.sums {
		sum = sha256.New()
		r = io.TeeReader(r, sum)
	}
	err = l.check(ctx, r)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil {
		return false, nil // it is exported again
	}
	if d.sums {
		sum.Sum(l.SHA256[:0])
	}
	return true, nil
}

// countedReader reads until the context ends.
type countedReader struct {
	ctx      context.Context
	r        io.Reader
	progress func(int64)
}

func (c *countedReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	c.progress(int64(n))
	return n, err
}

// Keep makes a leftover a part of this export.
func (d *DirSink) Keep(l *Leftover) error {
	if err := d.fsys.Rename(l.path, filepath.Join(d.work, l.File())); err != nil {
		return err
	}
	d.noteSum(l.File(), l.SHA256)
	d.whole.Add(1)
	d.bytes.Add(l.Size)
	l.keep()
	return nil
}

// DropLeftovers removes what is left of the unfinished exports.
func (d *DirSink) DropLeftovers() error {
	for len(d.leftovers) > 0 {
		l := d.leftovers[0]
		d.leftovers = d.leftovers[1:]
		if err := errors.Join(os.RemoveAll(l.path), l.lock.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Unfinished is the folder in which Abort left what is whole, "" if there is none.
func (d *DirSink) Unfinished() string { return d.unfinished }

// putBack takes back what was brought into place.
func (d *DirSink) putBack() error {
	for len(d.placed) > 0 {
		last := len(d.placed) - 1
		if err := os.Rename(filepath.Join(d.dir, d.placed[last]), filepath.Join(d.work, d.placed[last])); err != nil {
			return err
		}
		d.placed = d.placed[:last]
	}
	return nil
}

// eachKept calls f with every artifact that the mode exports and that could be kept. The spans of a vat that share items are not: which of
// them an item counts for is known only while all are read.
func (p *Plan) eachKept(s *Store, form format.SnapshotForm, f func(*Leftover) error) error {
	err := p.eachHeap(func(h *heapPlan) error {
		a := &Artifact{Name: string(format.AppendSnapshotName(nil, h.vatID, h.pos)), Kind: format.KindSnapshot, Hash: h.hash, Gzip: form == format.GzipSnapshots}
		check := func(_ context.Context, r io.Reader) error { return sameHeap(r, h.hash) }
		if a.Gzip {
			check = func(_ context.Context, r io.Reader) error { return s.sameStoredHeap(r, h) }
		}
		return f(&Leftover{Artifact: a, check: check, keep: func() { h.kept = true }})
	})
	if err != nil {
		return err
	}
	err = p.EachSpan(func(v *VatPlan, span *SpanPlan) error {
		if v.overlap {
			return nil
		}
		a := &Artifact{
			Name: string(format.AppendSpanName(nil, v.ID, span.Start, span.End)), Kind: format.KindTranscript,
			Hash: span.Hash(), Items: span.End - span.Start,
		}
		check := func(_ context.Context, r io.Reader) error { return sameItems(r, a.Hash, a.Items) }
		return f(&Leftover{Artifact: a, check: check, keep: func() { p.keepSpan(v, span) }})
	})
	if err != nil || p.Mode == format.None {
		return err
	}
	for i := range p.bundles {
		b := &p.bundles[i]
		a := &Artifact{Name: string(format.AppendBundleName(nil, b.id)), Kind: format.KindBundle, Hash: b.id}
		check := func(_ context.Context, r io.Reader) error { return s.sameBundle(r, b) }
		if err := f(&Leftover{Artifact: a, check: check, keep: func() { b.kept = true }}); err != nil {
			return err
		}
	}
	return nil
}

// keepSpan takes the items of a span for seen.
func (p *Plan) keepSpan(v *VatPlan, s *SpanPlan) {
	s.kept = true
	p.wantItems -= s.End - s.Start
	for i := range v.need {
		if r := &v.need[i]; s.Start < r.to && s.End > r.from {
			r.seen += min(s.End, r.to) - max(s.Start, r.from)
		}
	}
}

// sameHeap compares a heap with its hash.
func sameHeap(r io.Reader, want string) error {
	h := sha256.New()
	if _, err := io.CopyBuffer(h, r, make([]byte, heapChunk)); err != nil {
		return err
	}
	if hex.EncodeToString(h.Sum(nil)) != want {
		return errOther
	}
	return nil
}

// sameItems compares the lines of a file with the hash and the number of a span's items. The hash pins every byte. What could not be imported again
// is left to the export, which says so.
func sameItems(r io.Reader, want string, items int64) error {
	in := bufio.NewReaderSize(r, heapChunk)
	var chain format.SpanHash
	var sum [sha256.Size]byte
	h := sha256.New()
	for ; ; items-- {
		whole, err := hashItem(in, h)
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if !whole {
			return errOther
		}
		chain.AddSum([sha256.Size]byte(h.Sum(sum[:0])))
		h.Reset()
	}
	if items != 0 || chain.Sum() != want {
		return errOther
	}
	return nil
}

// hashItem hashes a line, however long, without its newline. It is not whole if white space is at its end, or no newline.
func hashItem(in *bufio.Reader, h hash.Hash) (whole bool, err error) {
	for first := true; ; first = false {
		part, err := in.ReadSlice('\n')
		line := bytes.TrimSuffix(part, []byte("\n"))
		h.Write(line)
		switch {
		case err == nil:
			return format.ItemSurvives(line) && (first || len(line) > 0), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case err == io.EOF && first && len(part) == 0:
			return false, err
		case err == io.EOF:
			return false, nil
		default:
			return false, err
		}
	}
}

// sameStoredHeap compares a packed heap with its hash, and with the bytes in the store: its hash is that of what is packed.
func (s *Store) sameStoredHeap(r io.Reader, h *heapPlan) error {
	b, err := s.db.OpenBlob("snapshots", "compressedSnapshot", h.rowid, false)
	if err != nil {
		return err
	}
	defer b.Close()
	same := &sameReader{r, newBlobReader(b), make([]byte, blobChunk)}
	in := bufio.NewReaderSize(same, blobChunk)
	z := getGunzip(in)
	defer putGunzip(z)
	if err := sameHeap(z, h.hash); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// sameReader reads r, and is an error where another reader has something else.
type sameReader struct {
	r     io.Reader
	other io.Reader
	buf   []byte
}

func (s *sameReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p[:min(len(p), len(s.buf))])
	if _, short := io.ReadFull(s.other, s.buf[:n]); short != nil || !bytes.Equal(p[:n], s.buf[:n]) {
		return 0, errOther
	}
	if err == io.EOF {
		if more, _ := s.other.Read(s.buf[:1]); more > 0 {
			return 0, errOther
		}
	}
	return n, err
}

// sameBundle compares a bundle with its id, and with the bytes in the store: an id does not pin each of them.
func (s *Store) sameBundle(r io.Reader, b *bundlePlan) error {
	data, err := s.bundle(b)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, &sameReader{r, bytes.NewReader(data), make([]byte, blobChunk)}); err != nil {
		return err
	}
	if err := format.BundleMatches(b.id, data); err != nil {
		return err
	}
	if err := format.BundleImportable(b.id, data); err != nil {
		return fmt.Errorf("%w: %w", errOther, err) // left to the export, which says so
	}
	return nil
}
