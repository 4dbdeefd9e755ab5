package zenc

import (
	"encoding/binary"
	"math/bits"
)

// The kinds of codes of a sequence, in the order in which their tables stand.
const (
	litLengths = iota
	offsets
	matchLengths
	kinds
)

// sequence is one in codes: a byte for each kind, and the number of bits that they leave open; and these bits, those of litLengths lowest, of
// offsets highest.
type sequence struct {
	codes uint64
	extra uint64
}

// Bits that each code leaves open; the codes of small lengths, with their number of bits above them. A code of offsets is how many bits it leaves
// open.
var (
	litExtra   = [36]uint8{16: 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	matchExtra = [53]uint8{32: 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	litCodes   = [64]uint16(codes(64, litExtra[:]))
	matchCodes = [128]uint16(codes(128, matchExtra[:]))
)

// codes lists the codes of the values below n.
func codes(n int, extra []uint8) []uint16 {
	list := make([]uint16, 0, n)
	for c, bits := range extra {
		for i := 0; i < 1<<bits && len(list) < n; i++ {
			list = append(list, uint16(c)|uint16(bits)<<8)
		}
	}
	return list
}

// litSlack is what add writes behind literals.
const litSlack = 16

// add appends a sequence to the block: literals, and a match of that length at that distance.
func (e *Encoder) add(lits []byte, length, distance int) {
	n := len(e.lits)
	if len(lits) <= litSlack && cap(lits) >= litSlack {
		copy(e.lits[n:n+litSlack:n+litSlack], lits[:litSlack:litSlack])
		e.lits = e.lits[:n+len(lits)]
	} else {
		e.lits = append(e.lits, lits...)
	}
	value := uint64(distance + 3)
	switch {
	case distance == e.reps[0] && len(lits) > 0:
		value = 1
	case distance == e.reps[1]:
		value = 2
		if len(lits) == 0 {
			value = 1
		}
		fallthrough
	default:
		e.reps[0], e.reps[1] = distance, e.reps[0]
	}
	e.addCodes(uint64(len(lits)), uint64(length-3), value)
}

// addCodes appends the codes of a sequence and counts them.
func (e *Encoder) addCodes(lit, match, offset uint64) {
	l, m, o := uint64(0), uint64(0), uint64(bits.Len64(offset)-1)
	if lit < uint64(len(litCodes)) {
		l = uint64(litCodes[lit])
	} else {
		b := uint64(bits.Len64(lit) - 1)
		l = b + 19 | b<<8
	}
	if match < uint64(len(matchCodes)) {
		m = uint64(matchCodes[match])
	} else {
		b := uint64(bits.Len64(match) - 1)
		m = b + 36 | b<<8
	}
	e.counts[litLengths][l&63]++
	e.counts[offsets][o&63]++
	e.counts[matchLengths][m&63]++
	lb, mb := l>>8, m>>8
	e.seqs = append(e.seqs, sequence{
		codes: l&63 | o<<8 | m&63<<16 | (lb+mb+o)<<24,
		extra: lit&(1<<(lb&63)-1) | match&(1<<(mb&63)-1)<<(lb&63) | offset&(1<<(o&63)-1)<<((lb+mb)&63),
	})
}

// appendSequences appends the sequences, unless dst would grow to limit.
func (e *Encoder) appendSequences(dst []byte, limit int) ([]byte, bool) {
	n := len(e.seqs)
	switch {
	case n < 128:
		dst = append(dst, byte(n))
	case n < 0x7F00:
		dst = append(dst, byte(n>>8)+128, byte(n))
	default:
		dst = append(dst, 255, byte(n-0x7F00), byte((n-0x7F00)>>8))
	}
	if n > 0 {
		modes := len(dst)
		dst = append(dst, 0)
		for kind := range e.fse {
			var mode byte
			dst, mode = e.fse[kind].choose(dst, kind, &e.counts[kind], n)
			dst[modes] |= mode << (6 - 2*kind)
		}
		dst = e.appendBits(dst, limit)
	}
	return dst, len(dst) < limit
}

// appendBits appends the bits of the sequences, the last one first, since the decoder reads backwards; where dst grows to limit, it is cut off there.
func (e *Encoder) appendBits(dst []byte, limit int) []byte {
	out, at := dst[:cap(dst)], len(dst)
	lits, offs, matches := &e.fse[litLengths], &e.fse[offsets], &e.fse[matchLengths]
	s := e.seqs[len(e.seqs)-1]
	l, o, m := lits.first(s.codes), offs.first(s.codes>>8), matches.first(s.codes>>16)
	w := word{}.add(s.extra, uint(s.codes>>24))
	for i := len(e.seqs) - 2; i >= 0 && at < limit; i-- {
		s := &e.seqs[i]
		w, at = w.flush(out, at)
		w, o = offs.next(w, o, s.codes>>8)
		w, m = matches.next(w, m, s.codes>>16)
		w, l = lits.next(w, l, s.codes)
		n := uint(s.codes >> 24)
		if w.n+n > 63 { // 26 bits of the tables at most, and 52
			w, at = w.flush(out, at)
		}
		w = w.add(s.extra, n)
	}
	if at >= limit {
		return dst[:limit]
	}
	w, at = w.flush(out, at)
	w = lits.last(offs.last(matches.last(w, m), o), l).add(1, 1)
	w, at = w.flush(out, at)
	return out[:at+int(w.n+7)>>3]
}

// word collects bits, the first ones lowest.
type word struct {
	bits uint64
	n    uint
}

func (w word) add(v uint64, n uint) word { return word{w.bits | v<<(w.n&63), w.n + n} }

// flush writes all bits and keeps those of a byte that is not full, which is written once more.
func (w word) flush(out []byte, at int) (word, int) {
	binary.LittleEndian.PutUint64(out[at:at+8:at+8], w.bits)
	return word{w.bits >> (w.n &^ 7 & 63), w.n & 7}, at + int(w.n>>3)
}
