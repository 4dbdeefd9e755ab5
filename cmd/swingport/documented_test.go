package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"swingport/testdata"
)

// documented matches a part of a pipe that is a command line of ours, here or on another machine.
var documented = regexp.MustCompile(`^ *(?:\$ )?(?:ssh [a-z-]+ )?swingport (.*)$`)

// commandLines finds the arguments of each command line in the indented lines of a text.
func commandLines(text string) (lines [][]string) {
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		if !strings.HasPrefix(line, "  ") {
			continue
		}
		for part := range strings.SplitSeq(line, "|") {
			if match := documented.FindStringSubmatch(strings.TrimSpace(part)); match != nil {
				lines = append(lines, strings.Fields(match[1]))
			}
		}
	}
	return lines
}

// Every command line that is documented is one that the command takes. What they do is in testdata/script.
func TestDocumentedCommandLines(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(filepath.Dir(testdata.Dir(t)), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // some write files
	root := newFake().rootCommand()
	texts := map[string]string{"README.md": string(readme), "root": root.Example}
	for _, cmd := range root.Commands() {
		texts[cmd.Name()] = cmd.Example
	}
	for name, atLeast := range map[string]int{
		"README.md": 15, "root": 8, "export": 6, "import": 6, "copy": 2, "verify": 4, "list": 3, "extract": 3, "diff": 3, "get": 3, "bench": 3, "height": 2,
	} {
		lines := commandLines(texts[name])
		if len(lines) < atLeast {
			t.Errorf("%s: %d command lines found, there are at least %d", name, len(lines), atLeast)
		}
		for _, args := range lines {
			f := newFake()
			if rc := f.run(args); rc == exitUsage {
				t.Errorf("%s: swingport %s: %s", name, strings.Join(args, " "), f.err.String())
			}
		}
	}
}
