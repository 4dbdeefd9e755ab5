package stages

import (
	"bytes"
	"context"
	"encoding/binary"

	"swingport/format"
)

// entrySorter sorts what becomes an index: a text, a number, and something about them. Most comes in order, by long stretches.
type entrySorter struct {
	ctx   context.Context // of adding
	spill *spill
	run   Rows
	last  int // where the last row of the run is
	mixed bool
}

// The sizes of a sort: what is sorted at once, and what is kept of it in packed form.
const (
	entryRun  = 4 << 20
	entryKeep = 16 << 20
)

func newEntrySorter(ctx context.Context, dir string, fsys *FS) *entrySorter {
	return &entrySorter{ctx: ctx, spill: newSpill(entryKeep, dir, fsys)}
}

func (s *entrySorter) close() { s.spill.close() }

// add takes an entry with two numbers that are no part of its order.
func (s *entrySorter) add(text []byte, n, x, y int64) error {
	if len(s.run.Data)+2*len(text)+rowHeader+32 > entryRun {
		if err := s.flush(); err != nil {
			return err
		}
	}
	at := len(s.run.Data)
	var room [128]byte
	s.run.Data = appendRow(s.run.Data, appendEntryKey(room[:0], text, n), format.IntValue(x), y)
	s.run.Count++
	s.mixed = s.mixed || at > 0 && bytes.Compare(rowKey(s.run.Data[s.last:]), rowKey(s.run.Data[at:])) > 0
	s.last = at
	return nil
}

func (s *entrySorter) flush() error {
	if s.run.Count == 0 {
		return nil
	}
	err := s.spill.add(s.ctx, func(add func([]byte) error) error {
		if !s.mixed {
			for b := s.run.Data; len(b) > 0; b = b[rowSize(b):] {
				if err := add(b[:rowSize(b)]); err != nil {
					return err
				}
			}
			return nil
		}
		r := kvRun{arenas: []*Rows{&s.run}, rows: s.run.Count}
		r.sort()
		for _, k := range r.keys {
			b := s.run.Data[k.off:]
			if err := add(b[:rowSize(b)]); err != nil {
				return err
			}
		}
		return nil
	})
	s.run.Data, s.run.Count, s.last, s.mixed = s.run.Data[:0], 0, 0, false
	return err
}

// each calls f for all entries in order. The text is borrowed.
func (s *entrySorter) each(f func(text []byte, n, x, y int64) error) error {
	if err := s.flush(); err != nil {
		return err
	}
	s.run.Data = nil
	m, err := s.spill.merge()
	if err != nil {
		return err
	}
	var room []byte
	return m.each(s.ctx, func(b []byte) error {
		r := parseRow(b)
		text, n := parseEntryKey(r.A, &room)
		return f(text, n, r.B.Int, r.Pos)
	})
}

// appendEntryKey makes one key of a text and a number whose bytes have their order: a zero byte in the text is followed by 0xff, its end is
// two zeros, and the number's sign is the other way round.
func appendEntryKey(dst, text []byte, n int64) []byte {
	for {
		i := bytes.IndexByte(text, 0)
		if i < 0 {
			break
		}
		dst = append(append(dst, text[:i+1]...), 0xff)
		text = text[i+1:]
	}
	dst = append(append(dst, text...), 0, 0)
	return binary.BigEndian.AppendUint64(dst, uint64(n)^1<<63)
}

// parseEntryKey borrows the text from the key, or from room where it had zero bytes.
func parseEntryKey(key []byte, room *[]byte) (text []byte, n int64) {
	end := len(key) - 8
	text, n = key[:end-2], int64(binary.BigEndian.Uint64(key[end:])^1<<63)
	if bytes.IndexByte(text, 0) >= 0 {
		*room = append((*room)[:0], bytes.ReplaceAll(text, []byte{0, 0xff}, []byte{0})...)
		text = *room
	}
	return text, n
}
