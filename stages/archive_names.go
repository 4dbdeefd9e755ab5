package stages

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/klauspost/compress/s2"

	"swingport/format"
)

// artifactNames are the files of the artifacts of an archive in their order, to be compared with the manifest, which comes last. It takes 17 bytes
// an artifact and the names, packed: they are only for errors.
type artifactNames struct {
	n      [3]int // of snapshots, bundles, spans
	hashes []uint64
	block  []byte   // the names, each with a newline behind it: those of files have none in them here
	packed [][]byte // the blocks before it
	sorted []uint64 // the hashes of spans
	seen   []bool   // of sorted, in the manifest
	of     [3]int   // the manifest's numbers
}

const nameBlock = 64 << 10 // bytes

// orderOf is the place of a kind in an archive.
func orderOf(k format.Kind) int {
	switch k {
	case format.KindSnapshot:
		return 0
	case format.KindBundle:
		return 1
	}
	return 2
}

func hashNames(name, file string) uint64 { return maphash.String(recordSeeds[0], name+"\x00"+file) }

// add takes the next artifact that came.
func (s *artifactNames) add(kind format.Kind, name, file string) {
	s.n[orderOf(kind)]++
	s.hashes = append(s.hashes, hashNames(name, file))
	s.block = append(append(s.block, file...), '\n')
	if len(s.block) >= nameBlock {
		s.packed, s.block = append(s.packed, bytes.Clone(s2.Encode(nil, s.block))), s.block[:0]
	}
}

// name is the file of artifact i.
func (s *artifactNames) name(i int) string {
	for n := range len(s.packed) + 1 {
		b := s.block
		if n < len(s.packed) {
			b, _ = s2.Decode(nil, s.packed[n]) // it is in memory as it was packed
		}
		for name := range bytes.Lines(b) {
			if i == 0 {
				return string(bytes.TrimSuffix(name, []byte("\n")))
			}
			i--
		}
	}
	return ""
}

// listed takes the next artifact of the manifest, where snapshots and bundles have the order of the archive and spans any.
func (s *artifactNames) listed(kind format.Kind, name, file string) error {
	if s.sorted == nil {
		s.sorted = slices.Clone(s.hashes[s.n[0]+s.n[1]:])
		slices.Sort(s.sorted)
		s.seen = make([]bool, len(s.sorted))
	}
	order, hash := orderOf(kind), hashNames(name, file)
	i := s.of[order]
	s.of[order]++
	if order == 2 {
		i, ok := slices.BinarySearch(s.sorted, hash)
		if !ok {
			return errorf(format.ErrMismatch, "the manifest has artifact %s in file %s, which is not in the archive", quoted(name), quoted(file))
		}
		if s.seen[i] {
			return errorf(format.ErrDuplicate, "the manifest has artifact %s twice", quoted(name))
		}
		s.seen[i] = true
		return nil
	}
	first := [2]int{0, s.n[0]}[order]
	if i >= s.n[order] {
		return errorf(format.ErrMismatch, "the manifest has artifact %s in file %s, which is not in the archive", quoted(name), quoted(file))
	}
	if s.hashes[first+i] != hash {
		return errorf(format.ErrMismatch, "the manifest has artifact %s in file %s where the archive has %s", quoted(name), quoted(file), quoted(s.name(first+i)))
	}
	return nil
}

// complete checks that the manifest had everything.
func (s *artifactNames) complete() error {
	for i, hash := range s.hashes {
		missing := false
		switch {
		case i < s.n[0]:
			missing = i >= s.of[0]
		case i < s.n[0]+s.n[1]:
			missing = i-s.n[0] >= s.of[1]
		default:
			at, _ := slices.BinarySearch(s.sorted, hash)
			missing = s.of[2] == 0 || !s.seen[at]
		}
		if missing {
			return errorf(format.ErrMismatch, "%s is in the archive and not in its manifest", quoted(s.name(i)))
		}
	}
	return nil
}
