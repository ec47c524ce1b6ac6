package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
)

// newDevroot is the dev root as a process of its own. It is hidden: `causeway
// devnet` starts it.
func newDevroot(g *globals) *cobra.Command {
	var data, http, ready, alloc string
	var chainID, finality uint64
	var period time.Duration
	c := &cobra.Command{
		Use: "devroot", Short: "Run the devnet's root chain", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			raw, err := os.ReadFile(alloc)
			if err != nil {
				return fmt.Errorf("read alloc: %w", err)
			}
			var text map[common.Address]string
			if err := json.Unmarshal(raw, &text); err != nil {
				return usage("alloc: %w", err)
			}
			balances := map[common.Address]*big.Int{}
			for a, s := range text {
				n, ok := new(big.Int).SetString(s, 10)
				if !ok || n.Sign() < 0 {
					return usage("alloc: %q is no amount", s)
				}
				balances[a] = n
			}
			chain, err := devchain.Start(c.Context(), devchain.Config{
				DataDir: data, ChainID: chains.ID(chainID), Alloc: balances, Period: period, FinalityDepth: finality, HTTPAddr: http, Log: log,
			})
			if err != nil {
				return err
			}
			if err := home.Announce(ready, nodeReady{HTTP: chain.HTTP(), WS: chain.WS()}); err != nil {
				log.Warn("ready file", "err", err)
			}
			<-c.Context().Done()
			return chain.Close()
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "chain folder; empty keeps it in memory")
	f.StringVar(&http, "http", "127.0.0.1:0", "JSON-RPC, host:port")
	f.StringVar(&ready, "ready-file", "", "write the listeners' addresses there once they are open")
	f.StringVar(&alloc, "alloc", "", "JSON file: address to wei")
	f.Uint64Var(&chainID, "chain-id", 31415926, "chain id")
	f.Uint64Var(&finality, "finality", devchain.DefaultFinalityDepth, "blocks between head and finalized")
	f.DurationVar(&period, "period", time.Second, "time between blocks")
	return c
}
