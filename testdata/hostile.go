package testdata

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Names in the export of WorkedExport.
const (
	WorkedHeap  = "snapshot.v1.2"
	WorkedSpan  = "transcript.v1.0.3" // the historical one
	WorkedLast  = "transcript.v1.3.5" // the current one
	workedB0    = "bundle.b0-d15b87d8e4688808d4d0d6ba6bafa0001f82a29ecea6bcf71afcfb14ed2e6678"
	WorkedCount = 4 // artifacts
)

// WorkedExport unpacks the worked example of format/FORMAT.md: an archival export of two spans, a heap and a bundle.
func WorkedExport(tb testing.TB) string {
	tb.Helper()
	file, err := os.Open(filepath.Join(Dir(tb), "archives", "worked-v1.tar"))
	if err != nil {
		tb.Fatal(err)
	}
	defer file.Close()
	dir := tb.TempDir()
	for r := tar.NewReader(file); ; {
		h, err := r.Next()
		if err == io.EOF {
			return dir
		}
		if err != nil {
			tb.Fatal(err)
		}
		if h.Name == archiveHeader || h.Name == archiveIndex {
			continue
		}
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, h.Name), data, 0o644)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}

// A Hostile is an archive with one defect: of WorkedExport, and small enough to be kept but for its runs.
type Hostile struct {
	Defect string
	Text   string // in the error, or one of several with | between them, where time tells which is first
	Ours   bool   // the first header is that of our archives
	Packed bool   // it is a compressed stream, or no archive at all: Zstd would hide the defect
	Bomb   bool   // many times larger when unpacked
	runs   []run
}

