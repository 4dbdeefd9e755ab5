package pipeline

import (
	"swingport/format"
	"swingport/stages"
)

// Typed errors, for errors.As. The stages make them; these are the names for
// who uses this package.
type (
	// IncompleteError says that a store lacks what an artifact mode needs.
	IncompleteError = stages.IncompleteError
	// ArtifactError says which artifact an error is about.
	ArtifactError = stages.ArtifactError
	// InUseError says that another process has the store open or locked.
	InUseError = stages.InUseError
	// ExistsError says that a file is in the way which is never overwritten.
	ExistsError = stages.ExistsError
)

// Sentinels of this package, for errors.Is. What is wrong with the bytes
// themselves is one of the format package's (format.ErrHashMismatch and its
// neighbours).
var (
	// ErrNoExportData: the manifest names no export data, so that the export
	// cannot be imported.
	ErrNoExportData = format.ErrNoExportData

	// ErrNoStore: the state directory, or swingstore.sqlite in it, is missing.
	ErrNoStore = stages.ErrNoStore

	// ErrNotStore: the file is there and is no SQLite database, or is one
	// without the tables and columns of a swing-store.
	ErrNotStore = stages.ErrNotStore

	// ErrReaderGone: whoever read an archive from a pipe has gone before it was
	// whole.
	ErrReaderGone = stages.ErrReaderGone

	// ErrLogUnreadable: commits of the store are only in its write-ahead log,
	// which cannot be read where the directory cannot be written.
	ErrLogUnreadable = stages.ErrLogUnreadable
)
