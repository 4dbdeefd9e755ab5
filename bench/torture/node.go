package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"swingport/format"
	"swingport/stages"
)

// node is a process that has a store open and writes to it, as the chain's does.
type node struct {
	db     *stages.DB
	vats   []*nodeVat
	height int64
	rng    *rand.Rand
}

// nodeVat is a vat with its current span.
type nodeVat struct {
	id                      string
	start, end, incarnation int64
	hash                    string
}

func openNode(dir string) (*node, error) {
	db, err := stages.OpenDB(filepath.Join(dir, stages.StoreFile), stages.ReadWrite, nil)
	if err != nil {
		return nil, err
	}
	db.BusyTimeout(10_000)
	n := &node{db: db, rng: rand.New(rand.NewPCG(1, 2))}
	if err := errors.Join(db.Exec("PRAGMA journal_mode=WAL"), db.Exec("PRAGMA synchronous=FULL"), n.read()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return n, nil
}

// read reads where the vats are.
func (n *node) read() error {
	err := n.db.Query("SELECT vatID, startPos, endPos, incarnation, hash FROM transcriptSpans WHERE isCurrent = 1", func(q *stages.Stmt) error {
		n.vats = append(n.vats, &nodeVat{q.Text(0), q.Int(1), q.Int(2), q.Int(3), q.Text(4)})
		return nil
	})
	return errors.Join(err, n.db.Query("SELECT value FROM kvStore WHERE key = 'host.height'", func(q *stages.Stmt) error {
		_, err := fmt.Sscan(q.Text(0), &n.height)
		return err
	}))
}

func (n *node) close() error { return n.db.Close() }

const setKV = "INSERT INTO kvStore (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

// transaction is one commit. Every twentieth time the log is written to the database, as far as readers let it.
func (n *node) transaction(i int, change func() error) error {
	if err := n.db.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	if err := n.db.Exec("COMMIT"); err != nil || i%20 != 19 {
		return err
	}
	mode := []string{"PASSIVE", "PASSIVE", "RESTART", "TRUNCATE"}[i/20%4]
	n.db.BusyTimeout(50) // nobody waits for readers
	defer n.db.BusyTimeout(10_000)
	if err := n.db.Exec("PRAGMA wal_checkpoint(" + mode + ")"); err != nil && !stages.Busy(err) {
		return err
	}
	return nil
}

// local commits keys that no export holds.
func (n *node) local(i int) error {
	return n.transaction(i, func() error {
		for k := range 20 {
			if err := n.db.Exec(setKV, fmt.Sprintf("local.torture.%d", (i*20+k)%1000), fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// commit commits a block: the next height, rows of kvStore, of which some go, and items of three vats.
func (n *node) commit(i int) error {
	return n.transaction(i, func() error {
		n.height++
		err := n.db.Exec(setKV, "host.height", fmt.Sprint(n.height))
		for k := range 30 {
			err = errors.Join(err, n.db.Exec(setKV, fmt.Sprintf("torture.%d", n.rng.IntN(20_000)), strings.Repeat(fmt.Sprint(n.height), 1+k%20)))
		}
		err = errors.Join(err, n.db.Exec("DELETE FROM kvStore WHERE key = ?1", fmt.Sprintf("torture.%d", n.rng.IntN(20_000))))
		for range 3 {
			err = errors.Join(err, n.deliver(n.vats[n.rng.IntN(len(n.vats))]))
		}
		return err
	})
}

// mostItems is how many items a span gets before the next one begins, with a snapshot.
const mostItems = 60

// deliver adds items to a vat's current span.
func (n *node) deliver(v *nodeVat) error {
	for range 1 + n.rng.IntN(2) {
		item := fmt.Sprintf(`{"d":["message","ko%d",{"methargs":{"body":"#[\"%s\"]","slots":[]}}],"sc":[],"r":{"status":"ok"}}`,
			n.height, strings.Repeat("torture ", n.rng.IntN(100)))
		sum := sha256.Sum256([]byte(item))
		next := sha256.Sum256([]byte(v.hash + hex.EncodeToString(sum[:])))
		v.hash = hex.EncodeToString(next[:])
		if err := n.db.Exec("INSERT INTO transcriptItems (vatID, position, item, incarnation) VALUES (?1, ?2, ?3, ?4)", v.id, v.end, item, v.incarnation); err != nil {
			return err
		}
		v.end++
	}
	err := n.db.Exec("UPDATE transcriptSpans SET endPos = ?1, hash = ?2 WHERE vatID = ?3 AND isCurrent = 1", v.end, v.hash, v.id)
	if err == nil && v.end-v.start >= mostItems {
		err = n.rollover(v)
	}
	return err
}

// rollover ends a vat's span with a snapshot, which takes the place of the one before.
func (n *node) rollover(v *nodeVat) error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	heap := make([]byte, 50_000)
	for i := range heap {
		heap[i] = byte(n.rng.IntN(16))
	}
	if _, err := z.Write(heap); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	sum := sha256.Sum256(heap)
	v.start, v.hash = v.end, format.InitialSpanHash
	return errors.Join(
		n.db.Exec("UPDATE snapshots SET inUse = NULL, compressedSnapshot = NULL WHERE vatID = ?1 AND inUse = 1", v.id),
		n.db.Exec("INSERT INTO snapshots (vatID, snapPos, inUse, hash, uncompressedSize, compressedSize, compressedSnapshot) VALUES (?1, ?2, 1, ?3, ?4, ?5, CAST(?6 AS BLOB))",
			v.id, v.end-1, hex.EncodeToString(sum[:]), int64(len(heap)), int64(packed.Len()), packed.Bytes()),
		n.db.Exec("UPDATE transcriptSpans SET isCurrent = NULL WHERE vatID = ?1 AND isCurrent = 1", v.id),
		n.db.Exec("INSERT INTO transcriptSpans (vatID, startPos, endPos, hash, isCurrent, incarnation) VALUES (?1, ?2, ?2, ?3, 1, ?4)",
			v.id, v.start, v.hash, v.incarnation))
}
