package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"swingport/pipeline"
)

// An archive is listed by its index.
func ExampleList() {
	l, err := pipeline.List(context.Background(), pipeline.ListOptions{
		Path: "../testdata/archives/worked-v1.tar",
		Each: func(e pipeline.ListEntry) error {
			if e.Kind == pipeline.ListSpan {
				fmt.Println(e.Name, e.Bytes)
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("height %.0f, %s, %d spans of %d bytes\n", l.BlockHeight, l.ArtifactMode, l.Kinds.Spans.Count, l.Kinds.Spans.Bytes)
	// Output:
	// transcript.v1.0.3 71
	// transcript.v1.3.5 68
	// height 17, archival, 2 spans of 139 bytes
}

// One span goes to standard output; of an archive of many gigabytes little more than it is read.
func ExampleExtract() {
	o := pipeline.ExtractOptions{Path: "../testdata/archives/worked-v1.tar", Names: []string{"transcript.v1.3.5"}, Stdout: os.Stdout}
	if _, err := pipeline.Extract(context.Background(), o); err != nil {
		log.Fatal(err)
	}

	o.Names = []string{"transcript.v1.3.6"}
	_, err := pipeline.Extract(context.Background(), o)
	var missing *pipeline.MissingError
	if errors.As(err, &missing) {
		fmt.Println(missing.Name, "is not there, but", missing.Near)
	}
	// Output:
	// {"d":["load-snapshot"]}
	// {"d":["message","o+0"],"r":{"status":"ok"}}
	// transcript.v1.3.6 is not there, but [transcript.v1.3.5 transcript.v1.0.3]
}
