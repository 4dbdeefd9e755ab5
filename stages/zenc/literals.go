package zenc

import "github.com/klauspost/compress/huff0"

// Kinds of literals.
const (
	literalsRaw      = 0
	literalsRLE      = 1
	literalsHuffman  = 2
	literalsTreeless = 3
)

// appendLiterals appends the literals, or nothing useful up to limit where they are too many.
func (e *Encoder) appendLiterals(dst []byte, limit int) []byte {
	n := len(e.lits)
	if packed, kind := e.packLiterals(); kind == literalsRLE {
		return append(appendRawHeader(dst, literalsRLE, n), e.lits[0])
	} else if kind != literalsRaw {
		return append(appendHuffmanHeader(dst, kind, n, len(packed)), packed...)
	}
	if n+2*len(e.seqs) >= limit-len(dst) {
		return dst[:limit]
	}
	return append(appendRawHeader(dst, literalsRaw, n), e.lits...)
}

// packLiterals packs the literals, with the code of the block before where that is no larger than with one of their own.
func (e *Encoder) packLiterals() (packed []byte, kind int) {
	n := len(e.lits)
	if e.rawLiterals || n < 32 || n >= 16<<10 && random(e.lits) {
		return nil, literalsRaw
	}
	compress := huff0.Compress4X
	if n < fourStreams {
		compress = huff0.Compress1X
	}
	packed, reused, err := compress(e.lits, &e.huff)
	switch {
	case err == huff0.ErrUseRLE:
		return nil, literalsRLE
	case err != nil:
		return nil, literalsRaw
	case reused:
		return packed, literalsTreeless
	}
	e.huff.Reuse = huff0.ReusePolicyAllow
	return packed, literalsHuffman
}

// random guesses from a sample whether bytes are as good as random.
func random(b []byte) bool {
	const sample = 1024
	var counts [256]uint32
	for i, step := 0, len(b)/sample; i < sample; i++ {
		counts[b[i*step]]++
	}
	squares := uint32(0)
	for _, c := range counts {
		squares += c * c
	}
	return squares < 6000 // in the mean 5116 for random bytes, 17,400 for base64
}

// fourStreams is from how many literals on they are in four streams.
const fourStreams = 1 << 10

// appendRawHeader appends the header of n literals that are there as they are, or all the same.
func appendRawHeader(dst []byte, kind, n int) []byte {
	switch {
	case n < 32:
		return append(dst, byte(kind|n<<3))
	case n < 1<<12:
		v := kind | 1<<2 | n<<4
		return append(dst, byte(v), byte(v>>8))
	}
	v := kind | 3<<2 | n<<4
	return append(dst, byte(v), byte(v>>8), byte(v>>16))
}

// appendHuffmanHeader appends the header of n literals in so many packed bytes.
func appendHuffmanHeader(dst []byte, kind, n, packed int) []byte {
	switch {
	case n < fourStreams:
		v := kind | n<<4 | packed<<14
		return append(dst, byte(v), byte(v>>8), byte(v>>16))
	case n < 1<<14:
		v := kind | 2<<2 | n<<4 | packed<<18
		return append(dst, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
	}
	v := uint64(kind) | 3<<2 | uint64(n)<<4 | uint64(packed)<<22
	return append(dst, byte(v), byte(v>>8), byte(v>>16), byte(v>>24), byte(v>>32))
}
