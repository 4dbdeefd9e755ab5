package format

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// kvSizeTexts have what lines escape, replace and leave, at every place in a word of eight bytes.
func kvSizeTexts() (list []string) {
	for _, s := range []string{"", "a", `"`, `\`, "\n", "\x01", "\x1f", "\x7f", "\x80", "\xe2\x82", "ü", "\u2028", "\U0001F600", "\xed\xa0\x80", "\xff\"\xff", `""""""""`} {
		for n := range 18 {
			list = append(list, strings.Repeat("x", n)+s+strings.Repeat("y", 17-n))
		}
	}
	return list
}

func TestKVSize(t *testing.T) {
	values := []Value{{}, IntValue(0), IntValue(-1 << 63), {Type: Real, Real: 1e300}, {Type: Real, Real: math.Inf(1)}, {Type: Real, Real: 0.1}}
	for _, s := range kvSizeTexts() {
		values = append(values, TextValue([]byte(s)), Value{Type: Blob, Bytes: []byte(s)})
	}
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 2000 {
		b := make([]byte, n%70)
		for i := range b {
			b[i] = "\"\\\n\x00 az\x7f\x80\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\xff"[r.IntN(19)]
		}
		values = append(values, TextValue(b), Value{Type: Blob, Bytes: b})
	}
	for _, v := range values {
		for _, key := range []string{"", `v1."\`, string(v.Bytes)} {
			if want, got := len(AppendKV(nil, []byte(key), v)), KVSize([]byte(key), v); got != want {
				t.Fatalf("key %q, value %+v: %d bytes, not %d", key, v, want, got)
			}
		}
	}
}

func BenchmarkKVSize(b *testing.B) {
	key, value := []byte("v9.vs.vom.o+d31/756"), TextValue([]byte(`{"body":"#\"$0.Alleged: Amount\"","slots":["o+v10/3"],"more":"text of some length"}`))
	b.SetBytes(int64(len(AppendKV(nil, key, value))))
	b.ReportAllocs()
	for b.Loop() {
		KVSize(key, value)
	}
}
