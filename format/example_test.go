package format_test

import (
	"fmt"
	"os"

	"swingport/format"
)

func ExampleAppendKV() {
	line := format.AppendKV(nil, []byte("ko1.owner"), format.TextValue([]byte("v1 \"main\"\n")))
	os.Stdout.Write(line)
	os.Stdout.Write(format.AppendKV(nil, []byte("deleted"), format.Value{}))
	// Output:
	// ["kv.ko1.owner","v1 \"main\"\n"]
	// ["kv.deleted",null]
}

func ExampleParseLine() {
	var e format.Entry // reused for every line
	line := `["transcript.v1.current","{\"vatID\":\"v1\",\"startPos\":3,\"endPos\":9,\"hash\":\"ab\",\"isCurrent\":1,\"incarnation\":0}"]`
	if err := format.ParseLine([]byte(line), &e); err != nil {
		fmt.Println(err)
		return
	}
	if string(e.Tag()) == "transcript" {
		span, err := format.ParseSpan(e.Key, e.Value)
		fmt.Println(span.VatID, span.Start, span.End.V, span.Current, err)
	}
	// Output: v1 3 9 true <nil>
}

func ExampleParseName() {
	name, err := format.ParseName("transcript.v1.3.9")
	fmt.Println(name.Kind, name.VatID, name.Pos, name.End, err)
	_, err = format.ParseName("transcript.v1.3")
	fmt.Println(err)
	// Output:
	// transcript v1 3 9 <nil>
	// expected artifact name of the form 'transcript.{vatID}.{startPos}.{endPos}', saw '"transcript.v1.3"'
}

func ExampleSpanSplitter() {
	var split format.SpanSplitter
	var hash format.SpanHash
	add := func(item []byte) error {
		hash.Add(item)
		fmt.Printf("%s\n", item)
		return nil
	}
	// An item may straddle chunks.
	for _, chunk := range []string{`{"d":["init"]}` + "\n" + `{"d":["mess`, `age"]}` + "\n"} {
		if err := split.Feed([]byte(chunk), add); err != nil {
			fmt.Println(err)
		}
	}
	if err := split.Finish(add); err != nil {
		fmt.Println(err)
	}
	fmt.Println(hash.Sum())
	// Output:
	// {"d":["init"]}
	// {"d":["message"]}
	// 3bacb62d438a0f7368d38974d553a2c0f013aacfcb0818ba251dac1e3c9285bd
}

func ExampleManifestWriter() {
	w := format.NewManifestWriter(os.Stdout, 1234567, string(format.Operational))
	if err := w.Add("snapshot.v1.34", "snapshot.v1.34"); err != nil {
		fmt.Println(err)
	}
	if err := w.Close(format.ExportDataFile); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {
	//   "blockHeight": 1234567,
	//   "artifactMode": "operational",
	//   "artifacts": [
	//     [
	//       "snapshot.v1.34",
	//       "snapshot.v1.34"
	//     ]
	//   ],
	//   "data": "export-data.jsonl"
	// }
}
