package pipeline

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"swingport/testdata"
)

// chain is what a node commits: commit n is a function of n and of the commits before it, so that the store of any height can be made again,
// to compare with what was read while it was written.
type chain struct {
	db     *sql.DB // nil: only the chain's own state moves on
	err    error   // the first one of a commit
	height int
	prunes bool // items of spans that have ended are deleted
	vats   []*chainVat
	began  int // vats ever
}

type chainVat struct {
	id                 string
	incarnation, start int
	items              []string // of the current span
}

const chainVats = 6

func (c *chain) exec(statement string, args ...any) {
	if c.err == nil && c.db != nil {
		_, c.err = c.db.Exec(statement, args...)
	}
}

// next makes the next commit, within a transaction of whoever calls.
func (c *chain) next() error {
	c.height++
	r := rand.New(rand.NewPCG(uint64(c.height), 5))
	c.exec("INSERT OR REPLACE INTO kvStore VALUES ('host.height',?)", fmt.Sprint(c.height))
	c.writeKV(r)
	for len(c.vats) < chainVats {
		c.vats = append(c.vats, c.newVat())
	}
	for range 1 + r.IntN(3) {
		c.deliver(c.vats[r.IntN(chainVats)], r)
	}
	if i := r.IntN(chainVats); c.height%37 == 0 {
		c.upgrade(c.vats[i])
	} else if c.height%90 == 45 {
		c.terminate(c.vats[i].id)
		c.vats[i] = c.newVat()
	}
	if c.height%11 == 0 {
		c.exec("INSERT INTO bundles VALUES (?,?)", c.bundle(c.height), c.bundleText(c.height))
	}
	if c.height%33 == 0 {
		c.exec("DELETE FROM bundles WHERE bundleID=?", c.bundle(c.height-22))
	}
	err := c.err
	c.err = nil
	return err
}

// writeKV makes rows that are new, longer, shorter and gone, at times many.
func (c *chain) writeKV(r *rand.Rand) {
	for range 3 + r.IntN(6) {
		size := r.IntN(60)
		if r.IntN(20) == 0 {
			size = r.IntN(9000)
		}
		c.exec("INSERT OR REPLACE INTO kvStore VALUES (?,?)", fmt.Sprint("v", r.IntN(6), ".k", r.IntN(60)), fmt.Sprint(c.height, " ", strings.Repeat("x", size)))
	}
	c.exec("DELETE FROM kvStore WHERE key=?", fmt.Sprint("v", r.IntN(6), ".k", r.IntN(60)))
	switch c.height % 40 {
	case 10:
		c.exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300) INSERT INTO kvStore SELECT 'burst.'||i, ?||hex(zeroblob(i)) FROM n", fmt.Sprint(c.height))
	case 30:
		c.exec("DELETE FROM kvStore WHERE key LIKE 'burst.%'")
	}
}

func (c *chain) newVat() *chainVat {
	c.began++
	v := &chainVat{id: fmt.Sprint("v", c.began)}
	c.beginSpan(v)
	return v
}

func (c *chain) beginSpan(v *chainVat) {
	v.start, v.items = v.start+len(v.items), nil
	c.exec("UPDATE transcriptSpans SET isCurrent=NULL WHERE vatID=? AND isCurrent=1", v.id)
	if c.prunes {
		c.exec("DELETE FROM transcriptItems WHERE vatID=?", v.id)
	}
	c.exec("INSERT INTO transcriptSpans VALUES (?,?,?,?,1,?)", v.id, v.start, v.start, testdata.SpanHash(), v.incarnation)
}

// deliver adds an item. A span that is long enough ends with a snapshot of the heap.
func (c *chain) deliver(v *chainVat, r *rand.Rand) {
	if len(v.items) == 10 {
		c.beginSpan(v)
		c.exec("UPDATE snapshots SET inUse=NULL, compressedSnapshot=NULL WHERE vatID=? AND inUse=1", v.id)
		heap := []byte(strings.Repeat(fmt.Sprintln("heap", c.height, "of", v.id), 200+r.IntN(2000)))
		c.exec("INSERT INTO snapshots VALUES (?,?,1,?,?,?,?)", v.id, v.start, hexSum(string(heap)), len(heap), len(testdata.Gzip(heap)), testdata.Gzip(heap))
	}
	item := fmt.Sprint("item ", c.height, strings.Repeat("y", r.IntN(1+r.IntN(3000)))) // no white space at its end, which imports do not keep
	v.items = append(v.items, item)
	end := v.start + len(v.items)
	c.exec("INSERT INTO transcriptItems VALUES (?,?,?,?)", v.id, end-1, item, v.incarnation)
	c.exec("UPDATE transcriptSpans SET endPos=?, hash=? WHERE vatID=? AND startPos=?", end, testdata.SpanHash(v.items...), v.id, v.start)
}

