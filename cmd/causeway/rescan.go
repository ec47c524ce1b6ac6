package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/spf13/cobra"
)

func newRescan(g *globals) *cobra.Command {
	var config string
	var from, to, urls []string
	var accept, second bool
	var fork string
	c := &cobra.Command{
		Use:   "rescan",
		Short: "Read the chains again and put what the journal lacks into it",
		Long: "Read the chains again and put transfers and facts that the journal lacks into it. It may run beside the relayer and any number of times.\n" +
			"After Redis lost everything, run it with --accept-forgotten before the relayer is started again; one that came back with an earlier\n" +
			"state needs nothing.\n" +
			"After finality_regress, compare the chain's endpoints; once they agree on the chain as it is now, run it with --accept-fork CHAIN: " +
			"the chain is read again from the fork on, what is there again counts again, the rest stays set aside or is parked, and the chain's lanes run.\n" +
			"With --verify nothing is written: what receipts say of a range, read through --url where it is given, is compared with the journal.\n" +
			"Exit code 1: something is missing, extra or different.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := g.config(config)
			if err != nil {
				return err
			}
			log, err := g.logger(os.Stderr)
			if err != nil {
				return err
			}
			o := relayer.RescanOptions{AcceptForgotten: accept, AcceptFork: fork}
			if c.Flags().Changed("accept-fork") {
				if len(from)+len(to) > 0 {
					return usage("--accept-fork reads from the fork to the final head: leave --from and --to out")
				}
				if err := knownChain("--accept-fork", fork, cfg); err != nil {
					return err
				}
			}
			if o.From, err = heights("--from", from, cfg); err != nil {
				return err
			}
			if o.To, err = heights("--to", to, cfg); err != nil {
				return err
			}
			if second {
				if accept || fork != "" {
					return usage("--verify writes nothing: leave --accept-forgotten and --accept-fork out")
				}
				return g.verify(c, cfg, o, urls, log)
			}
			if len(urls) > 0 {
				return usage("--url is for --verify: a rescan reads through the configured endpoints")
			}
			told := time.Now()
			o.Progress = func(chain string, at, to uint64, created, advanced int) {
				if time.Since(told) > time.Second && !g.json {
					fmt.Fprintf(c.ErrOrStderr(), "%s: %d of %d, %d created, %d advanced\n", chain, at, to, created, advanced)
					told = time.Now()
				}
			}
			results, err := relayer.Rescan(c.Context(), cfg, o, log)
			if err != nil {
				return err
			}
			text := ""
			for _, r := range results {
				text += fmt.Sprintf("%s %d–%d: %d events, %d transfers created, %d advanced\n", r.Chain, r.From, r.To, r.Events, r.Created, r.Advanced)
				if fork != "" {
					text += fmt.Sprintf("%s: of the transfers set aside %d are as they were, %d go on from where their evidence ends, %d are parked for you; its lanes run again\n", r.Chain, r.Kept, r.Reopened, r.Parked)
				}
			}
			return g.print(c, results, text)
		},
	}
	f := c.Flags()
	f.StringVar(&config, "config", "", "configuration file (default HOME/causeway.yaml)")
	f.StringArrayVar(&from, "from", nil, "CHAIN=HEIGHT to begin at, such as root=1200 (default: the configured start)")
	f.StringArrayVar(&to, "to", nil, "CHAIN=HEIGHT to end at (default: the final head)")
	f.BoolVar(&accept, "accept-forgotten", false, "open a Redis that has lost everything, or is another one")
	f.StringVar(&fork, "accept-fork", "", "CHAIN whose final blocks have changed, to be read again from there on")
	f.BoolVar(&second, "verify", false, "compare the journal with a second reading, from receipts alone, and write nothing")
	f.StringArrayVar(&urls, "url", nil, "CHAIN=URL to verify through (default: the configured endpoint); with any --from, --to or --url only the chains named are read")
	return c
}

// knownChain refuses names that the configuration does not have.
func knownChain(flag, name string, cfg relayer.Config) error {
	known := []string{flow.Root}
	if cfg.Ethereum != nil {
		known = append(known, flow.Ethereum)
	}
	for _, s := range cfg.Subnets {
		known = append(known, s.Name)
	}
	if !slices.Contains(known, name) {
		return usage("%s: there is no chain %q, but %s", flag, name, strings.Join(known, " and "))
	}
	return nil
}

// heights reads CHAIN=HEIGHT of chains that the configuration names.
func heights(flag string, in []string, cfg relayer.Config) (map[string]uint64, error) {
	out := map[string]uint64{}
	for _, s := range in {
		name, text, ok := strings.Cut(s, "=")
		n, err := strconv.ParseUint(text, 10, 63)
		if !ok || err != nil || name == "" {
			return nil, usage("%s: CHAIN=HEIGHT, such as root=1200", flag)
		}
		if err := knownChain(flag, name, cfg); err != nil {
			return nil, err
		}
		out[name] = n
	}
	return out, nil
}
