package stages

import (
	"encoding/binary"

	"github.com/klauspost/compress/flate"
)

// corrupt is any defect of the deflate stream.
func (z *gunzipReader) corrupt() error { return flate.CorruptInputError(z.offset()) }

// blockHeader begins a block.
func (z *gunzipReader) blockHeader() error {
	v, err := z.take(3)
	if err != nil {
		return err
	}
	z.lastBlock = v&1 != 0
	switch v >> 1 {
	case 0:
		return z.storedHeader()
	case 1:
		z.step = (*gunzipReader).codes
		return z.fixedTables()
	case 2:
		z.step = (*gunzipReader).codes
		return z.dynamicTables()
	}
	return z.corrupt()
}

// endBlock says what comes behind a block.
func (z *gunzipReader) endBlock() {
	z.step = (*gunzipReader).blockHeader
	if z.lastBlock {
		z.step = (*gunzipReader).trailer
	}
}

func (z *gunzipReader) storedHeader() error {
	z.toBytes()
	if err := z.need(4); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(z.in[z.inPos:])
	if uint16(n) != ^uint16(n>>16) {
		return z.corrupt()
	}
	z.inPos += 4
	z.stored = int(uint16(n))
	z.step = (*gunzipReader).copyStored
	z.flush = z.stored == 0 // what a writer's Flush ends with: its reader shall get all before
	return nil
}

func (z *gunzipReader) copyStored() error {
	for z.stored > 0 {
		if z.outPos >= outFull {
			return nil
		}
		if err := z.need(1); err != nil {
			return err
		}
		n := copy(z.out[z.outPos:outFull], z.in[z.inPos:min(z.inEnd, z.inPos+z.stored)])
		z.outPos += n
		z.inPos += n
		z.stored -= n
	}
	z.endBlock()
	return nil
}

// fixedTables makes the tables of the format's own code.
func (z *gunzipReader) fixedTables() error {
	if z.fixed {
		return nil
	}
	var lengths [288 + 32]uint8
	for i := range lengths {
		switch {
		case i < 144, i >= 280 && i < 288:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 5
		}
	}
	return z.tables(lengths[:288], lengths[288:])
}

// clenOrder is the order in which the lengths of the codes of code lengths come.
var clenOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicTables reads the code of a block.
func (z *gunzipReader) dynamicTables() error {
	v, err := z.take(14)
	if err != nil {
		return err
	}
	lits, dists, clens := int(v&31)+257, int(v>>5&31)+1, int(v>>10)+4
	if lits > maxLits || dists > maxDists {
		return z.corrupt()
	}
	var lengths [maxLits + maxDists]uint8
	for i := range clens {
		if v, err = z.take(3); err != nil {
			return err
		}
		lengths[clenOrder[i]] = uint8(v)
	}
	var table [1 << clenBits]uint32
	if !buildTable(table[:], clenBits, lengths[:19], clenSymbols[:]) {
		return z.corrupt()
	}
	clear(lengths[:19])
	for i := 0; i < lits+dists; {
		z.refill()
		e := table[z.bits&(1<<clenBits-1)]
		if e&entryOdd != 0 {
			return z.oddOrCut()
		}
		z.drop(uint(e & 63))
		length, repeat := uint8(e>>16), 1
		switch length {
		case 16:
			if i == 0 {
				return z.oddOrCut()
			}
			length, repeat = lengths[i-1], 3+int(z.bits&3)
			z.drop(2)
		case 17:
			length, repeat = 0, 3+int(z.bits&7)
			z.drop(3)
		case 18:
			length, repeat = 0, 11+int(z.bits&127)
			z.drop(7)
		}
		if z.over() {
			return z.cut()
		}
		if repeat > lits+dists-i {
			return z.corrupt()
		}
		for ; repeat > 0; repeat-- {
			lengths[i] = length
			i++
		}
	}
	if lengths[endSymbol] == 0 { // zlib says so here, others when the input ends
		return z.corrupt()
	}
	return z.tables(lengths[:lits], lengths[lits:lits+dists])
}

// tables makes the tables of a block.
func (z *gunzipReader) tables(lits, dists []uint8) error {
	z.fixed = len(lits) == 288
	if !buildTable(z.lit[:], litBits, lits, litSymbols[:]) || !buildTable(z.dist[:], distBits, dists, distSymbols[:]) {
		return z.corrupt()
	}
	return nil
}

// codes unpacks a block until it ends or the output is full.
func (z *gunzipReader) codes() error {
	for z.outPos < outFull {
		ended, err := false, error(nil)
		if z.fill(fastInput) {
			ended, err = z.fast()
		} else {
			ended, err = z.careful()
		}
		if err != nil {
			return err
		}
		if ended {
			z.endBlock()
			return nil
		}
	}
	return nil
}

// fastInput is how much input fast takes at once at most, in bytes: it reads two words, of which the second begins up to 7 bytes behind the first.
const fastInput = 16

