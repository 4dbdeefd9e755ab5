package stages

import (
	"swingport/format"
)

// Limits of what an import takes: memory stays bounded whatever an archive says. Those of the format itself are in package format.
const (
	// DefaultMaxItem is the largest item, line of the export data or bundle, in bytes. Each is in memory as a whole, in up to six copies of its
	// parts while it is parsed and stored. The command has a flag.
	DefaultMaxItem = 32 << 20

	// DefaultStoreItem is the largest item, line or bundle that is read of a store, in bytes. A store is more to be trusted than an archive, and
	// fewer copies of it are made. The command has the same flag for it.
	DefaultStoreItem = 48 << 20

	// DefaultMaxWindow is the largest window of a zstd stream, in bytes: what the decoder keeps of what it has decoded. That of zstd -19 is
	// 8 MiB, --long and --ultra ask for up to 128 MiB. The command has a flag.
	DefaultMaxWindow = 32 << 20

	// MaxWindow is the largest DefaultMaxWindow that can be asked for.
	MaxWindow = 2 << 30

	// maxExtended is the longest PAX record in front of a file of our archives, in bytes: the name and the size.
	maxExtended = format.MaxName + 1024

	// maxNames is how much memory the names in somebody else's tar may take, in bytes: about 900,000 artifacts.
	maxNames = 128 << 20

	// nameCost is what a name costs beside its own bytes: slices and a map.
	nameCost = 96

	// archiveMemory is how much content of an archive is on its way from the one who reads it to those who unpack it, in bytes.
	archiveMemory = 32 << 20

	// archiveChunk is the size of its pieces.
	archiveChunk = 128 << 10

	// largeContent is the size from which on items and bundles are unpacked one at a time, in bytes.
	largeContent = 4 << 20
)

// maxItemOf is what was asked for as the largest item, or the default; no more than the database takes.
func maxItemOf(asked int64) int {
	if asked <= 0 {
		asked = DefaultMaxItem
	}
	return int(min(asked, maxValue))
}

// storeItemOf is what was asked for as the largest item of a store, or the default.
func storeItemOf(asked int64) int {
	if asked <= 0 {
		asked = DefaultStoreItem
	}
	return maxItemOf(asked)
}

// tooLarge is the error for what is larger than the largest item.
func tooLarge(what string, limit int) error {
	return errorf(format.ErrLimit, "%s of more than %d bytes, which are the most that is taken: --max-item can raise that", what, limit)
}

// checkText refuses what is large and no UTF-8: replacing each broken byte makes it three times as large.
func checkText(what string, text []byte, limit int) error {
	if len(text) > limit/4 && len(text) > largeContent && !format.ValidText(text) {
		return tooLarge(what+" that is no UTF-8", limit/4)
	}
	return nil
}
