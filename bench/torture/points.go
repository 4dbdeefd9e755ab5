package main

import (
	"math/rand/v2"

	"swingport/stages"
)

// points chooses n places of an undisturbed run to kill it at. Of every three one is about the moment at which the result comes into place, its
// last rename, from either side; the others lie evenly over the whole run, some of them in the midst of a write.
func points(ops []stages.OpKind, n int, rng *rand.Rand) (list []killPoint) {
	about := aboutCommit(ops)
	spread := n - n/3 - 1
	if n < 4 {
		spread = n - min(n, 2)
	}
	late := n - spread
	for i := range late {
		list = append(list, about[i%len(about)])
	}
	for i := range spread {
		at := int((float64(i) + rng.Float64()) * float64(len(ops)) / float64(spread))
		k := at2point(ops, min(at, len(ops)-1))
		k.Torn = k.Kind == stages.OpWrite && rng.IntN(2) == 0
		list = append(list, k)
	}
	return list
}

// aboutCommit are the places about the last rename, the nearest ones first: behind it, before it, the end, and so on in either direction.
func aboutCommit(ops []stages.OpKind) []killPoint {
	last := len(ops) - 1
	for i, k := range ops {
		if k == stages.OpRename {
			last = i
		}
	}
	list := []killPoint{{End: true}}
	if last < 0 {
		return list
	}
	list = list[:0]
	for d := 0; d < 6; d++ {
		if last+1+d < len(ops) {
			list = append(list, at2point(ops, last+1+d))
		}
		if last-d >= 0 {
			list = append(list, at2point(ops, last-d))
		}
		if d == 0 {
			list = append(list, killPoint{End: true})
		}
	}
	return list
}

// at2point is the place before an operation, as the number of its kind: other kinds may come more or less often in another run.
func at2point(ops []stages.OpKind, at int) killPoint {
	k := killPoint{Kind: ops[at]}
	for _, kind := range ops[:at+1] {
		if kind == k.Kind {
			k.N++
		}
	}
	return k
}
