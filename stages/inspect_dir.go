package stages

import (
	"errors"
	"io"
	"os"
	"regexp"
	"strings"

	"swingport/format"
)

// goName is a file of an export by the chain's Go code, see format/FORMAT.md.
var goName = regexp.MustCompile(`^[0-9]+-(snapshot|transcript|bundle)-`)

// LeftOver tells found of files that look like artifacts and that the manifest does not name, and of files that SHA256SUMS lists and the
// manifest does not name.
func (d *Dir) LeftOver(found func(error)) error {
	files := make(map[string]struct{}, len(d.manifest.Artifacts)+2)
	for _, a := range d.manifest.Artifacts {
		files[a.File] = struct{}{}
	}
	files[d.manifest.Data], files[format.ManifestFile] = struct{}{}, struct{}{}
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		list, err := f.ReadDir(1024)
		for _, e := range list {
			if _, ok := files[e.Name()]; !ok && looksLikeArtifact(e.Name()) {
				found(&ArtifactError{e.Name(), errorf(format.ErrMismatch, "left over: the manifest does not name this file")})
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	for name := range d.sums {
		if _, ok := files[name]; !ok {
			found(errorf(format.ErrMismatch, "%s lists file %s, which the manifest does not name", format.ChecksumsFile, quoted(name)))
		}
	}
	return nil
}

func looksLikeArtifact(file string) bool {
	_, err := format.ParseName(strings.TrimSuffix(file, ".gz"))
	return err == nil || goName.MatchString(file) || file == format.ExportDataFile
}
