package stages

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"sync"

	"swingport/format"
)

// spill is sorted runs of rows in one temporary file, for what is more than the memory may hold.
type spill struct {
	dir  string
	fsys *FS

	mu   sync.Mutex // held while a run is written
	file *File
	end  int64
	runs []source // in memory, and in the file
}

const mergeMemory = 16 << 20 // bytes of read buffers while merging

func newSpill(dir string, fsys *FS) *spill { return &spill{dir: dir, fsys: fsys} }

func (s *spill) close() {
	if s.file != nil {
		s.file.Close()
	}
}

// runWriter writes one run; its rows must come in the order of their keys.
type runWriter struct {
	s     *spill
	w     *bufio.Writer
	start int64
	row   []byte
}

// newRun begins a run at the end of the file; the next one waits until it is closed.
func (s *spill) newRun() (*runWriter, error) {
	s.mu.Lock()
	if s.file == nil {
		f, err := s.fsys.Temp(s.dir)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		s.file = f
	}
	return &runWriter{s: s, w: bufio.NewWriterSize(s.file, 256<<10), start: s.end}, nil
}

func (w *runWriter) add(key []byte, v format.Value) error {
	w.row = appendRow(w.row[:0], key, v, 0)
	return w.addRow(w.row)
}

func (w *runWriter) addRow(row []byte) error {
	n, err := w.w.Write(row)
	w.s.end += int64(n)
	return err
}

func (w *runWriter) close() error {
	defer w.s.mu.Unlock()
	err := w.w.Flush()
	w.s.runs = append(w.s.runs, &fileRun{f: w.s.file, at: w.start, end: w.s.end})
	return err
}

// keep adds a run that stays in memory.
func (s *spill) keep(r source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs = append(s.runs, r)
}

// source gives sorted rows one by one; nil is the end. A row is borrowed until the next call.
type source interface{ next() ([]byte, error) }

// fileRun reads a run back. Of a row that is larger than its buffer it gives the header and the key: with many runs that wait for their turn,
// only the row whose turn it is may be in memory, by whole.
type fileRun struct {
	f       *File
	at, end int64
	buf     []byte // unread bytes
	room    []byte
	size    int // of the row that next gave
}

func (r *fileRun) next() ([]byte, error) {
	r.drop()
	if err := r.have(rowHeader); err != nil || len(r.buf) == 0 {
		return nil, err
	}
	r.size = rowSize(r.buf)
	part := r.size
	if part > len(r.room) {
		part = rowHeader + int(binary.LittleEndian.Uint32(r.buf))
	}
	if err := r.have(part); err != nil {
		return nil, err
	}
	return r.buf[:part], nil
}

// drop goes on behind the row that next gave.
func (r *fileRun) drop() {
	n := min(r.size, len(r.buf))
	r.buf, r.at, r.size = r.buf[n:], r.at+int64(r.size-n), 0
}

// whole is all of the row that next gave, in room where it is larger than the buffer.
func (r *fileRun) whole(room *[]byte) ([]byte, error) {
	if r.size <= len(r.buf) {
		return r.buf[:r.size], nil
	}
	if cap(*room) < r.size {
		*room = make([]byte, r.size)
	}
	row := (*room)[:r.size]
	n := copy(row, r.buf)
	if _, err := r.f.ReadAt(row[n:], r.at); err != nil {
		return nil, notEOF(err)
	}
	return row, nil
}

// have reads on until the buffer has n bytes. At the end of the run it may have none.
func (r *fileRun) have(n int) error {
	if len(r.buf) >= n {
		return nil
	}
	if n > len(r.room) {
		r.room = make([]byte, n)
	}
	kept := copy(r.room, r.buf)
	more := int(min(int64(len(r.room)-kept), r.end-r.at))
	if _, err := r.f.ReadAt(r.room[kept:kept+more], r.at); err != nil {
		return notEOF(err)
	}
	r.at += int64(more)
	r.buf = r.room[:kept+more]
	if len(r.buf) < n && (len(r.buf) > 0 || n > rowHeader) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// notEOF says of a file that ends before its runs what it is.
func notEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// merge reads all runs side by side, in the order of the keys.
func (s *spill) merge() (*merger, error) {
	m := &merger{}
	each := max(16<<10, min(1<<20, mergeMemory/max(1, len(s.runs))))
	for _, r := range s.runs {
		if f, ok := r.(*fileRun); ok {
			f.room = make([]byte, each)
		}
		row, err := r.next()
		if err != nil {
			return nil, err
		}
		if row != nil {
			m.heads = append(m.heads, &head{row, rowKey(row), r})
		}
	}
	for i := len(m.heads)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m, nil
}

// merger is a heap of runs by the key of their next row.
type merger struct {
	heads   []*head // a heap by key
	started bool
	room    []byte // for rows that are larger than the buffers
}

type head struct {
	row, key []byte
	src      source
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
		row, err := h.src.next()
		if err != nil {
			return nil, err
		}
		if last := len(m.heads) - 1; row == nil {
			m.heads[0] = m.heads[last]
			m.heads = m.heads[:last]
		} else {
			h.row, h.key = row, rowKey(row)
		}
		if len(m.heads) > 1 {
			m.down(0)
		}
	}
	m.started = true
	if len(m.heads) == 0 {
		return nil, nil
	}
	if f, ok := m.heads[0].src.(*fileRun); ok {
		return f.whole(&m.room)
	}
	return m.heads[0].row, nil
}
