package stages

import "math/bits"

// An entry of a table says what a code stands for and how many bits it takes. Bits 0-5 of all entries are the bits to drop: the code (of an entry
// in a sub-table its rest) and the extra bits. Of a length or distance, bits 8-11 are the bits of the code alone and bits 16-30 the base; of a
// literal, bits 16-23 are the byte.
const (
	entryLiteral = 1 << 31 // in a table of literals and lengths
	entryOdd     = 1 << 15 // one of the following three
	entrySub     = 1 << 14 // rest of the code in a sub-table: bits 8-11 its size as bits, 16-30 where it begins
	entryEnd     = 1 << 13 // end of block
	entryBad     = 1 << 12 // no code, or one that must not occur

	litBits   = 11 // that index the table of literals and lengths
	distBits  = 8  // that of distances
	litSize   = 1 << 12
	distSize  = 1 << 9
	clenBits  = 7 // the longest code of a code length
	maxCode   = 15
	endSymbol = 256
	maxLits   = 286 // symbols that a block can have codes for; two more have codes in fixed blocks
	maxDists  = 30
)

// litSize and distSize are more than the entries that any code needs, with 2^11 and 2^8 in the main table: 2342 and 402. Being powers of two,
// they make an index that is masked need no check.

// What symbols stand for, without the bits of their codes.
var (
	litSymbols  [288]uint32
	distSymbols [32]uint32
	clenSymbols [19]uint32
)

func init() {
	for i := range endSymbol {
		litSymbols[i] = entryLiteral | uint32(i)<<16
	}
	litSymbols[endSymbol] = entryOdd | entryEnd
	base, extra := uint32(3), uint32(0)
	for i := 257; i < 285; i++ {
		litSymbols[i] = base<<16 | extra
		base += 1 << extra
		if i >= 264 && i%4 == 0 {
			extra++
		}
	}
	litSymbols[285] = 258 << 16
	litSymbols[286], litSymbols[287] = entryOdd|entryBad, entryOdd|entryBad
	base, extra = 1, 0
	for i := range maxDists {
		distSymbols[i] = base<<16 | extra
		base += 1 << extra
		if i >= 3 && i%2 == 1 {
			extra++
		}
	}
	distSymbols[30], distSymbols[31] = entryOdd|entryBad, entryOdd|entryBad
	for i := range clenSymbols {
		clenSymbols[i] = uint32(i) << 16
	}
}

// buildTable makes the table for the code whose symbols have those lengths in bits, 0 for none, indexed by mainBits bits. It returns false for
// lengths that are no code.
//
// As with zlib, and so with Node and all that reads what it wrote, a code must be complete, with two exceptions: no code at all (of distances,
// where there are only literals), and a single code of one bit. Using what has no code is an error. The standard library differs in one point
// that cannot matter: a single code length is one more exception there, but gives no complete code of literals ever.
func buildTable(table []uint32, mainBits int, lengths []uint8, symbols []uint32) bool {
	var count [maxCode + 1]int
	for _, l := range lengths {
		count[l&maxCode]++
	}
	longest, left := 0, 1
	for l := 1; l <= maxCode; l++ {
		if left = left<<1 - count[l]; left < 0 {
			return false
		}
		if count[l] > 0 {
			longest = l
		}
	}
	if left > 0 {
		if longest > 1 {
			return false
		}
		for i := range table[:1<<mainBits] {
			table[i] = entryOdd | entryBad
		}
		if longest == 1 {
			for s, l := range lengths {
				for i := 0; l == 1 && i < 1<<mainBits; i += 2 {
					table[i] = withCode(symbols[s], 1)
				}
			}
		}
		return true
	}

	// Symbols in the order of their codes.
	var at [maxCode + 2]int
	for l := 1; l <= maxCode; l++ {
		at[l+1] = at[l] + count[l]
	}
	var sorted [288]uint16
	for s, l := range lengths {
		if l > 0 {
			sorted[at[l&maxCode]] = uint16(s)
			at[l&maxCode]++
		}
	}

	// Codes come with their first bit lowest, so that the next one is found by adding 1 at their other end. The table has 2^l entries while codes
	// of l bits are put into it, and is doubled for the next length.
	code, next := 0, 0
	for l := 1; l <= mainBits; l++ {
		copy(table[1<<(l-1):1<<l], table[:1<<(l-1)])
		for range count[l] {
			table[code] = withCode(symbols[sorted[next]], l)
			next++
			code = nextCode(code, l)
		}
	}
	sub, subBits, end := 0, 0, 1<<mainBits
	for l := mainBits + 1; l <= longest; l++ {
		for left := count[l]; left > 0; left-- {
			if start := code & (1<<mainBits - 1); code>>mainBits == 0 {
				// The sub-table has room for all codes that begin with the same bits: as many as fill it when all longer ones are counted.
				subBits = l - mainBits
				for free := 1<<subBits - left; free > 0 && mainBits+subBits < longest; {
					subBits++
					free = free<<1 - count[mainBits+subBits]
				}
				sub = end
				end += 1 << subBits
				table[start] = entryOdd | entrySub | uint32(sub)<<16 | uint32(subBits)<<8 | uint32(mainBits)
			}
			e := withCode(symbols[sorted[next]], l-mainBits)
			next++
			for i := code >> mainBits; i < 1<<subBits; i += 1 << (l - mainBits) {
				table[sub+i] = e
			}
			code = nextCode(code, l)
		}
	}
	return true
}

// withCode adds the bits of the code to what a symbol stands for.
func withCode(symbol uint32, bits int) uint32 {
	if symbol&(entryLiteral|entryOdd) != 0 {
		return symbol + uint32(bits)
	}
	return symbol + uint32(bits)<<8 + uint32(bits)
}

// nextCode adds 1 to a code of l bits that is written backwards. After the last one it is 0.
func nextCode(code, l int) int {
	bit := 1 << bits.Len(uint(code^(1<<l-1))) >> 1
	return code&(bit-1) | bit
}
