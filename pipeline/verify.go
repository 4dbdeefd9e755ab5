package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"swingport/format"
	"swingport/stages"
)

// VerifyOptions says what to verify, and how. The zero value of every field but one of StateDir, ExportDir and Archive is a default.
type VerifyOptions struct {
	StateDir  string    // the directory that holds swingstore.sqlite; or
	ExportDir string    // the directory that holds export-manifest.json; or
	Archive   string    // the tar, tar.zst or tar.gz; "-" is Stdin
	Stdin     io.Reader // what Archive "-" is read from

	// ArtifactMode is for what all artifacts must be there. "" means the mode that an export was made in; for a store it means AutoMode, the
	// most complete of archival, replay and operational whose first and last items are there.
	ArtifactMode format.ArtifactMode

	// Trust is for the export data of an export, or for that of an export that would be made of a store.
	Trust

	// Deep adds to a state directory the engine's integrity check and the comparison of each table with each of its indexes.
	Deep bool

	MaxItem   int64  // as for an export or an import
	MaxWindow int64  // as for an import
	Workers   int    // goroutines of each parallel stage, 16 at most; 0 means GOMAXPROCS
	TempDir   string // where stages spill; "" means the system's

	Live // beside a node that writes to StateDir; of an export or an archive only files are limited

	Defect func(Defect) // is told what is wrong as it is found, one at a time; may be nil
	Status *Status      // counters for whoever polls; may be nil
	Log    *slog.Logger // what happens, in detail; nil means silent

	fs *stages.FS // for tests of faults
}

// Defect is one thing that is wrong.
type Defect struct {
	Artifact string `json:"artifact,omitempty"` // its name, where it is one artifact
	Reason   string `json:"reason"`
}

// String is the defect in a line.
func (d Defect) String() string {
	if d.Artifact == "" {
		return d.Reason
	}
	return d.Artifact + ": " + d.Reason
}

// VerifyReport says what was verified. Its JSON form is what the command line prints for --json.
type VerifyReport struct {
	Kind         Kind    `json:"kind"`
	BlockHeight  float64 `json:"blockHeight"`
	ArtifactMode string  `json:"artifactMode"` // for which all artifacts must be there
	ExportData   bool    `json:"exportData"`   // it is there, or it is a store

	Artifacts int   `json:"artifacts"` // Snapshots + Spans + Bundles, as many as were read
	Snapshots int   `json:"snapshots"`
	Spans     int   `json:"spans"`
	Bundles   int   `json:"bundles"`
	Items     int64 `json:"items"`  // transcript items in the spans
	KVRows    int64 `json:"kvRows"` // kvStore rows in the export data
	Bytes     int64 `json:"bytes"`  // export data and artifacts, uncompressed

	// Hashes of the export data, as far as they were computed: that of a file always, the others where they were asked for.
	ExportDataSHA256 string `json:"exportDataSHA256,omitempty"` // hex
	GenesisHash      string `json:"genesisHash,omitempty"`

	Seconds     float64 `json:"seconds"`     // wall-clock time
	MBPerSecond float64 `json:"mbPerSecond"` // Bytes by Seconds, in 10^6 bytes

	LogGrowth

	DefectCount int      `json:"defectCount"`
	Warnings    []string `json:"warnings"` // no defect, but somebody should know
}

// verify is one run of Verify.
type verify struct {
	o      VerifyOptions
	report VerifyReport

	mu          sync.Mutex // for what follows, and the report's defects and warnings
	said        map[string]bool
	named, vats map[string]bool // artifacts that something is wrong with, and theirs
}

// Verify reads all that there is and reports everything that is wrong: content that does not have its hash, artifacts that the mode needs and
// that are missing, records that contradict one another, what is left over. What ends the reading early is a defect too. The error is nil
// whatever is found; it says that what was named cannot be opened, or that the run was cancelled.
func Verify(ctx context.Context, o VerifyOptions) (VerifyReport, error) {
	began := time.Now()
	v := &verify{o: o, said: map[string]bool{}, named: map[string]bool{}, vats: map[string]bool{}}
	if err := v.defaults(); err != nil {
		return v.report, err
	}
	fsys, release := o.limited(ctx, cmp.Or(o.fs, stages.FSFrom(ctx)))
	defer release()
	v.o.fs = fsys
	err := v.run(ctx)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	r := &v.report
	r.Artifacts = r.Snapshots + r.Spans + r.Bundles
	r.Seconds = time.Since(began).Seconds()
	if r.Seconds > 0 {
		r.MBPerSecond = float64(r.Bytes) / 1e6 / r.Seconds
	}
	return *r, err
}

func (v *verify) run(ctx context.Context) error {
	switch v.report.Kind {
	case KindStateDir:
		return v.stateDir(ctx)
	}
	return v.export(ctx)
}

// defaults fills in what was left out and refuses what cannot be.
func (v *verify) defaults() error {
	o := &v.o
	v.report.Warnings = []string{}
	named := 0
	for kind, path := range map[Kind]string{KindStateDir: o.StateDir, KindExportDir: o.ExportDir, KindArchive: o.Archive} {
		if path != "" {
			v.report.Kind = kind
			named++
		}
	}
	if named != 1 {
		return errors.New("verify takes one of a state directory, an export directory and an archive")
	}
	if o.ArtifactMode != "" && o.ArtifactMode != AutoMode {
		if _, err := format.ParseArtifactMode(string(o.ArtifactMode)); err != nil {
			return err
		}
	}
	if err := o.Trust.parse(); err != nil {
		return err
	}
	o.Workers = workers(o.Workers)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return checkTempDir(o.TempDir)
}

// defect reports an error as a defect, and is nil: for the stages that ask whether to go on. What was said once is not said again.
func (v *verify) defect(err error) error {
	d := Defect{Reason: err.Error()}
	var of *ArtifactError
	if errors.As(err, &of) {
		d = Defect{of.Name, of.Err.Error()}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if line := d.String(); len(v.said) < maxSaid {
		if v.said[line] {
			return nil
		}
		v.said[line], v.named[d.Artifact] = true, true
	}
	if name, err := format.ParseName(d.Artifact); err == nil {
		v.vats[name.VatID] = true
	}
	v.report.DefectCount++
	if v.o.Defect != nil {
		v.o.Defect(d)
	}
	v.o.Log.Warn("defect", "artifact", d.Artifact, "reason", d.Reason)
	return nil
}

// maxSaid bounds what is remembered of defects: a store of a million spans may have as many.
const maxSaid = 10_000

// note is defect for those who do not ask.
func (v *verify) note(err error) { v.defect(err) }

// ended reports that something could not be read to its end.
func (v *verify) ended(err error) error { return v.defect(fmt.Errorf("%w: reading ended here", err)) }

// isNamed reports whether something is wrong with an artifact, unless that is so of very many.
func (v *verify) isNamed(artifact string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.named[artifact]
}

// vatHasDefect reports whether something is wrong with an artifact of a vat.
func (v *verify) vatHasDefect(vatID string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.vats[vatID]
}

// trust compares the export data with what it is expected to be.
func (v *verify) trust(h dataHashes) {
	v.report.ExportDataSHA256, v.report.GenesisHash = h.sha256, h.genesis
	wrong, warning := v.o.Trust.check(h)
	for _, err := range wrong {
		v.note(err)
	}
	if warning != "" {
		v.warn(warning)
	}
}

// warn notes what is no defect.
func (v *verify) warn(text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Warnings = append(v.report.Warnings, text)
	v.o.Log.Warn(text)
}
