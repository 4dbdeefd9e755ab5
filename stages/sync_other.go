//go:build unix && !linux

package stages

import (
	"os"

	"golang.org/x/sys/unix"
)

func startWriteback(*File) {}

func waitWriteback(*os.File, int64, int64, int64) error { return nil }

// syncAll makes everything durable; there is no call for one file system alone.
func syncAll(*os.File) error { return unix.Sync() }

func renameNew(_, _ string) error { return errNoRenameNew }

func widenPipe(int) {}

func pipeHolds(int) int { return 0 }

func adviseRandom(int) {}

func adviseWillNeed(int, int64, int64) {}

func mapFile(*os.File, int64, int) ([]byte, error) { return nil, unix.ENOTSUP }

func openElsewhere(int) bool { return false }

func createNameless(dir string) (*os.File, error) { return createNamed(dir) }
