package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// packedExport is an export of the tiny store as an archive in a file, with the files that it has.
type packedExport struct {
	dir   string // the export
	path  string
	files map[string][]byte
	order []string // of the files, but for the two that are no part of the export
}

func packExport(t *testing.T, o testdata.ArchiveOptions) packedExport {
	t.Helper()
	dir, _ := testdata.Export(t, "tiny", "archival", "all")
	packed, _ := testdata.Archive(t, dir, o)
	p := packedExport{dir, filepath.Join(t.TempDir(), "archive"), map[string][]byte{}, nil}
	put(t, p.path, string(packed))
	for _, f := range testdata.ArchiveFiles(t, dir, o)[1:] {
		p.files[f.Name] = f.Data
		p.order = append(p.order, f.Name)
	}
	return p
}

// extractForms are archives that are read at random, and archives that are read as streams.
var extractForms = map[string]struct {
	o      testdata.ArchiveOptions
	stream bool
}{
	"tar":            {testdata.ArchiveOptions{}, false},
	"tar.zst":        {testdata.ArchiveOptions{Zstd: true}, false},
	"gzip":           {testdata.ArchiveOptions{Gzip: true}, false},
	"gzip, zst":      {testdata.ArchiveOptions{Gzip: true, Zstd: true, FrameSize: 5000, ModTime: 1}, false},
	"no data":        {testdata.ArchiveOptions{NoExportData: true}, false},
	"stream":         {testdata.ArchiveOptions{Zstd: true}, true},
	"gzip, stream":   {testdata.ArchiveOptions{Gzip: true}, true},
	"stream no data": {testdata.ArchiveOptions{NoExportData: true}, true},
}

