package zenc

import (
	"encoding/binary"
	"math/bits"
)

const (
	hashBytes = 8  // bytes that a match has at least: with fewer there are more matches, shorter ones, which take more time and more room
	repBytes  = 4  // the same, at one of the last two distances, which cost next to nothing
	margin    = 40 // bytes of the input behind any position at which a match begins: so many are read without asking
	skipLog   = 3  // after 1<<skipLog steps without a match, a step is a byte longer

	positionBits = 21
	tableBits    = 15 // 128 KiB; half of that packs heaps by a tenth worse, twice of it is a tenth slower
	prime        = 0x9E3779B185EBCA87
)

// table knows the last position with a hash, of those that were looked up. An entry has the position in its low bits, and above it bits of the hash
// that are no part of the index: they tell nearly all other contents apart without a look at the input, which may be far from the cache.
type table [1 << tableBits]uint32

// entry is where the hash of 8 bytes at a position belongs, and what is put there.
func entry(v uint64, position int) (index, content uint32) {
	h := uint32(v * prime >> 32)
	return h >> (32 - tableBits), h<<positionBits + uint32(position)
}

// search finds the next position, from ip on, at which 8 bytes are those at an earlier one, and returns both. If there is none before limit, at is
// limit.
func (t *table) search(src []byte, ip, limit int) (at, from int) {
	for step := 2 << skipLog; ip < limit; step++ {
		// Two positions a turn, and one jump for both: as fast as one position, and fewer matches are missed behind those that are found.
		i0, c0 := entry(load64(src, ip), ip)
		i1, c1 := entry(load64(src, ip+1), ip+1)
		e0 := t[i0]
		t[i0] = c0
		e1 := t[i1]
		t[i1] = c1
		if first := c0^e0 < 1<<positionBits; first || c1^e1 < 1<<positionBits {
			at, e := ip+1, e1
			if first {
				at, e = ip, e0
			}
			from = int(e & (1<<positionBits - 1))
			if load64(src, at) == load64(src, from) {
				return at, from
			}
		}
		ip += step >> skipLog
	}
	return limit, 0
}

// findMatches takes a block apart into sequences, each of literals and a match, and literals behind the last one. It takes the first match that it
// finds, as long as it goes; in front of it too, where the position before was not looked up.
func (e *Encoder) findMatches(src []byte, start, end int) {
	e.lits, e.seqs = e.lits[:0], e.seqs[:0]
	clear(e.counts[:])
	anchor := start // of the literals that belong to the next match
	limit := min(end-hashBytes, len(src)-margin)
	for ip := max(start, 1); ip < limit; {
		at, from := e.table.search(src, ip, limit)
		if at == limit {
			break
		}
		ip = min(at+hashBytes+matchLen(src, at+hashBytes, from+hashBytes), end)
		back := matchLenBack(src, at, from, anchor)
		e.add(src[anchor:at-back], ip-at+back, at-from)
		ip = e.addRepeats(src, ip, limit, end)
		anchor = ip
	}
	e.lits = append(e.lits, src[anchor:end]...)
}

// addRepeats adds the matches that follow a match at ip, each at once and at the distance before the last one, or within 4 literals and at the last
// one, which is what rows of alike records are made of. It returns where they end, and makes that end known to the table.
func (e *Encoder) addRepeats(src []byte, ip, limit, end int) int {
	for ip < limit {
		lits, distance := 0, e.reps[1]
		if ip < distance || uint32(load64(src, ip)) != uint32(load64(src, ip-distance)) {
			distance = e.reps[0]
			if lits = repAhead(load64(src, ip) ^ load64(src, ip-distance)); lits == 0 {
				i, c := entry(load64(src, ip-2), ip-2)
				e.table[i] = c
				break
			}
		}
		at := ip + lits + repBytes
		next := min(at+matchLen(src, at, at-distance), end)
		e.add(src[ip:ip+lits], next-ip-lits, distance)
		ip = next
	}
	return ip
}

// repAhead is after how many of 8 bytes 4 are equal, 1 to 4, or 0 if they nowhere are; x is the difference of the bytes.
func repAhead(x uint64) int {
	x |= x >> 8
	x |= x >> 16 // a byte is 0 if it and the next three were
	x = (x - 0x0101010101) &^ x & 0x8080808000
	return bits.TrailingZeros64(x) >> 3 & 7
}

// matchLen is how many bytes from a on are those from b on. Most matches end within three words, which are compared without jumps, since those would
// not be predicted.
func matchLen(src []byte, a, b int) int {
	n := bits.TrailingZeros64(load64(src, a) ^ load64(src, b))
	n += bits.TrailingZeros64(load64(src, a+8)^load64(src, b+8)) & -(n >> 6)
	n += bits.TrailingZeros64(load64(src, a+16)^load64(src, b+16)) & -(n >> 7)
	if n >>= 3; n < 24 {
		return n
	}
	for ; a+n+8 <= len(src); n += 8 {
		if x := load64(src, a+n) ^ load64(src, b+n); x != 0 {
			return n + bits.TrailingZeros64(x)>>3
		}
	}
	for a+n < len(src) && src[a+n] == src[b+n] {
		n++
	}
	return n
}

// matchLenBack is how many bytes before a, down to anchor, are those before b: 8 at most.
func matchLenBack(src []byte, a, b, anchor int) int {
	if b < 8 {
		return 0
	}
	return min(bits.LeadingZeros64(load64(src, a-8)^load64(src, b-8))>>3, a-anchor)
}

// load64 is 8 bytes from i on. That the slice ends behind them spares a correction of its pointer, some percent of all time; but i is then checked
// against the capacity of b, which has to be its length.
func load64(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i : i+8 : i+8]) }
