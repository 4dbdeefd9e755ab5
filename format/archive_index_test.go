package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var errRead = errors.New("read fails")

// countingReaderAt counts, and fails at call number failAt.
type countingReaderAt struct {
	r      io.ReaderAt
	failAt int
	calls  int
	bytes  int
}

func (c *countingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if c.calls++; c.calls == c.failAt {
		return 0, errRead
	}
	n, err := c.r.ReadAt(p, off)
	c.bytes += n
	return n, err
}

var errWrite = errors.New("write fails")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errWrite }

// madeUpEntries are n entries as an archive of spans would have them.
func madeUpEntries(n int) []ArchiveEntry {
	entries := make([]ArchiveEntry, n)
	var end int64
	for i := range entries {
		e := &entries[i]
		e.Name = string(AppendSpanName(nil, fmt.Sprint("v", i%97), int64(i)*200, int64(i+1)*200))
		e.Offset = end + TarBlock
		e.Size = int64(i*7919%5000) * int64(i%3) // some are empty
		e.SHA256 = sha256.Sum256([]byte(e.Name))
		end = e.end()
	}
	return entries
}

func writeIndex(t testing.TB, entries []ArchiveEntry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewArchiveIndexWriter(&out)
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if w.Size() != int64(out.Len()) || w.Sum() != sha256.Sum256(out.Bytes()) {
		t.Errorf("Size %d and Sum are not those of %d bytes", w.Size(), out.Len())
	}
	return out.Bytes()
}

