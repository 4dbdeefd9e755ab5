package pipeline

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"syscall"
	"time"

	"swingport/format"
	"swingport/stages"
)

// How the two large tables, transcriptItems and kvStore, are read; the values
// of [ExportOptions.Reader].
const (
	ReaderSweep  = "sweep"  // one pass over the pages of the file
	ReaderEngine = "engine" // SQL in rowid order
)

// How an import fills the two large tables of a new store; the values of
// [ImportOptions.Writer].
const (
	WriterInserts = "inserts" // SQL
	WriterPages   = "pages"   // the pages of the tables and their indexes, one after the other
)

// AutoMode is an artifact mode of exports, not of a manifest: the most complete
// of archival, replay and operational that the store can satisfy.
const AutoMode format.ArtifactMode = "auto"

// ExportOptions says what to export, and where to: a directory, or with Archive
// one file. The zero value of every field but StateDir and ExportDir or Archive
// is a default.
type ExportOptions struct {
	StateDir  string // the directory that holds swingstore.sqlite
	ExportDir string // the directory to export to; made if it is missing

	Archive string    // the file to export to, instead of a directory; "-" is Stdout
	Stdout  io.Writer // what Archive "-" is written to
	Format  string    // of the archive: "tar" or "tar.zst"; "" goes by the name's end, and is "tar.zst" for "-"
	Level   string    // of a tar.zst: "fastest", "default", "better" or "best"; "" means default
	ModTime int64     // of an archive's entries, in seconds of Unix time

	Snapshots format.SnapshotForm // "" means raw, the only form that the reference takes

	ArtifactMode   format.ArtifactMode   // or AutoMode; "" means operational, and AutoMode for an archive
	ExportDataMode format.ExportDataMode // "" means skip, and all for an archive

	// CheckBlockHeight is the height that the store must have committed. Nil
	// and zero check nothing, as in the reference.
	CheckBlockHeight *float64

	// Resume keeps, in a folder of ExportDir, the artifacts that are whole when the export ends early, whatever ended it, and takes over what an
	// export before it left in such a folder: an artifact whose file is byte by byte what the store has now. The result is that of an export
	// without an end in between.
	Resume bool

	HashGenesis bool // tell the genesis hash of the export data, see format.GenesisHash

	MaxItem int64 // the largest item, line or bundle, in bytes; 0 means 48 MiB

	NoVerify  bool   // report what is wrong in Summary.Defects instead of failing
	Checksums bool   // add a SHA256SUMS
	Reader    string // ReaderSweep or ReaderEngine; "" means ReaderSweep
	Workers   int    // goroutines of each parallel stage, 16 at most; 0 means GOMAXPROCS
	TempDir   string // where stages spill; "" means the export directory, or the one that gets the archive

	Live // beside a node

	Status *Status      // counters for whoever polls; may be nil
	Log    *slog.Logger // what happens, in detail; nil means silent

	// NoSpaceCheck starts the export although the disk has too little room for it, by what is known of its size.
	NoSpaceCheck bool

	planned *Plan        // what preflight is to fill in; nil for no preflight
	copies  *CopyOptions // the copy that this is a half of

	onDefect func(error) error // for who looks for all that is wrong, see stages.Check; instead of NoVerify
	fs       *stages.FS        // for tests of faults
	noteLeft func(string)      // is told of what killed runs left, when it is removed

	openSpans int64 // for tests: instead of openSpansBytes
}

// ImportOptions says what to import, and where to. The zero value of every
// field but StateDir and ExportDir or Archive is a default.
type ImportOptions struct {
	StateDir  string // the directory that gets swingstore.sqlite; made if it is missing
	ExportDir string // the directory that holds export-manifest.json

	Archive   string    // the tar, tar.zst or tar.gz to import, instead of a directory; "-" is Stdin
	Stdin     io.Reader // what Archive "-" is read from
	MaxItem   int64     // the largest item, line or bundle, in bytes; 0 means 32 MiB
	MaxWindow int64     // the largest window of a zstd stream, in bytes; 0 means 32 MiB

	ArtifactMode   format.ArtifactMode   // "" means the manifest's, or operational
	ExportDataMode format.ExportDataMode // "" means all

	// CheckBlockHeight is the height that the manifest must state. Nil checks
	// nothing; zero is checked, unlike on export, as in the reference.
	CheckBlockHeight *float64

	Trust // which export data it must be

	NoCheck bool   // leave out PRAGMA quick_check of the new store
	KeepOld bool   // keep the old database under a name that says its height
	Writer  string // WriterInserts or WriterPages; "" means WriterInserts
	Workers int    // goroutines of each parallel stage, 16 at most; 0 means GOMAXPROCS
	TempDir string // where stages spill; "" means the state directory

	NoSpaceCheck bool              // as for an export
	Warn         func(text string) // is told at once what may go wrong; may be nil

	Status *Status      // counters for whoever polls; may be nil
	Log    *slog.Logger // what happens, in detail; nil means silent
}

// Summary says what an export or an import did. Its JSON form is what the
// command line prints for --json.
type Summary struct {
	BlockHeight  float64 `json:"blockHeight"`
	ArtifactMode string  `json:"artifactMode"`

	Artifacts int `json:"artifacts"` // Snapshots + Spans + Bundles
	Snapshots int `json:"snapshots"`
	Spans     int `json:"spans"`
	Bundles   int `json:"bundles"`

	Items  int64 `json:"items"`  // transcript items in the spans
	KVRows int64 `json:"kvRows"` // kvStore rows in the export data
	Bytes  int64 `json:"bytes"`  // export data and artifacts, uncompressed

	Kept       int    `json:"kept,omitempty"`       // of the artifacts, by Resume from an unfinished export
	Unfinished string `json:"unfinished,omitempty"` // the folder in which Resume left an export that failed

	ArchiveBytes int64 `json:"archiveBytes,omitempty"` // of the archive as it was written

	Seconds          float64 `json:"seconds"`          // wall-clock time
	MBPerSecond      float64 `json:"mbPerSecond"`      // Bytes by Seconds, in 10^6 bytes
	ExportDataSHA256 string  `json:"exportDataSHA256"` // hex; "" without export data

	GenesisHash string `json:"genesisHash,omitempty"` // of the export data, where it was asked for

	LogGrowth

	Warnings []string `json:"warnings"` // worked, but somebody should know
	Defects  []string `json:"defects"`  // what NoVerify let through

	KeptOld    string `json:"keptOld,omitempty"`    // file that holds the old store, by KeepOld
	MovedAside string `json:"movedAside,omitempty"` // file that holds the old store, since it was damaged
}

// took sets the time since began, and the speed.
func (s *Summary) took(began time.Time) {
	s.Seconds = time.Since(began).Seconds()
	if s.Seconds > 0 {
		s.MBPerSecond = float64(s.Bytes) / 1e6 / s.Seconds
	}
}

// checkTempDir refuses a directory for temporary files that is none, before hours of work end at the first file that is spilled.
func checkTempDir(dir string) error {
	if dir == "" {
		return nil
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return fmt.Errorf("directory for temporary files: %w", err)
	}
	return nil
}

// HeapLimit is what [runtime/debug.SetMemoryLimit] gets for a process that promises 300 MiB, in bytes: an allocation of the largest item can pass it
// while the garbage of others is being collected, and the engine's memory comes on top.
const HeapLimit = 208 << 20

// MaxWorkers bounds what the workers' buffers take; a single reader or writer is the limit long before.
const MaxWorkers = 16

// workers is how many goroutines a parallel stage gets where n were asked for.
func workers(n int) int {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return min(n, MaxWorkers)
}
