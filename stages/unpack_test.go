package stages

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"swingport/format"
)

// records is the sink of checks: it notes what it gets.
type records struct{ got []string }

func (r *records) note(text string, args ...any) error {
	r.got = append(r.got, fmt.Sprintf(text, args...))
	return nil
}

func (r *records) KV([]KV) error                             { return nil }
func (r *records) Metadata(context.Context, *Metadata) error { return nil }
func (r *records) Finish(float64) error                      { return nil }
func (r *records) Items(p *SpanItems) error {
	return r.note("items %d..%d", p.Start, p.Start+int64(len(p.Items)))
}
func (r *records) Bundle(p *CheckedBundle) error { return r.note("bundle of %d", len(p.Content)) }
func (r *records) Snapshot(_ context.Context, p *PackedSnapshot) error {
	return r.note("snapshot of %d, packed %v", p.UncompressedSize, p.Size() > 0)
}

// unpackAll unpacks artifacts, given by name, into a sink; the heap's name may end in .gz.
func unpackAll(o UnpackOptions, meta *Metadata, files map[string]string, sink Sink) error {
	g, ctx := errgroup.WithContext(context.Background())
	o.Workers, o.Progress, o.Warn, o.Mode = 2, func(int64) {}, func(string) {}, format.Debug
	parts := NewArtifacts(o, meta)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	g.Go(func() error {
		for _, file := range names {
			content := files[file]
			name := strings.TrimSuffix(file, ".gz")
			if err := parts.Dispatch(ctx, Incoming{Name: name, Gzip: file != name, Size: int64(len(content)), Open: func(context.Context) (io.ReadCloser, error) {
				if content == "missing" {
					return nil, errors.New("no such file")
				}
				return io.NopCloser(strings.NewReader(content)), nil
			}}); err != nil {
				return err
			}
		}
		parts.Close()
		return nil
	})
	for range 2 {
		g.Go(func() error { return parts.Unpack(ctx) })
	}
	g.Go(func() error {
		insert := &Insert{Sink: sink, Meta: meta, Artifact: func() {}}
		return insert.artifacts(ctx, parts.Queue)
	})
	return g.Wait()
}

const heapText = "the content of a heap"

// unpackMetadata has two spans, a heap and a bundle.
func unpackMetadata(t *testing.T) (meta *Metadata, files map[string]string) {
	t.Helper()
	meta, files = NewMetadata(), map[string]string{"snapshot.v1.2": heapText, "transcript.v1.0.2": "one\ntwo\n", "transcript.v1.2.3": "three\n"}
	source := `{"moduleFormat":"nestedEvaluate","source":"x","sourceMap":"y"}`
	bundle := fmt.Sprintf("b0-%x", sha256.Sum256([]byte(source)))
	files["bundle."+bundle] = source
	hash := func(items ...string) string {
		h := format.NewSpanHash()
		for _, item := range items {
			h.Add([]byte(item))
		}
		return h.Sum()
	}
	for key, value := range map[string]string{
		"snapshot.v1.2":         fmt.Sprintf(`{"vatID":"v1","snapPos":2,"hash":"%x","inUse":1}`, sha256.Sum256([]byte(heapText))),
		"transcript.v1.0":       `{"vatID":"v1","startPos":0,"endPos":2,"hash":"` + hash("one", "two") + `","isCurrent":0,"incarnation":0}`,
		"transcript.v1.current": `{"vatID":"v1","startPos":2,"endPos":3,"hash":"` + hash("three") + `","isCurrent":1,"incarnation":0}`,
		"bundle." + bundle:      bundle,
	} {
		line, _ := json.Marshal([]string{key, value})
		var e format.Entry
		if err := format.ParseLine(line, &e); err != nil {
			t.Fatal(err)
		}
		meta.Add(parseRecordLine(&e, false))
	}
	if err := meta.Settle(); err != nil {
		t.Fatal(err)
	}
	return meta, files
}

func gzipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// Unpacking that only checks hands on no content, tells the digests of what it read, and finds what is wrong all the same.
func TestUnpackDiscard(t *testing.T) {
	for _, packed := range []bool{false, true} {
		meta, files := unpackMetadata(t)
		if packed {
			delete(files, "snapshot.v1.2")
			files["snapshot.v1.2.gz"] = gzipped(heapText)
		}
		var mu sync.Mutex
		digests := map[string]string{}
		var sink records
		err := unpackAll(UnpackOptions{Discard: true, Digest: func(name string, size int64, sum []byte) {
			mu.Lock()
			defer mu.Unlock()
			digests[name] = fmt.Sprintf("%d %x", size, sum)
		}}, meta, files, &sink)
		if err != nil {
			t.Fatal(err)
		}
		for file, content := range files {
			if strings.HasSuffix(file, ".gz") {
				content = heapText
			}
			name := strings.TrimSuffix(file, ".gz")
			if want := fmt.Sprintf("%d %x", len(content), sha256.Sum256([]byte(content))); digests[name] != want {
				t.Errorf("digest of %s is %q, want %q", name, digests[name], want)
			}
		}
		if got := strings.Join(sink.got, ", "); got != "bundle of 63, snapshot of 21, packed false" && !strings.Contains(got, "snapshot of 21, packed false") || strings.Contains(got, "items") {
			t.Errorf("the sink got %s", got)
		}
		if err := meta.Complete(format.Archival); err != nil {
			t.Error(err)
		}
	}
}

// Each defect is told, the artifact counts as present, and all others are unpacked.
func TestUnpackDefects(t *testing.T) {
	for _, discard := range []bool{false, true} {
		meta, files := unpackMetadata(t)
		files["snapshot.v1.2"] += "!"
		files["transcript.v1.0.2"] = "missing"
		for name := range files {
			if strings.HasPrefix(name, "bundle.") {
				files[name] = "no bundle"
			}
		}
		var mu sync.Mutex
		var found []string
		err := unpackAll(UnpackOptions{Discard: discard, Defect: func(err error) error {
			var artifact *ArtifactError
			mu.Lock()
			defer mu.Unlock()
			if errors.As(err, &artifact) {
				found = append(found, artifact.Name)
			}
			return nil
		}}, meta, files, new(records))
		sort.Strings(found)
		if err != nil || len(found) != 3 || found[1] != "snapshot.v1.2" || found[2] != "transcript.v1.0.2" {
			t.Errorf("discard %v: found %q, %v", discard, found, err)
		}
		if err := meta.Complete(format.Archival); err != nil {
			t.Error(err)
		}
		enough := errors.New("enough")
		meta, _ = unpackMetadata(t)
		if err := unpackAll(UnpackOptions{Discard: discard, Defect: func(error) error { return enough }}, meta, files, new(records)); !errors.Is(err, enough) {
			t.Errorf("error %v", err)
		}
	}
}
