package stages

import (
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
)

// standardGunzip is what the standard library makes of a gzip.
func standardGunzip(packed []byte) ([]byte, error) {
	z, err := stdgzip.NewReader(bytes.NewReader(packed))
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // an empty file
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// onlyReader hides WriteTo.
type onlyReader struct{ io.Reader }

// sameAsStandard unpacks with z and with the standard library, and compares what comes and whether it is taken.
func sameAsStandard(t testing.TB, name string, z *gunzipReader, packed []byte) {
	t.Helper()
	want, wantErr := standardGunzip(packed)
	z.Reset(bytes.NewReader(packed))
	var got bytes.Buffer
	_, err := z.WriteTo(&got)
	compareGunzip(t, name, got.Bytes(), want, err, wantErr)
}

func compareGunzip(t testing.TB, name string, got, want []byte, err, wantErr error) {
	t.Helper()
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%s: error %v, of the standard library %v", name, err, wantErr)
	}
	// In front of an error the standard library stops a few codes sooner at the end of the input, and later where a code has no end of block.
	if n := min(len(got), len(want)); !bytes.Equal(got[:n], want[:n]) || err == nil && len(got) != len(want) {
		t.Errorf("%s: %d bytes, of the standard library %d (%v, %v)", name, len(got), len(want), err, wantErr)
	}
}

// gzipData is what the tests pack.
func gzipData(n int) map[string][]byte {
	rnd := rand.New(rand.NewPCG(7, 9))
	random, zeros, heap, letters := make([]byte, max(n, 32)), make([]byte, n), make([]byte, 0, n+64), make([]byte, n)
	for i := range random {
		random[i] = byte(rnd.Uint32())
	}
	for i := range letters {
		letters[i] = "eeeeeeetttaaoin shrdlu"[rnd.IntN(22)]
	}
	for len(heap) < n { // slots of an engine's heap, with names between them
		heap = binary.LittleEndian.AppendUint64(heap, uint64(len(heap)-rnd.IntN(4096)))
		heap = append(heap, 0, byte(rnd.IntN(40)), byte(rnd.IntN(8)), 0, 0, 0, 0, 0)
		if rnd.IntN(6) == 0 {
			heap = fmt.Appendf(heap, "%s_setValue:%x\x00", []string{"zoe", "marshal", "purse"}[rnd.IntN(3)], rnd.Uint64())
		}
	}
	all := map[string][]byte{"random": random[:n], "zeros": zeros, "heap": heap[:n], "letters": letters,
		"text": []byte(strings.Repeat("a heap is packed as it is read, ", n/32+1)[:n])}
	for period := 2; period <= 17; period++ {
		all[fmt.Sprintf("period=%d", period)] = bytes.Repeat(random[:period], n/period+1)[:n]
	}
	var far []byte // matches as far back as they can be
	for len(far) < n {
		far = append(far, random[:min(n, 32<<10)]...)
	}
	all["far"] = far[:n]
	return all
}

// Whatever packs, and whatever is packed: all comes out again, however it is read and written.
func TestGunzip(t *testing.T) {
	z := newGunzipReader(nil)
	sizes := []int{0, 1, 300, 64 << 10, 300_001}
	if raceEnabled {
		sizes = []int{0, 300, 100_000}
	}
	for _, n := range sizes {
		for name, data := range gzipData(n) {
			for level := stdgzip.HuffmanOnly; level <= 9; level++ {
				name := fmt.Sprintf("%s of %d at level %d", name, n, level)
				for i, packed := range [][]byte{packStandard(data, level), packFast(data, level)} {
					z.Reset(bytes.NewReader(packed))
					got, err := io.ReadAll(z)
					if err != nil || !bytes.Equal(got, data) {
						t.Errorf("%s, packer %d: %d bytes, %v", name, i, len(got), err)
					}
					if level == 6 {
						readEveryWay(t, name, z, packed, data)
					}
				}
			}
		}
	}
}

func packStandard(data []byte, level int) []byte {
	var b bytes.Buffer
	w, _ := stdgzip.NewWriterLevel(&b, level)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func packFast(data []byte, level int) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, level)
	w.Write(data[:len(data)/3])
	w.Flush()
	w.Write(data[len(data)/3:])
	w.Close()
	return b.Bytes()
}

