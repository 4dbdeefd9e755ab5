package pipeline

import (
	"context"

	"swingport/format"
	"swingport/stages"
)

// A sink is where the export pipeline ends: a directory, an archive, or what only looks at the artifacts. It is opened before anything of the
// store but its small tables was read.
type sink interface {
	// wants says how the sink takes what it gets; it does not change.
	wants() wants

	// start starts the stages that take what comes out of the check: the parts of x.parts or, where they are wanted in order, the jobs of
	// x.queue.Queue; and if x.withData() the export data of x.lines.
	start(r *run, x *export)

	// commit makes the export whole, after all stages succeeded.
	commit(ctx context.Context, x *export) error

	// abort removes what there is of the export, but for what a directory keeps to be gone on with; it is harmless after commit, and always
	// the last call.
	abort() error

	tempDir() string // where the stages in front may spill
	bytes() int64    // of export data and artifacts so far
	dataSum() string // SHA-256 of the export data in hexadecimal, "" without
}

// wants is how a sink takes what it gets.
type wants struct {
	// ordered: the artifacts come one after the other, snapshots and bundles in the order of the manifest, then spans as they become
	// complete. Else every link of x.parts has its own artifacts, several side by side.
	ordered bool

	// unchecked: the sink takes artifacts as they are read, in x.heaps, x.bundles and x.artifacts, checks them itself, and takes the rows of
	// kvStore from x.sorter. Nothing is hashed in front of it.
	unchecked bool

	snapshots format.SnapshotForm // as the reference exports them, or as the store holds them
	data      bool                // the export data, where the options ask for it
	sums      bool                // the SHA-256 of each artifact
	size      bool                // the length of the export data before it comes

	sortWorkers int // at most; 0 means as many as an export has

	// again: abort leaves nothing, so that another try with a less complete mode may follow.
	again bool
}

// dirSink is a directory as a sink.
type dirSink struct {
	*stages.DirSink
	o *ExportOptions
}

func newDirSink(ctx context.Context, o *ExportOptions) (sink, error) {
	d, err := stages.NewDirSink(ctx, o.ExportDir, o.Checksums, o.Resume, o.fs, o.noteLeft)
	if err != nil {
		return nil, err
	}
	return dirSink{d, o}, nil
}

func (d dirSink) wants() wants {
	return wants{snapshots: d.o.Snapshots, data: true, sums: d.o.Checksums, again: true}
}

func (d dirSink) start(r *run, x *export) {
	for _, in := range x.parts.links {
		r.stage("write artifacts", func(ctx context.Context) error { return d.Artifacts(ctx, in) })
	}
	if x.withData() {
		r.stage("write export data", func(ctx context.Context) error { return d.Data(ctx, x.lines) })
	}
}

func (d dirSink) commit(ctx context.Context, x *export) error {
	return d.Commit(ctx, x.plan.Height, x.o.ArtifactMode, x.names, x.withData())
}

func (d dirSink) abort() error    { return d.Abort() }
func (d dirSink) tempDir() string { return d.TempDir() }
func (d dirSink) bytes() int64    { return d.Bytes() }
func (d dirSink) dataSum() string { return d.DataSum() }
