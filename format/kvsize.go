package format

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// KVSize is the length of the line that AppendKV appends.
func KVSize(key []byte, value Value) int {
	return len(`["kv.",]`+"\n") + escapedSize(key) + jsonSize(value)
}

// jsonSize is the length of what AppendJSON appends.
func jsonSize(v Value) int {
	switch v.Type {
	case Text:
		return len(`""`) + escapedSize(v.Bytes)
	case Blob:
		return bufferSize(v.Bytes)
	}
	var room [32]byte
	return len(AppendJSON(room[:0], v))
}

// bufferSize is the length of what appendBuffer appends.
func bufferSize(b []byte) int {
	n := len(`{"type":"Buffer","data":[]}`) + max(0, len(b)-1)
	for _, c := range b {
		switch {
		case c < 10:
			n++
		case c < 100:
			n += 2
		default:
			n += 3
		}
	}
	return n
}

// escapedSize is the length of what appendEscaped appends.
func escapedSize(s []byte) (n int) {
	i := 0
	for i+8 <= len(s) {
		w := binary.LittleEndian.Uint64(s[i:])
		if ((w-0x20*ones)|w)&highs == 0 { // eight bytes of ASCII, no control characters
			n += 8 + count(w, '"') + count(w, '\\')
			i += 8
			continue
		}
		m, of := oneSize(s[i:])
		n, i = n+m, i+of
	}
	for i < len(s) {
		m, of := oneSize(s[i:])
		n, i = n+m, i+of
	}
	return n
}

// count is how many of the bytes of w, all of them below 0x80, are c.
func count(w uint64, c byte) int {
	w ^= uint64(c) * ones
	return 8 - bits.OnesCount64((w+0x7F*ones)&highs)
}

// oneSize is the length of what appendOne appends for the first character of s, and of that character.
func oneSize(s []byte) (n, of int) {
	switch c := s[0]; {
	case c == '"' || c == '\\':
		return 2, 1
	case c >= 0x20 && c < utf8.RuneSelf:
		return 1, 1
	case c < 0x20:
		var room [8]byte
		return len(appendControl(room[:0], c)), 1
	}
	r, of := utf8.DecodeRune(s)
	if r == utf8.RuneError && of == 1 {
		return len(replacement), brokenLen(s)
	}
	return of, of
}
