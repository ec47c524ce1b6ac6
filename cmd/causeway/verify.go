package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/relayer"
	"github.com/spf13/cobra"
)

// verify compares the journal with a second reading and prints what differs.
func (g *globals) verify(c *cobra.Command, cfg relayer.Config, asked relayer.RescanOptions, urls []string, log *slog.Logger) error {
	o := relayer.VerifyOptions{From: asked.From, To: asked.To}
	var err error
	if o.URLs, err = endpoints(urls, cfg); err != nil {
		return err
	}
	named := map[string]bool{}
	for chain := range o.From {
		named[chain] = true
	}
	for chain := range o.To {
		named[chain] = true
	}
	for chain := range o.URLs {
		named[chain] = true
	}
	o.Chains = slices.Sorted(maps.Keys(named))
	told := time.Now()
	o.Progress = func(chain string, at, to uint64) {
		if time.Since(told) > time.Second && !g.json {
			fmt.Fprintf(c.ErrOrStderr(), "%s: %d of %d\n", chain, at, to)
			told = time.Now()
		}
	}
	results, err := relayer.Verify(c.Context(), cfg, o, log)
	if err != nil && !errors.Is(err, relayer.ErrVerify) {
		return err
	}
	text := ""
	for _, v := range results {
		text += verifiedText(v)
	}
	return errors.Join(g.print(c, results, text), err)
}

// endpoints reads CHAIN=URL of chains that the configuration names. What is wrong
// with one is said without it: it may hold a key.
func endpoints(in []string, cfg relayer.Config) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range in {
		name, url, ok := strings.Cut(s, "=")
		if !ok || url == "" || strings.ContainsAny(name, ":/") {
			return nil, usage("--url: CHAIN=URL, such as root=https://host/rpc")
		}
		if err := knownChain("--url", name, cfg); err != nil {
			return nil, err
		}
		out[name] = url
	}
	return out, nil
}

// verifiedText is one chain's result for a person.
func verifiedText(v relayer.Verified) string {
	var b strings.Builder
	verdict := "the journal is what the receipts say"
	if len(v.Counts) > 0 {
		verdict = "the journal IS NOT what the receipts say"
	}
	fmt.Fprintf(&b, "%s %d–%d: %s (%d transfers, %d facts)\n", v.Chain, v.From, v.To, verdict, v.Transfers, v.Facts+v.Searched)
	if v.Configured {
		fmt.Fprintf(&b, "  warning: read through the configured endpoint, whose answers the journal rests on too: give another one with --url %s=URL\n", v.Chain)
	}
	for _, kind := range slices.Sorted(maps.Keys(v.Counts)) {
		fmt.Fprintf(&b, "  %d %s\n", v.Counts[kind], kind)
	}
	for _, d := range v.Differences[:min(len(v.Differences), shownFindings)] {
		fmt.Fprintf(&b, "  %s %s %s, block %d, transaction %s", d.Kind, d.What, d.ID, d.Height, d.Tx)
		if len(d.Fields) > 0 {
			fmt.Fprintf(&b, ": %s", strings.Join(d.Fields, ", "))
		}
		b.WriteString("\n")
	}
	return b.String()
}
