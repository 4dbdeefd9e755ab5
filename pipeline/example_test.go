package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"swingport/format"
	"swingport/pipeline"
)

func ExampleExport() {
	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	sum, err := pipeline.Export(context.Background(), pipeline.ExportOptions{
		StateDir:       "../testdata/stores/tiny",
		ExportDir:      filepath.Join(dir, "export"),
		ArtifactMode:   format.Archival,
		ExportDataMode: format.All,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("height %.0f: %d snapshots, %d spans, %d bundles\n", sum.BlockHeight, sum.Snapshots, sum.Spans, sum.Bundles)
	fmt.Println("warnings:", len(sum.Warnings))
	// Output:
	// height 1234567: 13 snapshots, 51 spans, 6 bundles
	// warnings: 0
}

// A store that was pruned lacks what some modes need; the error says what, and which mode works.
func ExampleExport_incomplete() {
	dir, err := os.MkdirTemp("", "example-*")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	state := filepath.Join(dir, "state") // a copy, because it is in WAL mode
	if err := os.CopyFS(state, os.DirFS("../testdata/stores/pruned")); err != nil {
		log.Fatal(err)
	}

	_, err = pipeline.Export(context.Background(), pipeline.ExportOptions{
		StateDir:     state,
		ExportDir:    filepath.Join(dir, "export"),
		ArtifactMode: format.Archival,
	})
	var incomplete *pipeline.IncompleteError
	if errors.As(err, &incomplete) {
		fmt.Println(incomplete.Err)
		fmt.Println("possible:", incomplete.Possible)
	}
	// Output:
	// incomplete archival transcript: 30 vs 154 of vat v1
	// possible: operational
}

func ExampleHeight() {
	height, err := pipeline.Height(context.Background(), "../testdata/stores/tiny")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.0f\n", height)
	// Output: 1234567
}

func ExampleGet() {
	ctx := context.Background()
	for _, key := range []string{"host.height", "no such key"} {
		value, ok, err := pipeline.Get(ctx, "../testdata/stores/tiny", key)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %q, %v\n", key, value, ok)
	}
	// Output:
	// host.height: "1234567", true
	// no such key: "", false
}
