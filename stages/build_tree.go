package stages

import "encoding/binary"

// treeBuilder builds one b-tree of cells that come in order, from the leaves up, in memory of one page for each level: a page is written when it
// is full, and the topmost in the end in the place of the root that the engine made (file format, section 1.6).
type treeBuilder struct {
	btree
	file        *pageFile
	root        uint32
	index       bool
	leaf, inner byte // kinds of pages

	levels []*openPage // the leaf first
	rowid  int64       // of the last row
	cell   []byte
	key    [9]byte // of a leaf of a table
}

func newTreeBuilder(f *pageFile, root uint32, index bool) *treeBuilder {
	t := &treeBuilder{btree: btree{pageUnit, pageUnit}, file: f, root: root, index: index, leaf: pageTableLeaf, inner: pageTableInterior}
	if index {
		t.leaf, t.inner = pageIndexLeaf, pageIndexInterior
	}
	t.levels = []*openPage{newOpenPage(8)}
	return t
}

// payload is a record in up to three pieces, which saves copies of the long one.
type payload [3][]byte

func (p *payload) size() int { return len(p[0]) + len(p[1]) + len(p[2]) }

// take moves bytes to the end of dst, up to n.
func (p *payload) take(dst []byte, n int) []byte {
	for i := range p {
		m := min(n, len(p[i]))
		dst, p[i], n = append(dst, p[i][:m]...), p[i][m:], n-m
	}
	return dst
}

// row adds a row to a table; rowids increase.
func (t *treeBuilder) row(rowid int64, p payload) error {
	t.cell = appendVarint(t.cell[:0], uint64(p.size()))
	t.cell = appendVarint(t.cell, uint64(rowid))
	if err := t.payload(p); err != nil {
		return err
	}
	leaf := t.levels[0]
	if !leaf.fits(len(t.cell)) {
		pgno, err := t.write(leaf, t.leaf, 0)
		if err != nil {
			return err
		}
		if err := t.above(1, pgno, appendVarint(t.key[:0], uint64(t.rowid))); err != nil {
			return err
		}
	}
	t.rowid = rowid
	leaf.add(t.cell, nil)
	return nil
}

// entry adds an entry to an index. Of a leaf that is full the last entry goes to the level above.
func (t *treeBuilder) entry(p payload) error {
	t.cell = appendVarint(t.cell[:0], uint64(p.size()))
	if err := t.payload(p); err != nil {
		return err
	}
	leaf := t.levels[0]
	if !leaf.fits(len(t.cell)) {
		last := leaf.pop()
		pgno, err := t.write(leaf, t.leaf, 0)
		if err != nil {
			return err
		}
		if err := t.above(1, pgno, last); err != nil {
			return err
		}
	}
	leaf.add(t.cell, nil)
	return nil
}

// payload adds to the cell what it holds of a payload, and writes the rest to overflow pages.
func (t *treeBuilder) payload(p payload) error {
	left := p.size()
	n := t.local(uint64(left), t.index)
	t.cell = p.take(t.cell, n)
	if left -= n; left == 0 {
		return nil
	}
	t.cell = binary.BigEndian.AppendUint32(t.cell, t.file.next)
	for left > 0 {
		_, page, err := t.file.alloc()
		if err != nil {
			return err
		}
		n := min(left, t.usable-4)
		p.take(page[:4], n)
		clear(page[4+n:])
		next := uint32(0)
		if left -= n; left > 0 {
			next = t.file.next
		}
		binary.BigEndian.PutUint32(page, next)
	}
	return nil
}

// above adds to an interior level a page of the level below with the key that parts it from what follows. Of a page that is full the last key
// goes further up, and its child is the right-most: so no page is without a key.
func (t *treeBuilder) above(level int, child uint32, key []byte) error {
	if level == len(t.levels) {
		t.levels = append(t.levels, newOpenPage(12))
	}
	p := t.levels[level]
	if !p.fits(4 + len(key)) {
		last := p.pop()
		pgno, err := t.write(p, t.inner, binary.BigEndian.Uint32(last))
		if err != nil {
			return err
		}
		if err := t.above(level+1, pgno, last[4:]); err != nil {
			return err
		}
	}
	var c [4]byte
	binary.BigEndian.PutUint32(c[:], child)
	p.add(c[:], key)
	return nil
}

// write appends a full page to the file and empties it.
func (t *treeBuilder) write(p *openPage, kind byte, right uint32) (uint32, error) {
	pgno, page, err := t.file.alloc()
	if err == nil {
		copy(page, p.finish(kind, right))
		p.reset()
	}
	return pgno, err
}

// finish writes the pages that are open, the last one as the root.
func (t *treeBuilder) finish() error {
	right, top := uint32(0), len(t.levels)-1
	kind := t.leaf
	for _, p := range t.levels[:top] {
		var err error
		if right, err = t.write(p, kind, right); err != nil {
			return err
		}
		kind = t.inner
	}
	return t.file.write(t.root, t.levels[top].finish(kind, right))
}

// openPage is a page that is being filled: pointers from its front, cells from its end.
type openPage struct {
	data   [pageUnit]byte
	header int // bytes
	n      int // cells
	start  int // of the last cell
	before int // start without it
	popped []byte
}

func newOpenPage(header int) *openPage {
	p := &openPage{header: header}
	p.reset()
	return p
}

func (p *openPage) reset() { p.n, p.start, p.before = 0, pageUnit, pageUnit }

func (p *openPage) fits(cell int) bool { return p.header+2*(p.n+1)+cell <= p.start }

// add puts a cell, which is in two pieces, behind the others.
func (p *openPage) add(a, b []byte) {
	p.before = p.start
	p.start -= len(a) + len(b)
	copy(p.data[p.start:], a)
	copy(p.data[p.start+len(a):], b)
	binary.BigEndian.PutUint16(p.data[p.header+2*p.n:], uint16(p.start))
	p.n++
}

// pop takes the last cell away; it can be done once. The cell is borrowed until the next one is.
func (p *openPage) pop() []byte {
	p.popped = append(p.popped[:0], p.data[p.start:p.before]...)
	p.start = p.before
	p.n--
	return p.popped
}

// finish is the page as it is stored.
func (p *openPage) finish(kind byte, right uint32) []byte {
	clear(p.data[p.header+2*p.n : p.start])
	clear(p.data[:8])
	p.data[0] = kind
	binary.BigEndian.PutUint16(p.data[3:], uint16(p.n))
	binary.BigEndian.PutUint16(p.data[5:], uint16(p.start))
	if p.header == 12 {
		binary.BigEndian.PutUint32(p.data[8:], right)
	}
	return p.data[:]
}
