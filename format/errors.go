package format

import (
	"errors"
	"fmt"
)

// What can be wrong with an export. Every error of this package wraps one of
// these, or io.ErrUnexpectedEOF where the input ends too early.
var (
	// ErrFormat: the bytes are not what the format says (a line that is no
	// JSON, a name of another form, a manifest without its list).
	ErrFormat = errors.New("format error")
	// ErrHashMismatch: content does not have the hash, or the bundle not the
	// id, that its record gives.
	ErrHashMismatch = errors.New("hash mismatch")
	// ErrIncomplete: something that has to be there is not (an unfinished
	// export, missing items, a pruned bundle or snapshot).
	ErrIncomplete = errors.New("incomplete")
	// ErrDuplicate: a name occurs twice where it may occur once.
	ErrDuplicate = errors.New("duplicate")
	// ErrMismatch: two records that should agree do not (a key and its
	// metadata, an artifact name and the record of it).
	ErrMismatch = errors.New("mismatch")
	// ErrMode: an artifact mode or export data mode that does not exist, or
	// that does not fit the export.
	ErrMode = errors.New("mode error")
	// ErrNoExportData: a manifest without its data entry, from an export made
	// with --export-data-mode skip. It also is ErrIncomplete.
	ErrNoExportData = errorf(ErrIncomplete, "State-sync manifest missing export data")
	// ErrLimit: a length or number beyond what this package takes.
	ErrLimit = errors.New("limit exceeded")
)

// classError carries a complete message and a sentinel for errors.Is. The
// message stands alone, because it keeps the wording of the reference.
type classError struct {
	class error
	text  string
}

func (e *classError) Error() string { return e.text }
func (e *classError) Unwrap() error { return e.class }

// errorf returns an error that reads as the formatted text and is class.
func errorf(class error, format string, args ...any) error {
	return &classError{class, fmt.Sprintf(format, args...)}
}

// maxQuoted is how much of somebody else's text goes into an error, in bytes.
const maxQuoted = 1024

// quote is s as the reference prints a value in an error: a JSON string.
func quote[T string | []byte](s T) string {
	b := []byte(s)
	if len(b) > maxQuoted {
		b = append(b[:maxQuoted:maxQuoted], "..."...)
	}
	return string(AppendString(nil, b))
}
