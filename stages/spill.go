package stages

import (
	"bytes"
	"context"
	"errors"
	"sync"
)

// spill is sorted runs of rows, for what is more than the memory may hold as it is. Runs are packed; they stay in memory as long as there is room,
// then they go to temporary files. Of mergeWays runs one longer one is made, so that neither the memory to read them nor the number of
// open files grows with what is spilled.
type spill struct {
	spools *spools

	mu     sync.Mutex
	levels [][]*spool // the runs; those of each level were made of mergeWays of the level before
}

// mergeWays is how many runs are read side by side at most, of each level. To read one takes a block and its packed form.
const mergeWays = 48

// newSpill makes a spill that keeps up to memory bytes of packed runs; what is more goes to files in dir.
func newSpill(memory int, dir string, fsys *FS) *spill {
	return &spill{spools: newSpools(memory, dir, fsys)}
}

// close removes what was spilled. That a file without a name cannot be closed well takes nothing from anybody.
func (s *spill) close() {
	for _, runs := range s.levels {
		_ = releaseRuns(runs)
	}
	s.levels = nil
}

func releaseRuns(runs []*spool) error {
	var errs []error
	for _, r := range runs {
		errs = append(errs, r.Release())
	}
	return errors.Join(errs...)
}

// add makes a run of the rows with which each calls its argument, in the order of their keys.
func (s *spill) add(ctx context.Context, each func(add func(row []byte) error) error) error {
	return s.addTo(ctx, 0, each)
}

func (s *spill) addTo(ctx context.Context, level int, each func(add func(row []byte) error) error) error {
	w := &runWriter{run: s.spools.new()}
	err := each(w.add)
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		return errors.Join(err, w.run.Release())
	}
	runs := s.keep(level, w.run)
	if runs == nil {
		return nil
	}
	m, err := mergeRuns(runs)
	if err == nil {
		err = s.addTo(ctx, level+1, func(add func([]byte) error) error { return m.each(ctx, add) })
	}
	return errors.Join(err, releaseRuns(runs))
}

// keep adds a run to its level. If that is full now, its runs are the caller's, to be merged.
func (s *spill) keep(level int, run *spool) []*spool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if level == len(s.levels) {
		s.levels = append(s.levels, nil)
	}
	runs := append(s.levels[level], run)
	if len(runs) < mergeWays {
		s.levels[level] = runs
		return nil
	}
	s.levels[level] = nil
	return runs
}

// merge reads all runs side by side, in the order of the keys, when nobody adds any more.
func (s *spill) merge() (*merger, error) {
	var runs []*spool
	for _, level := range s.levels {
		runs = append(runs, level...)
	}
	return mergeRuns(runs)
}

// merger is a heap of runs by the key of their next row.
type merger struct {
	heads   []*head // a heap by key
	started bool
	room    []byte // for rows that are longer than a block
}

type head struct {
	key []byte
	run *runReader
}

func mergeRuns(runs []*spool) (*merger, error) {
	m := &merger{}
	for _, r := range runs {
		h := &head{run: &runReader{run: r}}
		row, err := h.run.next()
		if err != nil {
			return nil, err
		}
		if row != nil {
			h.key = rowKey(row)
			m.heads = append(m.heads, h)
		}
	}
	for i := len(m.heads)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m, nil
}

// down moves head i to its place among those behind it. (Package container/heap does the same through an interface, in twice the time.)
func (m *merger) down(i int) {
	h := m.heads[i]
	for child := 2*i + 1; child < len(m.heads); child = 2*i + 1 {
		if child+1 < len(m.heads) && bytes.Compare(m.heads[child+1].key, m.heads[child].key) < 0 {
			child++
		}
		if bytes.Compare(h.key, m.heads[child].key) <= 0 {
			break
		}
		m.heads[i], i = m.heads[child], child
	}
	m.heads[i] = h
}

// next is the next row; nil is the end. It is borrowed until the call after.
func (m *merger) next() ([]byte, error) {
	if m.started && len(m.heads) > 0 {
		h := m.heads[0]
		row, err := h.run.next()
		if err != nil {
			return nil, err
		}
		if last := len(m.heads) - 1; row == nil {
			m.heads[0] = m.heads[last]
			m.heads = m.heads[:last]
		} else {
			h.key = rowKey(row)
		}
		if len(m.heads) > 1 {
			m.down(0)
		}
	}
	m.started = true
	if len(m.heads) == 0 {
		return nil, nil
	}
	return m.heads[0].run.whole(&m.room)
}

// each calls f for each row that is left.
func (m *merger) each(ctx context.Context, f func(row []byte) error) error {
	for n := 0; ; n++ {
		row, err := m.next()
		if err != nil || row == nil {
			return err
		}
		if n&1023 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := f(row); err != nil {
			return err
		}
	}
}
