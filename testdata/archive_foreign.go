package testdata

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ForeignOptions says how another program packs a directory. The zero value is GNU format in the order of the names.
type ForeignOptions struct {
	Format  tar.Format // 0 means tar.FormatGNU
	Prefix  string     // in front of each name: "./" or "export/"
	NoDir   bool       // no entry for the directory that Prefix names
	Reverse bool       // the order of the names, from the last one
	First   []string   // files that stand first, before all others
	Leave   []string   // files that are left out
}

// ForeignTar packs the files of a directory as another program would.
func ForeignTar(tb testing.TB, dir string, o ForeignOptions) []byte {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	var names []string
	skip := map[string]bool{}
	for _, name := range append(o.Leave, o.First...) {
		skip[name] = true
	}
	for i := range entries {
		if o.Reverse {
			i = len(entries) - 1 - i
		}
		if name := entries[i].Name(); !skip[name] {
			names = append(names, name)
		}
	}
	var files []tar.Header
	var contents [][]byte
	if o.Prefix != "" && !o.NoDir {
		files, contents = append(files, tar.Header{Typeflag: tar.TypeDir, Name: o.Prefix, Mode: 0o755}), append(contents, nil)
	}
	for _, name := range append(o.First[:len(o.First):len(o.First)], names...) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			tb.Fatal(err)
		}
		files = append(files, tar.Header{Typeflag: tar.TypeReg, Name: o.Prefix + name, Size: int64(len(data)), Mode: 0o600, Uname: "node"})
		contents = append(contents, data)
	}
	return TarOf(tb, o.Format, files, contents)
}

// TarOf packs entries as archive/tar does, in a format other than ours: with an owner and a time.
func TarOf(tb testing.TB, f tar.Format, headers []tar.Header, contents [][]byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, h := range headers {
		h.Format, h.Uid, h.Gid, h.ModTime = f, 1000, 1000, time.Unix(1_700_000_000, 0)
		if f == tar.FormatUnknown {
			h.Format = tar.FormatGNU
		}
		err := w.WriteHeader(&h)
		if err == nil {
			_, err = w.Write(contents[i])
		}
		if err != nil {
			tb.Fatalf("%s: %v", h.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}
