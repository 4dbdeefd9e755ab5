package pipeline

import (
	"sync"
	"sync/atomic"
	"time"
)

// Status counts what a running pipeline has done. Stages write to it,
// whoever wants to show progress polls [Status.Snapshot]; nobody is called
// back. The zero value is ready, all methods may be called at the same time,
// and those of a nil Status do nothing.
type Status struct {
	phase          atomic.Pointer[phase]
	artifacts      atomic.Int64
	artifactsTotal atomic.Int64

	mu     sync.Mutex // for what follows
	phases []begunPhase
	stages []*begunStage
}

// A phase has its own counter, so that a snapshot never shows the bytes of
// one phase against the total of another.
type phase struct {
	name  string
	total int64
	done  atomic.Int64
	began time.Time
}

// Progress is one reading of a [Status].
type Progress struct {
	Phase string // what goes on now; "" before the first phase

	Done, Total int64         // bytes of this phase; a Total of 0 is not known
	Elapsed     time.Duration // since this phase began

	Artifacts, ArtifactsTotal int64 // of the whole run; a total of 0 is not known
}

// SetPhase begins a phase of totalBytes, or of 0 where nobody knows. The
// count of bytes starts again from nothing, that of artifacts goes on.
func (s *Status) SetPhase(name string, totalBytes int64) {
	if s != nil {
		now := time.Now()
		s.phase.Store(&phase{name: name, total: totalBytes, began: now})
		s.mu.Lock()
		defer s.mu.Unlock()
		s.phases = append(s.phases, begunPhase{name, now})
	}
}

// AddBytes counts n bytes of the current phase; before the first one they
// are nobody's and are dropped.
func (s *Status) AddBytes(n int64) {
	if s == nil {
		return
	}
	if p := s.phase.Load(); p != nil {
		p.done.Add(n)
	}
}

// AddArtifacts counts n finished artifacts.
func (s *Status) AddArtifacts(n int64) {
	if s != nil {
		s.artifacts.Add(n)
	}
}

// SetArtifacts says how many artifacts there will be.
func (s *Status) SetArtifacts(total int64) {
	if s != nil {
		s.artifactsTotal.Store(total)
	}
}

// Snapshot reads the counters.
func (s *Status) Snapshot() Progress {
	if s == nil {
		return Progress{}
	}
	p := Progress{Artifacts: s.artifacts.Load(), ArtifactsTotal: s.artifactsTotal.Load()}
	if ph := s.phase.Load(); ph != nil {
		p.Phase, p.Done, p.Total, p.Elapsed = ph.name, ph.done.Load(), ph.total, time.Since(ph.began)
	}
	return p
}
