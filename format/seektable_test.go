package format

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// seekStream is frames of zeros, as a seek table sees them, and the table.
func seekStream(t testing.TB, sizes ...int64) []byte {
	t.Helper()
	var table SeekTable
	for i := 0; i < len(sizes); i += 2 {
		if err := table.Add(sizes[i], sizes[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return table.Append(make([]byte, table.end().frame))
}

// checkSeekTable reads the table of a stream; what is taken tiles the stream.
func checkSeekTable(t *testing.T, stream []byte) (ok bool, err error) {
	table, ok, err := ReadSeekTable(bytes.NewReader(stream), int64(len(stream)))
	if err != nil && (ok || !isOneOf(err, ErrFormat, ErrLimit)) {
		t.Errorf("ok %v, error without a class: %v", ok, err)
	}
	if !ok {
		if table != nil {
			t.Error("a table that is none")
		}
		return false, err
	}
	var at, raw int64
	for i := range table.Len() {
		f := table.Frame(i)
		if f.Offset != at || f.RawOffset != raw || f.Size < 1 || f.RawSize < 0 {
			t.Errorf("frame %d is %+v behind %d, %d", i, f, at, raw)
		}
		if f.RawSize > 0 && (table.Find(raw) != i || table.Find(raw+f.RawSize-1) != i) {
			t.Errorf("frame %d is not found", i)
		}
		at, raw = at+f.Size, raw+f.RawSize
	}
	if table.RawSize() != raw || table.Find(raw) != table.Len() {
		t.Errorf("content of %d bytes, want %d", table.RawSize(), raw)
	}
	again := table.Append(bytes.Clone(stream[:at]))
	if stream[len(stream)-5] == 0 && !bytes.Equal(again, stream) {
		t.Error("another table came out")
	}
	return true, nil
}

type seekSeed struct {
	name    string
	in      []byte
	ok, bad bool // a table; an error
}

func seekSeeds(t testing.TB) []seekSeed {
	two := seekStream(t, 20, 1<<20, 9, 5)
	change := func(off int, b byte) []byte {
		c := bytes.Clone(two)
		c[len(c)+off] ^= b
		return c
	}
	checksums := append(bytes.Clone(two[:29+8]), "\x14\x00\x00\x00\x00\x00\x10\x00sum1\x09\x00\x00\x00\x05\x00\x00\x00sum2\x02\x00\x00\x00\x80\xb1\xea\x92\x8f"...)
	checksums[29+4] += 8
	return []seekSeed{
		{"two frames", two, true, false},
		{"checksums", checksums, true, false},
		{"unused bits", change(-5, 3), true, false},
		{"no frames", seekStream(t), true, false},
		{"one empty frame", seekStream(t, 1, 0), true, false},
		{"largest frame", seekStream(t, 1, MaxSeekFrameSize), true, false},
		{"nothing", nil, false, false},
		{"16 bytes", two[len(two)-16:], false, false},
		{"no table", []byte(strings.Repeat("zstd", 20)), false, false},
		{"last magic", change(-1, 1), false, false},
		{"a byte behind", append(bytes.Clone(two), 0), false, false},
		{"reserved bit", change(-5, 4), false, true},
		{"one frame more", change(-9, 1), false, true},
		{"millions of frames more", change(-6, 1), false, true},
		{"first magic", change(-33, 1), false, true},
		{"length", change(-29, 1), false, true},
		{"frame one longer", change(-25, 1), false, true},
		{"frame before the stream", seekStream(t, 1, 0)[1:], false, true},
		{"frame of no bytes", change(-25, 20), false, true},
		{"content above the limit", change(-10, 0x80), false, true},
		{"a byte in front", append([]byte{0}, two...), false, true},
	}
}

func TestSeekTable(t *testing.T) {
	for _, s := range seekSeeds(t) {
		if ok, err := checkSeekTable(t, s.in); ok != s.ok || (err != nil) != s.bad {
			t.Errorf("%s: %v, %v, want %v and error %v", s.name, ok, err, s.ok, s.bad)
		}
	}
}

func FuzzSeekTable(f *testing.F) {
	for _, s := range seekSeeds(f) {
		f.Add(s.in)
	}
	f.Fuzz(func(t *testing.T, in []byte) { _, _ = checkSeekTable(t, in) })
}

// Every cut leaves no table or an error; every flip that leaves a table leaves
// the places of the frames or is about the lengths of their content, which the
// frames know.
func TestSeekTableCutAndFlip(t *testing.T) {
	stream := seekStream(t, 20, 1<<20, 9, 5)
	for i := range stream {
		if ok, _ := checkSeekTable(t, stream[:i]); ok {
			t.Errorf("cut at %d: a table", i)
		}
		for bit := 0; i >= 29 && bit < 8; bit++ {
			bad := bytes.Clone(stream)
			bad[i] ^= 1 << bit
			ok, _ := checkSeekTable(t, bad)
			rawSize, unused := i >= 41 && i < 45 || i >= 49 && i < 53, i == len(bad)-5 && bit < 2
			if ok && !rawSize && !unused {
				t.Errorf("byte %d, bit %d: a table", i, bit)
			}
		}
	}
}

func TestSeekTableLimits(t *testing.T) {
	var table SeekTable
	for _, c := range [][2]int64{{0, 1}, {-1, 1}, {math.MaxUint32 + 1, 1}, {1, -1}, {1, MaxSeekFrameSize + 1}} {
		if err := table.Add(c[0], c[1]); !errors.Is(err, ErrLimit) || table.Len() != 0 {
			t.Errorf("Add(%d, %d): %v", c[0], c[1], err)
		}
	}
	if err := table.Add(math.MaxUint32, MaxSeekFrameSize); err != nil {
		t.Error(err)
	}
	table.ends = make([]seekEnd, MaxSeekFrames-1, MaxSeekFrames)
	if err := table.Add(1, 1); err != nil {
		t.Error(err)
	}
	if err := table.Add(1, 1); !errors.Is(err, ErrLimit) || table.Len() != MaxSeekFrames {
		t.Errorf("one frame too many: %v", err)
	}
	foot := binary.LittleEndian.AppendUint32(make([]byte, 100), MaxSeekFrames+1)
	foot = append(foot, "\x00\xb1\xea\x92\x8f"...)
	if _, ok, err := ReadSeekTable(bytes.NewReader(foot), int64(len(foot))); ok || !errors.Is(err, ErrLimit) {
		t.Errorf("one frame too many: %v, %v", ok, err)
	}
}

// A reader that is shorter than its size, and one that fails, are no missing table.
func TestSeekTableReadErrors(t *testing.T) {
	sizes := slices.Repeat([]int64{20, 1 << 20, 9, 5}, seekTableBuffer/seekFrameSize)
	stream := seekStream(t, sizes...) // a table of two buffers
	short := bytes.NewReader(stream[:len(stream)-3])
	if _, ok, err := ReadSeekTable(short, int64(len(stream))); ok || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("short: %v, %v", ok, err)
	}
	for n := range 3 {
		r := &countingReaderAt{r: bytes.NewReader(stream), failAt: n + 1}
		if _, ok, err := ReadSeekTable(r, int64(len(stream))); ok || !errors.Is(err, errRead) {
			t.Errorf("read %d fails: %v, %v", n, ok, err)
		}
	}
}

// A zstd reader skips the table, and each frame decodes alone.
func TestSeekTableIsZstd(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	var table SeekTable
	var stream, raw []byte
	for _, part := range []string{strings.Repeat("tar ", 1000), "", "end"} {
		start := len(stream)
		stream = enc.EncodeAll([]byte(part), stream)
		if len(stream) == start { // an empty part makes no frame
			continue
		}
		raw = append(raw, part...)
		if err := table.Add(int64(len(stream)-start), int64(len(part))); err != nil {
			t.Fatal(err)
		}
	}
	stream = table.Append(stream)
	if got, err := dec.DecodeAll(stream, nil); err != nil || !bytes.Equal(got, raw) {
		t.Errorf("decoded %d bytes, want %d, %v", len(got), len(raw), err)
	}
	read, ok, err := ReadSeekTable(bytes.NewReader(stream), int64(len(stream)))
	if err != nil || !ok || !slices.Equal(read.ends, table.ends) {
		t.Fatalf("read %+v, %v, %v", read, ok, err)
	}
	f := read.Frame(read.Find(int64(len(raw) - 1)))
	if got, err := dec.DecodeAll(stream[f.Offset:f.Offset+f.Size], nil); err != nil || string(got) != "end" {
		t.Errorf("last frame is %q, %v", got, err)
	}
}