func (c *chain) upgrade(v *chainVat) {
	v.incarnation++
	c.exec("UPDATE snapshots SET inUse=NULL, compressedSnapshot=NULL WHERE vatID=? AND inUse=1", v.id)
	if len(v.items) > 0 {
		c.beginSpan(v)
	} else {
		c.exec("UPDATE transcriptSpans SET incarnation=? WHERE vatID=? AND startPos=?", v.incarnation, v.id, v.start)
	}
}

func (c *chain) terminate(vatID string) {
	for _, table := range []string{"snapshots", "transcriptItems", "transcriptSpans"} {
		c.exec("DELETE FROM "+table+" WHERE vatID=?", vatID)
	}
}

func (c *chain) bundleText(height int) string {
	return fmt.Sprintf(`{"moduleFormat":"nestedEvaluate","source":"of %d %s","sourceMap":""}`, height, strings.Repeat("z", height*10))
}

func (c *chain) bundle(height int) string { return "b0-" + hexSum(c.bundleText(height)) }

// reach makes all commits up to a height, in one transaction.
func (c *chain) reach(height int) error {
	c.exec("BEGIN")
	for c.height < height {
		if err := c.next(); err != nil {
			return err
		}
	}
	c.exec("COMMIT")
	return c.err
}

// chainNode is how a node keeps its store.
type chainNode struct {
	build    []string             // pragmas of a new store
	open     []string             // pragmas of each connection
	tend     func(n int) []string // what is done after commit n, whether it works or not
	restarts int                  // commits until the node is started anew
	prunes   bool
	filler   int // bytes of a table that nobody reads
}

func every(n int, statements ...string) func(int) []string {
	return func(height int) []string {
		if height%n != 0 {
			return nil
		}
		return statements[height/n%len(statements):][:1]
	}
}

var checkpoints = []string{"PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(FULL)", "PRAGMA wal_checkpoint(RESTART)", "PRAGMA wal_checkpoint(TRUNCATE)"}

var chainNodes = map[string]chainNode{
	"checkpoints of every kind": {build: []string{"page_size=1024", "journal_mode=WAL"}, open: []string{"wal_autocheckpoint=0"}, tend: every(7, checkpoints...), filler: 10 << 20},
	"small log":                 {build: []string{"page_size=4096", "journal_mode=WAL"}, open: []string{"wal_autocheckpoint=10", "journal_size_limit=20000"}},
	"vacuum": {build: []string{"page_size=1024", "auto_vacuum=INCREMENTAL", "journal_mode=WAL"}, open: []string{"wal_autocheckpoint=50"}, prunes: true,
		tend: every(5, "PRAGMA incremental_vacuum(20)", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA incremental_vacuum")},
	"autovacuum": {build: []string{"page_size=512", "auto_vacuum=FULL", "journal_mode=WAL"}, open: []string{"wal_autocheckpoint=30"}, prunes: true, tend: every(9, checkpoints...)},
	"restarts":   {build: []string{"page_size=4096", "journal_mode=WAL"}, open: []string{"wal_autocheckpoint=200"}, restarts: 6},
	"journal":    {build: []string{"page_size=1024"}, tend: every(25, "VACUUM")},
}

// chainStore is a store of height 0 in a new state directory.
func chainStore(t *testing.T, kind chainNode) string {
	t.Helper()
	b := testdata.Build(t, kind.build...)
	if kind.filler > 0 {
		b.Exec("CREATE TABLE filler (x)")
		b.Exec("INSERT INTO filler VALUES (zeroblob(?))", kind.filler)
	}
	b.KV("host.height", "0")
	b.KV("local.key", "of the node")
	b.Close()
	return b.Dir
}

// TestNode is the process of a node: it commits as fast as it can from "run" to "stop", makes N commits for "commit N", closes and opens its store
// for "restart", and takes other lines for statements, until its input ends. Its answers begin with the height.
func TestNode(t *testing.T) {
	dir, name, ok := strings.Cut(os.Getenv("TestNode"), "\n")
	if !ok {
		return
	}
	n := &node{t: t, dir: dir, kind: chainNodes[name]}
	n.start()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			lines <- in.Text()
		}
	}()
	fmt.Println(n.height, "ready")
	for running := false; ; {
		var line string
		select {
		case line, ok = <-lines:
			if !ok {
				n.db.Close()
				return
			}
		default:
			if running {
				n.commit()
				continue
			}
			if line, ok = <-lines; !ok {
				n.db.Close()
				return
			}
		}
		running = line == "run"
		fmt.Println(n.height, n.do(line))
	}
}

