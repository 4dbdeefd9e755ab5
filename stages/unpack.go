package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"swingport/format"
)

// Unpacked is a part of an artifact that is ready to be stored: a batch of a span's items, a packed heap, or a bundle. Release gives its memory
// back.
type Unpacked interface {
	store(ctx context.Context, s Sink) error
	Release()
}

// SpanItems are consecutive items of one span.
type SpanItems struct {
	VatID       string
	Start       int64 // position of the first one
	Incarnation format.NullInt
	Items       [][]byte

	chunk *Chunk // what Items point into
	pool  *Pool
	span  int  // its number
	last  bool // the span's hash is right and all its items were passed on
	meta  *Metadata
}

func (p *SpanItems) store(_ context.Context, s Sink) error {
	if len(p.Items) > 0 {
		if err := s.Items(p); err != nil {
			return err
		}
	}
	if p.last {
		p.meta.markStored(spanRecord, p.span)
	}
	return nil
}

// Release implements Unpacked.
func (p *SpanItems) Release() {
	if p.chunk != nil {
		releaseLines(p.chunk, p.pool)
		p.chunk = nil
	}
}

// PackedSnapshot is a heap whose hash is right, as gzip.
type PackedSnapshot struct {
	Row              int // number of the record, from 0
	UncompressedSize int64
	content          *spool
	meta             *Metadata
}

func (p *PackedSnapshot) store(ctx context.Context, s Sink) error {
	p.meta.markStored(snapshotRecord, p.Row)
	return s.Snapshot(ctx, p)
}

// Size is the number of bytes of the gzip stream.
func (p *PackedSnapshot) Size() int64 { return p.content.size }

// Each calls f for the pieces of the gzip stream, with their places.
func (p *PackedSnapshot) Each(ctx context.Context, f func(piece []byte, off int64) error) error {
	return p.content.each(ctx, f)
}

// Release implements Unpacked.
func (p *PackedSnapshot) Release() { p.content.Release() }

// CheckedBundle is a bundle whose content belongs to its id.
type CheckedBundle struct {
	Row     int    // number of the record, from 0
	Content []byte // as it is stored
	Text    bool   // stored as TEXT; else as BLOB
	meta    *Metadata
}

func (p *CheckedBundle) store(_ context.Context, s Sink) error {
	p.meta.markStored(bundleRecord, p.Row)
	return s.Bundle(p)
}

// Release implements Unpacked.
func (p *CheckedBundle) Release() { p.Content = nil }

// present is an artifact that counts as stored although something is wrong with it, which was noted.
type present struct {
	kind recordKind
	row  int
	meta *Metadata
}

func (p *present) store(context.Context, Sink) error {
	p.meta.markStored(p.kind, p.row)
	return nil
}

// Release implements Unpacked.
func (p *present) Release() {}

// Artifacts is the work of unpacking artifacts: Dispatch hands them out, several goroutines hash, split and pack, and the parts are taken
// from Queue in the order of dispatch.
type Artifacts struct {
	*Ordered[Incoming, Unpacked]
	meta   *Metadata
	spools *spools
	o      UnpackOptions

	snapshots, spans, bundles, items, bytes atomic.Int64
}

const (
	spanChunk    = 256 << 10 // bytes
	spanChunks   = 4         // a worker
	spoolsMemory = 32 << 20  // bytes, of all workers
)

// UnpackOptions says how Artifacts works.
type UnpackOptions struct {
	Workers  int
	Mode     format.ArtifactMode
	TempDir  string
	FS       *FS
	MaxItem  int64             // of an item or bundle, in bytes; 0 means DefaultMaxItem
	Progress func(bytes int64) // read of artifacts; called by all workers
	Warn     func(string)

	// Discard checks everything and packs nothing: the sink gets no items, and snapshots without content.
	Discard bool
	// Defect is told what is wrong with an artifact, as an *ArtifactError, by all workers; nil ends the run with that error. Where it returns
	// nil the artifact counts as present and the run goes on.
	Defect func(error) error
	// Digest is told the size and the hash of the content of each artifact, heaps raw, by all workers. It may be nil.
	Digest func(name string, size int64, sha256 []byte)
}

// NewArtifacts prepares the work; meta is complete when the first artifact is dispatched.
func NewArtifacts(o UnpackOptions, meta *Metadata) *Artifacts {
	return &Artifacts{
		Ordered: NewOrdered[Incoming](o.Workers, spanChunks, Unpacked.Release),
		meta:    meta, o: o,
		spools: newSpools(spoolsMemory, o.TempDir, o.FS),
	}
}

