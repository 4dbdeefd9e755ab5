package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

// textParsers are what reads the values of flags and of the environment; each checks what it returns.
var textParsers = map[string]func(t testing.TB, s string) error{
	"bool": func(_ testing.TB, s string) error { _, err := parseBool(s); return err },
	"height": func(t testing.TB, s string) error {
		height, err := parseHeight(s)
		if err == nil && string(format.AppendNumber(nil, *height)) != s {
			t.Errorf("height %q is %v", s, *height)
		}
		return err
	},
	"workers": func(t testing.TB, s string) error { n, err := parseWorkers(s); return within(t, s, n, err, 0, 1024) },
	"bench workers": func(t testing.TB, s string) error {
		n, err := parseBenchWorkers(s)
		return within(t, s, n, err, 1, pipeline.MaxWorkers)
	},
	"rounds": func(t testing.TB, s string) error { n, err := parseRounds(s); return within(t, s, n, err, 1, 100) },
	"list": func(t testing.TB, s string) error {
		list, err := parseList(parseRounds)(s)
		return within(t, s, len(list), err, 1, 100)
	},
	"size": func(t testing.TB, s string) error {
		n, err := parseSize(s)
		return within(t, s, n, err, 1, format.MaxArchiveSize)
	},
	"size or none": func(t testing.TB, s string) error {
		n, err := parseSizeOrNone(s)
		return within(t, s, n, err, 0, format.MaxArchiveSize)
	},
	"window": func(t testing.TB, s string) error {
		n, err := parseWindow(s)
		return within(t, s, n, err, minWindow, stages.MaxWindow)
	},
	"artifact mode": func(t testing.TB, s string) error {
		mode, err := parseArtifactMode(s)
		return itself(t, s, string(mode), err)
	},
	"copy mode": func(t testing.TB, s string) error {
		mode, err := parseCopyMode(s)
		return itself(t, s, string(mode), err)
	},
	"export mode": func(t testing.TB, s string) error {
		mode, err := parseExportMode(s)
		return itself(t, s, string(mode), err)
	},
	"import mode": func(t testing.TB, s string) error {
		mode, err := parseImportMode(s)
		return itself(t, s, string(mode), err)
	},
	"form": func(t testing.TB, s string) error {
		form, err := format.ParseSnapshotForm(s)
		return itself(t, s, string(form), err)
	},
	"source date": func(t testing.TB, s string) error {
		n, err := sourceDate(map[string]string{"SOURCE_DATE_EPOCH": s})
		return within(t, s, n, err, 0, format.MaxTarTime)
	},
}

func within[N int | int64](t testing.TB, s string, n N, err error, least, most int64) error {
	if err == nil && (int64(n) < least || int64(n) > most) {
		t.Errorf("%q is %d", s, n)
	}
	return err
}

func itself(t testing.TB, s, parsed string, err error) error {
	if err == nil && parsed != s {
		t.Errorf("%q is %q", s, parsed)
	}
	return err
}

// valueSeeds are what the parsers take, and texts that none of them takes.
var valueSeeds = map[string][]string{
	"bool": {"", "1", "0", "true", "false"}, "height": {"0", "-5", "9007199254740992"}, "workers": {"0", "1024"}, "bench workers": {"1", "16"},
	"rounds": {"1", "100"}, "list": {"1", "1,2,1", "100,1"}, "size": {"1", "64MiB", "64 MB", "1.5k"}, "size or none": {"0", "5GB"}, "window": {"1KiB", "2GiB"},
	"artifact mode": {"auto", "archival", "none"}, "copy mode": {"auto", "operational"}, "export mode": {"all", "skip"}, "import mode": {"all", "repair-metadata"},
	"form": {"raw", "gzip"}, "source date": {"", "0", "1700000000"},
	"none": {" ", "x", "-1.5", "1e9", "0x", "1,x", "٣", "99999999999999999999999999", "1 EiB", "-1", "NaN", "\x00"},
}

// FuzzValue gives any text to everything that reads values of flags: what is taken lies within its limits.
func FuzzValue(f *testing.F) {
	for _, texts := range valueSeeds {
		for _, s := range texts {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range textParsers {
			_ = parse(t, s)
		}
	})
}

func TestValueSeeds(t *testing.T) {
	for name, parse := range textParsers {
		if len(valueSeeds[name]) == 0 {
			t.Errorf("%s has no seeds", name)
		}
		for _, s := range valueSeeds[name] {
			if err := parse(t, s); err != nil {
				t.Errorf("%s %q: %v", name, s, err)
			}
		}
		for _, s := range valueSeeds["none"] {
			if err := parse(t, s); err == nil && (name != "height" || s != "-1") {
				t.Errorf("%s %q: no error", name, s)
			}
		}
	}
}

// FuzzBenchRun reads what a run of bench prints, whatever it is, and makes the table and the page of it.
func FuzzBenchRun(f *testing.F) {
	good, err := json.Marshal(measured(2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"seconds":0,"memory":[{}],"stages":[{"workers":0}],"phases":[{"name":"open"}]}`))
	f.Add([]byte(`{"seconds":-1e308,"bytes":-1,"cpuSeconds":1e308,"peakBytes":-1}`))
	if text := benchText(f, good); !strings.Contains(text, "compress 96%") {
		f.Fatalf("the report of a run: %s", text)
	}
	f.Fuzz(func(t *testing.T, line []byte) { benchText(t, line) })
}

// benchText is what bench says about a run.
func benchText(t testing.TB, line []byte) string {
	var run benchRun
	if json.Unmarshal(line, &run) != nil {
		return ""
	}
	m := benchMatrix{b: &benchFlags{rounds: 1}, jobs: []benchJob{{Level: "none", Workers: 1}}, runs: [][]benchRun{{run}}}
	r := m.report("state")
	var page bytes.Buffer
	if err := pageTemplate.Execute(&page, newPageData(r)); err != nil {
		t.Error(err)
	}
	return r.table() + page.String()
}
