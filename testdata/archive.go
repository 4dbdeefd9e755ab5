package testdata

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Names of the entries of an archive that have no name of their own in an export directory.
const (
	archiveHeader   = "swingport-archive.jsonl"
	archiveIndex    = "swingport-index"
	archiveData     = "export-data.jsonl"
	archiveManifest = "export-manifest.json"
)

// ArchiveOptions says what kind of archive to make. The zero value is a plain tar with raw snapshots and all export data.
type ArchiveOptions struct {
	Zstd         bool
	Gzip         bool  // snapshots as gzip
	NoExportData bool  // metadata only, as an export with --export-data-mode skip
	ModTime      int64 // seconds
	FrameSize    int   // of the content of zstd frames; 0 means 2^21, as it has to be
}

// ArchiveFile is an entry before it is packed.
type ArchiveFile struct {
	Name string
	Data []byte
}

// ArchiveEntry is where an entry of an archive is in its tar.
type ArchiveEntry struct {
	Name                string
	Header, Offset, End int64 // of the first byte of its headers, of its content, and behind its padding
	Size                int64
	SHA256              [sha256.Size]byte
}

// Archive makes an archive of an export directory as format/FORMAT.md says. It is written from that page, without the
// code of package format, so that one can be tested by the other. The entries are those before the index; they stay
// those of the tar where the archive is compressed. The order of spans is the manifest's: that of a store is not in an export.
func Archive(tb testing.TB, exportDir string, o ArchiveOptions) ([]byte, []ArchiveEntry) {
	tb.Helper()
	packed, entries := PackArchive(ArchiveFiles(tb, exportDir, o), o.ModTime)
	if o.Zstd {
		packed = ArchiveZstd(packed, o.FrameSize)
	}
	return packed, entries
}

// manifestOrder is that of artifacts in a manifest, by the first letter of their names.
var manifestOrder = map[byte]int{'s': 0, 't': 1, 'b': 2}

// ArchiveFiles are the entries before the index.
func ArchiveFiles(tb testing.TB, exportDir string, o ArchiveOptions) (files []ArchiveFile) {
	tb.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(exportDir, name))
		if err != nil {
			tb.Fatal(err)
		}
		return data
	}
	m := ParseManifest(tb, read(archiveManifest))
	exportData := read(m.Data)
	head := fmt.Sprintf(`{"format":"swingport-archive","version":1,"blockHeight":%s,"artifactMode":%q,"exportData":%v,"snapshots":%q}`+"\n",
		m.BlockHeight, m.ArtifactMode, !o.NoExportData, map[bool]string{false: "raw", true: "gzip"}[o.Gzip])
	for line := range strings.Lines(string(exportData)) {
		if !strings.HasPrefix(line, `["kv.`) {
			head += line
		}
	}
	files = append(files, ArchiveFile{archiveHeader, []byte(head)})

	for _, kind := range []string{"snapshot.", "bundle.", "transcript."} {
		for i, a := range m.Artifacts {
			if !strings.HasPrefix(a[0], kind) {
				continue
			}
			f := ArchiveFile{a[0], read(a[1])}
			if o.Gzip && kind == "snapshot." {
				f = ArchiveFile{a[0] + ".gz", Gzip(f.Data)}
			}
			m.Artifacts[i][1] = f.Name
			files = append(files, f)
		}
	}
	slices.SortStableFunc(m.Artifacts, func(a, b [2]string) int { return manifestOrder[a[0][0]] - manifestOrder[b[0][0]] })
	m.Data = ""
	if !o.NoExportData {
		m.Data = archiveData
		files = append(files, ArchiveFile{archiveData, exportData})
	}
	return append(files, ArchiveFile{archiveManifest, m.Bytes(tb)})
}

// Manifest is an export-manifest.json.
type Manifest struct {
	BlockHeight  json.RawMessage `json:"blockHeight"`
	ArtifactMode string          `json:"artifactMode,omitempty"`
	Artifacts    [][2]string     `json:"artifacts"`
	Data         string          `json:"data,omitempty"`
}

// ParseManifest reads a manifest.
func ParseManifest(tb testing.TB, data []byte) (m Manifest) {
	tb.Helper()
	if err := json.Unmarshal(data, &m); err != nil {
		tb.Fatal(err)
	}
	return m
}

