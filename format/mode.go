package format

// ArtifactMode says which artifacts an export has, or an import takes.
type ArtifactMode string

// The artifact modes, each of the first four more than the one before. Debug
// takes whatever is there.
const (
	None        ArtifactMode = "none"
	Operational ArtifactMode = "operational"
	Replay      ArtifactMode = "replay"
	Archival    ArtifactMode = "archival"
	Debug       ArtifactMode = "debug"
)

// ParseArtifactMode takes one of the five names; anything else, "" too, is ErrMode.
func ParseArtifactMode(s string) (ArtifactMode, error) {
	switch m := ArtifactMode(s); m {
	case None, Operational, Replay, Archival, Debug:
		return m, nil
	}
	return "", errorf(ErrMode, `Invalid value %s for "artifact-mode"`, quote(s))
}

// ExportDataMode says what happens to the export data.
type ExportDataMode string

// The export data modes: leave it out, write or import all of it, or (import
// only) add the metadata rows that are missing.
const (
	Skip           ExportDataMode = "skip"
	All            ExportDataMode = "all"
	RepairMetadata ExportDataMode = "repair-metadata"
)

// ParseExportDataMode takes skip and all, and repair-metadata on import;
// anything else, "" too, is ErrMode.
func ParseExportDataMode(s string, isImport bool) (ExportDataMode, error) {
	switch m := ExportDataMode(s); {
	case m == Skip, m == All, m == RepairMetadata && isImport:
		return m, nil
	}
	return "", errorf(ErrMode, `Invalid value %s for "export-data-mode"`, quote(s))
}

// ImportMode decides in which mode an export can be imported: flag, or where
// that is "" the manifest's, or operational. It also checks that the manifest
// has what every import needs. Errors are ErrFormat, ErrIncomplete (one of them
// ErrNoExportData) or ErrMode, with the wording of the reference.
func ImportMode(flag ArtifactMode, m *Manifest) (ArtifactMode, error) {
	if !m.HasBlockHeight {
		return "", errorf(ErrFormat, "Cannot restore snapshot without block height")
	}
	if m.Data == "" {
		return "", ErrNoExportData
	}
	mode := flag
	if mode == "" {
		mode = ArtifactMode(m.ArtifactMode)
	}
	if mode == "" {
		mode = Operational
	}
	if mode == None {
		return "", errorf(ErrMode, `Cannot import "export data" without at least "operational" artifacts`)
	}
	if m.Artifacts.Len() == 0 && !m.ArtifactsLater {
		return "", errorf(ErrIncomplete, "State-sync manifest missing required artifacts")
	}
	if err := checkSufficient(mode, m); err != nil {
		return "", err
	}
	return mode, nil
}

// checkSufficient compares the mode with what the export was made to hold. A
// manifest that does not say (the Go side writes such) is believed to have it.
func checkSufficient(mode ArtifactMode, m *Manifest) error {
	has := ArtifactMode(m.ArtifactMode)
	if !m.HasArtifactMode {
		has = Debug
	}
	ok := has == Archival || has == Debug
	switch mode {
	case Operational, Debug:
		ok = ok || has == Operational || has == Replay
	case Replay:
		ok = ok || has == Replay
	case Archival:
	default:
		return errorf(ErrMode, "Unexpected artifactMode %s", quote(string(mode)))
	}
	if !ok {
		return errorf(ErrMode, "State-sync manifest has insufficient artifacts: requested import artifact mode: %s, manifest has %s artifacts",
			quote(string(mode)), quote(m.ArtifactMode))
	}
	return nil
}
