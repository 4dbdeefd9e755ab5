package stages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	lib "modernc.org/sqlite/lib"

	"swingport/format"
)

// ErrNoStore: the state directory, or swingstore.sqlite in it, is missing.
var ErrNoStore = errors.New("no swing-store")

// ErrLogUnreadable: commits of the store are only in its write-ahead log, and its directory cannot be written, which reading them needs.
var ErrLogUnreadable = errors.New("the write-ahead log holds commits and cannot be read without writing beside it")

// ErrNotStore: the file is no SQLite database, or one without the tables and columns of a swing-store.
var ErrNotStore = errors.New("not a swing-store")

// Store is a swing-store opened for reading. One read transaction is open from OpenStore to Close, so that everything read is of one
// commit; it takes no write lock, and the bytes of the database and of its write-ahead log never change.
type Store struct {
	db     *DB
	path   string
	fsys   *FS
	schema *schema
	frozen fs.FileInfo // the file as it was, where it is read as immutable
	max    int         // the largest item, line or bundle, in bytes, see LimitItems
}

// schema is what a Store needs to know of its tables: root pages, by tableItems and so on; 0 where there is none.
type schema struct {
	root     [numTrees]uint32
	tables   map[string]bool
	keyIndex map[string]bool // the indexes that the engine made of primary keys, by name
	odd      string          // why a sweep cannot read the two large tables; "" where it can
}

// OpenStore opens the store in a state directory and begins the read transaction.
//
// A store in WAL mode has to have its -wal and -shm files to be read beside a node. Where a node stopped cleanly they are gone; opening makes
// them, and Close removes what opening made, under a lock that shows that nobody else uses them. In a directory that cannot be written,
// such a store is read as an immutable file, and Unchanged says whether it stayed one. A log without -shm in such a directory, and an
// unfinished transaction in a rollback journal, are refused: reading them would need to write.
func OpenStore(ctx context.Context, stateDir string, fsys *FS) (*Store, error) {
	s := &Store{path: filepath.Join(stateDir, StoreFile), fsys: fsys, max: storeItemOf(0)}
	if err := s.find(stateDir); err != nil {
		return nil, err
	}
	err := s.open(ctx)
	for range 10 { // an import had locked the store, and has put another one in its place
		if err != nil || !s.db.moved() {
			break
		}
		s.Close()
		err = s.open(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		return nil, errors.Join(s.notStore(err), s.Close())
	}
	if ctx.Err() != nil {
		return nil, errors.Join(context.Cause(ctx), s.Close())
	}
	return s, nil
}

// find says what is missing, in the order in which a person would look for it.
func (s *Store) find(stateDir string) error {
	info, err := os.Stat(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no directory %s", ErrNoStore, stateDir)
	} else if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: state-dir must be an existing directory, %s is none", ErrNoStore, stateDir)
	}
	info, err = os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: there is no %s", ErrNoStore, s.path)
	} else if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is no regular file", ErrNotStore, s.path)
	}
	if info.Size() == 0 { // beside which the engine would remove a log
		return fmt.Errorf("%w: %s is empty", ErrNotStore, s.path)
	}
	// The engine keeps its log beside the file itself, not beside a link to it.
	if info, err = os.Lstat(s.path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		s.path, err = filepath.EvalSymlinks(s.path)
	}
	return err
}

// openTimeout is how long to wait for a writer to let go of the store; openSlice how long the engine does by itself, which nothing ends.
const (
	openTimeout = 10 * time.Second
	openSlice   = 100 // milliseconds
)