func (p packedExport) options(t *testing.T, stream bool) ExtractOptions {
	o := ExtractOptions{Path: p.path}
	if stream {
		f, err := os.Open(p.path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		o.Path, o.Stdin = "-", struct{ io.Reader }{f}
	}
	return o
}

// Every file comes out as it went in, one by one to standard output, some to a directory, and all of them.
func TestExtract(t *testing.T) {
	for name, form := range extractForms {
		t.Run(name, func(t *testing.T) {
			p := packExport(t, form.o)
			for i, name := range p.order {
				if form.stream && i%7 != 0 && strings.HasPrefix(name, "transcript.") {
					continue // each reads everything
				}
				var out bytes.Buffer
				o := p.options(t, form.stream)
				o.Names, o.Stdout = []string{name}, &out
				sum, err := Extract(t.Context(), o)
				if err != nil || !bytes.Equal(out.Bytes(), p.files[name]) {
					t.Errorf("%s: %d bytes of %d, %v", name, out.Len(), len(p.files[name]), err)
				}
				if sum.Files != 1 || sum.Bytes != int64(out.Len()) || sum.Seconds <= 0 {
					t.Errorf("%s: %+v", name, sum)
				}
			}
			some := []string{p.order[0], format.ManifestFile, p.order[len(p.order)/2], p.order[0]}
			o := p.options(t, form.stream)
			o.Names, o.To = some, filepath.Join(t.TempDir(), "made", "to")
			if sum, err := Extract(t.Context(), o); err != nil || sum.Files != 3 {
				t.Fatalf("%+v, %v", sum, err)
			}
			slices.Sort(some)
			if got := names(t, o.To); got != strings.Join(slices.Compact(some), " ") {
				t.Errorf("the directory has %s", got)
			}
			for _, name := range some {
				oddFile(t, o.To, name, string(p.files[name]))
			}
			p.extractAll(t, form.stream)
		})
	}
}

// extractAll compares the whole export.
func (p packedExport) extractAll(t *testing.T, stream bool) {
	t.Helper()
	o := p.options(t, stream)
	o.To = filepath.Join(t.TempDir(), "to")
	if sum, err := Extract(t.Context(), o); err != nil || sum.Files != len(p.order) {
		t.Fatalf("%+v, %v", sum, err)
	}
	want := t.TempDir()
	for name, data := range p.files {
		put(t, filepath.Join(want, name), string(data))
	}
	for _, diff := range testdata.CompareExports(o.To, want) {
		t.Error(diff)
	}
}

// Of packed snapshots the heap comes out by the name of the artifact, and what is stored by the name of the file.
func TestExtractHeap(t *testing.T) {
	raw := packExport(t, testdata.ArchiveOptions{})
	for _, stream := range []bool{false, true} {
		p := packExport(t, testdata.ArchiveOptions{Gzip: true, Zstd: true})
		n := 0
		for name, heap := range raw.files {
			if !strings.HasPrefix(name, "snapshot.") {
				continue
			}
			n++
			var out bytes.Buffer
			o := p.options(t, stream)
			o.Names, o.Stdout = []string{name}, &out
			if _, err := Extract(t.Context(), o); err != nil || !bytes.Equal(out.Bytes(), heap) {
				t.Errorf("stream %v: %s: %d bytes of %d, %v", stream, name, out.Len(), len(heap), err)
			}
			o = p.options(t, stream)
			o.Names, o.To = []string{name, "transcript.v1.0.3"}, filepath.Join(t.TempDir(), "to")
			if stream && n > 2 {
				continue
			}
			o.Names = []string{name, format.ManifestFile}
			if _, err := Extract(t.Context(), o); err != nil {
				t.Error(err)
			}
			oddFile(t, o.To, name, string(heap))

			o = raw.options(t, stream)
			o.Names, o.To = []string{name + ".gz"}, filepath.Join(t.TempDir(), "to")
			var missing *MissingError
			if _, err := Extract(t.Context(), o); !errors.As(err, &missing) || !slices.Contains(missing.Near, name) {
				t.Errorf("stream %v: a raw heap as %s.gz: %v", stream, name, err)
			}
			nothingLeft(t, o.To)
		}
		if n < 5 {
			t.Errorf("%d heaps", n)
		}
	}
}

// A heap that is another one than its record says is not let through, although the archive agrees with itself.
func TestExtractHeapOfOtherHash(t *testing.T) {
	dir, _ := testdata.Export(t, "tiny", "archival", "all")
	files := testdata.ArchiveFiles(t, dir, testdata.ArchiveOptions{Gzip: true})
	name := strings.TrimSuffix(files[1].Name, ".gz")
	for what, heap := range map[string][]byte{
		"another heap":    testdata.Gzip([]byte("another heap")),
		"rubbish":         []byte("this is no gzip"),
		"empty":           nil,
		"text behind it":  append(files[1].Data[:len(files[1].Data):len(files[1].Data)], "text"...),
		"cut":             files[1].Data[:len(files[1].Data)-1],
		"cut to a header": files[1].Data[:10],
	} {
		files[1].Data = heap
		packed, _ := testdata.PackArchive(files, 0)
		path := filepath.Join(t.TempDir(), "x.tar")
		put(t, path, string(packed))
		for _, stdin := range []io.Reader{nil, bytes.NewReader(packed)} {
			o := ExtractOptions{Path: path, Names: []string{name}, To: filepath.Join(t.TempDir(), "to")}
			if stdin != nil {
				o.Path, o.Stdin = "-", stdin
			}
			_, err := Extract(t.Context(), o)
			var of *ArtifactError
			if !errors.As(err, &of) || of.Name != name || what == "another heap" && !errors.Is(err, format.ErrHashMismatch) {
				t.Errorf("%s: %v", what, err)
			}
			nothingLeft(t, o.To)
		}
	}
}

// What is not there is named, with what is most like it, and nothing comes into place.
func TestExtractMissing(t *testing.T) {
	for _, stream := range []bool{false, true} {
		p := packExport(t, testdata.ArchiveOptions{Zstd: true, NoExportData: true})
		span := p.order[slices.IndexFunc(p.order, func(name string) bool { return strings.HasPrefix(name, "transcript.") })]
		for name, near := range map[string]string{
			span + "0":                              span,
			span[:strings.LastIndexByte(span, '.')]: span,
			"transcrpt" + strings.TrimPrefix(span, "transcript"): span,
			"snapshot.v77777.5555555555":                         "",
			"no such thing at all":                               "",
			format.ExportDataFile:                                "",
			format.ChecksumsFile:                                 "",
		} {
			for _, names := range [][]string{{name}, {span, name, p.order[0]}} {
				o := p.options(t, stream)
				o.Names, o.To = names, filepath.Join(t.TempDir(), "to")
				_, err := Extract(t.Context(), o)
				var missing *MissingError
				if !errors.As(err, &missing) || missing.Name != name || !errors.Is(err, format.ErrIncomplete) || !strings.Contains(err.Error(), name) {
					t.Errorf("stream %v, %s: %v", stream, name, err)
				} else if near != "" && !slices.Contains(missing.Near, near) || len(missing.Near) > maxNear {
					t.Errorf("stream %v, %s is near %q", stream, name, missing.Near)
				}
				nothingLeft(t, o.To)
			}
		}
	}
}

// Nothing that is there already is overwritten, and then nothing else comes either.
func TestExtractOverFiles(t *testing.T) {
	for _, stream := range []bool{false, true} {
		p := packExport(t, testdata.ArchiveOptions{})
		for _, c := range []struct {
			there string
			names []string
			fails bool
		}{
			{"transcript.of.somebody", nil, true},
			{format.ManifestFile, nil, true},
			{format.ExportDataFile, nil, true},
			{format.ChecksumsFile, nil, true},
			{"notes", nil, false},
			{format.ManifestFile, p.order[:2], false},
			{p.order[1], p.order[:2], true},
			{p.order[1], []string{p.order[0], p.order[2]}, false},
		} {
			o := p.options(t, stream)
			o.To, o.Names = t.TempDir(), c.names
			put(t, filepath.Join(o.To, c.there), "of somebody")
			_, err := Extract(t.Context(), o)
			var exists *ExistsError
			if c.fails {
				if !errors.As(err, &exists) || filepath.Base(exists.Path) != c.there || !errors.Is(err, fs.ErrExist) {
					t.Errorf("%s: %v", c.there, err)
				}
				if got := names(t, o.To); got != c.there {
					t.Errorf("%s: the directory has %s", c.there, got)
				}
			} else if err != nil {
				t.Errorf("%s: %v", c.there, err)
			}
			oddFile(t, o.To, c.there, "of somebody")
		}
	}
	// Not even a file that came while the archive was read.
	p := packExport(t, testdata.ArchiveOptions{})
	o := p.options(t, false)
	o.To, o.Names = t.TempDir(), p.order[:3]
	o.fs = &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpRename && filepath.Base(op.Path) == p.order[1] {
			put(t, op.Path, "of somebody")
		}
		return nil
	}}
	var exists *ExistsError
	if _, err := Extract(t.Context(), o); !errors.As(err, &exists) {
		t.Error(err)
	}
	if got := names(t, o.To); got != p.order[1] {
		t.Errorf("the directory has %s", got)
	}
	oddFile(t, o.To, p.order[1], "of somebody")
}

