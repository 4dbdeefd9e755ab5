package stages

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"swingport/format"
)

// metadataOf collects lines as import does.
func metadataOf(t *testing.T, lines ...string) (*Metadata, error) {
	t.Helper()
	m := NewMetadata()
	var e format.Entry
	for _, l := range lines {
		if err := format.ParseLine([]byte(l), &e); err != nil {
			t.Fatal(err)
		}
		m.Add(parseRecordLine(&e, false))
	}
	return m, m.Settle()
}

var aHash = strings.Repeat("0a", 32)

func spanLine(vat string, start, end int, current bool, incarnation string) string {
	key, bit := fmt.Sprintf("transcript.%s.%d", vat, start), 0
	if current {
		key, bit = "transcript."+vat+".current", 1
	}
	return fmt.Sprintf(`["%s","{\"vatID\":\"%s\",\"startPos\":%d,\"endPos\":%d,\"hash\":\"%s\",\"isCurrent\":%d,\"incarnation\":%s}"]`,
		key, vat, start, end, aHash, bit, incarnation)
}

// Keys keep their places as in a JavaScript Map.
func TestMetadataOrder(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"as they come":         {[]string{spanLine("v2", 0, 1, false, "0"), spanLine("v1", 5, 6, false, "0"), spanLine("v1", 0, 5, false, "0")}, "v2.0.1 v1.5.6 v1.0.5"},
		"set again":            {[]string{spanLine("v1", 0, 1, false, "0"), spanLine("v2", 0, 1, false, "0"), spanLine("v1", 0, 9, false, "0")}, "v1.0.9 v2.0.1"},
		"deleted":              {[]string{spanLine("v1", 0, 1, false, "0"), spanLine("v2", 0, 1, false, "0"), `["transcript.v1.0"]`}, "v2.0.1"},
		"deleted and set":      {[]string{spanLine("v1", 0, 1, false, "0"), spanLine("v2", 0, 1, false, "0"), `["transcript.v1.0",null]`, spanLine("v1", 0, 3, false, "0")}, "v2.0.1 v1.0.3"},
		"deleted while absent": {[]string{`["transcript.v1.0",null]`, spanLine("v1", 0, 3, false, "0")}, "v1.0.3"},
		"current moved":        {[]string{spanLine("v1", 0, 3, true, "0"), spanLine("v1", 3, 4, true, "0")}, "v1.3.4"},
	} {
		m, err := metadataOf(t, c.lines...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for i := range m.spans.len() {
			s := m.Span(i)
			got = append(got, fmt.Sprintf("%s.%d.%d", s.VatID, s.Start, s.End.V))
			if at, ok := m.findSpan(s.VatID, s.Start); !ok || at != i || s.Hash != aHash {
				t.Errorf("%s: span %d is found at %d", name, i, at)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Hashes that are no SHA-256 in lower case are kept as they are, also when rows before them go away.
func TestMetadataOddHashes(t *testing.T) {
	line := func(pos int, hash string) string {
		return fmt.Sprintf(`["snapshot.v1.%d","{\"vatID\":\"v1\",\"snapPos\":%d,\"hash\":\"%s\",\"inUse\":0}"]`, pos, pos, hash)
	}
	m, err := metadataOf(t, line(1, "odd"), line(2, strings.ToUpper(aHash)), line(3, aHash), `["snapshot.v1.1"]`, line(4, "x"), line(4, aHash), line(3, "y"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range m.snapshots.len() {
		got = append(got, m.Snapshot(i).Hash)
	}
	if want := []string{strings.ToUpper(aHash), "y", aHash}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(m.oddHashes) != 2 {
		t.Errorf("%d odd hashes kept", len(m.oddHashes))
	}
	if _, ok := m.findSnapshot("v1", 1); ok {
		t.Error("a deleted snapshot was found")
	}
	if _, ok := m.findSnapshot("v2", 2); ok {
		t.Error("a snapshot of no vat was found")
	}
}

// The first bad record in the order of the lines is reported, unless a later line replaces it.
func TestMetadataErrors(t *testing.T) {
	bad := func(key string) string { return `["` + key + `","{}"]` }
	if _, err := metadataOf(t, bad("transcript.v1.0"), bad("transcript.v0.0"), bad("bundle.x")); err == nil || !strings.Contains(err.Error(), "transcript.v1.0") {
		t.Errorf("error %v", err)
	}
	if _, err := metadataOf(t, bad("bundle.x"), bad("transcript.v0.0"), `["bundle.x"]`); err == nil || !strings.Contains(err.Error(), "transcript.v0.0") {
		t.Errorf("error %v", err)
	}
	if _, err := metadataOf(t, bad("bundle.x"), `["bundle.x","x"]`, bad("other.x"), `["other.x",null]`, bad("snapshot.v1.current")); err != nil {
		t.Error(err)
	}
}

// storedSpans marks spans as imported.
func storedSpans(m *Metadata, at ...int) *Metadata {
	for _, i := range at {
		m.markStored(spanRecord, i)
	}
	return m
}

func TestComplete(t *testing.T) {
	lines := []string{
		spanLine("v1", 0, 10, false, "0"), spanLine("v1", 10, 20, false, "1"), spanLine("v1", 20, 25, true, "1"),
		spanLine("v10", 0, 4, true, "null"), spanLine("v2", 0, 9, false, "0"), // v2 is terminated
	}
	for _, c := range []struct {
		stored   []int
		mode     format.ArtifactMode
		text     string // "": complete
		lacks    string
		possible format.ArtifactMode
	}{
		{[]int{0, 1, 2, 3}, format.Archival, "", "", ""},
		{[]int{2, 3}, format.Operational, "", "", ""},
		{[]int{2, 3}, format.Debug, "", "", ""},
		{[]int{1, 2, 3}, format.Replay, "incomplete current incarnation transcript: 0 items", "v10 has a current span without end or incarnation", format.Operational},
		{[]int{2, 3}, format.Replay, "incomplete current incarnation transcript: 5 items", "v1 lacks items 10..20; v10 has a current span without end or incarnation", format.Operational},
		{[]int{0, 2, 3}, format.Archival, "incomplete archival transcript: 15 vs 25", "v1 lacks items 10..20", format.Operational},
		{[]int{1, 3}, format.Archival, "incomplete archival transcript: 10 vs 25", "v1 lacks items 0..10; v1 lacks items 20..25", ""},
		{[]int{0, 1, 2}, format.Operational, `incomplete current transcript span: 0 items, {"vatID":"v10"`, "v10 lacks items 0..4", ""},
	} {
		m, err := metadataOf(t, lines...)
		if err != nil {
			t.Fatal(err)
		}
		err = storedSpans(m, c.stored...).Complete(c.mode)
		if c.text == "" {
			if err != nil {
				t.Errorf("%v %s: %v", c.stored, c.mode, err)
			}
			continue
		}
		var e *IncompleteError
		if !errors.As(err, &e) || !errors.Is(err, format.ErrIncomplete) {
			t.Errorf("%v %s: %v", c.stored, c.mode, err)
			continue
		}
		if !strings.HasPrefix(err.Error(), c.text) || strings.Join(e.Lacks, "; ") != c.lacks || e.Possible != c.possible || e.Mode != c.mode {
			t.Errorf("%v %s: %q, lacks %q, possible %q", c.stored, c.mode, err, e.Lacks, e.Possible)
		}
	}
}

func TestParseChecksum(t *testing.T) {
	sum := strings.Repeat("0123456789abcdef", 4)
	for line, want := range map[string]string{
		sum + "  a":                  "a",
		sum + " *a b":                "a b",
		sum + "  ./a":                "a",
		strings.ToUpper(sum) + "  a": "a",
		`\` + sum + `  a\nb\\c`:      "a\nb\\c",
		"":                           "",
		sum:                          "",
		sum + "  ":                   "",
		sum + " a":                   "",
		sum[1:] + "  a":              "",
		sum + "0  a":                 "",
		"g" + sum[1:] + "  a":        "",
		"SHA256 (a) = " + sum:        "",
		sum + "\t a":                 "",
	} {
		name, _, ok := parseChecksum(line)
		if ok != (want != "") || name != want {
			t.Errorf("%q: %q, %v", line, name, ok)
		}
	}
}

// The statements are SQLite's text of the tables, so that a new store has the reference's schema to the letter.
func TestCreateStatements(t *testing.T) {
	path := filepath.Join(t.TempDir(), StoreFile)
	s, err := NewInserter(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Finish(1e21), s.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := OpenDB(path, ReadOnly, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	n := 0
	err = db.Query("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid", func(q *Stmt) error {
		if q.Text(0) != CreateStatements[n] {
			t.Errorf("%q instead of %q", q.Text(0), CreateStatements[n])
		}
		n++
		return nil
	})
	if err != nil || n != len(CreateStatements) {
		t.Errorf("%d statements, %v", n, err)
	}
	height := ""
	if err := db.Query("SELECT value FROM kvStore WHERE key = 'host.height'", func(q *Stmt) error { height = q.Text(0); return nil }); err != nil || height != "1e+21" {
		t.Errorf("host.height %q, %v", height, err)
	}
}

// However often the same few records come, they take no more room than those; what many lines say in their order is the same as of a map.
func TestMetadataRepeated(t *testing.T) {
	m, want := NewMetadata(), map[string]int{}
	var e format.Entry
	most := 0
	for i := range 5 * lookThrough {
		vat, start := fmt.Sprint("v", i%7), i*i%11
		line, key := spanLine(vat, start, i+100, false, "0"), fmt.Sprintf("%s.%d", vat, start)
		want[key] = i + 100
		if i%5 == 3 {
			line = fmt.Sprintf(`["transcript.%s",null]`, key)
			delete(want, key)
		}
		if err := format.ParseLine([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		m.Add(parseRecordLine(&e, false))
		most = max(most, m.spans.len())
	}
	if most > lookThrough {
		t.Errorf("%d rows for 77 records", most)
	}
	if err := m.Settle(); err != nil {
		t.Fatal(err)
	}
	for i := range m.spans.len() {
		s := m.Span(i)
		key := fmt.Sprintf("%s.%d", s.VatID, s.Start)
		if int(s.End.V) != want[key] || s.Hash != aHash {
			t.Errorf("%s ends at %d, want %d; hash %s", key, s.End.V, want[key], s.Hash)
		}
		delete(want, key)
	}
	if len(want) > 0 {
		t.Errorf("%v are missing", want)
	}
}

func TestRowList(t *testing.T) {
	var l rowList[int]
	for i := range 3*rowPart + 1 {
		l.add(i)
	}
	for _, n := range []int{3*rowPart + 1, 3 * rowPart, rowPart + 5, 0} {
		l.truncate(n)
		if l.len() != n || len(l.parts) != (n+rowPart-1)/rowPart {
			t.Errorf("%d rows in %d parts, want %d", l.len(), len(l.parts), n)
		}
		for i := range n {
			if *l.at(i) != i {
				t.Fatalf("row %d is %d", i, *l.at(i))
			}
		}
	}
	l.add(7)
	if *l.at(0) != 7 {
		t.Error(*l.at(0))
	}
}
