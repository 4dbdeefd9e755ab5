package stages

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sync/errgroup"

	"swingport/format"
	"swingport/testdata"
)

// taken is what came out of a source.
type taken struct {
	head, tail string
	artifacts  map[string]string
	order      []string
}

// take reads a source as the import does: workers that read artifacts side by side, and one that takes their content in order, piece by piece.
func take(ctx context.Context, src Source, workers int, wanted func(string) (bool, error)) (got taken, err error) {
	got.artifacts = map[string]string{}
	if got.head, err = readPart(src.Head(ctx)); err != nil {
		return got, err
	}
	g, inner := errgroup.WithContext(ctx)
	queue := NewOrdered[Incoming, *Chunk](workers, 1, (*Chunk).Release)
	g.Go(func() error {
		if err := src.Artifacts(inner, wanted, func(int, int64) {}, queue.Dispatch); err != nil {
			return err
		}
		queue.Close()
		return nil
	})
	for range workers {
		pool := NewPool(1, 1000)
		g.Go(func() error {
			return queue.Work(inner, func(ctx context.Context, in Incoming, out *Link[*Chunk]) error {
				return sendAll(ctx, in, pool, out)
			})
		})
	}
	g.Go(func() error {
		return Each(inner, queue.Queue, func(j *Job[Incoming, *Chunk]) error {
			var all []byte
			err := Each(inner, j.Out, func(c *Chunk) error {
				all = append(all, c.Data...)
				c.Release()
				return nil
			})
			got.order = append(got.order, j.In.Name)
			got.artifacts[j.In.Name] = string(all)
			return err
		})
	})
	if err := g.Wait(); err != nil {
		return got, err
	}
	if got.tail, err = readPart(src.Tail(ctx)); err != nil {
		return got, err
	}
	return got, src.Finish(ctx)
}

func sendAll(ctx context.Context, in Incoming, pool *Pool, out *Link[*Chunk]) error {
	r, err := in.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		c, err := pool.Get(ctx)
		if err != nil {
			return err
		}
		n, err := r.Read(c.Data[:cap(c.Data)])
		c.Data = c.Data[:n]
		if err != nil {
			c.Release()
			if err == io.EOF {
				return nil
			}
			return err
		}
		if err := out.Send(ctx, c); err != nil {
			return err
		}
	}
}

func readPart(r io.ReadCloser, _ int64, err error) (string, error) {
	if err != nil || r == nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), errors.Join(err, r.Close())
}

func all(string) (bool, error) { return true, nil }

// openBytes opens an archive with a content pool of chunks of size bytes.
func openBytes(t testing.TB, data []byte, chunks, size int) (Source, error) {
	t.Helper()
	return OpenArchive(context.Background(), bytes.NewReader(data), ArchiveOptions{TempDir: t.TempDir(), chunks: chunks, chunk: size})
}

// manyArtifacts is an export directory with spans and heaps of all sizes around that of a chunk.
func manyArtifacts(t testing.TB) string {
	dir := t.TempDir()
	m := testdata.Manifest{BlockHeight: []byte("5"), ArtifactMode: "archival", Data: format.ExportDataFile}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 120 {
		name := fmt.Sprintf("transcript.v%d.0.1", i)
		if i%3 == 0 {
			name = fmt.Sprintf("snapshot.v%d.1", i)
		}
		size := []int{0, 1, 99, 100, 101, 511, 512, 513, 1024, 5000}[i%10] + random.IntN(2)
		writeFile(t, dir, name, strings.Repeat(string(rune('a'+i%26)), size))
		m.Artifacts = append(m.Artifacts, [2]string{name, name})
	}
	writeFile(t, dir, format.ExportDataFile, `["kv.a","b"]`+"\n"+`["snapshot.v0.1","x"]`+"\n")
	writeFile(t, dir, format.ManifestFile, string(m.Bytes(t)))
	return dir
}

