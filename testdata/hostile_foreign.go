package testdata

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A foreignKit packs a tar as other programs do, of which a test changes one thing.
type foreignKit struct {
	tb    testing.TB
	files []foreignFile
	after func(b []byte) []byte
}

type foreignFile struct {
	tar.Header
	data []byte
	more []run // behind data
	raw  byte  // a type that archive/tar does not write

	prefix []byte // instead of a header
}

func newForeignKit(tb testing.TB, dir string) *foreignKit {
	k := &foreignKit{tb: tb}
	for _, name := range []string{archiveManifest, archiveData, workedB0, WorkedHeap, WorkedSpan, WorkedLast} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		k.add(name, data)
	}
	return k
}

func (k *foreignKit) add(name string, data []byte) *foreignFile {
	k.files = append(k.files, foreignFile{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Uname: "node"}, data: data})
	return &k.files[len(k.files)-1]
}

func (k *foreignKit) file(name string) *foreignFile {
	i := slices.IndexFunc(k.files, func(f foreignFile) bool { return f.Name == name })
	if i < 0 {
		k.tb.Fatalf("testdata: no entry %s", name)
	}
	return &k.files[i]
}

func (k *foreignKit) remove(name string) {
	k.files = slices.DeleteFunc(k.files, func(f foreignFile) bool { return f.Name == name })
}

// first puts an entry to the front.
func (k *foreignKit) first(name string) {
	f := *k.file(name)
	k.remove(name)
	k.files = slices.Insert(k.files, 0, f)
}

// typed makes an entry of another type.
func (k *foreignKit) typed(name string, typeflag byte, link string) {
	f := k.file(name)
	f.Typeflag, f.Linkname, f.data = typeflag, link, nil
}

func (k *foreignKit) pack() []run {
	var runs []run
	var buf []byte
	for _, f := range k.files {
		h := f.Header
		h.Size = int64(len(f.data))
		for _, r := range f.more {
			h.Size += int64(len(r.data)) * r.n
		}
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if h.Format = tar.FormatGNU; h.PAXRecords != nil {
			h.Format = tar.FormatPAX
		}
		if f.prefix != nil {
			b.Write(f.prefix)
		} else if f.raw != 0 {
			b.Write(ustar("././@LongLink", f.raw, 0, h.Size, 0))
		} else if err := w.WriteHeader(&h); err != nil {
			k.tb.Fatalf("testdata: %s: %v", h.Name, err)
		}
		buf = append(append(buf, b.Bytes()...), f.data...)
		if f.more != nil {
			runs = append(append(runs, run{buf, 1}), f.more...)
			buf = nil
		}
		buf = append(buf, make([]byte, -h.Size&511)...)
	}
	buf = append(buf, make([]byte, 1024)...)
	if k.after != nil {
		buf = k.after(buf)
	}
	return append(runs, run{buf, 1})
}

