package stages

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"swingport/format"
)

// checksums are what SHA256SUMS says.
type checksums = nameTable[[sha256.Size]byte]

// readChecksums reads SHA256SUMS. It returns nil where there is no file.
func (d *Dir) readChecksums() (*checksums, error) {
	c := new(checksums)
	err := d.eachChecksum(func(name string, sum [sha256.Size]byte) error {
		c.add(name, sum)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if twice := c.sort(); twice != nil {
		return nil, d.listedTwice(twice.name)
	}
	return c, nil
}

// listedTwice is the error for a file that SHA256SUMS lists twice.
func (d *Dir) listedTwice(twice recordKey) error {
	return d.eachChecksum(func(name string, _ [sha256.Size]byte) error {
		if makeRecordKey([]byte(name)) == twice {
			return errorf(format.ErrDuplicate, "%s: file %s is there twice", format.ChecksumsFile, quoted(name))
		}
		return nil
	})
}

// eachChecksum calls f for each line of SHA256SUMS.
func (d *Dir) eachChecksum(f func(name string, sum [sha256.Size]byte) error) error {
	file, _, err := d.openPlain(format.ChecksumsFile)
	if err != nil {
		return err
	}
	defer file.Close()
	return readChecksums(file, f)
}

// readChecksums reads the output of GNU sha256sum: 64 hex digits, a space, a space or an asterisk, and a file name a line. A name with a
// newline or a backslash in it is escaped, and the line then begins with a backslash.
func readChecksums(r io.Reader, each func(name string, sum [sha256.Size]byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<10)
	n := 0
	for lines.Scan() {
		n++
		name, sum, ok := parseChecksum(lines.Text())
		if !ok {
			return errorf(format.ErrFormat, "%s line %d is not a checksum and a file name", format.ChecksumsFile, n)
		}
		if err := each(name, sum); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", format.ChecksumsFile, err)
	}
	if n == 0 {
		return errorf(format.ErrFormat, "%s is empty", format.ChecksumsFile)
	}
	return nil
}

func parseChecksum(line string) (name string, sum [sha256.Size]byte, ok bool) {
	line, escaped := strings.CutPrefix(line, `\`)
	const digits = 2 * sha256.Size
	if len(line) < digits+3 || line[digits] != ' ' || line[digits+1] != ' ' && line[digits+1] != '*' {
		return "", sum, false
	}
	if _, err := hex.Decode(sum[:], []byte(line[:digits])); err != nil {
		return "", sum, false
	}
	name = line[digits+2:]
	if escaped {
		name = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(name)
	}
	for strings.HasPrefix(name, "./") {
		name = name[len("./"):]
	}
	return name, sum, name != ""
}
