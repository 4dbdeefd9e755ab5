package stages

import (
	"context"

	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// bundleMemory is how many bytes of bundles may be read and not yet written; a larger one may be alone.
const bundleMemory = 16 << 20

// ReadBundles sends all bundles, in manifest order. A pruned one, and an empty text, fails with the reference's words.
func ReadBundles(ctx context.Context, s *Store, p *Plan, out *Link[*Artifact]) error {
	if p.Mode == format.None {
		return nil
	}
	room := newMemory(bundleMemory)
	for i := range p.bundles {
		b := &p.bundles[i]
		if b.kept {
			continue
		}
		name := string(format.AppendBundleName(nil, b.id))
		_, err := format.ParseName(name)
		switch {
		case err != nil:
		case b.kind == lib.SQLITE_NULL || b.kind == lib.SQLITE_TEXT && b.stored == 0:
			err = errorf(format.ErrIncomplete, "bundle %q pruned", b.id)
		default:
			err = fileName(name)
		}
		if err != nil {
			if err := p.partial.leave(name, err); err != nil {
				return err
			}
			continue
		}
		a := &Artifact{Name: name, Kind: format.KindBundle, Hash: b.id, Order: i, Stored: b.stored}
		// The room is taken in this order, not that in which workers come to read, so that no bundle waits for one behind it.
		weight := min(b.stored, bundleMemory)
		if err := room.sem.Acquire(ctx, weight); err != nil {
			return context.Cause(ctx)
		}
		a.Content = func(_ context.Context, f func(Piece) error) error {
			data, err := s.bundle(b)
			c := &Chunk{Data: data, pool: room, class: -1, weight: weight}
			if err != nil {
				c.Release()
				return err
			}
			a.Size = int64(len(data))
			return f(Piece{Chunk: c})
		}
		if err := out.Send(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// bundle reads one bundle whole: all of it is needed to check its id, and bundles have some megabytes at most.
func (s *Store) bundle(b *bundlePlan) (data []byte, err error) {
	if b.stored > int64(s.max) {
		return nil, tooLarge("bundle", s.max)
	}
	if s.db.utf16 && b.kind == lib.SQLITE_TEXT {
		err = s.db.Stream("SELECT bundle FROM bundles WHERE rowid=?1", 1, func(c []format.Value) error {
			data = append(data, c[0].Bytes...)
			return nil
		}, b.rowid)
		return data, err
	}
	blob, err := s.db.OpenBlob("bundles", "bundle", b.rowid, false)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	data = make([]byte, blob.Size())
	if err := blob.ReadAt(data, 0); err != nil {
		return nil, err
	}
	if b.kind == lib.SQLITE_TEXT && !format.ValidText(data) {
		if err := checkText("bundle", data, s.max); err != nil {
			return nil, err
		}
		data = format.AppendText(nil, data)
	}
	return data, nil
}
