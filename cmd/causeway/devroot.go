package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/causeway-bridge/causeway/chains/devchain/lotus"
	"github.com/causeway-bridge/causeway/cmd/causeway/home"
	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"
)

// serveLotus runs the root that speaks as Lotus does until ctx ends.
func serveLotus(ctx context.Context, ready string, cfg lotus.Config) error {
	root, err := lotus.Start(ctx, cfg)
	if err != nil {
		return err
	}
	at := nodeReady{HTTP: root.Node(0).HTTP(), WS: root.Node(0).WS()}
	for i := range cfg.Addrs {
		at.Nodes = append(at.Nodes, root.Node(i).Addr())
	}
	if err := home.Announce(ready, at); err != nil {
		cfg.Log.Warn("ready file", "err", err)
	}
	<-ctx.Done()
	return root.Close()
}

// newDevroot is the dev root as a process of its own. It is hidden: `causeway
// devnet` starts it.
func newDevroot(g *globals) *cobra.Command {
	var data, ready, alloc string
	var http []string
	var chainID, finality uint64
	var period time.Duration
	var speaksLotus bool
	var nulls float64
	var lead time.Duration
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
			if speaksLotus {
				return serveLotus(c.Context(), ready, lotus.Config{
					Lead:    lead,
					DataDir: data, ChainID: chains.ID(chainID), Alloc: balances, Period: period, FinalityDepth: finality, Addrs: http, NullRate: nulls, Log: log,
				})
			}
			if len(http) != 1 {
				return usage("--http: one address, but for --lotus")
			}
			chain, err := devchain.Start(c.Context(), devchain.Config{
				DataDir: data, ChainID: chains.ID(chainID), Alloc: balances, Period: period, FinalityDepth: finality, HTTPAddr: http[0], Log: log,
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
	f.StringSliceVar(&http, "http", []string{"127.0.0.1:0"}, "JSON-RPC, host:port; with --lotus one for each node")
	f.BoolVar(&speaksLotus, "lotus", false, "a Filecoin: Lotus' API, tipsets and null rounds")
	f.DurationVar(&lead, "lead", 0, "how far in the past the chain begins, with --lotus: until it has caught up its epochs come faster")
	f.Float64Var(&nulls, "null-rounds", 0, "share of epochs without a block, with --lotus")
	f.StringVar(&ready, "ready-file", "", "write the listeners' addresses there once they are open")
	f.StringVar(&alloc, "alloc", "", "JSON file: address to wei")
	f.Uint64Var(&chainID, "chain-id", 31415926, "chain id")
	f.Uint64Var(&finality, "finality", devchain.DefaultFinalityDepth, "blocks between head and finalized")
	f.DurationVar(&period, "period", time.Second, "time between blocks")
	return c
}