// Says tells whether a text has what the error has to have.
func (h Hostile) Says(text string) bool {
	for part := range strings.SplitSeq(h.Text, "|") {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// run is data, n times.
type run struct {
	data []byte
	n    int64
}

// blockSize is the length of the data in runs of many.
const blockSize = 1 << 20

// fill is n bytes of text again and again.
func fill(text string, n int64) []run {
	block := bytes.Repeat([]byte(text), blockSize/len(text))
	whole := n / int64(len(block))
	return []run{{block, whole}, {block[:n-whole*int64(len(block))], 1}}
}

// Open reads it as it is.
func (h Hostile) Open() io.Reader { return newRunReader(h.runs) }

// Zstd reads it as a zstd stream in frames, with their seek table.
func (h Hostile) Zstd() io.Reader {
	var out []run
	var frames [][]byte
	var sizes []int
	for _, r := range h.runs {
		for piece := range slices.Chunk(r.data, blockSize) {
			frame := ZstdFrame(piece)
			out = append(out, run{frame, r.n})
			for range r.n {
				frames, sizes = append(frames, frame), append(sizes, len(piece))
			}
		}
	}
	return newRunReader(append(out, run{SeekTable(frames, sizes), 1}))
}

// Gzip reads it as gzip writes it.
func (h Hostile) Gzip() io.Reader {
	r, w := io.Pipe()
	go func() {
		z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
		_, err := io.Copy(z, h.Open())
		if err == nil {
			err = z.Close()
		}
		w.CloseWithError(err)
	}()
	return r
}

type runReader struct {
	runs []run
	at   int   // in the data
	done int64 // times it was read
}

func newRunReader(runs []run) io.Reader { return &runReader{runs: runs} }

func (r *runReader) Read(p []byte) (int, error) {
	for len(r.runs) > 0 {
		now := r.runs[0]
		if r.done == now.n || len(now.data) == 0 {
			r.runs, r.done = r.runs[1:], 0
			continue
		}
		n := copy(p, now.data[r.at:])
		if r.at += n; r.at == len(now.data) {
			r.at = 0
			r.done++
		}
		return n, nil
	}
	return 0, io.EOF
}

// kit packs an archive of which a test changes one thing.
type kit struct {
	tb      testing.TB
	files   []kitFile
	index   func(entries []ArchiveEntry) []byte
	noIndex bool
	after   func(b []byte, entries []ArchiveEntry) []byte // of the packed tar
}

// kitFile is an entry; what is left zero is as it should be.
type kitFile struct {
	ArchiveFile
	more   []run                   // behind Data
	header func(size int64) []byte // instead of TarHeader
}

func newKit(tb testing.TB, dir string, o ArchiveOptions) *kit {
	k := &kit{tb: tb}
	for _, f := range ArchiveFiles(tb, dir, o) {
		k.files = append(k.files, kitFile{ArchiveFile: f})
	}
	return k
}

func (k *kit) at(name string) int {
	i := slices.IndexFunc(k.files, func(f kitFile) bool { return f.Name == name })
	if i < 0 {
		k.tb.Fatalf("testdata: no entry %s", name)
	}
	return i
}

func (k *kit) file(name string) *kitFile { return &k.files[k.at(name)] }

func (k *kit) remove(name string) { k.files = slices.Delete(k.files, k.at(name), k.at(name)+1) }

func (k *kit) insert(before, name, data string) {
	k.files = slices.Insert(k.files, k.at(before), kitFile{ArchiveFile: ArchiveFile{name, []byte(data)}})
}

// replace replaces text in a file, where it has to be.
func (k *kit) replace(name, from, to string) {
	f := k.file(name)
	if !bytes.Contains(f.Data, []byte(from)) {
		k.tb.Fatalf("testdata: no %q in %s", from, name)
	}
	f.Data = bytes.ReplaceAll(f.Data, []byte(from), []byte(to))
}

// manifest changes the manifest.
func (k *kit) manifest(change func(m *Manifest)) {
	f := k.file(archiveManifest)
	m := ParseManifest(k.tb, f.Data)
	change(&m)
	f.Data = m.Bytes(k.tb)
}

// move puts an entry before another one.
func (k *kit) move(name, before string) {
	f := *k.file(name)
	k.remove(name)
	k.files = slices.Insert(k.files, k.at(before), f)
}

// pack is the archive in runs; without bombs it is one. The index has no hash of what is repeated: nobody gets that far.
func (k *kit) pack() []run {
	var runs []run
	var buf []byte
	var entries []ArchiveEntry
	size := int64(0)
	add := func(f kitFile) ArchiveEntry {
		e := ArchiveEntry{Name: f.Name, Header: size, Size: int64(len(f.Data))}
		if f.more == nil {
			_, packed := PackArchive([]ArchiveFile{f.ArchiveFile}, 0)
			e.SHA256 = packed[0].SHA256
		}
		for _, r := range f.more {
			e.Size += int64(len(r.data)) * r.n
		}
		header := TarHeader(f.Name, e.Size, 0)
		if f.header != nil {
			header = f.header(e.Size)
		}
		e.Offset = size + int64(len(header))
		e.End = e.Offset + e.Size + (-e.Size & 511)
		buf = append(append(buf, header...), f.Data...)
		if f.more != nil {
			runs = append(append(runs, run{buf, 1}), f.more...)
			buf = nil
		}
		buf = append(buf, make([]byte, -e.Size&511)...)
		size = e.End
		return e
	}
	for _, f := range k.files {
		entries = append(entries, add(f))
	}
	if k.index == nil {
		k.index = ArchiveIndex
	}
	if !k.noIndex {
		add(kitFile{ArchiveFile: ArchiveFile{archiveIndex, k.index(entries)}})
	}
	buf = append(buf, make([]byte, 1024)...)
	if k.after != nil {
		if runs != nil {
			k.tb.Fatal("testdata: a bomb that is changed behind")
		}
		buf = k.after(buf, entries)
	}
	return append(runs, run{buf, 1})
}

// changed sets the header of a file to the right one with something changed.
func (f *kitFile) changed(change func(block []byte)) {
	name := f.Name
	f.header = func(size int64) []byte {
		b := TarHeader(name, size, 0)
		change(b)
		return TarChecksum(b)
	}
}

// octal sets the size field.
func octal(text string) func(block []byte) {
	return func(b []byte) { copy(b[124:136], text+strings.Repeat("\x00", 12-len(text))) }
}
