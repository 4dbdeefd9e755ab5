package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

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

	MaxItem   int64  // as for an export or an import
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

// diff is one run of Diff.
type diff struct {
	o      DiffOptions
	report DiffReport
	a, b   *diffSide
}

// Diff compares what two stores or exports hold: block heights, modes, the content of artifacts (heaps unpacked, whatever their form), and
// the records of the export data. It says nothing of what either holds against itself, see Verify. The error says that a side cannot be read
// to its end, or that the run was cancelled; differences are no error.
func Diff(ctx context.Context, o DiffOptions) (DiffReport, error) {
	began := time.Now()
	d := &diff{o: o, report: DiffReport{Warnings: []string{}}}
	err := d.run(ctx)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	d.report.Seconds = time.Since(began).Seconds()
	return d.report, err
}

func (d *diff) run(ctx context.Context) (err error) {
	if err := d.defaults(); err != nil {
		return err
	}
	d.a = &diffSide{diff: d, side: OnlyA, path: d.o.A, kind: d.report.KindA}
	d.b = &diffSide{diff: d, side: OnlyB, path: d.o.B, kind: d.report.KindB}
	for _, s := range []*diffSide{d.a, d.b} {
		defer func() { err = errors.Join(err, s.close()) }()
		if err := s.open(ctx); err != nil {
			return s.wrap(ctx, err)
		}
	}
	if err := d.chooseMode(); err != nil {
		return err
	}
	for _, s := range []*diffSide{d.a, d.b} {
		if err := s.digest(ctx); err != nil {
			return s.wrap(ctx, err)
		}
	}
	d.o.Status.SetPhase("compare", 0)
	d.head()
	return stages.CompareDigests(ctx, d.a.digests, d.b.digests, d.compare)
}

// defaults fills in what was left out and refuses what cannot be.
func (d *diff) defaults() error {
	o := &d.o
	d.report.KindA, d.report.KindB = o.KindA, o.KindB
	if o.A == "-" && o.B == "-" {
		return errors.New("only one side of a comparison can be standard input")
	}
	for _, side := range []struct {
		path string
		kind *Kind
	}{{o.A, &d.report.KindA}, {o.B, &d.report.KindB}} {
		if *side.kind != "" {
			continue
		}
		var err error
		if *side.kind, err = Detect(side.path); err != nil {
			return err
		}
	}
	if o.ArtifactMode != "" && o.ArtifactMode != AutoMode {
		if _, err := format.ParseArtifactMode(string(o.ArtifactMode)); err != nil {
			return err
		}
	}
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	o.Workers = workers(o.Workers)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return checkTempDir(o.TempDir)
}

// chooseMode decides in which mode stores are compared: that of the other side, or of two stores the most complete one that both satisfy.
func (d *diff) chooseMode() error {
	mode := d.o.ArtifactMode
	if mode == "" || mode == AutoMode {
		mode = leastOf(d.a.mode, d.b.mode)
		switch {
		case d.a.store == nil:
			mode = d.a.mode
		case d.b.store == nil:
			mode = d.b.mode
		}
	}
	if mode == "" {
		mode = format.Operational
		if d.a.store != nil || d.b.store != nil {
			d.warn("the export does not say its mode: the store is compared in mode operational")
		}
	}
	d.report.ArtifactMode = string(mode)
	for _, s := range []*diffSide{d.a, d.b} {
		if s.store != nil {
			s.mode = mode
		}
	}
	return nil
}

// leastOf is the less complete of two modes.
func leastOf(a, b format.ArtifactMode) format.ArtifactMode {
	for _, m := range []format.ArtifactMode{format.None, format.Operational, format.Replay, format.Archival} {
		if a == m || b == m {
			return m
		}
	}
	return format.Debug
}

// head compares heights and modes, and says whether the export data is compared.
func (d *diff) head() {
	a, b := d.a, d.b
	if a.height != b.height {
		d.differs(Difference{What: "height", In: Both, Detail: a.height + " in a, " + b.height + " in b"})
	}
	if a.mode != b.mode {
		d.differs(Difference{What: "mode", In: Both, Detail: modeName(a.mode) + " in a, " + modeName(b.mode) + " in b"})
	}
	d.report.ExportData = a.hasData && b.hasData
	for _, s := range []*diffSide{a, b} {
		if !s.hasData {
			d.warn(fmt.Sprintf("%s has no export data: it is not compared", s.path))
		}
	}
}

func modeName(m format.ArtifactMode) string {
	if m == "" {
		return "unknown"
	}
	return string(m)
}

// compare reports what differs of one name.
func (d *diff) compare(c stages.Compared) error {
	x := Difference{What: "artifact", Name: string(c.Name), In: Both}
	if c.Kind == stages.RecordDigest {
		if !d.report.ExportData {
			return nil
		}
		x.What = "export data"
		d.report.Keys++
	} else {
		d.report.Artifacts++
	}
	switch {
	case !c.InB:
		x.In = OnlyA
	case !c.InA:
		x.In = OnlyB
	case c.A == c.B:
		return nil
	default:
		x.Detail = detail(c.A, c.B)
	}
	d.differs(x)
	return nil
}

// detail says how two digests differ.
func detail(a, b stages.Digest) string {
	size := func(d stages.Digest) string {
		if d.Type == format.Null {
			return "null"
		}
		return fmt.Sprintf("%d bytes", d.Size)
	}
	if size(a) != size(b) {
		return size(a) + " in a, " + size(b) + " in b"
	}
	return size(a) + " in both, with other content"
}

func (d *diff) differs(x Difference) {
	d.report.Differences++
	if d.o.Each != nil {
		d.o.Each(x)
	}
}

func (d *diff) warn(text string) {
	d.report.Warnings = append(d.report.Warnings, text)
	d.o.Log.Warn(text)
}
