package audit

import (
	"math/big"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
)

// usdc is I1 of USDC; every term is in the package's doc.
func (a *Auditor) usdc(r rootState, s childState) Invariant {
	h, inv, c := a.hist, newRow("I1", "USDC"), r.controller
	inv.lock("locked", c.Locked)
	inv.term("refunded", c.Refunded)
	inv.term("reserved", c.Reserved)
	inv.drift.Sub(inv.drift, c.Refunded)
	inv.drift.Sub(inv.drift, c.Reserved)
	inv.term("locked_root", inv.drift)
	inv.term("refund_credits", sum(c.Refunded, neg(c.RefundsPaid)))
	inv.term("reserves_unpaid", sum(c.Reserved, neg(c.ReservesPaid)))

	inv.claim("supply", s.supply)
	d := h.deposits(r, s)
	inv.claim("down_in_flight", d.inFlight)
	inv.claim("refunds_in_flight", d.comingBack)
	inv.claim("refunds_failed", d.refused)
	w := h.withdrawals(r, s)
	inv.claim("up_in_flight", w.inFlight)
	inv.claim("returns_in_flight", w.comingBack)
	inv.claim("returns_failed", w.refused)
	inv.claim("held", sum(w.cameBack, neg(h.timesUSDC(h.resent))))
	inv.claim("quarantined", w.waiting)
	inv.claim("settled_short", h.settledShort())
	h.noteMissing(inv, r, s)

	inv.holds("controller", sum(c.Locked, neg(c.RefundsPaid), neg(c.ReservesPaid)), r.controllerUSDC)

	inv.equal("replica's supply", sum(s.minted, neg(s.burnt)), s.supply)
	inv.equal("deposits", c.Locked, d.all)
	inv.equal("minted by deposits", s.minted, d.minted)
	inv.equal("burnt by withdrawals", s.burnt, h.sentUSDC())
	inv.equal("refunded", c.Refunded, h.refundedUSDC())
	inv.equal("reserved", c.Reserved, h.reservedUSDC())
	inv.equal("returned", w.cameBack, h.timesUSDC(h.backAgain))
	if excess := h.holdersExcess(); excess.Sign() != 0 {
		inv.equal("holders' balances", new(big.Int), excess)
	}
	return inv.invariant()
}

// linked are sums of USDC of one direction.
type linked struct {
	all, inFlight, minted, comingBack, cameBack, refused, waiting *big.Int
}

func newLinked() linked {
	return linked{new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int), new(big.Int)}
}

// deposits follows each deposit to where its amount is now: in flight, minted,
// in a failure Result on its way up, refused by the controller, or refunded
// (which is no claim any more). One whose Result did not come is nowhere, and
// so the drift.
func (h *history) deposits(r rootState, s childState) linked {
	l := newLinked()
	for n, m := range h.down {
		if m.deposit == nil || n >= r.downNext {
			continue
		}
		amount := m.deposit.amount
		l.all.Add(l.all, amount)
		if n >= s.downApplied {
			l.inFlight.Add(l.inFlight, amount)
			continue
		}
		if h.downApplied[n].outcome == ipc.OutcomeOk {
			l.minted.Add(l.minted, amount)
			continue
		}
		u, answered := h.answeredUp[m.id]
		switch {
		case !answered || u >= s.upNext:
		case u >= r.upApplied:
			l.comingBack.Add(l.comingBack, amount)
		case h.upApplied[u].outcome != ipc.OutcomeOk:
			l.refused.Add(l.refused, amount)
		}
	}
	return l
}

// withdrawals follows each message of a withdrawal of USDC likewise. What came
// back to the outbox stays there until it is resent, in another message.
func (h *history) withdrawals(r rootState, s childState) linked {
	l := newLinked()
	for u, m := range h.up {
		if m.withdrawal == nil || m.withdrawal.Token != h.sub.USDC || u >= s.upNext {
			continue
		}
		gross := m.withdrawal.Gross
		l.all.Add(l.all, gross)
		if u >= r.upApplied {
			l.inFlight.Add(l.inFlight, gross)
			continue
		}
		to := h.upApplied[u]
		if to.disposition == quarantined {
			l.waiting.Add(l.waiting, gross)
		}
		if to.disposition != returned {
			continue
		}
		n, answered := h.answeredDown[m.id]
		switch {
		case !answered || n >= r.downNext:
		case n >= s.downApplied:
			l.comingBack.Add(l.comingBack, gross)
		case h.downApplied[n].outcome != ipc.OutcomeOk:
			l.refused.Add(l.refused, gross)
		default:
			l.cameBack.Add(l.cameBack, gross)
		}
	}
	return l
}

func (h *history) settledShort() *big.Int {
	n := new(big.Int)
	for _, s := range h.settled {
		if s.token == h.sub.USDC && s.short {
			n.Add(n, sum(s.gross, neg(s.amount)))
		}
	}
	return n
}

func (h *history) sentUSDC() *big.Int {
	n := new(big.Int)
	for _, w := range h.sent {
		if w.Token == h.sub.USDC {
			n.Add(n, w.Gross)
		}
	}
	return n
}

// timesUSDC sums the withdrawals of USDC, each as often as times says.
func (h *history) timesUSDC(times map[common.Hash]int) *big.Int {
	n := new(big.Int)
	for _, w := range h.sent {
		if w.Token == h.sub.USDC {
			n.Add(n, new(big.Int).Mul(w.Gross, big.NewInt(int64(times[w.id]))))
		}
	}
	return n
}

func (h *history) refundedUSDC() *big.Int {
	n := new(big.Int)
	for _, list := range h.refunds {
		for _, f := range list {
			n.Add(n, f.amount)
		}
	}
	return n
}

func (h *history) reservedUSDC() *big.Int {
	n := new(big.Int)
	for _, list := range h.reserved {
		n.Add(n, sum(list...))
	}
	return n
}
