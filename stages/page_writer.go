package stages

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"swingport/format"
)

// PageWriter is a Sink that makes the same rows as the Inserter, in less time: it builds the b-trees of kvStore and transcriptItems and of their
// indexes itself, from the leaves up. The pages are appended to the file behind those of the engine, which inserts everything else: at
// any time one of the two has the file, and gives it to the other when a part comes that is the other's.
type PageWriter struct {
	*Inserter
	file  *pageFile
	pages bool // the file is ours, not the engine's

	kv, kvIndex, items, itemsIndex *treeBuilder

	kvRows, itemRows int64 // the last rowids
	kvKeys, itemKeys *entrySorter
	head, tail       []byte // of a record
	fixes            *spool // rows of kvStore to be changed in the end, see noteFix
	first, last      int64  // of the rows of the key whose entries are being merged; 0 where there are none
}

const fixKeep = 1 << 20 // bytes of fixes in memory

// NewPageWriter makes the database at path, with the tables of a swing-store. Index entries spill to files in tempDir. The end of ctx ends
// what takes long.
func NewPageWriter(ctx context.Context, path, tempDir string, fsys *FS) (*PageWriter, error) {
	s, err := NewInserter(path, fsys)
	if err != nil {
		return nil, err
	}
	w := &PageWriter{
		Inserter: s, kvKeys: newEntrySorter(ctx, tempDir, fsys), itemKeys: newEntrySorter(ctx, tempDir, fsys),
		fixes: newSpools(fixKeep, tempDir, fsys).new(),
	}
	if err := w.open(path, fsys); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *PageWriter) open(path string, fsys *FS) error {
	// An engine that keeps its lock would not look whether the file has changed.
	if err := w.db.Exec("PRAGMA locking_mode = normal"); err != nil {
		return err
	}
	roots := map[string]uint32{}
	err := w.db.Query("SELECT name, rootpage FROM sqlite_schema", func(s *Stmt) error {
		roots[s.Text(0)] = uint32(s.Int(1))
		return nil
	})
	if err != nil {
		return err
	}
	if w.file, err = openPageFile(path, fsys); err != nil {
		return err
	}
	tree := func(name string, index bool) *treeBuilder { return newTreeBuilder(w.file, roots[name], index) }
	w.kv, w.kvIndex = tree("kvStore", false), tree("sqlite_autoindex_kvStore_1", true)
	w.items, w.itemsIndex = tree("transcriptItems", false), tree("sqlite_autoindex_transcriptItems_1", true)
	return nil
}

// Close ends the connection. What Finish did not commit is lost.
func (w *PageWriter) Close() error {
	w.kvKeys.close()
	w.itemKeys.close()
	err := w.fixes.Release()
	if w.file != nil {
		err = errors.Join(err, w.file.close())
	}
	return errors.Join(err, w.Inserter.Close())
}

// ours takes the file from the engine.
func (w *PageWriter) ours() error {
	if w.pages {
		return nil
	}
	if err := w.commit(); err != nil {
		return err
	}
	w.pages = true
	return w.file.begin()
}

// engines gives the file to the engine.
func (w *PageWriter) engines() error {
	if !w.pages {
		return nil
	}
	if err := w.file.end(); err != nil {
		return err
	}
	w.pages = false
	return w.db.Exec("BEGIN EXCLUSIVE")
}

// KV implements Sink. Rows of a key that comes again are stored too, until Finish.
func (w *PageWriter) KV(rows []KV) error {
	if len(rows) == 0 {
		return nil
	}
	if err := w.ours(); err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		w.kvRows++
		remove := int64(1)
		if !r.Delete {
			remove = 0
			w.head = appendRecordHeader(w.head[:0], textType(len(r.Key)), textType(len(r.Value)))
			if err := w.kv.row(w.kvRows, payload{w.head, r.Key, r.Value}); err != nil {
				return err
			}
		}
		if err := w.kvKeys.add(r.Key, w.kvRows, remove, 0); err != nil {
			return err
		}
	}
	return nil
}

// Items implements Sink. What has a position that was there before shows in Finish.
func (w *PageWriter) Items(p *SpanItems) error {
	if err := w.ours(); err != nil {
		return err
	}
	err := w.itemKeys.add([]byte(p.VatID), p.Start, int64(len(p.Items)), w.itemRows+1)
	if err != nil {
		return err
	}
	incarnation := uint64(0)
	w.tail = w.tail[:0]
	if p.Incarnation.Valid {
		incarnation, w.tail = intType(p.Incarnation.V), appendInt(w.tail, p.Incarnation.V)
	}
	for i, item := range p.Items {
		pos := p.Start + int64(i)
		w.itemRows++
		w.head = appendRecordHeader(w.head[:0], textType(len(p.VatID)), intType(pos), textType(len(item)), incarnation)
		w.head = appendInt(append(w.head, p.VatID...), pos)
		if err := w.items.row(w.itemRows, payload{w.head, item, w.tail}); err != nil {
			return err
		}
	}
	return nil
}

// Metadata implements Sink.
func (w *PageWriter) Metadata(ctx context.Context, m *Metadata) error {
	if err := w.engines(); err != nil {
		return err
	}
	return w.Inserter.Metadata(ctx, m)
}

// Snapshot implements Sink.
func (w *PageWriter) Snapshot(ctx context.Context, p *PackedSnapshot) error {
	if err := w.engines(); err != nil {
		return err
	}
	return w.Inserter.Snapshot(ctx, p)
}

