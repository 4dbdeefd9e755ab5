package stages

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"

	"swingport/format"
)

// maxRecord is the longest line with a snapshot's record that ReadHeapHashes looks at, in bytes; longer lines are those of kv.
const maxRecord = 1 << 20

// ReadHeapHashes fills in the values of heaps, whose keys are names of snapshots as format.Name prints them, from lines of export data, and
// stops when all are found. The value of a snapshot without a record stays "".
func ReadHeapHashes(ctx context.Context, r io.Reader, heaps map[string]string) error {
	in := bufio.NewReaderSize(r, maxRecord)
	var e format.Entry
	for left := len(heaps); left > 0; {
		line, err := nextRecord(ctx, in)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		name, hash, err := parseHeapHash(line, &e)
		if err != nil {
			return err
		}
		if have, wanted := heaps[name]; wanted && have == "" && hash != "" {
			heaps[name] = hash
			left--
		}
	}
	return nil
}

// nextRecord returns the next line that could be a snapshot's record, until the next call, or io.EOF.
func nextRecord(ctx context.Context, in *bufio.Reader) ([]byte, error) {
	for whole := true; ; {
		line, err := in.ReadSlice('\n')
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		switch begun := whole; {
		case err == nil:
			if whole = true; begun && bytes.Contains(line[:min(len(line), 64)], []byte(`"snapshot.`)) {
				return bytes.TrimSuffix(line, []byte("\n")), nil
			}
		case errors.Is(err, bufio.ErrBufferFull):
			whole = false
		case err == io.EOF && begun && bytes.Contains(line, []byte(`"snapshot.`)):
			return line, nil
		default:
			return nil, err
		}
	}
}

// parseHeapHash returns "" for the record that says which snapshot is the current one.
func parseHeapHash(line []byte, e *format.Entry) (name, hash string, err error) {
	if err := format.ParseLine(line, e); err != nil {
		return "", "", err
	}
	if e.Null {
		return "", "", nil
	}
	s, current, err := format.ParseSnapshot(e.Key, e.Value)
	if err != nil || current {
		return "", "", err
	}
	return string(format.AppendSnapshotName(nil, s.VatID, s.Pos)), s.Hash, nil
}
