package format

import (
	"errors"
	"testing"
)

func TestParseName(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Name
		err  string
	}{
		{"snapshot.v1.5", Name{Kind: KindSnapshot, VatID: "v1", Pos: 5}, ""},
		{"snapshot..0", Name{Kind: KindSnapshot}, ""},
		{"transcript.v1.0.0", Name{Kind: KindTranscript, VatID: "v1"}, ""},
		{"transcript.v10.9007199254740990.9007199254740991", Name{Kind: KindTranscript, VatID: "v10", Pos: 1<<53 - 2, End: 1<<53 - 1}, ""},
		{"transcript.v1.00.0x5", Name{Kind: KindTranscript, VatID: "v1", End: 5}, ""},
		{"transcript.v1. 3.1e3", Name{Kind: KindTranscript, VatID: "v1", Pos: 3, End: 1000}, ""},
		{"transcript.v1.-3.", Name{Kind: KindTranscript, VatID: "v1", Pos: -3}, ""},
		{"bundle.b1-00", Name{Kind: KindBundle, BundleID: "b1-00"}, ""},
		{"bundle.", Name{Kind: KindBundle}, ""},
		{"", Name{}, `unknown artifact type "" on import`},
		{"x", Name{}, `unknown artifact type "x" on import`},
		{"kv.a", Name{}, `unknown artifact type "kv" on import`},
		{"Snapshot.v1.5", Name{}, `unknown artifact type "Snapshot" on import`},
		{"snapshot.v1", Name{}, `expected snapshot name of the form 'snapshot.{vatID}.{snapPos}', saw '"snapshot.v1"'`},
		{"snapshot.v1.5.6", Name{}, `expected snapshot name of the form 'snapshot.{vatID}.{snapPos}', saw '"snapshot.v1.5.6"'`},
		{"transcript.v1.5", Name{}, `expected artifact name of the form 'transcript.{vatID}.{startPos}.{endPos}', saw '"transcript.v1.5"'`},
		{"transcript.v.1.5.6", Name{}, `expected artifact name of the form 'transcript.{vatID}.{startPos}.{endPos}', saw '"transcript.v.1.5.6"'`},
		{"bundle", Name{}, `expected artifact name of the form 'bundle.{bundleID}', saw "bundle"`},
		{"bundle.b1.00", Name{}, `expected artifact name of the form 'bundle.{bundleID}', saw "bundle.b1.00"`},
		{"snapshot.v1.x", Name{}, `artifact name "snapshot.v1.x": position "x" is not an integer`},
		{"snapshot.v1.1e400", Name{}, `artifact name "snapshot.v1.1e400": position "1e400" is not an integer`},
		{"transcript.v1.0.9007199254740992", Name{}, `artifact name "transcript.v1.0.9007199254740992": position "9007199254740992" is not an integer`},
	} {
		got, err := ParseName(c.in)
		if c.err != "" {
			if err == nil || err.Error() != c.err || !errors.Is(err, ErrFormat) {
				t.Errorf("ParseName(%q) = %v, want %s", c.in, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("ParseName(%q) = %+v, %v, want %+v", c.in, got, err, c.want)
		}
		if again, err := ParseName(got.String()); err != nil || again != got {
			t.Errorf("ParseName(%q) = %+v, %v, want %+v", got.String(), again, err, got)
		}
	}
}

func TestKindAndTypeStrings(t *testing.T) {
	for k, want := range map[Kind]string{KindSnapshot: "snapshot", KindTranscript: "transcript", KindBundle: "bundle", 0: "Kind(0)"} {
		if k.String() != want {
			t.Errorf("Kind %d: %s", k, k)
		}
	}
	for v, want := range map[Type]string{Null: "null", Integer: "integer", Real: "real", Text: "text", Blob: "blob", 9: "Type(9)"} {
		if v.String() != want {
			t.Errorf("Type %d: %s", v, v)
		}
	}
}
