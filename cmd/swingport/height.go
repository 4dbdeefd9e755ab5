package main

import (
	"github.com/spf13/cobra"

	"swingport/format"
)

// heightCommand is "swingport height".
func (a *app) heightCommand() *cobra.Command {
	var s storeFlags
	var g flagGroups
	cmd := &cobra.Command{
		Use:   "height",
		Short: "Print the block height that a store has committed",
		Long: `Print the block height that a store has committed: its host.height, or 0 where
it has none. A node may go on writing to the store.
` + storeEnv + `
Exit codes: 0 done, 1 failed, 2 usage.`,
		Example: `  swingport height
  swingport height --state-dir /node/data/agoric`,
		Args: noArgs,
	}
	g.group(cmd, "Where", s.add)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := s.finish(cmd.Flags(), a.env)
		if err != nil {
			return err
		}
		height, err := a.height(cmd.Context(), dir)
		if err != nil {
			return err
		}
		return a.print(append(format.AppendNumber(nil, height), '\n'))
	}
	return cmd
}
