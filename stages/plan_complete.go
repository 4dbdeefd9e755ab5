package stages

import (
	"fmt"
	"strings"

	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// refuse finds without counting what the mode needs and the store lacks: bundles and heaps that were pruned, and vats whose first or last
// item is not there.
func (p *Plan) refuse(s *Store) error {
	if err := p.prunedBundles(); err != nil {
		return &IncompleteError{Mode: p.Mode, Err: err, Lacks: []string{err.Error()}}
	}
	var vat *VatPlan
	level := p.needIndex()
	lacks := make([][]string, len(needModes))
	for _, v := range p.Vats {
		if v.current < 0 {
			continue
		}
		for i := 0; i <= level; i++ {
			ok, err := s.hasEnds(v, v.need[i])
			if err != nil {
				return err
			}
			if !ok {
				lacks[i] = append(lacks[i], v.lack(i))
				if i == level && vat == nil {
					vat = v
				}
			}
		}
	}
	heaps := p.prunedHeaps()
	if vat == nil {
		if heaps != nil {
			return &IncompleteError{Mode: p.Mode, Err: heaps, Lacks: []string{heaps.Error()}}
		}
		return nil
	}
	e := &IncompleteError{Mode: p.Mode, Lacks: lacks[level]}
	for i := 0; i < level && heaps == nil; i++ {
		if len(lacks[i]) == 0 {
			e.Possible = needModes[i]
		}
	}
	r := &vat.need[level]
	if s.schema.tables["transcriptItems"] {
		err := s.db.Query("SELECT count(*) FROM transcriptItems WHERE vatID=?1 AND position>=?2 AND position<?3", func(q *Stmt) error {
			r.seen = q.Int(0)
			return nil
		}, vat.ID, r.from, r.to)
		if err != nil {
			return err
		}
	}
	e.Err = vat.incomplete(level)
	return e
}

// hasEnds reports whether the first and the last item of the range are there.
func (s *Store) hasEnds(v *VatPlan, r itemRange) (bool, error) {
	if r.to <= r.from {
		return r.to == r.from, nil
	}
	if !s.schema.tables["transcriptItems"] {
		return false, nil
	}
	n := int64(0)
	const sql = "SELECT 1 FROM transcriptItems WHERE vatID=?1 AND position IN (?2, ?3)"
	err := s.db.Query(sql, func(*Stmt) error { n++; return nil }, v.ID, r.from, r.to-1)
	return n == min(2, r.to-r.from), err
}

// lack says what a vat lacks for a mode.
func (v *VatPlan) lack(level int) string {
	r := v.need[level]
	return fmt.Sprintf("%s lacks some of the items %d..%d", v.ID, r.from, r.to-1)
}

// incomplete is the reference's wording for a vat that lacks items.
func (v *VatPlan) incomplete(level int) error {
	r, cur := v.need[level], &v.Spans[v.current]
	switch needModes[level] {
	case format.Operational:
		rec := fmt.Sprintf(`{"vatID":%q,"startPos":%d,"endPos":%d,"hash":%q,"isCurrent":1}`, v.ID, cur.Start, cur.End, cur.Hash())
		return errorf(format.ErrIncomplete, "incomplete current transcript span: %d items, %s", r.seen, rec)
	case format.Replay:
		return errorf(format.ErrIncomplete, "incomplete current incarnation transcript: %d items of vat %s", r.seen, v.ID)
	default:
		return errorf(format.ErrIncomplete, "incomplete archival transcript: %d vs %d of vat %s", r.seen, cur.End, v.ID)
	}
}

func (p *Plan) prunedBundles() error {
	var ids []string
	for _, b := range p.bundles {
		if b.kind == lib.SQLITE_NULL {
			ids = append(ids, b.id)
		}
	}
	if ids == nil {
		return nil
	}
	return errorf(format.ErrIncomplete, "missing bundles for: %s", strings.Join(ids, ","))
}

func (p *Plan) prunedHeaps() error {
	var vats []string
	for _, h := range p.heaps {
		if h.inUse && !h.present {
			vats = append(vats, h.vatID)
		}
	}
	if vats == nil {
		return nil
	}
	return errorf(format.ErrIncomplete, "current snapshots are pruned for vats %s", strings.Join(vats, ","))
}

// see counts an item for the modes that need it.
func (v *VatPlan) see(pos int64) {
	for i := range v.need {
		if r := &v.need[i]; pos >= r.from && pos < r.to {
			r.seen++
		}
	}
}

// Complete is the check of the mode's completeness by what was counted while reading.
func (p *Plan) Complete() error {
	level := p.needIndex()
	if level < 0 {
		return nil
	}
	e := &IncompleteError{Mode: p.Mode}
	possible := [3]bool{true, true, true}
	for _, v := range p.Vats {
		for i := 0; i <= level && v.current >= 0; i++ {
			if r := v.need[i]; r.seen != r.to-r.from {
				possible[i] = false
				if i == level {
					e.Lacks = append(e.Lacks, v.lack(i))
					if e.Err == nil {
						e.Err = v.incomplete(i)
					}
				}
			}
		}
	}
	if e.Err == nil {
		return nil
	}
	for i := 0; i < level; i++ {
		if possible[i] {
			e.Possible = needModes[i]
		}
	}
	return e
}

// Untiled lists the vats whose exported spans do not cover what the mode needs, one after the other: the reference exports that and cannot
// import it again.
func (p *Plan) Untiled() (list []string) {
	level := p.needIndex()
	for _, v := range p.Vats {
		if level < 0 || v.current < 0 {
			continue
		}
		next := v.need[level].from
		for i := range v.Spans {
			s := &v.Spans[i]
			if !s.wanted {
				continue
			}
			if s.Start != next {
				list = append(list, fmt.Sprintf("the spans of vat %s do not follow one another at item %d (next is %d..%d)", v.ID, next, s.Start, s.End))
				break
			}
			next = s.End
		}
	}
	return list
}
