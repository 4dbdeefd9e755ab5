package stages

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"swingport/format"
)

// Entries is a stretch of the export data, parsed: kvStore rows and metadata, each in their order. Release gives its memory back.
type Entries struct {
	KV      []KV
	Records []Record
	Others  int   // lines that are no kv lines
	Bytes   int64 // of export data

	chunk *Chunk // what KV points into
	pool  *Pool
}

// KV is a row for kvStore, or the key of one that goes away.
type KV struct {
	Key, Value []byte
	Delete     bool
}

var entriesPool = sync.Pool{New: func() any { return new(Entries) }}

// Release gives the memory back. It is called once.
func (e *Entries) Release() {
	releaseLines(e.chunk, e.pool)
	clear(e.Records)
	*e = Entries{KV: e.KV[:0], Records: e.Records[:0]}
	entriesPool.Put(e)
}

const exportDataChunk = 512 << 10 // bytes

// Lines says what is taken of export data.
type Lines uint8

// What can be taken.
const (
	AllLines    Lines = iota // for a new store
	RepairLines              // the metadata, as repair-metadata wants it
	KVLines                  // the other ones are only counted: their records came before
)

// maxWrongLines is how many wrong lines Defect is told of.
const maxWrongLines = 10_000

// ExportData is the work of reading export data: one goroutine cuts it at newlines, several parse it, and the results are taken from Queue
// in the order of the lines.
type ExportData struct {
	*Ordered[*Chunk, *Entries]

	// Defect, if not nil, is told what is wrong with a line, by all parsers; where it returns nil the line is left out. Behind very many such
	// lines it is told so, and the rest is not parsed: hundreds of megabytes of newlines would take minutes.
	Defect func(error) error

	// MaxItem is the longest line, in bytes; 0 means DefaultMaxItem.
	MaxItem int64

	// Genesis, if not nil, hashes the lines too.
	Genesis *format.GenesisHash

	pool  *Pool
	lines Lines
	wrong atomic.Int64 // lines that Defect let pass
	sum   []byte
	bytes int64
	count int // of workers
}

// NewExportData prepares the work of a number of parsers.
func NewExportData(workers int, lines Lines) *ExportData {
	return newExportData(workers, lines, NewPool(2*workers+2, exportDataChunk))
}

func newExportData(workers int, lines Lines, pool *Pool) *ExportData {
	return &ExportData{
		Ordered: NewOrdered[*Chunk](workers, 1, (*Entries).Release),
		pool:    pool, lines: lines, count: workers,
	}
}

// Then prepares the work on other export data, which begins when all of x is done: it uses the same memory.
func (x *ExportData) Then(lines Lines) *ExportData {
	then := newExportData(x.count, lines, x.pool)
	then.Defect, then.MaxItem = x.Defect, x.MaxItem
	return then
}

// SHA256 is the hash of all that was read, once Read has returned nil.
func (x *ExportData) SHA256() []byte { return x.sum }

// Bytes is how much was read, once Read has returned nil.
func (x *ExportData) Bytes() int64 { return x.bytes }

// Read is the stage that reads r to its end.
func (x *ExportData) Read(ctx context.Context, r io.Reader) error {
	r, sum := hashed(r)
	cut := lineCutter{r: r, pool: x.pool, max: maxItemOf(x.MaxItem)}
	for {
		chunk, err := cut.next(ctx)
		if err != nil {
			return err
		}
		if chunk == nil {
			x.sum = sum()
			return nil
		}
		x.bytes += int64(len(chunk.Data))
		if x.Genesis != nil {
			x.Genesis.Lines(chunk.Data) // before the parsers overwrite them
		}
		if err := x.Dispatch(ctx, chunk); err != nil {
			return err
		}
	}
}

// hashed returns a reader that hashes what it reads, r itself if that does; sum is the hash once it has returned io.EOF.
func hashed(r io.Reader) (_ io.Reader, sum func() []byte) {
	if h, ok := r.(hashedReader); ok {
		return r, h.SHA256
	}
	h := sha256.New()
	return io.TeeReader(r, h), func() []byte { return h.Sum(nil) }
}

// Parse is the stage of one parser.
func (x *ExportData) Parse(ctx context.Context) error {
	var entry format.Entry
	return x.Work(ctx, func(ctx context.Context, chunk *Chunk, out *Link[*Entries]) error {
		e := entriesPool.Get().(*Entries)
		e.chunk, e.pool, e.Bytes = chunk, x.pool, int64(len(chunk.Data))
		if err := x.parse(e, &entry); err != nil {
			e.Release()
			return err
		}
		return out.Send(ctx, e)
	})
}

var errHostKey = errors.New("kernelKVStore refuses host keys")

// parse parses the lines of e's chunk. What it decodes stays in the chunk, in the place of the line: it is never longer, unless broken
// UTF-8 was replaced.
func (x *ExportData) parse(e *Entries, entry *format.Entry) error {
	data := e.chunk.Data
	for at := 0; at < len(data); {
		line, next := data[at:], len(data)
		if n := bytes.IndexByte(line, '\n'); n >= 0 {
			line, next = line[:n], at+n+1
		}
		if x.wrong.Load() > maxWrongLines {
			return nil
		}
		if err := x.parseLine(e, entry, line); err != nil {
			if err = x.defect(err); err != nil {
				return err
			}
		}
		at = next
	}
	return nil
}

// defect lets Defect decide about a line.
func (x *ExportData) defect(err error) error {
	switch {
	case x.Defect == nil:
		return err
	case x.wrong.Add(1) == maxWrongLines+1:
		err = errorf(format.ErrFormat, "the export data has more than %d lines that are wrong: the rest was not looked at", maxWrongLines)
	}
	return x.Defect(err)
}

func (x *ExportData) parseLine(e *Entries, entry *format.Entry, line []byte) error {
	limit := maxItemOf(x.MaxItem)
	if len(line) > limit {
		return tooLarge("line", limit)
	}
	if err := checkText("line of the export data", line, limit); err != nil {
		return err
	}
	if err := format.ParseLine(line, entry); err != nil {
		return err
	}
	if string(entry.Tag()) != "kv" {
		e.Others++
		if x.lines != KVLines {
			r := parseRecordLine(entry, x.lines == RepairLines)
			if x.Defect != nil {
				r.checkKey(entry)
			}
			e.Records = append(e.Records, r)
		}
		return nil
	}
	if x.lines == RepairLines {
		return nil
	}
	key := entry.KVKey()
	if bytes.HasPrefix(key, []byte("host.")) {
		return fmt.Errorf("export data key %s: %w", quoted(string(entry.Key)), errHostKey)
	}
	if len(key)+len(entry.Value) > maxValue {
		return errorf(format.ErrLimit, "export data key %s: %d bytes, the database takes at most %d in a row", quoted(string(key)), len(key)+len(entry.Value), maxValue)
	}
	kv := KV{Delete: entry.Null}
	kv.Key, kv.Value = inPlace(line, key, entry.Value)
	e.KV = append(e.KV, kv)
	return nil
}

// inPlace copies a key and a value, which may be parts of the line or not, to the beginning of the line, if they fit.
func inPlace(line, key, value []byte) (k, v []byte) {
	if len(key)+len(value) > len(line) {
		return bytes.Clone(key), bytes.Clone(value)
	}
	n := copy(line, key) // in a line the key comes before the value, and both behind where they go
	m := copy(line[n:], value)
	return line[:n:n], line[n : n+m]
}
