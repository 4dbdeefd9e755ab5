package stages

import (
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

const manySpans = 100_000

// held is how much memory what f returns takes, by span.
func held(t *testing.T, f func() any) (int64, any) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	keep := f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(keep)
	n := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / manySpans
	t.Logf("%T: %d bytes a span", keep, n)
	return n, keep
}

// What is held for each span is what lets a store of a million of them keep to the budget. The limits are a tenth above what it is.
func TestMemoryOfManySpans(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("transcript.v%d.%d.%d", i%5, i, i+1) }
	n, m := held(t, func() any {
		m := NewMetadata()
		for i := range manySpans {
			vat, at := fmt.Sprint("v", i%5), int64(i)
			m.Add(Record{key: makeRecordKey([]byte(name(i))), kind: spanRecord, span: format.Span{VatID: vat, Start: at, End: format.Int(at + 1), Hash: aHash}})
			m.Add(Record{key: makeRecordKey([]byte("s" + name(i))), kind: snapshotRecord, snapshot: format.Snapshot{VatID: vat, Pos: at, Hash: aHash}})
		}
		return m
	})
	if n > 165 {
		t.Errorf("metadata: %d bytes for a span and a snapshot", n)
	}
	n, _ = held(t, func() any {
		if err := m.(*Metadata).Settle(); err != nil {
			t.Fatal(err)
		}
		return m
	})
	if n > 0 {
		t.Errorf("settled metadata takes %d bytes more", n)
	}
	if n, _ = held(t, func() any {
		c := new(checksums)
		for i := range manySpans {
			c.add(name(i), [sha256.Size]byte{})
		}
		c.sort()
		return c
	}); n > 58 {
		t.Errorf("checksums: %d bytes", n)
	}
	if n, _ = held(t, func() any {
		s := new(artifactNames)
		for i := range manySpans {
			s.add(format.KindTranscript, name(i), name(i))
		}
		return s
	}); n > 25 {
		t.Errorf("names of an archive: %d bytes", n)
	}
	if n, _ = held(t, func() any {
		l := new(format.Artifacts)
		for i := range manySpans {
			l.Add(format.Artifact{Name: name(i), File: name(i)})
		}
		return l
	}); n > 30 {
		t.Errorf("artifacts of a manifest: %d bytes", n)
	}
}

// The same for the plan of an export.
func TestMemoryOfPlan(t *testing.T) {
	b := testdata.Build(t)
	b.KV("host.height", "7")
	b.Many("INSERT INTO transcriptSpans VALUES (?,?,?,?,?,0)", manySpans, func(i int) []any {
		var current any
		if i >= manySpans-5 {
			current = 1
		}
		return []any{fmt.Sprint("v", i%5), i / 5, i/5 + 1, aHash, current}
	})
	b.Close()
	s, err := OpenStore(t.Context(), filepath.Clean(b.Dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	plan := func() any {
		p, err := NewPlan(t.Context(), s, format.Debug)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	plan() // what the store keeps for the next query is no part of a plan
	n, _ := held(t, plan)
	if n > 88 {
		t.Errorf("plan: %d bytes a span", n)
	}
}
