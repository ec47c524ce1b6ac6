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
	var repair, resume bool
	var why string
	c := &cobra.Command{
		Use:   "reconcile",
		Short: "Compare every transfer of the journal with the chains, and check the invariants",
		Long: "Compare every transfer of the journal with the chains, and check the invariants\n" +
			"It reads the chains anew, by code apart from the watchers', and may run beside the relayer. Exit code 1: something differs; each\n" +
			"difference says what to do. --repair reads missing and overheard events again (as `causeway rescan` does) and compares once more.\n" +
			"After Redis came back without the end of its history, the relayer sends nothing until it finds journal and chains in agreement.\n" +
			"--resume ends that after the comparison, whatever came of it: you answer for what differs, and --why goes into the journal.",
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
			if resume && strings.TrimSpace(why) == "" {
				return usage("--why is required with --resume: it goes into the journal")
			}
			if why != "" && !resume {
				return usage("--why is the reason for --resume")
			}
			o := relayer.ReconcileOptions{Repair: repair, Progress: func(what string) {
				if !g.json {
					fmt.Fprintln(c.ErrOrStderr(), what)
				}
			}}
			if resume {
				o.Resume = &relayer.Resume{Who: who(), Why: why}
			}
			results, err := relayer.Reconcile(c.Context(), cfg, o, log)
			if err != nil {
				return err
			}
			text, ok := "", true
			for _, r := range results {
				text += reconciled(r)
				ok = ok && r.OK
			}
			if resume {
				text += "leases and nonces are given out again\n"
			}
			if err := g.print(c, results, text); err != nil {
				return err
			}
			if !ok && !resume {
				return audit.ErrDiffers
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&config, "config", "", "configuration file (default HOME/causeway.yaml)")
	f.BoolVar(&resume, "resume", false, "let everything go on although the journal does not agree with the chains")
	f.StringVar(&why, "why", "", "reason for --resume, for the journal")
	f.BoolVar(&repair, "repair", false, "read missing and overheard events again")
	return c
}

// shownFindings bounds the lines for a person; --json has more.
const shownFindings = 30

// reconciled is one subnet's result for a person.
func reconciled(r audit.Reconciliation) string {
	var b strings.Builder
	verdict := "agrees with the chains"
	if !r.OK {
		verdict = "DOES NOT agree with the chains"
	}
	at := fmt.Sprintf("root %d and subnet %d", r.Audit.RootBlock.Number, r.Audit.SubnetBlock.Number)
	if l := r.Audit.EthereumBlock; l != nil {
		at = fmt.Sprintf("ethereum %d, %s", l.Number, at)
	}
	fmt.Fprintf(&b, "%s: the journal %s (%d transfers begun, %d compared, at %s)\n", r.Subnet, verdict, r.Transfers, r.Compared, at)
	for _, kind := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(&b, "  %d %s\n", r.Counts[kind], kind)
	}
	for _, text := range r.Findings(shownFindings) {
		fmt.Fprintf(&b, "  %s\n", text)
	}
	if r.Parked > 0 {
		fmt.Fprintf(&b, "  %d parked transfers have ended on the chains: `causeway queue retry` brings them there\n", r.Parked)
	}
	return b.String()
}
