package stages

import (
	"encoding/binary"
	"os"
)

// lockPage is the page that holds the bytes which engines lock; it is never used (file format, section 1.4).
const lockPage = 1<<30/pageUnit + 1

// pageFileBuffer is how many pages are written at once.
const pageFileBuffer = 256

// pageFile appends pages to a database, front to back, while no engine reads or writes it. Pages are filled while those before them are written.
type pageFile struct {
	file   *File
	next   uint32 // the page that alloc gives next
	buf    []byte // the pages in front of it that are not written yet
	spare  []byte // the buffer that is being written
	behind behind
}

func openPageFile(path string, fsys *FS) (*pageFile, error) {
	f, err := fsys.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	const size = (pageFileBuffer + 1) * pageUnit
	return &pageFile{file: f, buf: make([]byte, 0, size), spare: make([]byte, 0, size)}, nil
}

// close leaves what end did not make part of the database.
func (f *pageFile) close() error {
	_ = f.behind.wait()
	return f.file.Close()
}

// begin goes on behind the pages that the file's header counts.
func (f *pageFile) begin() error {
	var h [100]byte
	if _, err := f.file.ReadAt(h[:], 0); err != nil {
		return err
	}
	f.next = binary.BigEndian.Uint32(h[28:])
	f.advance()
	return nil
}

// alloc gives the next page to be filled, with its number. What it holds is old; it is borrowed until the next call.
func (f *pageFile) alloc() (pgno uint32, page []byte, err error) {
	if len(f.buf) >= pageFileBuffer*pageUnit {
		if err := f.flush(); err != nil {
			return 0, nil, err
		}
	}
	pgno, n := f.next, len(f.buf)
	f.buf = f.buf[:n+pageUnit]
	f.advance()
	return pgno, f.buf[n : n+pageUnit], nil
}

// advance goes to the next page, over the one that is never used.
func (f *pageFile) advance() {
	if f.next++; f.next == lockPage {
		n := len(f.buf)
		f.buf = f.buf[:n+pageUnit]
		clear(f.buf[n:])
		f.next++
	}
}

// flush begins to write what was not written yet.
func (f *pageFile) flush() error {
	if len(f.buf) == 0 {
		return nil
	}
	pages, at := f.buf, int64(f.next-1)*pageUnit-int64(len(f.buf))
	err := f.behind.start(func() error {
		_, err := f.file.WriteAt(pages, at)
		return err
	})
	f.buf, f.spare = f.spare[:0], pages
	return err
}

// write replaces one page of those that were there before.
func (f *pageFile) write(pgno uint32, page []byte) error {
	_, err := f.file.WriteAt(page, int64(pgno-1)*pageUnit)
	return err
}

// end writes everything, and in the header how many pages there are now and that they are others than those in an engine's cache.
func (f *pageFile) end() error {
	if err := f.flush(); err != nil {
		return err
	}
	if err := f.behind.wait(); err != nil {
		return err
	}
	var h [100]byte
	if _, err := f.file.ReadAt(h[:], 0); err != nil {
		return err
	}
	change := binary.BigEndian.Uint32(h[24:]) + 1
	binary.BigEndian.PutUint32(h[24:], change)
	binary.BigEndian.PutUint32(h[28:], f.next-1)
	binary.BigEndian.PutUint32(h[92:], change) // the number of pages holds for this change
	_, err := f.file.WriteAt(h[:], 0)
	return err
}
