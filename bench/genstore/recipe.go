package main

import (
	"cmp"
	"math"
	"math/rand/v2"
)

// recipe says what store to make. The proportions are those of an archival store of 10 GB: 3 million items, of 1.2 KB in the median and
// 2.8 KB on average, log-normal, in spans of 202, the first one of an incarnation of 5; vats whose activity is Zipf's; a row of snapshots
// for each span, of which the last one of a vat has content; 7 million rows of kvStore; bundles of half a megabyte.
type recipe struct {
	size       int64 // of the database file, about, in bytes
	seed       uint64
	contiguous bool // vat after vat, and kvStore at the end
	wal        bool

	// What is out of proportion; 0 leaves it as the size has it.
	spans     int64 // more spans, of one item each, and as many rows of snapshots
	vats      int   // live ones
	spanBytes int64 // of the largest span
	heapSize  int64 // of the largest heap, unpacked
	oneItem   int64 // of one item
}

const (
	firstItems  = 5 // in the first span of an incarnation
	itemMedian  = 1200
	itemSigma   = 1.3
	mostItem    = 4 << 20
	height      = 12_345_678
	endedVats   = 3 // terminated, half-deleted, half-deleted
	newIncarnat = 0.02
)

func (r recipe) rng(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(r.seed, stream)) }

func (r recipe) itemBytes() int64 { return r.size * 80 / 100 }
func (r recipe) kvRows() int64    { return r.size / 1430 }
func (r recipe) bundles() int     { return int(min(max(r.size/110e6, 3), 150)) }
func (r recipe) bundleBytes() int { return int(min(r.size/200, 500_000)) }

// spanItems is the number of items in a span: 202, and fewer where each vat would not have several of them otherwise.
func (r recipe) spanItems() int64 { return min(max(r.size/100e3, 10), 202) }

// logItems is the number of items in the log.
func (r recipe) logItems() int64 { return min(max(r.size/50e3, 20), 300) }

func (r recipe) liveVats() int { return cmp.Or(r.vats, int(min(max(r.size/140e6, 5), 70))) }
func (r recipe) heapBytes() int64 {
	return min(r.size/400, 5_000_000, max(r.size/int64(r.liveVats()), 1))
}
func (r recipe) bigHeap() int64 { return cmp.Or(r.heapSize, min(r.size/20, 500_000_000)) }

// bigSpan is the size of the largest span: above 64 MB from 0.6 GB on.
func (r recipe) bigSpan() int64 { return cmp.Or(r.spanBytes*102/100, min(r.size/8, 72_000_000)) }

func (r recipe) itemSize(rng *rand.Rand) int {
	n := int(itemMedian * math.Exp(itemSigma*rng.NormFloat64()))
	return min(max(n, 150), mostItem, int(r.size/50))
}

// vat is one vat while its transcript is made.
type vat struct {
	id          string
	weight      float64 // its share of the items, by bytes
	pos         int64   // of its next item
	start       int64   // of its current span
	incarnation int64
	first       bool // the current span is the first one of its incarnation
	big         bool // the current span is the largest one of the store
	bytes       int64
	snapshot    int64 // position of the one in use; -1 if there is none
	ended       bool  // terminated
	hash        spanHash
}

// newVats returns the vats, the busiest one first. The last ones end before the others.
func (r recipe) newVats() []*vat {
	vats := make([]*vat, r.liveVats()+endedVats)
	sum := 0.0
	for i := range vats {
		vats[i] = &vat{id: vatID(i), weight: 1 / math.Pow(float64(i+1), 0.95), first: true, snapshot: -1}
		sum += vats[i].weight
	}
	for _, v := range vats {
		v.weight /= sum
	}
	return vats
}
