package stages

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"math/bits"
	"slices"

	"swingport/format"
)

// Indexes into what a sweep keeps for each of the four b-trees that it passes.
const (
	tableItems = iota
	tableKV
	indexItems
	indexKV
	numTrees
)

var treeNames = [numTrees]string{"transcriptItems", "kvStore", "the index of transcriptItems", "the index of kvStore"}

const (
	maxPayload = 1e9      // SQLite's own limit for a row
	maxShort   = 64 << 10 // what the short columns of a row take, a key or a vat and a position; a longer key counts as a value
	foldLimit  = 8        // keys up to a page's usable bytes / foldLimit are compared with the index; longer ones are only counted
)

// sweepLimits are sizes in bytes; the rows do not depend on them, only how they are come by.
type sweepLimits struct {
	block   int // read at once
	gap     int // read rather than skipped
	pending int // of long rows that wait for their overflow pages
}

var defaultLimits = sweepLimits{block: 4 << 20, gap: 128 << 10, pending: 32 << 20}

// Sweep reads the tables that are wanted in one pass over the pages of the file, in page order. Interior pages tell which leaf belongs to
// which tree; then the file is read front to back and rows are taken out of each leaf as it comes by. A row that goes on in overflow pages
// waits for them to come by as well, and those behind are read by themselves.
//
// Where all pages are read anyway, the leaves of the tables' indexes come by too: their entries are counted and compared with the rows,
// so that a damaged table is found although nothing hashes it.
//
// defect is asked about a disagreement with the index; the sweep goes on if it returns nil. progress is told how much was read.
func Sweep(ctx context.Context, s *Store, t *Tables, progress func(bytes int64), defect func(error) error) error {
	return sweepWith(ctx, s, t, progress, defect, defaultLimits)
}

// SweepDamaged is Sweep for a file that may be damaged: it tells defect about pages that cannot be read or understood, and goes on with
// what is left. A page is named once, and a table that lacks rows for that reason is not compared with its index.
func SweepDamaged(ctx context.Context, s *Store, t *Tables, progress func(bytes int64), defect func(error) error) error {
	w, err := newSweep(ctx, s, t, progress, defaultLimits)
	if err != nil {
		return err
	}
	defer w.close()
	w.skip = defect
	return w.do(s.schema, defect)
}

func sweepWith(ctx context.Context, s *Store, t *Tables, progress func(int64), defect func(error) error, limits sweepLimits) error {
	w, err := newSweep(ctx, s, t, progress, limits)
	if err != nil {
		return err
	}
	defer w.close()
	return w.do(s.schema, defect)
}

func newSweep(ctx context.Context, s *Store, t *Tables, progress func(int64), limits sweepLimits) (*sweep, error) {
	p, err := newPager(s.db)
	if err != nil {
		return nil, err
	}
	t.limit = s.max
	w := &sweep{pager: p, most: s.max, sweepLimits: limits, t: t, ctx: ctx, progress: progress, seed: maphash.MakeSeed(), scratch: make([]byte, p.pageSize)}
	w.used = newBitmap(p.count)
	w.waiting, w.waitingAt = map[uint32]*longRow{}, newBitmap(p.count)
	for i := range w.leafOf {
		w.leafOf[i] = newBitmap(p.count)
	}
	return w, nil
}

func (w *sweep) do(sc *schema, defect func(error) error) error {
	if err := w.plan(sc); err != nil {
		return err
	}
	if err := w.run(); err != nil {
		return err
	}
	if len(w.waiting) > 0 {
		return fmt.Errorf("%s: rows wait for pages %v", w.db.path, slices.Sorted(maps.Keys(w.waiting)))
	}
	if err := w.agree(defect); err != nil {
		return err
	}
	return w.t.flush(w.ctx)
}

// longRow is a row whose payload goes on in the overflow page next.
type longRow struct {
	tree  int
	rowid int64
	data  []byte // so far, or the beginning of a row that is too long
	got   int    // bytes so far
	size  int    // in the end
	next  uint32
	long  bool // too long to be kept
}