func openIndex(t testing.TB, index []byte) *ArchiveIndex {
	t.Helper()
	x, err := OpenArchiveIndex(bytes.NewReader(index), int64(len(index)))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func collect(x *ArchiveIndex) (entries []ArchiveEntry, err error) {
	err = x.Each(func(e ArchiveEntry) error { entries = append(entries, e); return nil })
	return entries, err
}

func TestArchiveIndex(t *testing.T) {
	for _, n := range []int{0, 1, 2, indexWindow, indexWindow + 1, 1000} {
		want := madeUpEntries(n)
		x := openIndex(t, writeIndex(t, want))
		if err := x.Verify(); err != nil || x.Len() != n {
			t.Errorf("%d entries: Len %d, %v", n, x.Len(), err)
		}
		if n > 0 && x.TarSize() != want[n-1].end() || n == 0 && x.TarSize() != 0 {
			t.Errorf("%d entries: tar of %d bytes", n, x.TarSize())
		}
		if got, err := collect(x); err != nil || !slices.Equal(got, want) {
			t.Errorf("%d entries: others came back, %v", n, err)
		}
		for _, e := range want {
			if got, ok, err := x.Find(e.Name); err != nil || !ok || got != e {
				t.Errorf("%d entries: %s found as %+v, %v, %v", n, e.Name, got, ok, err)
			}
		}
		for _, name := range []string{"", "../x", "transcript.v1", "transcript.v0.0.201"} {
			if e, ok, err := x.Find(name); err != nil || ok || e != (ArchiveEntry{}) {
				t.Errorf("%d entries: %q found as %+v, %v, %v", n, name, e, ok, err)
			}
		}
	}
}

// As many entries as the largest known store has spans: a name is found with some
// KiB of the 42 MB.
func TestArchiveIndexLarge(t *testing.T) {
	want := madeUpEntries(430_000)
	index := writeIndex(t, want)
	count := &countingReaderAt{r: bytes.NewReader(index)}
	x, err := OpenArchiveIndex(count, int64(len(index)))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	const rounds, window = 2000, indexWindow * indexSlotSize
	worst, sum := 0, 0
	for range rounds {
		e := want[rng.IntN(len(want))]
		*count = countingReaderAt{r: count.r}
		if got, ok, err := x.Find(e.Name); err != nil || !ok || got != e {
			t.Fatalf("%s found as %+v, %v, %v", e.Name, got, ok, err)
		}
		worst, sum = max(worst, count.bytes), sum+count.bytes
		*count = countingReaderAt{r: count.r}
		if _, ok, err := x.Find(e.Name + "0"); err != nil || ok {
			t.Fatalf("%s0: %v, %v", e.Name, ok, err)
		}
		worst = max(worst, count.bytes)
	}
	if worst > 5*window || sum/rounds > 5*window/2 {
		t.Errorf("Find reads up to %d bytes of %d, on average %d", worst, len(index), sum/rounds)
	}
	if err := x.Verify(); err != nil {
		t.Error(err)
	}
	i := 0
	if err := x.Each(func(e ArchiveEntry) error {
		if e != want[i] {
			return fmt.Errorf("entry %d is %+v", i, e)
		}
		i++
		return nil
	}); err != nil || i != len(want) {
		t.Errorf("%d entries, %v", i, err)
	}
}

// Keys that are not uniform, as no writer makes them, are found by bisection.
func TestArchiveIndexFindsUnevenKeys(t *testing.T) {
	const n = 100_000
	index := writeIndex(t, madeUpEntries(n))
	x := openIndex(t, index)
	slots := index[x.slotsAt() : len(index)-indexTailSize]
	for i := range n {
		key := uint64(1) << (i * 63 / n) // few keys, far apart, in long runs that only the second half tells apart
		binary.BigEndian.PutUint64(slots[i*indexSlotSize:], key)
		binary.BigEndian.PutUint64(slots[i*indexSlotSize+8:], uint64(i))
		binary.LittleEndian.PutUint64(slots[i*indexSlotSize+indexKeySize:], uint64(i))
	}
	count := &countingReaderAt{r: bytes.NewReader(index)}
	x.r = count
	for i := 0; i < n; i += 37 {
		key := [indexKeySize]byte(slots[i*indexSlotSize:])
		*count = countingReaderAt{r: count.r}
		pos, ok, err := x.findSlot(key)
		if err != nil || !ok || pos != uint64(i) || count.calls > indexGuesses+12 {
			t.Fatalf("key %d: %d, %v, %v after %d reads", i, pos, ok, err, count.calls)
		}
		key[15] ^= 0x80 // keys between the others, or behind them
		if pos, ok, err := x.findSlot(key); err != nil || ok && pos != uint64(i^0x80) {
			t.Fatalf("key %d: %d, %v, %v", i^0x80, pos, ok, err)
		}
	}
}

func TestArchiveIndexRefusesEntries(t *testing.T) {
	long := strings.Repeat("x", MaxName)
	for _, c := range []struct {
		name  string
		entry ArchiveEntry
		want  error // nil: taken
	}{
		{"first place", ArchiveEntry{Name: "b", Offset: 1024}, nil},
		{"longest name", ArchiveEntry{Name: long, Offset: 4096}, nil},
		{"longest name and one", ArchiveEntry{Name: long + "x", Offset: 4096}, ErrLimit},
		{"no name", ArchiveEntry{Offset: 1024}, ErrFormat},
		{"name with a slash", ArchiveEntry{Name: "../b", Offset: 1024}, ErrFormat},
		{"no room for a header", ArchiveEntry{Name: "b", Offset: 512}, ErrFormat},
		{"not at a block", ArchiveEntry{Name: "b", Offset: 1025}, ErrFormat},
		{"negative place", ArchiveEntry{Name: "b", Offset: -512}, ErrFormat},
		{"negative size", ArchiveEntry{Name: "b", Offset: 1024, Size: -1}, ErrLimit},
		{"up to the limit", ArchiveEntry{Name: "b", Offset: 1024, Size: MaxArchiveSize - 1024}, nil},
		{"beyond the limit", ArchiveEntry{Name: "b", Offset: 1024, Size: MaxArchiveSize - 1023}, ErrLimit},
		{"size that overflows", ArchiveEntry{Name: "b", Offset: 1024, Size: 1<<63 - 1}, ErrLimit},
		{"place that overflows", ArchiveEntry{Name: "b", Offset: 1<<63 - 512, Size: 512}, ErrLimit},
	} {
		w := NewArchiveIndexWriter(io.Discard)
		if err := w.Add(ArchiveEntry{Name: "a", Offset: 512}); err != nil {
			t.Fatal(err)
		}
		err := w.Add(c.entry)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want != nil && (w.Add(ArchiveEntry{Name: "c", Offset: 4096}) != err || w.Close() != err) {
			t.Errorf("%s: the error does not stay", c.name)
		}
	}
}

func TestArchiveIndexWriterErrors(t *testing.T) {
	w := NewArchiveIndexWriter(io.Discard)
	for i, name := range []string{"a", "b", "a"} {
		if err := w.Add(ArchiveEntry{Name: name, Offset: int64(i+1) * 512}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); !errors.Is(err, ErrDuplicate) || err != w.Close() {
		t.Errorf("a name twice: %v", err)
	}
	w = NewArchiveIndexWriter(io.Discard)
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := w.Add(ArchiveEntry{Name: "a", Offset: 512}); err == nil || err != w.Close() {
		t.Errorf("Add behind Close: %v", err)
	}
	w = NewArchiveIndexWriter(io.Discard)
	w.slots = make([]indexSlot, MaxArchiveEntries)
	if err := w.Add(ArchiveEntry{Name: "a", Offset: 512}); !errors.Is(err, ErrLimit) {
		t.Errorf("one entry too many: %v", err)
	}
	failing := NewArchiveIndexWriter(failingWriter{})
	if err := failing.Close(); !errors.Is(err, errWrite) || err != failing.Close() {
		t.Errorf("writer that fails: %v", err)
	}
}

// readAll asks an index everything. It returns the first error; the entries are
// only of worth where there is none.
func readAll(index []byte, names ...string) ([]ArchiveEntry, error) {
	x, err := OpenArchiveIndex(bytes.NewReader(index), int64(len(index)))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, _, err := x.Find(name); err != nil {
			return nil, err
		}
	}
	if err := x.Verify(); err != nil {
		return nil, err
	}
	return collect(x)
}

func TestArchiveIndexCutAndFlip(t *testing.T) {
	entries := madeUpEntries(5)
	index := writeIndex(t, entries)
	for n := range index {
		if _, err := readAll(index[:n]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
		// The same, where the size says that there is more.
		x, err := OpenArchiveIndex(bytes.NewReader(index[:n]), int64(len(index)))
		if x != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d, of another size: %v", n, err)
		}
	}
	for i := range index {
		for bit := range 8 {
			bad := bytes.Clone(index)
			bad[i] ^= 1 << bit
			if _, err := readAll(bad); !isOneOf(err, indexErrors...) {
				t.Errorf("byte %d, bit %d: %v", i, bit, err)
			}
			// Find does not verify. With the SHA-256 of the content it is right, or wrong about where that is.
			x, err := OpenArchiveIndex(bytes.NewReader(bad), int64(len(bad)))
			for k := 0; err == nil && k < len(entries); k++ {
				e, ok, err := x.Find(entries[k].Name)
				if err != nil && !isOneOf(err, indexErrors...) || ok && e.Name != entries[k].Name {
					t.Errorf("byte %d, bit %d: %s is %+v, %v", i, bit, entries[k].Name, e, err)
				}
			}
		}
	}
	if _, err := readAll(append(bytes.Clone(index), 0)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a byte behind: %v", err)
	}
}

var indexErrors = []error{ErrFormat, ErrLimit, ErrDuplicate, ErrHashMismatch, io.ErrUnexpectedEOF}

// resum gives a changed index the hash of its bytes.
func resum(index []byte) []byte {
	n := len(index) - sha256.Size
	sum := sha256.Sum256(index[:n])
	return append(index[:n:n], sum[:]...)
}

// Indexes whose hash is right, and that no writer makes.
func TestArchiveIndexDefects(t *testing.T) {
	entries := madeUpEntries(3)
	good := writeIndex(t, entries)
	at := int(openIndex(t, good).slotsAt())
	tail := len(good) - indexTailSize
	swapped := slices.Concat(good[:at], good[at+indexSlotSize:at+2*indexSlotSize], good[at:at+indexSlotSize], good[at+2*indexSlotSize:])
	set := func(off int, v byte) []byte {
		b := bytes.Clone(good)
		b[off] = v
		return resum(b)
	}
	twice := bytes.ReplaceAll(good, []byte(entries[1].Name), []byte(entries[2].Name))
	for _, c := range []struct {
		name  string
		index []byte
		want  error
	}{
		{"magic", set(0, 'x'), ErrFormat},
		{"version 0", set(8, 0), ErrArchiveVersion},
		{"version 2", set(8, 2), ErrArchiveVersion},
		{"reserved byte", set(15, 1), ErrFormat},
		{"no tail", set(tail, 'x'), io.ErrUnexpectedEOF},
		{"more entries than fit", set(tail+8, 4), ErrFormat},
		{"fewer entries than there are", set(tail+8, 2), ErrFormat},
		{"count above the limit", set(tail+14, 1), ErrLimit},
		{"tar above the limit", set(tail+23, 1), ErrLimit},
		{"tar shorter than its entries", set(tail+17, 0), ErrFormat},
		{"tar longer than its entries", set(tail+18, 1), ErrHashMismatch},
		{"slots in another order", resum(swapped), ErrHashMismatch},
		{"slot of another key", set(at+8, good[at+8]^1), ErrHashMismatch},
		{"slot of another entry", set(at+indexKeySize, good[at+indexKeySize]^1), ErrHashMismatch},
		{"one name twice", resum(twice), ErrDuplicate},
		{"name with a slash", set(indexHeadSize+indexFixedSize, '/'), ErrFormat},
		{"name too long", set(indexHeadSize+49, 0x20), ErrLimit},
		{"name shorter than it is", set(indexHeadSize+48, 1), ErrFormat},
		{"negative place", set(indexHeadSize+39, 0x80), ErrFormat},
		{"negative size", set(indexHeadSize+47, 0x80), ErrLimit},
		{"place between blocks", set(indexHeadSize+32, 1), ErrFormat},
	} {
		if _, err := readAll(c.index); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// Find checks what it is led to.
func TestArchiveIndexFindDefects(t *testing.T) {
	entries := madeUpEntries(1)
	good := writeIndex(t, entries)
	at := int(openIndex(t, good).slotsAt())
	set := func(off int, v byte) []byte {
		b := bytes.Clone(good)
		b[off] = v
		return b
	}
	for _, c := range []struct {
		name  string
		index []byte
		want  error
	}{
		{"entry before the first", set(at+indexKeySize, indexHeadSize-1), ErrFormat},
		{"entry behind the last", set(at+indexKeySize, indexHeadSize+1), ErrFormat},
		{"entry far behind", set(at+indexKeySize+7, 0xff), ErrFormat},
		{"another name", set(indexHeadSize+indexFixedSize, 'T'), ErrFormat},
		{"a name of another length", set(indexHeadSize+48, 1), ErrFormat},
		{"negative size", set(indexHeadSize+47, 0x80), ErrLimit},
		{"content behind the tar", set(indexHeadSize+35, 1), ErrFormat},
	} {
		e, ok, err := openIndex(t, c.index).Find(entries[0].Name)
		if !errors.Is(err, c.want) || ok || e != (ArchiveEntry{}) {
			t.Errorf("%s: %+v, %v, %v, want %v", c.name, e, ok, err, c.want)
		}
	}
}

// Each read can fail, and that is the error; visit's error ends Each.
func TestArchiveIndexReadErrors(t *testing.T) {
	entries := madeUpEntries(1000)
	index := writeIndex(t, entries)
	ask := func(r io.ReaderAt) error {
		x, err := OpenArchiveIndex(r, int64(len(index)))
		if err != nil {
			return err
		}
		if _, ok, err := x.Find(entries[7].Name); err != nil || !ok {
			return err
		}
		return x.Verify()
	}
	n := 1
	for ; ; n++ {
		err := ask(&countingReaderAt{r: bytes.NewReader(index), failAt: n})
		if err == nil {
			break
		}
		if !errors.Is(err, errRead) {
			t.Errorf("read %d fails: %v", n, err)
		}
	}
	if n < 8 {
		t.Errorf("only %d reads", n)
	}
	x := openIndex(t, index)
	for cut := range 200 { // the input becomes shorter while it is read
		x.r = bytes.NewReader(index[:indexHeadSize+cut])
		if err := x.Verify(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of entries: %v", cut, err)
		}
	}
	calls := 0
	err := openIndex(t, index).Each(func(ArchiveEntry) error { calls++; return errRead })
	if err != errRead || calls != 1 {
		t.Errorf("Each: %v after %d calls", err, calls)
	}
}

func FuzzArchiveIndex(f *testing.F) {
	for _, n := range []int{0, 1, 2, 5} {
		index := writeIndex(f, madeUpEntries(n))
		if got, err := readAll(index); err != nil || len(got) != n {
			f.Fatalf("%d entries, %v", len(got), err)
		}
		f.Add(index)
		cut := index[:len(index)-1]
		if _, err := readAll(cut); err == nil {
			f.Fatal("a cut index is taken")
		}
		f.Add(cut)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		resummed := in
		if len(in) >= indexHeadSize+indexTailSize {
			resummed = resum(in)
		}
		for _, index := range [][]byte{in, resummed} {
			entries, err := readAll(index, "a", "transcript.v0.0.200", "transcript.v1.200.400")
			if err != nil {
				if !isOneOf(err, indexErrors...) {
					t.Fatalf("error without a class: %v", err)
				}
				continue
			}
			if again := writeIndex(t, entries); !bytes.Equal(again, index) {
				t.Fatalf("%x came out as %x", index, again)
			}
			for _, e := range entries {
				if got, ok, err := openIndex(t, index).Find(e.Name); err != nil || !ok || got != e {
					t.Fatalf("%s found as %+v, %v, %v", e.Name, got, ok, err)
				}
			}
		}
	})
}