func writeFile(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(dir+"/"+name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Whatever the number of chunks and workers: everything comes, nothing waits for ever. The smallest pools are the proof that nobody holds what
// another one needs.
func TestArchiveTinyPools(t *testing.T) {
	dir := manyArtifacts(t)
	own, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{})
	tars := map[string][]byte{
		"ours": own, "manifest first": testdata.ForeignTar(t, dir, testdata.ForeignOptions{First: []string{format.ManifestFile}}),
		"by name": testdata.ForeignTar(t, dir, testdata.ForeignOptions{Prefix: "./"}), "from behind": testdata.ForeignTar(t, dir, testdata.ForeignOptions{Reverse: true}),
	}
	for name, data := range tars {
		for _, workers := range []int{1, 2, 7} {
			for _, pool := range [][2]int{{1, 1}, {1, 100}, {2, 512}, {5, 100}, {1000, 100}} {
				if pool[1] == 1 && workers != 2 {
					continue
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				src, err := openBytes(t, data, pool[0], pool[1])
				if err != nil {
					t.Fatal(err)
				}
				got, err := take(ctx, src, workers, all)
				cancel()
				if err != nil || len(got.artifacts) != 120 {
					t.Fatalf("%s, %d workers, pool %v: %d artifacts, %v", name, workers, pool, len(got.artifacts), err)
				}
				for artifact, content := range got.artifacts {
					if want, err := os.ReadFile(dir + "/" + artifact); err != nil || content != string(want) {
						t.Errorf("%s: %s has %d bytes, want %d: %v", name, artifact, len(content), len(want), err)
					}
				}
				if err := src.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// What nobody wants is read past, and is in the index all the same.
func TestArchiveSomeWanted(t *testing.T) {
	dir := manyArtifacts(t)
	data, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{Zstd: true})
	for n := range 4 {
		src, err := openBytes(t, data, 2, 300)
		if err != nil {
			t.Fatal(err)
		}
		i := -1
		got, err := take(context.Background(), src, 3, func(string) (bool, error) {
			i++
			return i%4 == n, nil
		})
		if err != nil || len(got.artifacts) != 30 {
			t.Errorf("%d artifacts, %v", len(got.artifacts), err)
		}
		src.Close()
	}
}

// An error of whoever takes artifacts ends reading, and one of wanted names the artifact.
func TestArchiveTakerFails(t *testing.T) {
	data, _ := testdata.Archive(t, manyArtifacts(t), testdata.ArchiveOptions{})
	broken := errors.New("broken")
	src, err := openBytes(t, data, 2, 300)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readPart(src.Head(context.Background())); err != nil {
		t.Fatal(err)
	}
	if err := src.Artifacts(context.Background(), all, func(int, int64) {}, func(context.Context, Incoming) error { return broken }); err != broken {
		t.Errorf("error %v", err)
	}
	if src, err = openBytes(t, data, 2, 300); err != nil {
		t.Fatal(err)
	}
	_, err = take(context.Background(), src, 2, func(name string) (bool, error) { return false, broken })
	var artifact *ArtifactError
	if !errors.As(err, &artifact) || artifact.Name != "snapshot.v0.1" || !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

// A run that is cancelled while the reader waits for chunks, and the workers for nobody to take what they have, ends.
func TestArchiveCancelledWhileWaiting(t *testing.T) {
	data, _ := testdata.Archive(t, manyArtifacts(t), testdata.ArchiveOptions{})
	for _, chunks := range []int{1, 3} {
		src, err := openBytes(t, data, chunks, 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readPart(src.Head(context.Background())); err != nil {
			t.Fatal(err)
		}
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(context.Background())
		time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
		if err := src.Artifacts(ctx, all, func(int, int64) {}, func(context.Context, Incoming) error { return nil }); !errors.Is(err, why) {
			t.Errorf("error %v", err)
		}
	}
}

// Cut at the end of each block of 512 bytes, and one byte before and behind: an archive is truncated, and says so.
func TestArchiveCut(t *testing.T) {
	dir := t.TempDir()
	m := testdata.Manifest{BlockHeight: []byte("5"), ArtifactMode: "archival", Data: format.ExportDataFile}
	for _, name := range []string{"snapshot.v1.1", "transcript.v1.0.1"} {
		writeFile(t, dir, name, strings.Repeat("content ", 100))
		m.Artifacts = append(m.Artifacts, [2]string{name, name})
	}
	writeFile(t, dir, format.ExportDataFile, `["kv.a","b"]`+"\n"+`["snapshot.v1.1","x"]`+"\n")
	writeFile(t, dir, format.ManifestFile, string(m.Bytes(t)))
	own, _ := testdata.Archive(t, dir, testdata.ArchiveOptions{})
	foreign := testdata.ForeignTar(t, dir, testdata.ForeignOptions{})
	for name, data := range map[string][]byte{"ours": own, "foreign": foreign, "zstd": testdata.ArchiveZstd(own, 1000), "gzip": testdata.Gzip(own), "gzip of foreign": testdata.Gzip(foreign)} {
		step := 512
		if len(data) < 4000 {
			step = 64
		}
		accepted := 0
		for at := 0; at < len(data)+step; at += step {
			for _, n := range []int{at - 1, at, at + 1} {
				if n < 0 || n >= len(data) {
					continue
				}
				src, err := openBytes(t, data[:n], 2, 300)
				if err == nil {
					_, err = take(context.Background(), src, 2, all)
					src.Close()
				}
				if err == nil {
					accepted++
				} else if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "truncated") {
					t.Errorf("%s cut at byte %d: %v", name, n, err)
				}
			}
		}
		// The seek table of a zstd stream may be missing, and the zeros with which a tar is filled up.
		if limit := map[string]int{"zstd": 1}[name]; accepted > limit {
			t.Errorf("%s: %d cuts were accepted", name, accepted)
		}
	}
}

func TestOpenArchiveReadError(t *testing.T) {
	data, _ := testdata.Archive(t, manyArtifacts(t), testdata.ArchiveOptions{Zstd: true})
	broken := errors.New("the disk is on fire")
	for n := 0; n < len(data); n += len(data)/20 + 1 {
		src, err := OpenArchive(context.Background(), io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)), ArchiveOptions{TempDir: t.TempDir()})
		if err == nil {
			_, err = take(context.Background(), src, 2, all)
			src.Close()
		}
		if !errors.Is(err, broken) || errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("reading fails at byte %d: %v", n, err)
		}
	}
}

// Tars of export directories as others make them, in their order or another one.
func TestArchiveOfOthers(t *testing.T) {
	dir := manyArtifacts(t)
	writeFile(t, dir, "README", "not ours")
	writeFile(t, dir, format.ArchiveIndexFile, "of an archive that was unpacked")
	for _, f := range []tar.Format{tar.FormatGNU, tar.FormatUSTAR, tar.FormatPAX} {
		for _, prefix := range []string{"", "./", "export/", "./a/b/"} {
			for _, first := range [][]string{nil, {format.ManifestFile}, {format.ExportDataFile}, {format.ExportDataFile, format.ManifestFile}, {"transcript.v1.0.1", format.ManifestFile}} {
				data := testdata.ForeignTar(t, dir, testdata.ForeignOptions{Format: f, Prefix: prefix, First: first, Reverse: len(first) == 1})
				if len(first) == 2 {
					data = append(data, make([]byte, 10240-len(data)%10240)...) // as GNU tar fills up
				}
				src, err := openBytes(t, data, 3, 500)
				if err != nil {
					t.Fatalf("%v %q %q: %v", f, prefix, first, err)
				}
				got, err := take(context.Background(), src, 2, all)
				if err != nil || len(got.artifacts) != 120 || got.tail != "" || !strings.HasPrefix(got.head, `["kv.a","b"]`) {
					t.Errorf("%v %q %q: %d artifacts, %v", f, prefix, first, len(got.artifacts), err)
				}
				for name, content := range got.artifacts {
					if want, _ := os.ReadFile(dir + "/" + name); content != string(want) {
						t.Errorf("%s is another one", name)
					}
				}
				if err := src.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// SHA256SUMS counts wherever it is in a tar.
func TestArchiveOfOthersWithChecksums(t *testing.T) {
	for _, first := range [][]string{nil, {format.ManifestFile, format.ExportDataFile}, {format.ChecksumsFile}} {
		for _, spoil := range []string{"", "transcript.v1.0.1", format.ExportDataFile, "missing", "empty", "rubbish"} {
			dir := manyArtifacts(t)
			sums := ""
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				b, err := os.ReadFile(dir + "/" + e.Name())
				if err != nil {
					t.Fatal(err)
				}
				if spoil == e.Name() {
					b = append(b, '!')
				}
				if spoil != "missing" || e.Name() != "transcript.v1.0.1" {
					sums += fmt.Sprintf("%x  ./%s\n", sha256.Sum256(b), e.Name())
				}
			}
			switch spoil {
			case "empty":
				sums = ""
			case "rubbish":
				sums += "rubbish\n"
			}
			writeFile(t, dir, format.ChecksumsFile, sums)
			src, err := openBytes(t, testdata.ForeignTar(t, dir, testdata.ForeignOptions{First: first}), 3, 500)
			if err != nil {
				t.Fatal(err)
			}
			_, err = take(context.Background(), src, 2, all)
			src.Close()
			switch {
			case spoil == "" && err != nil:
				t.Error(err)
			case spoil == "missing" && (!errors.Is(err, format.ErrIncomplete) || !strings.Contains(err.Error(), "transcript.v1.0.1")):
				t.Errorf("%s: %v", spoil, err)
			case strings.Contains(spoil, ".") && (!errors.Is(err, format.ErrHashMismatch) || !strings.Contains(err.Error(), spoil)):
				t.Errorf("%s: %v", spoil, err)
			case spoil != "" && (err == nil || !strings.Contains(err.Error(), format.ChecksumsFile)):
				t.Errorf("%s: %v", spoil, err)
			}
		}
	}
}

// A tar that lacks an artifact is refused, or left to whoever opens it.
func TestArchiveOfOthersLacksArtifact(t *testing.T) {
	data := testdata.ForeignTar(t, manyArtifacts(t), testdata.ForeignOptions{Leave: []string{"transcript.v1.0.1"}})
	for _, lenient := range []bool{false, true} {
		src, err := OpenArchive(context.Background(), bytes.NewReader(data), ArchiveOptions{TempDir: t.TempDir(), Lenient: lenient})
		if err != nil {
			t.Fatal(err)
		}
		got, err := take(context.Background(), src, 2, all)
		if !errors.Is(err, format.ErrIncomplete) || !strings.Contains(err.Error(), "transcript.v1.0.1") {
			t.Errorf("lenient %v: %v", lenient, err)
		}
		if !lenient && len(got.artifacts) > 120 {
			t.Errorf("%d artifacts", len(got.artifacts))
		}
		src.Close()
	}
}
