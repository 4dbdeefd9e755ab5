package main

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"

	"github.com/klauspost/compress/gzip"

	"swingport/stages"
)

// content is what is made beside the rows, since it depends on none of them.
type content struct {
	heaps   []packedHeap // one for each live vat
	bundles []bundle
}

type packedHeap struct {
	packed []byte // as it is stored
	hash   string
	size   int64 // unpacked
}

type bundle struct {
	id      string
	content []byte
	text    bool // stored as TEXT; else as BLOB
}

func (r recipe) content(ctx context.Context) (c content, err error) {
	rng := r.rng(2)
	pages := heapPages(rng)
	for i := range r.liveVats() {
		size := r.heapBytes()/2 + rng.Int64N(r.heapBytes())
		if i == 0 {
			size = r.bigHeap()
		}
		h, err := heap(ctx, rng, pages, size)
		if err != nil {
			return c, err
		}
		c.heaps = append(c.heaps, h)
	}
	t := newTexts(rng)
	for i := range r.bundles() {
		var text []byte
		for len(text) < r.bundleBytes() {
			text = t.value(text)
			text = append(text, '\n')
		}
		form := b1
		if i%3 == 0 {
			form = b0
		}
		b, err := form(text)
		if err != nil {
			return c, err
		}
		c.bundles = append(c.bundles, b)
	}
	return c, nil
}

// insert adds snapshots with content, one for each vat that has one in use, and bundles.
func (c content) insert(db *stages.DB, m *maker) error {
	add := func(sql string, bind func(st *stages.Stmt) error) error {
		st, err := db.Prepare(sql)
		if err != nil {
			return err
		}
		defer st.Finalize()
		if err := bind(st); err != nil {
			return err
		}
		return st.Run()
	}
	for i, h := range c.heaps {
		v := m.vats[i]
		if v.snapshot < 0 {
			continue
		}
		const sql = "INSERT INTO snapshots (vatID, snapPos, inUse, hash, uncompressedSize, compressedSize, compressedSnapshot) VALUES (?,?,1,?,?,?,?)"
		err := add(sql, func(st *stages.Stmt) error {
			return errors.Join(st.Bind(v.id, v.snapshot, h.hash, h.size, int64(len(h.packed))), st.BindBlob(6, h.packed))
		})
		if err != nil {
			return err
		}
		m.made.Heaps++
	}
	for _, b := range c.bundles {
		err := add("INSERT INTO bundles (bundleID, bundle) VALUES (?,?)", func(st *stages.Stmt) error {
			if b.text {
				return st.Bind(b.id, b.content)
			}
			return errors.Join(st.Bind(b.id), st.BindBlob(2, b.content))
		})
		if err != nil {
			return err
		}
		m.made.Bundles++
	}
	return nil
}

// heapPages are 48 pages that look like an engine's heap: slots with pointers to others, and texts.
func heapPages(rng *rand.Rand) [][]byte {
	pages := make([][]byte, 48)
	for i := range pages {
		p := make([]byte, 1<<16)
		for o := 0; o < len(p)-64; {
			if rng.IntN(10) < 7 {
				binary.LittleEndian.PutUint32(p[o:], uint32(i*2048+o/32+rng.IntN(300))*32)
				binary.LittleEndian.PutUint16(p[o+8:], uint16(rng.IntN(4000)))
				p[o+10], p[o+11] = byte(rng.IntN(16)), byte(rng.IntN(40))
				if rng.IntN(3) == 0 {
					binary.LittleEndian.PutUint32(p[o+16:], rng.Uint32())
				}
				o += 32
				continue
			}
			o += copy(p[o:o+48], fmt.Sprintf("%s_%s:%012x", words[rng.IntN(len(words))], methods[rng.IntN(len(methods))], rng.Uint64N(1<<48))) + 1
		}
		pages[i] = p
	}
	return pages
}

// heap makes a heap of size bytes of those pages, each with other numbers in some places.
func heap(ctx context.Context, rng *rand.Rand, pages [][]byte, size int64) (packedHeap, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, 6)
	if err != nil {
		return packedHeap{}, err
	}
	sum := sha256.New()
	page := make([]byte, 1<<16)
	for left := size; left > 0; left -= int64(len(page)) {
		if ctx.Err() != nil {
			return packedHeap{}, context.Cause(ctx)
		}
		copy(page, pages[rng.IntN(len(pages))])
		for range 300 {
			binary.LittleEndian.PutUint32(page[4*rng.IntN(len(page)/4):], rng.Uint32())
		}
		p := page[:min(left, int64(len(page)))]
		sum.Write(p)
		if _, err := z.Write(p); err != nil {
			return packedHeap{}, err
		}
	}
	err = z.Close()
	return packedHeap{out.Bytes(), hex.EncodeToString(sum.Sum(nil)), size}, err
}

// b0 is a bundle of the form nestedEvaluate: JSON, named by its hash.
func b0(source []byte) (bundle, error) {
	quoted, err := json.Marshal(string(source))
	text := fmt.Appendf(nil, `{"moduleFormat":"nestedEvaluate","source":%s,"sourceMap":""}`, quoted)
	return bundle{fmt.Sprintf("b0-%x", sha256.Sum256(text)), text, true}, err
}

// b1 is a bundle of the form endoZipBase64: a zip, named by the hash of its compartment map.
func b1(text []byte) (bundle, error) {
	module, err := json.Marshal(string(text))
	if err != nil {
		return bundle{}, err
	}
	compartments := fmt.Appendf(nil, `{"tags":[],"entry":{"compartment":"made-v1.0.0","module":"./index.json"},"compartments":{"made-v1.0.0":`+
		`{"name":"made","label":"made-v1.0.0","location":"made-v1.0.0","modules":{"./index.json":`+
		`{"location":"index.json","parser":"json","sha512":"%x"}}}}}`, sha512.Sum512(module))
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range []struct {
		name    string
		content []byte
	}{{"compartment-map.json", compartments}, {"made-v1.0.0/index.json", module}} {
		// With sizes in front of the content: readers of bundles know no other zips.
		n := uint64(len(f.content))
		w, err := z.CreateRaw(&zip.FileHeader{Name: f.name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(f.content), CompressedSize64: n, UncompressedSize64: n})
		if err != nil {
			return bundle{}, err
		}
		if _, err := w.Write(f.content); err != nil {
			return bundle{}, err
		}
	}
	err = z.Close()
	return bundle{fmt.Sprintf("b1-%x", sha512.Sum512(compartments)), out.Bytes(), false}, err
}