func readEveryWay(t *testing.T, name string, z *gunzipReader, packed, data []byte) {
	t.Helper()
	check := func(how string, got []byte, err error) {
		t.Helper()
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s, %s: %d bytes, %v", name, how, len(got), err)
		}
	}
	z.Reset(iotest.OneByteReader(bytes.NewReader(packed)))
	got, err := io.ReadAll(z)
	check("byte by byte", got, err)
	z.Reset(iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(packed))))
	got, err = io.ReadAll(iotest.OneByteReader(z))
	check("to one byte at a time", got, err)
	z.Reset(bytes.NewReader(packed))
	var b bytes.Buffer
	_, err = io.CopyBuffer(struct{ io.Writer }{&b}, onlyReader{z}, make([]byte, 777))
	check("to 777 bytes", b.Bytes(), err)
	b.Reset()
	z.Reset(bytes.NewReader(bytes.Repeat(packed, 2)))
	if _, err = z.WriteTo(&b); b.Len() != 2*len(data) || err == nil && !bytes.Equal(b.Bytes()[:len(data)], b.Bytes()[len(data):]) {
		t.Errorf("%s twice: %d bytes, %v", name, b.Len(), err)
	} else {
		check("twice", b.Bytes()[len(data):], err)
	}
}

// All cuts and flips of small streams, of each kind of block.
func TestGunzipDamaged(t *testing.T) {
	z := newGunzipReader(nil)
	data := gzipData(3000)
	short := []byte("a heap, a heap, a heap")
	step := 1
	if raceEnabled {
		step = 7
	}
	for name, packed := range map[string][]byte{
		"stored": packStandard(short, 0), "fixed": packStandard(short, 9), "huffman": packStandard(data["letters"][:200], stdgzip.HuffmanOnly),
		"heap": packStandard(data["heap"][:700], 9), "far": packStandard(data["period=17"][:500], 6), "flushed": packFast(short, 5),
		"two": append(packStandard(short, 1), packStandard(short, 0)...), "header": fullHeader(packStandard(short, 6)),
	} {
		sameAsStandard(t, name, z, packed)
		whole, _ := standardGunzip(packed)
		for n := range packed {
			sameAsStandard(t, fmt.Sprintf("%s, %d bytes of it", name, n), z, packed[:n])
			if _, wantErr := standardGunzip(packed[:n]); wantErr == nil {
				continue // the first of two
			}
			z.Reset(iotest.OneByteReader(bytes.NewReader(packed[:n])))
			if got, err := io.ReadAll(z); err != io.ErrUnexpectedEOF || !bytes.HasPrefix(whole, got) {
				t.Errorf("%s, %d bytes of it: %d bytes, %v", name, n, len(got), err)
			}
		}
		for bit := 0; bit < len(packed)*8; bit += step {
			flipped := bytes.Clone(packed)
			flipped[bit/8] ^= 1 << (bit % 8)
			if second := len(packStandard(short, 1)); flipped[3]&gzipReserved != 0 || name == "two" && flipped[second+3]&gzipReserved != 0 {
				z.Reset(bytes.NewReader(flipped)) // the standard library takes these
				if _, err := io.ReadAll(z); !errors.Is(err, gzip.ErrHeader) {
					t.Errorf("%s, bit %d flipped, a reserved flag: %v", name, bit, err)
				}
				continue
			}
			sameAsStandard(t, fmt.Sprintf("%s, bit %d flipped", name, bit), z, flipped)
		}
		sameAsStandard(t, name+", followed by rubbish", z, append(bytes.Clone(packed), "rubbish, enough for a header"...))
		sameAsStandard(t, name+", followed by a zero", z, append(bytes.Clone(packed), 0))
	}
}

// fullHeader gives a gzip a header with everything in it.
func fullHeader(packed []byte) []byte {
	h := append(bytes.Clone(packed[:10]), 3, 0, 'a', 'b', 'c')
	h[3] = gzipExtra | gzipName | gzipComment | gzipHeaderSum
	h = append(h, "name\x00comment\x00"...)
	return append(binary.LittleEndian.AppendUint16(h, uint16(crc32.ChecksumIEEE(h))), packed[10:]...)
}

