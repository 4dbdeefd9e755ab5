package pipeline

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"swingport/format"
	"swingport/stages"
)

// DiffOptions says what to compare. The zero value of every field but A and B is a default.
type DiffOptions struct {
	A, B         string    // a state directory, an export directory, or an archive; one of them may be "-", Stdin
	KindA, KindB Kind      // "" means what Detect says
	Stdin        io.Reader // what "-" is read from

	// ArtifactMode is that in which stores are compared. "" means that of the other side; for two stores the most complete one that both
	// satisfy.
	ArtifactMode format.ArtifactMode

	MaxItem   int64  // as for an import
	MaxWindow int64  // as for an import
	Workers   int    // goroutines of each parallel stage, 16 at most; 0 means GOMAXPROCS
	TempDir   string // where stages spill; "" means the system's

	Each   func(Difference) // is told what differs, in the order of the names; may be nil
	Status *Status          // counters for whoever polls; may be nil
	Log    *slog.Logger     // what happens, in detail; nil means silent

	fs *stages.FS // for tests of faults
}

// Side says where something is.
type Side string

// The sides of a comparison.
const (
	OnlyA Side = "a"
	OnlyB Side = "b"
	Both  Side = "both"
)

// Difference is one thing that is not the same on both sides.
type Difference struct {
	What   string `json:"what"`             // "height", "mode", "artifact", or "export data"
	Name   string `json:"name,omitempty"`   // of the artifact, or the key of the export data
	In     Side   `json:"in"`               // Both: it is there twice, and differs
	Detail string `json:"detail,omitempty"` // how
}

// DiffReport says what was compared. Its JSON form is what the command line prints for --json.
type DiffReport struct {
	KindA Kind `json:"kindA"`
	KindB Kind `json:"kindB"`

	ArtifactMode string `json:"artifactMode"` // in which stores were compared; else that of A
	Artifacts    int64  `json:"artifacts"`    // compared, of both sides together as many names as there are
	ExportData   bool   `json:"exportData"`   // false: one side has none, so that it was not compared
	Keys         int64  `json:"keys"`         // of export data, compared
	Differences  int64  `json:"differenceCount"`

	Seconds  float64  `json:"seconds"`  // wall-clock time
	Warnings []string `json:"warnings"` // no difference, but somebody should know
}

// Diff compares what two stores or exports hold: block heights, modes, the content of artifacts (heaps unpacked, whatever their form), and
// the records of the export data. It says nothing of what either holds against itself, see Verify. The error says that a side cannot be read
// to its end, or that the run was cancelled; differences are no error.
func Diff(ctx context.Context, o DiffOptions) (DiffReport, error) {
	r := DiffReport{KindA: o.KindA, KindB: o.KindB, Warnings: []string{}}
	for _, side := range []struct {
		path string
		kind *Kind
	}{{o.A, &r.KindA}, {o.B, &r.KindB}} {
		if *side.kind != "" {
			continue
		}
		var err error
		if *side.kind, err = Detect(side.path); err != nil {
			return r, err
		}
	}
	return r, fmt.Errorf("diff: no way to compare an %s with an %s", r.KindA, r.KindB)
}
