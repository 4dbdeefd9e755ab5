package pipeline

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"swingport/format"
	"swingport/stages"
)

// CopyOptions says which store to copy, and where to. The zero value of every
// field but the two directories is a default.
type CopyOptions struct {
	StateDir   string // the directory that holds swingstore.sqlite
	ToStateDir string // the directory that gets one; made if it is missing

	ArtifactMode format.ArtifactMode // or AutoMode, which is what "" means

	// CheckBlockHeight is the height that the store must have committed. Nil
	// and zero check nothing.
	CheckBlockHeight *float64

	MaxItem int64  // the largest item, line or bundle, in bytes; 0 means 32 MiB, as for an import
	NoCheck bool   // leave out PRAGMA quick_check of the new store
	KeepOld bool   // keep the old database of ToStateDir under a name that says its height
	Reader  string // as for an export
	Workers int    // goroutines of each parallel stage, 16 at most; 0 means GOMAXPROCS
	TempDir string // where stages spill; "" means ToStateDir

	NoSpaceCheck bool // as for an export

	Live // beside a node that writes to StateDir

	Status *Status      // counters for whoever polls; may be nil
	Log    *slog.Logger // what happens, in detail; nil means silent

	fs        *stages.FS // for tests of faults
	openSpans int64      // for tests of little memory, see copySpansBytes

	planned      *Plan // as for an export
	databaseRead int64 // bytes of the source
}

// CopySummary says what a copy did: the Summary is that of the import.
// ExportDataSHA256 is "", since no export data was made.
type CopySummary struct {
	Summary
	FromBytes int64 `json:"fromBytes"` // database and write-ahead log, as the copy began
	ToBytes   int64 `json:"toBytes"`   // the new database
}

// defaults fills in what was left out and refuses what cannot be.
func (o *CopyOptions) defaults() error {
	if o.ArtifactMode == "" {
		o.ArtifactMode = AutoMode
	}
	x := o.export()
	if err := x.defaults(); err != nil {
		return err
	}
	o.Workers, o.Log = x.Workers, x.Log
	if o.ArtifactMode == format.None {
		m := &format.Manifest{HasBlockHeight: true, Data: format.ExportDataFile}
		_, err := format.ImportMode(format.None, m)
		return err
	}
	return o.apart()
}

// apart refuses a copy of a store onto itself, by whatever names. It opens nothing: closing a second descriptor of a database would drop the
// engine's locks on it.
func (o *CopyOptions) apart() error {
	same := func(a, b string) bool {
		first, err1 := os.Stat(a)
		second, err2 := os.Stat(b)
		return err1 == nil && err2 == nil && os.SameFile(first, second)
	}
	if same(o.StateDir, o.ToStateDir) {
		return fmt.Errorf("cannot copy a store onto itself: %s and %s are the same directory", o.StateDir, o.ToStateDir)
	}
	from, to := filepath.Join(o.StateDir, stages.StoreFile), filepath.Join(o.ToStateDir, stages.StoreFile)
	if same(from, to) {
		return fmt.Errorf("cannot copy a store onto itself: %s and %s are the same file", from, to)
	}
	return nil
}

// export is the options of the export half.
func (o *CopyOptions) export() ExportOptions {
	return ExportOptions{
		StateDir: o.StateDir, ArtifactMode: o.ArtifactMode, ExportDataMode: format.All, CheckBlockHeight: o.CheckBlockHeight,
		Reader: o.Reader, Workers: o.Workers, TempDir: o.TempDir, Live: o.Live, Status: o.Status, Log: o.Log, fs: o.fs,
		MaxItem: max(o.MaxItem, stages.DefaultStoreItem), openSpans: cmp.Or(o.openSpans, copySpansBytes), planned: o.planned, copies: o,
	}
}

// databaseBytes is what the store in a state directory takes: the database, and its log where there is one.
func databaseBytes(stateDir string) (n int64) {
	path := filepath.Join(stateDir, stages.StoreFile)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the engine keeps the log beside the file itself
	}
	for _, end := range []string{"", "-wal"} {
		if info, err := os.Stat(path + end); err == nil {
			n += info.Size()
		}
	}
	return n
}
