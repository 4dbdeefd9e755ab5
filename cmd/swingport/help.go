package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is where help texts wrap, in columns.
const helpWidth = 80

// A flagGroup is a headed part of the flags in a command's help.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

// flagGroups are all the flags of a command, in the order of its help.
type flagGroups []flagGroup

// group adds the flags that define makes to cmd, under a title of their own.
func (g *flagGroups) group(cmd *cobra.Command, title string, define func(*pflag.FlagSet)) {
	set := pflag.NewFlagSet(title, pflag.ContinueOnError)
	set.SortFlags = false
	define(set)
	cmd.Flags().AddFlagSet(set)
	cmd.SetUsageFunc(g.usage)
	*g = append(*g, flagGroup{title, set})
}

// usage prints how cmd is used; its long text stands before that.
func (g *flagGroups) usage(cmd *cobra.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", cmd.UseLine())
	if cmd.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", cmd.Example)
	}
	for _, group := range *g {
		fmt.Fprintf(&b, "\n%s:\n%s", group.title, group.flags.FlagUsagesWrapped(helpWidth))
	}
	fmt.Fprintf(&b, "\nOther flags:\n  -h, --help   this text\n")
	_, err := fmt.Fprint(cmd.OutOrStderr(), b.String())
	return err
}

// What help says of the environment, for the commands that only read and for
// those that have all the flags of the reference.
const (
	storeEnv = `
--state-dir and --home can come from the environment: ` + envPrefix + `STATE_DIR
and ` + envPrefix + `HOME. A flag wins; an empty --state-dir counts as none.
`
	referenceEnv = `
The flags of the reference (--home, --state-dir, --export-dir, --artifact-mode,
--export-data-mode, --check-block-height, --verbose) can come from the
environment: ` + envPrefix + `STATE_DIR for --state-dir, and so on. A flag
wins; of a repeated one the last does; an empty --state-dir counts as none.
`
)

// modesHelp explains the artifact modes.
const modesHelp = `
Artifact modes, each with more of the store's history:
  none         export data only
  operational  what a node needs to run: current spans, heap snapshots in use,
               bundles. It cannot serve state-sync, and some upgrades will need
               more than this.
  replay       also all spans of each vat's current incarnation, which
               upgrades and state-sync may need: the one for backups
  archival     also all spans of earlier incarnations. A node that was ever
               restored from state-sync does not have them.
  debug        whatever is there, terminated vats' and old snapshots too;
               completeness is not checked`

// exitHelp says what the exit codes of a transfer mean.
const exitHelp = `
Exit codes: 0 done, 1 failed, 2 usage, 130 stopped by SIGINT, 143 by SIGTERM.`
