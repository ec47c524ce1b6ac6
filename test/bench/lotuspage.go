package main

import (
	"fmt"
	"slices"
	"strings"
)

// writeLotus is a table of its own, so that it may stand by itself.
func writeLotus(b *strings.Builder, r Report) {
	fmt.Fprintf(b, "\nA root of Lotus nodes, %d epochs, %d of them null rounds. \"Bare\" is `eth_getLogs` over ranges of the same width and nothing else; a ratio is the median of those of each run:\n\n",
		r.Lotus.Sparse.Epochs, r.Lotus.Sparse.NullRounds)
	writeLines(b, r, lotusLines())
}

// lotusLines are the rows of the root's table: each kind of root, and idle.
func lotusLines() []line {
	var out []line
	for _, kind := range []struct {
		name string
		of   func(*Lotus) Reading
	}{{"sparse", func(l *Lotus) Reading { return l.Sparse }}, {"dense", func(l *Lotus) Reading { return l.Dense }}} {
		row := func(figure, aim, limits string, text func(Reading) string) line {
			return line{figure + ", " + kind.name, aim, limits, func(r Report) (string, [2]float64, bool) {
				if r.Lotus == nil {
					return "", [2]float64{}, false
				}
				return text(kind.of(r.Lotus)), r.Lotus.Load, true
			}}
		}
		out = append(out,
			row("bare, one range at a time", "", limitBare, func(m Reading) string {
				return fmt.Sprintf("%s of %d logs, two transactions with some in every %dth epoch", speedText(m.Bare), m.Logs, m.EventEvery)
			}),
			row("one source, one range at a time", "80 % of bare", limitChecked, func(m Reading) string {
				return fmt.Sprintf("%s, %.0f %% of bare", speedText(m.Checked), 100*m.CheckedToBare)
			}),
			row("bare, ranges at once", "", limitBare, func(m Reading) string { return speedText(m.BareAtOnce) }),
			row("one source, ranges at once", "80 % of bare", limitChecked, func(m Reading) string {
				return fmt.Sprintf("%s, %.0f %% of bare", speedText(m.CheckedAtOnce), 100*m.CheckedToBareAtOnce)
			}),
			row("catch-up into the journal, one source", "80 % of bare", limitCaught, func(m Reading) string {
				return fmt.Sprintf("%s, %.0f %% of bare one at a time, %.0f %% of bare at once", speedText(m.Caught), 100*m.CaughtToBare, 100*m.CaughtToBareAtOnce)
			}),
			row("catch-up into the journal, two of two agree", "", limitAgreed, func(m Reading) string {
				return fmt.Sprintf("%s, %.0f %% of one source", speedText(m.Agreed), 100*m.AgreedToCaught)
			}),
		)
	}
	return append(out,
		idleLine("idle, one source", func(l *Lotus) IdleCalls { return l.Idle }),
		idleLine("idle, two of two agree", func(l *Lotus) IdleCalls { return l.IdleAgreed }))
}

func speedText(s Speed) string {
	return fmt.Sprintf("%.0f epochs/s, %.0f logs/s", s.EpochsPerSecond, s.LogsPerSecond)
}

// idleLine names the methods too, the most called first.
func idleLine(figure string, of func(*Lotus) IdleCalls) line {
	return line{figure, "", limitIdleCalls, func(r Report) (string, [2]float64, bool) {
		if r.Lotus == nil {
			return "", [2]float64{}, false
		}
		c := of(r.Lotus)
		var methods []string
		for m := range c.ByMethod {
			methods = append(methods, m)
		}
		slices.SortFunc(methods, func(a, b string) int {
			if d := c.ByMethod[b] - c.ByMethod[a]; d != 0 {
				return d
			}
			return strings.Compare(a, b)
		})
		for i, m := range methods {
			methods[i] = fmt.Sprintf("%s %.1f", m, float64(c.ByMethod[m])/float64(max(1, c.FinalBlocks)))
		}
		return fmt.Sprintf("%.1f calls in %.1f HTTP requests per final block, over %d of them: %s", c.CallsPerBlock, c.HTTPPerBlock, c.FinalBlocks, strings.Join(methods, ", ")), r.Lotus.Load, true
	}}
}

const (
	limitBare    = "the node's log index; client and node share this machine's cores"
	limitChecked = "the tipset and the receipts of each block with an event, and both edges of each range, which bare does not ask for: what an event costs is the same at any width, so its share grows with their number"
	limitCaught  = "the same, the journal's fsyncs, and the newest blocks followed beside it; some ranges are read at once"
	limitAgreed  = "both nodes answer every question, here on the same cores"
)

const limitIdleCalls = "looks at the head, and for each final block its tipset, its logs and all its receipts; two that agree ask each for the same"
