package stages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"

	lib "modernc.org/sqlite/lib"
)

// PageError says which page of the database is damaged.
type PageError struct {
	Path string
	Page uint32
	Err  error
}

func (e *PageError) Error() string { return fmt.Sprintf("%s: page %d: %v", e.Path, e.Page, e.Err) }
func (e *PageError) Unwrap() error { return e.Err }

// bitmap has a bit for each page, from 0 on.
type bitmap []uint64

func newBitmap(pages uint32) bitmap { return make(bitmap, pages/64+1) }
func (b bitmap) set(n uint32)       { b[n/64] |= 1 << (n % 64) }
func (b bitmap) clear(n uint32)     { b[n/64] &^= 1 << (n % 64) }
func (b bitmap) has(n uint32) bool  { return b[n/64]>>(n%64)&1 != 0 }

// nextOf is the first page from n on that is in one of the bitmaps, 0 where there is none.
func nextOf(n uint32, maps ...bitmap) uint32 {
	for i := n / 64; i < uint32(len(maps[0])); i++ {
		var w uint64
		for _, m := range maps {
			w |= m[i]
		}
		if i == n/64 {
			w &= ^uint64(0) << (n % 64)
		}
		if w != 0 {
			return i*64 + uint32(bits.TrailingZeros64(w))
		}
	}
	return 0
}

// pager reads the pages of the snapshot that a connection's open transaction has pinned. Pages that may be newer in the write-ahead log
// come through the engine, all others straight from the database file through the engine's own descriptor: no checkpoint can move a newer
// page into the file while the transaction's read mark stands. Page content is never read from the log itself, which a writer may restart
// and overwrite once it was wholly checkpointed.
type pager struct {
	btree
	db    *DB
	file  *file
	size  int64  // bytes in the database file when the transaction began, or later
	count uint32 // pages in the snapshot
	newer bitmap // pages that may be newer in the log; nil where there is none
	fetch *Stmt
	read  int64 // bytes read from the file
}