// Long extra fields and names, at the limits.
func TestGunzipHeaders(t *testing.T) {
	z := newGunzipReader(nil)
	packed := packStandard([]byte("heap"), 6)
	for _, n := range []int{0, 1, 510, 511, 512, 70_000} {
		h := append(bytes.Clone(packed[:10]), strings.Repeat("n", n)+"\x00"...)
		h[3] = gzipName
		sameAsStandard(t, fmt.Sprintf("a name of %d bytes", n), z, append(h, packed[10:]...))
		if n <= 0xffff {
			h = append(binary.LittleEndian.AppendUint16(bytes.Clone(packed[:10]), uint16(n)), make([]byte, n)...)
			h[3] = gzipExtra
			sameAsStandard(t, fmt.Sprintf("%d bytes more", n), z, append(h, packed[10:]...))
		}
	}
}

// deflateWriter writes bits as deflate has them.
type deflateWriter struct {
	b    []byte
	bits uint64
	n    int
}

// put writes the n lowest bits of v, lowest first.
func (w *deflateWriter) put(v uint64, n int) *deflateWriter {
	w.bits |= v << w.n
	for w.n += n; w.n >= 8; w.n -= 8 {
		w.b = append(w.b, byte(w.bits))
		w.bits >>= 8
	}
	return w
}

// code writes an n-bit code, highest bit first.
func (w *deflateWriter) code(v uint64, n int) *deflateWriter {
	for i := n - 1; i >= 0; i-- {
		w.put(v>>i&1, 1)
	}
	return w
}

// dynamic begins the last block, with codes of those lengths; each length is written as a code of 5 bits or, of 13 and less, of 4.
func (w *deflateWriter) dynamic(lits, dists []int) *deflateWriter {
	w.put(1, 1).put(2, 2).put(uint64(len(lits)-257), 5).put(uint64(len(dists)-1), 5).put(15, 4)
	for _, s := range clenOrder { // 14 codes of 4 bits, 4 of 5 for 14 to 17: complete, without 18
		w.put([]uint64{4, 5, 0}[max(0, min(2, (int(s)-10)/4))], 3)
	}
	for _, l := range append(append([]int{}, lits...), dists...) {
		if l < 14 {
			w.code(uint64(l), 4)
		} else {
			w.code(uint64(28+l-14), 5)
		}
	}
	return w
}

// gzip is what was written as a gzip, with the right trailer if it is right, and rubbish behind it that makes the input long enough for the
// fast way.
func (w *deflateWriter) gzip(behind int) []byte {
	w.put(0, (8-w.n)%8)
	raw, _ := io.ReadAll(stdflate.NewReader(bytes.NewReader(w.b)))
	out := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}, w.b...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(raw))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(raw)))
	for range behind {
		out = append(out, packStandard(nil, 6)...)
	}
	return out
}

// lengthsOf is n lengths, 0 but for those given as symbol, length.
func lengthsOf(n int, given ...int) []int {
	l := make([]int, n)
	for i := 0; i < len(given); i += 2 {
		l[given[i]] = given[i+1]
	}
	return l
}

// deepCode is a code of one to 15 bits for as many symbols, the last two of 15.
func deepCode(n int, symbols ...int) []int {
	l := make([]int, n)
	for i, s := range symbols {
		l[s] = min(i+1, len(symbols)-1)
	}
	return l
}

