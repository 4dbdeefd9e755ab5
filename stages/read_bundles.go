package stages

import (
	"context"

	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// ReadBundles sends all bundles, in manifest order. A pruned one, and an empty text, fails with the reference's words.
func ReadBundles(ctx context.Context, s *Store, p *Plan, out *Link[*Artifact]) error {
	if p.Mode == format.None {
		return nil
	}
	for i := range p.bundles {
		b := &p.bundles[i]
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
		a.Content = func(_ context.Context, f func(Piece) error) error {
			return s.bundle(b, func(p Piece) error {
				a.Size = int64(len(p.Data))
				return f(p)
			})
		}
		if err := out.Send(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// bundle reads one bundle as a single piece: all of it is needed to check its id, and bundles have some megabytes at most.
func (s *Store) bundle(b *bundlePlan, f func(Piece) error) error {
	if s.db.utf16 && b.kind == lib.SQLITE_TEXT {
		return s.db.Stream("SELECT bundle FROM bundles WHERE rowid=?1", 1, func(c []format.Value) error {
			return f(Piece{Chunk: &Chunk{Data: append([]byte(nil), c[0].Bytes...), pool: unpooled{}}})
		}, b.rowid)
	}
	blob, err := s.db.OpenBlob("bundles", "bundle", b.rowid, false)
	if err != nil {
		return err
	}
	defer blob.Close()
	data := make([]byte, blob.Size())
	if err := blob.ReadAt(data, 0); err != nil {
		return err
	}
	if b.kind == lib.SQLITE_TEXT && !format.ValidText(data) {
		data = format.AppendText(nil, data)
	}
	return f(Piece{Chunk: &Chunk{Data: data, pool: unpooled{}}})
}
