package stages

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"swingport/testdata"
)

// damagedStore is a small store with everything that a page can be, and its bytes.
func damagedStore(t testing.TB) (dir string, data []byte) {
	b := testdata.Build(t, "page_size=512")
	r := rand.New(rand.NewPCG(21, 22))
	b.Many("INSERT INTO transcriptItems VALUES (?,?,?,0)", 60, func(i int) []any { return []any{fmt.Sprint("v", i%3), i, letters(r, r.IntN(100))} })
	b.Many("INSERT INTO kvStore VALUES (?,?)", 60, func(i int) []any { return []any{fmt.Sprintf("v%d.c.ko%d", i%3, i), letters(r, r.IntN(60))} })
	for i, n := range []int{470, 480, 1000, 2500, 6000} {
		b.Exec("INSERT INTO transcriptItems VALUES ('v9',?,?,0)", i, letters(r, n))
		b.KV(fmt.Sprint("long", i), letters(r, n))
	}
	b.KV(letters(r, 700), "long key")
	b.Close()
	data, err := os.ReadFile(filepath.Join(b.Dir, StoreFile))
	if err != nil {
		t.Fatal(err)
	}
	return b.Dir, data
}

// sweepDamaged reads a store that may be damaged in both ways. It fails the test only where the sweep gives other rows than the engine
// without an error.
func sweepDamaged(t *testing.T, dir, what string, original rowSet) (swept error) {
	t.Helper()
	s, err := OpenStore(context.Background(), dir, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	if s.Odd() != "" {
		return errors.New(s.Odd())
	}
	got, swept := sweepRows(s, true, true, oddLimits[3])
	if swept != nil {
		return swept
	}
	want, err := engineRows(s)
	if err != nil {
		// Where the engine finds damage that has to do with no row, the rows are those that were written.
		if err := got.compare(original); err != nil {
			t.Errorf("%s: the sweep says nothing, the engine %v; %v", what, err, err)
		}
		return nil
	}
	if err := got.compare(want); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return nil
}

func patch(t *testing.T, dir string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, StoreFile), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func rowsOf(t testing.TB, dir string) rowSet {
	t.Helper()
	s, err := OpenStore(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows, err := engineRows(s)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// Every byte of the headers of all pages, and others at random, set to other values: the sweep never panics, never hangs, and never gives
// other rows than the engine without saying what is wrong.
func TestSweepFlippedBytes(t *testing.T) {
	dir, data := damagedStore(t)
	original := rowsOf(t, dir)
	r := rand.New(rand.NewPCG(23, 24))
	type flip struct{ at, xor int }
	var flips []flip
	each := 6
	if testing.Short() {
		each = 2
	}
	for page := 1; page < len(data)/512; page++ { // the schema on page 1 is the engine's
		for range each {
			flips = append(flips, flip{page*512 + r.IntN(16), 1 << r.IntN(8)}, flip{page*512 + r.IntN(512), 1 + r.IntN(255)})
		}
		if !testing.Short() {
			for i := range 12 {
				flips = append(flips, flip{page*512 + i, 0xff})
			}
		}
	}
	found := 0
	for _, f := range flips {
		bad := slices.Clone(data)
		bad[f.at] ^= byte(f.xor)
		patch(t, dir, bad)
		if err := sweepDamaged(t, dir, fmt.Sprintf("byte %d of page %d ^ %#x", f.at%512, f.at/512+1, f.xor), original); err != nil {
			found++
		}
	}
	t.Logf("%d pages, %d flips, %d found", len(data)/512, len(flips), found)
	if found < len(flips)/8 {
		t.Error("hardly any damage was found")
	}
}

// treePages are the pages of each tree, found by the sweep's own walk.
func treePages(t *testing.T, dir string) (leaves [numTrees][]uint32, roots [numTrees]uint32) {
	t.Helper()
	s, err := OpenStore(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := newPager(s.db)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for i := range leaves {
		m := newBitmap(p.count)
		if _, err := p.leaves(s.schema.root[i], i <= tableKV, m, nil, 0, func(err error) error { return err }); err != nil {
			t.Fatal(err)
		}
		for at := nextOf(1, m); at != 0; at = nextOf(at+1, m) {
			leaves[i] = append(leaves[i], at)
		}
	}
	return leaves, s.schema.root
}

// Damage of a certain kind is found, and the error names the page and says that the database is damaged.
func TestSweepNamesDamage(t *testing.T) {
	dir, data := damagedStore(t)
	leaves, roots := treePages(t, dir)
	at := func(page uint32) int { return int(page-1) * 512 }
	u16, u32 := binary.BigEndian, binary.BigEndian
	// A row that goes on in overflow pages, and the first of them.
	overflow := func(d []byte) (page uint32, pointer int, first uint32) {
		for _, p := range leaves[tableKV] {
			for i := range int(u16.Uint16(d[at(p)+3:])) {
				cell := at(p) + int(u16.Uint16(d[at(p)+8+2*i:]))
				size, n := varint(d[cell:])
				_, m := varint(d[cell+n:])
				if g := (btree{512, 512}); size > 2000 && g.local(size, false) < int(size) {
					pointer = cell + n + m + g.local(size, false)
					return p, pointer, u32.Uint32(d[pointer:])
				}
			}
		}
		t.Fatal("no long row")
		return
	}
	leaf := leaves[tableKV][1]
	for _, c := range []struct {
		name, says string
		damage     func(d []byte)
	}{
		{"page type", fmt.Sprintf("page %d: the page is damaged: type", leaf), func(d []byte) { d[at(leaf)] = 0 }},
		{"number of cells", "cells do not fit", func(d []byte) { u16.PutUint16(d[at(leaf)+3:], 60000) }},
		{"cell pointer", fmt.Sprintf("page %d: the page is damaged: cell 0 begins at", leaf), func(d []byte) { u16.PutUint16(d[at(leaf)+8:], 3) }},
		{"cell pointer past the end", "cell 0 begins at", func(d []byte) { u16.PutUint16(d[at(leaf)+8:], 512) }},
		{"payload length", fmt.Sprintf("page %d", leaf), func(d []byte) {
			cell := at(leaf) + int(u16.Uint16(d[at(leaf)+8:]))
			copy(d[cell:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}},
		{"overflow past the end", "leads to page 4294967295", func(d []byte) { _, p, _ := overflow(d); u32.PutUint32(d[p:], 0xffffffff) }},
		{"overflow to nothing", "the page is damaged", func(d []byte) { _, p, _ := overflow(d); u32.PutUint32(d[p:], 0) }},
		{"overflow to page 1", "leads to page 1", func(d []byte) { _, p, _ := overflow(d); u32.PutUint32(d[p:], 1) }},
		{"overflow to a leaf", "leads to a leaf", func(d []byte) { _, p, _ := overflow(d); u32.PutUint32(d[p:], leaf) }},
		{"overflow in a circle", "two overflow pages lead to it", func(d []byte) { _, _, f := overflow(d); u32.PutUint32(d[at(f):], f) }},
		{"overflow ends early", "ends", func(d []byte) { _, _, f := overflow(d); u32.PutUint32(d[at(f):], 0) }},
		{"circle of interior pages", "too deep", func(d []byte) {
			root := roots[tableKV]
			cell := at(root) + int(u16.Uint16(d[at(root)+12:]))
			u32.PutUint32(d[cell:], root)
		}},
		{"leaf with two parents", "two pages point to it", func(d []byte) {
			root := roots[tableKV]
			cell := at(root) + int(u16.Uint16(d[at(root)+12:]))
			u32.PutUint32(d[at(root)+8:], u32.Uint32(d[cell:]))
		}},
		{"child past the end", "no such page", func(d []byte) { u32.PutUint32(d[at(roots[tableKV])+8:], 1<<20) }},
		{"child 0", "no such page", func(d []byte) { u32.PutUint32(d[at(roots[tableKV])+8:], 0) }},
		{"table in an index", fmt.Sprintf("page %d: the page is damaged: it is a leaf of kvStore and of the index of kvStore", leaf), func(d []byte) { u32.PutUint32(d[at(roots[indexKV])+8:], leaf) }},
		{"record header", "record header", func(d []byte) {
			cell := at(leaf) + int(u16.Uint16(d[at(leaf)+8:]))
			_, n := varint(d[cell:])
			_, m := varint(d[cell+n:])
			d[cell+n+m] = 0x7f
		}},
		{"serial type", "serial type 10", func(d []byte) {
			cell := at(leaf) + int(u16.Uint16(d[at(leaf)+8:]))
			_, n := varint(d[cell:])
			_, m := varint(d[cell+n:])
			d[cell+n+m+1] = 10
		}},
		{"an index entry less", "its index", func(d []byte) {
			p := at(leaves[indexKV][0])
			u16.PutUint16(d[p+3:], u16.Uint16(d[p+3:])-1)
		}},
		{"a row less", "its index", func(d []byte) {
			p := at(leaves[tableItems][0])
			u16.PutUint16(d[p+3:], u16.Uint16(d[p+3:])-1)
		}},
		{"another rowid in the index", "differ", func(d []byte) {
			p := at(leaves[indexKV][0])
			cell := p + int(u16.Uint16(d[p+8:]))
			size, n := varint(d[cell:])
			d[cell+n+int(size)-1] ^= 1
		}},
		{"another key in the table", "differ", func(d []byte) {
			i := strings.Index(string(d[at(leaf):at(leaf)+512]), ".c.ko")
			d[at(leaf)+i+1] = 'd'
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := slices.Clone(data)
			c.damage(bad)
			patch(t, dir, bad)
			err := sweepDamaged(t, dir, c.name, rowSet{})
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
			var page *PageError
			if !errors.As(err, &page) && !strings.Contains(err.Error(), "its index") && !strings.Contains(err.Error(), "differ") {
				t.Errorf("no page is named: %v", err)
			}
		})
	}
}

// What a sweep takes in memory does not depend on the lengths that a damaged page tells: a page of cells that each promise a gigabyte.
func TestSweepPromisedBytes(t *testing.T) {
	dir, data := damagedStore(t)
	leaves, _ := treePages(t, dir)
	page := data[int(leaves[tableKV][1]-1)*512:][:512]
	g := btree{512, 512}
	clear(page[8:])
	cell := append([]byte{0x83, 0xdc, 0xcd, 0xe5, 0x00, 1}, make([]byte, 400)...) // 999,901,824 bytes, rowid 1
	size, n := varint(cell)
	if n != 5 || size < maxPayload/2 || size > maxPayload {
		t.Fatalf("the cell promises %d bytes", size)
	}
	at := 512 - 6 - g.local(size, false) - 4
	copy(page[at:], cell[:6])
	binary.BigEndian.PutUint32(page[512-4:], uint32(len(data)/512))
	binary.BigEndian.PutUint16(page[3:], 1)
	binary.BigEndian.PutUint16(page[8:], uint16(at))
	patch(t, dir, data)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := sweepDamaged(t, dir, "a gigabyte", rowSet{})
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}