func TestGunzipOddCodes(t *testing.T) {
	begin := func() *deflateWriter { return new(deflateWriter) }
	stored := func(w *deflateWriter, last uint64, data string) *deflateWriter {
		w.put(last, 3).put(0, (8-w.n)%8).put(uint64(len(data)), 16).put(uint64(^uint16(len(data))), 16)
		w.b = append(w.b, data...)
		return w
	}
	one := lengthsOf(257, 'a', 1, 256, 1)                   // a is 0, end 1
	match := lengthsOf(286, 'a', 2, 256, 2, 257, 2, 285, 2) // a 00, end 01, three 10, 258 11
	deepLits := deepCode(286, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 285, 256, 'n')
	deepDists := deepCode(30, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 29)
	far := strings.Repeat("0123456789abcdef", 2048)
	for _, c := range []struct {
		name string
		w    *deflateWriter
		ok   bool
	}{
		{"no distances", begin().dynamic(one, lengthsOf(1)).code(0, 1).code(1, 1), true},
		{"no distances, and a match", begin().dynamic(match, lengthsOf(1)).code(0, 2).code(2, 2).put(0, 20), false},
		{"one distance of one bit", begin().dynamic(match, lengthsOf(1, 0, 1)).code(0, 2).code(2, 2).code(0, 1).code(1, 2), true},
		{"one distance of one bit, and the other", begin().dynamic(match, lengthsOf(1, 0, 1)).code(0, 2).code(2, 2).code(1, 1).code(1, 2), false},
		{"one distance of two bits", begin().dynamic(match, lengthsOf(1, 0, 2)).code(0, 2).code(1, 2), false},
		{"three distances of two bits", begin().dynamic(match, lengthsOf(3, 0, 2, 1, 2, 2, 2)).code(0, 2).code(1, 2), false},
		{"five distances of two bits", begin().dynamic(match, lengthsOf(5, 0, 2, 1, 2, 2, 2, 3, 2, 4, 2)).code(1, 2), false},
		{"three literals of one bit", begin().dynamic(lengthsOf(257, 'a', 1, 'b', 1, 256, 1), lengthsOf(1)).code(1, 1), false},
		{"literals incomplete", begin().dynamic(lengthsOf(257, 'a', 2, 256, 2), lengthsOf(1)).code(1, 2), false},
		{"only the end", begin().dynamic(lengthsOf(257, 256, 1), lengthsOf(1)).code(0, 1), true},
		{"only the end, and the other code", begin().dynamic(lengthsOf(257, 256, 1), lengthsOf(1)).code(1, 1).put(0, 30), false},
		{"only the end, of two bits", begin().dynamic(lengthsOf(257, 256, 2), lengthsOf(1)).code(0, 2), false},
		{"no codes at all", begin().dynamic(lengthsOf(257), lengthsOf(1)).put(0, 40), false},
		{"no end", begin().dynamic(lengthsOf(257, 'a', 1, 'b', 1), lengthsOf(1)), false},
		{"287 literals", begin().dynamic(lengthsOf(287, 'a', 1, 256, 1), lengthsOf(1)).code(1, 1), false},
		{"31 distances", begin().dynamic(one, lengthsOf(31)).code(1, 1), false},
		{"length 258 far back", stored(begin(), 0, far).dynamic(match, lengthsOf(30, 29, 1)).code(3, 2).code(0, 1).put(8191, 13).code(1, 2), true},
		{"a distance of one too many", stored(begin(), 0, far[1:]).dynamic(match, lengthsOf(30, 29, 1)).code(3, 2).code(0, 1).put(8191, 13).code(1, 2), false},
		{"a distance before the first byte", begin().dynamic(match, lengthsOf(1, 0, 1)).code(2, 2).code(0, 1).code(1, 2), false},
		{"codes of 15 bits", stored(begin(), 0, far).dynamic(deepLits, deepDists).code(0x3ffe, 14).code(0x7fff, 15).put(8191, 13).code(0x7ffe, 15).code(0x7fff, 15), true},
		{"reserved kind of block", begin().put(1, 1).put(3, 2).put(0, 40), false},
		{"empty stored blocks", stored(stored(stored(begin(), 0, ""), 0, ""), 1, ""), true},
		{"stored with another length", begin().put(1, 3).put(0, 5).put(3, 16).put(3, 16).put(0, 24), false},
		{"empty dynamic blocks", stored(begin(), 0, "a").dynamic(one, lengthsOf(1)).code(1, 1), true},
		{"fixed, literal 286", begin().put(3, 3).code(0xc6, 8).put(0, 40), false},
		{"fixed, distance 30", begin().put(3, 3).code(0x30+'a', 8).code(1, 7).code(30, 5).put(0, 40), false},
		{"code lengths: one alone", begin().put(5, 3).put(0, 14).put(0, 9).put(1, 3).put(0, 400), false},
		{"code lengths: none", begin().put(5, 3).put(0, 14).put(0, 12).put(0, 400), false},
		{"code lengths: incomplete", begin().put(5, 3).put(0, 14).put(2, 3).put(2, 3).put(2, 3).put(0, 400), false},
		{"code lengths: too many", begin().put(5, 3).put(0, 14).put(1, 3).put(1, 3).put(1, 3).put(0, 400), false},
		{"code lengths: repeats nothing", begin().put(5, 3).put(0, 14).put(1, 3).put(0, 6).put(1, 3).code(1, 1).put(0, 400), false},
		{"code lengths: repeats beyond the end", begin().put(5, 3).put(0, 14).put(0, 6).put(1, 3).put(1, 3).put(1<<16-1, 16).put(1<<16-1, 16).put(0, 99), false},
	} {
		for behind := range 2 { // without it the careful way alone
			packed := c.w.gzip(behind * 3)
			z := newGunzipReader(bytes.NewReader(packed))
			got, err := io.ReadAll(z)
			if (err == nil) != c.ok {
				t.Errorf("%s, %d behind: %d bytes, error %v", c.name, behind, len(got), err)
			}
			want, wantErr := standardGunzip(packed)
			compareGunzip(t, c.name, got, want, err, wantErr)
		}
	}
}

