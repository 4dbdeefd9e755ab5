package format

import (
	"crypto/sha256"
	"encoding/hex"
)

// InitialSpanHash is the hash of a span without items: the SHA-256 of
// "start of transcript span".
const InitialSpanHash = "43e6be43a3a34d60c0ebeb8498b5849b094fc20fc68483a7aeb3624fa10f79f6"

const hexLen = 2 * sha256.Size

// SpanHash computes the cumulative hash of a transcript span: for each item
// sha256hex(prior + sha256hex(item)), both hashes as lower-case hex text. The
// zero SpanHash is one of no items. It allocates nothing per item.
type SpanHash struct {
	// chain is the hash so far, and room for the next item's hash behind it.
	chain   [2 * hexLen]byte
	started bool
}

// NewSpanHash returns the hash of a span without items.
func NewSpanHash() *SpanHash { return new(SpanHash) }

// Reset makes h the hash of a span without items.
func (h *SpanHash) Reset() { h.started = false }

// Add takes the next item: the text that JavaScript sees, valid UTF-8, without
// its newline. On import that is the line after TrimEnd.
func (h *SpanHash) Add(item []byte) { h.AddSum(sha256.Sum256(item)) }

// AddSum takes the next item by its SHA-256, for a caller who cannot hold the
// whole item.
func (h *SpanHash) AddSum(sum [sha256.Size]byte) {
	if !h.started {
		copy(h.chain[:], InitialSpanHash)
		h.started = true
	}
	hex.Encode(h.chain[hexLen:], sum[:])
	next := sha256.Sum256(h.chain[:])
	hex.Encode(h.chain[:hexLen], next[:])
}

// Sum returns the hash of the items so far as 64 lower-case hex digits. More
// items may follow.
func (h *SpanHash) Sum() string {
	if !h.started {
		return InitialSpanHash
	}
	return string(h.chain[:hexLen])
}
