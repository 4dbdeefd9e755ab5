package pipeline

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
	"swingport/stages"
)

// packed is text as gzip of a level that we never write.
func packed(text string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.HuffmanOnly)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// A heap in a file .gz is stored as it is.
func TestImportStoredGzip(t *testing.T) {
	x := handMade()
	heap := x.artifacts[heapOne]
	stored := packed(heap[:100]) + packed(heap[100:]) // a gzip may have several members
	x.artifacts[heapOne], x.files[heapOne] = stored, heapOne+".gz"
	o := ImportOptions{StateDir: t.TempDir(), ExportDir: x.write(t)}
	sum, err := Import(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Import(context.Background(), ImportOptions{StateDir: t.TempDir(), ExportDir: handMade().write(t)})
	if err != nil || sum.Bytes != raw.Bytes {
		t.Errorf("%d bytes imported, of the raw heap %d: %v", sum.Bytes, raw.Bytes, err)
	}
	want := newDump(t)
	for _, line := range strings.Split(want, "\n") {
		if strings.HasPrefix(line, "snapshots ") && !strings.Contains(dump(t, o.StateDir), fmt.Sprintf("gunzip:%d:%s", len(heap), hexSum(heap))) {
			t.Errorf("the heap is another one than in %s", line)
		}
	}
	if got := blobOf(t, o.StateDir); got != stored {
		t.Errorf("stored are %d other bytes than the %d of the file", len(got), len(stored))
	}
}

func TestImportBadGzip(t *testing.T) {
	for _, c := range []struct {
		defect string
		spoil  func(stored string) string
		is     error
		text   string
	}{
		{"empty", func(s string) string { return "" }, io.ErrUnexpectedEOF, "cut off"},
		{"no gzip", func(s string) string { return strings.Repeat("x", 100) }, format.ErrFormat, "gzip of the heap"},
		{"cut in the header", func(s string) string { return s[:5] }, io.ErrUnexpectedEOF, "cut off"},
		{"cut in the content", func(s string) string { return s[:len(s)/2] }, io.ErrUnexpectedEOF, "cut off"},
		{"cut in the checksum", func(s string) string { return s[:len(s)-1] }, io.ErrUnexpectedEOF, "cut off"},
		{"byte flipped", func(s string) string { return s[:50] + string(s[50]^1) + s[51:] }, format.ErrFormat, "gzip of the heap"},
		{"rubbish behind", func(s string) string { return s + "rubbish, long enough" }, format.ErrFormat, "gzip of the heap"},
		{"another heap", func(s string) string { return packed("another") }, format.ErrHashMismatch, `snapshot "snapshot.v1.2" hash is`},
		{"one member too many", func(s string) string { return s + packed("more") }, format.ErrHashMismatch, "hash is"},
	} {
		x := handMade()
		x.artifacts[heapOne], x.files[heapOne] = c.spoil(packed(x.artifacts[heapOne])), heapOne+".gz"
		o := ImportOptions{StateDir: oldStore(t), ExportDir: x.write(t)}
		before := content(t, o.StateDir)
		_, err := Import(context.Background(), o)
		var artifact *ArtifactError
		if !errors.Is(err, c.is) || !errors.As(err, &artifact) || artifact.Name != heapOne || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: error %v", c.defect, err)
		}
		same(t, o.StateDir, before)
	}
}

// blobOf is the first heap of a store, as it is stored.
func blobOf(t *testing.T, stateDir string) string {
	t.Helper()
	db, err := stages.OpenDB(filepath.Join(stateDir, stages.StoreFile), stages.ReadOnly, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	blob, err := db.OpenBlob("snapshots", "compressedSnapshot", 1, false)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	b := make([]byte, blob.Size())
	if err := blob.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return string(b)
}