type sweep struct {
	*pager
	sweepLimits
	t        *Tables
	ctx      context.Context
	progress func(int64)
	most     int               // bytes of a row that is kept, but for its short columns
	skip     func(error) error // told about damage, which is then left out; nil: damage ends the sweep

	leafOf [numTrees]bitmap
	fold   bool // index leaves are passed too

	damaged [numTrees]bool // something of it was skipped

	waiting      map[uint32]*longRow // by the page that they wait for
	waitingAt    bitmap              // the keys of waiting
	waitingBytes int
	used         bitmap // overflow pages that a row took: each belongs to one

	block []byte // pages [first, first+n) of the file, and those of the block before
	prev  []byte
	first uint32
	was   uint32 // first page in prev

	counts  [numTrees]int64  // rows and index entries
	sums    [numTrees]uint64 // of the hashes of their keys and rowids
	seed    maphash.Seed
	scratch []byte
}

// plan marks the leaves of the wanted tables and, where nearly all of the file is wanted, of their indexes.
func (w *sweep) plan(sc *schema) error {
	for i, want := range []bool{w.t.Items != nil, w.t.KV != nil} {
		if !want {
			continue
		}
		if err := w.leavesOf(i, sc.root[i], true, nil); err != nil {
			return err
		}
	}
	w.fold = w.t.Items != nil && w.t.KV != nil && sc.root[indexItems] != 0 && sc.root[indexKV] != 0
	for i := indexItems; w.fold && i < numTrees; i++ {
		inner := func(pgno uint32, page []byte) error { return w.indexCells(i, pgno, page, pageIndexInterior) }
		if err := w.leavesOf(i, sc.root[i], false, inner); err != nil {
			return err
		}
	}
	return w.disjoint()
}

// leavesOf marks the leaves of one tree.
func (w *sweep) leavesOf(tree int, root uint32, table bool, inner func(uint32, []byte) error) error {
	bad := func(err error) error { return w.bad(tree, fmt.Errorf("%s: %w", treeNames[tree], err)) }
	each, tries := bad, 100
	if w.skip == nil {
		each, tries = func(err error) error { return err }, 0
	}
	if _, err := w.leaves(root, table, w.leafOf[tree], inner, tries, each); err != nil {
		return bad(err) // nothing is known of this tree; the others may be whole
	}
	return nil
}

// bad decides about damage to a tree: it ends the sweep, unless skip is told and agrees to go on.
func (w *sweep) bad(tree int, err error) error {
	if w.skip == nil || w.ctx.Err() != nil {
		return err
	}
	w.damaged[tree] = true
	return w.skip(err)
}