// Dispatch queues one artifact.
func (a *Artifacts) Dispatch(ctx context.Context, in Incoming) error {
	in.turn = make(chan struct{})
	return a.Ordered.Dispatch(ctx, in)
}

// Counts are the artifacts and items that were unpacked, and their bytes, uncompressed.
func (a *Artifacts) Counts() (snapshots, spans, bundles int, items, bytes int64) {
	return int(a.snapshots.Load()), int(a.spans.Load()), int(a.bundles.Load()), a.items.Load(), a.bytes.Load()
}

// Wanted says whether the artifact called name has to be read. Every name must have its record in the metadata, wanted or not.
func (a *Artifacts) Wanted(name string) (bool, error) {
	n, err := format.ParseName(name)
	if err != nil {
		return false, err
	}
	switch n.Kind {
	case format.KindTranscript:
		i, ok := a.meta.findSpan(n.VatID, n.Pos)
		if !ok {
			return false, errorf(format.ErrMismatch, "no metadata for transcript span %s", name)
		}
		span := a.meta.spans.at(i)
		if !span.hasEnd || span.end != n.End {
			return false, errorf(format.ErrMismatch, "artifact %s: Expected %s is same as %d (metadata and name: where the span ends)",
				name, nullText(a.meta.Span(i).End), n.End)
		}
		return a.wantsSpan(name, span), nil
	case format.KindSnapshot:
		i, ok := a.meta.findSnapshot(n.VatID, n.Pos)
		if !ok {
			return false, errorf(format.ErrMismatch, "no metadata for snapshot %s", name)
		}
		return a.meta.snapshots.at(i).inUse || a.o.Mode == format.Debug, nil
	}
	if _, ok := a.meta.bundleAt[n.BundleID]; !ok {
		return false, errorf(format.ErrMismatch, "missing %s", n.BundleID)
	}
	return true, nil
}

func (a *Artifacts) wantsSpan(name string, span *spanRow) bool {
	switch a.o.Mode {
	case format.Operational:
		return span.current
	case format.Replay:
		vat := &a.meta.vats[span.vat]
		if vat.current < 0 {
			a.o.Warn(fmt.Sprintf("artifact %s left out: vat %s has no current span, so that nobody can replay it", name, vat.id))
			return false
		}
		return !vat.startKnown || span.start >= vat.start
	}
	return true
}

// Unpack is the stage of one worker.
func (a *Artifacts) Unpack(ctx context.Context) error {
	u := &unpacker{Artifacts: a, maxItem: maxItemOf(a.o.MaxItem)}
	u.cut = lineCutter{pool: NewPool(spanChunks, spanChunk), max: u.maxItem, turn: u.wait}
	return a.Work(ctx, func(ctx context.Context, in Incoming, out *Link[Unpacked]) error {
		u.turn = in.turn
		name, err := format.ParseName(in.Name)
		if err == nil {
			err = u.unpack(ctx, in, name, out)
		}
		if err == nil || ctx.Err() != nil && context.Cause(ctx) == err {
			return err
		}
		err = &ArtifactError{Name: in.Name, Err: err}
		if a.o.Defect == nil || ctx.Err() != nil {
			return err
		}
		if err := a.o.Defect(err); err != nil {
			return err
		}
		return out.Send(ctx, a.present(name))
	})
}

// Present makes the span count as present whose start is that of an artifact's name; its end may be another one.
func (a *Artifacts) Present(artifact string) {
	name, err := format.ParseName(artifact)
	if err != nil || name.Kind != format.KindTranscript {
		return
	}
	if i, ok := a.meta.findSpan(name.VatID, name.Pos); ok {
		a.meta.markStored(spanRecord, i)
	}
}

// present finds the record of an artifact.
func (a *Artifacts) present(name format.Name) *present {
	p := &present{meta: a.meta}
	switch name.Kind {
	case format.KindTranscript:
		p.kind = spanRecord
		p.row, _ = a.meta.findSpan(name.VatID, name.Pos)
	case format.KindSnapshot:
		p.kind = snapshotRecord
		p.row, _ = a.meta.findSnapshot(name.VatID, name.Pos)
	default:
		p.kind, p.row = bundleRecord, a.meta.bundleAt[name.BundleID]
	}
	return p
}

// unpacker is what one worker keeps from one artifact to the next.
type unpacker struct {
	*Artifacts
	cut     lineCutter
	maxItem int
	turn    <-chan struct{} // of the artifact
	gzip    *gzip.Writer
	gunzip  *gunzipReader
	buf     []byte
}

