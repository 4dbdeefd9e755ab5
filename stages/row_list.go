package stages

// rowList is a list that may become long: it grows by parts, so that nothing is copied and no room is held twice.
type rowList[T any] struct {
	parts []*[rowPart]T
	n     int
}

const rowPart = 4096

func (l *rowList[T]) len() int { return l.n }

// at is row i, where it stays until truncate.
func (l *rowList[T]) at(i int) *T { return &l.parts[i/rowPart][i%rowPart] }

func (l *rowList[T]) add(row T) {
	if l.n == len(l.parts)*rowPart {
		l.parts = append(l.parts, new([rowPart]T))
	}
	l.n++
	*l.at(l.n - 1) = row
}

// truncate keeps the first n rows.
func (l *rowList[T]) truncate(n int) {
	used := (n + rowPart - 1) / rowPart
	clear(l.parts[used:])
	l.parts, l.n = l.parts[:used], n
}
