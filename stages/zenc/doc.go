// Package zenc packs pieces of up to 2 MiB into zstd frames (RFC 8878), each by itself: a fast encoder for one goroutine, made for text with long
// repetitions.
//
// A block of 128 KiB is packed in three steps. match.go takes it apart into literals and matches, which it finds by a table of positions;
// literals.go gives the literals a Huffman code, with package huff0; sequences.go and fse.go write codes of lengths and distances by finite states.
// A frame depends on its input alone. pipeline/DESIGN.md has the reasons (decision 20).
package zenc
