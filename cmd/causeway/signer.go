package main

import (
	"os"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/subnet/node"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/spf13/cobra"
)

// signerReady is what a signer announces.
type signerReady struct {
	Address string `json:"address"`
}

func newSigner(g *globals) *cobra.Command {
	var cfg node.ServeSignerConfig
	var ready string
	var chainID uint64
	c := &cobra.Command{
		Use:   "signer",
		Short: "Sign for a validator whose node runs without its key",
		Long: "Sign for a validator whose node runs without its key. The folder --keys holds validator_key.json and what was signed, so that nothing contradicts it; " +
			"the node is told where by signer.address in its node.yaml.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.Dir == "" {
				cfg.Dir = g.dir().Node()
			}
			if err := node.CheckSignerAddress(cfg.Listen, cfg.TLS); err != nil {
				return usage("--listen: %w", err)
			}
			if cfg.Consensus != "" {
				if err := node.CheckSocket(cfg.Consensus); err != nil {
					return usage("--consensus: %w", err)
				}
				if chainID == 0 {
					return usage("--chain-id: the subnet's, with --consensus")
				}
			}
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			cfg.Log, cfg.ChainID = log, chains.ID(chainID)
			cfg.Ready = func(address string) {
				if err := home.Announce(ready, signerReady{address}); err != nil {
					log.Warn("ready file", "err", err)
				}
			}
			return node.ServeSigner(c.Context(), cfg)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Dir, "keys", "", "folder with validator_key.json and the signing state (default HOME/node)")
	f.StringVar(&cfg.Listen, "listen", "", "unix:///path/of.sock, or https://host:port with --tls-ca, --tls-cert and --tls-key")
	f.StringVar(&cfg.TLS.CA, "tls-ca", "", "PEM of the authority that nodes' certificates come from")
	f.StringVar(&cfg.TLS.Cert, "tls-cert", "", "PEM of this signer's certificate")
	f.StringVar(&cfg.TLS.Key, "tls-key", "", "PEM of its key")
	f.StringVar(&cfg.Consensus, "consensus", "", "sign the node's consensus votes too: its signer.consensus, unix:///path/of.sock")
	f.Uint64Var(&chainID, "chain-id", 0, "the subnet's chain id, for --consensus")
	f.StringVar(&ready, "ready-file", "", "write the listener's address there once it is open")
	return c
}
