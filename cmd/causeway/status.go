package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/spf13/cobra"
)

func newStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "status [transfer id | transaction hash]",
		Short: "Show the relayer's state, or where a transfer is",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				p, err := g.place()
				if err != nil {
					return err
				}
				return g.status(c, p)
			}
			id, err := parseHash(args[0])
			if err != nil {
				return err
			}
			p, err := g.place()
			if err != nil {
				return err
			}
			var t api.Transfer
			if err := ask(c.Context(), p.api, "/v1/transfers/"+id.Hex(), &t); err != nil {
				return err
			}
			return g.print(c, t, describe(t))
		},
	}
}

// status shows what operators see where the admin listener can be reached, else
// what users see.
func (g *globals) status(c *cobra.Command, p place) error {
	var full relayer.Status
	if err := ask(c.Context(), p.admin, "/status", &full); err == nil {
		return g.print(c, full, statusText(full)+crossingText(c.Context(), p.api, full.Counts))
	}
	var s relayer.PublicStatus
	if err := ask(c.Context(), p.api, "/v1/status", &s); err != nil {
		return err
	}
	return g.print(c, s, publicText(s)+crossingText(c.Context(), p.api, []relayer.CountStatus{{Route: "leg_in"}, {Route: "leg_out"}}))
}

// shownCrossings bounds the lines of each direction.
const shownCrossings = 20

// crossingText is what is on its way between Ethereum and the root, where anything
// ever was: newest first. What cannot be asked is left out.
func crossingText(ctx context.Context, at string, counts []relayer.CountStatus) string {
	var b strings.Builder
	for _, route := range []string{"leg_in", "leg_out"} {
		if !slices.ContainsFunc(counts, func(c relayer.CountStatus) bool { return c.Route == route }) {
			continue
		}
		var page crossings
		if err := ask(ctx, at, fmt.Sprintf("/v1/crossings?route=%s&limit=%d", route, shownCrossings), &page); err != nil {
			continue
		}
		for _, x := range page.Crossings {
			fmt.Fprintf(&b, "%s %s: %s FLT, waits for %s, %s old\n", x.Route, x.Message, x.Amount.Decimal(tokens.FLT.Decimals), x.Step, time.Duration(x.Seconds)*time.Second)
		}
		if page.Next != "" {
			fmt.Fprintf(&b, "%s: there are more\n", route)
		}
	}
	return b.String()
}

type crossings struct {
	Crossings []api.Crossing `json:"crossings"`
	Next      string         `json:"next"`
}

func readiness(ready bool) string {
	if ready {
		return "ready"
	}
	return "NOT READY"
}

// chainText is how far a chain is read, for a person.
func chainText(c relayer.PublicChain) string {
	text := fmt.Sprintf("chain %-10s id %d, final %d, read up to %d\n", c.Name, c.ChainID, c.Height, c.Cursor)
	p := c.CatchUp
	switch {
	case p == nil:
		return text
	case p.BlocksPerSecond == 0:
		return text + fmt.Sprintf("  catching up: %d blocks left; new transfers are read beside it\n", p.BlocksLeft)
	}
	return text + fmt.Sprintf("  catching up: %d blocks left at %.0f a second, about %s; new transfers are read beside it\n",
		p.BlocksLeft, p.BlocksPerSecond, time.Duration(p.EtaSeconds*float64(time.Second)).Round(time.Second))
}

// publicText is the relayer's state as users see it.
func publicText(s relayer.PublicStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version %s: %s, %s\n", s.Version, readiness(s.Ready), s.Sources)
	for _, c := range s.Chains {
		b.WriteString(chainText(c))
	}
	for _, c := range s.Counts {
		fmt.Fprintf(&b, "%6d %-14s %-9s %s\n", c.Count, c.Route, c.Status, c.Step)
	}
	return b.String()
}

