package stages

import (
	"bufio"
	"bytes"
	"container/heap"
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

// fileRun reads a run back.
type fileRun struct {
	f       *File
	at, end int64
	buf     []byte // unread bytes
	room    []byte
}

func (r *fileRun) next() ([]byte, error) {
	if len(r.buf) < rowHeader || len(r.buf) < rowSize(r.buf) {
		if err := r.fill(); err != nil || len(r.buf) == 0 {
			return nil, err
		}
	}
	n := rowSize(r.buf)
	row := r.buf[:n]
	r.buf = r.buf[n:]
	return row, nil
}

// fill reads on until the buffer holds a whole row.
func (r *fileRun) fill() error {
	for {
		kept := copy(r.room, r.buf)
		n := int(min(int64(len(r.room)-kept), r.end-r.at))
		if _, err := r.f.ReadAt(r.room[kept:kept+n], r.at); err != nil && err != io.EOF {
			return err
		}
		r.at += int64(n)
		r.buf = r.room[:kept+n]
		if len(r.buf) == 0 || len(r.buf) >= rowHeader && len(r.buf) >= rowSize(r.buf) {
			return nil
		}
		if n == 0 && r.at == r.end {
			return io.ErrUnexpectedEOF
		}
		if len(r.buf) >= rowHeader {
			r.room = append(make([]byte, 0, rowSize(r.buf)), r.buf...)[:rowSize(r.buf)]
			r.buf = r.room[:len(r.buf)]
		}
	}
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
			m.heads = append(m.heads, head{row, rowKey(row), r})
		}
	}
	heap.Init(m)
	return m, nil
}

// merger is a heap of runs by the key of their next row.
type merger struct {
	heads   []head
	started bool
}

type head struct {
	row, key []byte
	src      source
}

func (m *merger) Len() int           { return len(m.heads) }
func (m *merger) Less(i, j int) bool { return bytes.Compare(m.heads[i].key, m.heads[j].key) < 0 }
func (m *merger) Swap(i, j int)      { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }
func (m *merger) Push(any)           { panic("not used") }
func (m *merger) Pop() any {
	m.heads = m.heads[:len(m.heads)-1]
	return nil
}

// next is the next row; nil is the end. It is borrowed until the call after.
func (m *merger) next() ([]byte, error) {
	if m.started && len(m.heads) > 0 {
		h := &m.heads[0]
		row, err := h.src.next()
		if err != nil {
			return nil, err
		}
		if row == nil {
			heap.Pop(m)
		} else {
			h.row, h.key = row, rowKey(row)
			heap.Fix(m, 0)
		}
	}
	m.started = true
	if len(m.heads) == 0 {
		return nil, nil
	}
	return m.heads[0].row, nil
}
