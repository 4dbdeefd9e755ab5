package pipeline

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"swingport/format"
	"swingport/stages"
)

// picked is one file to take out of an archive.
type picked struct {
	name  string // as it was asked for
	entry format.ArchiveEntry
	heap  string // the name of the snapshot whose heap is to be unpacked; else ""
}

// fromFile takes files out of an archive that is read at random.
func (x *extraction) fromFile(ctx context.Context, a *stages.ArchiveFile) error {
	x.progress = x.o.Status.AddBytes
	files, err := x.pick(a)
	if err != nil {
		return err
	}
	heaps := map[string]string{}
	total := int64(0)
	for _, f := range files {
		total += f.entry.Size
		if f.heap != "" {
			heaps[f.heap] = ""
		}
	}
	if len(heaps) > 0 {
		if err := a.HeapHashes(ctx, heaps); err != nil {
			return err
		}
	}
	x.o.Status.SetPhase("extract", total)
	x.o.Status.SetArtifacts(int64(len(files)))
	if err := x.open(ctx); err != nil {
		return err
	}
	for _, f := range files {
		if err := x.take(ctx, a, f, heaps[f.heap]); err != nil {
			return err
		}
	}
	return x.out.commit(ctx)
}

// pick finds the files in the index and puts them into the order of the archive.
func (x *extraction) pick(a *stages.ArchiveFile) (files []picked, err error) {
	for _, name := range x.names {
		p := picked{name: name}
		found := false
		if p.entry, found, err = a.Index().Find(name); err != nil {
			return nil, err
		}
		if !found && a.Header().Snapshots == format.GzipSnapshots {
			if n, err := format.ParseName(name); err == nil && n.Kind == format.KindSnapshot {
				p.heap = n.String()
				if p.entry, found, err = a.Index().Find(format.GzipSnapshots.File(name)); err != nil {
					return nil, err
				}
			}
		}
		if !found {
			return nil, missing(a, name)
		}
		files = append(files, p)
	}
	slices.SortFunc(files, func(a, b picked) int { return cmp.Compare(a.entry.Offset, b.entry.Offset) })
	return files, nil
}

// take passes one file on, compared with its hash.
func (x *extraction) take(ctx context.Context, a *stages.ArchiveFile, f picked, heapHash string) error {
	r, err := a.Open(f.entry)
	if err != nil {
		return err
	}
	defer r.Close()
	if f.heap == "" {
		return x.put(ctx, f.name, r)
	}
	return x.heap(ctx, f.name, r, heapHash)
}

// missing is the error for a name that Find does not find, once the whole index shows that it is not there.
func missing(a *stages.ArchiveFile, name string) error {
	if err := a.Index().Verify(); err != nil {
		return err
	}
	near := nearest{name: name}
	err := a.Index().Each(func(e format.ArchiveEntry) error {
		near.add(e.Name)
		return nil
	})
	if err != nil {
		return err
	}
	return &MissingError{name, near.names()}
}

// nearest finds names that are like another one: that begin and end as it does.
type nearest struct {
	name string
	best []nearName // at most maxNear, the best first
}

type nearName struct {
	name string
	like int // bytes
}

const maxNear = 3

func (n *nearest) add(name string) {
	head := 0
	for head < min(len(name), len(n.name)) && name[head] == n.name[head] {
		head++
	}
	tail := 0
	for tail < min(len(name), len(n.name))-head && name[len(name)-1-tail] == n.name[len(n.name)-1-tail] {
		tail++
	}
	like := head + tail
	if 3*like < 2*len(n.name) || len(n.best) == maxNear && like <= n.best[maxNear-1].like {
		return
	}
	if len(n.best) == maxNear {
		n.best = n.best[:maxNear-1]
	}
	at, _ := slices.BinarySearchFunc(n.best, like, func(b nearName, like int) int {
		if b.like >= like {
			return -1
		}
		return 1
	})
	n.best = slices.Insert(n.best, at, nearName{strings.Clone(name), like})
}

func (n *nearest) names() (names []string) {
	for _, b := range n.best {
		names = append(names, b.name)
	}
	return names
}
