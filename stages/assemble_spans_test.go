package stages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"swingport/format"
	"swingport/testdata"
)

// itemRow is a row of transcriptItems.
type itemRow struct {
	vatID string
	pos   int64
	item  format.Value
}

// assembled is what came out of an assembler: content by artifact name.
type assembled map[string]string

// assemble plans an export of the store and assembles the rows in the order in which they are given.
func assemble(t *testing.T, dir string, mode format.ArtifactMode, rows []itemRow, maxOpen int64) (assembled, error) {
	t.Helper()
	s, err := OpenStore(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := NewPlan(context.Background(), s, mode)
	if err != nil {
		return nil, err
	}
	timeout, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tables := NewTables(true, false, 1)
	out := NewLink[*Artifact](8, nil)
	g, ctx := errgroup.WithContext(timeout)
	g.Go(func() error {
		for _, r := range rows {
			if err := tables.addItem(ctx, format.TextValue([]byte(r.vatID)), format.IntValue(r.pos), r.item); err != nil {
				return err
			}
		}
		defer tables.Close()
		return tables.flush(ctx)
	})
	a := NewAssembler(p, maxOpen, t.TempDir(), nil, out)
	g.Go(func() error {
		defer out.Close()
		return a.Run(ctx, tables.Items)
	})
	got := assembled{}
	g.Go(func() error {
		return Each(ctx, out, func(a *Artifact) error {
			if _, twice := got[a.Name]; twice {
				return fmt.Errorf("%s comes twice", a.Name)
			}
			var content bytes.Buffer
			last, items := int64(-1<<63), int64(0)
			err := a.Content(ctx, func(p Piece) error {
				defer p.Release()
				for _, it := range p.Items {
					if it.Pos <= last || p.Data[it.Off+it.Len] != '\n' {
						return fmt.Errorf("%s: item %d after %d, without a newline or not in order", a.Name, it.Pos, last)
					}
					last = it.Pos
					items++
				}
				content.Write(p.Data)
				return nil
			})
			if items != a.Items {
				err = errors.Join(err, fmt.Errorf("%s has %d items, not %d", a.Name, items, a.Items))
			}
			got[a.Name] = content.String()
			return err
		})
	})
	err = g.Wait()
	if err == nil && a.openBytes != 0 && maxOpen > 1<<20 {
		t.Errorf("%d bytes are still open", a.openBytes)
	}
	return got, err
}

// itemsOf reads all items in the order of their rowids.
func itemsOf(t *testing.T, dir string) (rows []itemRow) {
	t.Helper()
	s, err := OpenStore(context.Background(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.db.Query("SELECT vatID, position, item FROM transcriptItems", func(q *Stmt) error {
		v := q.Value(2)
		v.Bytes = bytes.Clone(v.Bytes)
		rows = append(rows, itemRow{q.Text(0), q.Int(1), v})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// lines are items i..j of a vat, with long ones among them.
func lines(vat string, from, to int) (items []string) {
	r := rand.New(rand.NewPCG(uint64(from), uint64(len(vat))))
	for i := from; i < to; i++ {
		n := 1 + r.IntN(300)
		if i%37 == 5 {
			n = 20000
		}
		items = append(items, fmt.Sprintf("%s %d %s", vat, i, letters(r, n)))
	}
	return items
}

func text(items []string) string {
	if len(items) == 0 {
		return ""
	}
	return strings.Join(items, "\n") + "\n"
}

// spanStore has spans of all kinds, and want is what they are.
func spanStore(t *testing.T) (dir string, want map[format.ArtifactMode]assembled) {
	b := testdata.Build(t)
	archival, replay, operational, debug := assembled{}, assembled{}, assembled{}, assembled{}
	add := func(vat string, start, end, incarnation int, current bool, to ...assembled) {
		items := lines(vat, start, end)
		b.Span(vat, start, incarnation, current, items...)
		if current {
			to = append(to, operational, replay)
		}
		for _, a := range append(to, debug) {
			a[fmt.Sprintf("transcript.%s.%d.%d", vat, start, end)] = text(items)
		}
	}
	for i, end := range []int{5, 207, 409} {
		add("v1", []int{0, 5, 207}[i], end, 0, false, archival)
	}
	add("v1", 409, 414, 1, false, archival, replay)
	add("v1", 414, 600, 1, true, archival)
	add("v2", 0, 1, 0, false, archival, replay)
	add("v2", 1, 2, 0, false, archival, replay)
	add("v2", 2, 2, 0, true, archival) // an empty one
	add("gone", 0, 50, 0, false)       // a vat that was ended
	add("gone", 50, 77, 0, false)
	b.SpanRow("half", 0, 10, 0, false, "deleted in part")
	b.Span("half", 10, 0, false, "one", "two")
	b.Exec("DELETE FROM transcriptItems WHERE vatID='half' AND position=11")
	b.Span("nobody", 0, 0, false, "item of no span")
	b.Exec("DELETE FROM transcriptSpans WHERE vatID='nobody'")
	b.Exec("INSERT INTO transcriptItems VALUES ('v1', 1000, 'behind the last span', 1)")
	b.Exec("INSERT INTO transcriptItems VALUES ('v1', -1, 'before the first one', 1)")
	b.Close()
	return b.Dir, map[format.ArtifactMode]assembled{format.Archival: archival, format.Replay: replay, format.Operational: operational, format.Debug: debug}
}

func (a assembled) compare(t *testing.T, what string, want assembled) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, ok := a[name]; !ok {
			t.Errorf("%s: %s is missing", what, name)
		} else if got != want[name] {
			t.Errorf("%s: %s has %d bytes, want %d", what, name, len(got), len(want[name]))
		}
	}
	for name := range a {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is too much", what, name)
		}
	}
}

// The artifacts are the same in whatever order the items come and however little room there is.
func TestAssembleAnyOrder(t *testing.T) {
	dir, want := spanStore(t)
	rows := itemsOf(t, dir)
	for order, arrange := range map[string]func([]itemRow){
		"as written": func([]itemRow) {},
		"backwards":  slices.Reverse[[]itemRow],
		"shuffled":   func(r []itemRow) { rand.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] }) },
		"by position": func(r []itemRow) {
			slices.SortStableFunc(r, func(x, y itemRow) int { return int(x.pos - y.pos) })
		},
	} {
		for _, maxOpen := range []int64{32 << 20, 64 << 10, 1} {
			for mode, artifacts := range want {
				list := slices.Clone(rows)
				arrange(list)
				what := fmt.Sprintf("%s, %s, %d bytes open", order, mode, maxOpen)
				got, err := assemble(t, dir, mode, list, maxOpen)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				got.compare(t, what, artifacts)
			}
		}
	}
}