// foreignHostile are defects of tars that others made.
var foreignHostile = []struct {
	defect string
	spoil  func(k *foreignKit)
	text   string
}{
	{"name is an absolute path", func(k *foreignKit) { k.file(WorkedSpan).Name = "/tmp/" + WorkedSpan }, "/tmp/" + WorkedSpan},
	{"name climbs", func(k *foreignKit) { k.file(WorkedSpan).Name = "../" + WorkedSpan }, "../" + WorkedSpan},
	{"name climbs in the middle", func(k *foreignKit) { k.file(WorkedSpan).Name = "a/../../" + WorkedSpan }, "a/../../" + WorkedSpan},
	{"name in a folder, others in none", func(k *foreignKit) { k.file(WorkedSpan).Name = "a/" + WorkedSpan }, WorkedSpan},
	{"names in two folders", func(k *foreignKit) {
		for i := range k.files {
			k.files[i].Name = string(rune('a'+i%2)) + "/" + k.files[i].Name
		}
	}, "b/"},
	{"all names climb", func(k *foreignKit) {
		for i := range k.files {
			k.files[i].Name = "../" + k.files[i].Name
		}
	}, "../"},
	{"name of a file outside, in the manifest too", func(k *foreignKit) {
		f := k.file(archiveManifest)
		f.data = bytes.Replace(f.data, []byte(`"`+WorkedSpan+"\"\n"), []byte(`"../`+WorkedSpan+"\"\n"), 1)
		k.file(WorkedSpan).Name = "../" + WorkedSpan
	}, "../" + WorkedSpan},
	{"symbolic link in the place of a span", func(k *foreignKit) { k.typed(WorkedSpan, tar.TypeSymlink, "/etc/passwd") }, WorkedSpan},
	{"symbolic link in the place of the manifest", func(k *foreignKit) { k.typed(archiveManifest, tar.TypeSymlink, WorkedSpan) }, archiveManifest},
	{"hard link in the place of a span", func(k *foreignKit) { k.typed(WorkedSpan, tar.TypeLink, WorkedHeap) }, WorkedSpan},
	{"symbolic link to a folder, and files in it", func(k *foreignKit) {
		k.add("export", nil)
		k.typed("export", tar.TypeSymlink, "/tmp")
		k.first("export")
		for i := range k.files[1:] {
			k.files[i+1].Name = "export/" + k.files[i+1].Name
		}
	}, "export"},
	{"character device", func(k *foreignKit) { k.typed(WorkedSpan, tar.TypeChar, "") }, WorkedSpan},
	{"block device", func(k *foreignKit) { k.typed(WorkedSpan, tar.TypeBlock, "") }, WorkedSpan},
	{"fifo", func(k *foreignKit) { k.typed(WorkedSpan, tar.TypeFifo, "") }, WorkedSpan},
	{"sparse file in GNU's old form", func(k *foreignKit) { k.after = sparse }, WorkedSpan},
	{"sparse file in PAX records", func(k *foreignKit) { sparsePAX(k) }, WorkedSpan},
	{"unknown type", func(k *foreignKit) { k.after = k.header(WorkedSpan, func(b []byte) { b[156] = 'Z' }) }, WorkedSpan},
	{"volume label", func(k *foreignKit) { k.after = k.header(WorkedSpan, func(b []byte) { b[156] = 'V' }) }, WorkedSpan},
	{"continued on another volume", func(k *foreignKit) { k.after = k.header(WorkedSpan, func(b []byte) { b[156] = 'M' }) }, WorkedSpan},
	{"directory in the place of a span", func(k *foreignKit) { k.typed(WorkedSpan, tar.TypeDir, "") }, WorkedSpan},
	{"duplicate name", func(k *foreignKit) { k.add(WorkedSpan, k.file(WorkedSpan).data) }, WorkedSpan},
	{"duplicate name, once with ./", func(k *foreignKit) { k.add("./"+WorkedSpan, k.file(WorkedSpan).data) }, WorkedSpan},
	{"two manifests", func(k *foreignKit) { k.add(archiveManifest, k.file(archiveManifest).data) }, archiveManifest},
	{"two export datas", func(k *foreignKit) { k.add(archiveData, k.file(archiveData).data) }, archiveData},
	{"two spans before the manifest", func(k *foreignKit) {
		k.add(WorkedSpan, k.file(WorkedSpan).data)
		k.files = append(k.files[1:], k.files[0])
	}, WorkedSpan},
	{"manifest missing", func(k *foreignKit) { k.remove(archiveManifest) }, archiveManifest},
	{"export data missing", func(k *foreignKit) { k.remove(archiveData) }, archiveData},
	{"span missing", func(k *foreignKit) { k.remove(WorkedSpan) }, WorkedSpan},
	{"heap missing", func(k *foreignKit) { k.remove(WorkedHeap) }, WorkedHeap},
	{"manifest empty", func(k *foreignKit) { k.file(archiveManifest).data = nil }, archiveManifest},
	{"manifest cut", func(k *foreignKit) { f := k.file(archiveManifest); f.data = f.data[:50] }, archiveManifest},
	{"span cut", func(k *foreignKit) { f := k.file(WorkedSpan); f.data = f.data[:30] }, WorkedSpan},
	{"span of other content", func(k *foreignKit) { f := k.file(WorkedSpan); f.data = bytes.ToUpper(f.data) }, WorkedSpan},
	{"no entries", func(k *foreignKit) { k.files = nil }, "archive"},
	{"only a directory", func(k *foreignKit) { k.files = k.files[:1]; k.files[0].Name = "x/"; k.typed("x/", tar.TypeDir, "") }, archiveManifest},
	{"size larger than the content", func(k *foreignKit) { k.after = k.header(WorkedSpan, octal("00000000110")) }, WorkedSpan},
	{"size larger by a block", func(k *foreignKit) { k.after = k.header(WorkedSpan, octal("00000001107")) }, WorkedSpan},
	{"size smaller than the content", func(k *foreignKit) { k.after = k.header(WorkedSpan, octal("00000000100")) }, WorkedSpan},
	{"size of 2^60", func(k *foreignKit) {
		k.after = k.header(WorkedLast, octal("\x80\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00"))
	}, WorkedLast},
	{"size of 2^60 of the manifest", func(k *foreignKit) {
		k.after = k.header(archiveManifest, octal("\x80\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00"))
	}, archiveManifest},
	{"size below zero", func(k *foreignKit) {
		k.after = k.header(WorkedSpan, octal("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	}, "header"},
	{"size of no digits", func(k *foreignKit) { k.after = k.header(WorkedSpan, octal("x")) }, "header"},
	{"checksum", func(k *foreignKit) {
		k.after = func(b []byte) []byte { b[place(b, WorkedSpan)+150] ^= 1; return b }
	}, "header"},
	{"rubbish behind the end", func(k *foreignKit) { k.after = func(b []byte) []byte { return append(b, "rubbish"...) } }, "behind the end"},
	{"rubbish behind zeros behind the end", func(k *foreignKit) {
		k.after = func(b []byte) []byte { return append(append(b, make([]byte, 9000)...), "rubbish"...) }
	}, "behind the end"},
	{"two archives", func(k *foreignKit) { k.after = func(b []byte) []byte { return append(b, b...) } }, "behind the end"},
	{"end missing", func(k *foreignKit) { k.after = func(b []byte) []byte { return b[:len(b)-1024] } }, "truncated"},
	{"one end block missing", func(k *foreignKit) { k.after = func(b []byte) []byte { return b[:len(b)-512] } }, "truncated"},
	{"cut in a span", func(k *foreignKit) { k.after = func(b []byte) []byte { return b[:place(b, WorkedSpan)+530] } }, "truncated"},
	{"cut before a header", func(k *foreignKit) { k.after = func(b []byte) []byte { return b[:place(b, WorkedSpan)] } }, "truncated"},
	{"long name of a bomb", func(k *foreignKit) {
		k.add("bomb", nil).more = fill("x", bombSize)
		k.first("bomb")
		k.files[0].raw = tar.TypeGNULongName
	}, "this is no archive"},
	{"bomb of records", func(k *foreignKit) {
		k.add("bomb", nil).more = fill("9 path=x\n", bombSize)
		k.first("bomb")
		k.files[0].raw = tar.TypeXHeader
	}, "this is no archive"},
	{"bomb as a span", foreignBomb(WorkedSpan, "\x00"), WorkedSpan},
	{"bomb as a heap", foreignBomb(WorkedHeap, "\x00"), WorkedHeap},
	{"bomb as a bundle", foreignBomb(workedB0, " "), workedB0},
	{"bomb as the manifest", foreignBomb(archiveManifest, " "), archiveManifest},
	{"bomb as export data", foreignBomb(archiveData, "\x00"), "line of more than|" + archiveData},
	{"bomb of zeros and rubbish behind the end", func(k *foreignKit) {
		whole := k.pack()[0].data
		f := foreignFile{prefix: whole, more: fill("\x00", bombSize)}
		k.files = []foreignFile{f}
		k.after = func(b []byte) []byte { return append(b, "rubbish"...) }
	}, "behind the end"},
}

func foreignBomb(name, text string) func(k *foreignKit) {
	return func(k *foreignKit) { k.file(name).more = fill(text, bombSize) }
}

// place is where the header of a file is.
func place(b []byte, name string) int { return bytes.Index(b, []byte(name+"\x00")) }

// header changes the header block of a file in the packed tar.
func (k *foreignKit) header(name string, change func(b []byte)) func([]byte) []byte {
	return func(b []byte) []byte {
		block := b[place(b, name):][:512]
		change(block)
		TarChecksum(block)
		return b
	}
}

// sparse makes the historical span a sparse file of 1 TiB.
func sparse(b []byte) []byte {
	block := b[place(b, WorkedSpan):][:512]
	block[156] = 'S'
	copy(block[386:], "00000000000\x0000000000107\x00")
	copy(block[410:], strings.Repeat("\x00", 72))
	copy(block[483:], "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00")
	TarChecksum(block)
	return b
}

// sparsePAX makes it one in the form of PAX.
func sparsePAX(k *foreignKit) {
	f := k.file(WorkedSpan)
	k.after = func(b []byte) []byte {
		at := place(b, WorkedSpan)
		records := paxRecord("GNU.sparse.major", "1") + paxRecord("GNU.sparse.minor", "0") +
			paxRecord("GNU.sparse.name", WorkedSpan) + paxRecord("GNU.sparse.realsize", "1099511627776")
		extra := append(ustar("PaxHeaders.0/x", 'x', 0, int64(len(records)), 0), pad([]byte(records))...)
		return slices.Insert(b, at, extra...)
	}
	f.data = append([]byte("1\n0\n71\n"+strings.Repeat("\x00", 505)), f.data...)
}

func hostileForeign(tb testing.TB, dir string) (all []Hostile) {
	for _, c := range foreignHostile {
		k := newForeignKit(tb, dir)
		c.spoil(k)
		all = append(all, Hostile{Defect: "foreign: " + c.defect, Text: c.text, Bomb: strings.Contains(c.defect, "bomb"), runs: k.pack()})
	}
	return all
}

// hostilePacked are defects of the compressed stream, and what is no archive at all.
func hostilePacked(tb testing.TB, dir string) (all []Hostile) {
	plain, _ := Archive(tb, dir, ArchiveOptions{})
	frames := [][]byte{ZstdFrame(plain[:4096]), ZstdFrame(plain[4096:])}
	table := SeekTable(frames, []int{4096, len(plain) - 4096})
	whole := slices.Concat(frames[0], frames[1], table)
	foreign := ForeignTar(tb, dir, ForeignOptions{})
	add := func(defect, text string, ours bool, data []byte) {
		all = append(all, Hostile{Defect: "packed: " + defect, Text: text, Ours: ours, Packed: true, runs: []run{{data, 1}}})
	}
	changed := func(change func(b []byte) []byte) []byte { return change(slices.Clone(whole)) }

	add("zstd: window of 2 GiB", "window", true, zstdWindow(0xA8, plain))
	add("zstd: window of 2 GiB in a tar of others", "window", false, zstdWindow(0xA8, foreign))
	add("zstd: checksum of a frame", "checksum", true, changed(func(b []byte) []byte { b[len(frames[0])-1] ^= 1; return b }))
	add("zstd: a block in the last frame damaged", "", true, changed(func(b []byte) []byte { b[len(frames[0])+len(frames[1])/2] ^= 0xff; return b }))
	add("zstd: cut in the last frame", "truncated", true, whole[:len(frames[0])+len(frames[1])/2])
	add("zstd: cut between frames", "truncated", true, whole[:len(frames[0])])
	add("zstd: cut in the seek table", "truncated", true, whole[:len(whole)-1])
	add("zstd: rubbish behind the stream", "", true, append(slices.Clone(whole), "rubbish"...))
	add("zstd: two streams", "behind the end", true, slices.Concat(whole, whole))
	add("zstd: a frame behind the seek table", "behind the end", true, append(slices.Clone(whole), ZstdFrame([]byte("x"))...))
	add("zstd: a frame twice", "", true, slices.Concat(frames[0], frames[0], frames[1], SeekTable([][]byte{frames[0], frames[0], frames[1]}, []int{4096, 4096, len(plain) - 4096})))
	add("zstd: frames exchanged", "", false, slices.Concat(frames[1], frames[0], table))
	add("zstd: of zstd", "archive", false, ZstdFrame(whole))
	add("zstd: of gzip", "archive", false, ZstdFrame(Gzip(plain)))
	add("zstd: of nothing", "", false, ZstdFrame(nil))
	add("zstd: frame of no content and then nothing", "", false, []byte{0x28, 0xb5, 0x2f, 0xfd})
	add("zstd: needs a dictionary", "dictionary", false, []byte{0x28, 0xb5, 0x2f, 0xfd, 0x21, 0x99, 0x05, 0x29, 0, 0, 'h', 'e', 'l', 'l', 'o'})
	add("zstd: only a seek table", "", false, SeekTable(nil, nil))

	z := Gzip(plain)
	add("gzip: checksum", "checksum", true, append(slices.Clone(z[:len(z)-8]), 1, 2, 3, 4, z[len(z)-4], z[len(z)-3], z[len(z)-2], z[len(z)-1]))
	add("gzip: cut", "truncated", true, z[:len(z)-3])
	add("gzip: cut in the middle", "truncated", true, z[:len(z)/2])
	add("gzip: rubbish behind", "", true, append(slices.Clone(z), "rubbish"...))
	add("gzip: two archives", "behind the end", true, slices.Concat(z, z))
	add("gzip: of gzip", "archive", false, Gzip(z))
	add("gzip: cut in a tar of others", "truncated", false, Gzip(foreign)[:len(Gzip(foreign))/2])

	add("no archive: empty", "truncated", false, nil)
	add("no archive: one byte", "", false, []byte("x"))
	add("no archive: one block of zeros", "", false, make([]byte, 512))
	add("no archive: many zeros", "", false, make([]byte, 1<<20))
	add("no archive: a text", "archive", false, []byte(strings.Repeat("This is no archive at all.\n", 100)))
	add("no archive: a manifest", "archive", false, []byte("{\n  \"blockHeight\": 17\n}"))
	add("no archive: a store", "archive", false, append([]byte("SQLite format 3\x00"), make([]byte, 4080)...))
	add("no archive: a zip", "archive", false, append([]byte("PK\x03\x04"), make([]byte, 600)...))
	add("no archive: xz", "archive", false, append([]byte("\xfd7zXZ\x00"), make([]byte, 600)...))
	add("no archive: an error of ssh", "archive", false, []byte("bash: line 1: swingport: command not found\n"))
	return all
}

// zstdWindow is a frame without the size of its content, of raw blocks, with a window descriptor.
func zstdWindow(descriptor byte, content []byte) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, descriptor}
	for len(content) > 0 {
		n := min(len(content), 64<<10)
		head := uint32(n) << 3
		if n == len(content) {
			head |= 1
		}
		b = append(b, binary.LittleEndian.AppendUint32(nil, head)[:3]...)
		b = append(b, content[:n]...)
		content = content[n:]
	}
	return b
}

// HostileArchives are archives with one defect each, of WorkedExport.
func HostileArchives(tb testing.TB) []Hostile {
	tb.Helper()
	dir := WorkedExport(tb)
	return slices.Concat(hostileOurs(tb, dir), hostileForeign(tb, dir), hostilePacked(tb, dir))
}
