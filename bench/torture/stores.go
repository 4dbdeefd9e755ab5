package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"swingport/bench/measure"
	"swingport/stages"
)

// A condition is how a store lies there.
type condition string

const (
	none    condition = "none"    // there is no store, and no directory for it
	idle    condition = "idle"    // in WAL mode, cleanly stopped
	full    condition = "full"    // killed: its last commits are in the log alone
	stale   condition = "stale"   // with a log of an earlier generation, of which nothing counts
	foreign condition = "foreign" // with the log of another store
	damaged condition = "damaged" // killed, and then its file was damaged
	live    condition = "live"    // another process has it open and writes to it
)

// stores are the stores that a run of the program makes once, and copies: each killed, with commits in its log, and cleanly stopped.
type stores struct {
	dir   string // of them
	large string // a large store, made when it is asked for
}

// The two small stores: what is exported and copied, and what imports replace.
const (
	newer = "newer"
	older = "older"
)

func makeStores(ctx context.Context, dir string) (*stores, error) {
	s := &stores{dir: dir}
	if _, _, err := measure.Run(ctx, []string{"go", "build", "-o", filepath.Join(dir, "genstore"), "swingport/bench/genstore"}); err != nil {
		return nil, err
	}
	for i, name := range []string{newer, older} {
		killed := filepath.Join(dir, name+"-full")
		if err := s.generate(ctx, killed, "1M", i+1); err != nil {
			return nil, err
		}
		stopped := filepath.Join(dir, name+"-idle")
		if err := os.CopyFS(stopped, os.DirFS(killed)); err != nil {
			return nil, err
		}
		if err := stop(stopped); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *stores) generate(ctx context.Context, dir, size string, seed int) error {
	_, _, err := measure.Run(ctx, []string{filepath.Join(s.dir, "genstore"), "--size", size, "--seed", fmt.Sprint(seed), "--out", dir})
	return err
}

// stop is what a node does that stops: the log goes into the database.
func stop(state string) error {
	n, err := openNode(state)
	if err != nil {
		return err
	}
	return errors.Join(n.db.Exec("SELECT 1 FROM kvStore"), n.close())
}

// put makes a store, newer or older, in a directory that is not there yet. A live one is idle until somebody writes to it.
func (s *stores) put(dir, name string, c condition) error {
	if c == none {
		return nil
	}
	from := name + "-idle"
	if c == full || c == damaged {
		from = name + "-full"
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(s.dir, from))); err != nil {
		return err
	}
	path := filepath.Join(dir, stages.StoreFile)
	switch c {
	case damaged:
		return damage(path, name)
	case stale:
		return s.log(path, name, func(log []byte) { log[17] ^= 1 }) // its salt, of which its checksum is made
	case foreign:
		other := map[string]string{newer: older, older: newer}[name]
		return s.log(path, other, func([]byte) {})
	}
	return nil
}

// log puts the log of a killed store beside a database.
func (s *stores) log(path, of string, change func([]byte)) error {
	data, err := os.ReadFile(filepath.Join(s.dir, of+"-full", stages.StoreFile+"-wal"))
	if err != nil {
		return err
	}
	change(data)
	return os.WriteFile(path+"-wal", data, 0o644)
}

// damage overwrites the header of a store that is to be replaced, and of one to be exported a page in its middle.
func damage(path, name string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	at := int64(0)
	if name == newer {
		size, err := f.Seek(0, io.SeekEnd)
		if err != nil {
			return err
		}
		at = size / 2 &^ 4095
	}
	junk := make([]byte, 4096)
	for i := range junk {
		junk[i] = byte(i*7 + 3)
	}
	_, err = f.WriteAt(junk, at)
	return err
}

// copyDir copies a directory that may be missing.
func copyDir(to, from string) error {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return os.CopyFS(to, os.DirFS(from))
}
