package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"swingport/format"
	"swingport/stages"
)

// diffSide is one side of a comparison: a store, or the source of an export.
type diffSide struct {
	*diff
	side Side
	path string
	kind Kind

	store   *stages.Store // nil: it is an export
	src     stages.Source
	mode    format.ArtifactMode
	height  string
	hasData bool
	digests *stages.Digests

	mu sync.Mutex // for the warnings of several workers
}

// open reads what there is to know before artifacts are read.
func (s *diffSide) open(ctx context.Context) (err error) {
	s.digests = stages.NewDigests(s.o.TempDir, s.o.fs)
	switch s.kind {
	case KindStateDir:
		return s.openStore(ctx)
	case KindExportDir:
		var d *stages.Dir
		if d, err = stages.OpenDir(s.path, s.o.fs); err != nil {
			return err
		}
		s.src = d
	default:
		in, err := stages.OpenInput(ctx, s.path, s.o.Stdin, s.o.fs, s.o.Status.AddBytes)
		if err != nil {
			return err
		}
		s.src, err = stages.OpenArchive(ctx, in, stages.ArchiveOptions{TempDir: s.o.TempDir, FS: s.o.fs, MaxWindow: s.o.MaxWindow})
		if err != nil {
			return errors.Join(err, in.Close())
		}
	}
	m := s.src.Manifest()
	s.mode, s.hasData, s.height = format.ArtifactMode(m.ArtifactMode), m.Data != "", "none"
	if m.HasBlockHeight {
		s.height = string(format.AppendNumber(nil, m.BlockHeight))
	}
	return nil
}

func (s *diffSide) openStore(ctx context.Context) (err error) {
	if s.store, err = stages.OpenStore(ctx, s.path, s.o.fs); err != nil {
		return err
	}
	s.store.LimitItems(s.o.MaxItem)
	s.hasData = true
	plan, err := s.plan(ctx, format.Archival)
	if err != nil {
		return err
	}
	s.height = string(format.AppendNumber(nil, plan.Height))
	s.mode, err = plan.BestMode(s.store)
	return err
}

// plan is what the store has of a mode. What is missing is left out, and shows as a difference; what is only partly there deserves a warning.
func (s *diffSide) plan(ctx context.Context, mode format.ArtifactMode) (*stages.Plan, error) {
	var broken error
	partial := &stages.Partial{Need: format.None, Left: func(err error) { s.warns(err.Error()) }}
	plan, err := stages.NewPartialPlan(ctx, s.store, mode, partial, func(err error) { broken = errors.Join(broken, err) })
	if err == nil && broken == nil {
		err = s.store.CheckKeys(ctx, func(err error) error { return err })
	}
	return plan, errors.Join(err, broken)
}

func (s *diffSide) warns(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warn(s.path + ": " + text)
}

func (s *diffSide) close() (err error) {
	if s.store != nil {
		err = s.store.Close()
	}
	if s.src != nil {
		err = errors.Join(err, s.src.Close())
	}
	if s.digests != nil {
		s.digests.Close()
	}
	return err
}

// wrap says which side an error is about, where that is not clear.
func (s *diffSide) wrap(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%s: %w", s.path, err)
}

// digest reads everything.
func (s *diffSide) digest(ctx context.Context) (err error) {
	if s.store != nil {
		err = s.digestStore(ctx)
	} else {
		err = s.digestExport(ctx)
	}
	return errors.Join(err, s.digests.Done(ctx))
}

// digestExport reads all artifacts and the export data of an export.
func (s *diffSide) digestExport(ctx context.Context) error {
	o, r := &s.o, newRun(ctx, s.o.Status)
	data := stages.NewLineDigests(o.Workers, o.MaxItem)
	work := stages.NewOrdered[stages.Incoming, stages.Content](o.Workers, 1, nil)
	read := &exportReader{diffSide: s, headRead: make(chan struct{}), artifactsRead: make(chan struct{})}

	r.stage("read artifacts", func(ctx context.Context) error { return read.artifacts(ctx, work) }, work)
	r.stage("read export data", func(ctx context.Context) error { return read.exportData(ctx, data) }, data)
	r.workers("artifacts", o.Workers, func(ctx context.Context) error {
		reader := &stages.ContentReader{Progress: read.progress()}
		return work.Work(ctx, func(ctx context.Context, in stages.Incoming, out *stages.Link[stages.Content]) error {
			c, err := reader.Read(ctx, in)
			if err != nil {
				return &ArtifactError{Name: in.Name, Err: err}
			}
			return out.Send(ctx, c)
		})
	})
	r.workers("export data", o.Workers, data.Work)
	r.stage("digest artifacts", func(ctx context.Context) error {
		return stages.Each(ctx, work.Queue, func(j *stages.Job[stages.Incoming, stages.Content]) error {
			return stages.Each(ctx, j.Out, func(c stages.Content) error {
				o.Status.AddArtifacts(1)
				return s.digests.Add(ctx, stages.ArtifactDigest, []byte(c.Name), stages.Digest{Type: format.Blob, Size: c.Size, SHA256: c.SHA256})
			})
		})
	})
	r.stage("digest export data", func(ctx context.Context) error {
		return stages.Each(ctx, data.Queue, func(j *stages.Job[*stages.Chunk, []stages.LineDigest]) error {
			return stages.Each(ctx, j.Out, func(list []stages.LineDigest) error { return s.add(ctx, list) })
		})
	})
	return r.wait()
}

func (s *diffSide) add(ctx context.Context, list []stages.LineDigest) error {
	for i := range list {
		if err := s.digests.Add(ctx, stages.RecordDigest, list[i].Key, list[i].Digest); err != nil {
			return err
		}
	}
	return nil
}

// exportReader reads a source in its order: the head, the artifacts, the tail. Of an archive of ours the head is a part of the tail.
type exportReader struct {
	*diffSide
	headRead, artifactsRead chan struct{}
}

func (x *exportReader) progress() func(int64) {
	if x.kind == KindArchive {
		return func(int64) {}
	}
	return x.o.Status.AddBytes
}

func (x *exportReader) phase(bytes int64) {
	if x.kind != KindArchive {
		x.o.Status.SetPhase("read "+strings.ToUpper(string(x.side)), bytes)
	}
}

func (x *exportReader) exportData(ctx context.Context, to *stages.LineDigests) error {
	m := x.src.Manifest()
	if m.Data != "" || m.ArtifactsLater {
		r, size, err := x.src.Head(ctx)
		if err != nil {
			return err
		}
		x.phase(size)
		if !m.ArtifactsLater {
			err = to.Read(ctx, r, x.progress())
		}
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	close(x.headRead)
	if err := waitFor(ctx, x.artifactsRead); err != nil {
		return err
	}
	r, _, err := x.src.Tail(ctx)
	if err != nil {
		return err
	}
	if r != nil {
		if err := errors.Join(to.Read(ctx, r, x.progress()), r.Close()); err != nil {
			return err
		}
	}
	return x.src.Finish(ctx)
}

func (x *exportReader) artifacts(ctx context.Context, to *stages.Ordered[stages.Incoming, stages.Content]) error {
	if err := waitFor(ctx, x.headRead); err != nil {
		return err
	}
	begin := func(n int, bytes int64) {
		x.phase(bytes)
		x.o.Status.SetArtifacts(int64(n))
	}
	if err := x.src.Artifacts(ctx, func(string) (bool, error) { return true, nil }, begin, to.Dispatch); err != nil {
		return err
	}
	close(x.artifactsRead)
	return nil
}
