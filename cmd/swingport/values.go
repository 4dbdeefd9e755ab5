package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"swingport/format"
	"swingport/pipeline"
	"swingport/stages"
)

// value makes a flag of a parse function. A repeated flag: the last one wins.
type value[T any] struct {
	to    *T
	parse func(string) (T, error)
	text  string
}

func (v *value[T]) Set(s string) error {
	parsed, err := v.parse(s)
	if err == nil {
		*v.to, v.text = parsed, s
	}
	return err
}

func (v *value[T]) String() string { return v.text }
func (v *value[T]) Type() string   { return "value" }

func addValue[T any](f *pflag.FlagSet, to *T, parse func(string) (T, error), name, usage string) {
	f.Var(&value[T]{to: to, parse: parse}, name, usage)
}

// addBool adds a flag that needs no value.
func addBool(f *pflag.FlagSet, to *bool, name, usage string) {
	f.VarPF(&boolValue{value[bool]{to: to, parse: parseBool}}, name, "", usage).NoOptDefVal = "true"
}

// boolValue says that it is one, so that help does not show a value.
type boolValue struct{ value[bool] }

func (*boolValue) Type() string { return "bool" }

// parseBool reads a boolean as the reference does.
func parseBool(s string) (bool, error) {
	switch s {
	case "1", "true", "":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, errors.New("not one of true, false, 1, 0")
}

// parseHeight takes integers in the one form in which JavaScript prints them;
// the reference ignores all others in silence.
func parseHeight(s string) (*float64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != s || n > 1<<53 || n < -1<<53 {
		return nil, errors.New("not a block height, which is a whole number")
	}
	height := float64(n)
	return &height, nil
}

func parseWorkers(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 1024 {
		return 0, errors.New("not a whole number from 0 to 1024")
	}
	return n, nil
}

func parseFile(s string) (string, error) {
	if s == "" {
		return "", errors.New("empty")
	}
	return s, nil
}

// oneOf makes a parse function of the names that a flag takes.
func oneOf(names []string) func(string) (string, error) {
	return func(s string) (string, error) {
		for _, name := range names {
			if s == name {
				return s, nil
			}
		}
		return "", errors.New("not one of " + strings.Join(names, ", "))
	}
}

// parseSize takes "64MiB", "64 MB" and plain bytes. Nobody needs more than the
// limit of the format itself.
func parseSize(s string) (int64, error) {
	n, err := humanize.ParseBytes(s)
	if err != nil || n == 0 || n > format.MaxArchiveSize {
		return 0, errors.New("not a size like 256MiB")
	}
	return int64(n), nil
}

// parseSizeOrNone takes 0 too.
func parseSizeOrNone(s string) (int64, error) {
	if s == "0" {
		return 0, nil
	}
	return parseSize(s)
}

// minWindow is the smallest that zstd has.
const minWindow = 1 << 10

func parseWindow(s string) (int64, error) {
	n, err := parseSize(s)
	if err != nil || n < minWindow || n > stages.MaxWindow {
		return 0, errors.New("not a size from 1KiB to 2GiB")
	}
	return n, nil
}

// parseArtifactMode takes the modes of an export: those of the reference, and auto.
func parseArtifactMode(s string) (format.ArtifactMode, error) {
	if s == string(pipeline.AutoMode) {
		return pipeline.AutoMode, nil
	}
	return format.ParseArtifactMode(s)
}
