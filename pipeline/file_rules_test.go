package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// What is made has the mode that the umask leaves of 0644, and until it is whole nobody else can open it. The umask is the process's, so each one has its own.
func TestFileModes(t *testing.T) {
	t.Parallel()
	for _, umask := range []string{"0", "22", "77"} {
		if out, err := child(t, "TestFileModesUnder", umask).Output(); err != nil {
			t.Errorf("umask %s: %v\n%s", umask, err, out)
		}
	}
}

func TestFileModesUnder(t *testing.T) {
	if os.Getenv(t.Name()) == "" {
		return
	}
	umask, err := strconv.ParseInt(os.Getenv(t.Name()), 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Umask(int(umask))
	file, dir := 0o644&^fs.FileMode(umask), 0o755&^fs.FileMode(umask)
	state, packed := testdata.Store(t, "tiny"), filepath.Join(t.TempDir(), "a.tar.zst")
	writers := map[string]func(target string, hooked *stages.FS) error{
		"export to a directory": func(target string, hooked *stages.FS) error {
			_, err := Export(context.Background(), ExportOptions{StateDir: state, ExportDir: filepath.Join(target, "new", "export"), ExportDataMode: format.All, Checksums: true, fs: hooked, openSpans: 1})
			return err
		},
		"export to an archive": func(target string, hooked *stages.FS) error {
			_, err := Export(context.Background(), ExportOptions{StateDir: state, Archive: filepath.Join(target, "a.tar.zst"), fs: hooked})
			return err
		},
		"extract": func(target string, hooked *stages.FS) error {
			_, err := Extract(context.Background(), ExtractOptions{Path: packed, To: filepath.Join(target, "new"), fs: hooked})
			return err
		},
		"import": func(target string, hooked *stages.FS) error {
			_, err := importInto(context.Background(), ImportOptions{Archive: packed, StateDir: filepath.Join(target, "new", "state")}, hooked)
			return err
		},
		"import by pages": func(target string, hooked *stages.FS) error {
			_, err := importInto(context.Background(), ImportOptions{Archive: packed, StateDir: filepath.Join(target, "new", "state"), Writer: WriterPages}, hooked)
			return err
		},
		"copy": func(target string, hooked *stages.FS) error {
			_, err := Copy(context.Background(), CopyOptions{StateDir: state, ToStateDir: filepath.Join(target, "new"), fs: hooked})
			return err
		},
	}
	if _, err := Export(context.Background(), ExportOptions{StateDir: state, Archive: packed}); err != nil {
		t.Fatal(err)
	}
	for name, write := range writers {
		target := t.TempDir()
		hooked, seen := hiddenUntilWhole(t, name, target)
		if err := write(target, hooked); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if *seen == 0 {
			t.Errorf("%s: no temporary file was looked at", name)
		}
		eachMode(t, target, func(path string, mode fs.FileMode) {
			if mode.IsDir() && mode.Perm() != dir || mode.IsRegular() && mode.Perm() != file {
				t.Errorf("%s: %s has mode %v", name, path, mode)
			}
		})
	}
}

// hiddenUntilWhole is a file layer that fails the test where a temporary file in target can be opened by others, up to the rename that gives it
// its name. It looks before every sync and every tenth other operation.
func hiddenUntilWhole(t *testing.T, name, target string) (hooked *stages.FS, seen *int) {
	seen = new(int)
	var ops atomic.Int64
	watch := make(chan struct{}, 1)
	return &stages.FS{Before: func(op stages.Op) error {
		if op.Kind == stages.OpRename || !strings.HasPrefix(op.Path, target) || op.Kind != stages.OpSync && ops.Add(1)%10 != 0 {
			return nil
		}
		select {
		case watch <- struct{}{}:
		default:
			return nil
		}
		eachMode(t, target, func(path string, mode fs.FileMode) {
			if !strings.Contains(path, ".swingport-") || mode.IsDir() {
				return
			}
			*seen++
			folder, err := os.Stat(filepath.Dir(path))
			if err == nil && mode.Perm() != 0o600 && folder.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s: %s has mode %v, in a folder of mode %v", name, path, mode, folder.Mode())
			}
		})
		<-watch
		return nil
	}}, seen
}

// eachMode calls f with what is below a directory. Files may go meanwhile.
func eachMode(t *testing.T, dir string, f func(path string, mode fs.FileMode)) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return nil
		}
		if info, err := e.Info(); err == nil {
			f(path, info.Mode())
		}
		return nil
	})
}

// A store that replaces another has its mode, but that everybody may write to it; one that is kept keeps it.
func TestImportedMode(t *testing.T) {
	t.Parallel()
	for old, want := range map[fs.FileMode]fs.FileMode{0o600: 0o600, 0o640: 0o640, 0o660: 0o660, 0o666: 0o664, 0o644: 0o644} {
		o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t), KeepOld: true}
		if err := os.Chmod(filepath.Join(o.StateDir, stages.StoreFile), old); err != nil {
			t.Fatal(err)
		}
		sum, err := Import(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]fs.FileMode{stages.StoreFile: want, sum.KeptOld: old} {
			if info, err := os.Stat(filepath.Join(o.StateDir, name)); err != nil || info.Mode().Perm() != mode {
				t.Errorf("over %v: %s: %v, %v; want %v", old, name, info.Mode(), err, mode)
			}
		}
	}
}

