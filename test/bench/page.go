package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// line is one row of the page.
type line struct {
	figure string // what is measured
	aim    string // what was asked for, as text: nothing here compares
	limits string // what holds the figure where it is, and what would lift it
	value  func(Report) (text string, load [2]float64, ok bool)
}

const unmeasured = "not measured"

// printPage writes a document as the README's table.
func printPage(path string, w io.Writer) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	var r Report
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return fmt.Errorf("read document %s: %w", path, err)
	}
	if r.Schema != schema {
		return fmt.Errorf("read document %s: it has schema %d, this program writes %d", path, r.Schema, schema)
	}
	_, err = io.WriteString(w, page(r))
	return err
}

// page is a report as Markdown.
func page(r Report) string {
	var b strings.Builder
	tree := r.Commit[:min(12, len(r.Commit))]
	if r.Modified {
		tree += " with changes"
	}
	fmt.Fprintf(&b, "Commit %s, %s, a %s run of %.0f minutes: %s, %d cores, %.0f GiB, %s, Redis %s with `appendfsync always`, load %.1f before it and %.1f after it.\n\n",
		tree, r.Started.Format("2006-01-02"), r.Mode, r.Seconds/60, r.Machine.CPU, r.Machine.Cores, float64(r.Machine.MemoryBytes)/(1<<30), r.Machine.Go, r.Machine.Redis,
		r.Machine.LoadBefore, r.Machine.LoadAfter)
	alone := r
	alone.Crossing, alone.Lotus = nil, nil
	if r.Crossing == nil && r.Lotus == nil || alone.measured() {
		writeLines(&b, r, pageLines())
	}
	if r.Bridge != nil {
		b.WriteString("\nGas per message, from receipts of one validator's devnet, beside the published contracts' (4 validators, 3 signatures):\n\n")
		b.WriteString("| operation | asset | batch | gas per message | published |\n|---|---|---|---|---|\n")
		for _, g := range r.Bridge.Gas.Rows {
			beside := ""
			if g.Published != nil {
				beside = fmt.Sprintf("%d (%s)", g.Published.PerMessage, g.Published.Operation)
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %d | %s |\n", g.Operation, g.Asset, g.Batch, g.PerMessage, beside)
		}
	}
	if r.Lotus != nil {
		writeLotus(&b, r)
	}
	if r.Crossing != nil {
		writeCrossing(&b, r)
	}
	return b.String()
}

func writeLines(b *strings.Builder, r Report, lines []line) {
	b.WriteString("| figure | measured | aim | load | what limits it |\n|---|---|---|---|---|\n")
	for _, l := range lines {
		text, load, ok := l.value(r)
		loads := fmt.Sprintf("%.1f–%.1f", min(load[0], load[1]), max(load[0], load[1]))
		if !ok {
			text, loads = unmeasured, ""
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", l.figure, text, l.aim, loads, l.limits)
	}
}

// writeCrossing is a table of its own, so that it may stand by itself: it needs two
// devnets that nothing else needs.
func writeCrossing(b *strings.Builder, r Report) {
	b.WriteString("\nFLT across from Ethereum and back, three chains with blocks every second:\n\n")
	writeLines(b, r, crossingLines())
	b.WriteString("\nGas per message of approving and executing by batch, beside what the published contracts take for one by itself:\n\n")
	b.WriteString("| operation | gateways | batch | gas per message | published, one by itself |\n|---|---|---|---|---|\n")
	for _, g := range r.Crossing.Gas {
		for _, row := range g.Rows {
			beside := ""
			if row.Published != nil {
				beside = fmt.Sprintf("%d (%s)", row.Published.PerMessage, row.Published.Operation)
			}
			fmt.Fprintf(b, "| %s | %s | %d | %d | %s |\n", row.Operation, g.Gateway, row.Batch, row.PerMessage, beside)
		}
	}
}

// crossingLines are the rows of the crossing's table.
func crossingLines() []line {
	carried := func(of func(*Crossing) Carried) func(Report) (string, [2]float64, bool) {
		return func(r Report) (string, [2]float64, bool) {
			if r.Crossing == nil {
				return "", [2]float64{}, false
			}
			c := of(r.Crossing)
			return fmt.Sprintf("%s/s of %d from the first approval to the last execution, in %d approve and %d execute transactions, at most %d messages in one; the first executed %.0f s after the relayer's start, the last %.0f s",
					show(c.Executed.WholePerSecond), c.Messages, c.Approvals, c.Executions, c.Largest, c.First/1000, c.Last/1000),
				r.Crossing.Load, true
		}
	}
	return []line{
		{"backlog Ethereum → root, approve and execute with one key", "", limitCrossIn, carried(func(c *Crossing) Carried { return c.In })},
		{"backlog root → Ethereum, approve and execute with one key", "", limitCrossOut, carried(func(c *Crossing) Carried { return c.Out })},
		{"final on Ethereum → credit in the subnet", "", limitLanding, func(r Report) (string, [2]float64, bool) {
			if r.Crossing == nil {
				return "", [2]float64{}, false
			}
			l := r.Crossing.Latency
			return fmt.Sprintf("p50 %.0f ms, p99 %.0f ms apart from blocks; p50 %.0f ms, p99 %.0f ms with them, of %d deposits", l.Own.P50, l.Own.P99, l.Total.P50, l.Total.P99, l.Total.Samples),
				r.Crossing.Load, true
		}},
	}
}

// pageLines are the rows of the page, in order.
func pageLines() []line {
	return []line{
		{"queue, 32 workers, one transfer a cycle", "5,000 cycles/s", limitQueue, queueLine(32, 1)},
		{"queue, 1 worker", "", "one fsync per script, three scripts a cycle", queueLine(1, 1)},
		{"queue, 32 workers, 16 transfers a cycle", "", "the same, shared by 16", queueLine(32, 16)},
		{"backlog root → subnet", "400 transfers/s", limitDeposits, func(r Report) (string, [2]float64, bool) {
			if r.Backlog == nil {
				return "", [2]float64{}, false
			}
			return waitedText(r.Backlog.Deposits), r.Backlog.Load, true
		}},
		{"backlog subnet → root", "400 transfers/s", limitWithdrawals, func(r Report) (string, [2]float64, bool) {
			if r.Backlog == nil {
				return "", [2]float64{}, false
			}
			return waitedText(r.Backlog.Withdrawals), r.Backlog.Load, true
		}},
		{"final event → broadcast at 50 transfers/s", "p50 100 ms, p99 500 ms", limitBroadcast, func(r Report) (string, [2]float64, bool) {
			if r.Bridge == nil || len(r.Bridge.Broadcast.Steady.Spells) == 0 {
				return "", [2]float64{}, false
			}
			s := r.Bridge.Broadcast.Steady.Spells[spellEach]
			return fmt.Sprintf("p50 %.0f ms, p99 %.0f ms of %d transfers", s.P50, s.P99, s.Samples), r.Bridge.Load, true
		}},
		{"backlog of signed checkpoints", "100 in 10 s", limitCheckpoints, func(r Report) (string, [2]float64, bool) {
			if r.Checkpoints == nil {
				return "", [2]float64{}, false
			}
			c := r.Checkpoints
			return fmt.Sprintf("%d in %.1f s, the first after %.1f s", c.Signed, c.Seconds, c.FirstSeconds), c.Load, true
		}},
		{"catching up, root", "10,000 blocks/s", limitCatchup, caughtLine(func(c *Catchup) Caught { return c.Root })},
		{"catching up, subnet", "10,000 blocks/s", limitSubnetCatch, caughtLine(func(c *Catchup) Caught { return c.Subnet })},
		{"idle relayer, CPU", "2 % of a core", limitIdle, func(r Report) (string, [2]float64, bool) {
			if r.Idle == nil {
				return "", [2]float64{}, false
			}
			return fmt.Sprintf("%.1f %%", r.Idle.Relayer.CPUPercent), r.Idle.Load, true
		}},
		{"idle relayer, memory", "150 MB", limitMemory, func(r Report) (string, [2]float64, bool) {
			if r.Idle == nil {
				return "", [2]float64{}, false
			}
			return megabytes(r.Idle.Relayer), r.Idle.Load, true
		}},
		{"relayer over a long history, memory", "150 MB", limitHistory, func(r Report) (string, [2]float64, bool) {
			if r.History == nil {
				return "", [2]float64{}, false
			}
			return fmt.Sprintf("%s over %d finished transfers, %.1f %% of a core", megabytes(r.History.Relayer), r.History.Finished, r.History.Relayer.CPUPercent), r.History.Load, true
		}},
		{"Redis per finished transfer", "", limitRedisEach, func(r Report) (string, [2]float64, bool) {
			switch {
			case r.History != nil && r.Backlog != nil:
				return fmt.Sprintf("%d bytes (%d with the transactions that carried it)", r.History.RedisEach, r.Backlog.MemoryEach), r.History.Load, true
			case r.History != nil:
				return fmt.Sprintf("%d bytes", r.History.RedisEach), r.History.Load, true
			}
			return "", [2]float64{}, false
		}},
		{"native transfers in the subnet", "1,500/s at blocks of 1.0 s", limitNode, func(r Report) (string, [2]float64, bool) {
			if r.Node == nil {
				return "", [2]float64{}, false
			}
			n := r.Node
			return fmt.Sprintf("%.0f/s at blocks of %.2f s (%.2f s without them)", n.PerSecond, n.MeanInterval, n.IdleInterval), n.Load, true
		}},
	}
}

// What limits a figure, and what would lift it.
const (
	limitQueue = "Redis runs scripts on one core, three of them a cycle, and all that wait share an fsync; more transfers a script lift it " +
		"(watchers bring up to 256), or a second namespace on a second Redis"
	limitDeposits = "a statement may reach 1,024 messages beyond what is applied, which is one full root block of 615, so one of them is delivered in a subnet's block, and what a look sends " +
		"after the block was begun waits for the next; a wider reach would lift it to what a block's gas holds, some 900"
	limitWithdrawals = "the root's blocks: a transaction of 50 executions uses 4.5 M gas and enters where the 13 to 15 M it asks for are free, so eleven a block, 550/s, less what it takes to " +
		"begin and to end; both chains and the relayer share the two cores meanwhile"
	limitBroadcast = "a new head is looked for a fifth of a tick apart around the time it is due (50 ms here), it wakes the lane that waits for it, and an answer is a simulation, a " +
		"signature and three fsyncs; a head by subscription would lift it"
	limitCheckpoints = "three quarters of `fees.max_pending` at once, each undecided until its block is final, which takes three blocks of a second; more of them, or a shorter finality, lift it"
	limitCatchup     = "the node's answers to `eth_getLogs` over 2,000 blocks and the journal's fsyncs, one range after another; asking for the next range meanwhile would lift it"
	limitSubnetCatch = "the same, and a checkpoint to journal in every 10th block"
	limitIdle        = "a head is looked for two or three times a block on each side, each wakes the lanes that wait, such as an empty checkpoint's for its signatures; a longer checkpoint period lowers it"
	limitMemory      = "the Go runtime and its libraries, and the audit's books: 1.6 kB for each transfer that the chains know, for ever; folding what is settled into sums would lift it"
	limitHistory     = "nothing of the journal is held in memory, and its own check walks it in pages at a fiftieth of the time; the invariants' books of what the chains have are, as above, and what is freed " +
		"goes back to the system while little is allocated"
	limitRedisEach = "what has ended is kept whole for 30 days at least: transfer, plan, ledger, rows of the index; a plan kept once per flow instead of once per transfer would save a tenth"
	limitCrossIn   = "blocks: a proposal of 20 is signed by two processes that look for proposals by themselves, its approval is included and final two blocks later, and only then are its messages executed; " +
		"where there are more than an account's 64 undecided transactions carry, those"
	limitCrossOut = "the same"
	limitLanding  = "three looks at a head (a fifth of a tick of 250 ms apart), the signers' looks at proposals, three simulations, signatures and sets of fsyncs"
	limitNode     = "60 M gas hold 2,857 transfers; each is checked by the pool, executed to build its block and again to commit it, by one process on the cores it shares"
)

func queueLine(workers, batch int) func(Report) (string, [2]float64, bool) {
	return func(r Report) (string, [2]float64, bool) {
		if r.Queue != nil {
			for _, q := range r.Queue.Runs {
				if q.Workers == workers && q.Batch == batch {
					text := fmt.Sprintf("%.0f cycles/s, p99 %.1f ms", q.CyclesPerSecond, q.Cycle.P99)
					if batch > 1 {
						text += fmt.Sprintf(" (%.0f transfers/s)", q.TransfersPerSec)
					}
					return text, r.Queue.Load, true
				}
			}
		}
		return "", [2]float64{}, false
	}
}

func caughtLine(of func(*Catchup) Caught) func(Report) (string, [2]float64, bool) {
	return func(r Report) (string, [2]float64, bool) {
		if r.Catchup == nil {
			return "", [2]float64{}, false
		}
		c := of(r.Catchup)
		return fmt.Sprintf("%.0f blocks/s over %d blocks, %d of them with events", c.BlocksPerSecond, c.Blocks, c.EventBlocks), r.Catchup.Load, true
	}
}

func waitedText(w Waited) string {
	return fmt.Sprintf("%s/s of %d, the first after %.1f s", show(w.Block.PerSecond), w.Transfers, w.First/1000)
}

func megabytes(u Usage) string {
	return fmt.Sprintf("%.0f MB (at most %.0f)", float64(u.RSSBytes)/1e6, float64(u.PeakBytes)/1e6)
}