// An error of the reader is the error, and comes behind all that could be unpacked; a reader that gives nothing is given up.
func TestGunzipReaderFails(t *testing.T) {
	data := gzipData(200_000)["heap"]
	packed := packStandard(data, 6)
	mine := errors.New("mine")
	for _, n := range []int{0, 5, 10, 12, len(packed) / 2, len(packed) - 9, len(packed) - 1, len(packed)} {
		z := newGunzipReader(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(mine)))
		got, err := io.ReadAll(z)
		if err != mine || !bytes.HasPrefix(data, got) || n >= len(packed)-9 && len(got) != len(data) {
			t.Errorf("after %d bytes of %d: %d bytes, %v", n, len(packed), len(got), err)
		}
		if _, err := z.Read(make([]byte, 1)); err != mine {
			t.Errorf("then: %v", err)
		}
	}
	if _, err := io.ReadAll(newGunzipReader(emptyReader{})); err != io.ErrNoProgress {
		t.Errorf("a reader that gives nothing: %v", err)
	}
	z := newGunzipReader(bytes.NewReader(packed))
	if _, err := z.WriteTo(failingWriter{mine}); err != mine {
		t.Errorf("a writer that fails: %v", err)
	}
	if n := testing.AllocsPerRun(5, func() {
		z.Reset(bytes.NewReader(packed))
		z.WriteTo(io.Discard)
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

type failingWriter struct{ err error }

func (w failingWriter) Write(p []byte) (int, error) { return len(p) / 2, w.err }

func FuzzGunzip(f *testing.F) {
	z := newGunzipReader(nil)
	seeds := 0
	for _, n := range []int{0, 40, 3000} {
		for name, data := range gzipData(n) {
			for _, level := range []int{stdgzip.HuffmanOnly, 0, 1, 9} {
				packed := packStandard(data, level)
				if got, err := standardGunzip(packed); err != nil || !bytes.Equal(got, data) {
					f.Fatalf("seed %s of %d at level %d: %d bytes, %v", name, n, level, len(got), err)
				}
				f.Add(packed[10:len(packed)-8], true)
				f.Add(packed, false)
				seeds++
			}
		}
	}
	if seeds < 200 {
		f.Fatalf("%d seeds", seeds)
	}
	f.Fuzz(func(t *testing.T, packed []byte, raw bool) {
		if raw { // deflate: with a header and the right trailer
			packed = (&deflateWriter{b: bytes.Clone(packed)}).gzip(0)
		}
		want, wantErr := standardGunzip(packed)
		z.Reset(bytes.NewReader(packed))
		got, err := io.ReadAll(z)
		if errors.Is(err, gzip.ErrHeader) && wantErr == nil || errors.Is(err, gzip.ErrHeader) && len(want) > len(got) {
			return // reserved flags, of a member behind the first perhaps
		}
		compareGunzip(t, "fuzz", got, want, err, wantErr)
		z.Reset(iotest.OneByteReader(bytes.NewReader(packed)))
		again, err2 := io.ReadAll(iotest.OneByteReader(z))
		if !bytes.Equal(got, again) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("%d bytes, %v; byte by byte %d, %v", len(got), err, len(again), err2)
		}
	})
}
