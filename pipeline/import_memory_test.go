package pipeline

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"swingport/format"
	"swingport/stages"
)

// TestLargeImport is the process whose memory is measured. It imports what comes in, with the command's settings.
func TestLargeImport(t *testing.T) {
	stateDir := os.Getenv("TestLargeImport")
	if stateDir == "" {
		return
	}
	debug.SetMemoryLimit(HeapLimit)
	debug.SetGCPercent(50)
	_, err := Import(context.Background(), ImportOptions{StateDir: stateDir, Archive: "-", Stdin: os.Stdin, Workers: 16})
	status, readErr := os.ReadFile("/proc/self/status")
	if readErr != nil {
		t.Fatal(readErr)
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	fmt.Printf("peak %s KiB: %v\n", peak[1], err)
}

// piece is text that comes so many times.
type piece struct {
	text  string
	times int
}

func (p piece) size() int64 { return int64(len(p.text)) * int64(p.times) }

func (p piece) reader() io.Reader {
	return io.LimitReader(&endless{text: p.text}, p.size())
}

type endless struct {
	text string
	at   int
}

func (e *endless) Read(b []byte) (n int, err error) {
	for n < len(b) {
		m := copy(b[n:], e.text[e.at:])
		n, e.at = n+m, (e.at+m)%len(e.text)
	}
	return n, nil
}

// largeFile is a file of an export, made of pieces.
type largeFile struct {
	name   string
	pieces []piece
}

func (f largeFile) size() (n int64) {
	for _, p := range f.pieces {
		n += p.size()
	}
	return n
}

func (f largeFile) reader() io.Reader {
	var all []io.Reader
	for _, p := range f.pieces {
		all = append(all, p.reader())
	}
	return io.MultiReader(all...)
}

// largeExport is an export of large things: data are the lines of the export data, files the artifacts.
type largeExport struct {
	data  []largeFile
	files []largeFile
}

// writeTo writes it as GNU tar would.
func (x largeExport) writeTo(w io.Writer) error {
	manifest := `{"blockHeight":1000,"artifactMode":"archival","data":"export-data.jsonl","artifacts":[`
	for i, f := range x.files {
		manifest += strings.Repeat(",", min(i, 1)) + `["` + f.name + `","` + f.name + `"]`
	}
	data := largeFile{name: format.ExportDataFile}
	for _, line := range x.data {
		data.pieces = append(append(data.pieces, line.pieces...), piece{"\n", 1})
	}
	files := append([]largeFile{{format.ManifestFile, []piece{{manifest + "]}", 1}}}, data}, x.files...)
	out := tar.NewWriter(w)
	for _, f := range files {
		if err := out.WriteHeader(&tar.Header{Name: f.name, Size: f.size(), Mode: 0o644, Format: tar.FormatGNU}); err != nil {
			return err
		}
		if _, err := io.Copy(out, f.reader()); err != nil {
			return err
		}
	}
	return out.Close()
}

// add adds an artifact with its record, made of its hash.
func (x *largeExport) add(f largeFile, key, record string) {
	x.files = append(x.files, f)
	x.line(line(key, record))
}

func (x *largeExport) line(text string) {
	x.data = append(x.data, largeFile{pieces: []piece{{text, 1}}})
}

// span is a vat with one span of one item.
func (x *largeExport) span(vat int, item largeFile) {
	sum := format.NewSpanHash()
	text, _ := io.ReadAll(item.reader())
	sum.Add(bytes.ToValidUTF8(text, []byte("\ufffd")))
	item.name = fmt.Sprintf("transcript.v%d.0.1", vat)
	x.add(item, fmt.Sprintf("transcript.v%d.current", vat),
		fmt.Sprintf(`{"vatID":"v%d","startPos":0,"endPos":1,"hash":"%s","isCurrent":1,"incarnation":0}`, vat, sum.Sum()))
}

// bundle is a b0 bundle with a source of that size.
func (x *largeExport) bundle(number, size int) {
	f := largeFile{pieces: []piece{{`{"moduleFormat":"nestedEvaluate","source":"`, 1}, {"let x; ", size / 7}, {fmt.Sprintf(`","sourceMap":"%d"}`, number), 1}}}
	sum := sha256.New()
	io.Copy(sum, f.reader())
	id := fmt.Sprintf("b0-%x", sum.Sum(nil))
	f.name = "bundle." + id
	x.add(f, f.name, id)
}

// largeExports are what needs the most memory of all that is taken, and what is not taken.
var largeExports = map[string]struct {
	text string // of the error; "": it is imported
	make func(x *largeExport)
}{
	"items of 31 MiB": {"", func(x *largeExport) {
		for i := range 4 {
			x.span(i, largeFile{pieces: []piece{{"item text ", 31 << 20 / 10}, {"x", 1}}})
		}
	}},
	"items of 31 MiB, in a window of 32 MiB": {"", func(x *largeExport) {
		for i := range 3 {
			x.span(i, largeFile{pieces: []piece{{"item text ", 31 << 20 / 10}, {"x", 1}}})
		}
	}},
	"items of 8 MB that are no UTF-8": {"", func(x *largeExport) {
		for i := range 6 {
			x.span(i, largeFile{pieces: []piece{{"\xff.", 8e6 / 2}}})
		}
	}},
	"bundles of 31 MiB": {"", func(x *largeExport) {
		for i := range 3 {
			x.bundle(i, 31<<20)
		}
	}},
	"values of 31 MiB": {"", func(x *largeExport) {
		for i := range 4 {
			x.data = append(x.data, largeFile{pieces: []piece{{fmt.Sprintf(`["kv.key%d","`, i), 1}, {"value ", 31 << 20 / 6}, {`"]`, 1}}})
		}
	}},
	"values of 31 MiB in escapes": {"", func(x *largeExport) {
		for i := range 4 {
			x.data = append(x.data, largeFile{pieces: []piece{{fmt.Sprintf(`["kv.key%d","`, i), 1}, {`\u20ac\n`, 31 << 20 / 8}, {`"]`, 1}}})
		}
	}},
	"value of 33 MiB": {"--max-item", func(x *largeExport) {
		x.data = append(x.data, largeFile{pieces: []piece{{`["kv.a","`, 1}, {"val", 11 << 20}, {`"]`, 1}}})
	}},
	"value of 9 MB that is no UTF-8": {"UTF-8", func(x *largeExport) {
		x.data = append(x.data, largeFile{pieces: []piece{{`["kv.a","`, 1}, {"\xff", 9e6}, {`"]`, 1}}})
	}},
	"item of 9 MB that is no UTF-8": {"UTF-8", func(x *largeExport) { x.span(1, largeFile{pieces: []piece{{"\xff", 9e6}}}) }},
	"item of a gigabyte": {"--max-item", func(x *largeExport) {
		x.span(1, largeFile{pieces: []piece{{"item", 1}}})
		x.files[0].pieces[0].times = 1 << 28
	}},
	"bundle of 33 MiB": {"--max-item", func(x *largeExport) { x.bundle(1, 33<<20) }},
}

// The largest things that are taken, several of each and with 16 workers, need no more than 300 MiB; what is larger is refused.
func TestImportMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: memory is measured without the race detector; go test without -short runs it")
	}
	for name, c := range largeExports {
		t.Run(name, func(t *testing.T) {
			var x largeExport
			c.make(&x)
			x.span(99, largeFile{pieces: []piece{{"small", 1}}})
			stateDir := filepath.Join(t.TempDir(), "state")
			cmd := child(t, "TestLargeImport", stateDir)
			out := feed(t, cmd, x, strings.Contains(name, "window"))
			m := regexp.MustCompile(`peak (\d+) KiB: (.*)`).FindStringSubmatch(out)
			if m == nil {
				t.Fatal(out)
			}
			if kib, _ := strconv.Atoi(m[1]); kib > 300<<10 || kib == 0 {
				t.Errorf("%d MiB of memory", kib>>10)
			} else {
				t.Logf("%d MiB of memory: %s", kib>>10, m[2])
			}
			if c.text == "" && m[2] != "<nil>" || !strings.Contains(m[2], c.text) {
				t.Errorf("error %s, want %s", m[2], c.text)
			}
		})
	}
}

// feed runs the command with the export as its input, packed with the largest window that is taken or as it is.
func feed(t *testing.T, cmd *exec.Cmd, x largeExport, window bool) string {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	to := io.WriteCloser(in)
	if window {
		if to, err = zstd.NewWriter(in, zstd.WithWindowSize(stages.DefaultMaxWindow), zstd.WithEncoderConcurrency(1)); err != nil {
			t.Fatal(err)
		}
	}
	x.writeTo(to) // fails where the import has ended, which says why
	to.Close()
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err, out.String())
	}
	return out.String()
}
