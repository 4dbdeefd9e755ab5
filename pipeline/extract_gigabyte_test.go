package pipeline

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// gigabyteHeap is the size of the heap in the archive that gigabyte makes, in bytes.
const gigabyteHeap = 1 << 30

// gigabyteSpan is the span behind it.
var gigabyteSpan = testdata.ArchiveFile{Name: "transcript.v7.0.202", Data: bytes.Repeat([]byte("{\"d\":[\"an item\"]}\n"), 20_000)}

// gigabyte makes an archive of a heap of a gigabyte of zeros and a span. The file is one of holes, but reading it reads those too.
func gigabyte(t *testing.T, zstd bool) string {
	t.Helper()
	h := format.ArchiveHeader{BlockHeight: 1, HasBlockHeight: true, ArtifactMode: format.Archival, Snapshots: format.RawSnapshots}
	files := []testdata.ArchiveFile{{Name: format.ArchiveHeaderFile, Data: format.AppendArchiveHeader(nil, h)}, {Name: "snapshot.v7.100"}, gigabyteSpan}
	var tar holes
	var index bytes.Buffer
	x := format.NewArchiveIndexWriter(&index)
	add := func(name string, size int64, data []byte) (offset int64) {
		head, err := format.AppendTarHeader(nil, name, size, 0)
		if err != nil {
			t.Fatal(err)
		}
		tar.put(head)
		offset = tar.size
		tar.put(data)
		tar.size = offset + size + format.TarPadding(size)
		return offset
	}
	for _, f := range files {
		size := int64(len(f.Data))
		if f.Data == nil {
			size = gigabyteHeap
		}
		e := format.ArchiveEntry{Name: f.Name, Size: size, SHA256: sha256.Sum256(f.Data), Offset: add(f.Name, size, f.Data)}
		if err := x.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	add(format.ArchiveIndexFile, int64(index.Len()), index.Bytes())
	tar.size += format.TarEnd
	file := tar
	if zstd {
		file = tar.frames(t)
	}
	path := filepath.Join(t.TempDir(), "archive")
	file.write(t, path)
	return path
}

// holes are bytes at places, and zeros between them.
type holes struct {
	at   []int64
	data [][]byte
	size int64
}

func (h *holes) put(data []byte) {
	h.at, h.data, h.size = append(h.at, h.size), append(h.data, data), h.size+int64(len(data))
}

// frames are zstd frames of a mebibyte that hold it as it is, and their seek table.
func (h *holes) frames(t *testing.T) (out holes) {
	t.Helper()
	const frame, block = 1 << 20, 1 << 17
	var table format.SeekTable
	for start := int64(0); start < h.size; start += frame {
		n := min(frame, h.size-start)
		begin := out.size
		out.put(binary.LittleEndian.AppendUint32([]byte{0x28, 0xB5, 0x2F, 0xFD, 0xA0}, uint32(n))) // one segment, its size in four bytes
		for at := start; at < start+n; at += block {
			m := min(block, start+n-at)
			last := uint32(0)
			if at+m == start+n {
				last = 1
			}
			out.put(binary.LittleEndian.AppendUint32(nil, uint32(m)<<3|last)[:3])
			end := out.size + m
			h.copy(&out, at, at+m)
			out.size = end
		}
		if err := table.Add(out.size-begin, n); err != nil {
			t.Fatal(err)
		}
	}
	out.put(table.Append(nil))
	return out
}

// copy puts what is at start to end.
func (h *holes) copy(out *holes, start, end int64) {
	base := out.size
	for i, at := range h.at {
		from, to := max(start, at), min(end, at+int64(len(h.data[i])))
		if from < to {
			out.size = base + from - start
			out.put(h.data[i][from-at : to-at])
		}
	}
}

func (h *holes) write(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, at := range h.at {
		if _, err := f.WriteAt(h.data[i], at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(h.size); err != nil {
		t.Fatal(err)
	}
}

// One span out of an archive of a gigabyte takes reading at most 16 MiB of it.
func TestExtractOneSpanOfAGigabyte(t *testing.T) {
	for _, c := range []struct {
		zstd bool
		most int64 // bytes read
	}{{false, 1 << 20}, {true, 6 << 20}} {
		path := gigabyte(t, c.zstd)
		info, err := os.Stat(path)
		if err != nil || info.Size() < 1<<30 {
			t.Fatalf("%d bytes, %v", info.Size(), err)
		}
		var read atomic.Int64
		var out bytes.Buffer
		o := ExtractOptions{Path: path, Names: []string{gigabyteSpan.Name}, Stdout: &out}
		o.fs = &stages.FS{Before: func(op stages.Op) error {
			if op.Kind == stages.OpRead {
				read.Add(int64(op.Len))
			}
			return nil
		}}
		if _, err := Extract(t.Context(), o); err != nil || !bytes.Equal(out.Bytes(), gigabyteSpan.Data) {
			t.Errorf("%d bytes of %d, %v", out.Len(), len(gigabyteSpan.Data), err)
		}
		if n := read.Load(); n < int64(len(gigabyteSpan.Data)) || n > c.most || c.most > 16<<20 {
			t.Errorf("zstd %v: %d bytes read of %d, for %d", c.zstd, n, info.Size(), out.Len())
		}
	}
}
