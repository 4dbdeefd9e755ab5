package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"swingport/format"
)

// Partial makes a plan of a store that may not be whole: what cannot be exported is left out.
type Partial struct {
	// Need is the mode whose artifacts should all be there; None needs nothing. What is only partly there should be whole in any mode.
	Need format.ArtifactMode

	// Left is told, as an *ArtifactError, what should be there and had to be left out, each artifact once. It may be nil.
	Left func(error)

	told  map[string]bool
	items int64 // of no span
	cut   bool
}

// LooseItems is the number of transcript items that no span owns, once all were read.
func (p *Partial) LooseItems() int64 { return p.items }

// Cut says that the items could not be read to their end, so that nothing follows from those that did not come. It is called before the
// link of the items is closed.
func (p *Partial) Cut() { p.cut = true }

// leave decides about an artifact that cannot be exported. A nil Partial, that of every other plan, does not leave it out.
func (p *Partial) leave(name string, err error) error {
	err = &ArtifactError{name, err}
	if p == nil {
		return err
	}
	if p.told[name] {
		return nil
	}
	if len(p.told) < maxTold {
		p.told[name] = true
	}
	if p.Left != nil {
		p.Left(err)
	}
	return nil
}

// maxTold bounds what is remembered; few artifacts have more than one reason.
const maxTold = 10_000

// span is told of a span of whose items n came, which are not all.
func (p *Partial) span(plan *Plan, v *VatPlan, s *SpanPlan, n int64) {
	if p == nil || p.cut || n == 0 && !plan.wantsIn(p.Need, v, v.indexOf(s)) {
		return
	}
	name := string(format.AppendSpanName(nil, v.ID, s.Start, s.End))
	p.leave(name, errorf(format.ErrIncomplete, "%d of its %d items are there", n, s.End-s.Start))
}

// loose counts an item that no wanted span owns.
func (p *Partial) loose() {
	if p != nil {
		p.items++
	}
}

// indexOf is the place of one of the vat's spans.
func (v *VatPlan) indexOf(s *SpanPlan) int {
	i, _ := slices.BinarySearchFunc(v.Spans, s.Start, func(x SpanPlan, start int64) int { return int(min(1, max(-1, x.Start-start))) })
	return i
}

// NewPartialPlan is NewPlan for a store that may not be whole. broken is told, one by one, of rows that no artifact can be made of, and of a
// table that cannot be read to its end; the plan then has what comes before.
func NewPartialPlan(ctx context.Context, s *Store, mode format.ArtifactMode, partial *Partial, broken func(error)) (*Plan, error) {
	partial.told = map[string]bool{}
	p := &Plan{Mode: mode, byVat: map[string]*VatPlan{}, partial: partial}
	for _, t := range []struct {
		table string
		read  func(*Store) error
	}{{"", p.readHeight}, {"transcriptItems", hasIncarnations}, {"bundles", p.readBundles}, {"transcriptSpans", p.readSpans}, {"snapshots", p.readHeaps}} {
		err := t.read(s)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			if err := s.oldSchema(err); errors.Is(err, ErrNotStore) {
				return nil, err
			}
			broken(ended(t.table, err))
		}
	}
	for _, odd := range p.odd {
		broken(errorf(ErrNotStore, "%s", odd))
	}
	p.choose()
	if !s.schema.tables["transcriptItems"] {
		p.wantItems = 0
	}
	return p, p.leaveOut()
}

func (p *Plan) readHeight(s *Store) (err error) {
	p.Height, err = s.Height()
	return err
}

// ended says what could not be read to its end.
func ended(what string, err error) error {
	if what == "" {
		return fmt.Errorf("%w: reading ended here", err)
	}
	return fmt.Errorf("%s: %w: reading ended here", what, err)
}

// leaveOut leaves out the spans that no file can be named after, and says which heaps were pruned although they are in use.
func (p *Plan) leaveOut() error {
	for _, v := range p.Vats {
		for i := range v.Spans {
			s := &v.Spans[i]
			if name, err := p.checkName(v, s); err != nil && s.wanted {
				s.wanted = false
				if err := p.partial.leave(name, err); err != nil {
					return err
				}
			}
		}
	}
	for _, h := range p.heaps {
		if h.inUse && !h.present && p.partial.Need != format.None {
			name := string(format.AppendSnapshotName(nil, h.vatID, h.pos))
			if err := p.partial.leave(name, errorf(format.ErrIncomplete, "pruned, and in use")); err != nil {
				return err
			}
		}
	}
	return nil
}

// BestMode is the most complete of archival, replay and operational of which every vat has the first and the last item; operational where
// there is none.
func (p *Plan) BestMode(s *Store) (format.ArtifactMode, error) {
	for level := len(needModes) - 1; level > 0; level-- {
		ok := true
		for _, v := range p.Vats {
			if v.current < 0 {
				continue
			}
			var err error
			if ok, err = s.hasEnds(v, v.need[level]); err != nil {
				return format.Operational, err
			}
			if !ok {
				break
			}
		}
		if ok {
			return needModes[level], nil
		}
	}
	return format.Operational, nil
}

// Uncounted calls f with what is missing of the items that mode needs, in the reference's words, for each vat where less came than that. ok
// says which vats need not be asked about.
func (p *Plan) Uncounted(mode format.ArtifactMode, ok func(vatID string) bool, f func(error)) {
	level := slices.Index(needModes[:], mode)
	for _, v := range p.Vats {
		if level < 0 || v.current < 0 || ok(v.ID) {
			continue
		}
		if r := &v.need[level]; r.seen != r.to-r.from {
			f(v.incomplete(level))
		}
	}
}

// StoreMetadata collects the records of a store, which take size bytes as export data, without hashes: nothing is compared with them here. found
// is told, one by one, of those that are none, and of such as may be there only once. Of two rows of one key both are kept: Inspect says what
// is wrong with that.
func StoreMetadata(ctx context.Context, s *Store, found func(error)) (m *Metadata, size int64, err error) {
	m = NewInspection(found)
	m.logs = nil
	var entry format.Entry
	err = EachMetadataLine(ctx, s, func(lines []byte) error {
		size += int64(len(lines))
		for line := range bytes.Lines(lines) {
			if err := format.ParseLine(bytes.TrimSuffix(line, []byte("\n")), &entry); err != nil {
				return err
			}
			r := parseRecordLine(&entry, false)
			r.checkKey(&entry)
			if n := len(m.bundles); r.kind == bundleRecord && n > 0 && m.bundles[n-1] == r.bundle {
				found(errorf(format.ErrDuplicate, "two rows for the record %s", entry.Key))
				continue
			}
			m.Add(r)
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	if err != nil && !Damaged(err) {
		return nil, 0, err
	}
	return m, size, m.Settle()
}
