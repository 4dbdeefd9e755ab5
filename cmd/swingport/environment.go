package main

import (
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"swingport/format"
)

// envPrefix begins the names under which the environment sets the flags of the
// reference: AG_CHAIN_COSMOS_STATE_DIR is --state-dir.
const envPrefix = "AG_CHAIN_COSMOS_"

// The flags that the environment can set: all those of the reference where it
// has the command too, else those that say where the store is.
var (
	envFlags      = []string{"home", "state-dir", "export-dir", "artifact-mode", "export-data-mode", "check-block-height", "verbose"}
	envStoreFlags = envFlags[:2]
)

// environment makes a map of KEY=VALUE strings; of two of a name the last wins.
func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, kv := range environ {
		if key, value, ok := strings.Cut(kv, "="); ok {
			env[key] = value
		}
	}
	return env
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that the command line did not. A verbose that
// is no boolean is false, as in the reference; all other nonsense is an error.
func fromEnvironment(flags *pflag.FlagSet, env map[string]string, names []string) error {
	for _, name := range names {
		flag, value, set := flags.Lookup(name), "", false
		if flag != nil && !flag.Changed {
			value, set = env[envName(name)]
		}
		if !set || name == "check-block-height" && value == "" {
			continue
		}
		if err := flag.Value.Set(value); err != nil && name != "verbose" {
			return usagef("%s %q: %w", envName(name), value, err)
		}
	}
	return nil
}

// refuseReplaced fails where the environment sets one of the flags that the
// reference refuses. It reads include-... as booleans and so overlooks others.
func refuseReplaced(env map[string]string, names ...string) error {
	for _, name := range names {
		value, set := env[envName(name)]
		if _, err := parseBool(value); set && (err == nil || name == "export-mode") {
			return replacedFlag(name)
		}
	}
	return nil
}

func userHome(env map[string]string) (string, error) {
	if home := env["HOME"]; home != "" {
		return home, nil
	}
	u, err := user.Current()
	if err != nil {
		return "", err
	}
	return u.HomeDir, nil
}

// sourceDate is SOURCE_DATE_EPOCH, which other programs set too: 0 where nobody
// did. What is no time is an error, or two runs that should have been equal differ.
func sourceDate(env map[string]string) (int64, error) {
	text := env["SOURCE_DATE_EPOCH"]
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text || n < 0 || n > format.MaxTarTime {
		return 0, usagef("SOURCE_DATE_EPOCH %q: not a whole number of seconds from 0 to %d", text, int64(format.MaxTarTime))
	}
	return n, nil
}
