package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func newConfig(g *globals) *cobra.Command {
	var config string
	c := &cobra.Command{Use: "config", Short: "Check or print the relayer's configuration"}
	c.PersistentFlags().StringVar(&config, "config", "", "configuration file (default HOME/causeway.yaml)")
	c.AddCommand(
		&cobra.Command{
			Use: "check", Short: "Say everything that is wrong with it", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				if _, err := g.config(config); err != nil {
					return err
				}
				return g.print(c, map[string]bool{"ok": true}, "the configuration is fine")
			},
		},
		&cobra.Command{
			Use: "print", Short: "Print it with every default filled in; secrets are in files and not shown", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				cfg, err := g.config(config)
				if err != nil {
					return err
				}
				// The URL may carry a password.
				cfg.Redis.URL = redact(cfg.Redis.URL)
				cfg.Root.URL = redact(cfg.Root.URL)
				for i := range cfg.Subnets {
					cfg.Subnets[i].URL = redact(cfg.Subnets[i].URL)
				}
				var b bytes.Buffer
				enc := yaml.NewEncoder(&b)
				enc.SetIndent(2)
				if err := enc.Encode(cfg); err != nil {
					return fmt.Errorf("encode configuration: %w", err)
				}
				var plain any
				if err := yaml.Unmarshal(b.Bytes(), &plain); err != nil {
					return fmt.Errorf("encode configuration: %w", err)
				}
				return g.print(c, plain, b.String())
			},
		},
	)
	return c
}