func (s *Store) open(ctx context.Context) error {
	const pin = "SELECT 1 FROM sqlite_schema" // any read does
	var before []string
	for _, end := range []string{"-wal", "-shm"} {
		if _, err := os.Lstat(s.path + end); errors.Is(err, fs.ErrNotExist) {
			before = append(before, s.path+end)
		}
	}
	if info, err := os.Stat(s.path + "-journal"); err == nil && info.Size() > 0 {
		if err := s.hotJournal(); err != nil {
			return err
		}
	}
	db, err := OpenDB(s.path, ReadOnly, s.fsys)
	if err == nil {
		db.BusyTimeout(openSlice)
		err = db.Exec("BEGIN")
		for end := time.Now().Add(openTimeout); err == nil; {
			err = db.Query(pin, func(*Stmt) error { return nil })
			if !Busy(err) || time.Now().After(end) || db.cannotLock() != nil {
				break
			}
			err = context.Cause(ctx)
		}
		if err == nil {
			db.pinLog()
			err = db.Query(pin, func(*Stmt) error { return nil })
		}
	}
	s.db = db
	for _, path := range before {
		if _, err := os.Lstat(path); err == nil {
			madeBeside.Store(path, true)
		}
	}
	if err == nil {
		return nil
	}
	err = errors.Join(s.notStore(err), s.Close())
	if hasCode(err, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY) && unix.Access(filepath.Dir(s.path), unix.W_OK) != nil {
		return s.openFrozen(err)
	}
	return err
}

// hotJournal refuses a store whose last transaction was cut off: rolling it back would write the database.
func (s *Store) hotJournal() error {
	head := make([]byte, 8)
	f, err := os.Open(s.path + "-journal")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its writer lives, and has committed meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Read(head); err != nil || string(head) != "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" {
		return nil // not begun, or ended: the engine ignores it
	}
	db, err := OpenDB(s.path, ReadOnly, s.fsys)
	if err != nil {
		return err
	}
	defer db.Close()
	err = db.Query("SELECT 1 FROM sqlite_schema", nil)
	if err == nil || Busy(err) {
		return nil // its writer lives
	}
	return fmt.Errorf("%s-journal holds a transaction that was cut off, and reading would have to roll it back: %w", s.path, err)
}

