package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/dustin/go-humanize"

	"swingport/format"
	"swingport/stages"
)

// Plan says what a run is going to do, before it does anything. Its JSON form is what the command line prints for --dry-run --json. Sizes are in
// bytes; what is not known is 0.
type Plan struct {
	Source string `json:"source"` // a state directory, an export directory or an archive
	Kind   Kind   `json:"kind"`   // of the source
	Target string `json:"target"` // a state directory, an export directory or an archive

	BlockHeight  float64             `json:"blockHeight"`
	ArtifactMode format.ArtifactMode `json:"artifactMode"` // that of the result, never AutoMode
	Known        bool                `json:"known"`        // false for an archive that only reading tells of: no height, mode and sizes

	Kinds PlanKinds `json:"kinds"` // what the export holds, or would
	Items int64     `json:"items"` // of the spans of a store
	Bytes int64     `json:"bytes"` // of all kinds together

	ResultBytes int64   `json:"resultBytes"` // of the directory, the archive or the database, about
	TempBytes   int64   `json:"tempBytes"`   // of temporary files, about
	Seconds     float64 `json:"seconds"`     // of time, about: see AssumedRate

	Places   []PlanPlace `json:"places"`   // file systems that get something
	Warnings []string    `json:"warnings"` // the run would start, but somebody should know
}

// PlanKinds is how many artifacts of each kind there are, and about how many bytes.
type PlanKinds struct {
	Snapshots  ListCount `json:"snapshots"`
	Spans      ListCount `json:"spans"`
	Bundles    ListCount `json:"bundles"`
	ExportData ListCount `json:"exportData"`
}

// PlanPlace is a file system that a run writes to.
type PlanPlace struct {
	Dir    string `json:"dir"`    // a directory on it that exists
	Needed int64  `json:"needed"` // bytes, about
	Least  int64  `json:"least"`  // bytes that are needed in any case
	Free   int64  `json:"free"`   // bytes; -1 where the system does not say
}

// A SpaceError says that a file system has too little room for what a run is certain to write.
type SpaceError struct {
	Dir          string
	Needed, Free int64 // bytes or, where Files is set, files
	Files        bool
}

func (e *SpaceError) Error() string {
	if e.Files {
		return fmt.Sprintf("too little space in %s: %d files are needed, and its file system has room for %d", e.Dir, e.Needed, e.Free)
	}
	return fmt.Sprintf("too little space in %s: at least %s are needed, and %s are free", e.Dir, humanize.Bytes(uint64(e.Needed)), humanize.Bytes(uint64(e.Free)))
}

// Unwrap makes it what the system would say hours later.
func (e *SpaceError) Unwrap() error { return syscall.ENOSPC }

// warn tells the warnings to who wants to hear them.
func (p *Plan) warn(told func(string)) {
	if told != nil {
		for _, text := range p.Warnings {
			told(text)
		}
	}
}

// need is what is going to be written to a directory.
type need struct {
	dir           string
	likely, least int64
	files         int64
}

// fit adds up what each file system gets and compares it with what is free. An error is what is certain; what may be is a warning.
func (p *Plan) fit(fsys *stages.FS, noSpaceCheck bool, needs ...need) error {
	files := map[uint64]int64{}
	at := map[uint64]int{}
	var errs []error
	var spaces []stages.Space
	for _, n := range needs {
		space, err := stages.SpaceFor(n.dir, fsys)
		if err != nil {
			return err
		}
		i, ok := at[space.Device]
		if !ok {
			i = len(p.Places)
			at[space.Device] = i
			place := PlanPlace{Dir: space.Dir, Free: -1}
			if space.Known {
				place.Free = space.Free
			}
			p.Places, spaces = append(p.Places, place), append(spaces, space)
		}
		p.Places[i].Needed += n.likely
		p.Places[i].Least += n.least
		files[space.Device] += n.files
	}
	for i, space := range spaces {
		place := p.Places[i]
		if noSpaceCheck || !space.Known {
			continue
		}
		switch n := files[space.Device]; {
		case place.Least > place.Free:
			errs = append(errs, &SpaceError{Dir: place.Dir, Needed: place.Least, Free: place.Free})
		case n > space.Files:
			errs = append(errs, &SpaceError{Dir: place.Dir, Needed: n, Free: space.Files, Files: true})
		case place.Needed > place.Free:
			p.Warnings = append(p.Warnings, fmt.Sprintf("space in %s may not be enough: about %s are needed, and %s are free",
				place.Dir, humanize.Bytes(uint64(place.Needed)), humanize.Bytes(uint64(place.Free))))
		}
	}
	return errors.Join(errs...)
}

// AssumedRate is what an estimate of time takes a disk to read and to write, in bytes a second. Nothing is measured: swingport bench does that.
const AssumedRate = 200e6

// What one core does a second, in bytes of content, about; bench/README.md has the measurements.
const (
	exportRate = 180e6 // reading rows, hashing, writing
	packRate   = 220e6 // on top of it, into an archive
	importRate = 110e6
	checkRate  = 500e6 // quick_check, on one core
)

// takes sets the time that content takes one core, and the disk, whatever is longer.
func (p *Plan) takes(coreSeconds, alone float64, workers int, live Live, disk int64) {
	cores := float64(min(workers, runtime.NumCPU()))
	rate := float64(AssumedRate)
	if live.RateLimit > 0 {
		rate = math.Min(rate, float64(live.RateLimit))
	}
	p.Seconds = math.Max(coreSeconds/cores, float64(disk)/rate) + alone
}

