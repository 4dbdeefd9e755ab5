package stages

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"swingport/format"
)

// heapReader unpacks a heap and compares its hash at the end.
type heapReader struct {
	packed io.Reader
	z      *gunzipReader
	want   string
	sum    hash.Hash
	err    error
}

// NewHeapReader reads the heap whose gzip is packed; its SHA-256 must be want, in hexadecimal, which is known at the end. It reads packed to
// its end too.
func NewHeapReader(packed io.Reader, want string) io.Reader {
	return &heapReader{packed: packed, want: want, sum: sha256.New()}
}

func (h *heapReader) Read(p []byte) (n int, err error) {
	if h.err == nil && h.z == nil {
		h.z = getGunzip(h.packed)
	}
	if h.err != nil {
		return 0, h.err
	}
	n, err = h.z.Read(p)
	h.sum.Write(p[:n])
	if err == io.EOF {
		if got := hex.EncodeToString(h.sum.Sum(nil)); got != h.want {
			err = errorf(format.ErrHashMismatch, "hash is %s, metadata says %s", got, quoted(h.want))
		}
	} else if err != nil {
		err = explainGzip(err)
	}
	if h.err = err; err != nil {
		putGunzip(h.z)
		h.z = nil
	}
	return n, err
}

// explainGzip says that it was the gzip, unless what it reads had another error.
func explainGzip(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("unpack the heap: %w", err)
}
