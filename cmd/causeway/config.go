package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// whatWasFound is a subnet's contracts in words.
func whatWasFound(f relayer.Found) string {
	whose, able, pair := "Causeway's own contracts", "nothing besides the ABI", "a linked pair"
	if f.Published {
		whose = "published contracts of generation C"
	}
	if len(f.Capabilities) > 0 {
		able = strings.Join(f.Capabilities, ", ")
	}
	if !f.USDC {
		pair = "no linked pair given"
	}
	supply := "the root's own coin"
	if f.Supply != (common.Address{}) {
		supply = f.Supply.Hex()
	}
	return fmt.Sprintf("%s: %s\n  can: %s\n  checkpoint every %d blocks\n  its coin stands for %s\n  USDC: %s\n", f.Subnet, whose, able, f.Period, supply, pair)
}

// verdict is what `config check --json` prints.
type verdict struct {
	OK         bool     `json:"ok"`
	Complaints []string `json:"complaints"`
}

func newConfig(g *globals) *cobra.Command {
	var config string
	c := &cobra.Command{Use: "config", Short: "Check or print the relayer's configuration"}
	c.PersistentFlags().StringVar(&config, "config", "", "configuration file (default HOME/causeway.yaml)")
	c.AddCommand(
		&cobra.Command{
			Use: "check", Short: "Say everything that is wrong with it", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				_, err := g.config(config)
				if err == nil {
					return g.print(c, verdict{OK: true, Complaints: []string{}}, "the configuration is fine")
				}
				if g.json {
					return errors.Join(err, g.print(c, verdict{Complaints: strings.Split(err.Error(), "\n")}, ""))
				}
				return err
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
				if cfg.Ethereum != nil {
					cfg.Ethereum.URL = redact(cfg.Ethereum.URL)
					for i := range cfg.Ethereum.Witnesses {
						cfg.Ethereum.Witnesses[i] = redact(cfg.Ethereum.Witnesses[i])
					}
				}
				for _, chain := range cfg.Axelar.Network.Chains {
					if chain.GMP != nil {
						chain.GMP.URL = redact(chain.GMP.URL)
					}
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
		&cobra.Command{
			Use: "probe", Short: "Ask each subnet's contracts what they can do, as the relayer does when it starts", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				cfg, err := g.config(config)
				if err != nil {
					return err
				}
				log, err := g.logger(os.Stderr)
				if err != nil {
					return err
				}
				found, err := relayer.Probe(c.Context(), cfg, log)
				if err != nil {
					return err
				}
				text := ""
				for _, f := range found {
					text += whatWasFound(f)
				}
				return g.print(c, found, text)
			},
		},
	)
	return c
}
