package stages

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"swingport/format"
	"swingport/testdata"
)

func workedArchive(t testing.TB) []byte {
	t.Helper()
	packed, err := os.ReadFile(filepath.Join(testdata.Dir(t), "archives", "worked-v1.tar"))
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// readAtRandom reads all files of an archive, after its index was verified; the first error is the result.
func readAtRandom(packed []byte) (files map[string]string, err error) {
	a, err := NewArchiveFile(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if err := a.Index().Verify(); err != nil {
		return nil, err
	}
	files = map[string]string{}
	err = a.Index().Each(func(e format.ArchiveEntry) error {
		r, err := a.Open(e)
		if err != nil {
			return err
		}
		content, err := io.ReadAll(r)
		files[e.Name] = string(content)
		return err
	})
	return files, err
}

// Every cut and every flipped bit of an archive is an error, or gives exactly the files of the undamaged one.
func TestArchiveFileCutAndFlipped(t *testing.T) {
	plain := workedArchive(t)
	want, err := readAtRandom(plain)
	if err != nil || len(want) != 7 {
		t.Fatalf("%d files, %v", len(want), err)
	}
	for name, packed := range map[string][]byte{
		"plain": plain, "zstd": testdata.ArchiveZstd(plain, 0), "zstd in small frames": testdata.ArchiveZstd(plain, 700),
	} {
		t.Run(name, func(t *testing.T) {
			for n := range packed {
				if _, err := readAtRandom(packed[:n]); err == nil {
					t.Fatalf("cut to %d bytes: no error", n)
				}
			}
			let := 0
			damaged := bytes.Clone(packed)
			for i := range packed {
				bit := byte(1) << (i % 8)
				damaged[i] ^= bit
				got, err := readAtRandom(damaged)
				damaged[i] ^= bit
				if err == nil && !maps.Equal(got, want) {
					t.Fatalf("byte %d flipped: other content", i)
				}
				if err == nil {
					let++
				}
			}
			// What is not seen are padding, and bits of compressed streams that mean nothing.
			if let > len(packed)/4 {
				t.Errorf("%d of %d flips are not seen", let, len(packed))
			}
		})
	}
}

// Frames that lie about what is in them, and tables that lie about frames, end with an error.
func TestArchiveFileBadFrames(t *testing.T) {
	plain := workedArchive(t)
	half := len(plain) / 2
	frames := [][]byte{testdata.ZstdFrame(plain[:half]), testdata.ZstdFrame(plain[half:])}
	bomb := testdata.ZstdFrame(make([]byte, 64<<20))
	join := func(frames [][]byte, sizes ...int) []byte {
		return append(bytes.Join(frames, nil), testdata.SeekTable(frames, sizes)...)
	}
	if _, err := readAtRandom(join(frames, half, len(plain)-half)); err != nil {
		t.Fatal(err)
	}
	for name, packed := range map[string][]byte{
		"one byte more than there is":   join(frames, half, len(plain)-half+1),
		"one byte less than there is":   join(frames, half-1, len(plain)-half),
		"a byte from one to the other":  join(frames, half+1, len(plain)-half-1),
		"more content than is said":     join([][]byte{frames[0], bomb}, half, 100),
		"a frame that is none":          join([][]byte{frames[0], make([]byte, len(frames[1]))}, half, len(plain)-half),
		"a frame with another behind":   join([][]byte{frames[0], append(frames[1][:len(frames[1]):len(frames[1])], frames[0]...)}, half, len(plain)-half),
		"frames in the other order":     join([][]byte{frames[1], frames[0]}, len(plain)-half, half),
		"a window of two gigabytes":     join([][]byte{frames[0], {0x28, 0xB5, 0x2F, 0xFD, 0, 0xA8, 1, 0, 0}}, half, len(plain)-half),
		"frames that are too large":     join(frames, half, 1<<30),
		"a frame that is beyond 64 bit": binary.LittleEndian.AppendUint64(join(frames, half, len(plain)-half), 1<<63),
	} {
		if _, err := readAtRandom(packed); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// An index that lies is found out by what it points to.
func TestArchiveFileLyingIndex(t *testing.T) {
	for name, change := range map[string]func([]testdata.ArchiveEntry){
		"another hash": func(e []testdata.ArchiveEntry) { e[1].SHA256[0]++ },
		"another size": func(e []testdata.ArchiveEntry) { e[1].Size++ },
		"another name": func(e []testdata.ArchiveEntry) { e[1].Name = "snapshot.v1.3" },
		"the content of another": func(e []testdata.ArchiveEntry) {
			e[1].Offset, e[1].Size, e[1].SHA256 = e[2].Offset, e[2].Size, e[2].SHA256
		},
		"no room for a header":  func(e []testdata.ArchiveEntry) { e[0].Offset, e[0].Name = 512, string(bytes.Repeat([]byte("x"), 200)) },
		"content in the header": func(e []testdata.ArchiveEntry) { e[1].Offset -= 512 },
	} {
		packed, entries := tinyArchive(t, testdata.ArchiveOptions{})
		change(entries)
		end := entries[len(entries)-1].End
		index := testdata.ArchiveIndex(entries)
		lying := append(packed[:end:end], testdata.TarHeader(format.ArchiveIndexFile, int64(len(index)), 0)...)
		lying = append(append(lying, index...), make([]byte, format.TarPadding(int64(len(index)))+format.TarEnd)...)
		if _, err := readAtRandom(lying); err == nil {
			t.Errorf("%s: no error", name)
		} else if errors.Is(err, ErrNotSeekable) {
			t.Errorf("%s: the archive was not opened: %v", name, err)
		}
	}
}

// FuzzArchiveFile opens whatever it is given: nothing panics, little is held, and content that reads without an error has its hash.
func FuzzArchiveFile(f *testing.F) {
	plain := workedArchive(f)
	good := [][]byte{plain, testdata.ArchiveZstd(plain, 0), testdata.ArchiveZstd(plain, 700)}
	for _, packed := range good {
		if files, err := readAtRandom(packed); err != nil || len(files) != 7 {
			f.Fatalf("a good seed has %d files, %v", len(files), err)
		}
		f.Add(packed)
	}
	for _, packed := range [][]byte{nil, plain[:len(plain)-1], good[1][:len(good[1])-1], testdata.ZstdFrame(plain), make([]byte, 2048)} {
		if _, err := readAtRandom(packed); err == nil {
			f.Fatal("a bad seed is let through")
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		a, err := NewArchiveFile(bytes.NewReader(packed), int64(len(packed)))
		if err != nil {
			return
		}
		defer a.Close()
		a.HeapHashes(t.Context(), map[string]string{"snapshot.v1.2": ""})
		a.Index().Verify()
		a.Index().Each(func(e format.ArchiveEntry) error {
			if found, ok, err := a.Index().Find(e.Name); err == nil && ok && found.Name != e.Name {
				t.Errorf("%q found as %q", e.Name, found.Name)
			}
			if e.Size > 1<<20 {
				return nil
			}
			r, err := a.Open(e)
			if err != nil {
				return nil
			}
			if content, err := io.ReadAll(r); err == nil && (sha256.Sum256(content) != e.SHA256 || int64(len(content)) != e.Size) {
				t.Errorf("%q has another hash or length", e.Name)
			}
			return nil
		})
		if a.frames == nil {
			return
		}
		held := cap(a.frames.packed)
		for _, h := range a.frames.held {
			held += cap(h.data)
		}
		if held > (heldFrames+1)*maxHeldFrame+maxFrameOverhead {
			t.Errorf("%d bytes are held", held)
		}
	})
}
