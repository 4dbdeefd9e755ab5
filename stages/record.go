package stages

import (
	"encoding/binary"
	"fmt"
	"math"

	"swingport/format"
)

// errPage is what a page says that cannot be; the caller names the page.
var errPage error = &classError{ErrDamaged, "the page is damaged"}

// varint reads SQLite's variable-length integer; n is 0 where b ends too early.
func varint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	for i := 0; i < 8; i++ {
		if i >= len(b) {
			return 0, 0
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	if len(b) < 9 {
		return 0, 0
	}
	return v<<8 | uint64(b[8]), 9
}

// serialSize is the number of bytes that a value of serial type t takes (file format, section 2.1).
func serialSize(t uint64) (n uint64, ok bool) {
	switch {
	case t >= 12:
		return (t - 12) / 2, true
	case t <= 4:
		return t, true
	case t == 5:
		return 6, true
	case t <= 7:
		return 8, true
	case t <= 9:
		return 0, true
	}
	return 0, false // 10 and 11 are reserved
}

// parseRecord fills cols with the first values of a record; what is missing at its end is NULL. Values borrow from p. The lengths of all
// values must add up to the record's.
func parseRecord(p []byte, cols []format.Value) error {
	header, k := varint(p)
	if k == 0 || header < uint64(k) || header > uint64(len(p)) {
		return fmt.Errorf("%w: a record header of %d bytes in a record of %d", errPage, header, len(p))
	}
	body, at := p[header:], k
	for i := 0; i < len(cols) || at < int(header); i++ {
		if at >= int(header) {
			cols[i] = format.Value{}
			continue
		}
		t, n := varint(p[at:header])
		size, ok := serialSize(t)
		if n == 0 || !ok || size > uint64(len(body)) {
			return fmt.Errorf("%w: column %d has serial type %d with %d bytes left", errPage, i, t, len(body))
		}
		at += n
		if i < len(cols) {
			cols[i] = serialValue(t, body[:size])
		}
		body = body[size:]
	}
	if len(body) > 0 {
		return fmt.Errorf("%w: the columns of a record leave %d of its bytes", errPage, len(body))
	}
	return nil
}

// recordStart fills cols with the first values of a record that are whole in p, its beginning.
func recordStart(p []byte, cols []format.Value) {
	header, at := varint(p)
	if at == 0 || header > uint64(len(p)) {
		return
	}
	body := p[header:]
	for i := range cols {
		if at >= int(header) {
			return
		}
		t, n := varint(p[at:header])
		size, ok := serialSize(t)
		if n == 0 || !ok || size > uint64(len(body)) {
			return
		}
		cols[i] = serialValue(t, body[:size])
		at, body = at+n, body[size:]
	}
}

func serialValue(t uint64, b []byte) format.Value {
	switch {
	case t == 0:
		return format.Value{}
	case t == 7:
		if r := math.Float64frombits(binary.BigEndian.Uint64(b)); r == r {
			return format.Value{Type: format.Real, Real: r}
		}
		return format.Value{} // the engine takes NaN for NULL
	case t == 8 || t == 9:
		return format.IntValue(int64(t - 8))
	case t < 7:
		v := int64(int8(b[0]))
		for _, c := range b[1:] {
			v = v<<8 | int64(c)
		}
		return format.IntValue(v)
	case t&1 == 0:
		return format.Value{Type: format.Blob, Bytes: b}
	default:
		return format.TextValue(b)
	}
}

// btree says how the pages of one file are cut up.
type btree struct {
	pageSize, usable int
}

// local is how many bytes of a payload of p bytes a cell holds itself; the rest is in overflow pages (file format, section 1.6).
func (g btree) local(p uint64, index bool) int {
	x := g.usable - 35
	if index {
		x = (g.usable-12)*64/255 - 23
	}
	if p <= uint64(x) {
		return int(p)
	}
	m := (g.usable-12)*32/255 - 23
	k := m + int((p-uint64(m))%uint64(g.usable-4))
	if k <= x {
		return k
	}
	return m
}

// The types of b-tree pages.
const (
	pageIndexInterior = 0x02
	pageTableInterior = 0x05
	pageIndexLeaf     = 0x0a
	pageTableLeaf     = 0x0d
)

// cells checks a page's header (100 bytes further on page 1) and returns the number of cells and where their pointers begin.
func (g btree) cells(page []byte, pgno uint32, kind byte) (n, pointers int, err error) {
	at := 0
	if pgno == 1 {
		at = 100
	}
	if page[at] != kind {
		return 0, 0, fmt.Errorf("%w: type %#02x, expected %#02x", errPage, page[at], kind)
	}
	n = int(binary.BigEndian.Uint16(page[at+3:]))
	pointers = at + 8
	if kind == pageTableInterior || kind == pageIndexInterior {
		pointers += 4
	}
	if pointers+2*n > g.usable {
		return 0, 0, fmt.Errorf("%w: %d cells do not fit", errPage, n)
	}
	return n, pointers, nil
}

// cell returns the bytes from the i-th cell on.
func (g btree) cell(page []byte, pointers, i int) ([]byte, error) {
	at := int(binary.BigEndian.Uint16(page[pointers+2*i:]))
	if at < pointers || at >= g.usable {
		return nil, fmt.Errorf("%w: cell %d begins at byte %d", errPage, i, at)
	}
	return page[at:g.usable], nil
}

// payload cuts a cell after its header into the local part and the first overflow page, 0 where there is none.
func (g btree) payload(cell []byte, size uint64, index bool) (local []byte, overflow uint32, err error) {
	n := g.local(size, index)
	if uint64(n) == size {
		if n > len(cell) {
			return nil, 0, fmt.Errorf("%w: a payload of %d bytes with %d left", errPage, n, len(cell))
		}
		return cell[:n], 0, nil
	}
	if n+4 > len(cell) {
		return nil, 0, fmt.Errorf("%w: a payload of %d bytes with %d left", errPage, n+4, len(cell))
	}
	return cell[:n], binary.BigEndian.Uint32(cell[n:]), nil
}