func statusText(s relayer.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (version %s): %s, %s\n", s.Instance, s.Version, readiness(s.Ready), s.Sources)
	for _, part := range slices.Sorted(maps.Keys(s.Parts)) {
		if err := s.Parts[part]; err != "" {
			fmt.Fprintf(&b, "  %s: %s\n", part, err)
		}
	}
	for part, remark := range s.Remarks {
		fmt.Fprintf(&b, "  remark: %s: %s\n", part, remark)
	}
	if r := s.Recovery; r != nil {
		fmt.Fprintf(&b, "redis forgot (%s, since %s): nothing is sent; waits for %s\n", r.Why, r.Since.Format(time.RFC3339), r.WaitsFor)
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "  %s\n", f)
		}
	}
	for _, c := range s.Chains {
		b.WriteString(chainText(c.PublicChain))
		b.WriteString(sourcesText(c.Sources))
		for _, a := range c.Accounts {
			fmt.Fprintf(&b, "  account %s: %s wei, %d transactions undecided\n", a.Address, a.BalanceWei, a.Pending)
		}
	}
	for _, c := range s.Counts {
		fmt.Fprintf(&b, "%6d %-14s %-9s %s\n", c.Count, c.Route, c.Status, c.Step)
	}
	for _, l := range s.Lanes {
		if l.Depth > 0 || l.Paused != "" {
			fmt.Fprintf(&b, "lane %s: %d deep, head %d", l.Name, l.Depth, l.Head)
			if l.Paused != "" {
				fmt.Fprintf(&b, ", paused by %s", l.Paused)
			}
			if l.Error != "" {
				fmt.Fprintf(&b, ", last error: %s", l.Error)
			}
			b.WriteString("\n")
		}
	}
	for _, a := range s.Alerts {
		fmt.Fprintf(&b, "ALERT %s (%s): %s\n", a.Name, a.Severity, a.Summary)
	}
	return b.String()
}

// sourcesText is how the endpoints of a chain do, a line each, and what one says
// otherwise than the others.
func sourcesText(s *agree.Status) string {
	if s == nil {
		return ""
	}
	var b strings.Builder
	for _, e := range s.Endpoints {
		fmt.Fprintf(&b, "  endpoint %s: final %d", e.Name, e.Height)
		if len(s.Endpoints) > 1 {
			fmt.Fprintf(&b, ", %d of %d must agree", s.K, len(s.Endpoints))
		}
		if e.Out != "" {
			fmt.Fprintf(&b, ", OUT since %s: %s", e.Since.Format(time.RFC3339), e.Out)
		}
		b.WriteString("\n")
		for _, d := range e.Differs {
			fmt.Fprintf(&b, "    DIFFERS about %s: says %s; others say %s\n", d.What, d.Said, d.Others)
		}
	}
	return b.String()
}

// describe is a transfer for a person.
func describe(t api.Transfer) string {
	route, _ := tokens.RouteByName(t.Route)
	var b strings.Builder
	what := "call"
	if route.Asset != (tokens.Asset{}) {
		what = t.Amount.Decimal(route.Asset.Decimals) + " " + t.Asset
	}
	fmt.Fprintf(&b, "%s  %s  %s → %s\n", t.Route, what, t.Sender.Hex(), t.Recipient.Hex())
	fmt.Fprintf(&b, "transfer %s\nstatus   %s", t.ID, t.Status)
	if t.Step != "" {
		fmt.Fprintf(&b, ", waiting for: %s", t.Step)
	}
	if t.Reason != "" {
		fmt.Fprintf(&b, ", reason: %s", t.Reason)
	}
	b.WriteString("\n")
	if t.Error != "" {
		fmt.Fprintf(&b, "last error (attempt %d): %s\n", t.Attempts, t.Error)
	}
	if t.NextAttempt != nil {
		fmt.Fprintf(&b, "next look %s\n", t.NextAttempt.Format(time.RFC3339))
	}
	for _, s := range t.Steps {
		fmt.Fprintf(&b, "  %s  %-8s %-10s %s height %d tx %s\n", s.At.Format(time.RFC3339), s.Name, s.Outcome, s.Chain, s.Height, s.Tx)
	}
	return b.String()
}
