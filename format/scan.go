package format

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"unicode/utf8"
)

// scanString reads the JSON string that begins at src[i], a quote. The text is
// a part of src, or where there are escapes it is in buf, which it overwrites
// and may grow. A surrogate that stands alone becomes three bytes (ED A0 80), as
// the reference stores it. next is the index behind the string; ok is false if
// the string is not valid or not complete.
func scanString(src []byte, i int, buf *[]byte) (text []byte, next int, ok bool) {
	i++
	start := i
	for i+8 <= len(src) {
		n := bits.TrailingZeros64(special(binary.LittleEndian.Uint64(src[i:]))) >> 3
		i += n
		if n < 8 {
			break
		}
	}
	for i < len(src) && src[i] >= 0x20 && src[i] != '"' && src[i] != '\\' {
		i++
	}
	if i == len(src) || src[i] < 0x20 {
		return nil, i, false
	}
	if src[i] == '"' {
		return src[start:i], i + 1, true
	}
	b, next, ok := unescape(append((*buf)[:0], src[start:i]...), src, i)
	*buf = b
	return b, next, ok
}

// unescape appends the rest of a JSON string, from src[i] up to its quote.
func unescape(dst, src []byte, i int) ([]byte, int, bool) {
	ok := true
	for ok && i < len(src) {
		if i+8 <= len(src) {
			w := binary.LittleEndian.Uint64(src[i:])
			n := bits.TrailingZeros64(special(w)) >> 3
			dst = binary.LittleEndian.AppendUint64(dst, w)
			dst = dst[:len(dst)-8+n]
			i += n
			if n == 8 {
				continue
			}
		}
		switch c := src[i]; {
		case c == '"':
			return dst, i + 1, true
		case c == '\\' && i+1 < len(src) && (src[i+1] == '"' || src[i+1] == '\\'):
			dst = append(dst, src[i+1]) // nearly all of them
			i += 2
		case c == '\\':
			dst, i, ok = unescapeOne(dst, src, i)
		case c < 0x20:
			ok = false
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst, i, false
}

// unescapeOne appends what the escape at src[i], a backslash, stands for.
func unescapeOne(dst, src []byte, i int) ([]byte, int, bool) {
	if i+1 >= len(src) {
		return dst, i, false
	}
	c := src[i+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		unit, ok := hex4(src[i+2:])
		return appendUnit(dst, unit), i + 6, ok
	default:
		return dst, i, false
	}
	return append(dst, c), i + 2, true
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendUnit appends a UTF-16 code unit. A low surrogate behind a high one
// makes one character with it.
func appendUnit(dst []byte, u rune) []byte {
	if u < 0xD800 || u > 0xDFFF {
		return utf8.AppendRune(dst, u)
	}
	if n := len(dst); u >= 0xDC00 && n >= 3 && dst[n-3] == 0xED && dst[n-2]&0xF0 == 0xA0 {
		high := rune(dst[n-2]&0x0F)<<6 | rune(dst[n-1]&0x3F)
		return utf8.AppendRune(dst[:n-3], 0x10000+high<<10+(u-0xDC00))
	}
	return append(dst, 0xED, 0x80|byte(u>>6)&0x3F, 0x80|byte(u)&0x3F)
}

// skipSpace returns the index of the first byte from i on that is no JSON white space.
func skipSpace(src []byte, i int) int {
	for i < len(src) && (src[i] == ' ' || src[i] == '\t' || src[i] == '\n' || src[i] == '\r') {
		i++
	}
	return i
}

// syntaxError says what is wrong with src, which json.Valid refused.
func syntaxError(what string, src []byte) error {
	var raw json.RawMessage
	err := json.Unmarshal(src, &raw)
	if err == nil {
		return errorf(ErrFormat, "%s is not JSON", what)
	}
	if len(bytes.TrimSpace(src)) == 0 {
		return errorf(ErrFormat, "%s is empty", what)
	}
	return errorf(ErrFormat, "%s is not JSON: %v", what, err)
}

// members calls visit for each member of the JSON object src, which is valid
// JSON, with the member's name and the text of its value. Other JSON has none.
func members(src []byte, visit func(name, raw []byte)) {
	var buf []byte
	i := skipSpace(src, 0)
	if src[i] != '{' {
		return
	}
	for i = skipSpace(src, i+1); src[i] != '}'; {
		name, next, _ := scanString(src, i, &buf)
		start := skipSpace(src, skipSpace(src, next)+1)
		end := valueEnd(src, start)
		visit(name, src[start:end])
		if i = skipSpace(src, end); src[i] == ',' {
			i = skipSpace(src, i+1)
		}
	}
}

// valueEnd returns the index behind the JSON value at src[i]; src is valid JSON.
func valueEnd(src []byte, i int) int {
	var buf []byte
	for depth := 0; i < len(src); {
		switch src[i] {
		case '"':
			_, i, _ = scanString(src, i, &buf)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\t', '\n', '\r':
			i++
			continue
		default: // number, true, false, null
			for i < len(src) && bytes.IndexByte([]byte(",:]} \t\n\r"), src[i]) < 0 {
				i++
			}
		}
		if depth == 0 {
			break
		}
	}
	return i
}
