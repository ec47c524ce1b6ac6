package audit

import (
	"math/big"

	"github.com/causeway-bridge/causeway/chains/ipc"
)

// flt is I1 of FLT; every term is in the package's doc.
func (a *Auditor) flt(r rootState, s childState) Invariant {
	h, inv := a.hist, newRow("I1", "FLT")
	g, c := r.gateway, s.gateway

	// What is locked on the root for the subnet.
	inv.lock("pre_funded", g.PreFunded)
	inv.lock("locked", g.Locked)
	inv.lock("relocked", g.Relocked)
	inv.lock("covered", g.Covered)
	inv.term("unlocked", g.Unlocked)
	inv.drift.Sub(inv.drift, g.Unlocked)
	inv.term("locked_root", inv.drift)

	// What circulates in the subnet, and of it: pot, credits and burnt fees.
	inv.claim("child_pre_funded", c.PreFunded)
	inv.claim("released", c.Released)
	inv.term("returned", c.Returned)
	inv.drift.Add(inv.drift, c.Returned)
	inv.term("supply", sum(c.PreFunded, c.Released, neg(c.Returned)))
	inv.term("pot", sum(c.FeesIn, neg(c.FeesOut)))
	inv.term("child_credits", sum(c.Credited, neg(c.CreditsPaid)))
	inv.term("root_credits", sum(g.Credited, neg(g.CreditsPaid)))
	if s.baseFee != nil {
		inv.term("burnt", s.baseFee)
	}

	// What is on its way, cut by applied nonces, and what could not be placed.
	down, up := h.totals(r, s)
	inv.claim("down_in_flight", down.inFlight)
	inv.claim("up_in_flight", up.inFlight)
	waits := sum(g.Quarantined, neg(g.QuarantineReleased))
	inv.claim("quarantined", waits)
	inv.claim("stranded", down.stranded)
	h.noteMissing(inv, r, s)

	// What a fork of the root left unbacked in the subnet, and what was locked
	// against it.
	unbacked := h.unbacked()
	shortage, surplus := lack(unbacked, g.Covered)
	inv.term("unbacked", unbacked)
	inv.term("shortfall", shortage)
	inv.claim("cover_surplus", surplus)
	if shortage.Sign() != 0 {
		inv.note("%s circulate in the subnet from messages that recovery %d took off the root, and %s of them are not backed: `causeway recovery cover`",
			unbacked, h.recovered.number, shortage)
	}

	// Balances bound liabilities from above and enter no equality.
	owed := sum(liabilities(g), r.stake, r.others)
	inv.term("stake", r.stake)
	inv.term("other_subnets", r.others)
	inv.holds("gateway", owed, r.gatewayFLT)
	inv.holds("payouts", sum(r.received, neg(r.paid)), r.payoutsFLT)
	inv.term("treasury_genesis", a.src.Treasury)
	inv.holds("treasury", sum(a.src.Treasury, c.Returned, neg(c.Released), c.FeesIn, neg(c.FeesOut), c.Credited, neg(c.CreditsPaid)), s.gatewayFLT)
	inv.holds("outbox", s.heldFLT, s.outboxFLT)

	// Counters against the events that they count.
	inv.equal("value sent down", sum(g.Locked, g.Relocked), down.all)
	inv.equal("value applied down", sum(c.Released, c.Bounced, down.stranded), sum(down.applied, unbacked))
	inv.equal("value sent up", sum(c.Returned, c.Bounced), up.all)
	inv.equal("value applied up", sum(g.Unlocked, waits), up.applied)
	inv.equal("circulating supply", s.circulating, sum(c.PreFunded, c.Released, neg(c.Returned), down.stranded))
	inv.equal("value received by FastWithdrawals", r.received, up.toPayouts)
	return inv.invariant()
}

// lane are sums of value of one direction.
type lane struct {
	all, applied, inFlight, stranded, toPayouts *big.Int
}

func newLane() lane {
	return lane{new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int)}
}

func (h *history) totals(r rootState, s childState) (down, up lane) {
	down, up = newLane(), newLane()
	for n, m := range h.down {
		if n >= r.downNext || m.value.Sign() == 0 {
			continue
		}
		down.all.Add(down.all, m.value)
		if n >= s.downApplied {
			down.inFlight.Add(down.inFlight, m.value)
			continue
		}
		down.applied.Add(down.applied, m.value)
		if h.downApplied[n].disposition == quarantined {
			down.stranded.Add(down.stranded, m.value)
		}
	}
	for n, m := range h.up {
		if n >= s.upNext || m.value.Sign() == 0 {
			continue
		}
		up.all.Add(up.all, m.value)
		if n >= r.upApplied {
			up.inFlight.Add(up.inFlight, m.value)
			continue
		}
		up.applied.Add(up.applied, m.value)
		to, known := h.upApplied[n]
		if m.kind == ipc.KindCall && m.to == h.sub.FastWithdrawals && m.from == h.sub.Outbox && known && to.disposition == executed {
			up.toPayouts.Add(up.toPayouts, m.value)
		}
	}
	return down, up
}

// unbacked is the value of messages that the subnet applied and that a fork took
// off the root: what had ever come down when the newest recovery was committed,
// less what the root has sent up to its prefix.
func (h *history) unbacked() *big.Int {
	if h.recovered.received == nil {
		return new(big.Int)
	}
	n := new(big.Int).Set(h.recovered.received)
	for nonce, m := range h.down {
		if nonce < h.recovered.prefix {
			n.Sub(n, m.value)
		}
	}
	return n
}

// noteMissing names messages in flight whose event did not come.
func (h *history) noteMissing(inv *row, r rootState, s childState) {
	if n, count := firstMissing(h.down, s.downApplied, r.downNext); count > 0 {
		inv.note("%d top-down messages in flight have no event, the first is %d", count, n)
	}
	if n, count := firstMissing(h.up, r.upApplied, s.upNext); count > 0 {
		inv.note("%d bottom-up messages in flight have no event, the first is %d", count, n)
	}
}

// firstMissing is the lowest nonce of [from, to) without an entry, and how many
// there are. The work is bounded by what is known, whatever a gateway claims.
func firstMissing[T any](known map[uint64]T, from, to uint64) (first, count uint64) {
	if to <= from {
		return 0, 0
	}
	count = to - from
	for n := range known {
		if n >= from && n < to {
			count--
		}
	}
	if count == 0 {
		return 0, 0
	}
	for first = from; ; first++ {
		if _, ok := known[first]; !ok {
			return first, count
		}
	}
}