// fast unpacks as long as there are fastInput bytes of input and the output is not full. One turn takes up to three literals and a match;
// before each of both, bits are refilled to at least 56, more than the 33 or 48 that they can take. Above the z.n bits that count, z.bits holds
// some that come again with the next word, at the same place; and what n has
// above its six bits does not count either.
func (z *gunzipReader) fast() (ended bool, err error) {
	bits, n, i, o := z.bits, z.n, z.inPos, z.outPos
	bad := false
	for last := z.inEnd - fastInput; i <= last && o < outFull; {
		bits |= binary.LittleEndian.Uint64(z.in[i:i+8]) << (n & 63)
		i += int(^n >> 3 & 7)
		n = n&7 | 56
		e := z.lit[bits&(1<<litBits-1)]
		if int32(e) < 0 {
			bits >>= e & 63
			n -= uint(e)
			z.out[o] = byte(e >> 16)
			o++
			e = z.lit[bits&(1<<litBits-1)]
			if int32(e) < 0 {
				bits >>= e & 63
				n -= uint(e)
				z.out[o] = byte(e >> 16)
				o++
				e = z.lit[bits&(1<<litBits-1)]
				if int32(e) < 0 {
					bits >>= e & 63
					n -= uint(e)
					z.out[o] = byte(e >> 16)
					o++
					continue
				}
			}
			bits |= binary.LittleEndian.Uint64(z.in[i:i+8]) << (n & 63)
			i += int(^n >> 3 & 7)
			n = n&7 | 56
		}
		if e&entryOdd != 0 {
			if e&entrySub != 0 {
				bits >>= litBits
				n -= litBits
				e = z.lit[(e>>16+uint32(bits)&(1<<(e>>8&15)-1))&(litSize-1)]
			}
			if int32(e) < 0 {
				bits >>= e & 63
				n -= uint(e)
				z.out[o] = byte(e >> 16)
				o++
				continue
			}
			if e&entryOdd != 0 {
				if e&entryEnd == 0 {
					bad = true
					break
				}
				bits >>= e & 63
				n -= uint(e)
				ended = true
				break
			}
		}
		length := int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&63))
		bits >>= e & 63
		n -= uint(e)

		e = z.dist[bits&(1<<distBits-1)]
		if e&entryOdd != 0 {
			if e&entrySub != 0 {
				bits >>= distBits
				n -= distBits
				e = z.dist[(e>>16+uint32(bits)&(1<<(e>>8&15)-1))&(distSize-1)]
			}
			if e&entryOdd != 0 {
				bad = true
				break
			}
		}
		distance := int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&63))
		bits >>= e & 63
		n -= uint(e)

		from, end := o-distance, o+length
		if from < z.start {
			bad = true
			break
		}
		if distance >= 8 {
			// Two words at least: most matches need no more, and one jump that is foreseen is faster than two that are not.
			binary.LittleEndian.PutUint64(z.out[o:o+8], binary.LittleEndian.Uint64(z.out[from:from+8]))
			binary.LittleEndian.PutUint64(z.out[o+8:o+16], binary.LittleEndian.Uint64(z.out[from+8:from+16]))
			for o += 16; o < end; o += 8 {
				from += 8
				binary.LittleEndian.PutUint64(z.out[o:o+8], binary.LittleEndian.Uint64(z.out[from+8:from+16]))
			}
		} else {
			// A word full of repetitions; as many of them as fit go forward.
			word := binary.LittleEndian.Uint64(z.out[from:from+8]) & repeatMask[distance&7] * repeatFactor[distance&7]
			for step := int(repeatStep[distance&7]); o < end; o += step {
				binary.LittleEndian.PutUint64(z.out[o:o+8], word)
			}
		}
		o = end
	}
	z.bits, z.n, z.inPos, z.outPos = bits, n&63, i, o
	if bad {
		err = z.corrupt()
	}
	return ended, err
}

// How a word is filled with the repetitions of its first bytes, by their number, and how many bytes are then whole repetitions.
var (
	repeatMask   = [8]uint64{0, 1<<8 - 1, 1<<16 - 1, 1<<24 - 1, 1<<32 - 1, 1<<40 - 1, 1<<48 - 1, 1<<56 - 1}
	repeatFactor = [8]uint64{0, 0x0101010101010101, 0x0001000100010001, 1 | 1<<24 | 1<<48, 1 | 1<<32, 1 | 1<<40, 1 | 1<<48, 1 | 1<<56}
	repeatStep   = [8]uint8{0, 8, 8, 6, 8, 5, 6, 7}
)

// careful unpacks the last bytes of the input, entry by entry.
func (z *gunzipReader) careful() (ended bool, err error) {
	for z.outPos < outFull {
		z.refill()
		e := z.lit[z.bits&(1<<litBits-1)]
		if e&entrySub != 0 {
			z.drop(litBits)
			e = z.lit[(e>>16+uint32(z.bits)&(1<<(e>>8&15)-1))&(litSize-1)]
		}
		if int32(e) < 0 {
			if z.drop(uint(e & 63)); z.over() {
				return false, z.cut()
			}
			z.out[z.outPos] = byte(e >> 16)
			z.outPos++
			continue
		}
		if e&entryOdd != 0 {
			if e&entryEnd == 0 {
				return false, z.oddOrCut()
			}
			if z.drop(uint(e & 63)); z.over() {
				return false, z.cut()
			}
			return true, nil
		}
		length := z.value(e)
		e = z.dist[z.bits&(1<<distBits-1)]
		if e&entrySub != 0 {
			z.drop(distBits)
			e = z.dist[(e>>16+uint32(z.bits)&(1<<(e>>8&15)-1))&(distSize-1)]
		}
		if e&entryOdd != 0 {
			return false, z.oddOrCut()
		}
		distance := z.value(e)
		switch from := z.outPos - distance; {
		case z.over():
			return false, z.cut()
		case from < z.start:
			return false, z.corrupt()
		default:
			for ; length > 0; length-- {
				z.out[z.outPos] = z.out[from]
				z.outPos++
				from++
			}
		}
	}
	return false, nil
}

// value takes a length or distance: base and extra bits.
func (z *gunzipReader) value(e uint32) int {
	v := int(e>>16) + int(z.bits&(1<<(e&63)-1)>>(e>>8&15))
	z.drop(uint(e & 63))
	return v
}