// newPager needs an open read transaction that has read something.
func newPager(db *DB) (*pager, error) {
	f, err := db.openFile(lib.SQLITE_FCNTL_FILE_POINTER)
	if err != nil {
		return nil, err
	}
	p := &pager{db: db, file: f}
	if err := p.open(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *pager) open() error {
	var count, reserved, size int64
	for sql, to := range map[string]*int64{"PRAGMA page_count": &count, "PRAGMA page_size": &size} {
		if err := p.db.Query(sql, func(s *Stmt) error { *to = s.Int(0); return nil }); err != nil {
			return err
		}
	}
	info, err := os.Stat(p.db.path)
	if err != nil {
		return err
	}
	p.size, p.count = info.Size(), uint32(count)
	err = p.db.Query("SELECT data FROM sqlite_dbpage WHERE pgno=1", func(s *Stmt) error {
		if b := s.Bytes(0); len(b) >= 100 {
			reserved = int64(b[20])
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.btree = btree{pageSize: int(size), usable: int(size - reserved)}
	if p.usable < 480 || p.count == 0 {
		return &PageError{p.db.path, 1, fmt.Errorf("%w: page size %d, %d reserved, %d pages", errPage, size, reserved, count)}
	}
	if err := p.readLog(); err != nil {
		return fmt.Errorf("read %s-wal: %w", p.db.path, err)
	}
	p.db.mu.Lock()
	defer p.db.mu.Unlock()
	p.fetch, err = p.db.Prepare("SELECT data FROM sqlite_dbpage WHERE pgno=?1")
	return err
}

// readLog marks the pages that the frames of the snapshot name. A frame of another generation (its salts differ) says that the log was
// restarted, which happens only after all of it came into the file.
func (p *pager) readLog() error {
	state := p.db.walState()
	if state.frames == 0 {
		return nil
	}
	log, err := p.db.openFile(lib.SQLITE_FCNTL_JOURNAL_POINTER)
	if err != nil {
		return err
	}
	defer log.close()
	p.newer = newBitmap(p.count)
	frame := int64(p.pageSize) + 24
	var head [24]byte
	for i := int64(0); i < int64(state.frames); i++ {
		if err := log.readAt(head[:], 32+i*frame); err != nil {
			// A log that was restarted may have been cut meanwhile; a page that only the log had is found missing when it is read.
			return p.logGone(state, err)
		}
		pgno := binary.BigEndian.Uint32(head[:])
		if binary.NativeEndian.Uint32(head[8:]) == state.salt[0] && binary.NativeEndian.Uint32(head[12:]) == state.salt[1] && pgno <= p.count {
			p.newer.set(pgno)
		}
	}
	return nil
}

// logGone accepts that the log ends early only if its header shows another generation by now.
func (p *pager) logGone(state walState, cause error) error {
	log, err := p.db.openFile(lib.SQLITE_FCNTL_JOURNAL_POINTER)
	if err != nil {
		return err
	}
	defer log.close()
	var head [32]byte
	if err := log.readAt(head[:], 0); err != nil {
		return nil // truncated to nothing: wholly checkpointed
	}
	if binary.NativeEndian.Uint32(head[16:]) == state.salt[0] && binary.NativeEndian.Uint32(head[20:]) == state.salt[1] {
		return cause
	}
	return nil
}

func (p *pager) close() {
	if p.fetch != nil {
		p.db.mu.Lock()
		p.fetch.Finalize()
		p.db.mu.Unlock()
	}
	p.file.close()
}

// fail names the page.
func (p *pager) fail(pgno uint32, err error) error {
	var e *PageError
	if errors.As(err, &e) {
		return err
	}
	return &PageError{p.db.path, pgno, err}
}

// viaEngine reads one page as the snapshot has it, wherever that is.
func (p *pager) viaEngine(pgno uint32, to []byte) error {
	p.db.mu.Lock()
	defer p.db.mu.Unlock()
	defer p.fetch.Reset()
	if err := p.fetch.BindInt(1, int64(pgno)); err != nil {
		return err
	}
	ok, err := p.fetch.Step()
	if err != nil {
		return err // whoever asked names the page
	}
	if b := p.fetch.Bytes(0); ok && len(b) == p.pageSize {
		copy(to, b)
		return nil
	}
	return fmt.Errorf("%w: the engine does not have it", errPage)
}

// page reads one page into to.
func (p *pager) page(pgno uint32, to []byte) error {
	if pgno == 0 || pgno > p.count {
		return fmt.Errorf("%w: no such page, there are %d", errPage, p.count)
	}
	if p.newer != nil && p.newer.has(pgno) {
		return p.viaEngine(pgno, to)
	}
	p.read += int64(p.pageSize)
	return p.file.readAt(to, int64(pgno-1)*int64(p.pageSize))
}

// pages reads n pages from first on into to. What is newer in the log is read page by page.
func (p *pager) pages(first uint32, n int, to []byte) error {
	size := int64(p.pageSize)
	inFile := min(int64(n), max(0, p.size/size-int64(first-1)))
	if inFile > 0 {
		if err := p.file.readAt(to[:inFile*size], int64(first-1)*size); err != nil {
			return p.fail(first, err)
		}
		p.read += inFile * size
	}
	for i := range n {
		pgno := first + uint32(i)
		isNewer := p.newer != nil && p.newer.has(pgno)
		if !isNewer && int64(i) < inFile {
			continue
		}
		if !isNewer {
			if err := p.hasGrown(pgno); err != nil {
				return p.fail(pgno, err)
			}
		}
		if err := p.viaEngine(pgno, to[i*p.pageSize:][:p.pageSize]); err != nil {
			return p.fail(pgno, err)
		}
	}
	return nil
}

// hasGrown is for a page that is not in the log and was behind the end of the file: a checkpoint has written it, or it is nowhere. The engine would
// give zeros in its place.
func (p *pager) hasGrown(pgno uint32) error {
	end := int64(pgno) * int64(p.pageSize)
	if end <= p.size {
		return nil
	}
	info, err := os.Stat(p.db.path)
	if err != nil {
		return err
	}
	if p.size = info.Size(); end > p.size {
		return fmt.Errorf("%w: the file ends before its end", errPage)
	}
	return nil
}

// willNeed begins to read n pages from first on. Which of them are in the log does not matter: it is a hint.
func (p *pager) willNeed(first uint32, n int) {
	p.file.willNeed(int64(first-1)*int64(p.pageSize), int64(n)*int64(p.pageSize))
}

// leaves walks the interior pages below root and marks the leaves in to. Only interior pages are read: all leaves have the same depth,
// which the way down the left side shows. interior, if not nil, sees each interior page. bad decides about what is damaged below the root:
// nil leaves it out. tries is for depth.
func (p *pager) leaves(root uint32, table bool, to bitmap, interior func(pgno uint32, page []byte) error, tries int, bad func(error) error) (n int64, err error) {
	kindInner, kindLeaf := byte(pageIndexInterior), byte(pageIndexLeaf)
	if table {
		kindInner, kindLeaf = pageTableInterior, pageTableLeaf
	}
	depth, err := p.depth(root, kindInner, kindLeaf, tries)
	if err != nil {
		return 0, err
	}
	level := []uint32{root}
	page := make([]byte, p.pageSize)
	for ; depth > 0; depth-- {
		var next []uint32
		for _, pgno := range level {
			err := p.page(pgno, page)
			if err == nil {
				var below []uint32
				if below, err = p.children(pgno, page, kindInner, next); err == nil {
					next = below
				}
			}
			if err == nil && interior != nil {
				err = interior(pgno, page)
			}
			if err != nil {
				if err := bad(p.fail(pgno, err)); err != nil {
					return 0, err
				}
			}
		}
		level = next
	}
	for _, pgno := range level {
		var err error
		switch {
		case pgno == 0 || pgno > p.count:
			err = fmt.Errorf("%w: no such page, there are %d", errPage, p.count)
		case to.has(pgno):
			err = fmt.Errorf("%w: two pages point to it", errPage)
		default:
			to.set(pgno)
			continue
		}
		if err := bad(p.fail(pgno, err)); err != nil {
			return 0, err
		}
	}
	return int64(len(level)), nil
}

// depth is the number of interior levels below and with root. The way to the leaves is the first child's; where that is damaged, up to tries
// others are looked at.
func (p *pager) depth(root uint32, inner, leaf byte, tries int) (int, error) {
	depth, err := p.depthBelow(root, 0, inner, leaf, &tries)
	return depth, err
}

func (p *pager) depthBelow(pgno uint32, above int, inner, leaf byte, tries *int) (int, error) {
	page := make([]byte, p.pageSize)
	if err := p.page(pgno, page); err != nil {
		return 0, p.fail(pgno, err)
	}
	at := 0
	if pgno == 1 {
		at = 100
	}
	if page[at] == leaf {
		return above, nil
	}
	kids, err := p.children(pgno, page, inner, nil)
	if err != nil {
		return 0, p.fail(pgno, err)
	}
	if above > 20 { // the engine's own limit, BTCURSOR_MAX_DEPTH
		return 0, p.fail(pgno, fmt.Errorf("%w: the tree is too deep", errPage))
	}
	depth, err := p.depthBelow(kids[0], above+1, inner, leaf, tries)
	for _, kid := range kids[1:] {
		if err == nil || *tries == 0 {
			break
		}
		*tries--
		if n, other := p.depthBelow(kid, above+1, inner, leaf, tries); other == nil {
			return n, nil
		}
	}
	return depth, err
}

// children appends the pages that an interior page points to, from left to right.
func (p *pager) children(pgno uint32, page []byte, kind byte, dst []uint32) ([]uint32, error) {
	n, pointers, err := p.cells(page, pgno, kind)
	if err != nil {
		return nil, err
	}
	for i := range n {
		c, err := p.cell(page, pointers, i)
		if err != nil {
			return nil, err
		}
		if len(c) < 4 {
			return nil, fmt.Errorf("%w: cell %d ends early", errPage, i)
		}
		dst = append(dst, binary.BigEndian.Uint32(c))
	}
	if len(dst) > int(p.count)+1 {
		return nil, fmt.Errorf("%w: more children than pages", errPage)
	}
	return append(dst, binary.BigEndian.Uint32(page[pointers-4:])), nil
}
