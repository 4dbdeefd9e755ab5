package format

import (
	"math"
	"strconv"
)

// Type is the storage class of an SQLite value. The zero Type is Null.
type Type uint8

// The storage classes.
const (
	Null Type = iota
	Integer
	Real
	Text
	Blob
)

// String returns the name that SQLite's typeof() gives.
func (t Type) String() string {
	switch t {
	case Null:
		return "null"
	case Integer:
		return "integer"
	case Real:
		return "real"
	case Text:
		return "text"
	case Blob:
		return "blob"
	}
	return "Type(" + strconv.Itoa(int(t)) + ")"
}

// Value is one SQLite value. SQLite columns hold any type whatever they are
// declared as, so export data can come from any.
type Value struct {
	Type  Type
	Int   int64   // for Integer
	Real  float64 // for Real
	Bytes []byte  // for Text and Blob; borrowed, never changed
}

// TextValue returns a Text value that borrows b.
func TextValue(b []byte) Value { return Value{Type: Text, Bytes: b} }

// IntValue returns an Integer value.
func IntValue(n int64) Value { return Value{Type: Integer, Int: n} }

// number is v as JavaScript sees it; better-sqlite3 returns every number as a
// float64, so integers beyond 2^53 are rounded.
func (v Value) number() float64 {
	if v.Type == Integer {
		return float64(v.Int)
	}
	return v.Real
}

// AppendJSON appends v as JSON.stringify prints what better-sqlite3 returns for
// it: null, a number as JavaScript prints it (null where it is not finite), a
// string after AppendString, a BLOB as {"type":"Buffer","data":[1,2]}.
func AppendJSON(dst []byte, v Value) []byte {
	switch v.Type {
	case Integer, Real:
		return appendFinite(dst, v.number())
	case Text:
		return AppendString(dst, v.Bytes)
	case Blob:
		return appendBuffer(dst, v.Bytes)
	}
	return append(dst, "null"...)
}

// AppendTemplate appends v as `${v}` prints it in a JavaScript template: "null",
// a number, text decoded as AppendText does; a BLOB is decoded the same way.
// Transcript items and the parts of names come out like this.
func AppendTemplate(dst []byte, v Value) []byte {
	switch v.Type {
	case Integer, Real:
		return AppendNumber(dst, v.number())
	case Text, Blob:
		return AppendText(dst, v.Bytes)
	}
	return append(dst, "null"...)
}

// AppendItem appends v as a line of a span artifact: AppendTemplate and a newline.
func AppendItem(dst []byte, v Value) []byte {
	return append(AppendTemplate(dst, v), '\n')
}

// appendEscapedTemplate is AppendTemplate inside a JSON string.
func appendEscapedTemplate(dst []byte, v Value) []byte {
	if v.Type == Text || v.Type == Blob {
		return appendEscaped(dst, v.Bytes)
	}
	return AppendTemplate(dst, v) // nothing in it needs an escape
}

// appendFinite appends a number as JSON has it.
func appendFinite(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return AppendNumber(dst, f)
}

// appendBuffer appends what Buffer.prototype.toJSON gives.
func appendBuffer(dst, b []byte) []byte {
	dst = append(dst, `{"type":"Buffer","data":[`...)
	for i, c := range b {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(c), 10)
	}
	return append(dst, "]}"...)
}
