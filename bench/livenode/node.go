package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"swingport/stages"
)

// What a block changes, about: rows of kvStore, of which most are there already, and items of some vats.
const (
	blockKV    = 200
	blockItems = 40
	itemBytes  = 1200
)

// node writes to a store as a node does: a transaction a block, in WAL mode, synchronous.
type node struct {
	db       *stages.DB
	kv, item *stages.Stmt
	block    int
	text     string
}

func openNode(dir string) (*node, error) {
	db, err := stages.OpenDB(filepath.Join(dir, stages.StoreFile), stages.ReadWrite, nil)
	if err != nil {
		return nil, err
	}
	n := &node{db: db, text: strings.Repeat(`{"d":["notify"],"sc":[]}`, itemBytes/24)}
	err = errors.Join(db.Exec("PRAGMA journal_mode=WAL"), db.Exec("PRAGMA synchronous=FULL"))
	if err == nil {
		n.kv, err = db.Prepare("INSERT INTO kvStore (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value=excluded.value")
	}
	if err == nil {
		n.item, err = db.Prepare("INSERT INTO transcriptItems (vatID, position, item, incarnation) VALUES (?1, ?2, ?3, 0)")
	}
	if err != nil {
		return nil, errors.Join(err, n.close())
	}
	return n, nil
}

func (n *node) close() error {
	for _, s := range []*stages.Stmt{n.kv, n.item} {
		if s != nil {
			s.Finalize()
		}
	}
	return n.db.Close()
}

// commit makes a block. The items are of vats that no span has, so that exports leave them alone.
func (n *node) commit() error {
	if err := n.db.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for i := range blockKV {
		key := fmt.Sprintf("v%d.c.ko%d", i%40, (n.block*blockKV/10+i)*7919%100_000)
		if err := step(n.kv, []byte(key), []byte(fmt.Sprintf("R o-%d", n.block))); err != nil {
			return err
		}
	}
	for i := range blockItems {
		if err := n.item.Bind(fmt.Sprintf("node%d", i%10), int64(n.block*blockItems+i), n.text); err != nil {
			return err
		}
		if err := n.item.Run(); err != nil {
			return err
		}
	}
	n.block++
	return n.db.Exec("COMMIT")
}

func step(s *stages.Stmt, key, value []byte) error {
	if err := s.Bind(string(key), string(value)); err != nil {
		return err
	}
	return s.Run()
}

// commits commits once an interval until ctx ends, and returns how long each took. A block that comes late is not made up for.
func (n *node) commits(ctx context.Context, interval time.Duration) (took []time.Duration, err error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return took, nil
		case <-tick.C:
		}
		start := time.Now()
		if err := n.commit(); err != nil {
			return took, err
		}
		took = append(took, time.Since(start))
	}
}