// wait waits until the artifact is the next one to be stored. Large contents are in memory one at a time that way, and nobody waits for
// anybody behind: the next one to be stored waits for none.
func (u *unpacker) wait(ctx context.Context) error { return await(ctx, u.turn) }

func (u *unpacker) unpack(ctx context.Context, in Incoming, name format.Name, out *Link[Unpacked]) (err error) {
	f, err := in.Open(ctx)
	if err != nil {
		return err
	}
	defer f.Close()
	if name.Kind == format.KindSnapshot {
		return u.snapshot(ctx, in, name, f, out)
	}
	r, sum := io.Reader(f), func() []byte { return nil }
	if u.o.Digest != nil {
		r, sum = hashed(f)
	}
	counted := &countingReader{r: r, progress: u.o.Progress}
	if name.Kind == format.KindTranscript {
		err = u.span(ctx, in, name, counted, out)
	} else {
		err = u.bundle(ctx, name, in.Size, counted, out)
	}
	u.bytes.Add(counted.n)
	if err == nil && u.o.Digest != nil {
		u.o.Digest(in.Name, counted.n, sum())
	}
	return err
}

type countingReader struct {
	r        io.Reader
	progress func(int64)
	n        int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.progress(int64(n))
	c.n += int64(n)
	return n, err
}

// span splits a span into items and hashes them. The last part is sent when the hash was compared.
func (u *unpacker) span(ctx context.Context, in Incoming, name format.Name, r io.Reader, out *Link[Unpacked]) error {
	text := in.Name
	i, _ := u.meta.findSpan(name.VatID, name.Pos)
	span := u.meta.Span(i)
	var sum format.SpanHash
	u.cut.reset(r, in.Size)
	pos := span.Start
	for {
		chunk, err := u.cut.next(ctx)
		if err != nil {
			return err
		}
		if chunk == nil {
			break
		}
		part := &SpanItems{VatID: span.VatID, Start: pos, Incarnation: span.Incarnation, chunk: chunk, pool: u.cut.pool, span: i, meta: u.meta}
		if err := checkText("item", chunk.Data, u.maxItem); err != nil {
			part.Release()
			return err
		}
		part.Items = splitItems(chunk.Data)
		for _, item := range part.Items {
			if len(item) > u.maxItem {
				part.Release()
				return tooLarge("item", u.maxItem)
			}
			sum.Add(item)
		}
		pos += int64(len(part.Items))
		if pos > span.End.V {
			part.Release()
			return errorf(format.ErrIncomplete, "artifact %s is not complete", text)
		}
		if u.o.Discard {
			part.Release()
		} else if err := out.Send(ctx, part); err != nil {
			return err
		}
	}
	if pos != span.End.V {
		return errorf(format.ErrIncomplete, "artifact %s is not complete", text)
	}
	if got := sum.Sum(); got != span.Hash {
		return errorf(format.ErrHashMismatch, "artifact %s hash is %s, metadata says %s", text, quoted(got), quoted(span.Hash))
	}
	u.spans.Add(1)
	u.items.Add(pos - span.Start)
	return out.Send(ctx, &SpanItems{span: i, last: true, meta: u.meta})
}

// splitItems cuts lines into items, as JavaScript sees them: broken UTF-8 replaced, white space at the end taken off.
func splitItems(lines []byte) [][]byte {
	items := make([][]byte, 0, bytes.Count(lines, []byte{'\n'})+1)
	for len(lines) > 0 {
		line, rest, _ := bytes.Cut(lines, []byte{'\n'})
		if !format.ValidText(line) {
			line = format.AppendText(nil, line)
		}
		items = append(items, format.TrimEnd(line))
		lines = rest
	}
	return items
}

// gzipLevel: on heap snapshots 1 and 2 take the same time (270 MB/s on one core), 2 packs better, 6 takes nearly twice as long for a
// twelfth less.
const gzipLevel = 2

