package stages

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"swingport/format"
)

// ErrDamaged: the database contradicts itself.
var ErrDamaged = errors.New("the database is damaged")

// IncompleteError says that a store lacks what an artifact mode needs.
type IncompleteError struct {
	Mode format.ArtifactMode // what was asked for
	Err  error               // the first thing missing, in the reference's wording

	// Lacks says what is missing, a vat or bundle each: "v7 lacks items 0..200".
	Lacks []string

	// Possible is the best mode for which the store is complete, "" if none.
	Possible format.ArtifactMode
}

func (e *IncompleteError) Error() string { return e.Err.Error() }

// Unwrap returns what the check found first.
func (e *IncompleteError) Unwrap() error { return e.Err }

// ArtifactError says which artifact an error is about.
type ArtifactError struct {
	Name string // of the artifact: "transcript.v7.0.202"
	Err  error
}

// Error names the artifact, once: many of the reference's texts do already.
func (e *ArtifactError) Error() string {
	text := e.Err.Error()
	if strings.Contains(text, e.Name) {
		return text
	}
	return "artifact " + e.Name + ": " + text
}

// Unwrap returns the error without the artifact's name.
func (e *ArtifactError) Unwrap() error { return e.Err }

// InUseError says that another process has the store open or locked.
type InUseError struct {
	Path string // of the database file
	Err  error  // what the engine or the system said; may be nil
}

func (e *InUseError) Error() string {
	text := e.Path + " is in use by another process"
	var engine *EngineError
	switch {
	case errors.As(e.Err, &engine):
		text += ": " + engine.Msg // without the path once more
	case e.Err != nil:
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns what the engine or the system said.
func (e *InUseError) Unwrap() error { return e.Err }

// ExistsError says that a file is in the way which is never overwritten.
type ExistsError struct {
	Path string // of the manifest, the export data, or what an unfinished run left
}

func (e *ExistsError) Error() string { return e.Path + " already exists" }

// Is makes an ExistsError an fs.ErrExist too.
func (e *ExistsError) Is(target error) bool { return target == fs.ErrExist }

// classError is a text with the sentinel that it belongs to, which the text does not repeat.
type classError struct {
	class error
	text  string
}

func (e *classError) Error() string { return e.text }
func (e *classError) Unwrap() error { return e.class }

func errorf(class error, format string, args ...any) error {
	return &classError{class, fmt.Sprintf(format, args...)}
}
