package stages

import (
	"swingport/format"
)

// Limits of what an import takes: memory stays bounded whatever an archive says. Those of the format itself are in package format.
const (
	// DefaultMaxItem is the largest item, line of the export data or bundle, in bytes. Each is in memory as a whole. The command has a flag.
	DefaultMaxItem = 64 << 20

	// DefaultMaxWindow is the largest window of a zstd stream, in bytes: what the decoder keeps of what it has decoded. The command has a flag.
	DefaultMaxWindow = 64 << 20

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

	// largeBundle is the size from which on bundles are unpacked one at a time.
	largeBundle = 4 << 20
)
