package format

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// The largest bundles that are looked at, in bytes. The reference makes one
// string of a bundle (of a b1 in base64), and a string of node 20 has at most
// 2^29-24 characters.
const (
	MaxB0Size = 1<<29 - 24
	MaxB1Size = MaxB0Size / 4 * 3
)

const (
	prefixB0           = "b0-"
	prefixB1           = "b1-"
	compartmentMapFile = "compartment-map.json"
)

// NormalizeB0 returns the text that the reference stores when it imports the
// artifact data of the bundle id ("b0-" and a SHA-256): of the JSON only
// moduleFormat, source and sourceMap, in that order, printed by JSON.stringify.
// The id must be the hash of that text. Nothing else is checked: as in the
// reference, any value can be anywhere, even in place of the whole.
//
// Deeper than 4,000 levels is ErrLimit; the reference fails at about 4,100. So
// are more than 2^20 values.
// The parsed JSON takes several times the memory of data. Errors wrap
// ErrFormat, ErrHashMismatch, ErrLimit or io.ErrUnexpectedEOF.
func NormalizeB0(id string, data []byte) (stored []byte, err error) {
	if !strings.HasPrefix(id, prefixB0) {
		return nil, unsupportedBundle(id)
	}
	if len(data) > MaxB0Size {
		return nil, errorf(ErrLimit, "bundle of %d bytes, the limit is %d", len(data), MaxB0Size)
	}
	if stored, err = normalizeB0(data); err != nil {
		return nil, err
	}
	if err := checkB0(id, stored); err != nil {
		return nil, err
	}
	return stored, nil
}

func normalizeB0(data []byte) (stored []byte, err error) {
	text := data
	if !ValidText(text) {
		text = AppendText(nil, data)
	}
	v, err := parseJSON("bundle", text)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, errorf(ErrFormat, "bundle is null")
	}
	var bundle jsObject
	if o, ok := v.(*jsObject); ok { // of other values every property is undefined
		for _, key := range []string{"moduleFormat", "source", "sourceMap"} {
			if v, ok := o.get(key); ok {
				bundle.set(key, v)
			}
		}
	}
	return appendValue(make([]byte, 0, len(data)), &bundle, 1)
}

// CheckB1 checks data, the zip file of the bundle id ("b1-" and a SHA-512), as
// the reference does when it imports it: the archive is one that @endo/zip
// reads; the id is the hash of its compartment-map.json; that map is valid; the
// entry module and everything it imports are there, with the hashes that the
// map gives, and in a form that their parsers take; and the archive has no
// other files. Nothing is copied but the file that is being parsed.
//
// Not checked is JavaScript: the reference parses none of it here. It does run
// code in one case, a map whose policy names an attenuator of globals, which
// bundles of the chain never have. CheckB1 refuses such a map, and JSON nested
// deeper than the limits in jsvalue.go; else its verdict is the reference's.
//
// Errors wrap ErrFormat, ErrHashMismatch, ErrIncomplete (a missing file),
// ErrLimit or io.ErrUnexpectedEOF.
func CheckB1(id string, data []byte) error {
	files, err := openB1(id, data)
	if err != nil {
		return err
	}
	if len(files) < 2 {
		return errorf(ErrFormat, "archive failed sanity check: should contain at least a compartment map file and one module file")
	}
	m, err := parseCompartmentMap(files[compartmentMapFile])
	if err != nil {
		return err
	}
	return checkModules(m, files)
}

// openB1 returns the files of a b1 bundle whose compartment map has the hash of the id.
func openB1(id string, data []byte) (map[string][]byte, error) {
	if !strings.HasPrefix(id, prefixB1) {
		return nil, unsupportedBundle(id)
	}
	if len(data) > MaxB1Size {
		return nil, errorf(ErrLimit, "bundle of %d bytes, the limit is %d", len(data), MaxB1Size)
	}
	files, err := readZip(data)
	if err != nil {
		return nil, fmt.Errorf("read zip: %w", err)
	}
	content, ok := files[compartmentMapFile]
	if !ok {
		return nil, errorf(ErrIncomplete, "cannot find file %s in the archive", compartmentMapFile)
	}
	if got := sha512Hex(content); got != id[len(prefixB1):] {
		return nil, errorf(ErrHashMismatch, "archive compartment map failed a SHA-512 integrity check, expected %s, got %s", quote(id[len(prefixB1):]), got)
	}
	return files, nil
}

// BundleMatches checks that stored, what a store has for the bundle id and an
// export passes on as it is, hashes to the id: of a b0 the text, of a b1 the
// compartment map and each file that this map gives a SHA-512. It is about
// intact bytes; BundleImportable asks for more. What is importable and b1 matches.
func BundleMatches(id string, stored []byte) error {
	if strings.HasPrefix(id, prefixB0) {
		return checkB0(id, stored)
	}
	if CheckB1(id, stored) == nil {
		return nil
	}
	files, err := openB1(id, stored)
	if err != nil {
		return err
	}
	v, err := parseJSON(compartmentMapFile, []byte(decodeText(files[compartmentMapFile])))
	if err != nil {
		return err
	}
	m, _ := v.(*jsObject)
	for _, c := range objectsIn(m, "compartments") {
		for _, module := range objectsIn(c, "modules") {
			if err := checkModuleHash(files, c, module); err != nil {
				return err
			}
		}
	}
	return nil
}

// objectsIn returns the objects among the members of the object o[key].
func objectsIn(o *jsObject, key string) (list []*jsObject) {
	if o == nil {
		return nil
	}
	v, _ := o.get(key)
	members, _ := v.(*jsObject)
	if members == nil {
		return nil
	}
	for _, k := range members.keys {
		if m, ok := members.values[k].(*jsObject); ok {
			list = append(list, m)
		}
	}
	return list
}

// checkModuleHash checks the file of a module, if the map names file and hash.
func checkModuleHash(files map[string][]byte, c, module *jsObject) error {
	dir, okDir := c.values["location"].(string)
	file, okFile := module.values["location"].(string)
	want, okHash := module.values["sha512"].(string)
	if !okDir || !okFile || !okHash {
		return nil
	}
	path := dir + "/" + file
	content, ok := files[path]
	if !ok {
		return errorf(ErrIncomplete, "cannot find file %s in the archive", quote(path))
	}
	if sha512Hex(content) != want {
		return errorf(ErrHashMismatch, "module %s failed a SHA-512 integrity check", quote(path))
	}
	return nil
}

// BundleImportable checks whether the reference, and this package, would import
// stored as the artifact of the bundle id. A store can have bundles that match
// their id and are not importable: a b0 text whose keys stand in another order,
// or a b1 archive that only an older version took.
func BundleImportable(id string, stored []byte) error {
	if strings.HasPrefix(id, prefixB0) {
		_, err := NormalizeB0(id, stored)
		return err
	}
	return CheckB1(id, stored)
}

func checkB0(id string, text []byte) error {
	sum := sha256.Sum256(text)
	if id[len(prefixB0):] != hex.EncodeToString(sum[:]) {
		return errorf(ErrHashMismatch, "bundleID %s does not match bundle artifact", quote(id))
	}
	return nil
}

func unsupportedBundle(id string) error {
	return errorf(ErrFormat, "unsupported BundleID %s", quote(id))
}
