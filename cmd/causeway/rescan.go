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
	var from, to []string
	var accept bool
	c := &cobra.Command{
		Use:   "rescan",
		Short: "Read the chains again and put what the journal lacks into it",
		Long: "Read the chains again and put transfers and facts that the journal lacks into it. It may run beside the relayer and any number of times.\n" +
			"After Redis lost history, run it with --accept-forgotten before the relayer is started again.",
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
			o := relayer.RescanOptions{AcceptForgotten: accept}
			if o.From, err = heights("--from", from, cfg); err != nil {
				return err
			}
			if o.To, err = heights("--to", to, cfg); err != nil {
				return err
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
			}
			return g.print(c, results, text)
		},
	}
	f := c.Flags()
	f.StringVar(&config, "config", "", "configuration file (default HOME/causeway.yaml)")
	f.StringArrayVar(&from, "from", nil, "CHAIN=HEIGHT to begin at, such as root=1200 (default: the configured start)")
	f.StringArrayVar(&to, "to", nil, "CHAIN=HEIGHT to end at (default: the final head)")
	f.BoolVar(&accept, "accept-forgotten", false, "open a Redis that has lost history")
	return c
}

// heights reads CHAIN=HEIGHT of chains that the configuration names.
func heights(flag string, in []string, cfg relayer.Config) (map[string]uint64, error) {
	known := []string{flow.Root}
	for _, s := range cfg.Subnets {
		known = append(known, s.Name)
	}
	out := map[string]uint64{}
	for _, s := range in {
		name, text, ok := strings.Cut(s, "=")
		n, err := strconv.ParseUint(text, 10, 63)
		if !ok || err != nil || name == "" {
			return nil, usage("%s: CHAIN=HEIGHT, such as root=1200", flag)
		}
		if !slices.Contains(known, name) {
			return nil, usage("%s: there is no chain %q, but %s", flag, name, strings.Join(known, " and "))
		}
		out[name] = n
	}
	return out, nil
}
