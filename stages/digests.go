package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"swingport/format"
)

// DigestKind says what a digest is of.
type DigestKind byte

// What has a digest, in the order in which sets are compared.
const (
	ArtifactDigest DigestKind = 'a'
	RecordDigest   DigestKind = 'd' // of a key of the export data
)

// Digest stands for the content of an artifact or the value of a record.
type Digest struct {
	Type   format.Type // of a value: Text or Null; anything else is given as JSON
	Size   int64       // bytes
	SHA256 [sha256.Size]byte
}

// DigestOf is the digest of a value in the export data.
func DigestOf(v format.Value) Digest {
	d := Digest{Type: v.Type}
	text := v.Bytes
	switch v.Type {
	case format.Null:
		return d
	case format.Text:
		if !format.ValidText(text) {
			text = format.AppendText(nil, text)
		}
	default:
		text = format.AppendJSON(nil, v)
	}
	d.Size, d.SHA256 = int64(len(text)), sha256.Sum256(text)
	return d
}

// Digests is the set of all that a store or an export holds, sorted by name; what is more than a few megabytes is in a temporary file.
type Digests struct {
	mu     sync.Mutex
	sorter *KVSorter
	pool   *rowsPool
	run    *kvRun
	seq    uint64

	key, value, row []byte // of the one that is being added
}

// digestsKeep is how much of a set stays in memory, packed, in bytes.
const digestsKeep = 4 << 20

// NewDigests returns an empty set that spills to tempDir.
func NewDigests(tempDir string, fsys *FS) *Digests {
	k := NewKVSorter(tempDir, fsys)
	k.spill = newSpill(digestsKeep, tempDir, fsys)
	return &Digests{sorter: k, pool: newRowsPool(sortRun/rowArena+2, rowArena), run: &kvRun{}}
}

// Close removes what was spilled.
func (d *Digests) Close() { d.sorter.Close() }

// Add puts a digest into the set. Of two of the same name the later one counts.
func (d *Digests) Add(ctx context.Context, kind DigestKind, name []byte, v Digest) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.key = binary.BigEndian.AppendUint64(appendDigestKey(d.key[:0], kind, name), d.seq)
	d.seq++
	d.value = binary.BigEndian.AppendUint64(append(d.value[:0], byte(v.Type)), uint64(v.Size))
	d.value = append(d.value, v.SHA256[:]...)
	d.row = appendRow(d.row[:0], d.key, format.TextValue(d.value), 0)
	return d.add(ctx)
}

func (d *Digests) add(ctx context.Context) error {
	last := len(d.run.arenas) - 1
	if last < 0 || len(d.run.arenas[last].Data)+len(d.row) > d.pool.size {
		if d.run.bytes >= d.sorter.run {
			if err := d.sorter.finish(ctx, d.run); err != nil {
				return err
			}
			d.run = &kvRun{}
		}
		arena, err := d.pool.get(ctx)
		if err != nil {
			return err
		}
		d.run.arenas = append(d.run.arenas, arena)
		d.run.bytes += cap(arena.Data)
		last = len(d.run.arenas) - 1
	}
	arena := d.run.arenas[last]
	arena.Data = append(arena.Data, d.row...)
	arena.Count++
	d.run.rows++
	return nil
}

// Done says that nothing is added any more, and gives memory back.
func (d *Digests) Done(ctx context.Context) error {
	err := d.sorter.finish(ctx, d.run)
	d.run = nil
	for {
		select {
		case <-d.pool.free:
		default:
			return err
		}
	}
}

// appendDigestKey appends a name so that names compare as these bytes do, whatever follows: a zero byte ends it, and those in it are escaped.
func appendDigestKey(dst []byte, kind DigestKind, name []byte) []byte {
	dst = append(dst, byte(kind))
	for {
		i := bytes.IndexByte(name, 0)
		if i < 0 {
			return append(append(dst, name...), 0, 0)
		}
		dst = append(append(dst, name[:i]...), 0, 0xff)
		name = name[i+1:]
	}
}

func parseDigestKey(key []byte) (kind DigestKind, name []byte) {
	return DigestKind(key[0]), bytes.ReplaceAll(key[1:len(key)-2], []byte{0, 0xff}, []byte{0})
}

// digestReader gives the set in the order of its names, of each name the last digest.
type digestReader struct {
	m    *merger
	row  []byte // the next one; nil at the end
	key  []byte // of the current one, without the sequence number
	last Digest
	ok   bool
}

func (d *Digests) read() (*digestReader, error) {
	m, err := d.sorter.spill.merge()
	if err != nil {
		return nil, err
	}
	r := &digestReader{m: m}
	if r.row, err = m.next(); err != nil {
		return nil, err
	}
	return r, r.next()
}

func (r *digestReader) next() (err error) {
	if r.ok = r.row != nil; !r.ok {
		return nil
	}
	key := rowKey(r.row)
	r.key = append(r.key[:0], key[:len(key)-8]...)
	for r.row != nil && err == nil {
		key := rowKey(r.row)
		if !bytes.Equal(key[:len(key)-8], r.key) {
			break
		}
		v := parseRow(r.row).B.Bytes
		r.last = Digest{Type: format.Type(v[0]), Size: int64(binary.BigEndian.Uint64(v[1:]))}
		copy(r.last.SHA256[:], v[9:])
		r.row, err = r.m.next()
	}
	return err
}

// Compared is a name that is in one of two sets, or in both.
type Compared struct {
	Kind     DigestKind
	Name     []byte // borrowed until the next one
	InA, InB bool
	A, B     Digest
}

// CompareDigests calls f for each name of two sets, in the order of the names. Both are done.
func CompareDigests(ctx context.Context, a, b *Digests, f func(Compared) error) error {
	x, err := a.read()
	if err != nil {
		return err
	}
	y, err := b.read()
	if err != nil {
		return err
	}
	for n := 0; x.ok || y.ok; n++ {
		if n&1023 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c := Compared{InA: x.ok, InB: y.ok}
		if x.ok && y.ok {
			order := bytes.Compare(x.key, y.key)
			c.InA, c.InB = order <= 0, order >= 0
		}
		if c.InA {
			c.Kind, c.Name = parseDigestKey(x.key)
			c.A = x.last
		} else {
			c.Kind, c.Name = parseDigestKey(y.key)
		}
		if c.InB {
			c.B = y.last
		}
		if err := f(c); err != nil {
			return err
		}
		if c.InA {
			err = x.next()
		}
		if c.InB && err == nil {
			err = y.next()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
