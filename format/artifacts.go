package format

import (
	"encoding/binary"
	"iter"
)

// Artifacts is a list of artifacts in few bytes: a manifest may have a million, of which each takes its names and two bytes. The zero value is
// empty.
type Artifacts struct {
	blocks [][]byte
	index  []artifactPlace // of every indexEvery-th artifact
	n      int
}

// artifactPlace is where an artifact begins: in which block, and at which of its bytes.
type artifactPlace struct{ block, at int }

const (
	artifactBlock = 64 << 10 // bytes
	indexEvery    = 64
)

// ArtifactsOf returns a list of some artifacts.
func ArtifactsOf(list ...Artifact) (l Artifacts) {
	for _, a := range list {
		l.Add(a)
	}
	return l
}

// Len is the number of artifacts.
func (l *Artifacts) Len() int { return l.n }

// Add appends an artifact.
func (l *Artifacts) Add(a Artifact) {
	file := a.File
	if file == a.Name {
		file = "" // a file has a name
	}
	last := len(l.blocks) - 1
	if need := len(a.Name) + len(file) + 2*binary.MaxVarintLen32; last < 0 || len(l.blocks[last])+need > cap(l.blocks[last]) {
		l.blocks = append(l.blocks, make([]byte, 0, max(need, artifactBlock)))
		last++
	}
	if l.n%indexEvery == 0 {
		l.index = append(l.index, artifactPlace{last, len(l.blocks[last])})
	}
	b := binary.AppendUvarint(l.blocks[last], uint64(len(a.Name)))
	b = binary.AppendUvarint(append(b, a.Name...), uint64(len(file)))
	l.blocks[last] = append(b, file...)
	l.n++
}

// All are the artifacts with their numbers, in their order.
func (l *Artifacts) All() iter.Seq2[int, Artifact] {
	return func(yield func(int, Artifact) bool) { l.from(0, yield) }
}

// At is artifact i.
func (l *Artifacts) At(i int) (found Artifact) {
	l.from(i/indexEvery*indexEvery, func(n int, a Artifact) bool {
		found = a
		return n < i
	})
	return found
}

// from yields the artifacts from i on, which is one of the index, until yield returns false.
func (l *Artifacts) from(i int, yield func(int, Artifact) bool) {
	if i >= l.n {
		return
	}
	place := l.index[i/indexEvery]
	at := place.at
	for _, b := range l.blocks[place.block:] {
		for b = b[at:]; len(b) > 0; i++ {
			var a Artifact
			a.Name, b = cutName(b)
			if a.File, b = cutName(b); a.File == "" {
				a.File = a.Name
			}
			if !yield(i, a) {
				return
			}
		}
		at = 0
	}
}

func cutName(b []byte) (string, []byte) {
	size, n := binary.Uvarint(b)
	return string(b[n : n+int(size)]), b[n+int(size):]
}
