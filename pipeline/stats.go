package pipeline

import (
	"context"
	"sync/atomic"
	"time"

	"swingport/stages"
)

// StageStats says where the time of a stage went, added up over its workers. Stages run beside each other: the one that is busy for the largest
// part of its time is what the others wait for.
type StageStats struct {
	Name    string `json:"name"`
	Workers int    `json:"workers"` // goroutines

	Seconds float64 `json:"seconds"` // from start to end of each worker; Busy, Before and After together
	Busy    float64 `json:"busy"`    // work, reading and writing files included, and waiting for a core
	Before  float64 `json:"before"`  // waiting for input, which the stages in front had not made
	After   float64 `json:"after"`   // waiting for room, which the stages behind had not made, or for its turn
}

// PhaseStats says how long a phase took. Phases come one after the other; stages run within one or several of them.
type PhaseStats struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// Stages says what the stages did that a run had up to now, in the order in which they were started, with the workers that have ended. Stages of
// the same name count as one.
func (s *Status) Stages() []StageStats {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []StageStats
	at := map[string]int{}
	for _, b := range s.stages {
		i, ok := at[b.name]
		if !ok {
			i = len(list)
			at[b.name] = i
			list = append(list, StageStats{Name: b.name})
		}
		b.addTo(&list[i])
	}
	return list
}

// Phases says how long each phase took up to now, in the order of their first beginnings. What comes before the first, opening the store and
// planning, is none of them.
func (s *Status) Phases() []PhaseStats {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []PhaseStats
	at := map[string]int{}
	for i, p := range s.phases {
		end := time.Now()
		if i+1 < len(s.phases) {
			end = s.phases[i+1].began
		}
		j, ok := at[p.name]
		if !ok {
			j = len(list)
			at[p.name] = j
			list = append(list, PhaseStats{Name: p.name})
		}
		list[j].Seconds += end.Sub(p.began).Seconds()
	}
	return list
}

type begunPhase struct {
	name  string
	began time.Time
}

// begunStage is a stage that was started; nil where nobody asks.
type begunStage struct {
	name    string
	workers int
	total   atomic.Int64 // nanoseconds
	waits   stages.Waits
}

func (s *Status) beginStage(name string, workers int) *begunStage {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &begunStage{name: name, workers: workers}
	s.stages = append(s.stages, b)
	return b
}

// work is one worker's whole life.
func (b *begunStage) work(ctx context.Context, f func(context.Context) error) error {
	if b == nil {
		return f(ctx)
	}
	began := time.Now()
	defer func() { b.total.Add(int64(time.Since(began))) }()
	return f(b.waits.In(ctx))
}

func (b *begunStage) addTo(s *StageStats) {
	total, before, after := time.Duration(b.total.Load()).Seconds(), b.waits.Before().Seconds(), b.waits.After().Seconds()
	s.Workers = max(s.Workers, b.workers)
	s.Seconds += total
	s.Before += before
	s.After += after
	s.Busy += max(0, total-before-after)
}
