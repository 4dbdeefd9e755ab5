package hostile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

// What bombs become: more than anybody may hold in memory.
const (
	packedBomb = 512 << 20
	sparseBomb = 2 << 30
	sparsePage = 1 << 28 // pages of a sparse store, a tebibyte
	longValue  = 200 << 20
)

// A bomb is a small file, or a sparse one, that is large to whoever reads it, in the place of something in a good export or store.
type bomb struct {
	name string
	kind pipeline.Kind
	make func(dir, inputs string) error // at dir, a name that is free
	good bool                           // it is as it should be, only large
}

// fillers are what the content of bombs is, again and again.
var fillers = []struct{ name, text string }{{"zeros", "\x00"}, {"spaces", " "}, {"newlines", "\n"}, {"lines", `["kv.x","y"]` + "\n"}}

// allBombs are bombs in the place of each file of an export, in both packings by turns and as sparse files, and in stores.
func allBombs(exported []string) (list []bomb) {
	for i, file := range exported {
		for j, filler := range fillers {
			pack := "tar.gz"
			if (i+j)%2 == 0 {
				pack = "tar.zst"
			}
			list = append(list, bomb{name: fmt.Sprintf("%s as %s in %s", filler.name, file, pack), kind: pipeline.KindArchive,
				make: func(dir, inputs string) error {
					return packedBombAt(dir, filepath.Join(inputs, "directory"), file, filler.text, pack)
				}})
		}
		list = append(list, bomb{name: "sparse file as " + file, kind: pipeline.KindExportDir, make: func(dir, inputs string) error {
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(inputs, "directory"))); err != nil {
				return err
			}
			return os.Truncate(filepath.Join(dir, file), sparseBomb)
		}})
	}
	return append(list,
		bomb{name: "heap that unpacks to zeros", kind: pipeline.KindStateDir, make: changedStore(func(db *stages.DB) error {
			packed, err := gzipOf("\x00", packedBomb)
			if err != nil {
				return err
			}
			return db.Exec("UPDATE snapshots SET compressedSnapshot=CAST(? AS BLOB)", packed)
		})},
		bomb{name: "long value of a key", kind: pipeline.KindStateDir, make: changedStore(func(db *stages.DB) error {
			return db.Exec("UPDATE kvStore SET value=CAST(zeroblob(?) AS TEXT) WHERE key='v1.long'", int64(longValue))
		})},
		bomb{name: "long item", kind: pipeline.KindStateDir, make: changedStore(func(db *stages.DB) error {
			return db.Exec("UPDATE transcriptItems SET item=CAST(zeroblob(?) AS TEXT) WHERE position=1", int64(longValue))
		})},
		bomb{name: "sparse store", kind: pipeline.KindStateDir, good: true, make: sparseStore},
		bomb{name: "sparse log", kind: pipeline.KindStateDir, good: true, make: func(dir, inputs string) error {
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(inputs, "logged"))); err != nil {
				return err
			}
			return os.Truncate(filepath.Join(dir, stages.StoreFile+"-wal"), sparseBomb)
		}})
}

// repeated reads a text again and again.
type repeated struct {
	block []byte
	at    int
}

func newRepeated(text string) *repeated { return &repeated{block: []byte(strings.Repeat(text, 1<<16))} }

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.block[r.at:])
	r.at = (r.at + n) % len(r.block)
	return n, nil
}

// packedBombAt packs a directory, with one file of a bomb's size.
func packedBombAt(path, dir, file, filler, pack string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var z io.WriteCloser
	if pack == "tar.gz" {
		z, err = gzip.NewWriterLevel(f, gzip.BestSpeed)
	} else {
		z, err = zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		return err
	}
	all, err := files(dir)
	if err != nil {
		return err
	}
	w := tar.NewWriter(z)
	for name, data := range all {
		size, r := int64(len(data)), io.Reader(bytes.NewReader(data))
		if name == file {
			size, r = packedBomb, io.LimitReader(newRepeated(filler), packedBomb)
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size}); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), z.Close())
}

func gzipOf(text string, size int64) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := io.CopyN(z, newRepeated(text), size)
	return out.Bytes(), errors.Join(err, z.Close())
}

// changedStore copies the good store and changes it.
func changedStore(change func(db *stages.DB) error) func(dir, inputs string) error {
	return func(dir, inputs string) error {
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(inputs, "store"))); err != nil {
			return err
		}
		db, err := stages.OpenDB(filepath.Join(dir, stages.StoreFile), stages.ReadWrite, nil)
		if err != nil {
			return err
		}
		return errors.Join(change(db), db.Close())
	}
}

// sparseStore is the good store, with a header that says that there are very many pages, and a file with room for them.
func sparseStore(dir, inputs string) error {
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(inputs, "store"))); err != nil {
		return err
	}
	path := filepath.Join(dir, stages.StoreFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(data[28:], sparsePage)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	return os.Truncate(path, sparsePage*4096)
}

// exportedFiles are the names in the good directory, each a place for bombs.
func exportedFiles(inputs string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(inputs, "directory"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Name() != string(format.AppendSpanName(nil, vat, spanFrom, spanFrom+2)) { // one span is enough
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}
