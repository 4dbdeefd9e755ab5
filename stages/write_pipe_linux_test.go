package stages

import (
	"errors"
	"io"
	"os"
	"testing"
)

// A pipe holds a megabyte: who writes less than that sees no error when the reader goes away with some of it unread, unless it asks.
func TestReaderGoneWithUnreadBytes(t *testing.T) {
	for name, c := range map[string]struct {
		read int64
		gone bool
		want error
	}{
		"all is read":           {5, true, nil},
		"some is left":          {3, true, ErrReaderGone},
		"the reader goes on":    {3, false, nil},
		"nothing was ever read": {0, true, ErrReaderGone},
	} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			p, err := pipeOf(w)
			if err != nil || p == nil {
				t.Fatal(p, err)
			}
			defer p.close()
			if err := p.write(t.Context(), []byte("12345")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, r, c.read); err != nil {
				t.Fatal(err)
			}
			if c.gone {
				r.Close()
			}
			if err := p.unread(); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}
