package format

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
)

// Files of an export directory.
const (
	ManifestFile   = "export-manifest.json"
	ExportDataFile = "export-data.jsonl"
	ChecksumsFile  = "SHA256SUMS"
)

// MaxName is the longest artifact or file name in a manifest, in bytes.
const MaxName = 4096

// Artifact is an entry of a manifest: an artifact and the file it is in.
type Artifact struct {
	Name, File string
}

// Manifest is what an export directory holds.
type Manifest struct {
	BlockHeight     float64
	HasBlockHeight  bool // false: missing, or no number
	ArtifactMode    string
	HasArtifactMode bool // false: missing, as in manifests of the Go side
	Artifacts       Artifacts
	ArtifactsLater  bool   // Artifacts is empty because an archive, read from its front, lists them at its end
	Data            string // name of the export data file; "": there is none
}

// ManifestWriter writes a manifest piece by piece: the bytes that
// JSON.stringify(manifest, null, 2) gives, without a newline at the end. It is
// sticky: after an error every call returns it.
type ManifestWriter struct {
	w    *bufio.Writer
	buf  []byte
	n    int
	done bool
	err  error
}

var errManifestClosed = errors.New("manifest is closed")

// NewManifestWriter writes the beginning of a manifest to w. A height that is
// not finite prints null.
func NewManifestWriter(w io.Writer, height float64, mode string) *ManifestWriter {
	m := &ManifestWriter{w: bufio.NewWriterSize(w, 32<<10)}
	m.buf = appendFinite(append(m.buf, "{\n  \"blockHeight\": "...), height)
	m.buf = AppendString(append(m.buf, ",\n  \"artifactMode\": "...), []byte(mode))
	m.buf = append(m.buf, ",\n  \"artifacts\": ["...)
	m.flush()
	return m
}

// Add appends an artifact.
func (m *ManifestWriter) Add(name, file string) error {
	if m.done && m.err == nil {
		m.err = errManifestClosed
	}
	if m.n++; m.n > 1 {
		m.buf = append(m.buf, ',')
	}
	m.buf = AppendString(append(m.buf, "\n    [\n      "...), []byte(name))
	m.buf = AppendString(append(m.buf, ",\n      "...), []byte(file))
	m.buf = append(m.buf, "\n    ]"...)
	return m.flush()
}

// Close writes the end, with the name of the export data file unless that is
// "". It does not close the writer under it. A second call does nothing.
func (m *ManifestWriter) Close(data string) error {
	if m.done || m.err != nil {
		return m.err
	}
	m.done = true
	if m.n > 0 {
		m.buf = append(m.buf, "\n  "...)
	}
	m.buf = append(m.buf, ']')
	if data != "" {
		m.buf = AppendString(append(m.buf, ",\n  \"data\": "...), []byte(data))
	}
	m.buf = append(m.buf, "\n}"...)
	if m.flush() == nil {
		m.err = m.w.Flush()
	}
	return m.err
}

func (m *ManifestWriter) flush() error {
	if m.err == nil {
		_, m.err = m.w.Write(m.buf)
	}
	m.buf = m.buf[:0]
	return m.err
}

// ReadManifest reads a manifest to the end of r. Unknown members are ignored, of
// a repeated one the last counts. Errors are ErrFormat, ErrDuplicate (an artifact
// or a file named twice), ErrLimit, ErrIncomplete for an empty manifest, which an
// unfinished export leaves, and io.ErrUnexpectedEOF for one that is cut off.
func ReadManifest(r io.Reader) (*Manifest, error) {
	var list Artifacts
	m, err := readManifest(r, func() error { list = Artifacts{}; return nil }, func(a Artifact) error {
		list.Add(a)
		return nil
	})
	if err == nil {
		err = checkDuplicates(&list)
	}
	if err != nil {
		return nil, err
	}
	m.Artifacts = list
	return m, nil
}

// ReadManifestFunc is ReadManifest that gives the artifacts to each, whose error
// it returns, and keeps none: it needs no more memory for a large manifest than for a small one, and
// finds nothing that is named twice. A second list is ErrDuplicate.
func ReadManifestFunc(r io.Reader, each func(Artifact) error) (*Manifest, error) {
	seen := false
	return readManifest(r, func() error {
		if seen {
			return errorf(ErrDuplicate, "manifest: a second list of artifacts")
		}
		seen = true
		return nil
	}, each)
}

// readManifest calls begin ahead of each list of artifacts.
func readManifest(r io.Reader, begin func() error, each func(Artifact) error) (*Manifest, error) {
	p := manifestParser{d: json.NewDecoder(&tokenLimiter{r: r}), begin: begin, each: each}
	p.d.UseNumber()
	m := new(Manifest)
	first, err := p.d.Token()
	switch {
	case err == io.EOF:
		return nil, errorf(ErrIncomplete, "empty manifest: the export did not finish")
	case err != nil:
		return nil, wrapManifest(err)
	case first != json.Delim('{'):
		return nil, errorf(ErrFormat, "manifest is not an object")
	}
	for p.more() {
		p.member(m)
	}
	p.delim('}')
	if p.err == nil {
		if _, err := p.d.Token(); err == nil {
			p.err = errorf(ErrFormat, "manifest: something follows its end")
		} else if err != io.EOF {
			p.err = err
		}
	}
	if p.theirs {
		return nil, p.err
	}
	if p.err != nil {
		return nil, wrapManifest(p.err)
	}
	return m, nil
}

// tokenLimiter ends reading where a string, a number or the white space between
// them is longer than any that a manifest may have: the decoder holds each as a
// whole. It is sticky.
type tokenLimiter struct {
	r                 io.Reader
	length            int
	inString, escaped bool
	err               error
}

