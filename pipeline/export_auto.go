package pipeline

import (
	"context"
	"errors"
	"fmt"

	"swingport/format"
	"swingport/stages"
)

// exportAuto exports in the most complete mode for which the store has everything. What is cheap to see decides it before anything is written;
// where only the sweep shows that items are missing in the middle, the export starts again, of the same commit, if the sink allows that.
func exportAuto(ctx context.Context, o ExportOptions, store *stages.Store, open func(*ExportOptions) (sink, error)) (sum Summary, err error) {
	var again []string
	for o.ArtifactMode = format.Archival; ; {
		sum, err = exportOnce(ctx, o, store, open)
		var lacks *IncompleteError
		var late *lateError
		isLate := errors.As(err, &late)
		switch {
		case !errors.As(err, &lacks) || lacks.Possible == "":
			if again != nil {
				sum.Warnings = append(again, sum.Warnings...)
			}
			return sum, err
		case isLate && !late.again:
			return sum, fmt.Errorf("what was written is no whole export: %w; it has to be exported with --artifact-mode %s", err, lacks.Possible)
		case isLate:
			again = append(again, fmt.Sprintf("started again as %s: reading showed that the store is not complete for %s (%v)",
				lacks.Possible, o.ArtifactMode, lacks))
			o.Status.AddArtifacts(-o.Status.Snapshot().Artifacts)
		}
		o.Log.Info("the store is not complete for this mode", "mode", o.ArtifactMode, "lacks", lacks.Error(), "next", lacks.Possible)
		o.ArtifactMode = lacks.Possible
	}
}

// lateError is an error of an export whose sink was open already.
type lateError struct {
	error
	again bool // another try may follow
}

func (e *lateError) Unwrap() error { return e.error }