// node is the state of TestNode.
type node struct {
	chain
	t    *testing.T
	dir  string
	kind chainNode
}

// start opens the store as it is.
func (n *node) start() {
	b := testdata.Open(n.t, n.dir)
	b.Exec("PRAGMA busy_timeout=30000")
	for _, pragma := range n.kind.open {
		b.Exec("PRAGMA " + pragma)
	}
	height := int(b.Int("SELECT CAST(value AS INTEGER) FROM kvStore WHERE key='host.height'"))
	n.chain = chain{prunes: n.kind.prunes}
	for n.height < height {
		n.next()
	}
	n.db = b.DB
}

func (n *node) commit() {
	n.exec("BEGIN IMMEDIATE")
	if err := errors.Join(n.next(), n.finish()); err != nil {
		n.t.Fatalf("commit %d: %v", n.height, err)
	}
	if n.kind.tend != nil {
		for _, statement := range n.kind.tend(n.height) {
			n.briefly(statement)
		}
	}
	if n.kind.restarts > 0 && n.height%n.kind.restarts == 0 {
		n.db.Close()
		n.start()
	}
}

// briefly runs a statement that need not wait long for a reader, as a checkpoint.
func (n *node) briefly(statement string) error {
	n.db.Exec("PRAGMA busy_timeout=5")
	defer n.db.Exec("PRAGMA busy_timeout=30000")
	_, err := n.db.Exec(statement)
	return err
}

func (n *node) finish() error {
	n.exec("COMMIT")
	return n.err
}

func (n *node) do(line string) any {
	if count, ok := strings.CutPrefix(line, "commit "); ok {
		for i, _ := strconv.Atoi(count); i > 0; i-- {
			n.commit()
		}
		return "committed"
	}
	switch line {
	case "run", "stop":
		return line
	case "restart":
		n.db.Close()
		n.start()
		return line
	}
	if err := n.briefly(line); err != nil && !strings.Contains(err.Error(), "SQLITE_BUSY") {
		return fmt.Sprint("error: ", err)
	}
	return "done"
}

// otherNode is a node in another process.
type otherNode struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startNode starts a node on a store.
func startNode(t *testing.T, dir, kind string) *otherNode {
	t.Helper()
	n := &otherNode{t: t, cmd: child(t, "TestNode", dir+"\n"+kind)}
	in, err1 := n.cmd.StdinPipe()
	out, err2 := n.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, n.cmd.Start()); err != nil {
		t.Fatal(err)
	}
	n.in, n.out = in, bufio.NewReader(out)
	t.Cleanup(n.kill)
	if _, said := n.answer(); said != "ready" {
		t.Fatalf("the node says %q", said)
	}
	return n
}

func (n *otherNode) answer() (height int, said string) {
	line, _ := n.out.ReadString('\n') // what is no answer is told below
	number, said, _ := strings.Cut(strings.TrimSpace(line), " ")
	height, err := strconv.Atoi(number)
	if err != nil {
		n.t.Errorf("the node says %q", line)
	}
	return height, said
}

// ask has the node do something, and waits until it is done.
func (n *otherNode) ask(line string) (height int, said string) {
	fmt.Fprintln(n.in, line)
	return n.answer()
}

// kill ends the node wherever it is.
func (n *otherNode) kill() {
	n.cmd.Process.Kill()
	n.in.Close()
	n.cmd.Wait()
}