// openFrozen reads a store as a file that nobody changes, see Unchanged.
func (s *Store) openFrozen(cause error) error {
	if info, err := os.Stat(s.path + "-wal"); err == nil && info.Size() > 0 {
		return &logError{s.path, cause}
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	db, err := OpenDB(s.path, Immutable, s.fsys)
	if err != nil {
		return s.notStore(err)
	}
	s.db, s.frozen = db, info
	if err := db.Exec("BEGIN"); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// logError is ErrLogUnreadable of one store.
type logError struct {
	path  string
	cause error
}

func (e *logError) Error() string {
	return fmt.Sprintf("%s-wal holds commits, and reading them needs to write %s-shm: %v", e.path, e.path, e.cause)
}

func (e *logError) Unwrap() []error { return []error{ErrLogUnreadable, e.cause} }

// notStore tells files that are no databases, and such that a writer has locked, from other failures.
func (s *Store) notStore(err error) error {
	switch {
	case hasCode(err, lib.SQLITE_NOTADB):
		return fmt.Errorf("%w: %w", ErrNotStore, err)
	case Busy(err):
		return s.db.inUse(err)
	}
	return err
}

// LimitItems sets the largest item, line of the export data or bundle that is read of the store, in bytes; 0 means DefaultStoreItem. What is larger is
// an ErrLimit, since all of it would have to be in memory.
func (s *Store) LimitItems(max int64) { s.max = storeItemOf(max) }

// begin reads the schema, which pins the commit.
func (s *Store) begin() error {
	sc, err := readSchema(s.db)
	if err != nil {
		return err
	}
	s.schema = sc
	if !sc.tables["kvStore"] {
		return fmt.Errorf("%w: %s has no table kvStore", ErrNotStore, s.path)
	}
	return s.db.readInBlocks()
}

func readSchema(db *DB) (*schema, error) {
	if err := db.readEncoding(); err != nil {
		return nil, err
	}
	sc := &schema{tables: map[string]bool{}, keyIndex: map[string]bool{}}
	trees := map[string]int{"transcriptItems": tableItems, "kvStore": tableKV}
	err := db.Query("SELECT type, name, tbl_name, rootpage FROM sqlite_schema", func(q *Stmt) error {
		kind, name, table := q.Text(0), q.Text(1), q.Text(2)
		tree, large := trees[table]
		if kind == "index" && name == "sqlite_autoindex_"+table+"_1" {
			sc.keyIndex[name] = true
		}
		switch {
		case kind == "table":
			sc.tables[name] = true
			if large {
				sc.root[tree] = uint32(q.Int(3))
			}
		case large && sc.keyIndex[name]:
			sc.root[tree+indexItems] = uint32(q.Int(3))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	sc.odd, err = sweepable(db)
	return sc, err
}

// readEncoding notes whether texts have to be converted when they are read.
func (d *DB) readEncoding() error {
	return d.Query("PRAGMA encoding", func(q *Stmt) error {
		d.utf16 = string(q.Bytes(0)) != "UTF-8" // the answer itself comes in the encoding
		return nil
	})
}

// sweepable says why the pages of the large tables cannot be read as the reference writes them: "" where they can.
func sweepable(db *DB) (odd string, err error) {
	for _, t := range []struct{ name, columns string }{
		{"transcriptItems", "vatID TEXT 1,position INTEGER 2,item TEXT 0,incarnation INTEGER 0"},
		{"kvStore", "key TEXT 1,value TEXT 0"},
	} {
		var cols []string
		err := db.Query("SELECT name, type, pk, hidden, dflt_value IS NOT NULL FROM pragma_table_xinfo(?1)", func(q *Stmt) error {
			col := fmt.Sprintf("%s %s %d", q.Text(0), strings.ToUpper(q.Text(1)), q.Int(2))
			if q.Int(3) != 0 || q.Int(4) != 0 {
				col += " generated or with a default"
			}
			cols = append(cols, col)
			return nil
		}, t.name)
		if err != nil {
			return "", err
		}
		if got := strings.Join(cols, ","); got != t.columns && len(cols) > 0 {
			odd = fmt.Sprintf("table %s has the columns (%s)", t.name, got)
		}
	}
	err = db.Query("SELECT encoding FROM pragma_encoding UNION ALL SELECT 'WITHOUT ROWID ' || name FROM pragma_table_list WHERE wr AND name IN ('kvStore','transcriptItems')",
		func(q *Stmt) error {
			if e := q.Text(0); e != "UTF-8" {
				odd = e
			}
			return nil
		})
	return odd, err
}

// Unchanged is an error if the store is read as a file that nobody changes, and somebody did. To be asked before what was read is believed.
func (s *Store) Unchanged() error {
	if s.frozen == nil {
		return nil
	}
	now, err := os.Stat(s.path)
	if err != nil {
		return err
	}
	if now.Size() != s.frozen.Size() || !now.ModTime().Equal(s.frozen.ModTime()) || !os.SameFile(now, s.frozen) {
		return fmt.Errorf("%s changed while it was read", s.path)
	}
	if wal, err := os.Stat(s.path + "-wal"); err == nil && wal.Size() > 0 {
		return fmt.Errorf("%s-wal appeared while the store was read", s.path)
	}
	return nil
}

// Close ends the transaction and leaves the directory as it was.
func (s *Store) Close() error {
	if s.db == nil {
		return nil
	}
	err := s.db.Close()
	s.db = nil
	s.tidy()
	return err
}

// madeBeside has the paths of the -wal and -shm files that stores of this process made by being opened.
var madeBeside sync.Map

// tidy removes the -wal and -shm that opening made, if nobody else has the store open by now: the exclusive lock shows that. Where somebody
// has, or they cannot be removed, they stay: to any reader they mean the same as none. The last of several stores of this process removes
// what the first one made.
func (s *Store) tidy() {
	var made []string
	for _, path := range []string{s.path + "-wal", s.path + "-shm"} {
		if _, ok := madeBeside.Load(path); ok {
			made = append(made, path)
		}
	}
	if made == nil {
		return
	}
	db, err := OpenDB(s.path, ReadWrite, s.fsys)
	if err != nil {
		return
	}
	defer db.Close()
	unlock, ok := db.lockAlone()
	if !ok {
		return
	}
	defer unlock()
	for _, path := range made {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 && path == s.path+"-wal" {
			continue // a node wrote to it meanwhile
		}
		if err := s.fsys.Remove(path); err == nil || errors.Is(err, fs.ErrNotExist) {
			madeBeside.Delete(path)
		}
	}
}

// Odd says why a sweep cannot read the store; "" where it can.
func (s *Store) Odd() string { return s.schema.odd }

// Size is the length of the database file in bytes.
func (s *Store) Size() int64 {
	info, err := os.Stat(s.path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// LogSize is the length of the write-ahead log in bytes, 0 where there is none.
func (s *Store) LogSize() int64 {
	info, err := os.Stat(s.path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

// Get returns a value of kvStore; ok is false where the key is missing or its value NULL. A missing key is looked for in the index alone.
func (s *Store) Get(key string) (value []byte, ok bool, err error) {
	if !s.schema.keyIndex["sqlite_autoindex_kvStore_1"] {
		err = s.db.Query("SELECT value FROM kvStore WHERE key=?1", func(q *Stmt) error { value, ok = valueOf(q, 0); return nil }, key)
		return value, ok, err
	}
	rowid := int64(-1)
	err = s.db.Query("SELECT rowid FROM kvStore WHERE key=?1", func(q *Stmt) error { rowid = q.Int(0); return nil }, key)
	if err != nil || rowid < 0 {
		return nil, false, err
	}
	// In one query the engine would take the key from the index and believe that the row is that key's.
	there := false
	err = s.db.Query("SELECT key, value FROM kvStore WHERE rowid=?1", func(q *Stmt) error {
		there = q.Text(0) == key
		value, ok = valueOf(q, 1)
		return nil
	}, rowid)
	if err == nil && !there {
		err = s.keyDamaged(key)
	}
	if err != nil {
		return nil, false, err
	}
	return value, ok, nil
}

func valueOf(q *Stmt, i int) (value []byte, ok bool) {
	v := q.Value(i)
	return format.AppendTemplate(nil, v), v.Type != format.Null
}

func (s *Store) keyDamaged(key string) error {
	return &IndexError{s.path, "kvStore", errorf(ErrDamaged, "kvStore and its index differ about the key %s", quoted(key))}
}

// Height is the committed block height: JavaScript's Number(host.height) || 0.
func (s *Store) Height() (float64, error) {
	v, ok, err := s.Get("host.height")
	if err == nil && !ok { // every store that ever committed has one
		err = s.db.Query("SELECT 1 FROM kvStore NOT INDEXED WHERE key='host.height' AND value IS NOT NULL", func(*Stmt) error {
			return s.keyDamaged("host.height")
		})
	}
	if err != nil {
		return 0, err
	}
	if h := format.ParseNumber(string(v)); h == h {
		return h, nil
	}
	return 0, nil
}

// Value is column i with its type; bytes are borrowed until the next Step.
func (s *Stmt) Value(i int) format.Value {
	switch s.Type(i) {
	case lib.SQLITE_INTEGER:
		return format.IntValue(s.Int(i))
	case lib.SQLITE_FLOAT:
		return format.Value{Type: format.Real, Real: s.Real(i)}
	case lib.SQLITE_TEXT:
		return format.TextValue(s.Bytes(i))
	case lib.SQLITE_BLOB:
		return format.Value{Type: format.Blob, Bytes: s.Bytes(i)}
	}
	return format.Value{}
}
