package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"swingport/pipeline"
)

// trustHelp explains what the flags of trustFlags are for, on import and verify.
const trustHelp = `
The export data holds the hashes of everything else, and so is what has to be
trusted. --expect-export-data-sha256 takes its SHA-256 from whoever made the
export (its summary has it, and sha256sum export-data.jsonl prints it);
--expect-genesis-hash takes it as a genesis file of the chain has it, in
swing_store_export_data_hash: of the lines as the chain writes them again.
`

// trustFlags say which export data is meant.
type trustFlags struct{ pipeline.Trust }

func (t *trustFlags) add(f *pflag.FlagSet) {
	addValue(f, &t.ExportDataSHA256, pipeline.ParseSHA256, "expect-export-data-sha256",
		"fail unless the export data has the SHA-256 `HEX`")
	addValue(f, &t.GenesisHash, pipeline.ParseGenesisHash, "expect-genesis-hash",
		"fail unless the export data has the `HASH` of a genesis file, sha256:HEX")
	addGenesisHash(f, &t.HashGenesis)
}

func (t *trustFlags) complete(cmd *cobra.Command) {
	completeFlag(cmd, "expect-export-data-sha256")
	completeFlag(cmd, "expect-genesis-hash", "sha256:")
}

func addGenesisHash(f *pflag.FlagSet, to *bool) {
	addBool(f, to, "genesis-hash", "print the hash that a genesis file has of this export data")
}
