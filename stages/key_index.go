package stages

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"swingport/format"
)

// keyed are the small tables and the columns of their primary keys.
var keyed = []struct {
	table, key string
	columns    int
}{
	{"transcriptSpans", "vatID, startPos", 2},
	{"snapshots", "vatID, snapPos", 2},
	{"bundles", "bundleID", 1},
}

// CheckKeys compares each small table with the index of its primary key, by the number of rows and a sum over keys and rowids, and asks found
// about each that differs, with an *IndexError. The engine reads these tables by that index, and what an index that is damaged leaves out would
// be missing from an export, whose records come by the same way, without anybody noticing.
func (s *Store) CheckKeys(ctx context.Context, found func(error) error) error {
	seed := maphash.MakeSeed()
	for _, t := range keyed {
		index := "sqlite_autoindex_" + t.table + "_1"
		if !s.schema.keyIndex[index] {
			continue
		}
		var counts [2]int64
		var sums [2]uint64
		for i, how := range []string{"NOT INDEXED", "INDEXED BY " + index} {
			sql := fmt.Sprintf("SELECT rowid, %s FROM %s %s", t.key, t.table, how)
			err := s.db.Stream(sql, 1+t.columns, func(c []format.Value) error {
				counts[i]++
				sums[i] += keySum(seed, c[0].Int, c[1:])
				return ctx.Err()
			})
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				return s.oldSchema(err)
			}
		}
		if err := indexDiffers(t.table, counts[0], counts[1], sums[0], sums[1]); err != nil {
			if err := found(&IndexError{s.path, t.table, err}); err != nil {
				return err
			}
		}
	}
	return nil
}

// indexDiffers is an error where the rows of a table are not those of its index.
func indexDiffers(table string, rows, entries int64, rowSum, entrySum uint64) error {
	switch {
	case rows != entries:
		return fmt.Errorf("%s has %d rows, its index %d entries: %w", table, rows, entries, ErrDamaged)
	case rowSum != entrySum:
		return fmt.Errorf("the rows of %s and the entries of its index differ: %w", table, ErrDamaged)
	}
	return nil
}

// keySum is the hash of a key of one or two columns, the second an integer, and its rowid, to be added to those of others.
func keySum(seed maphash.Seed, rowid int64, key []format.Value) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	var n [25]byte
	n[0] = byte(key[0].Type)
	binary.LittleEndian.PutUint64(n[1:], uint64(key[0].Int))
	binary.LittleEndian.PutUint64(n[9:], uint64(rowid))
	if len(key) > 1 {
		binary.LittleEndian.PutUint64(n[17:], uint64(key[1].Int))
	}
	h.Write(n[:])
	h.Write(key[0].Bytes)
	return h.Sum64()
}
