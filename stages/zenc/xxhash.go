package zenc

import (
	"encoding/binary"
	"math/bits"
)

const (
	xx1 = 0x9E3779B185EBCA87
	xx2 = 0xC2B2AE3D27D4EB4F
	xx3 = 0x165667B19E3779F9
	xx4 = 0x85EBCA77C2B2AE63
	xx5 = 0x27D4EB2F165667C5
)

func xxround(acc, v uint64) uint64 { return bits.RotateLeft64(acc+v*xx2, 31) * xx1 }

func xxmerge(h, acc uint64) uint64 { return (h^xxround(0, acc))*xx1 + xx4 }

// xxhash64 is the hash of which the last bytes of a frame are the low half, with seed 0.
func xxhash64(b []byte) uint64 {
	n := uint64(len(b))
	h := uint64(xx5)
	if len(b) >= 32 {
		p1, p2 := uint64(xx1), uint64(xx2)
		a, c, d, e := p1+p2, p2, uint64(0), -p1
		for ; len(b) >= 32; b = b[32:] {
			a = xxround(a, binary.LittleEndian.Uint64(b[0:8]))
			c = xxround(c, binary.LittleEndian.Uint64(b[8:16]))
			d = xxround(d, binary.LittleEndian.Uint64(b[16:24]))
			e = xxround(e, binary.LittleEndian.Uint64(b[24:32]))
		}
		h = bits.RotateLeft64(a, 1) + bits.RotateLeft64(c, 7) + bits.RotateLeft64(d, 12) + bits.RotateLeft64(e, 18)
		h = xxmerge(xxmerge(xxmerge(xxmerge(h, a), c), d), e)
	}
	h += n
	for ; len(b) >= 8; b = b[8:] {
		h = bits.RotateLeft64(h^xxround(0, binary.LittleEndian.Uint64(b)), 27)*xx1 + xx4
	}
	if len(b) >= 4 {
		h = bits.RotateLeft64(h^uint64(binary.LittleEndian.Uint32(b))*xx1, 23)*xx2 + xx3
		b = b[4:]
	}
	for _, v := range b {
		h = bits.RotateLeft64(h^uint64(v)*xx5, 11) * xx1
	}
	h = (h ^ h>>33) * xx2
	h = (h ^ h>>29) * xx3
	return h ^ h>>32
}
