package format

import (
	"errors"
	"math"
	"strings"
	"testing"
)

var headerSeeds = []seed{
	{`{"format":"swingport-archive","version":1,"blockHeight":17,"artifactMode":"archival","exportData":true,"snapshots":"raw"}`, true},
	{`{"format":"swingport-archive","version":1,"blockHeight":1e+21,"artifactMode":"none","exportData":false,"snapshots":"gzip"}`, true},
	{`{"format":"swingport-archive","version":1,"blockHeight":null,"artifactMode":"debug","exportData":true,"snapshots":"gzip"}`, true},
	{``, false},
	{`{}`, false},
	{`null`, false},
	{`["kv.a","b"]`, false},
	{`{"format":"swingport","version":1,"blockHeight":17,"artifactMode":"archival","exportData":true,"snapshots":"raw"}`, false},
	{`{"format":"swingport-archive","version":2}`, false},
	{`{"format":"swingport-archive","version":"1","blockHeight":17,"artifactMode":"archival","exportData":true,"snapshots":"raw"}`, false},
	{`{"format":"swingport-archive","version":1,"blockHeight":"17","artifactMode":"archival","exportData":true,"snapshots":"raw"}`, false},
	{`{"format":"swingport-archive","version":1,"blockHeight":1e999,"artifactMode":"archival","exportData":true,"snapshots":"raw"}`, false},
	{`{"format":"swingport-archive","version":1,"blockHeight":17.0,"artifactMode":"archival","exportData":true,"snapshots":"raw"}`, false},
	{`{"format":"swingport-archive","version":1,"blockHeight":17,"artifactMode":"auto","exportData":true,"snapshots":"raw"}`, false},
	{`{"format":"swingport-archive","version":1,"blockHeight":17,"artifactMode":"archival","exportData":true,"snapshots":"zstd"}`, false},
	{`{"format":"swingport-archive","version":1,"blockHeight":17,"artifactMode":"archival","exportData":true,"snapshots":"raw","more":1}`, false},
	{`{"format":"swingport-archive","version":1,"blockHeight":17,"artifactMode":"archival","exportData":true,"snapshots":"raw"} `, false},
	{`{"version":1,"format":"swingport-archive","blockHeight":17,"artifactMode":"archival","exportData":true,"snapshots":"raw"}`, false},
	{`{"format":"swingport-archive","version":1,"blockHeight":17,"artifactMode":"archival","exportData":true}`, false},
}

// checkHeader parses a line; what is taken comes out as it was.
func checkHeader(t *testing.T, line []byte) error {
	h, err := ParseArchiveHeader(line)
	if err != nil {
		if !isOneOf(err, ErrFormat, ErrMode, ErrLimit) || h != (ArchiveHeader{}) {
			t.Errorf("%q: %+v, error without a class: %v", line, h, err)
		}
		return err
	}
	if again := AppendArchiveHeader(nil, h); string(again) != string(line)+"\n" {
		t.Errorf("%q came out as %q", line, again)
	}
	return nil
}

func isOneOf(err error, classes ...error) bool {
	for _, c := range classes {
		if errors.Is(err, c) {
			return true
		}
	}
	return false
}

func TestArchiveHeader(t *testing.T) {
	for _, s := range headerSeeds {
		if err := checkHeader(t, []byte(s.in)); (err == nil) != s.ok {
			t.Errorf("%q: %v, want ok %v", s.in, err, s.ok)
		}
	}
	for _, height := range []float64{0, -1, 1.5, 1e-7, 1 << 53, math.MaxFloat64} {
		h := ArchiveHeader{height, true, Replay, false, GzipSnapshots}
		line := AppendArchiveHeader(nil, h)
		if got, err := ParseArchiveHeader(line[:len(line)-1]); err != nil || got != h {
			t.Errorf("%+v came back as %+v, %v", h, got, err)
		}
	}
	line := AppendArchiveHeader(nil, ArchiveHeader{math.NaN(), true, Replay, false, RawSnapshots})
	if got, err := ParseArchiveHeader(line[:len(line)-1]); err != nil || got.HasBlockHeight {
		t.Errorf("a height that is no number came back as %+v, %v", got, err)
	}
}

// Every cut of a line is an error; every flipped bit is one, or another line.
func TestArchiveHeaderCutAndFlip(t *testing.T) {
	line := []byte(headerSeeds[0].in)
	for i := range line {
		if checkHeader(t, line[:i]) == nil {
			t.Errorf("cut at %d: taken", i)
		}
		for bit := range 8 {
			bad := []byte(headerSeeds[0].in)
			bad[i] ^= 1 << bit
			_ = checkHeader(t, bad) // a digit of the height may change: the index has the hash of the file
		}
	}
}

func TestArchiveHeaderVersionAndLength(t *testing.T) {
	_, err := ParseArchiveHeader([]byte(`{"format":"swingport-archive","version":2,"snapshots":{"x":1}}`))
	if !errors.Is(err, ErrArchiveVersion) || !errors.Is(err, ErrFormat) || err.Error() != "archive has version 2, this program reads version 1" {
		t.Errorf("version 2: %v", err)
	}
	for n, want := range map[int]error{MaxArchiveHeader: ErrFormat, MaxArchiveHeader + 1: ErrLimit} {
		if _, err := ParseArchiveHeader([]byte(strings.Repeat(" ", n))); !errors.Is(err, want) {
			t.Errorf("line of %d bytes: %v, want %v", n, err, want)
		}
	}
}

func TestSnapshotForm(t *testing.T) {
	for _, c := range []struct{ form, file string }{{"raw", "snapshot.v1.2"}, {"gzip", "snapshot.v1.2.gz"}} {
		f, err := ParseSnapshotForm(c.form)
		if err != nil || f.File("snapshot.v1.2") != c.file {
			t.Errorf("%s: %s, %v", c.form, f.File("snapshot.v1.2"), err)
		}
	}
	for _, s := range []string{"", "GZIP", "zstd"} {
		if f, err := ParseSnapshotForm(s); !errors.Is(err, ErrMode) || f != "" {
			t.Errorf("%q: %q, %v", s, f, err)
		}
	}
}

func TestCheckArchiveName(t *testing.T) {
	for name, want := range map[string]error{
		"a": nil, "...": nil, ".a": nil, "snapshot.v1.2": nil, "1-transcript-v1": nil, "ü\n": nil, strings.Repeat("x", MaxName): nil,
		"": ErrFormat, ".": ErrFormat, "..": ErrFormat, "/a": ErrFormat, "a/": ErrFormat, "../a": ErrFormat, "a\x00": ErrFormat, "\xff": ErrFormat,
		strings.Repeat("x", MaxName+1): ErrLimit,
	} {
		if err := CheckArchiveName(name); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%.20q: %v, want %v", name, err, want)
		}
	}
}

func FuzzArchiveHeader(f *testing.F) {
	for _, s := range headerSeeds {
		f.Add([]byte(s.in))
	}
	f.Fuzz(func(t *testing.T, line []byte) { _ = checkHeader(t, line) })
}
