package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"unicode/utf8"
)

// GenesisPrefix begins a genesis hash: the algorithm.
const GenesisPrefix = "sha256:"

// GenesisHash computes the hash by which a genesis file of the chain names
// export data, its swing_store_export_data_hash: of the lines in their order,
// as the chain's Go code writes them again. That is the SHA-256 of the file
// only where none of them has what Go escapes and JavaScript does not. FORMAT.md
// has the form.
type GenesisHash struct {
	sum   hash.Hash
	entry Entry
	buf   []byte // on its way to sum
	lines int64
	err   error // the first line that the chain does not read
}

// NewGenesisHash returns the hash of no lines.
func NewGenesisHash() *GenesisHash { return &GenesisHash{sum: sha256.New()} }

const (
	genesisBuffer    = 32 << 10 // bytes that are collected for one call of the hash
	largeGenesisLine = 1 << 20  // bytes
)

// Lines adds whole lines with their newlines, which only the very last one may
// lack. A line that the chain does not read shows in Sum.
func (g *GenesisHash) Lines(data []byte) {
	for line := range bytes.Lines(data) {
		if g.err != nil {
			return
		}
		g.lines++
		if err := g.line(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			g.err = fmt.Errorf("the chain does not read line %d of the export data: %w", g.lines, err)
		}
	}
}

// Sum is the hash of all lines, in the form of a genesis file, or why there is
// none.
func (g *GenesisHash) Sum() (string, error) {
	if g.err != nil {
		return "", g.err
	}
	g.flush()
	return GenesisPrefix + hex.EncodeToString(g.sum.Sum(nil)), nil
}

// line adds one line. Go decodes text as ParseLine does, but for broken UTF-8,
// of which each byte becomes a U+FFFD.
func (g *GenesisHash) line(line []byte) error {
	if !utf8.Valid(line) {
		line = bytes.Map(func(r rune) rune { return r }, line)
	}
	if err := ParseLine(line, &g.entry); err != nil {
		return err
	}
	switch {
	case g.entry.more:
		return errorf(ErrFormat, "it has more than a key and a value")
	case len(g.entry.Key) == 0:
		return errorf(ErrFormat, "its key is empty")
	}
	g.add("[\"")
	g.text(g.entry.Key)
	if !g.entry.Null {
		g.add("\",\"")
		g.text(g.entry.Value)
	}
	g.add("\"]\n")
	if len(line) > largeGenesisLine {
		g.entry = Entry{} // its memory is needed by whoever gets the line next
	}
	return nil
}

func (g *GenesisHash) add(s string) { g.buf = append(g.buf, s...) }

func (g *GenesisHash) flush() {
	g.sum.Write(g.buf)
	g.buf = g.buf[:0]
}

// text adds a text as Go writes it inside a JSON string.
func (g *GenesisHash) text(s []byte) {
	for len(s) > 0 {
		n := 0
		for n < len(s) && n < genesisBuffer && goPlain[s[n]] {
			n++
		}
		g.buf = append(g.buf, s[:n]...)
		if n == 0 {
			n = g.special(s)
		}
		s = s[n:]
		if len(g.buf) >= genesisBuffer {
			g.flush()
		}
	}
}

// special adds the character that s begins with, which is not plain, and returns its
// length.
func (g *GenesisHash) special(s []byte) int {
	const digits = "0123456789abcdef"
	c := s[0]
	r, n := utf8.DecodeRune(s)
	switch {
	case c < utf8.RuneSelf && goShort[c] != 0:
		g.buf = append(g.buf, '\\', goShort[c])
	case c < utf8.RuneSelf:
		g.buf = append(g.buf, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
	case r == utf8.RuneError && n == 1:
		g.add(replacement)
		n = 3 // a surrogate that stands alone
	case r == '\u2028' || r == '\u2029':
		g.buf = append(g.buf, '\\', 'u', '2', '0', '2', digits[r&15])
	default:
		g.buf = append(g.buf, s[:n]...)
	}
	return n
}

// goPlain are the bytes that Go writes as they are, and goShort those that it
// escapes by a letter, each with it. (\b and \f only since Go 1.22; before, they
// were \u0008 and \u000c.)
var (
	goPlain = func() (plain [256]bool) {
		for c := byte(0x20); c < utf8.RuneSelf; c++ {
			plain[c] = !bytes.ContainsRune([]byte(`"\<>&`), rune(c))
		}
		return plain
	}()
	goShort = [utf8.RuneSelf]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}
)
