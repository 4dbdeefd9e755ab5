package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"swingport/format"
	"swingport/pipeline"
)

func TestErrorsAndHints(t *testing.T) {
	reference := errors.New("incomplete archival transcript: 3 vs 12")
	cut := fmt.Errorf("the archive is truncated: %w", io.ErrUnexpectedEOF)
	for _, test := range []struct {
		name, command string
		err           error
		want          string // on stderr, after the prefixes
	}{
		{"archive exists", "export -o a.tar", &pipeline.ExistsError{Path: "a.tar"}, "a.tar already exists|choose another name: what exists is never overwritten"},
		{"reader gone", "export -o -", fmt.Errorf("write to standard output: %w", pipeline.ErrReaderGone),
			"write to standard output: its reader went away before all of it was written|whatever read it ended early: its own error says why"},
		{"cut archive", "import -i a.tar", cut, "the archive is truncated: unexpected EOF|the archive is not whole: copy it again, or export again"},
		{"cut stream", "import -i -", cut, "the archive is truncated: unexpected EOF|the stream ended early: the error of whatever wrote it says why"},
		{"cut stream to verify", "verify -", cut, "the archive is truncated: unexpected EOF|the stream ended early: the error of whatever wrote it says why"},
		{"archive of another version", "import -i a.tar", format.ErrArchiveVersion, "unknown archive version|" +
			"a newer swingport made this archive: import it with that one, or unpack it with tar and import the directory"},
		{"archive without export data", "import -i a.tar", pipeline.ErrNoExportData, "State-sync manifest missing export data|" +
			"this export was made without its export data and cannot be imported: export again with --export-data-mode all"},
		{"no archive", "import -i a.tar", &fs.PathError{Op: "open", Path: "a.tar", Err: syscall.ENOENT},
			"open a.tar: no such file or directory|check --input: it is the archive to import"},
		{"not the one that is meant", "import", fmt.Errorf("read export data: %w", &pipeline.UntrustedError{What: "sha256", Want: "aa", Got: "bb"}),
			"read export data: the sha256 of the export data is bb, and should be aa|" +
				"this is not the export that is meant: get it again from whoever made it, or check the hash that was given"},
		{"no archive to verify", "verify --input a.tar", &fs.PathError{Op: "open", Path: "a.tar", Err: syscall.ENOENT}, "open a.tar: no such file or directory"},
		{"both kinds", "verify --input a", fmt.Errorf("a holds both, say which of them is meant: %w", pipeline.ErrKind),
			"a holds both, say which of them is meant: neither a state directory, nor an export directory, nor an archive|with --state-dir or --export-dir"},
		{"no kind", "verify --input a", pipeline.ErrKind, "neither a state directory, nor an export directory, nor an archive"},
		{"hash on copy", "copy --to-state-dir t", &pipeline.ArtifactError{Name: "transcript.v1.0.3", Err: format.ErrHashMismatch},
			"artifact transcript.v1.0.3: hash mismatch|the store is damaged: restore it from a backup; swingport verify finds all that is wrong"},
		{"hash on extract", "extract a n", format.ErrHashMismatch, "hash mismatch|the archive is damaged: copy it again, or export again"},
		{"incomplete copy", "copy --to-state-dir t", &pipeline.IncompleteError{Err: reference, Possible: format.Operational},
			"incomplete archival transcript: 3 vs 12|copy with --artifact-mode operational would work"},
		{"disk full on copy", "copy --to-state-dir t", syscall.ENOSPC, "no space left on device|" +
			"the disk is full: make room, or name other places with --to-state-dir and --temp-dir"},
		{"hash on diff", "diff a b", format.ErrHashMismatch, "hash mismatch"},
		{"disk full on import", "import", syscall.ENOSPC, "no space left on device|" +
			"the disk is full: make room, or name other places with --state-dir and --temp-dir"},
		{"disk full on height", "height", syscall.ENOSPC, "no space left on device|the disk is full: make room"},
		{"disk full on verify", "verify -", syscall.ENOSPC, "no space left on device|the disk is full: make room, or name other places with --temp-dir"},
		{"plain", "export", errors.New("boom"), "boom"},
		{"folded", "export", errors.New("two\n  lines\r\n"), "two lines"},
		{"control characters", "import", errors.New("file \x1b[2Jx\x00"), "file ?[2Jx?"},
		{"incomplete", "export", fmt.Errorf("plan: %w", &pipeline.IncompleteError{Mode: format.Archival, Err: reference,
			Lacks: []string{"v7 lacks items 0..200", "v9 lacks items 0..3"}, Possible: format.Replay}),
			"plan: incomplete archival transcript: 3 vs 12|v7 lacks items 0..200; v9 lacks items 0..3; export with --artifact-mode replay would work"},
		{"much incomplete", "export", &pipeline.IncompleteError{Err: reference, Lacks: strings.Fields("a b c d e f g")},
			"incomplete archival transcript: 3 vs 12|a; b; c; d; e; and 2 more; no artifact mode fits what is left; restore from a backup or state-sync"},
		{"incomplete export", "import", &pipeline.IncompleteError{Err: reference, Possible: format.Operational},
			"incomplete archival transcript: 3 vs 12|import with --artifact-mode operational would work"},
		{"no export data", "import", pipeline.ErrNoExportData, "State-sync manifest missing export data|" +
			"this export was made without its export data and cannot be imported: export again with --export-data-mode all"},
		{"in use", "import", &pipeline.InUseError{Path: "/s/swingstore.sqlite", Err: errors.New("database is locked")},
			"/s/swingstore.sqlite is in use by another process: database is locked|stop the node, or whatever else has the store open, and try again"},
		{"exists", "export", &pipeline.ExistsError{Path: "e/export-manifest.json"},
			"e/export-manifest.json already exists|choose an empty directory: what exists is never overwritten"},
		{"no store", "height", fmt.Errorf("%w in /s", pipeline.ErrNoStore),
			"no swing-store in /s|check --state-dir and --home: the state directory is the one that holds swingstore.sqlite"},
		{"no store in an import", "import", fmt.Errorf("%w: %w", pipeline.ErrNoStore, fs.ErrNotExist), "no swing-store: file does not exist|" +
			"check --state-dir and --home: the state directory is the one that holds swingstore.sqlite"},
		{"no database", "export", pipeline.ErrNotStore, "not a swing-store|" +
			"the file is damaged or no swing-store: check --state-dir, or restore swingstore.sqlite from a backup"},
		{"log in a read-only directory", "export", fmt.Errorf("%w: %w", pipeline.ErrLogUnreadable, syscall.EACCES),
			"the write-ahead log holds commits and cannot be read without writing beside it: permission denied|" +
				"run as the user that the node runs as, or copy the directory and read the copy"},
		{"no locks", "export", &fs.PathError{Op: "lock", Path: "s/x", Err: syscall.ENOLCK}, "lock s/x: no locks available|" +
			"the file system cannot lock files, which a store needs: mount it with locks, or copy the directory to another disk while no node runs"},
		{"disk full", "export", &fs.PathError{Op: "write", Path: "e/x", Err: syscall.ENOSPC}, "write e/x: no space left on device|" +
			"the disk is full: make room, or name other places with --output, --export-dir and --temp-dir"},
		{"permission", "import", &fs.PathError{Op: "open", Path: "s", Err: syscall.EACCES}, "open s: permission denied|" +
			"run as the user that the node runs as, or check who owns the directories"},
		{"hash on export", "export", &pipeline.ArtifactError{Name: "transcript.v1.0.3", Err: format.ErrHashMismatch},
			"artifact transcript.v1.0.3: hash mismatch|the store is damaged: restore it from a backup; --no-verify exports it as it is"},
		{"hash on import", "import", &pipeline.ArtifactError{Name: "transcript.v1.0.3", Err: format.ErrHashMismatch},
			"artifact transcript.v1.0.3: hash mismatch|the export is damaged: copy it again, or export again"},
		{"cut file", "import", fmt.Errorf("manifest: %w", io.ErrUnexpectedEOF),
			"manifest: unexpected EOF|the export is not whole: copy it again, or export again"},
		{"no manifest", "import", &fs.PathError{Op: "open", Path: "e/export-manifest.json", Err: syscall.ENOENT},
			"open e/export-manifest.json: no such file or directory|" +
				"check --export-dir: it is the directory that holds export-manifest.json and the files that it names"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFake()
			f.fail = test.err
			text, hint, hinted := strings.Cut(test.want, "|")
			want := "swingport: error: " + text + "\n"
			if hinted {
				want += "swingport: hint: " + hint + "\n"
			}
			if rc := f.run(strings.Fields(test.command)); rc != exitFailed || f.err.String() != want || f.out.Len() > 0 {
				t.Errorf("exit code %d, stdout %q, stderr\n%s\nwant\n%s", rc, f.out.String(), f.err.String(), want)
			}
		})
	}
}