// maxToken is the longest text of a name: six bytes an escape.
const maxToken = 6*MaxName + 2

func (l *tokenLimiter) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.r.Read(p)
	for _, c := range p[:n] {
		if l.err = l.next(c); l.err != nil {
			return 0, l.err
		}
	}
	return n, err
}

// next takes one byte.
func (l *tokenLimiter) next(c byte) error {
	l.length++
	switch {
	case l.escaped:
		l.escaped = false
	case c == '"':
		l.inString, l.length = !l.inString, 0
	case l.inString:
		l.escaped = c == '\\'
	case c == ',', c == ':', c == '[', c == ']', c == '{', c == '}':
		l.length = 0
	}
	switch {
	case l.length > maxToken && l.inString:
		return errorf(ErrLimit, "manifest: a name of more than %d bytes", MaxName)
	case l.length > maxToken:
		return errorf(ErrLimit, "manifest: more than %d bytes of white space, or a number of that length", maxToken)
	}
	return nil
}

// wrapManifest gives an error of the JSON decoder or of the reader a class.
func wrapManifest(err error) error {
	var known *classError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("manifest: %w", io.ErrUnexpectedEOF)
	case errors.As(err, &syntax):
		return errorf(ErrFormat, "manifest is not JSON: %v (byte %d)", err, syntax.Offset)
	}
	return fmt.Errorf("read manifest: %w", err)
}

// manifestParser reads tokens and keeps the first error.
type manifestParser struct {
	d     *json.Decoder
	begin func() error
	each  func(Artifact) error
	err   error

	theirs bool // err is each's
}

func (p *manifestParser) token() json.Token {
	if p.err != nil {
		return nil
	}
	t, err := p.d.Token()
	p.err = err
	return t
}

func (p *manifestParser) more() bool { return p.err == nil && p.d.More() }

func (p *manifestParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = errorf(ErrFormat, "manifest: "+format, args...)
	}
}

func (p *manifestParser) delim(want json.Delim) {
	if t := p.token(); p.err == nil && t != want {
		p.fail("%v where %v belongs", t, want)
	}
}

// member reads one member of the manifest.
func (p *manifestParser) member(m *Manifest) {
	switch p.token() {
	case "blockHeight":
		m.BlockHeight, m.HasBlockHeight = 0, false
		t := p.token()
		if n, ok := t.(json.Number); ok {
			m.BlockHeight, m.HasBlockHeight = ParseNumber(n.String()), true
		} else {
			p.skip(t)
		}
	case "artifactMode":
		m.ArtifactMode = p.textOrNull("artifactMode")
		m.HasArtifactMode = true
	case "data":
		m.Data = p.textOrNull("data")
	case "artifacts":
		p.artifacts()
	default:
		p.skip(p.token())
	}
}

// textOrNull reads a string; null is "".
func (p *manifestParser) textOrNull(what string) string {
	t := p.token()
	s, ok := t.(string)
	if !ok && t != nil {
		p.fail("%s is not a string", what)
	}
	p.limit(s)
	return s
}

func (p *manifestParser) limit(s string) {
	if len(s) > MaxName && p.err == nil {
		p.err = errorf(ErrLimit, "manifest: name of %d bytes, at most %d are taken", len(s), MaxName)
	}
}

// artifacts reads the list of pairs, or null.
func (p *manifestParser) artifacts() {
	t := p.token()
	if p.err == nil {
		p.err = p.begin()
	}
	if t == nil {
		return
	}
	if t != json.Delim('[') {
		p.fail("artifacts is not a list")
	}
	for p.more() {
		if a := p.artifact(); p.err == nil {
			p.err = p.each(a)
			p.theirs = p.err != nil
		}
	}
	p.delim(']')
}

// artifact reads [name, file]. Further elements are ignored.
func (p *manifestParser) artifact() Artifact {
	p.delim('[')
	name, ok1 := p.token().(string)
	file, ok2 := p.token().(string)
	if !ok1 || !ok2 {
		p.fail("an artifact is not a pair of names")
	}
	for p.more() {
		p.skip(p.token())
	}
	p.delim(']')
	p.limit(name)
	p.limit(file)
	if file == "" {
		p.fail("invalid artifact %s", quote(name))
	}
	return Artifact{name, file}
}

// maxDepth is how deep what is ignored may be nested.
const maxDepth = 100

// skip reads what is left of the value that begins with t.
func (p *manifestParser) skip(t json.Token) {
	for depth := 0; p.err == nil; t = p.token() {
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				p.fail("nested more than %d deep", maxDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return
		}
	}
}

// checkDuplicates finds a name or a file that is there twice.
func checkDuplicates(list *Artifacts) error {
	if s, ok := duplicate(list, func(a Artifact) string { return a.Name }); ok {
		return errorf(ErrDuplicate, "manifest: duplicate artifact %s", quote(s))
	}
	if s, ok := duplicate(list, func(a Artifact) string { return a.File }); ok {
		return errorf(ErrDuplicate, "manifest: duplicate file %s", quote(s))
	}
	return nil
}

// duplicate sorts hashes, eight bytes an artifact, and makes a map, ten times as
// large, only if two hashes are the same.
func duplicate(list *Artifacts, of func(Artifact) string) (string, bool) {
	seed := maphash.MakeSeed()
	sums := make([]uint64, list.Len())
	for i, a := range list.All() {
		sums[i] = maphash.String(seed, of(a))
	}
	slices.Sort(sums)
	if len(slices.Compact(sums)) == list.Len() {
		return "", false
	}
	seen := make(map[string]bool, list.Len())
	for _, a := range list.All() {
		if seen[of(a)] {
			return of(a), true
		}
		seen[of(a)] = true
	}
	return "", false
}
