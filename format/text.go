package format

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// replacement is U+FFFD, what JavaScript puts in place of broken UTF-8.
const replacement = "\uFFFD"

// Masks for looking at eight bytes at once.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// ValidText reports whether b is valid UTF-8, that is, whether JavaScript sees
// exactly these bytes. A stored surrogate (ED A0 80) is not valid.
func ValidText(b []byte) bool { return utf8.Valid(b) }

// AppendText appends b, the bytes of an SQLite TEXT, as JavaScript decodes it:
// each maximal subpart of a broken sequence becomes one U+FFFD (the WHATWG
// rule; Go's own conversions replace each byte).
func AppendText(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	start := 0
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		if r, n := utf8.DecodeRune(b[i:]); r != utf8.RuneError || n > 1 {
			i += n
			continue
		}
		dst = append(append(dst, b[start:i]...), replacement...)
		i += brokenLen(b[i:])
		start = i
	}
	return append(dst, b[start:]...)
}

// brokenLen is the length of the maximal subpart at the start of b, which
// begins with a broken sequence: the lead byte with as many bytes as could
// still have become a character, or one byte.
func brokenLen(b []byte) int {
	lo, hi, want := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		want = 1
	case c == 0xE0:
		lo, want = 0xA0, 2
	case c == 0xED:
		hi, want = 0x9F, 2
	case c >= 0xE1 && c <= 0xEF:
		want = 2
	case c == 0xF0:
		lo, want = 0x90, 3
	case c == 0xF4:
		hi, want = 0x8F, 3
	case c >= 0xF1 && c <= 0xF3:
		want = 3
	}
	n := 1
	for n <= want && n < len(b) && b[n] >= lo && b[n] <= hi {
		lo, hi = 0x80, 0xBF
		n++
	}
	return n
}

// TrimEnd returns b without trailing white space, as JavaScript's trimEnd does:
// U+0009-000D, 0020, 00A0, 1680, 2000-200A, 2028, 2029, 202F, 205F, 3000, FEFF.
// The result is a part of b.
func TrimEnd(b []byte) []byte {
	for len(b) > 0 {
		if c := b[len(b)-1]; c < utf8.RuneSelf {
			if !isSpace(rune(c)) {
				return b
			}
			b = b[:len(b)-1]
			continue
		}
		r, n := utf8.DecodeLastRune(b)
		if !isSpace(r) {
			return b
		}
		b = b[:len(b)-n]
	}
	return b
}

// isSpace is JavaScript's WhiteSpace or LineTerminator. unicode.IsSpace is
// another set: it has U+0085 and lacks U+FEFF.
func isSpace(r rune) bool {
	switch {
	case r <= 0x20:
		return r == ' ' || r >= 0x09 && r <= 0x0D
	case r < 0x1680:
		return r == 0xA0
	case r >= 0x2000 && r <= 0x200A:
		return true
	}
	switch r {
	case 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF:
		return true
	}
	return false
}

// AppendString appends text, the bytes of an SQLite TEXT, as JSON.stringify
// prints the string that JavaScript sees: decoded as AppendText does, and only
// '"', '\\' and the bytes below 0x20 escaped. DEL, '/', '<', '>', '&', U+2028,
// U+2029 and U+FEFF stay as they are.
func AppendString(dst, text []byte) []byte {
	return append(appendEscaped(append(dst, '"'), text), '"')
}

// appendEscaped is AppendString without the quotes around it.
func appendEscaped(dst, s []byte) []byte {
	i := 0
	for i+8 <= len(s) {
		w := binary.LittleEndian.Uint64(s[i:])
		n := bits.TrailingZeros64(unplain(w)) >> 3
		dst = binary.LittleEndian.AppendUint64(dst, w)
		i += n
		if n == 8 {
			continue
		}
		dst = dst[:len(dst)-8+n]
		if c := s[i]; c == '"' || c == '\\' { // nearly all of them
			dst = append(dst, '\\', c)
			i++
			continue
		}
		var m int
		dst, m = appendOne(dst, s[i:])
		i += m
	}
	for i < len(s) {
		if c := s[i]; c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		var m int
		dst, m = appendOne(dst, s[i:])
		i += m
	}
	return dst
}

// special has the high bit of the first byte of w (in memory order) that is
// below 0x20, '"' or '\\'. Bits above that one may be wrong, and a byte with its
// own high bit set is never reported.
func special(w uint64) uint64 {
	q := w ^ '"'*ones
	b := w ^ '\\'*ones
	return ((w - 0x20*ones) | (q - ones) | (b - ones)) & ^w & highs
}

// unplain is special, and reports bytes with their high bit set too.
func unplain(w uint64) uint64 {
	q := w ^ '"'*ones
	b := w ^ '\\'*ones
	return ((w - 0x20*ones) | (q - ones) | (b - ones) | w) & highs
}

// appendOne appends the first character of s, which is not plain ASCII, and
// returns its length in s.
func appendOne(dst, s []byte) ([]byte, int) {
	c := s[0]
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c), 1
	case c < 0x20:
		return appendControl(dst, c), 1
	}
	r, n := utf8.DecodeRune(s)
	if r == utf8.RuneError && n == 1 {
		return append(dst, replacement...), brokenLen(s)
	}
	return append(dst, s[:n]...), n
}

// appendControl appends the escape of c, which is below 0x20.
func appendControl(dst []byte, c byte) []byte {
	const short = "btn\x00fr" // \b \t \n, nothing for 0x0B, \f \r
	if c >= 0x08 && c <= 0x0D && c != 0x0B {
		return append(dst, '\\', short[c-0x08])
	}
	const hexDigits = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