// snapshot hashes a heap and packs it, or keeps it as it is packed.
func (u *unpacker) snapshot(ctx context.Context, in Incoming, name format.Name, f io.Reader, out *Link[Unpacked]) (err error) {
	i, _ := u.meta.findSnapshot(name.VatID, name.Pos)
	part := &PackedSnapshot{Row: i, content: u.spools.new(), meta: u.meta}
	defer func() {
		if err != nil && part != nil {
			part.Release()
		}
	}()
	var sum []byte
	if in.Gzip {
		part.UncompressedSize, sum, err = u.keep(ctx, part.content, f)
	} else {
		part.UncompressedSize, sum, err = u.pack(ctx, part.content, f)
	}
	if err != nil {
		return err
	}
	u.bytes.Add(part.UncompressedSize)
	if got, want := hex.EncodeToString(sum), u.meta.Snapshot(i).Hash; got != want {
		return errorf(format.ErrHashMismatch, "snapshot %s hash is %s, metadata says %s", quoted(in.Name), quoted(got), quoted(want))
	}
	u.snapshots.Add(1)
	if u.o.Digest != nil {
		u.o.Digest(in.Name, part.UncompressedSize, sum)
	}
	sent := part
	part = nil // Send gives it away, also when it fails
	return out.Send(ctx, sent)
}

// pack reads a heap to its end and writes it, as gzip, to w.
func (u *unpacker) pack(ctx context.Context, w *spool, f io.Reader) (size int64, sum []byte, err error) {
	r, hash := hashed(f)
	counted := &countingReader{r: r, progress: u.o.Progress}
	if u.o.Discard {
		err = u.copy(ctx, io.Discard, counted, w)
		return counted.n, hash(), err
	}
	if u.gzip == nil {
		if u.gzip, err = gzip.NewWriterLevel(w, gzipLevel); err != nil {
			return 0, nil, err
		}
	}
	u.gzip.Reset(w)
	if err := u.copy(ctx, u.gzip, counted, w); err != nil {
		return counted.n, nil, err
	}
	return counted.n, hash(), u.gzip.Close()
}

// keep writes a heap, packed already, to w as it is, and unpacks it for its hash.
func (u *unpacker) keep(ctx context.Context, w *spool, f io.Reader) (size int64, sum []byte, err error) {
	packed := io.Reader(&countingReader{r: f, progress: u.o.Progress})
	if !u.o.Discard {
		packed = io.TeeReader(packed, w)
	}
	if u.gunzip == nil {
		u.gunzip = new(gunzipReader)
	}
	u.gunzip.Reset(packed)
	hash := sha256.New()
	counted := &countingReader{r: u.gunzip, progress: func(int64) {}}
	err = u.copy(ctx, hash, counted, w)
	return counted.n, hash.Sum(nil), packedError(err)
}

// packedError says what an error of the decoder is about. A heap that is cut off ends where its file or entry does.
func packedError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("gzip of the heap is cut off: %w", io.ErrUnexpectedEOF)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), isCorrupt(err):
		return errorf(format.ErrFormat, "gzip of the heap: %v", err)
	}
	return err
}

func isCorrupt(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.As(err, &corrupt)
}

// copy copies r to w as long as what is spooled stays storable.
func (u *unpacker) copy(ctx context.Context, w io.Writer, r io.Reader, spooled *spool) error {
	if u.buf == nil {
		u.buf = make([]byte, spanChunk)
	}
	for {
		n, err := r.Read(u.buf)
		if _, err := w.Write(u.buf[:n]); err != nil {
			return err
		}
		if spooled.size > maxValue {
			return errorf(format.ErrLimit, "heap of more than %d bytes packed, the database takes at most that", maxValue)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// bundle checks a bundle against its id.
func (u *unpacker) bundle(ctx context.Context, name format.Name, size int64, r io.Reader, out *Link[Unpacked]) error {
	part := &CheckedBundle{Row: u.meta.bundleAt[name.BundleID], meta: u.meta}
	if size > int64(u.maxItem) {
		return tooLarge("bundle", u.maxItem)
	}
	if size > largeContent {
		if err := u.wait(ctx); err != nil {
			return err
		}
	}
	data := bytes.NewBuffer(make([]byte, 0, size+bytes.MinRead))
	if _, err := data.ReadFrom(r); err != nil {
		return err
	}
	if err := checkText("bundle", data.Bytes(), u.maxItem); err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(name.BundleID, "b0-"):
		stored, err := format.NormalizeB0(name.BundleID, data.Bytes())
		if err != nil {
			return err
		}
		part.Content, part.Text = stored, true
	case strings.HasPrefix(name.BundleID, "b1-"):
		if err := format.CheckB1(name.BundleID, data.Bytes()); err != nil {
			return err
		}
		part.Content = data.Bytes()
	default:
		return errorf(format.ErrFormat, "unsupported BundleID %s", quoted(name.BundleID))
	}
	u.bundles.Add(1)
	return out.Send(ctx, part)
}

func nullText(n format.NullInt) string {
	if !n.Valid {
		return "null"
	}
	return strconv.FormatInt(n.V, 10)
}
