package format_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"swingport/format"
)

// An index is written as the entries come by, and asked for one of them.
func ExampleArchiveIndex() {
	var index bytes.Buffer
	w := format.NewArchiveIndexWriter(&index)
	end := int64(0)
	for _, name := range []string{"snapshot.v1.2", "transcript.v1.0.3"} {
		content := []byte("content of " + name)
		header, err := format.AppendTarHeader(nil, name, int64(len(content)), 0)
		if err != nil {
			fmt.Println(err)
			return
		}
		e := format.ArchiveEntry{Name: name, Offset: end + int64(len(header)), Size: int64(len(content)), SHA256: sha256.Sum256(content)}
		if err := w.Add(e); err != nil {
			fmt.Println(err)
		}
		end = e.Offset + e.Size + format.TarPadding(e.Size)
	}
	if err := w.Close(); err != nil {
		fmt.Println(err)
	}

	x, err := format.OpenArchiveIndex(bytes.NewReader(index.Bytes()), int64(index.Len()))
	if err != nil {
		fmt.Println(err)
		return
	}
	e, ok, err := x.Find("transcript.v1.0.3")
	fmt.Println(e.Offset, e.Size, ok, err)
	fmt.Println(x.Len(), x.TarSize(), x.Verify())
	// Output:
	// 1536 28 true <nil>
	// 2 2048 <nil>
}

func ExampleSeekTable() {
	var table format.SeekTable
	for _, frame := range [][2]int64{{300_000, 1 << 20}, {7_000, 5_000}} {
		if err := table.Add(frame[0], frame[1]); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Printf("%d bytes in %d frames\n", table.RawSize(), table.Len())
	fmt.Printf("%+v\n", table.Frame(table.Find(1<<20+17)))
	fmt.Printf("%x\n", table.Append(nil))
	// Output:
	// 1053576 bytes in 2 frames
	// {Offset:300000 Size:7000 RawOffset:1048576 RawSize:5000}
	// 5e2a4d1819000000e093040000001000581b0000881300000200000000b1ea928f
}
