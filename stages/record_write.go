package stages

import (
	"encoding/binary"
	"math/bits"
)

// appendVarint is the opposite of varint, for numbers below 1<<56: lengths, serial types and rowids are.
func appendVarint(dst []byte, v uint64) []byte {
	for shift := (bits.Len64(v|1) - 1) / 7 * 7; shift > 0; shift -= 7 {
		dst = append(dst, byte(v>>shift)|0x80)
	}
	return append(dst, byte(v)&0x7f)
}

// textType is the serial type of a TEXT of n bytes.
func textType(n int) uint64 { return uint64(n)*2 + 13 }

// intType is the serial type of an INTEGER, the shortest there is.
func intType(v int64) uint64 {
	switch n := bits.Len64(uint64(v^v>>63)) + 1; {
	case v == 0 || v == 1:
		return 8 + uint64(v)
	case n <= 32:
		return uint64(n+7) / 8
	case n <= 48:
		return 5
	default:
		return 6
	}
}

// appendInt appends an INTEGER as its serial type wants it.
func appendInt(dst []byte, v int64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(v))
	size, _ := serialSize(intType(v))
	return append(dst, b[8-size:]...)
}

// appendRecordHeader appends the header of a record with columns of these serial types.
func appendRecordHeader(dst []byte, types ...uint64) []byte {
	n := 0
	for _, t := range types {
		n += (bits.Len64(t|1) + 6) / 7
	}
	size := n + 1
	if size >= 1<<7 {
		size++
	}
	dst = appendVarint(dst, uint64(size))
	for _, t := range types {
		dst = appendVarint(dst, t)
	}
	return dst
}