// Spans that overlap each get the items that they share.
func TestAssembleOverlappingSpans(t *testing.T) {
	b := testdata.Build(t)
	all := lines("v1", 0, 40)
	b.Span("v1", 0, 0, false, all[0:10]...)
	b.Exec("DELETE FROM transcriptItems")
	for _, s := range [][2]int{{5, 15}, {6, 7}, {12, 40}, {20, 30}} {
		b.SpanRow("v1", s[0], s[1], 0, false, testdata.SpanHash(all[s[0]:s[1]]...))
	}
	b.SpanRow("v1", 40, 40, 0, true, testdata.SpanHash())
	b.Many("INSERT INTO transcriptItems VALUES ('v1',?,?,0)", 40, func(i int) []any { return []any{39 - i, all[39-i]} })
	b.Close()
	want := assembled{}
	for _, s := range [][2]int{{0, 10}, {5, 15}, {6, 7}, {12, 40}, {20, 30}, {40, 40}} {
		want[fmt.Sprintf("transcript.v1.%d.%d", s[0], s[1])] = text(all[s[0]:s[1]])
	}
	for _, maxOpen := range []int64{32 << 20, 1} {
		got, err := assemble(t, b.Dir, format.Archival, itemsOf(t, b.Dir), maxOpen)
		if err != nil {
			t.Fatal(err)
		}
		got.compare(t, fmt.Sprint(maxOpen), want)
	}
}

// Items larger than all the room there is for open spans, and of every type.
func TestAssembleOddItems(t *testing.T) {
	b := testdata.Build(t)
	long := strings.Repeat("long ", 1<<20)
	b.Exec("CREATE TABLE items (vatID TEXT, position INTEGER, item, incarnation INTEGER, PRIMARY KEY (vatID, position))")
	for i, item := range []any{long, nil, int64(-5), 1e21, 0.1, []byte("a blob"), "", long + "."} {
		b.Exec("INSERT INTO items VALUES ('v1',?,?,0)", i, item)
	}
	b.Exec("DROP TABLE transcriptItems")
	b.Exec("ALTER TABLE items RENAME TO transcriptItems")
	b.SpanRow("v1", 0, 8, 0, true, "not of interest")
	b.Close()
	want := assembled{"transcript.v1.0.8": long + "\nnull\n-5\n1e+21\n0.1\na blob\n\n" + long + ".\n"}
	for _, maxOpen := range []int64{32 << 20, 1 << 20, 1} {
		for _, backwards := range []bool{false, true} {
			rows := itemsOf(t, b.Dir)
			if backwards {
				slices.Reverse(rows)
			}
			got, err := assemble(t, b.Dir, format.Archival, rows, maxOpen)
			if err != nil {
				t.Fatal(err)
			}
			got.compare(t, fmt.Sprint(maxOpen, backwards), want)
		}
	}
}

