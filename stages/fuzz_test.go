package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

var sumSeeds = []struct {
	in string
	ok bool
}{
	{strings.Repeat("0", 64) + "  a\n" + strings.Repeat("F", 64) + " *./b\n", true},
	{`\` + strings.Repeat("1", 64) + `  a\nb\\c` + "\n", true},
	{strings.Repeat("2", 64) + "  " + strings.Repeat("x", 60000), true},
	{`\` + strings.Repeat("3", 64) + "  a\\\r\r", true},
	{"", false},
	{strings.Repeat("0", 63) + "  a\n", false},
	{strings.Repeat("0", 64) + " a\n", false},
	{strings.Repeat("g", 64) + "  a\n", false},
	{strings.Repeat("0", 64) + "  \n", false},
	{strings.Repeat("0", 64) + "  ./\n", false},
	{strings.Repeat("0", 64) + "  ././/a\n" + strings.Repeat("0", 64) + "  ./.\n", true},
	{strings.Repeat("0", 70000), false},
	{"\n" + strings.Repeat("0", 64) + "  a\n", false},
}

type fileSum struct {
	name string
	sum  [sha256.Size]byte
}

func readSums(in []byte) (sums []fileSum, err error) {
	err = readChecksums(bytes.NewReader(in), func(name string, sum [sha256.Size]byte) error {
		sums = append(sums, fileSum{name, sum})
		return nil
	})
	return sums, err
}

// FuzzChecksums reads any SHA256SUMS: what was read is the same once it was written and read again.
func FuzzChecksums(f *testing.F) {
	for _, s := range sumSeeds {
		if _, err := readSums([]byte(s.in)); (err == nil) != s.ok {
			f.Fatalf("%.80q: %v", s.in, err)
		}
		f.Add([]byte(s.in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		sums, err := readSums(in)
		if err != nil {
			return
		}
		var out []byte
		for _, s := range sums {
			out = append(out, sumLine(s.sum, s.name)...)
		}
		again, err := readSums(out)
		if err != nil && len(out) < 60<<10 || err == nil && !slices.Equal(again, sums) {
			t.Fatalf("%q came back as %q, %v", sums, again, err)
		}
	})
}

// FuzzStoreHeader puts any bytes into the first page of a store: the header of the file and the schema.
func FuzzStoreHeader(f *testing.F) {
	whole, data := damagedStore(f)
	original := rowsOf(f, whole)
	f.Add(uint16(0), data[:100])
	for _, at := range []int{16, 18, 20, 24, 28, 44, 56, 92, 100, 103, 105, 108} {
		f.Add(uint16(at), []byte{0})
		f.Add(uint16(at), []byte{0xff, 0xff})
	}
	for at := 110; at < 512; at += 32 {
		f.Add(uint16(at), data[at:at+32])
	}
	f.Fuzz(func(t *testing.T, at uint16, content []byte) {
		bad := slices.Clone(data)
		copy(bad[int(at)%512:512], content)
		dir := t.TempDir()
		patch(t, dir, bad)
		sweepDamaged(t, dir, "a first page of any bytes", original)
	})
}

// logOf is a write-ahead log with frames of these pages, whose checksums are right. A frame is a page number, the size of the database that it
// commits or 0, and content.
func logOf(frames []byte, pages uint32) []byte {
	be := binary.BigEndian
	out := be.AppendUint32(nil, 0x377f0682) // checksums of little-endian words
	for _, v := range []uint32{3007000, 512, 0, 1, 2} {
		out = be.AppendUint32(out, v)
	}
	var sum [2]uint32
	add := func(b []byte) {
		for ; len(b) >= 8; b = b[8:] {
			sum[0] += binary.LittleEndian.Uint32(b) + sum[1]
			sum[1] += binary.LittleEndian.Uint32(b[4:]) + sum[0]
		}
		out = be.AppendUint32(be.AppendUint32(out, sum[0]), sum[1])
	}
	add(out)
	for len(frames) > 0 {
		var head [2]byte
		n := copy(head[:], frames)
		var page [512]byte
		n += copy(page[:], frames[n:])
		frames = frames[n:]
		start := len(out)
		out = be.AppendUint32(out, uint32(head[0])%(pages+3))
		out = be.AppendUint32(out, uint32(head[1]))
		words := slices.Concat(out[start:], page[:])
		out = be.AppendUint32(be.AppendUint32(out, 1), 2)
		add(words)
		out = append(out, page[:]...)
	}
	return out
}

// FuzzSweepLog puts any frames into the write-ahead log of a store.
func FuzzSweepLog(f *testing.F) {
	dir, data := damagedStore(f)
	wal := slices.Clone(data)
	wal[18], wal[19] = 2, 2 // in WAL mode
	pages := byte(len(data) / 512)
	frame := func(page, commit byte) []byte { return append([]byte{page, commit}, wal[int(page-1)*512:][:512]...) }
	same := append(frame(1, 0), frame(pages-1, pages)...)
	f.Add(same)
	f.Add(frame(2, 0))
	f.Add(append(same, frame(3, pages)...))
	f.Add(frame(1, 1))
	want := rowsOf(f, dir)
	check := func(t testing.TB, frames []byte) (rowSet, error) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, StoreFile), wal, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, StoreFile+"-wal"), logOf(frames, uint32(pages)), 0o644); err != nil {
			t.Fatal(err)
		}
		return sweepAndEngine(t, dir)
	}
	for _, frames := range [][]byte{same, frame(2, 0)} {
		if got, err := check(f, frames); err != nil || got.compare(want) != nil {
			f.Fatalf("a seed that changes nothing: %v, %v", err, got.compare(want))
		}
	}
	damaged := 0
	for page := byte(2); page < pages; page += 8 {
		if _, err := check(f, append(same, page, pages, 99)); errors.Is(err, ErrDamaged) {
			damaged++
			f.Add(append(same, page, pages, 99))
		}
	}
	if damaged < int(pages)/16 {
		f.Fatalf("of %d damaged pages in the log %d are errors", pages/8, damaged)
	}
	f.Fuzz(func(t *testing.T, frames []byte) { check(t, frames) })
}

// sweepAndEngine reads a store in both ways. Where the sweep finds nothing wrong, the engine has the same rows, or finds something.
func sweepAndEngine(t testing.TB, dir string) (rowSet, error) {
	s, err := OpenStore(context.Background(), dir, nil)
	if err != nil {
		return rowSet{}, err
	}
	defer s.Close()
	if s.Odd() != "" {
		return rowSet{}, errors.New(s.Odd())
	}
	got, err := sweepRows(s, true, true, oddLimits[3])
	if err != nil {
		return got, err
	}
	want, err := engineRows(s)
	if err == nil {
		if err := got.compare(want); err != nil {
			t.Error(err)
		}
	}
	return got, nil
}

// FuzzRecordWrite reads back what the builder of pages writes.
func FuzzRecordWrite(f *testing.F) {
	f.Add([]byte(""), int64(0), uint64(0))
	f.Add([]byte("v1"), int64(-1<<63), uint64(1<<56-1))
	f.Add(bytes.Repeat([]byte("x"), 5000), int64(1<<47), uint64(128))
	f.Fuzz(func(t *testing.T, text []byte, n int64, v uint64) {
		v &= 1<<56 - 1
		if got, size := varint(appendVarint(nil, v)); got != v || size != len(appendVarint(nil, v)) {
			t.Fatalf("%d is read as %d", v, got)
		}
		b := appendInt(append(appendRecordHeader(nil, textType(len(text)), intType(n)), text...), n)
		var cols [2]format.Value
		if err := parseRecord(b, cols[:]); err != nil || !bytes.Equal(cols[0].Bytes, text) || cols[1].Int != n {
			t.Fatalf("%q, %d is read as %v, %v", text, n, cols, err)
		}
	})
}

// runOf packs rows into one run.
func runOf(t testing.TB, rows []byte) (s *spill, want []string) {
	t.Helper()
	s = newSpill(4<<20, t.TempDir(), nil)
	t.Cleanup(s.close)
	for i, text := range bytes.Split(rows, []byte("\n")) {
		row := appendRow(nil, fmt.Appendf(nil, "%08d", i), format.TextValue(bytes.Repeat(text, 1+len(text)%7*(1000/(len(text)+1)))), int64(i))
		want = append(want, string(row))
	}
	err := s.add(context.Background(), func(add func([]byte) error) error {
		for _, row := range want {
			if err := add([]byte(row)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, want
}

func rowsOfRun(s *spill) (got []string, err error) {
	m, err := s.merge()
	if err != nil {
		return nil, err
	}
	err = m.each(context.Background(), func(row []byte) error { got = append(got, string(row)); return nil })
	return got, err
}

// FuzzRun changes a byte of packed rows: that is an error, or the rows are as they were.
func FuzzRun(f *testing.F) {
	rows := []byte("one\nand another\n\n" + strings.Repeat("a long one ", 9000))
	for at := range 14 {
		f.Add(rows, uint32(at), byte(1))
	}
	f.Add(rows, uint32(5000), byte(0xff))
	f.Add(rows, uint32(0), byte(0))
	f.Fuzz(func(t *testing.T, rows []byte, at uint32, xor byte) {
		s, want := runOf(t, rows)
		chunk := s.levels[0][0].chunks[0]
		chunk.Data[int(at)%len(chunk.Data)] ^= xor
		got, err := rowsOfRun(s)
		if err == nil && !slices.Equal(got, want) || err != nil && xor == 0 {
			t.Fatalf("%d rows, %d were written, %v", len(got), len(want), err)
		}
	})
}

// FuzzExportData reads any export data in chunks of two sizes: the same comes out, or an error both times.
func FuzzExportData(f *testing.F) {
	good := []string{`["kv.a","b"]` + "\n", `["kv.a"]` + "\n" + `["bundle.b0-1","b0-1"]`,
		`["transcript.v1.current","{\"vatID\":\"v1\",\"startPos\":0,\"endPos\":3,\"hash\":\"00\",\"isCurrent\":1,\"incarnation\":0}"]` + "\n" + `["kv.` + strings.Repeat("k", 300) + `","\ud800"]` + "\n"}
	for _, text := range good {
		if _, err := parsedData([]byte(text), 64); err != nil {
			f.Fatalf("%s: %v", text, err)
		}
		f.Add([]byte(text))
	}
	for _, text := range []string{"\n", `["kv.host.a","b"]`, `["x.y","z"]`, `["kv.a","b"`, `["kv.` + strings.Repeat("k", 2000) + `","b"]`} {
		if _, err := parsedData([]byte(text), 64); err == nil {
			f.Fatalf("%.50s: no error", text)
		}
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		small, err := parsedData(data, 16)
		large, errLarge := parsedData(data, 4096)
		if (err == nil) != (errLarge == nil) || err == nil && small != large {
			t.Fatalf("chunks of 16 bytes: %s, %v; of 4096: %s, %v", small, err, large, errLarge)
		}
	})
}

// parsedData is all that comes out of export data of lines up to a kilobyte.
func parsedData(data []byte, chunk int) (string, error) {
	var out strings.Builder
	m := NewMetadata()
	x := newExportData(1, AllLines, NewPool(4, chunk))
	x.MaxItem = 1 << 10
	cut := lineCutter{r: bytes.NewReader(data), pool: x.pool, max: 1 << 10}
	var entry format.Entry
	for {
		chunk, err := cut.next(context.Background())
		if err != nil {
			return "", err
		}
		if chunk == nil {
			break
		}
		e := &Entries{chunk: chunk, pool: x.pool}
		if err := x.parse(e, &entry); err != nil {
			return "", err
		}
		for _, kv := range e.KV {
			fmt.Fprintf(&out, "%q %q %v\n", kv.Key, kv.Value, kv.Delete)
		}
		for _, r := range e.Records {
			m.Add(r)
		}
		releaseLines(e.chunk, e.pool)
	}
	if err := m.Settle(); err != nil {
		return "", err
	}
	for i := range m.spans.len() {
		fmt.Fprintf(&out, "%+v\n", m.Span(i))
	}
	for i := range m.snapshots.len() {
		fmt.Fprintf(&out, "%+v\n", m.Snapshot(i))
	}
	fmt.Fprintf(&out, "%+v\n", m.bundles)
	return out.String(), nil
}

// A log that the tests make is one to the engine: its frames count.
func TestLogOfFrames(t *testing.T) {
	dir, data := damagedStore(t)
	data[18], data[19] = 2, 2
	patch(t, dir, data)
	at := uint32(len(data) / 512)
	if err := os.WriteFile(filepath.Join(dir, StoreFile+"-wal"), logOf([]byte{3, byte(at), 1, 2, 3}, at), 0o644); err != nil {
		t.Fatal(err)
	}
	b := testdata.Open(t, dir)
	if got := b.Int("SELECT count(*) FROM sqlite_dbpage WHERE pgno=3 AND substr(data,1,3)=x'010203'"); got != 1 {
		t.Error("the frame is not in the log for the engine")
	}
}
