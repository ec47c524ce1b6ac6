package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

const conditions = "`causeway devnet` as operators get it: root with blocks every second and finality 2 blocks behind, subnet of one validator with blocks every " +
	"second and a checkpoint every %d, private Redis with appendfsync always, one relayer (4 workers, batches up to 512 jobs; 100 messages into the subnet and 50 out " +
	"of it per transaction), each a process on this machine; half FLT, half USDC; every recipient is new"

// measureBridge runs all phases over one devnet, then reads what happened.
func measureBridge(ctx context.Context, r *rig, s size) (*Bridge, error) {
	b := &Bridge{Conditions: fmt.Sprintf(conditions, s.period), Load: [2]float64{load()}, StartUp: round(r.took.Seconds(), 1)}
	phases, err := r.phases(ctx, s)
	if err != nil {
		return nil, err
	}

	r.say("checking invariants and reading receipts")
	report, err := r.net.Audit(ctx)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	h, err := r.history(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.root.failed(), r.subnet.failed()); err != nil {
		return nil, err
	}
	p, timed := phases, r.broadcasts(h)
	b.Deposits, b.Withdrawals = directionOf(h, p.in), directionOf(h, p.out)
	b.Deposits.Measured = "sent in one burst, signed ahead. " + clocked
	b.Withdrawals.Measured = "sent in one burst, signed ahead, early in a checkpoint period, so that all are of one checkpoint if they fit. " + clocked
	b.Broadcast = Broadcast{Clocks: clocks, Burst: within(timed, p.in.span(), p.out.span())}
	if p.slowIn != nil {
		b.SlowDeposits, b.SlowWithdrawals = new(directionOf(h, p.slowIn)), new(directionOf(h, p.slowOut))
		slow := fmt.Sprintf("one sent every %s, both directions at once. %s", trickleEvery, clocked)
		b.SlowDeposits.Measured, b.SlowWithdrawals.Measured = slow, slow
		b.Broadcast.OneOff = within(timed, p.slowIn.span())
	}
	b.Broadcast.Steady = Steady{PerSecond: steadyRate, Seconds: s.steady.Seconds(), Spells: within(timed, p.steady)}
	b.Gas = r.gasTable(h, s.batches)
	b.Invariants, b.Sound = report.Invariants, report.OK && allDone(h)
	b.Load[1] = load()
	r.say("deposits %s/s, withdrawals %s/s by wall clock, first to last", show(b.Deposits.Wall.PerSecond), show(b.Withdrawals.Wall.PerSecond))
	return b, nil
}

// phases are what was sent; slowIn and slowOut are nil in a short run.
type phases struct {
	in, out, slowIn, slowOut *burst
	steady                   span
}

// phases sends everything. A short run does not wait for its withdrawals before
// it goes on with the batches for the gas table.
func (r *rig) phases(ctx context.Context, s size) (p phases, err error) {
	r.say("burst: %d deposits", s.events)
	if p.in, err = r.burst(ctx, r.root, alternating(s.events, r.deposit)); err == nil {
		err = r.end(ctx, p.in)
	}
	if err != nil {
		return p, fmt.Errorf("deposits: %w", err)
	}
	r.say("burst: %d withdrawals", s.events)
	var used uint64 // checkpoint period
	if err := r.newPeriod(ctx, &used); err != nil {
		return p, err
	}
	if p.out, err = r.burst(ctx, r.subnet, alternating(s.events, r.withdraw)); err == nil && s.trickle > 0 {
		err = r.end(ctx, p.out)
	}
	if err != nil {
		return p, fmt.Errorf("withdrawals: %w", err)
	}
	if s.trickle > 0 {
		r.say("one at a time: %d deposits and %d withdrawals", s.trickle, s.trickle)
		if p.slowIn, p.slowOut, err = r.trickle(ctx, s.trickle); err != nil {
			return p, fmt.Errorf("one at a time: %w", err)
		}
	}
	r.say("steady: %d transfers a second, half of them each way, for %s", steadyRate, s.steady)
	if p.steady, err = r.steady(ctx, s.steady); err != nil {
		return p, fmt.Errorf("steady: %w", err)
	}
	if err := r.gasPhase(ctx, s, &used); err != nil {
		return p, fmt.Errorf("gas: %w", err)
	}
	if p.out.ended.IsZero() {
		err = r.end(ctx, p.out)
	}
	return p, err
}

func show(v *float64) string {
	if v == nil {
		return "(all at once)"
	}
	return fmt.Sprintf("%.1f", *v)
}

// allDone says whether every user transfer of the run is done: nobody sent one
// that should fail.
func allDone(h *history) bool {
	for _, j := range h.byTx {
		if j.Status != tokens.Done {
			return false
		}
	}
	return true
}

const clocked = "Wall clock: from when the sending node had taken a transaction to when the journal recorded " +
	"its final destination event (a terminal status). Block time: time of the block with the destination event, in whole seconds; sent is the time of the origin block"

// directionOf reads the ends of a burst's transfers.
func directionOf(h *history, b *burst) Direction {
	d := Direction{Events: len(b.txs), Routes: map[string]int{}, Statuses: map[string]int{}}
	var wall, block, origin ends
	var latencies []time.Duration
	blocks := map[uint64]bool{}
	for _, tx := range b.txs {
		j, ok := h.byTx[tx.hash]
		if !ok {
			d.Statuses["unseen"]++
			d.Failed = append(d.Failed, fmt.Sprintf("%s unseen", tx.hash))
			continue
		}
		d.Routes[j.Transfer.Route]++
		d.Statuses[string(j.Status)]++
		if j.Status != tokens.Done {
			d.Failed = append(d.Failed, fmt.Sprintf("%s %s %s", tx.hash, j.Status, j.Reason))
			continue
		}
		blocks[j.Transfer.Height] = true
		origin.add(time.Unix(int64(j.Transfer.At), 0))
		wall.add(j.UpdatedAt)
		block.add(decidedAt(j))
		latencies = append(latencies, j.UpdatedAt.Sub(tx.at))
	}
	if len(latencies) == 0 {
		return d
	}
	d.SendSeconds, d.OriginBlocks = round(b.txs[len(b.txs)-1].at.Sub(b.began).Seconds(), 3), len(blocks)
	d.Wall = ratesOf(len(latencies), b.began, wall.first, wall.last)
	d.Block = ratesOf(len(latencies), origin.first, block.first, block.last)
	d.First, d.Latency = millis(wall.first.Sub(b.began)), distOf(latencies)
	return d
}

// ends are the earliest and the latest of some times.
type ends struct{ first, last time.Time }

func (e *ends) add(t time.Time) {
	if e.first.IsZero() || t.Before(e.first) {
		e.first = t
	}
	if t.After(e.last) {
		e.last = t
	}
}

// decidedAt is the time of the block that ended a transfer.
func decidedAt(j store.Job) time.Time {
	for i := len(j.History) - 1; i >= 0; i-- {
		if j.History[i].Outcome != "" && j.History[i].Tx != (common.Hash{}) {
			return time.Unix(int64(j.History[i].At), 0)
		}
	}
	return time.Time{}
}