// Items that are missing are found in every mode that needs them, and left out by debug.
func TestAssembleIncomplete(t *testing.T) {
	dir, want := spanStore(t)
	rows := itemsOf(t, dir)
	for name, c := range map[string]struct {
		vat                 string
		pos                 int64
		operational, replay bool // are still possible
	}{
		"an old span":             {"v1", 100, true, true},
		"the current incarnation": {"v1", 411, true, false},
		"the current span":        {"v1", 500, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			without := slices.DeleteFunc(slices.Clone(rows), func(r itemRow) bool { return r.vatID == c.vat && r.pos == c.pos })
			for mode, possible := range map[format.ArtifactMode]bool{format.Operational: c.operational, format.Replay: c.replay, format.Archival: false} {
				got, err := assemble(t, dir, mode, without, 32<<20)
				var incomplete *IncompleteError
				switch {
				case possible && err != nil:
					t.Errorf("%s: %v", mode, err)
				case possible:
					got.compare(t, string(mode), want[mode])
				case !errors.As(err, &incomplete) || !errors.Is(err, format.ErrIncomplete) || incomplete.Mode != mode || len(incomplete.Lacks) != 1:
					t.Errorf("%s: %v", mode, err)
				case mode == format.Archival && incomplete.Possible != best(c.operational, c.replay):
					t.Errorf("possible is %q", incomplete.Possible)
				}
			}
			debug := maps.Clone(want[format.Debug])
			maps.DeleteFunc(debug, func(n, _ string) bool {
				name, err := format.ParseName(n)
				return err == nil && name.VatID == c.vat && name.Pos <= c.pos && c.pos < name.End
			})
			for _, maxOpen := range []int64{32 << 20, 1} {
				got, err := assemble(t, dir, format.Debug, without, maxOpen)
				if err != nil {
					t.Fatal(err)
				}
				got.compare(t, "debug", debug)
			}
		})
	}
}

func best(operational, replay bool) format.ArtifactMode {
	switch {
	case replay:
		return format.Replay
	case operational:
		return format.Operational
	}
	return ""
}

// 3000 vats with a span open each, in little room.
func TestAssembleManyVats(t *testing.T) {
	dir := manyVats(t)
	b := testdata.Open(t, dir)
	b.Many("INSERT INTO transcriptSpans VALUES (?,0,3,'h',1,0)", 3000, func(i int) []any { return []any{fmt.Sprint("v", i)} })
	b.Close()
	rows := itemsOf(t, dir)
	got, err := assemble(t, dir, format.Archival, rows, 256<<10)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 3000 {
		t.Errorf("%d artifacts", len(got))
	}
	for vat := range 3000 {
		var want strings.Builder
		for pos := range 3 {
			fmt.Fprintf(&want, "{\"d\":[\"message\",%d]}\n", pos*3000+vat)
		}
		if name := fmt.Sprintf("transcript.v%d.0.3", vat); got[name] != want.String() {
			t.Fatalf("%s: %q, want %q", name, got[name], want.String())
		}
	}
}

// 20,000 spans of one item each, which come backwards.
func TestAssembleSpansOfOneItem(t *testing.T) {
	const n = 20000
	b := testdata.Build(t)
	b.Many("INSERT INTO transcriptSpans VALUES ('v1',?,?,'h',?,0)", n, func(i int) []any {
		if i == n-1 {
			return []any{i, i + 1, 1}
		}
		return []any{i, i + 1, nil}
	})
	b.Many("INSERT INTO transcriptItems VALUES ('v1',?,?,0)", n, func(i int) []any { return []any{n - 1 - i, fmt.Sprint("item ", n-1-i)} })
	b.Close()
	got, err := assemble(t, b.Dir, format.Archival, itemsOf(t, b.Dir), 1<<20)
	if err != nil || len(got) != n {
		t.Fatalf("%d artifacts, %v", len(got), err)
	}
	for i := range n {
		if name := fmt.Sprintf("transcript.v1.%d.%d", i, i+1); got[name] != fmt.Sprintf("item %d\n", i) {
			t.Fatalf("%s: %q", name, got[name])
		}
	}
}