// A killed run's folder is removed by the next one; files that have the names of its manifest's are somebody else's.
func TestExtractAfterKilled(t *testing.T) {
	p := packExport(t, testdata.ArchiveOptions{})
	to := t.TempDir()
	for _, folder := range []string{".swingport-extract-1", ".swingport-export-1"} {
		if err := os.Mkdir(filepath.Join(to, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(to, ".swingport-extract-1", format.ManifestFile), string(p.files[format.ManifestFile]))
	put(t, filepath.Join(to, p.order[0]), "of somebody")
	o := p.options(t, false)
	o.To, o.Names = to, []string{p.order[1]}
	if _, err := Extract(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := names(t, to); got != strings.Join(p.order[:2], " ") && got != p.order[1]+" "+p.order[0] {
		t.Errorf("the directory has %s", got)
	}
	oddFile(t, to, p.order[0], "of somebody")
}

func TestExtractOptionErrors(t *testing.T) {
	p := packExport(t, testdata.ArchiveOptions{})
	for text, o := range map[string]ExtractOptions{
		"no archive":             {To: "x"},
		"name a directory":       {Path: p.path, Names: []string{"a", "b"}, Stdout: io.Discard},
		"0 files cannot":         {Path: p.path, Stdout: io.Discard},
		"no directory and no":    {Path: p.path, Names: []string{"a"}},
		"invalid file name":      {Path: p.path, Names: []string{"../a"}, To: "x"},
		`invalid file name ""`:   {Path: p.path, Names: []string{""}, To: "x"},
		`invalid file name ".."`: {Path: p.path, Names: []string{".."}, To: "x"},
		"same heap":              {Path: p.path, Names: []string{"snapshot.v1.2.gz", "snapshot.v1.2"}, To: "x"},
		"no part of the export":  {Path: p.path, Names: []string{format.ArchiveIndexFile}, To: "x"},
		"temporary files":        {Path: p.path, Names: []string{"a"}, To: "x", TempDir: p.path},
		"no such file":           {Path: p.path + ".none", Names: []string{"a"}, To: "x"},
		"not a directory":        {Path: p.path, To: p.path},
		"standard input":         {Path: "-", To: filepath.Join(t.TempDir(), "x")},
	} {
		if _, err := Extract(t.Context(), o); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := os.Lstat("x"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("x was made")
	}
}

// Content that was changed does not come into place; to standard output it comes with an error.
func TestExtractDamaged(t *testing.T) {
	p := packExport(t, testdata.ArchiveOptions{})
	packed, err := os.ReadFile(p.path)
	if err != nil {
		t.Fatal(err)
	}
	_, entries := testdata.Archive(t, p.dir, testdata.ArchiveOptions{})
	for i, e := range entries[1:] {
		if e.Size == 0 || testing.Short() && i%8 != 0 {
			continue
		}
		for _, at := range []int64{e.Offset + e.Size/2, e.Offset - 512} { // content and header
			damaged := bytes.Clone(packed)
			damaged[at] ^= 1
			put(t, p.path, string(damaged))
			o := ExtractOptions{Path: p.path, Names: []string{e.Name}, To: filepath.Join(t.TempDir(), "to")}
			want := format.ErrHashMismatch
			if at < e.Offset {
				want = format.ErrMismatch
			}
			if _, err := Extract(t.Context(), o); !errors.Is(err, want) || !strings.Contains(err.Error(), e.Name) {
				t.Errorf("%s: %v", e.Name, err)
			}
			nothingLeft(t, o.To)
			o.To, o.Stdout = "", io.Discard
			if _, err := Extract(t.Context(), o); !errors.Is(err, want) {
				t.Errorf("%s to standard output: %v", e.Name, err)
			}
			if i%8 != 0 {
				continue
			}
			o = ExtractOptions{Path: p.path, To: filepath.Join(t.TempDir(), "to")}
			if _, err := Extract(t.Context(), o); err == nil {
				t.Errorf("all, with another %s", e.Name)
			}
			nothingLeft(t, o.To)
		}
	}
}

// Whichever operation fails or ends the run, the directory is as it was.
func TestExtractFailsAtEachOperation(t *testing.T) {
	noLeaks(t)
	p := packExport(t, testdata.ArchiveOptions{Zstd: true, Gzip: true})
	step := int64(5)
	if testing.Short() {
		step = 41
	}
	for _, stream := range []bool{false, true} {
		for _, names := range [][]string{nil, p.order[:3]} {
			for at, done := int64(1), false; !done; at += step {
				for _, cancels := range []bool{false, true} {
					var n atomic.Int64
					var failed atomic.Pointer[stages.Op]
					ctx, cancel := context.WithCancelCause(t.Context())
					o := p.options(t, stream)
					o.Names, o.To = names, filepath.Join(t.TempDir(), "a", "to")
					o.fs = &stages.FS{Before: func(op stages.Op) error {
						if n.Add(1) == at && cancels {
							cancel(syscall.EINTR)
						} else if n.Load() == at {
							failed.Store(&op)
							return syscall.ENOSPC
						}
						return nil
					}}
					sum, err := Extract(ctx, o)
					cancel(nil)
					if op := failed.Load(); op != nil && op.Kind == stages.OpRemove && err == nil {
						if !strings.Contains(strings.Join(sum.Warnings, "\n"), op.Path) { // all was in place by then
							t.Errorf("stream %v, operation %d, %+v, failed and nobody noticed", stream, at, *op)
						}
						continue
					}
					if done = n.Load() < at; done {
						if err != nil {
							t.Errorf("stream %v: %v", stream, err)
						}
						break
					}
					if cancels && err == nil {
						continue // too late to matter
					}
					if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EINTR) {
						t.Errorf("stream %v, operation %d: %v", stream, at, err)
					}
					nothingLeft(t, filepath.Dir(o.To))
				}
			}
		}
	}
}
