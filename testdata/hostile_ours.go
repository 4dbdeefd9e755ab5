package testdata

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bombSize is what a bomb unpacks to: more than anything may be held in memory. Lines that are taken, one after the other, cost time
// alone, and are fewer.
const (
	bombSize      = 400 << 20
	smallBombSize = 40 << 20
)

// oursHostile are defects of our archives; each archive is right but for the one thing.
var oursHostile = []struct {
	defect string
	spoil  func(k *kit)
	text   string
}{
	{"name is an absolute path", func(k *kit) { k.file(WorkedSpan).Name = "/tmp/" + WorkedSpan }, "/tmp/" + WorkedSpan},
	{"name climbs", func(k *kit) { k.file(WorkedSpan).Name = "../" + WorkedSpan }, "../" + WorkedSpan},
	{"name in a folder", func(k *kit) { k.file(WorkedSpan).Name = "a/" + WorkedSpan }, "a/" + WorkedSpan},
	{"name empty", func(k *kit) { k.file(WorkedSpan).Name = "" }, "invalid file name"},
	{"name of dots", func(k *kit) { k.file(WorkedSpan).Name = ".." }, `".."`},
	{"name is no UTF-8", func(k *kit) { k.file(WorkedSpan).Name = "transcript.v\xff.0.3" }, "transcript.v"},
	{"name of 5000 bytes", func(k *kit) { k.file(WorkedSpan).Name = strings.Repeat("x", 5000) }, "file name of more than 4096 bytes"},
	{"symbolic link", func(k *kit) {
		k.file(WorkedSpan).changed(func(b []byte) { b[156] = '2'; copy(b[157:], "/etc/passwd") })
	}, WorkedSpan},
	{"hard link", func(k *kit) {
		k.file(WorkedSpan).changed(func(b []byte) { b[156] = '1'; copy(b[157:], WorkedLast) })
	}, WorkedSpan},
	{"character device", func(k *kit) { k.file(WorkedSpan).changed(func(b []byte) { b[156] = '3' }) }, WorkedSpan},
	{"block device", func(k *kit) { k.file(WorkedSpan).changed(func(b []byte) { b[156] = '4' }) }, WorkedSpan},
	{"directory", func(k *kit) { k.file(WorkedSpan).changed(func(b []byte) { b[156] = '5' }) }, WorkedSpan},
	{"fifo", func(k *kit) { k.file(WorkedSpan).changed(func(b []byte) { b[156] = '6' }) }, WorkedSpan},
	{"sparse file", func(k *kit) { k.file(WorkedSpan).changed(func(b []byte) { b[156] = 'S' }) }, WorkedSpan},
	{"unknown type", func(k *kit) { k.file(WorkedSpan).changed(func(b []byte) { b[156] = 'Z' }) }, WorkedSpan},
	{"records for all that follows", func(k *kit) { k.file(WorkedSpan).header = globalRecords }, "GlobalHead.0"},
	{"records without an end", func(k *kit) {
		k.file(WorkedSpan).header = func(int64) []byte { return ustar("PaxHeaders.0/x", 'x', 0, 1<<33-1, 0) }
	}, "header"},
	{"records of another length", func(k *kit) {
		k.file(WorkedSpan).header = func(int64) []byte {
			return append(ustar("PaxHeaders.0/x", 'x', 0, 9, 0), pad([]byte("99 path=x"))...)
		}
	}, "header"},
	{"duplicate name", func(k *kit) { k.insert(archiveData, WorkedSpan, string(k.file(WorkedSpan).Data)) }, "have one name|" + WorkedSpan},
	{"size larger than the content", func(k *kit) { k.file(WorkedSpan).changed(octal("00000000110")) }, WorkedSpan},
	{"size larger by a block", func(k *kit) { k.file(WorkedSpan).changed(octal("00000001107")) }, WorkedSpan},
	{"size smaller than the content", func(k *kit) { k.file(WorkedSpan).changed(octal("00000000106")) }, WorkedSpan},
	{"size none", func(k *kit) { k.file(WorkedSpan).changed(octal("00000000000")) }, WorkedSpan},
	{"size of 2^60 in a record", func(k *kit) {
		k.file(WorkedSpan).header = func(int64) []byte { return TarHeader(WorkedSpan, 1<<60, 0) }
	}, WorkedSpan},
	{"size of 2^50 in a record", func(k *kit) {
		k.file(WorkedSpan).header = func(int64) []byte { return TarHeader(WorkedSpan, 1<<50, 0) }
	}, WorkedSpan},
	{"size of 2^49 of a bundle", func(k *kit) {
		k.file(workedB0).header = func(int64) []byte { return TarHeader(workedB0, 1<<49, 0) }
	}, workedB0},
	{"size of 2^49 of the manifest", func(k *kit) {
		k.file(archiveManifest).header = func(int64) []byte { return TarHeader(archiveManifest, 1<<49, 0) }
	}, archiveManifest},
	{"size of 2^49 of the header", func(k *kit) {
		k.file(archiveHeader).header = func(int64) []byte { return TarHeader(archiveHeader, 1<<49, 0) }
	}, archiveHeader},
	{"size in base 256", func(k *kit) {
		k.file(WorkedSpan).changed(octal("\x80\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00"))
	}, WorkedSpan},
	{"size below zero", func(k *kit) {
		k.file(WorkedSpan).changed(octal("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	}, "header"},
	{"size of no digits", func(k *kit) { k.file(WorkedSpan).changed(octal("x")) }, "header"},
	{"mode of the file another", func(k *kit) { k.file(WorkedSpan).changed(func(b []byte) { b[104] = '7' }) }, WorkedSpan},
	{"owner", func(k *kit) { k.file(WorkedSpan).changed(func(b []byte) { copy(b[265:], "root") }) }, WorkedSpan},
	{"time another than before", func(k *kit) {
		k.file(WorkedSpan).header = func(size int64) []byte { return TarHeader(WorkedSpan, size, 1) }
	}, WorkedSpan},
	{"checksum", func(k *kit) {
		k.file(WorkedSpan).header = func(size int64) []byte { b := TarHeader(WorkedSpan, size, 0); b[150] ^= 1; return b }
	}, "header"},
	{"padding of an entry", func(k *kit) { k.after = patch(WorkedSpan, 71, "x") }, WorkedSpan},
	{"padding of the index", func(k *kit) {
		k.after = func(b []byte, _ []ArchiveEntry) []byte { b[len(b)-1025] = 1; return b }
	}, archiveIndex},

	{"bomb as a span", bomb(WorkedSpan, "\x00"), WorkedSpan},
	{"bomb of empty items as a span", bomb(WorkedSpan, "\n"), WorkedSpan},
	{"bomb as a bundle", bomb(workedB0, "\x00"), workedB0},
	{"bomb of JSON as a bundle", bomb(workedB0, " "), workedB0},
	{"bomb as a heap", bomb(WorkedHeap, "\x00"), WorkedHeap},
	{"bomb as export data", bomb(archiveData, "\x00"), archiveData},
	{"bomb of one line as export data", func(k *kit) { k.file(archiveData).Data = []byte(`["kv.x","`); bomb(archiveData, "x")(k) }, archiveData},
	{"bomb of empty lines as export data", bomb(archiveData, "\n"), "line is empty"},
	{"bomb of one key as export data", bomb(archiveData, `["kv.x","y"]`+"\n"), archiveData},
	{"bomb as the manifest", bomb(archiveManifest, "\x00"), archiveManifest},
	{"bomb of white space as the manifest", func(k *kit) { k.file(archiveManifest).Data = nil; bomb(archiveManifest, " ")(k) }, archiveManifest},
	{"bomb of artifacts as the manifest", func(k *kit) {
		k.file(archiveManifest).Data = []byte(`{"blockHeight":17,"artifactMode":"archival","artifacts":[`)
		bomb(archiveManifest, `["transcript.v1.0.3","transcript.v1.0.3"],`)(k)
	}, archiveManifest},
	{"bomb as the header", bomb(archiveHeader, "\x00"), "line of more than|" + archiveHeader},
	{"bomb of one line as the header", func(k *kit) { k.file(archiveHeader).Data = nil; bomb(archiveHeader, " ")(k) }, archiveHeader},
	{"bomb of records as the header", bomb(archiveHeader, `["transcript.v1.0","{\"vatID\":\"v1\",\"startPos\":0,\"endPos\":3,\"hash\":\"58\",\"isCurrent\":0,\"incarnation\":0}"]`+"\n"), "is not JSON|" + archiveHeader},
	{"bomb as the index", func(k *kit) { k.noIndex = true; k.insertLast(archiveIndex); bomb(archiveIndex, "\x00")(k) }, archiveIndex},
	{"bomb behind the end", func(k *kit) { k.bombBehind() }, "behind the end"},

	{"rubbish behind the end", func(k *kit) { k.after = func(b []byte, _ []ArchiveEntry) []byte { return append(b, "rubbish"...) } }, "behind the end"},
	{"more zeros behind the end", func(k *kit) {
		k.after = func(b []byte, _ []ArchiveEntry) []byte { return append(b, make([]byte, 512)...) }
	}, "behind the end"},
	{"rubbish in the end", func(k *kit) { k.after = func(b []byte, _ []ArchiveEntry) []byte { b[len(b)-1] = 1; return b } }, "the end of the tar is not behind the index"},
	{"one end block missing", func(k *kit) { k.after = func(b []byte, _ []ArchiveEntry) []byte { return b[:len(b)-512] } }, "truncated"},
	{"end missing", func(k *kit) { k.after = func(b []byte, _ []ArchiveEntry) []byte { return b[:len(b)-1024] } }, "truncated"},
	{"cut in the index", func(k *kit) { k.after = func(b []byte, _ []ArchiveEntry) []byte { return b[:len(b)-1536] } }, "truncated"},
	{"cut in a span", func(k *kit) { k.after = cutAt(WorkedSpan, 30) }, "truncated"},
	{"cut before a header", func(k *kit) { k.after = cutAt(WorkedSpan, -512) }, "truncated"},
	{"two archives", func(k *kit) { k.after = func(b []byte, _ []ArchiveEntry) []byte { return append(b, b...) } }, "behind the end"},
	{"two archives, the first without its end", func(k *kit) {
		k.after = func(b []byte, _ []ArchiveEntry) []byte { return append(b[:len(b)-1024:len(b)-1024], b...) }
	}, archiveHeader},

	{"entry without metadata", func(k *kit) {
		k.insert(WorkedLast, "transcript.v2.0.1", "x\n")
		k.manifest(func(m *Manifest) { m.add("transcript.v2.0.1") })
	}, "transcript.v2.0.1"},
	{"heap without metadata", func(k *kit) {
		k.insert(workedB0, "snapshot.v2.1", "x")
		k.manifest(func(m *Manifest) { m.add("snapshot.v2.1") })
	}, "snapshot.v2.1"},
	{"bundle without metadata", func(k *kit) {
		name := "bundle.b0-" + strings.Repeat("0", 64)
		k.insert(WorkedSpan, name, "x")
		k.manifest(func(m *Manifest) { m.add(name) })
	}, strings.Repeat("0", 64)},
	{"span missing", func(k *kit) { k.remove(WorkedSpan); k.manifest(func(m *Manifest) { m.drop(WorkedSpan) }) }, "incomplete archival transcript|" + WorkedSpan},
	{"heap missing", func(k *kit) { k.remove(WorkedHeap); k.manifest(func(m *Manifest) { m.drop(WorkedHeap) }) }, "v1"},
	{"bundle missing", func(k *kit) { k.remove(workedB0); k.manifest(func(m *Manifest) { m.drop(workedB0) }) }, strings.TrimPrefix(workedB0, "bundle.")},
	{"span missing that the manifest has", func(k *kit) { k.remove(WorkedSpan) }, WorkedSpan},
	{"span that the manifest has not", func(k *kit) { k.manifest(func(m *Manifest) { m.drop(WorkedSpan) }) }, WorkedSpan},
	{"manifest with another file for a span", func(k *kit) {
		k.replace(archiveManifest, `"`+WorkedSpan+"\"\n", `"`+WorkedLast+"x\"\n")
	}, WorkedSpan},
	{"manifest with two spans exchanged", func(k *kit) {
		k.manifest(func(m *Manifest) {
			for i, a := range m.Artifacts {
				switch a[0] {
				case WorkedSpan:
					m.Artifacts[i][1] = WorkedLast
				case WorkedLast:
					m.Artifacts[i][1] = WorkedSpan
				}
			}
		})
	}, WorkedSpan},
	{"manifest with an artifact twice", func(k *kit) { k.manifest(func(m *Manifest) { m.add(WorkedSpan) }) }, WorkedSpan},
	{"manifest with a path", func(k *kit) {
		k.replace(archiveManifest, `"`+WorkedSpan+"\"\n", `"../`+WorkedSpan+"\"\n")
	}, "../" + WorkedSpan},
	{"manifest cut", func(k *kit) { f := k.file(archiveManifest); f.Data = f.Data[:100] }, archiveManifest},
	{"manifest empty", func(k *kit) { k.file(archiveManifest).Data = nil }, archiveManifest},
	{"manifest missing", func(k *kit) { k.remove(archiveManifest) }, archiveManifest},
	{"manifest without export data", func(k *kit) { k.manifest(func(m *Manifest) { m.Data = "" }) }, "export data"},
	{"unknown entry", func(k *kit) { k.insert(archiveData, "README", "hello") }, "README"},
	{"unknown artifact", func(k *kit) {
		k.insert(archiveData, "heap.v1.1", "x")
		k.manifest(func(m *Manifest) { m.add("heap.v1.1") })
	}, "heap.v1.1"},

	{"order: a span before the heap", func(k *kit) { k.move(WorkedSpan, WorkedHeap) }, WorkedHeap},
	{"order: a bundle before the heap", func(k *kit) { k.move(workedB0, WorkedHeap) }, WorkedHeap},
	{"order: export data before a span", func(k *kit) { k.move(archiveData, WorkedLast) }, WorkedLast},
	{"order: the manifest before export data", func(k *kit) { k.move(archiveManifest, archiveData) }, archiveData},
	{"order: an entry behind the index", func(k *kit) {
		k.after = func(b []byte, _ []ArchiveEntry) []byte { return appendEntry(b[:len(b)-1024], "x") }
	}, `"x" is behind the index`},
	{"order: the index twice", func(k *kit) {
		k.after = func(b []byte, e []ArchiveEntry) []byte {
			b, _ = appendFile(b[:len(b)-1024], ArchiveFile{archiveIndex, ArchiveIndex(e)}, 0)
			return append(b, make([]byte, 1024)...)
		}
	}, archiveIndex},

	{"header of a newer version", func(k *kit) { k.replace(archiveHeader, `"version":1`, `"version":2`) }, "version 2"},
	{"header of another format", func(k *kit) { k.replace(archiveHeader, `"swingport-archive"`, `"other-archive"`) }, "header"},
	{"header with another member", func(k *kit) { k.replace(archiveHeader, `"version":1,`, `"version":1,"x":1,`) }, "header"},
	{"header with white space", func(k *kit) { k.replace(archiveHeader, `"version":1`, `"version": 1`) }, "header"},
	{"header empty", func(k *kit) { k.file(archiveHeader).Data = nil }, "header"},
	{"header is one line without its end", func(k *kit) {
		f := k.file(archiveHeader)
		f.Data = f.Data[:bytes.IndexByte(f.Data, '\n')]
	}, archiveHeader},
	{"header with a height that is not the manifest's", func(k *kit) { k.replace(archiveHeader, `"blockHeight":17`, `"blockHeight":18`) }, "block height 17, the header of the archive 18"},
	{"header without a height, the manifest with one", func(k *kit) { k.replace(archiveHeader, `"blockHeight":17`, `"blockHeight":null`) }, "height"},
	{"header with a mode that is not the manifest's", func(k *kit) {
		k.replace(archiveHeader, `"artifactMode":"archival"`, `"artifactMode":"replay"`)
	}, "replay"},
	{"header with an unknown mode", func(k *kit) { k.replace(archiveHeader, `"artifactMode":"archival"`, `"artifactMode":"all"`) }, "all"},
	{"header without export data, which is there", func(k *kit) { k.replace(archiveHeader, `"exportData":true`, `"exportData":false`) }, "export data|" + archiveData},
	{"header with export data, which is not there", func(k *kit) {
		k.remove(archiveData)
		k.manifest(func(m *Manifest) { m.Data = "" })
	}, archiveData},
	{"header with gzip snapshots, which are raw", func(k *kit) { k.replace(archiveHeader, `"snapshots":"raw"`, `"snapshots":"gzip"`) }, WorkedHeap},
	{"header without a record of the export data", func(k *kit) { k.replace(archiveHeader, `["snapshot.v1.current","snapshot.v1.2"]`+"\n", "") }, "other metadata than came before the artifacts"},
	{"header with a record that the export data has not", func(k *kit) { k.replace(archiveData, `["snapshot.v1.current","snapshot.v1.2"]`+"\n", "") }, "other metadata than came before the artifacts"},
	{"header with a record twice", func(k *kit) {
		line := `["snapshot.v1.current","snapshot.v1.2"]` + "\n"
		k.replace(archiveHeader, line, line+line)
	}, "other metadata than came before the artifacts"},
	{"header with records in another order", func(k *kit) {
		f := k.file(archiveHeader)
		lines := strings.SplitAfter(string(f.Data), "\n")
		lines[3], lines[4] = lines[4], lines[3]
		f.Data = []byte(strings.Join(lines, ""))
	}, "other metadata than came before the artifacts"},
	{"header with another record than the export data", func(k *kit) { k.replace(archiveData, `\"incarnation\":0`, `\"incarnation\":1`) }, "other metadata than came before the artifacts"},
	{"header with a line of kvStore", func(k *kit) { k.file(archiveHeader).Data = append(k.file(archiveHeader).Data, `["kv.a","b"]`+"\n"...) }, "kv.a|other metadata than came before the artifacts"},
	{"header with a line that is no record", func(k *kit) { k.file(archiveHeader).Data = append(k.file(archiveHeader).Data, "hello\n"...) }, "is not JSON|" + archiveHeader},

	{"span of other content", func(k *kit) { k.replace(WorkedSpan, "startVat", "startvat") }, WorkedSpan},
	{"heap of other content", func(k *kit) { k.replace(WorkedHeap, "heap", "Heap") }, WorkedHeap},
	{"bundle of other content", func(k *kit) { k.replace(workedB0, "getExport", "GetExport") }, workedB0},
	{"span with its hash in the index another", func(k *kit) { k.after = patch(WorkedSpan, 10, "X") }, WorkedSpan},
	{"export data with a value changed", func(k *kit) { k.after = patchText(`["kv.ko1.owner","v1"]`, `["kv.ko1.owner","v2"]`) }, archiveData},

	{"index missing", func(k *kit) { k.noIndex = true }, archiveIndex},
	{"index empty", func(k *kit) { k.index = func([]ArchiveEntry) []byte { return nil } }, "index"},
	{"index without the last entry", func(k *kit) { k.index = func(e []ArchiveEntry) []byte { return ArchiveIndex(e[:len(e)-1]) } }, "index"},
	{"index of other entries", func(k *kit) {
		k.index = func(e []ArchiveEntry) []byte { e = slices.Clone(e); e[3].Name = "other"; return ArchiveIndex(e) }
	}, "index"},
	{"index with another offset", func(k *kit) {
		k.index = func(e []ArchiveEntry) []byte { e = slices.Clone(e); e[3].Offset += 512; return ArchiveIndex(e) }
	}, "index"},
	{"index with another size", func(k *kit) {
		k.index = func(e []ArchiveEntry) []byte { e = slices.Clone(e); e[3].Size++; return ArchiveIndex(e) }
	}, "index"},
	{"index with another hash", func(k *kit) {
		k.index = func(e []ArchiveEntry) []byte { e = slices.Clone(e); e[5].SHA256[0]++; return ArchiveIndex(e) }
	}, "index"},
	{"index of a newer version", func(k *kit) { k.index = func(e []ArchiveEntry) []byte { b := ArchiveIndex(e); b[8] = 2; return b } }, "index"},
	{"index cut", func(k *kit) { k.index = func(e []ArchiveEntry) []byte { b := ArchiveIndex(e); return b[:len(b)-1] } }, "index"},
	{"index with a byte more", func(k *kit) { k.index = func(e []ArchiveEntry) []byte { return append(ArchiveIndex(e), 0) } }, "index"},
	{"index with a wrong hash of itself", func(k *kit) {
		k.index = func(e []ArchiveEntry) []byte { b := ArchiveIndex(e); b[len(b)-1]++; return b }
	}, "index"},
	{"index with slots in another order", func(k *kit) {
		k.index = func(e []ArchiveEntry) []byte {
			b := ArchiveIndex(e)
			at := len(b) - 56 - 24
			b[at], b[at-24] = b[at-24], b[at]
			return b
		}
	}, "index"},
}

// bomb makes a file many MB long.
func bomb(name, text string) func(k *kit) {
	size := int64(bombSize)
	if strings.HasSuffix(text, "]\n") {
		size = smallBombSize
	}
	return func(k *kit) { k.file(name).more = fill(text, size) }
}

func (k *kit) insertLast(name string) {
	k.files = append(k.files, kitFile{ArchiveFile: ArchiveFile{Name: name}})
}

// bombBehind appends zeros to the archive: a last entry whose header is none.
func (k *kit) bombBehind() {
	whole := k.pack()[0].data
	k.noIndex = true
	k.files = []kitFile{{header: func(int64) []byte { return whole }, more: fill("\x00", bombSize)}}
}

func appendEntry(b []byte, name string) []byte {
	b, _ = appendFile(b, ArchiveFile{name, nil}, 0)
	return append(b, make([]byte, 1024)...)
}

func find(entries []ArchiveEntry, name string) ArchiveEntry {
	return entries[slices.IndexFunc(entries, func(e ArchiveEntry) bool { return e.Name == name })]
}

// patch writes over the content of an entry, and what is behind it.
func patch(name string, at int64, text string) func([]byte, []ArchiveEntry) []byte {
	return func(b []byte, entries []ArchiveEntry) []byte {
		copy(b[find(entries, name).Offset+at:], text)
		return b
	}
}

func patchText(from, to string) func([]byte, []ArchiveEntry) []byte {
	return func(b []byte, _ []ArchiveEntry) []byte { return bytes.Replace(b, []byte(from), []byte(to), 1) }
}

func cutAt(name string, at int64) func([]byte, []ArchiveEntry) []byte {
	return func(b []byte, entries []ArchiveEntry) []byte { return b[:find(entries, name).Offset+at] }
}

// globalRecords is the header of the historical span behind PAX records for all files.
func globalRecords(size int64) []byte {
	records := []byte(paxRecord("path", WorkedHeap))
	return slices.Concat(ustar("GlobalHead.0", 'g', 0, int64(len(records)), 0), pad(records), TarHeader(WorkedSpan, size, 0))
}

func (m *Manifest) add(name string) { m.Artifacts = append(m.Artifacts, [2]string{name, name}) }

func (m *Manifest) drop(name string) {
	m.Artifacts = slices.DeleteFunc(m.Artifacts, func(a [2]string) bool { return a[0] == name })
}

// gzipHostile are defects of heaps as the store has them.
var gzipHostile = []struct {
	defect string
	heap   func(heap []byte) []byte
}{
	{"gzip of another heap", func(h []byte) []byte { return Gzip(append(h, 'x')) }},
	{"gzip cut", func(h []byte) []byte { z := Gzip(h); return z[:len(z)-1] }},
	{"gzip with a wrong checksum", func(h []byte) []byte { z := Gzip(h); z[len(z)-8]++; return z }},
	{"gzip with a wrong length", func(h []byte) []byte { z := Gzip(h); z[len(z)-1]++; return z }},
	{"gzip with rubbish behind", func(h []byte) []byte { return append(Gzip(h), "rubbish"...) }},
	{"gzip of a bomb", func([]byte) []byte { return gzipZeros(bombSize / blockSize) }},
	{"gzip is the heap itself", func(h []byte) []byte { return h }},
	{"gzip empty", func([]byte) []byte { return nil }},
}

// hostileOurs are archives of ours.
func hostileOurs(tb testing.TB, dir string) (all []Hostile) {
	for _, c := range oursHostile {
		k := newKit(tb, dir, ArchiveOptions{})
		c.spoil(k)
		all = append(all, Hostile{Defect: "ours: " + c.defect, Text: c.text, Ours: true, Bomb: strings.HasPrefix(c.defect, "bomb"), runs: k.pack()})
	}
	heap, err := os.ReadFile(filepath.Join(dir, WorkedHeap))
	if err != nil {
		tb.Fatal(err)
	}
	for _, c := range gzipHostile {
		k := newKit(tb, dir, ArchiveOptions{Gzip: true})
		f := k.file(WorkedHeap + ".gz")
		f.Data = c.heap(slices.Clone(heap))
		all = append(all, Hostile{Defect: "ours: " + c.defect, Text: WorkedHeap, Ours: true, Bomb: strings.HasSuffix(c.defect, "bomb"), runs: k.pack()})
	}
	k := newKit(tb, dir, ArchiveOptions{Gzip: true})
	k.replace(archiveHeader, `"snapshots":"gzip"`, `"snapshots":"raw"`)
	all = append(all, Hostile{Defect: "ours: header with raw snapshots, which are gzip", Text: WorkedHeap, Ours: true, runs: k.pack()})
	return all
}
