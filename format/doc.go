// Package format reads and writes the bytes of a swing-store export: artifact
// names, the manifest, the lines of export data and the metadata records in
// them, transcript spans and their hashes, and bundles; and of an archive that
// holds one: its header, its tar headers, its index and its seek table.
//
// It promises the bytes that the reference implementation (Agoric's
// @agoric/swing-store 0.10.0 and @agoric/cosmic-swingset 0.42.0) writes, down to
// the way JavaScript prints a number or decodes broken UTF-8, and to take what
// that implementation takes. Where the reference would store something that no
// store should hold, this package refuses; FORMAT.md lists those places.
//
// It does not open files, start goroutines, know SQL, or decide which artifacts
// belong to an export. Functions called AppendX append to dst, return it as
// append does, and allocate only where dst has no room. Errors wrap one of the
// sentinels in errors.go, or io.ErrUnexpectedEOF where the input is cut off.
//
// FORMAT.md beside the code is the specification, with tables and a worked
// example. Read exportdata.go and manifest.go next.
package format
