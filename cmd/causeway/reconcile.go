package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/spf13/cobra"
)

func newReconcile(g *globals) *cobra.Command {
	var config string
	var repair bool
	c := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare every transfer of the journal with the chains, and check the invariants",
		Long: "Compare every transfer of the journal with the chains, and check the invariants\n" +
			"It reads the chains anew, by code apart from the watchers', and may run beside the relayer. Exit code 1: something differs; each\n" +
			"difference says what to do. --repair reads missing and overheard events again (as `causeway rescan` does) and compares once more.",
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
			o := relayer.ReconcileOptions{Repair: repair, Progress: func(what string) {
				if !g.json {
					fmt.Fprintln(c.ErrOrStderr(), what)
				}
			}}
			results, err := relayer.Reconcile(c.Context(), cfg, o, log)
			if err != nil {
				return err
			}
			text, ok := "", true
			for _, r := range results {
				text += reconciled(r)
				ok = ok && r.OK
			}
			if err := g.print(c, results, text); err != nil {
				return err
			}
			if !ok {
				return audit.ErrDiffers
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&config, "config", "", "configuration file (default HOME/causeway.yaml)")
	f.BoolVar(&repair, "repair", false, "read missing and overheard events again")
	return c
}

// shownDifferences bounds the lines for a person; --json has more.
const shownDifferences = 20

// reconciled is one subnet's result for a person.
func reconciled(r audit.Reconciliation) string {
	var b strings.Builder
	verdict := "agrees with the chains"
	if !r.OK {
		verdict = "DOES NOT agree with the chains"
	}
	fmt.Fprintf(&b, "%s: the journal %s (%d transfers begun, %d compared, at root %d and subnet %d)\n",
		r.Subnet, verdict, r.Transfers, r.Compared, r.Audit.RootBlock.Number, r.Audit.SubnetBlock.Number)
	for _, kind := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(&b, "  %d %s\n", r.Counts[kind], kind)
	}
	for i, d := range r.Differences {
		if i == shownDifferences {
			fmt.Fprintf(&b, "  … and %d more: --json lists them\n", len(r.Differences)-i)
			break
		}
		fmt.Fprintf(&b, "  %s %s %s: journal %q, chains %q: %s\n", d.Kind, d.Route, d.ID.Hex(), d.Journal, d.Chains, d.Fix)
	}
	for _, inv := range r.Audit.Invariants {
		if !inv.OK {
			fmt.Fprintf(&b, "  %s %s is off by %s: %s\n", inv.ID, inv.Token, inv.Drift, inv.Detail)
		}
	}
	for _, s := range r.Audit.Skipped {
		fmt.Fprintf(&b, "  not judged: %s\n", s)
	}
	if r.Parked > 0 {
		fmt.Fprintf(&b, "  %d parked transfers have ended on the chains: `causeway queue retry` brings them there\n", r.Parked)
	}
	return b.String()
}