// A link, or a pipe, where an export expects what it left behind itself is somebody else's: nothing is removed by its manifest.
func TestExportPlantedFolder(t *testing.T) {
	t.Parallel()
	manifest := `{"blockHeight":1,"artifacts":[["mine.txt","mine.txt"]],"data":"export-data.jsonl"}`
	for name, plant := range map[string]func(t *testing.T, folder string) error{
		"link to a folder": func(t *testing.T, folder string) error {
			elsewhere := t.TempDir()
			put(t, filepath.Join(elsewhere, format.ManifestFile), manifest)
			return os.Symlink(elsewhere, folder)
		},
		"file": func(t *testing.T, folder string) error { return os.WriteFile(folder, []byte(manifest), 0o644) },
		"link to a manifest": func(t *testing.T, folder string) error {
			elsewhere := t.TempDir()
			put(t, filepath.Join(elsewhere, format.ManifestFile), manifest)
			return errors.Join(os.Mkdir(folder, 0o755), os.Symlink(filepath.Join(elsewhere, format.ManifestFile), filepath.Join(folder, format.ManifestFile)))
		},
		"pipe as manifest": func(_ *testing.T, folder string) error {
			return errors.Join(os.Mkdir(folder, 0o755), syscall.Mkfifo(filepath.Join(folder, format.ManifestFile), 0o644))
		},
	} {
		for _, resume := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, resume %v", name, resume), func(t *testing.T) {
				dir := t.TempDir()
				put(t, filepath.Join(dir, "mine.txt"), "mine")
				if err := plant(t, filepath.Join(dir, ".swingport-export-planted")); err != nil {
					t.Fatal(err)
				}
				done := make(chan error, 1)
				go func() {
					_, err := Export(context.Background(), ExportOptions{StateDir: testdata.Store(t, "tiny"), ExportDir: dir, Resume: resume})
					done <- err
				}()
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
				case <-time.After(time.Minute):
					t.Fatal("the export waits for the pipe")
				}
				if text := readText(t, dir, "mine.txt"); text != "mine" {
					t.Errorf("mine.txt is %q", text)
				}
			})
		}
	}
}

// What the engine keeps beside a store may be a link that somebody planted: where it leads, nothing is changed.
func TestImportPlantedLinks(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"-wal", "-shm", "-journal"} {
		for _, wal := range []bool{false, true} {
			o := ImportOptions{StateDir: oldStore(t), ExportDir: handMade().write(t)}
			if wal {
				change(t, o.StateDir, "PRAGMA journal_mode = WAL")
			}
			victim := filepath.Join(t.TempDir(), "victim")
			put(t, victim, strings.Repeat("not yours\n", 1000))
			before := content(t, filepath.Dir(victim))
			if err := os.Symlink(victim, filepath.Join(o.StateDir, stages.StoreFile+end)); err != nil {
				t.Fatal(err)
			}
			_, exportErr := Export(context.Background(), ExportOptions{StateDir: o.StateDir, ExportDir: t.TempDir()})
			_, err := Import(context.Background(), o)
			if end == "-wal" && (exportErr == nil || err == nil) {
				t.Errorf("wal %v: export %v, import %v", wal, exportErr, err)
			}
			same(t, filepath.Dir(victim), before)
		}
	}
}

// What is planted where a file is to come is not written through.
func TestPlantedTargets(t *testing.T) {
	t.Parallel()
	state, victim := testdata.Store(t, "tiny"), filepath.Join(t.TempDir(), "victim")
	put(t, victim, "not yours")
	before := content(t, filepath.Dir(victim))
	packed := packExport(t, testdata.ArchiveOptions{}).path
	for name, write := range map[string]func(dir string) error{
		format.ExportDataFile: func(dir string) error {
			_, err := Export(context.Background(), ExportOptions{StateDir: state, ExportDir: dir, ExportDataMode: format.All})
			return err
		},
		"a.tar": func(dir string) error {
			_, err := Export(context.Background(), ExportOptions{StateDir: state, Archive: filepath.Join(dir, "a.tar")})
			return err
		},
		format.ManifestFile: func(dir string) error {
			_, err := Extract(context.Background(), ExtractOptions{Path: packed, To: dir})
			return err
		},
		"transcript.V1.0.3": func(dir string) error {
			_, err := Extract(context.Background(), ExtractOptions{Path: packed, To: dir, Names: []string{"transcript.V1.0.3"}})
			return err
		},
	} {
		for _, to := range []string{victim, filepath.Join(filepath.Dir(victim), "nothing")} {
			dir := t.TempDir()
			if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			if err := write(dir); !errors.As(err, new(*ExistsError)) {
				t.Errorf("%s -> %s: error %v", name, filepath.Base(to), err)
			}
			if link, err := os.Readlink(filepath.Join(dir, name)); err != nil || link != to {
				t.Errorf("%s: the link leads to %s, %v", name, link, err)
			}
			same(t, filepath.Dir(victim), before)
		}
	}
}
