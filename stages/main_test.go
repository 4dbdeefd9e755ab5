package stages

import (
	"fmt"
	"os"
	"testing"
)

// children are what the test binary can be started as in place of its tests, by the value of childEnv.
var children = map[string]func() error{}

const childEnv = "SWINGPORT_TEST_CHILD"

func TestMain(m *testing.M) {
	name := os.Getenv(childEnv)
	if name == "" {
		os.Exit(m.Run())
	}
	if err := children[name](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
