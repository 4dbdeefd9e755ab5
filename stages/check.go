package stages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"sync"

	"swingport/format"
)

// Part is a piece of an artifact as the sink gets it. An artifact's parts come in order; the last one, which may be empty, says so.
type Part struct {
	*Artifact
	*Chunk // nil where the last part has no content
	Last   bool
}

// Release gives the chunk back, if there is one.
func (p Part) Release() {
	if p.Chunk != nil {
		p.Chunk.Release()
	}
}

// Check compares every artifact with the hash of its record while it passes through.
type Check struct {
	NoVerify bool            // note what is wrong and let it pass
	Count    func(*Artifact) // called for each artifact that passed

	mu       sync.Mutex
	defects  []string
	warnings []string
}

// Defect notes what is wrong, or returns it as an error.
func (k *Check) Defect(err error) error {
	if !k.NoVerify {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.defects = append(k.defects, err.Error())
	return nil
}

// Warn notes what works and somebody should know.
func (k *Check) Warn(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.warnings = append(k.warnings, fmt.Sprintf(format, args...))
}

// Found returns the defects and warnings so far.
func (k *Check) Found() (defects, warnings []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.defects, k.warnings
}

// Work is the body of one worker: it reads, checks and passes on whole artifacts, those of one name to the same one of the links out.
func (k *Check) Work(ctx context.Context, in *Link[*Artifact], send func(context.Context, Part) error) error {
	return Each(ctx, in, func(a *Artifact) error {
		v := newVerifier(a)
		err := a.Content(ctx, func(p Piece) error {
			p, err := v.add(p)
			if err != nil {
				p.Release()
				return err
			}
			return send(ctx, Part{Artifact: a, Chunk: p.Chunk})
		})
		if err != nil && ctx.Err() == nil {
			return &ArtifactError{a.Name, err}
		} else if err != nil {
			return err
		}
		if err := v.finish(); err != nil {
			if err := k.Defect(&ArtifactError{a.Name, err}); err != nil {
				return err
			}
		}
		if why := v.lost(); why != "" {
			k.Warn("%s cannot be imported again: %s", a.Name, why)
		}
		k.Count(a)
		return send(ctx, Part{Artifact: a, Last: true})
	})
}

// verifier hashes one artifact.
type verifier interface {
	// add takes a piece and returns it as it is exported; on error too the caller owns what it returns.
	add(Piece) (Piece, error)
	// finish compares with the record.
	finish() error
	// lost says why the reference could not import the artifact again, "" if it can.
	lost() string
}

func newVerifier(a *Artifact) verifier {
	switch a.Kind {
	case format.KindTranscript:
		return &spanVerifier{a: a}
	case format.KindSnapshot:
		return &heapVerifier{a: a, h: sha256.New()}
	default:
		return &bundleVerifier{a: a}
	}
}

// spanVerifier computes the chain of a span's item hashes over the items as they are exported.
type spanVerifier struct {
	a     *Artifact
	h     format.SpanHash
	items int64
	why   string
}

func (v *spanVerifier) add(p Piece) (Piece, error) {
	if !format.ValidText(p.Data) {
		p = decoded(p)
	}
	for _, it := range p.Items {
		item := p.Data[it.Off:][:it.Len]
		v.h.Add(item)
		v.items++
		if v.why == "" && !format.ItemSurvives(item) {
			v.why = fmt.Sprintf("item %d has a newline in it or white space at its end", it.Pos)
		}
	}
	return p, nil
}

// decoded is a piece with its broken text replaced as JavaScript replaces it.
func decoded(p Piece) Piece {
	c := &Chunk{pool: unpooled{}}
	items := make([]Item, len(p.Items))
	for i, it := range p.Items {
		off := len(c.Data)
		c.Data = format.AppendText(c.Data, p.Data[it.Off:][:it.Len])
		items[i] = Item{it.Pos, uint32(off), uint32(len(c.Data) - off), it.Type}
		c.Data = append(c.Data, '\n')
	}
	p.Release()
	return Piece{c, items}
}

func (v *spanVerifier) finish() error {
	return sameHash("artifact", v.a, v.h.Sum())
}

func (v *spanVerifier) lost() string { return v.why }

// heapVerifier hashes a heap.
type heapVerifier struct {
	a *Artifact
	h hash.Hash
}

func (v *heapVerifier) add(p Piece) (Piece, error) {
	v.h.Write(p.Data)
	return p, nil
}

func (v *heapVerifier) finish() error {
	return sameHash("snapshot", v.a, hex.EncodeToString(v.h.Sum(nil)))
}

func (v *heapVerifier) lost() string { return "" }

// sameHash compares a hash with the record's, in the words of the reference's import.
func sameHash(what string, a *Artifact, got string) error {
	if got == a.Hash {
		return nil
	}
	return errorf(format.ErrHashMismatch, "%s %s hash is %q, metadata says %q", what, a.Name, got, a.Hash)
}

// bundleVerifier compares a bundle with its id.
type bundleVerifier struct {
	a          *Artifact
	wrong, why error
}

func (v *bundleVerifier) add(p Piece) (Piece, error) {
	v.wrong = format.BundleMatches(v.a.Hash, p.Data)
	if v.wrong == nil {
		v.why = format.BundleImportable(v.a.Hash, p.Data)
	}
	return p, nil
}

func (v *bundleVerifier) finish() error { return v.wrong }

func (v *bundleVerifier) lost() string {
	if v.why == nil {
		return ""
	}
	return v.why.Error()
}
