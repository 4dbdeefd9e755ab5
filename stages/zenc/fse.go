package zenc

import "math/bits"

// Kinds of tables.
const (
	modePredefined = 0
	modeRLE        = 1
	modeFSE        = 2
)

// fseTable codes one kind of codes by finite states: a state that goes to a code gives away its low bits, and the rest says which state of the code
// comes.
type fseTable struct {
	log    uint
	states [512]uint16 // of each code, from small to large
	codes  [64]fseCode
}

// fseCode is a code in a table.
type fseCode struct {
	bits  uint32 // (state+bits)>>16 is how many bits a state gives away
	place uint32 // what is left of the state and this are the place of the next one in states
}

// predefined are the distributions of the format: the share of each code in 1<<log. Those of -1 count as 1, and stand at the end of the table.
var predefined = [kinds]struct {
	log    uint
	shares []int16
}{
	litLengths: {6, []int16{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1}},
	offsets:    {5, []int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1}},
	matchLengths: {6, []int16{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1}},
}

// maxLog is the largest log that the format allows.
var maxLog = [kinds]uint{litLengths: 9, offsets: 8, matchLengths: 9}

// choose makes the table for n codes with these counts, appends its description, and returns its mode.
func (t *fseTable) choose(dst []byte, kind int, counts *[64]uint32, n int) ([]byte, byte) {
	used, end := 0, 0
	for code, c := range counts {
		if c > 0 {
			used, end = used+1, code+1
		}
	}
	if used == 1 {
		t.log, t.states[0], t.codes[end-1] = 0, 0, fseCode{}
		return append(dst, byte(end-1)), modeRLE
	}
	if n < 64 { // a description would be larger than what it saves
		t.build(predefined[kind].shares, predefined[kind].log)
		return dst, modePredefined
	}
	log := min(maxLog[kind], uint(max(bits.Len(uint(n))-1, bits.Len(uint(used))+1)))
	var shares [64]int16
	share(shares[:end], counts[:end], n, log)
	t.build(shares[:end], log)
	return appendShares(dst, shares[:end], log), modeFSE
}

// share scales counts, which sum up to n, to 1<<log, at least 1 for each that is not 0: there are fewer than half as many.
func share(shares []int16, counts []uint32, n int, log uint) {
	left, most := int16(1)<<log, 0
	for code, c := range counts {
		if c > 0 {
			shares[code] = max(1, int16((uint64(c)<<log+uint64(n)/2)/uint64(n)))
			left -= shares[code]
		}
		if shares[code] > shares[most] {
			most = code
		}
	}
	for left < 0 && shares[most]+left < shares[most]/2 { // many were rounded up to 1
		for code := range shares {
			if shares[code] > 1 && left < 0 {
				shares[code]--
				left++
			}
		}
	}
	shares[most] += left
}

// appendShares appends a distribution as the format has it: each share in as many bits as what is left needs, and a bit less if it is small.
func appendShares(dst []byte, shares []int16, log uint) []byte {
	acc, n := uint64(log-5), uint(4)
	for code, left := 0, 1<<log; left > 0; code++ {
		v := int(shares[code]) + 1
		width := uint(bits.Len(uint(left + 1)))
		small := 1<<width - 2 - left
		if v >= 1<<(width-1) {
			v += small
		}
		acc |= uint64(v) << n
		n += width
		if v < small {
			n--
		}
		left -= int(shares[code])
		if shares[code] == 0 { // how many more there are, by threes
			more := 0
			for ; shares[code+1] == 0; code++ {
				if more++; more == 3 {
					acc |= 3 << n
					n += 2
					more = 0
				}
			}
			acc |= uint64(more) << n
			n += 2
		}
		for ; n >= 8; n -= 8 {
			dst = append(dst, byte(acc))
			acc >>= 8
		}
	}
	if n > 0 {
		dst = append(dst, byte(acc))
	}
	return dst
}

// build makes the table of a distribution.
func (t *fseTable) build(shares []int16, log uint) {
	t.log = log
	size := 1 << log
	var place [64]uint16 // in states, of the next state of a code
	var at [512]uint8    // codes by their states
	sum, end := 0, size
	for code, n := range shares {
		place[code] = uint16(sum)
		if n < 0 {
			end--
			at[end] = uint8(code)
			n = 1
		}
		if n > 0 {
			most := log - uint(bits.Len(uint(n-1))) // bits that its largest states give away, but for one more if it is a power of two
			if n > 1 {
				most++
			}
			t.codes[code] = fseCode{uint32(most<<16) - uint32(n)<<most, uint32(sum - int(n))}
		}
		sum += int(n)
	}
	for code, state := 0, 0; code < len(shares); code++ {
		for range shares[code] {
			at[state] = uint8(code)
			for state = (state + size>>1 + size>>3 + 3) & (size - 1); state >= end; {
				state = (state + size>>1 + size>>3 + 3) & (size - 1)
			}
		}
	}
	for state, code := range at[:size] {
		t.states[place[code&63]] = uint16(size + state)
		place[code&63]++
	}
}

// first is a state for the code that is decoded last.
func (t *fseTable) first(code uint64) uint32 {
	c := t.codes[code&63]
	n := (c.bits + 1<<15) >> 16
	return uint32(t.states[((n<<16-c.bits)>>n+c.place)&511])
}

// next writes what a state gives away on its way to a code.
func (t *fseTable) next(w word, state uint32, code uint64) (word, uint32) {
	c := t.codes[code&63]
	n := (state + c.bits) >> 16
	return w.add(uint64(state&(1<<(n&31)-1)), uint(n)), uint32(t.states[(state>>(n&31)+c.place)&511])
}

// last writes the state with which the decoder begins.
func (t *fseTable) last(w word, state uint32) word { return w.add(uint64(state&(1<<t.log-1)), t.log) }
