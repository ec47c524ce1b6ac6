package main

import (
	"os"

	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/spf13/cobra"
)

func newRun(g *globals) *cobra.Command {
	var config, ready string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the relayer",
		Long:  "Run the relayer with the configuration of --config (default HOME/causeway.yaml). It watches the chains and carries transfers until it is told to stop.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := g.config(config)
			if err != nil {
				return err
			}
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			v, _ := build()
			return relayer.Run(c.Context(), cfg, v, log, func(r relayer.Ready) {
				if err := home.Announce(ready, r); err != nil {
					log.Warn("ready file", "err", err)
				}
			})
		},
	}
	c.Flags().StringVar(&config, "config", "", "configuration file (default HOME/causeway.yaml)")
	c.Flags().StringVar(&ready, "ready-file", "", "write the listeners' addresses there once they are open")
	return c
}
