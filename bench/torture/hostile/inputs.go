package hostile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

// An input is an export directory, an archive or a store, small enough to be damaged at every byte.
type input struct {
	name string
	kind pipeline.Kind
	path string // below the folder of the inputs
}

// inputs are all kinds of input.
var inputs = []input{
	{"directory", pipeline.KindExportDir, "directory"},
	{"tar", pipeline.KindArchive, "ours.tar"},
	{"tar.zst", pipeline.KindArchive, "ours.tar.zst"},
	{"tar.gz of others", pipeline.KindArchive, "others.tar.gz"},
	{"store", pipeline.KindStateDir, "store"},
	{"store with a log", pipeline.KindStateDir, "logged"},
}

func inputNamed(name string) (input, error) {
	for _, in := range inputs {
		if in.name == name {
			return in, nil
		}
	}
	return input{}, fmt.Errorf("no input %q", name)
}

// What is in the export: a vat with two spans, a heap and a bundle, and some keys, one with the length of more than a page.
const (
	vat      = "v1"
	heap     = "a heap, of some length"
	bundle   = `{"moduleFormat":"nestedEvaluate","source":"x","sourceMap":"y"}`
	someKey  = "v1.c.ko1"
	snapPos  = 2
	spanFrom = 3
	height   = 17
)

var spanItems = [2][]string{{`{"d":1}`, "two", "three"}, {"four", `{"d":["five"]}`}}

// makeInputs makes all inputs in dir, which is empty.
func makeInputs(ctx context.Context, dir string) error {
	made := filepath.Join(dir, "made")
	if err := makeExport(made); err != nil {
		return err
	}
	store := filepath.Join(dir, "store")
	if _, err := pipeline.Import(ctx, pipeline.ImportOptions{ExportDir: made, StateDir: store}); err != nil {
		return err
	}
	for _, o := range []pipeline.ExportOptions{
		{ExportDir: filepath.Join(dir, "directory"), ExportDataMode: format.All, Checksums: true},
		{Archive: filepath.Join(dir, "ours.tar")},
		{Archive: filepath.Join(dir, "ours.tar.zst")},
	} {
		o.StateDir, o.ArtifactMode = store, format.Archival
		if _, err := pipeline.Export(ctx, o); err != nil {
			return err
		}
	}
	if err := packOthers(filepath.Join(dir, "others.tar.gz"), filepath.Join(dir, "directory")); err != nil {
		return err
	}
	if err := makeLogged(filepath.Join(dir, "logged"), store); err != nil {
		return err
	}
	return os.RemoveAll(made)
}

// makeExport writes the export directory of which all inputs are made.
func makeExport(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	files := map[string]string{}
	var data []byte
	for i := range 12 {
		data = format.AppendKV(data, fmt.Appendf(nil, "v1.vs.%d", i), format.TextValue(bytes.Repeat([]byte("value "), i)))
	}
	data = format.AppendKV(data, []byte(someKey), format.TextValue([]byte("1")))
	data = format.AppendKV(data, []byte("v1.long"), format.TextValue(bytes.Repeat([]byte("x"), 5000)))
	heapName := string(format.AppendSnapshotName(nil, vat, snapPos))
	files[heapName] = heap
	data = format.AppendSnapshotRecord(data, format.Snapshot{VatID: vat, Pos: snapPos, Hash: hexSum(heap), InUse: true})
	for i, items := range spanItems {
		start := int64(i * spanFrom)
		h := format.NewSpanHash()
		for _, item := range items {
			h.Add([]byte(item))
		}
		end := start + int64(len(items))
		files[string(format.AppendSpanName(nil, vat, start, end))] = strings.Join(items, "\n") + "\n"
		data = format.AppendSpanRecord(data, format.Span{VatID: vat, Start: start, End: format.NullInt{V: end, Valid: true}, Hash: h.Sum(),
			Current: i == 1, Incarnation: format.NullInt{Valid: true}})
	}
	id := "b0-" + hexSum(bundle)
	files[string(format.AppendBundleName(nil, id))] = bundle
	data = format.AppendBundleRecord(data, id)

	var manifest bytes.Buffer
	w := format.NewManifestWriter(&manifest, height, string(format.Archival))
	for _, name := range slices.Sorted(maps.Keys(files)) { // in which their rows come to be, and so the entries of archives
		if err := w.Add(name, name); err != nil {
			return err
		}
	}
	if err := w.Close(format.ExportDataFile); err != nil {
		return err
	}
	files[format.ManifestFile], files[format.ExportDataFile] = manifest.String(), string(data)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func hexSum(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// packOthers packs a directory as other programs do.
func packOthers(path, dir string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	return errors.Join(w.Close(), z.Close())
}

// makeLogged copies a store, in WAL mode, with commits that are in the log alone, as a killed node leaves it.
func makeLogged(dir, store string) (err error) {
	work := dir + ".work"
	for _, d := range []string{dir, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := copyFile(filepath.Join(work, stages.StoreFile), filepath.Join(store, stages.StoreFile)); err != nil {
		return err
	}
	db, err := stages.OpenDB(filepath.Join(work, stages.StoreFile), stages.ReadWrite, nil)
	if err != nil {
		return err
	}
	for _, sql := range []string{
		"PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=0",
		"UPDATE kvStore SET value='from the log' WHERE key='v1.vs.3'", "INSERT INTO kvStore VALUES ('v1.vs.new', 'in the log')",
	} {
		if err := db.Exec(sql); err != nil {
			return errors.Join(err, db.Close())
		}
	}
	for _, end := range []string{"", "-wal"} {
		err = errors.Join(err, copyFile(filepath.Join(dir, stages.StoreFile+end), filepath.Join(work, stages.StoreFile+end)))
	}
	return errors.Join(err, db.Close(), os.RemoveAll(work))
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// files are the contents below a path, by their names below it; "" is the path itself, where it is a file.
func files(path string) (map[string][]byte, error) {
	all := map[string][]byte{}
	err := filepath.WalkDir(path, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(path, at)
		if err != nil {
			return err
		}
		if name == "." {
			name = ""
		}
		all[name], err = os.ReadFile(at)
		return err
	})
	return all, err
}
