package format

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Depths at which this package gives up. The reference parses without a limit,
// but prints recursively: JSON.stringify fails at 4105 levels and joining
// nested arrays at 3159 with node 20 and its usual stack.
const (
	maxParseDepth  = 100_000
	maxPrintDepth  = 4_000
	maxStringDepth = 3_000
)

// A jsValue is what JSON.parse returns: nil for null, bool, float64, string
// (WTF-8: a lone surrogate is three bytes), []jsValue or *jsObject.
type jsValue any

// jsObject is an object as JSON.parse makes it: a member named twice keeps its
// first place and takes the last value. "__proto__" is a member like any other.
type jsObject struct {
	keys   []string
	values map[string]jsValue
}

// get returns an own property; ok is false where JavaScript sees undefined (or
// something that it inherited).
func (o *jsObject) get(key string) (v jsValue, ok bool) {
	v, ok = o.values[key]
	return v, ok
}

func (o *jsObject) has(key string) bool {
	_, ok := o.values[key]
	return ok
}

func (o *jsObject) set(key string, v jsValue) {
	if o.values == nil {
		o.values = map[string]jsValue{}
	}
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

// ordered returns the keys as JavaScript enumerates them: array indexes by
// number, then the others as they came.
func (o *jsObject) ordered() []string {
	var indexes []uint64
	rest := make([]string, 0, len(o.keys))
	for _, k := range o.keys {
		if n, ok := arrayIndex(k); ok {
			indexes = append(indexes, n)
		} else {
			rest = append(rest, k)
		}
	}
	if indexes == nil {
		return rest
	}
	slices.Sort(indexes)
	keys := make([]string, 0, len(o.keys))
	for _, n := range indexes {
		keys = append(keys, strconv.FormatUint(n, 10))
	}
	return append(keys, rest...)
}

// arrayIndex reports whether s is a canonical integer from 0 to 2^32-2.
func arrayIndex(s string) (uint64, bool) {
	if s == "" || len(s) > 10 || s[0] < '0' || s[0] > '9' || s[0] == '0' && s != "0" {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n < math.MaxUint32
}

// parseJSON is JSON.parse of src, which is valid UTF-8. what names src in errors.
func parseJSON(what string, src []byte) (jsValue, error) {
	p := jsParser{src: src}
	v, err := p.value(0)
	if err == nil {
		if p.pos = skipSpace(src, p.pos); p.pos < len(src) {
			err = p.unexpected()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot parse JSON of %s: %w", what, err)
	}
	return v, nil
}

type jsParser struct {
	src    []byte
	pos    int
	buf    []byte // of scanString
	values int
}

// maxParseValues is how many values a JSON text may have: each takes up to a
// hundred bytes, where its text may have two.
const maxParseValues = 1 << 20

// unexpected is the error at pos.
func (p *jsParser) unexpected() error {
	if p.pos >= len(p.src) {
		return io.ErrUnexpectedEOF
	}
	return errorf(ErrFormat, "unexpected byte %#02x at offset %d", p.src[p.pos], p.pos)
}

// next skips white space and returns the byte there, 0 at the end.
func (p *jsParser) next() byte {
	if p.pos = skipSpace(p.src, p.pos); p.pos < len(p.src) {
		return p.src[p.pos]
	}
	return 0
}

func (p *jsParser) value(depth int) (jsValue, error) {
	if depth > maxParseDepth {
		return nil, errorf(ErrLimit, "JSON nested deeper than %d", maxParseDepth)
	}
	if p.values++; p.values > maxParseValues {
		return nil, errorf(ErrLimit, "JSON of more than %d values", maxParseValues)
	}
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		return p.str()
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	case c == 't':
		return true, p.word("true")
	case c == 'f':
		return false, p.word("false")
	case c == 'n':
		return nil, p.word("null")
	}
	return nil, p.unexpected()
}

func (p *jsParser) word(w string) error {
	if !bytes.HasPrefix(p.src[p.pos:], []byte(w)) {
		return p.unexpected()
	}
	p.pos += len(w)
	return nil
}

func (p *jsParser) str() (string, error) {
	text, next, ok := scanString(p.src, p.pos, &p.buf)
	if !ok {
		p.pos = next
		return "", p.unexpected()
	}
	p.pos = next
	return string(text), nil
}

// number reads the JSON form of a number, which ParseFloat takes as it is; one
// too large is infinite, as in JavaScript.
func (p *jsParser) number() (float64, error) {
	start := p.pos
	if p.src[p.pos] == '-' {
		p.pos++
	}
	if p.pos < len(p.src) && p.src[p.pos] == '0' {
		p.pos++
	} else if !p.digits() {
		return 0, p.unexpected()
	}
	if p.pos < len(p.src) && p.src[p.pos] == '.' {
		if p.pos++; !p.digits() {
			return 0, p.unexpected()
		}
	}
	if p.pos < len(p.src) && p.src[p.pos]|0x20 == 'e' {
		p.pos++
		if p.pos < len(p.src) && (p.src[p.pos] == '+' || p.src[p.pos] == '-') {
			p.pos++
		}
		if !p.digits() {
			return 0, p.unexpected()
		}
	}
	f, _ := strconv.ParseFloat(string(p.src[start:p.pos]), 64)
	return f, nil
}

// digits skips decimal digits and reports whether there was one.
func (p *jsParser) digits() bool {
	start := p.pos
	for p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '9' {
		p.pos++
	}
	return p.pos > start
}

func (p *jsParser) array(depth int) (jsValue, error) {
	list := []jsValue{}
	p.pos++
	if p.next() == ']' {
		p.pos++
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if done, err := p.separator(']'); done || err != nil {
			return list, err
		}
	}
}

func (p *jsParser) object(depth int) (jsValue, error) {
	o := &jsObject{}
	p.pos++
	if p.next() == '}' {
		p.pos++
		return o, nil
	}
	for {
		if p.next() != '"' {
			return nil, p.unexpected()
		}
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		if p.next() != ':' {
			return nil, p.unexpected()
		}
		p.pos++
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		o.set(key, v)
		if done, err := p.separator('}'); done || err != nil {
			return o, err
		}
	}
}

// separator skips a comma, or the end of the list with done.
func (p *jsParser) separator(end byte) (done bool, err error) {
	c := p.next()
	if c != ',' && c != end {
		return false, p.unexpected()
	}
	p.pos++
	return c == end, nil
}

// appendValue appends JSON.stringify(v), which fails where it is nested too
// deep. A number that is not finite prints as null.
func appendValue(dst []byte, v jsValue, depth int) ([]byte, error) {
	if depth > maxPrintDepth {
		return dst, errorf(ErrLimit, "JSON nested deeper than %d", maxPrintDepth)
	}
	switch v := v.(type) {
	case bool:
		return strconv.AppendBool(dst, v), nil
	case float64:
		if math.IsInf(v, 0) {
			break
		}
		return AppendNumber(dst, v), nil
	case string:
		return appendWTF8(dst, v), nil
	case []jsValue:
		return appendList(dst, v, depth)
	case *jsObject:
		return appendObject(dst, v, depth)
	}
	return append(dst, "null"...), nil
}

func appendList(dst []byte, list []jsValue, depth int) ([]byte, error) {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendValue(dst, v, depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendObject(dst []byte, o *jsObject, depth int) ([]byte, error) {
	dst = append(dst, '{')
	for i, k := range o.ordered() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendWTF8(dst, k), ':')
		var err error
		if dst, err = appendValue(dst, o.values[k], depth+1); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// appendWTF8 is JSON.stringify of a string of JSON.parse. It prints a lone
// surrogate as an escape (well-formed JSON.stringify).
func appendWTF8(dst []byte, s string) []byte {
	dst = append(dst, '"')
	b := []byte(s)
	for {
		i := surrogate(b)
		if i < 0 {
			return append(appendEscaped(dst, b), '"')
		}
		dst = appendEscaped(dst, b[:i])
		dst = fmt.Appendf(dst, `\ud%x%02x`, b[i+1]>>2&0xF, b[i+1]&3<<6|b[i+2]&0x3F)
		b = b[i+3:]
	}
}

// surrogate returns the index of the first surrogate of b, which is WTF-8, or -1.
func surrogate(b []byte) int {
	for i := 0; ; i++ {
		j := bytes.IndexByte(b[i:], 0xED)
		if j < 0 {
			return -1
		}
		if i += j; b[i+1] >= 0xA0 { // ED leads three bytes, never a continuation
			return i
		}
	}
}

// jsToString is JavaScript's String(v). It fails for an object with a member
// "toString", which hides the inherited function, and for arrays nested too deep.
func jsToString(v jsValue, depth int) (string, error) {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return string(AppendNumber(nil, v)), nil
	case string:
		return v, nil
	case []jsValue:
		return joinList(v, depth)
	case *jsObject:
		if _, ok := v.get("toString"); ok {
			return "", errorf(ErrFormat, "cannot convert an object to a string")
		}
		return "[object Object]", nil
	}
	return "null", nil
}

// joinList is String of an array: its elements with commas, null as nothing.
func joinList(list []jsValue, depth int) (string, error) {
	if depth > maxStringDepth {
		return "", errorf(ErrLimit, "arrays nested deeper than %d", maxStringDepth)
	}
	parts := make([]string, len(list))
	for i, v := range list {
		if v == nil {
			continue
		}
		var err error
		if parts[i], err = jsToString(v, depth+1); err != nil {
			return "", err
		}
	}
	return strings.Join(parts, ","), nil
}
