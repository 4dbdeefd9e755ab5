package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	"swingport/format"
	"swingport/stages"
)

// Trust says which export data is meant. Its records have the hashes of everything else, so that who knows its own hash, from the one who made
// the export or from a genesis file, need not trust whoever keeps or sends the export.
type Trust struct {
	ExportDataSHA256 string // that the file of the export data must have, in hexadecimal; "" checks nothing
	GenesisHash      string // that the export data must have, as format.GenesisHash has it; "" checks nothing
	HashGenesis      bool   // tell the genesis hash, also where there is none to compare it with
}

// ParseSHA256 takes a SHA-256 as sha256sum prints it, in lower or upper case.
func ParseSHA256(s string) (string, error) {
	if b, err := hex.DecodeString(s); err != nil || len(b) != sha256.Size {
		return "", errors.New("not a SHA-256, which is 64 hexadecimal digits")
	}
	return strings.ToLower(s), nil
}

// ParseGenesisHash takes a hash as a genesis file has it: sha256: and a SHA-256.
func ParseGenesisHash(s string) (string, error) {
	digits, ok := strings.CutPrefix(s, format.GenesisPrefix)
	digits, err := ParseSHA256(digits)
	if !ok || err != nil {
		return "", errors.New("not the hash of a genesis file, which is " + format.GenesisPrefix + " and 64 hexadecimal digits")
	}
	return format.GenesisPrefix + digits, nil
}

// An UntrustedError says that export data is not what Trust expects.
type UntrustedError struct {
	What string // "sha256" or "genesis hash"
	Want string
	Got  string // "" where it is not known
	Err  error  // why it is not
}

func (e *UntrustedError) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("the %s of the export data should be %s, and is not known: %v", e.What, e.Want, e.Err)
	}
	return fmt.Sprintf("the %s of the export data is %s, and should be %s", e.What, e.Got, e.Want)
}

func (e *UntrustedError) Unwrap() error { return e.Err }

// parse refuses what is no hash.
func (t *Trust) parse() (err error) {
	if t.ExportDataSHA256 != "" {
		if t.ExportDataSHA256, err = ParseSHA256(t.ExportDataSHA256); err != nil {
			return fmt.Errorf("expected sha256 of the export data: %w", err)
		}
	}
	if t.GenesisHash != "" {
		if t.GenesisHash, err = ParseGenesisHash(t.GenesisHash); err != nil {
			return fmt.Errorf("expected genesis hash: %w", err)
		}
	}
	return nil
}

// asked reports whether the export data matters more than its records do.
func (t *Trust) asked() bool { return t.ExportDataSHA256 != "" || t.wantsGenesis() }

func (t *Trust) wantsGenesis() bool { return t.HashGenesis || t.GenesisHash != "" }

// genesis is what computes the genesis hash, nil where nobody asked.
func (t *Trust) genesis() *format.GenesisHash {
	if !t.wantsGenesis() {
		return nil
	}
	return format.NewGenesisHash()
}

// dataHashes are the hashes of export data, "" where they are not known.
type dataHashes struct {
	sha256  string
	genesis string
	err     error // why there is no genesis hash, or neither of them
}

func hashesOf(data *stages.ExportData) dataHashes {
	if data.SHA256() == nil {
		return dataHashes{err: errors.New("the export data was not read to its end")}
	}
	return newDataHashes(data.SHA256(), data.Genesis)
}

// newDataHashes takes a genesis of nil for what nobody asked for.
func newDataHashes(sum []byte, genesis *format.GenesisHash) dataHashes {
	h := dataHashes{sha256: hex.EncodeToString(sum)}
	if genesis != nil {
		h.genesis, h.err = genesis.Sum()
	}
	return h
}

// dataHasher hashes the lines of export data that goes nowhere.
type dataHasher struct {
	sum     hash.Hash
	genesis *format.GenesisHash // may be nil
	line    []byte
	whole   bool // all lines were added
}

func (d *dataHasher) row(r stages.Row) {
	d.line = format.AppendKV(d.line[:0], r.A, r.B)
	d.add(d.line)
}

func (d *dataHasher) add(lines []byte) error {
	d.sum.Write(lines)
	if d.genesis != nil {
		d.genesis.Lines(lines)
	}
	return nil
}

// check compares the hashes. warning is why there is no genesis hash where it was only to be told.
func (t *Trust) check(h dataHashes) (wrong []error, warning string) {
	for _, c := range []UntrustedError{
		{"sha256", t.ExportDataSHA256, h.sha256, h.err},
		{"genesis hash", t.GenesisHash, h.genesis, h.err},
	} {
		if c.Got != "" {
			c.Err = nil
		}
		if c.Want != "" && c.Got != c.Want {
			wrong = append(wrong, &c)
		}
	}
	if t.HashGenesis && t.GenesisHash == "" && h.genesis == "" {
		warning = fmt.Sprintf("the export data has no genesis hash: %v", h.err)
	}
	return wrong, warning
}