// disjoint refuses pages that two trees lead to.
func (w *sweep) disjoint() error {
	for i := range w.leafOf {
		for j := range i {
			for n, both := range w.leafOf[i] {
				if both &= w.leafOf[j][n]; both != 0 {
					pgno := uint32(n*64 + bits.TrailingZeros64(both))
					w.damaged[j] = true
					if err := w.bad(i, w.fail(pgno, fmt.Errorf("%w: it is a leaf of %s and of %s", errPage, treeNames[j], treeNames[i]))); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// run reads, in file order, every stretch of pages that holds a wanted leaf or an overflow page that a row waits for.
func (w *sweep) run() error {
	blockPages := uint32(max(1, w.sweepLimits.block/w.pageSize))
	bufs := [2][]byte{make([]byte, int(blockPages)*w.pageSize), make([]byte, int(blockPages)*w.pageSize)}
	for at := uint32(1); ; {
		if err := context.Cause(w.ctx); w.ctx.Err() != nil {
			return err
		}
		first, n := w.stretch(at, blockPages)
		if n == 0 {
			return nil
		}
		bufs[0], bufs[1] = bufs[1], bufs[0]
		w.prev, w.was = w.block, w.first
		w.block, w.first = bufs[0][:n*w.pageSize], first
		if err := w.pages(first, n, w.block); err != nil {
			if err := w.onePage(first, n, err); err != nil {
				return err
			}
		}
		at = first + uint32(n)
		if first, n := w.stretch(at, blockPages); n > 0 {
			w.willNeed(first, n)
		}
		for i := range n {
			if err := w.visit(first + uint32(i)); err != nil {
				return err
			}
		}
		w.progress(int64(n) * int64(w.pageSize))
	}
}

// stretch is the next run of pages to read from at on: it begins with a page that is needed, ends with one, has no long gap in it,
// and is no longer than limit.
func (w *sweep) stretch(at, limit uint32) (first uint32, n int) {
	if at > w.count {
		return 0, 0
	}
	first = w.needed(at)
	if first == 0 {
		return 0, 0
	}
	gap := uint32(w.gap / w.pageSize)
	last := min(first+w.chain(first), first+limit-1, w.pager.count)
	for last < w.pager.count {
		next := w.needed(last + 1)
		if next == 0 || next-last > gap || next-first >= limit {
			break
		}
		last = next
	}
	return first, int(last-first) + 1
}

// needed is the first page from at on that holds rows or that a row waits for; 0 where there is none.
func (w *sweep) needed(at uint32) uint32 {
	return nextOf(at, w.leafOf[0], w.leafOf[1], w.leafOf[2], w.leafOf[3], w.waitingAt)
}

// chain is how many pages after pgno the row that waits for it needs if its overflow pages lie in sequence, as they mostly do.
func (w *sweep) chain(pgno uint32) uint32 {
	if r := w.waiting[pgno]; r != nil {
		return uint32((r.size - r.got - 1) / (w.usable - 4))
	}
	return 0
}

// onePage reads the pages of the block one by one, since together they cannot be read, and skips those that cannot be read at all.
func (w *sweep) onePage(first uint32, n int, cause error) error {
	if w.skip == nil || w.ctx.Err() != nil {
		return cause
	}
	for i := range n {
		pgno := first + uint32(i)
		err := w.pages(pgno, 1, w.block[i*w.pageSize:][:w.pageSize])
		if err == nil {
			continue
		}
		clear(w.block[i*w.pageSize:][:w.pageSize])
		wanted := -1
		for tree := range w.leafOf {
			if w.leafOf[tree].has(pgno) {
				w.leafOf[tree].clear(pgno)
				wanted = tree
			}
		}
		if r := w.waiting[pgno]; r != nil {
			w.forget(pgno, r)
			wanted = r.tree
		}
		if wanted < 0 {
			continue // part of a gap
		}
		if err := w.bad(wanted, err); err != nil {
			return err
		}
	}
	return nil
}

// visit takes out of a page of the block whatever is wanted of it.
func (w *sweep) visit(pgno uint32) error {
	page := w.block[int(pgno-w.first)*w.pageSize:][:w.pageSize]
	check := func(tree int, err error) error {
		switch {
		case err == nil || w.ctx.Err() != nil:
			return err
		case errors.Is(err, format.ErrLimit):
			return w.bad(tree, fmt.Errorf("%s: %w", w.db.path, err)) // the page is as it should be
		}
		return w.bad(tree, w.fail(pgno, err))
	}
	if w.waitingAt.has(pgno) {
		tree := w.waiting[pgno].tree
		if err := check(tree, w.overflow(pgno, page)); err != nil {
			return err
		}
	}
	switch {
	case w.leafOf[tableItems].has(pgno):
		return check(tableItems, w.tableCells(tableItems, pgno, page))
	case w.leafOf[tableKV].has(pgno):
		return check(tableKV, w.tableCells(tableKV, pgno, page))
	case w.leafOf[indexItems].has(pgno):
		return check(indexItems, w.indexCells(indexItems, pgno, page, pageIndexLeaf))
	case w.leafOf[indexKV].has(pgno):
		return check(indexKV, w.indexCells(indexKV, pgno, page, pageIndexLeaf))
	}
	return nil
}

// tableCells takes the rows out of a leaf. Where damage is skipped, that of one cell leaves the others; the error is the first one.
func (w *sweep) tableCells(tree int, pgno uint32, page []byte) error {
	n, pointers, err := w.cells(page, pgno, pageTableLeaf)
	if err != nil {
		return err
	}
	var first error
	for i := range n {
		err := w.tableCell(tree, page, pointers, i)
		if err != nil && (w.skip == nil || w.ctx.Err() != nil) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// tableCell takes out one row.
func (w *sweep) tableCell(tree int, page []byte, pointers, i int) error {
	c, err := w.cell(page, pointers, i)
	if err != nil {
		return err
	}
	size, k := varint(c)
	rowid, m := varint(c[k:])
	if k == 0 || m == 0 || size > maxPayload+1000 {
		return fmt.Errorf("%w: cell %d has a payload of %d bytes", errPage, i, size)
	}
	local, next, err := w.payload(c[k+m:], size, false)
	if err != nil {
		return err
	}
	if next == 0 {
		if uint64(len(local)) != size {
			return fmt.Errorf("%w: cell %d has no overflow page", errPage, i)
		}
		return w.row(tree, int64(rowid), local)
	}
	r := &longRow{tree: tree, rowid: int64(rowid), got: len(local), size: int(size), next: next, long: int(size) > w.most+maxShort}
	r.data = append(make([]byte, 0, min(int(size), 1<<20)), local...)
	return w.follow(r)
}

// overflow goes on with the row that waits for this page.
func (w *sweep) overflow(pgno uint32, page []byte) error {
	r := w.waiting[pgno]
	w.forget(pgno, r)
	if err := w.take(r, page); err != nil {
		return err
	}
	return w.follow(r)
}

// forget ends the waiting of a row.
func (w *sweep) forget(pgno uint32, r *longRow) {
	delete(w.waiting, pgno)
	w.waitingAt.clear(pgno)
	w.waitingBytes -= r.size
}

// claim notes that a row needs an overflow page. No other page may lead to it, which also ends every chain that runs in a circle.
func (w *sweep) claim(pgno uint32) error {
	if w.used.has(pgno) {
		return fmt.Errorf("%w: two overflow pages lead to it, or two rows", errPage)
	}
	for i := range w.leafOf {
		if w.leafOf[i].has(pgno) {
			return fmt.Errorf("%w: an overflow chain leads to a leaf of %s", errPage, treeNames[i])
		}
	}
	w.used.set(pgno)
	return nil
}

// take appends what an overflow page holds of a row.
func (w *sweep) take(r *longRow, page []byte) error {
	n := min(r.size-r.got, w.usable-4)
	if !r.long || len(r.data) < maxShort {
		r.data = append(r.data, page[4:4+n]...)
	}
	r.got += n
	r.next = binary.BigEndian.Uint32(page)
	if r.got < r.size && r.next == 0 {
		return fmt.Errorf("%w: an overflow chain ends %d bytes early", errPage, r.size-r.got)
	}
	return nil
}

// follow completes a row from the pages at hand, or lets it wait for a page that is still to come. A page that was passed already is read
// by itself, and so are those of a row that would make too many bytes wait.
func (w *sweep) follow(r *longRow) error {
	for r.got < r.size {
		if r.next < 2 || r.next > w.pager.count {
			return fmt.Errorf("%w: an overflow chain leads to page %d of %d", errPage, r.next, w.pager.count)
		}
		if err := w.claim(r.next); err != nil {
			return w.fail(r.next, err)
		}
		page := w.atHand(r.next)
		if page == nil {
			ahead := r.next >= w.first+uint32(len(w.block)/w.pageSize)
			if ahead && w.waitingBytes+r.size <= w.pending {
				w.waiting[r.next] = r
				w.waitingAt.set(r.next)
				w.waitingBytes += r.size
				return nil
			}
			page = w.scratch
			if err := w.pager.page(r.next, page); err != nil {
				return w.fail(r.next, err)
			}
		}
		if err := w.take(r, page); err != nil {
			return w.fail(r.next, err)
		}
	}
	if r.long {
		return w.tooLong(r)
	}
	return w.row(r.tree, r.rowid, r.data)
}

// tooLong is the error for a row that is whole, and was not kept.
func (w *sweep) tooLong(r *longRow) error {
	w.counts[r.tree]++
	var c [2]format.Value
	recordStart(r.data, c[:])
	if r.tree == tableKV {
		return fmt.Errorf("kvStore: key %s: %w", quoted(string(c[0].Bytes)), tooLarge("value", w.most))
	}
	return fmt.Errorf("transcriptItems: vat %s, position %d: %w", quoted(string(c[0].Bytes)), c[1].Int, tooLarge("item", w.most))
}

// atHand is a page of the block or of the one before it.
func (w *sweep) atHand(pgno uint32) []byte {
	for _, b := range []struct {
		first uint32
		data  []byte
	}{{w.first, w.block}, {w.was, w.prev}} {
		if at := int(pgno-b.first) * w.pageSize; pgno >= b.first && at < len(b.data) {
			return b.data[at:][:w.pageSize]
		}
	}
	return nil
}

// row passes on one whole row.
func (w *sweep) row(tree int, rowid int64, payload []byte) error {
	w.counts[tree]++
	if tree == tableKV {
		var c [2]format.Value
		if err := parseRecord(payload, c[:]); err != nil {
			return err
		}
		w.add(tree, rowid, c[:1])
		return w.t.addKV(w.ctx, c[0], c[1])
	}
	var c [3]format.Value
	if err := parseRecord(payload, c[:]); err != nil {
		return err
	}
	w.add(tree, rowid, c[:2])
	return w.t.addItem(w.ctx, c[0], c[1], c[2])
}

// indexCells counts the entries of an index page.
func (w *sweep) indexCells(tree int, pgno uint32, page []byte, kind byte) error {
	n, pointers, err := w.cells(page, pgno, kind)
	if err != nil {
		return err
	}
	columns := 1 // before the rowid
	if tree == indexItems {
		columns = 2
	}
	for i := range n {
		c, err := w.cell(page, pointers, i)
		if err != nil {
			return err
		}
		if kind == pageIndexInterior {
			c = c[min(4, len(c)):]
		}
		size, k := varint(c)
		if k == 0 {
			return fmt.Errorf("%w: cell %d ends early", errPage, i)
		}
		local, next, err := w.payload(c[k:], size, true)
		if err != nil {
			return err
		}
		w.counts[tree]++
		if next != 0 {
			continue // only counted; its row is too, see add
		}
		var cols [3]format.Value
		if err := parseRecord(local, cols[:columns+1]); err != nil {
			return err
		}
		w.add(tree, cols[columns].Int, cols[:columns])
	}
	return nil
}

// add folds the hash of a key and its rowid into the tree's sum. Keys too long to be whole in an index page are only counted.
func (w *sweep) add(tree int, rowid int64, key []format.Value) {
	if !w.fold || len(key[0].Bytes) > w.usable/foldLimit {
		return
	}
	w.sums[tree] += keySum(w.seed, rowid, key)
}

// agree compares the tables with their indexes, and asks defect about each that differs.
func (w *sweep) agree(defect func(error) error) error {
	for table := tableItems; w.fold && table <= tableKV; table++ {
		index := table + indexItems
		if w.damaged[table] || w.damaged[index] {
			continue
		}
		err := indexDiffers(treeNames[table], w.counts[table], w.counts[index], w.sums[table], w.sums[index])
		if err != nil {
			if err := defect(&IndexError{w.db.path, treeNames[table], err}); err != nil {
				return err
			}
		}
	}
	return nil
}
