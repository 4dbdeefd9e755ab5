// Command genstore makes a swing-store of any size, the same one for the same flags, with the proportions of an archival store of
// the Agoric chain: to measure and to test with, without a node.
//
//	go run ./bench/genstore --size 1G --out DIR [--seed N] [--layout live|contiguous] [--wal=false]
//		[--spans N] [--vats N] [--span-bytes BYTES] [--heap-bytes BYTES] [--item-bytes BYTES]
//
// recipe.go says what is in it. The second line is for stores out of proportion.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the whole program, and returns its exit code: 1 if something failed, 2 if the command line is wrong.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, out, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "genstore: error: %v\n", err)
		return 2
	}
	start := time.Now()
	made, err := generate(ctx, r, out)
	if err != nil {
		fmt.Fprintf(stderr, "genstore: error: %v\n", err)
		return 1
	}
	seconds := time.Since(start).Seconds()
	fmt.Fprintf(stdout, "made %s: %d bytes in %.1f s, %.0f MB/s; %d items in %d spans, %d kv rows, %d snapshots with content, %d bundles\n",
		out, made.Bytes, seconds, float64(made.Bytes)/1e6/seconds, made.Items, made.Spans, made.KVRows, made.Heaps, made.Bundles)
	return 0
}

func parse(args []string, stderr io.Writer) (r recipe, out string, err error) {
	f := flag.NewFlagSet("genstore", flag.ContinueOnError)
	f.SetOutput(stderr)
	r.size = 1e9
	bytes := func(name string, to *int64, usage string) {
		f.Func(name, usage, func(s string) (err error) { *to, err = parseSize(s); return err })
	}
	bytes("size", &r.size, "`BYTES` of the store, about, before what the flags below add, with K, M or G for powers of 1000; at least 1M (default 1G)")
	f.Uint64Var(&r.seed, "seed", 1, "`N`: another store for another number")
	layout := f.String("layout", "live", "`HOW` items lie in the file: live, of all vats by turns, or contiguous, as an import leaves them")
	f.BoolVar(&r.wal, "wal", true, "leave the last commits in a write-ahead log")
	f.Int64Var(&r.spans, "spans", 0, "`N` more spans, of one item each")
	f.IntVar(&r.vats, "vats", 0, "`N` vats that live, at most 100000; 0: as many as the size needs")
	bytes("span-bytes", &r.spanBytes, "`BYTES` of one more span, the largest; default: as the size has it")
	bytes("heap-bytes", &r.heapSize, "`BYTES` of the largest heap, unpacked; default: as the size has it")
	bytes("item-bytes", &r.oneItem, "`BYTES` of one more item, at most 900M")
	f.StringVar(&out, "out", "", "state `DIR` to make; it must not have a store yet; required")
	if err := f.Parse(args); err != nil {
		return r, out, err
	}
	switch {
	case f.NArg() > 0:
		return r, out, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case out == "":
		return r, out, errors.New("--out is missing")
	case *layout != "live" && *layout != "contiguous":
		return r, out, fmt.Errorf("--layout %q: it is live or contiguous", *layout)
	case r.size < 1e6:
		return r, out, fmt.Errorf("--size %d: at least 1M", r.size)
	case r.spans < 0 || r.spans > 1e9:
		return r, out, fmt.Errorf("--spans %d: from 0 to 10^9", r.spans)
	case r.vats < 0 || r.vats > 100_000:
		return r, out, fmt.Errorf("--vats %d: from 0 to 100000", r.vats)
	case r.oneItem > 900e6:
		return r, out, fmt.Errorf("--item-bytes %d: at most 900M, for the engine takes no larger row than 1G", r.oneItem)
	}
	r.contiguous = *layout == "contiguous"
	return r, out, nil
}

func parseSize(s string) (int64, error) {
	unit := int64(1)
	digits := strings.TrimRight(s, "KMG")
	switch strings.TrimPrefix(s, digits) {
	case "":
	case "K":
		unit = 1e3
	case "M":
		unit = 1e6
	case "G":
		unit = 1e9
	default:
		return 0, fmt.Errorf("%q: a number with K, M or G", s)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1 || n > 1<<50/unit {
		return 0, fmt.Errorf("%q: a number with K, M or G", s)
	}
	return n * unit, nil
}