// Bundle implements Sink.
func (w *PageWriter) Bundle(p *CheckedBundle) error {
	if err := w.engines(); err != nil {
		return err
	}
	return w.Inserter.Bundle(p)
}

// Finish implements Sink: it sets host.height, completes the trees, changes what keys that came again changed, and commits.
func (w *PageWriter) Finish(height float64) error {
	if err := w.KV([]KV{heightRow(height)}); err != nil {
		return err
	}
	if err := w.indexKV(); err != nil {
		return err
	}
	if err := w.indexItems(); err != nil {
		return err
	}
	for _, t := range []*treeBuilder{w.kv, w.kvIndex, w.items, w.itemsIndex} {
		if err := t.finish(); err != nil {
			return err
		}
	}
	if err := w.engines(); err != nil {
		return err
	}
	if err := w.fix(); err != nil {
		return err
	}
	return w.commit()
}

// indexItems makes the index of transcriptItems.
func (w *PageWriter) indexItems() error {
	var vatID []byte
	next, some := int64(0), false
	return w.itemKeys.each(func(text []byte, pos, count, rowid int64) error {
		if some && string(vatID) == string(text) && pos < next {
			return errorf(format.ErrDuplicate, "UNIQUE constraint failed: transcriptItems.vatID, transcriptItems.position: item %d of vat %s comes twice", pos, text)
		}
		vatID, next, some = append(vatID[:0], text...), pos+count, true
		for i := range count {
			p, r := pos+i, rowid+i
			w.head = appendRecordHeader(w.head[:0], textType(len(text)), intType(p), intType(r))
			w.tail = appendInt(appendInt(w.tail[:0], p), r)
			if err := w.itemsIndex.entry(payload{w.head, text, w.tail}); err != nil {
				return err
			}
		}
		return nil
	})
}

// indexKV makes the index of kvStore, of all rows that were written, and notes what is to become of those whose key came again.
func (w *PageWriter) indexKV() error {
	var key []byte
	err := w.kvKeys.each(func(text []byte, rowid, remove, _ int64) error {
		if string(key) != string(text) {
			if err := w.keyEnds(); err != nil {
				return err
			}
			key = append(key[:0], text...)
		}
		if remove != 0 {
			return w.keyRemoved()
		}
		if err := w.keyAgain(rowid); err != nil {
			return err
		}
		w.head = appendRecordHeader(w.head[:0], textType(len(text)), intType(rowid))
		w.tail = appendInt(w.tail[:0], rowid)
		return w.kvIndex.entry(payload{w.head, text, w.tail})
	})
	if err != nil {
		return err
	}
	return w.keyEnds()
}

// keyAgain: the first row of a key stays, and gets the value of the last one.
func (w *PageWriter) keyAgain(rowid int64) error {
	if w.first == 0 {
		w.first, w.last = rowid, rowid
		return nil
	}
	if w.last != w.first {
		if err := w.noteFix(w.last, 0); err != nil {
			return err
		}
	}
	w.last = rowid
	return nil
}

// keyRemoved: none of the rows so far stays.
func (w *PageWriter) keyRemoved() error {
	if w.first == 0 {
		return nil
	}
	first, last := w.first, w.last
	w.first, w.last = 0, 0
	if last != first {
		if err := w.noteFix(last, 0); err != nil {
			return err
		}
	}
	return w.noteFix(first, 0)
}

// keyEnds: there are no more rows of this key.
func (w *PageWriter) keyEnds() error {
	first, last := w.first, w.last
	w.first, w.last = 0, 0
	if first == last {
		return nil
	}
	if err := w.noteFix(first, last); err != nil {
		return err
	}
	return w.noteFix(last, 0)
}

// noteFix notes that a row of kvStore gets the value of another, or with from 0 goes away.
func (w *PageWriter) noteFix(rowid, from int64) error {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(rowid))
	binary.LittleEndian.PutUint64(b[8:], uint64(from))
	_, err := w.fixes.Write(b[:])
	return err
}

// fix does what was noted. The index has all rows still, so that the engine finds what it removes.
func (w *PageWriter) fix() error {
	if w.fixes.size == 0 {
		return nil
	}
	move, err := w.db.Prepare("UPDATE kvStore SET value = (SELECT value FROM kvStore WHERE rowid = ?2) WHERE rowid = ?1")
	if err != nil {
		return err
	}
	defer move.Finalize()
	remove, err := w.db.Prepare("DELETE FROM kvStore WHERE rowid = ?1")
	if err != nil {
		return err
	}
	defer remove.Finalize()
	var b [16]byte
	for at := int64(0); at < w.fixes.size; at += int64(len(b)) {
		if w.kvKeys.ctx.Err() != nil {
			return context.Cause(w.kvKeys.ctx)
		}
		if err := w.fixes.readAt(b[:], at); err != nil {
			return err
		}
		rowid, from := int64(binary.LittleEndian.Uint64(b[:])), int64(binary.LittleEndian.Uint64(b[8:]))
		st, args := remove, []any{rowid}
		if from != 0 {
			st, args = move, []any{rowid, from}
		}
		if err := st.Bind(args...); err != nil {
			return err
		}
		if err := st.Run(); err != nil {
			return fmt.Errorf("row %d of kvStore: %w", rowid, err)
		}
	}
	return nil
}