// Bytes is the manifest as it is written.
func (m Manifest) Bytes(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		tb.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// PackArchive packs files, the index of them, and the end of the tar.
func PackArchive(files []ArchiveFile, mtime int64) (packed []byte, entries []ArchiveEntry) {
	for _, f := range files {
		var e ArchiveEntry
		packed, e = appendFile(packed, f, mtime)
		entries = append(entries, e)
	}
	packed, _ = appendFile(packed, ArchiveFile{archiveIndex, ArchiveIndex(entries)}, mtime)
	return append(packed, make([]byte, 1024)...), entries
}

func appendFile(dst []byte, f ArchiveFile, mtime int64) ([]byte, ArchiveEntry) {
	e := ArchiveEntry{Name: f.Name, Header: int64(len(dst)), Size: int64(len(f.Data)), SHA256: sha256.Sum256(f.Data)}
	dst = append(dst, TarHeader(f.Name, e.Size, mtime)...)
	e.Offset = int64(len(dst))
	dst = pad(append(dst, f.Data...))
	e.End = int64(len(dst))
	return dst, e
}

// pad adds zeros up to a multiple of 512 bytes.
func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&511)...) }

// TarHeader is the header of a file in an archive, with its PAX records if it needs any.
func TarHeader(name string, size, mtime int64) []byte {
	ascii := strings.Map(func(r rune) rune {
		if r > 0x7f {
			return -1
		}
		return r
	}, name)
	var records, header []byte
	if len(name) > 100 || ascii != name {
		records = append(records, paxRecord("path", name)...)
	}
	octal := size
	if size >= 1<<33 {
		records = append(records, paxRecord("size", fmt.Sprint(size))...)
		octal = 0
	}
	if records != nil {
		header = append(ustar(strings.TrimSuffix("PaxHeaders.0/"+ascii, "/"), 'x', 0, int64(len(records)), 0), pad(records)...)
	}
	return append(header, ustar(ascii, '0', 0o644, octal, mtime)...)
}

// ustar is one block. Fields are named in POSIX's pax(1).
func ustar(name string, typeflag byte, mode, size, mtime int64) []byte {
	b := make([]byte, 512)
	copy(b[0:100], name)
	copy(b[100:], fmt.Sprintf("%07o", mode))
	copy(b[108:], "0000000")
	copy(b[116:], "0000000")
	copy(b[124:], fmt.Sprintf("%011o", size))
	copy(b[136:], fmt.Sprintf("%011o", mtime))
	b[156] = typeflag
	copy(b[257:], "ustar\x0000")
	if typeflag != 'x' {
		copy(b[329:], "0000000")
		copy(b[337:], "0000000")
	}
	return TarChecksum(b)
}

// TarChecksum sets the checksum of a header block and returns it.
func TarChecksum(b []byte) []byte {
	copy(b[148:], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// paxRecord begins with its own length.
func paxRecord(key, value string) string {
	for n := 0; ; {
		s := fmt.Sprintf("%d %s=%s\n", n, key, value)
		if len(s) == n {
			return s
		}
		n = len(s)
	}
}

// ArchiveIndex is the index of these entries.
func ArchiveIndex(entries []ArchiveEntry) []byte {
	le := binary.LittleEndian
	b := append([]byte("SWPINDEX"), 1, 0, 0, 0, 0, 0, 0, 0)
	var slots [][]byte
	end := int64(0)
	for _, e := range entries {
		key := sha256.Sum256([]byte(e.Name))
		slots = append(slots, le.AppendUint64(key[:16:16], uint64(len(b))))
		b = append(b, e.SHA256[:]...)
		b = le.AppendUint64(b, uint64(e.Offset))
		b = le.AppendUint64(b, uint64(e.Size))
		b = le.AppendUint16(b, uint16(len(e.Name)))
		b = append(b, e.Name...)
		end = e.End
	}
	slices.SortFunc(slots, bytes.Compare)
	for _, s := range slots {
		b = append(b, s...)
	}
	b = append(b, "SWPITAIL"...)
	b = le.AppendUint64(b, uint64(len(entries)))
	b = le.AppendUint64(b, uint64(end))
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// ArchiveZstd compresses a tar: frames of frameSize bytes of content, 2^21 where that is 0, and their seek table.
func ArchiveZstd(plain []byte, frameSize int) []byte {
	if frameSize == 0 {
		frameSize = 2 << 20
	}
	var frames [][]byte
	var sizes []int
	for piece := range slices.Chunk(plain, frameSize) {
		frames = append(frames, ZstdFrame(piece))
		sizes = append(sizes, len(piece))
	}
	return append(slices.Concat(frames...), SeekTable(frames, sizes)...)
}

// ZstdFrame is one frame with the content's size and checksum.
func ZstdFrame(content []byte) []byte {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	defer enc.Close()
	return enc.EncodeAll(content, nil)
}

// SeekTable lists frames and the sizes of their contents.
func SeekTable(frames [][]byte, sizes []int) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0x184D2A5E)
	b = le.AppendUint32(b, uint32(8*len(frames)+9))
	for i, f := range frames {
		b = le.AppendUint32(b, uint32(len(f)))
		b = le.AppendUint32(b, uint32(sizes[i]))
	}
	b = le.AppendUint32(b, uint32(len(frames)))
	return le.AppendUint32(append(b, 0), 0x8F92EAB1)
}
