package stages

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"swingport/format"
)

func TestVarint(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want uint64
		n    int
	}{
		{[]byte{0}, 0, 1},
		{[]byte{0x7f}, 127, 1},
		{[]byte{0x81, 0x00}, 128, 2},
		{[]byte{0xff, 0x7f}, 16383, 2},
		{[]byte{0x81, 0x80, 0x00}, 16384, 3},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, math.MaxUint64, 9},
		{[]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x55}, 1, 9},
		{nil, 0, 0},
		{[]byte{0x80}, 0, 0},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, 0},
	} {
		if v, n := varint(c.b); v != c.want || n != c.n {
			t.Errorf("varint(%x) = %d, %d, want %d, %d", c.b, v, n, c.want, c.n)
		}
	}
}

func TestParseRecord(t *testing.T) {
	real := binary.BigEndian.AppendUint64(nil, math.Float64bits(1.5))
	nan := binary.BigEndian.AppendUint64(nil, math.Float64bits(math.NaN()))
	for _, c := range []struct {
		name string
		p    []byte
		want []format.Value
	}{
		{"short: the rest is NULL", []byte{2, 1, 0xff}, []format.Value{format.IntValue(-1), {}}},
		{"no column", []byte{1}, []format.Value{{}, {}}},
		{"0 and 1", []byte{3, 8, 9}, []format.Value{format.IntValue(0), format.IntValue(1)}},
		{"real", append([]byte{3, 7, 0}, real...), []format.Value{{Type: format.Real, Real: 1.5}, {}}},
		{"not a number is NULL", append([]byte{3, 7, 13}, nan...), []format.Value{{}, format.TextValue(nil)}},
		{"text and blob", []byte{3, 15, 14, 'a', 'b'}, []format.Value{format.TextValue([]byte("a")), {Type: format.Blob, Bytes: []byte("b")}}},
		{"one column more", []byte{4, 15, 1, 1, 'a', 7, 8}, []format.Value{format.TextValue([]byte("a")), format.IntValue(7)}},
		{"24 bits", []byte{3, 3, 5, 0x80, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff}, []format.Value{format.IntValue(-1<<23 + 1), format.IntValue(1<<47 - 1)}},
	} {
		got := make([]format.Value, 2)
		if err := parseRecord(c.p, got); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.EqualFunc(got, c.want, sameValue) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	for name, p := range map[string][]byte{
		"empty":              {},
		"header of 0":        {0},
		"header longer":      {9, 1, 1},
		"type 10":            {2, 10},
		"type 11":            {2, 11},
		"value cut":          {2, 6, 1, 2, 3},
		"type cut":           {2, 0x80},
		"bytes left":         {2, 1, 5, 6},
		"huge text":          {10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"second column cut":  {3, 8, 1},
		"third column cut":   {4, 8, 8, 1},
		"header ends inside": {0x81},
	} {
		if err := parseRecord(p, make([]format.Value, 2)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func sameValue(a, b format.Value) bool {
	return a.Type == b.Type && a.Int == b.Int && math.Float64bits(a.Real) == math.Float64bits(b.Real) && string(a.Bytes) == string(b.Bytes)
}

// The local part of a payload lies within the limits of the file format, for every size around them.
func TestLocalPayload(t *testing.T) {
	for _, usable := range []int{480, 512, 1024, 4096 - 255, 4096, 65536} {
		g := btree{usable, usable}
		for _, index := range []bool{false, true} {
			x, m := usable-35, (usable-12)*32/255-23
			if index {
				x = (usable-12)*64/255 - 23
			}
			for size := range 3 * usable {
				n := g.local(uint64(size), index)
				switch {
				case size <= x && n != size, size > x && (n < m || n > x):
					t.Fatalf("usable %d, index %v: %d of %d bytes are local", usable, index, n, size)
				case size > x && n > m && (size-n)%(usable-4) != 0:
					t.Fatalf("usable %d, index %v: %d of %d bytes are local, and the last overflow page is not full", usable, index, n, size)
				}
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, p := range [][]byte{{2, 1, 0xff}, {4, 15, 1, 1, 'a', 7, 8}, {3, 7, 0, 1, 2, 3, 4, 5, 6, 7, 8}, {10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var two [2]format.Value
		var four [4]format.Value
		errTwo, errFour := parseRecord(p, two[:]), parseRecord(p, four[:])
		if (errTwo == nil) != (errFour == nil) {
			t.Fatalf("two columns: %v, four: %v", errTwo, errFour)
		}
		n := 0
		for i, v := range four {
			n += len(v.Bytes)
			if errTwo == nil && i < 2 && !sameValue(v, two[i]) {
				t.Fatalf("%+v, %+v", v, two[i])
			}
		}
		if errFour == nil && n > len(p) {
			t.Fatalf("%d bytes out of %d", n, len(p))
		}
	})
}

// FuzzSweepPage puts any bytes in the place of one page of a store.
func FuzzSweepPage(f *testing.F) {
	whole, data := damagedStore(f)
	original := rowsOf(f, whole)
	for page := 1; page < len(data)/512; page++ {
		f.Add(uint16(page), data[page*512:][:512])
	}
	f.Fuzz(func(t *testing.T, page uint16, content []byte) {
		n := 1 + int(page)%(len(data)/512-1)
		bad := slices.Clone(data)
		copy(bad[n*512:][:512], content)
		dir := t.TempDir()
		patch(t, dir, bad)
		sweepDamaged(t, dir, "a page of any bytes", original)
	})
}

// What is written is read back, in the fewest bytes.
func TestRecordWrite(t *testing.T) {
	for shift := range 55 {
		for _, v := range []uint64{1<<shift - 1, 1 << shift, 1<<shift + 1} {
			b := appendVarint(nil, v)
			if got, n := varint(b); got != v || n != len(b) || n > 1 && v < 1<<(7*(n-1)) {
				t.Errorf("%d: %x is %d, %d bytes", v, b, got, n)
			}
		}
	}
	for _, c := range []struct {
		v int64
		t uint64
	}{
		{0, 8}, {1, 9}, {-1, 1}, {2, 1}, {127, 1}, {-128, 1}, {128, 2}, {-129, 2}, {1<<15 - 1, 2}, {1 << 15, 3}, {1<<23 - 1, 3}, {1 << 23, 4}, {-1 << 31, 4},
		{1 << 31, 5}, {1<<47 - 1, 5}, {1 << 47, 6}, {-1<<47 - 1, 6}, {1<<63 - 1, 6}, {-1 << 63, 6},
	} {
		if got := intType(c.v); got != c.t {
			t.Errorf("%d: serial type %d, expected %d", c.v, got, c.t)
		}
		for _, text := range []int{0, 50, 57, 60, 5000, 1 << 20, 1 << 28} {
			b := appendRecordHeader(nil, textType(text), intType(c.v), 0)
			if size, _ := varint(b); size != uint64(len(b)) {
				t.Errorf("a header of %d bytes says %d", len(b), size)
			}
		}
		var cols [2]format.Value
		err := parseRecord(appendInt(append(appendRecordHeader(nil, textType(2), intType(c.v)), "ab"...), c.v), cols[:])
		if err != nil || cols[1].Int != c.v || string(cols[0].Bytes) != "ab" {
			t.Errorf("%d: %v, %v", c.v, cols, err)
		}
	}
}

// Entries come back in the order of text and number, also where texts have zero bytes, or begin like others.
func TestEntrySorter(t *testing.T) {
	type entry struct {
		text string
		n    int64
	}
	var want []entry
	for _, text := range []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "\x01", "a", "a\x00", "a\x00b", "ab", "\xff", "\xff\xff"} {
		for _, n := range []int64{-1 << 63, -1, 0, 1, 1<<63 - 1} {
			want = append(want, entry{text, n})
		}
	}
	s := newEntrySorter(context.Background(), t.TempDir(), nil)
	defer s.close()
	for i, k := range rand.New(rand.NewPCG(1, 2)).Perm(len(want)) {
		if err := s.add([]byte(want[k].text), want[k].n, int64(k), int64(-k)); err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			if err := s.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	i := 0
	err := s.each(func(text []byte, n, x, y int64) error {
		if i >= len(want) || (entry{string(text), n}) != want[i] || x != int64(i) || y != int64(-i) {
			t.Errorf("entry %d: %q %d, %d %d", i, text, n, x, y)
		}
		i++
		return nil
	})
	if err != nil || i != len(want) {
		t.Errorf("%d entries, %v", i, err)
	}
}
