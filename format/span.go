package format

import (
	"bytes"
	"unicode/utf8"
)

// LineSplitter cuts a stream of bytes at 0x0A. Lines may straddle chunks; only
// such a line is copied. The zero LineSplitter is ready. It is sticky: after an
// error, emit's too, every call returns it.
type LineSplitter struct {
	part []byte
	err  error
}

// Feed calls emit for each line that ends in chunk, without its newline. The
// line belongs to the caller of Feed and holds until emit returns.
func (s *LineSplitter) Feed(chunk []byte, emit func(line []byte) error) error {
	for s.err == nil && len(chunk) > 0 {
		end := bytes.IndexByte(chunk, '\n')
		whole := end >= 0
		if !whole {
			end = len(chunk)
		}
		if len(s.part)+end > MaxLine {
			s.err = errorf(ErrLimit, "line of more than %d bytes", MaxLine)
			break
		}
		line := chunk[:end]
		if !whole || len(s.part) > 0 {
			s.part = append(s.part, line...)
			line = s.part
		}
		if !whole {
			break
		}
		chunk = chunk[end+1:]
		s.part = s.part[:0]
		s.err = emit(line)
	}
	return s.err
}

// Finish calls emit for a last line without a newline, if there is one. After it
// the splitter may be used for another stream, unless there was an error.
func (s *LineSplitter) Finish(emit func(line []byte) error) error {
	if s.err == nil && len(s.part) > 0 {
		line := s.part
		s.part = s.part[:0]
		s.err = emit(line)
	}
	return s.err
}

// SpanSplitter cuts the bytes of a span artifact into its items as import does:
// lines, decoded as AppendText does, with TrimEnd. An empty line is an empty
// item; an empty file has no items. The zero SpanSplitter is ready.
type SpanSplitter struct {
	lines   LineSplitter
	decoded []byte
}

// Feed calls emit for each item that ends in chunk. The item holds until emit
// returns. Errors are emit's, or ErrLimit, and sticky.
func (s *SpanSplitter) Feed(chunk []byte, emit func(item []byte) error) error {
	return s.lines.Feed(chunk, func(line []byte) error { return emit(s.item(line)) })
}

// Finish calls emit for a last item without a newline, if there is one.
func (s *SpanSplitter) Finish(emit func(item []byte) error) error {
	return s.lines.Finish(func(line []byte) error { return emit(s.item(line)) })
}

func (s *SpanSplitter) item(line []byte) []byte {
	if !utf8.Valid(line) {
		s.decoded = AppendText(s.decoded[:0], line)
		line = s.decoded
	}
	return TrimEnd(line)
}

// ItemSurvives reports whether an item comes back from a span artifact as it
// is: it has no newline in it and no white space at its end. item is valid
// UTF-8. The reference exports others too, and then cannot import them.
func ItemSurvives(item []byte) bool {
	return bytes.IndexByte(item, '\n') < 0 && len(TrimEnd(item)) == len(item)
}
