package format

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// maxSafe is Number.MAX_SAFE_INTEGER: up to here a float64 is every integer.
const maxSafe = 1<<53 - 1

// AppendNumber appends f as JavaScript's String(f) prints it: 1e21 as "1e+21",
// 1e-7 as "1e-7", -0 as "0", and "NaN", "Infinity", "-Infinity".
func AppendNumber(dst []byte, f float64) []byte {
	switch {
	case f != f:
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	abs := math.Abs(f)
	switch {
	case abs <= maxSafe && f == math.Trunc(f):
		return strconv.AppendInt(dst, int64(f), 10)
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go pads the exponent to two digits, JavaScript does not.
	if n := len(dst); dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst
}

// ParseNumber is JavaScript's Number(s): white space around it is ignored, ""
// is 0, "0x10", "0o7" and "0b1" are taken without a sign, and what is no number
// is NaN. s is valid UTF-8.
func ParseNumber(s string) float64 {
	s = strings.TrimFunc(s, isSpace)
	if s == "" {
		return 0
	}
	if len(s) > 2 && s[0] == '0' {
		switch s[1] | 0x20 {
		case 'x':
			return parseRadix(s[2:], 16)
		case 'o':
			return parseRadix(s[2:], 8)
		case 'b':
			return parseRadix(s[2:], 2)
		}
	}
	switch s {
	case "Infinity", "+Infinity":
		return math.Inf(1)
	case "-Infinity":
		return math.Inf(-1)
	}
	if !isDecimal(s) {
		return math.NaN()
	}
	f, _ := strconv.ParseFloat(s, 64) // out of range is infinity, as in JavaScript
	return f
}

// parseRadix is the number of digits in a base that is a power of two, rounded
// to the nearest float64, or NaN.
func parseRadix(digits string, base int) float64 {
	for _, c := range []byte(digits) {
		d := 99
		switch {
		case c >= '0' && c <= '9':
			d = int(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			d = int(c|0x20-'a') + 10
		}
		if d >= base {
			return math.NaN() // big.Int would take a sign and underscores
		}
	}
	n, ok := new(big.Int).SetString(digits, base)
	if !ok {
		return math.NaN()
	}
	f, _ := new(big.Float).SetInt(n).Float64()
	return f
}

// isDecimal reports whether s is a StrDecimalLiteral: sign, digits with one
// point somewhere among them, exponent. strconv takes more than that.
func isDecimal(s string) bool {
	if s[0] == '+' || s[0] == '-' {
		s = s[1:]
	}
	whole := skipDigits(s)
	digits := len(s) - len(whole)
	s = whole
	if strings.HasPrefix(s, ".") {
		rest := skipDigits(s[1:])
		digits += len(s) - 1 - len(rest)
		s = rest
	}
	if digits == 0 {
		return false
	}
	if s == "" {
		return true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && skipDigits(s) == ""
}

func skipDigits(s string) string {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[i:]
}

// safeInteger is f as an integer, if it is one that a float64 holds exactly.
func safeInteger(f float64) (int64, bool) {
	if f != math.Trunc(f) || math.Abs(f) > maxSafe { // NaN and infinities too
		return 0, false
	}
	return int64(f), true
}