// kinds fills in what an estimate says.
func (p *Plan) kinds(plan *stages.Plan, e stages.Estimate, snapshots format.SnapshotForm, data bool) {
	heaps, spans, bundles, _ := plan.Counts()
	p.Kinds = PlanKinds{Snapshots: ListCount{heaps, e.Heaps}, Spans: ListCount{spans, e.Spans}, Bundles: ListCount{bundles, e.Bundles}}
	if snapshots == format.GzipSnapshots {
		p.Kinds.Snapshots.Bytes = e.PackedHeaps
	}
	if data {
		p.Kinds.ExportData = ListCount{1, e.ExportData}
	}
	p.Items = e.Items
	p.sum()
}

func (p *Plan) sum() {
	k := p.Kinds
	p.Bytes = k.Snapshots.Bytes + k.Spans.Bytes + k.Bundles.Bytes + k.ExportData.Bytes
}

// artifacts is how many there are.
func (p *Plan) artifacts() int64 {
	return int64(p.Kinds.Snapshots.Count + p.Kinds.Spans.Count + p.Kinds.Bundles.Count)
}

// sortSpill is what sorting so many bytes of kv rows spills: what the packed runs take beyond the memory for them.
func sortSpill(kv int64) int64 { return max(0, kv*3/10-24<<20) }

// perFile is what a file takes beside its content, on average: half a block, and its name.
const perFile = 2200

// PlanExport says what Export would do with the same options, and fails where Export would before it reads at length: where the store, the height,
// the mode, the target or the space on disk are not what is needed. Nothing is made or changed. The plan is as good as what is known: also beside
// an error.
func PlanExport(ctx context.Context, o ExportOptions) (Plan, error) {
	p := Plan{Source: o.StateDir, Kind: KindStateDir, Target: o.target()}
	var err error
	if o.Archive == "" {
		err = stages.NewDirIsFree(o.ExportDir)
		if o.Resume {
			err = nil
		}
	} else if o.Archive != "-" {
		err = stages.TargetIsFree(o.Archive)
	}
	if err != nil {
		return p, err
	}
	o.planned = &p
	_, err = exportTo(ctx, o, func(*ExportOptions) (sink, error) { return nil, errPlanned })
	return p, planned(err)
}

// errPlanned ends a run whose plan is all that was asked for.
var errPlanned = errors.New("planned")

func planned(err error) error {
	if errors.Is(err, errPlanned) {
		return nil
	}
	return err
}

func (o *ExportOptions) target() string {
	if o.Archive != "" {
		return o.Archive
	}
	return o.ExportDir
}

// preflight is what an export checks before it opens its sink.
func (o *ExportOptions) preflight(ctx context.Context, store *stages.Store, plan *stages.Plan) error {
	p := o.planned
	if p == nil {
		return nil
	}
	data := o.ExportDataMode == format.All
	e, err := plan.Estimate(ctx, store, data)
	if err != nil {
		return err
	}
	p.BlockHeight, p.ArtifactMode, p.Known, p.Places, p.Warnings = plan.Height, o.ArtifactMode, true, nil, nil // anew with each mode
	if o.copies != nil {
		return o.copies.fits(p, plan, e, o.fs)
	}
	p.kinds(plan, e, o.Snapshots, data)
	p.TempBytes = sortSpill(p.Kinds.ExportData.Bytes)
	result := need{dir: o.ExportDir, files: p.artifacts() + 3}
	result.least = p.Kinds.Snapshots.Bytes + e.LeastSpans + e.Bundles + e.LeastExportData
	core := float64(p.Bytes) / exportRate
	if o.Archive != "" {
		p.archive(o, &result, e)
		core += float64(p.Bytes) / packRate
	} else {
		p.ResultBytes = p.Bytes + perFile*result.files
	}
	result.likely = p.ResultBytes
	p.takes(core, 0, o.Workers, o.Live, store.Size()+result.likely)
	needs := []need{}
	if result.dir != "" {
		needs = append(needs, result)
	}
	if temp := o.tempDir(result.dir); temp != "" {
		needs = append(needs, need{dir: temp, likely: p.TempBytes})
	}
	return p.fit(o.fs, o.NoSpaceCheck, needs...)
}

// tempDir is where stages spill: where the options say, else beside the result, "" for the system's.
func (o *ExportOptions) tempDir(result string) string {
	if o.TempDir != "" {
		return o.TempDir
	}
	return result
}

// archive is what is different for an archive: how it packs is known only afterwards. The ratios are those of stores of two generators.
func (p *Plan) archive(o *ExportOptions, result *need, e stages.Estimate) {
	const entry = 600 // in the tar and the index, without padding
	p.ResultBytes = p.Bytes + entry*p.artifacts()
	if o.Format == FormatTarZstd {
		k := p.Kinds
		p.ResultBytes = k.Spans.Bytes/4 + k.ExportData.Bytes*3/10 + k.Bundles.Bytes*3/4 + e.PackedHeaps + 100*p.artifacts()
		result.least = p.ResultBytes / 10
	}
	result.files = 1
	result.dir = filepath.Dir(o.Archive)
	if !regularTarget(o.Archive) {
		result.dir = ""
	}
}

// regularTarget says whether an archive of that name is a new file, not a pipe or a device.
func regularTarget(path string) bool {
	if path == "-" {
		return false
	}
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}
