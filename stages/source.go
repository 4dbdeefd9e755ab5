package stages

import (
	"context"
	"io"

	"swingport/format"
)

// Source is an export to import: a directory, an archive that is read once from front to back, or an export in this process. Its methods are
// called by one goroutine at a time, once each, in this order.
type Source interface {
	// Manifest is what is known before anything else is read. Its Data is "" where there is no export data; its Artifacts are nil where only
	// reading to the end tells.
	Manifest() *format.Manifest

	// Head opens the export data or, where that comes behind the artifacts, its metadata lines alone. size is 0 where nobody knows it.
	Head(ctx context.Context) (r io.ReadCloser, size int64, err error)

	// Artifacts asks wanted about every artifact and calls take for those that are, after begin, which is told how many there will be and how
	// many bytes; a count of 0 is not known.
	Artifacts(ctx context.Context, wanted func(name string) (bool, error), begin func(count int, bytes int64), take func(context.Context, Incoming) error) error

	// Tail opens the whole export data where Head had only its metadata lines; else r is nil.
	Tail(ctx context.Context) (r io.ReadCloser, size int64, err error)

	// Finish is called when all artifacts were taken. It checks that everything was there and that nothing is left over.
	Finish(ctx context.Context) error

	// Close releases what the source holds, whatever was read of it.
	Close() error
}

// Incoming is an artifact of a source. Whoever takes it calls Open once, with the context of its reading, reads to the end, and closes.
type Incoming struct {
	Name string
	Gzip bool  // a heap as the store holds it, packed
	Size int64 // bytes of what Open reads
	Open func(ctx context.Context) (io.ReadCloser, error)

	turn chan struct{} // closed when it is the next one to be stored
}

// hashedReader is a reader that hashes what it reads, so that nobody has to do it twice.
type hashedReader interface {
	// SHA256 is the hash of all that was read, once Read has returned io.EOF.
	SHA256() []byte
}
