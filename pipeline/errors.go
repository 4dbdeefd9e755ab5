package pipeline

import (
	"errors"

	"swingport/stages"
)

// Sentinels of this package, for errors.Is. What is wrong with the bytes
// themselves is one of the format package's (format.ErrHashMismatch and its
// neighbours). Capitals are the reference's.
var (
	// ErrNoExportData: the manifest names no export data, so that there is
	// nothing to import it into.
	ErrNoExportData = errors.New("State-sync manifest missing export data") //nolint:staticcheck // the reference's wording

	// ErrNoStore: the state directory, or swingstore.sqlite in it, is missing.
	ErrNoStore = errors.New("no swing-store")

	// ErrNotStore: the file is there and is no SQLite database, or is one
	// without the tables and columns of a swing-store.
	ErrNotStore = errors.New("not a swing-store")
)

// The typed errors, for errors.As; see their fields.
type (
	// IncompleteError: the store lacks what an artifact mode needs.
	IncompleteError = stages.IncompleteError
	// ArtifactError: the artifact that an error is about.
	ArtifactError = stages.ArtifactError
	// InUseError: another process has the store open or locked.
	InUseError = stages.InUseError
	// ExistsError: a file is in the way which is never overwritten.
	ExistsError = stages.ExistsError
)
