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

// Part is a piece of an artifact as the sink gets it. An artifact's parts come in order; the last one, which may be empty, says so. With
// the first, the artifact's Size is known, and with the last its SHA256.
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
	// OnDefect decides about what is wrong: nil lets it pass. Without an OnDefect it ends the export.
	OnDefect func(error) error

	// Unreadable lets OnDefect decide about content too that cannot be read to its end: the artifact then ends where it is.
	Unreadable bool

	Sums  bool            // give each artifact its SHA256
	Count func(*Artifact) // called for each artifact that passed

	mu       sync.Mutex
	warnings []string
}

// Defect lets OnDefect decide.
func (k *Check) Defect(err error) error {
	if k.OnDefect == nil {
		return err
	}
	return k.OnDefect(err)
}

// Warn notes what works and somebody should know.
func (k *Check) Warn(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.warnings = append(k.warnings, fmt.Sprintf(format, args...))
}

// Warnings returns what was noted so far.
func (k *Check) Warnings() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.warnings
}

// Work is the body of one worker: it reads, checks and passes on whole artifacts, the parts of each in their order.
func (k *Check) Work(ctx context.Context, in *Link[*Artifact], send func(context.Context, Part) error) error {
	return Each(ctx, in, func(a *Artifact) error { return k.One(ctx, a, send) })
}

// One checks one artifact.
func (k *Check) One(ctx context.Context, a *Artifact, send func(context.Context, Part) error) error {
	var sum hash.Hash // of the content as exported
	if k.Sums || a.Kind == format.KindSnapshot && !a.Gzip {
		sum = sha256.New()
	}
	v := newVerifier(a, sum)
	var lost error // the sink's
	err := a.Content(ctx, func(p Piece) error {
		v.add(p)
		if sum != nil {
			sum.Write(p.Data)
		}
		lost = send(ctx, Part{Artifact: a, Chunk: p.Chunk})
		return lost
	})
	switch {
	case err == nil:
		err = v.finish()
	case ctx.Err() != nil || lost != nil:
		return err
	case !k.Unreadable:
		return &ArtifactError{a.Name, err}
	}
	if err != nil {
		if err := k.Defect(&ArtifactError{a.Name, err}); err != nil {
			return err
		}
	}
	if why := v.lost(); why != "" {
		k.Warn("%s cannot be imported again: %s", a.Name, why)
	}
	if k.Sums {
		sum.Sum(a.SHA256[:0])
	}
	k.Count(a)
	return send(ctx, Part{Artifact: a, Last: true})
}

// verifier hashes one artifact.
type verifier interface {
	add(Piece)
	// finish compares with the record.
	finish() error
	// lost says why the reference could not import the artifact again, "" if it can.
	lost() string
}

func newVerifier(a *Artifact, sum hash.Hash) verifier {
	switch a.Kind {
	case format.KindTranscript:
		return &spanVerifier{a: a}
	case format.KindSnapshot:
		return &heapVerifier{a, sum}
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

func (v *spanVerifier) add(p Piece) {
	for _, it := range p.Items {
		item := p.Data[it.Off:][:it.Len]
		v.h.Add(item)
		v.items++
		if v.why == "" && !format.ItemSurvives(item) {
			v.why = fmt.Sprintf("item %d has a newline in it or white space at its end", it.Pos)
		}
	}
}

func (v *spanVerifier) finish() error {
	return sameHash("artifact", v.a, v.h.Sum())
}

func (v *spanVerifier) lost() string { return v.why }

// heapVerifier compares a heap with its record; h is hashed by others, and that of a heap that stays packed by whoever reads it.
type heapVerifier struct {
	a *Artifact
	h hash.Hash
}

func (v *heapVerifier) add(Piece) {}

func (v *heapVerifier) finish() error {
	h := v.h
	if v.a.Gzip {
		h = v.a.packed
	}
	return sameHash("snapshot", v.a, hex.EncodeToString(h.Sum(nil)))
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

func (v *bundleVerifier) add(p Piece) {
	v.wrong = format.BundleMatches(v.a.Hash, p.Data)
	if v.wrong == nil {
		v.why = format.BundleImportable(v.a.Hash, p.Data)
	}
}

func (v *bundleVerifier) finish() error { return v.wrong }

func (v *bundleVerifier) lost() string {
	if v.why == nil {
		return ""
	}
	return v.why.Error()
}
