package main

import (
	"github.com/spf13/cobra"
)

// getCommand is "swingport get".
func (a *app) getCommand() *cobra.Command {
	var s storeFlags
	var g flagGroups
	cmd := &cobra.Command{
		Use:   "get KEY",
		Short: "Print the value of one kvStore key",
		Long: `Print the value of one key of the kvStore as it is, and a newline. Keys of the
host (host.height) and local ones can be read too. A node may go on writing to
the store.
` + storeEnv + `
Exit codes: 0 done, 1 failed, 2 usage, 3 no such key.`,
		Example: `  swingport get host.height
  swingport get --state-dir /node/data/agoric v1.options
  swingport get -- --a-key-with-dashes`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("get needs a key")
			}
			return refuseArgs(args, 1)
		},
	}
	g.group(cmd, "Where", s.add)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		dir, err := s.finish(cmd.Flags(), a.env)
		if err != nil {
			return err
		}
		value, ok, err := a.get(cmd.Context(), dir, args[0])
		if err != nil {
			return err
		}
		if !ok {
			return &noError{"no such key: " + args[0]}
		}
		return a.print(append(value, '\n'))
	}
	return cmd
}
