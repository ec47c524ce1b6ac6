package audit

import (
	"context"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/ethereum/go-ethereum/common"
)

// maxEpochs bounds how many batches in flight one Check folds.
const maxEpochs = 200

// readBatches reads what the subnet gateway keeps of each epoch that has
// messages in flight.
func (a *Auditor) readBatches(ctx context.Context, r rootState, s childState) (map[uint64]bindings.SubnetGatewayBottomUpBatchInfoOutput, error) {
	epochs := map[uint64]bool{}
	for n, m := range a.hist.up {
		if n >= r.upApplied && n < s.upNext && len(epochs) < maxEpochs {
			epochs[m.epoch] = true
		}
	}
	out := map[uint64]bindings.SubnetGatewayBottomUpBatchInfoOutput{}
	var queries []query
	for e := range epochs {
		queries = append(queries, ask(a.src.Sub.SubnetGateway, a.abis.child.PackBottomUpBatchInfo(new(big.Int).SetUint64(e)),
			a.abis.child.UnpackBottomUpBatchInfo, func(o bindings.SubnetGatewayBottomUpBatchInfoOutput) { out[e] = o }))
	}
	if err := run(ctx, a.src.Child, s.block, queries); err != nil {
		return nil, fmt.Errorf("read batches: %w", err)
	}
	return out, nil
}

// settlements is I2.
func (a *Auditor) settlements(r rootState, s childState, batches map[uint64]bindings.SubnetGatewayBottomUpBatchInfoOutput) Invariant {
	h, inv := a.hist, newRule("I2")
	inv.count += uint64(h.faultCount)
	inv.notes = append(inv.notes, h.faults...)

	inv.lane("top-down", h.down, h.downApplied, r.downNext, s.downApplied)
	inv.lane("bottom-up", h.up, h.upApplied, s.upNext, r.upApplied)
	h.foldDown(inv, r, s)
	h.foldUp(inv, batches)
	h.checkDeposits(inv, s)
	h.checkResults(inv)
	h.checkWithdrawals(inv, r)
	return inv.invariant()
}

// lane checks that every message sent has its event, and every applied one was
// applied once and by its own id. Second applications are faults of the
// history.
func (r *rule) lane(name string, known map[uint64]*message, done map[uint64]applied, next, appliedTo uint64) {
	r.term(name+"_messages", len(known))
	r.term(name+"_applied", len(done))
	if n, count := firstMissing(known, 0, next); count > 0 {
		r.brokenBy(count, "%d %s messages have no event, the first is %d", count, name, n)
	}
	if n, count := firstMissing(done, 0, appliedTo); count > 0 {
		r.brokenBy(count, "%d applied %s messages have no event, the first is %d", count, name, n)
	}
	for n := range known {
		if n >= next {
			r.broken("%s message %d has an event and the gateway's next is %d", name, n, next)
		}
	}
	for n, a := range done {
		if n >= appliedTo {
			r.broken("%s message %d was applied and the gateway's next is %d", name, n, appliedTo)
		}
		if m := known[n]; m != nil && m.id != a.id {
			r.broken("%s message %d is %s and was applied as %s", name, n, m.id, a.id)
		}
	}
}

// foldDown checks that the messages in flight, folded onto what the subnet has
// applied, give what the root keeps: content, not only count (PROTOCOL 11).
func (h *history) foldDown(inv *rule, r rootState, s childState) {
	if _, missing := firstMissing(h.down, s.downApplied, r.downNext); missing > 0 || r.downHash == (common.Hash{}) {
		return
	}
	rolling := s.downHash
	for n := s.downApplied; n < r.downNext; n++ {
		rolling = ipc.Roll(rolling, h.down[n].leaf)
	}
	if rolling != r.downHash {
		inv.broken("top-down messages [%d, %d) fold to %s, the root keeps %s", s.downApplied, r.downNext, rolling, r.downHash)
	}
}

// foldUp does the same with every batch in flight.
func (h *history) foldUp(inv *rule, batches map[uint64]bindings.SubnetGatewayBottomUpBatchInfoOutput) {
	for epoch, b := range batches {
		if b.Count > uint64(len(h.up)) {
			inv.broken("batch %d has %d messages, %d are known", epoch, b.Count, len(h.up))
			continue
		}
		rolling, whole := common.Hash{}, true
		for i := range b.Count {
			m := h.up[b.FirstNonce+i]
			if whole = m != nil; !whole {
				break // counted as missing
			}
			rolling = ipc.Roll(rolling, m.leaf)
		}
		if whole && rolling != b.RollingHash {
			inv.broken("batch %d folds to %s, the subnet keeps %s", epoch, rolling, common.Hash(b.RollingHash))
		}
	}
}

// checkDeposits: minted as sent, or refunded once and only after a failure.
func (h *history) checkDeposits(inv *rule, s childState) {
	byNonce := map[uint64]tokensSent{}
	for _, t := range h.tokensSent {
		if _, twice := byNonce[t.nonce]; twice {
			inv.broken("two deposits in top-down message %d", t.nonce)
		}
		byNonce[t.nonce] = t
		m := h.down[t.nonce]
		if m == nil {
			continue // counted as missing
		}
		if d := m.deposit; d == nil || m.id != t.id || d.recipient != t.recipient || d.amount.Cmp(t.amount) != 0 {
			inv.broken("deposit %s of %s to %s is not what top-down message %d says", t.id, t.amount, t.recipient.Hex(), t.nonce)
		}
	}
	var landed []uint64
	for n, m := range h.down {
		if m.deposit == nil {
			continue
		}
		if _, ok := byNonce[n]; !ok {
			inv.broken("the controller does not know its deposit in top-down message %d", n)
		}
		if to, ok := h.downApplied[n]; ok && to.outcome == ipc.OutcomeOk {
			landed = append(landed, n)
		}
	}
	inv.term("deposits", len(byNonce))

	// The replica mints in the order of nonces, once per message.
	slices.Sort(landed)
	for i, n := range landed[:min(len(landed), len(h.minted))] {
		d, m := h.down[n].deposit, h.minted[i]
		if m.recipient != d.recipient || m.amount.Cmp(d.amount) != 0 {
			inv.broken("deposit in top-down message %d is %s to %s, minted were %s to %s", n, d.amount, d.recipient.Hex(), m.amount, m.recipient.Hex())
		}
	}
	if _, missing := firstMissing(h.downApplied, 0, s.downApplied); missing == 0 && len(landed) != len(h.minted) {
		inv.broken("%d deposits were delivered, %d mintings happened", len(landed), len(h.minted))
	}

	for id, list := range h.refunds {
		n, known := h.downID[id]
		t, isDeposit := byNonce[n]
		switch to := h.downApplied[n]; {
		case len(list) > 1:
			inv.brokenBy(uint64(len(list)-1), "deposit %s was refunded %d times", id, len(list))
		case !known || !isDeposit:
			inv.broken("refund of %s, which is no deposit", id)
		case to.outcome == ipc.OutcomeOk:
			inv.broken("deposit %s was refunded and did not fail", id)
		case list[0].sender != t.sender || list[0].amount.Cmp(t.amount) != 0:
			inv.broken("deposit %s of %s by %s was refunded as %s to %s", id, t.amount, t.sender.Hex(), list[0].amount, list[0].sender.Hex())
		}
	}
	inv.term("refunds", len(h.refunds))
	for id, list := range h.claimed {
		refunds := h.refunds[id]
		if len(list) > 1 || len(refunds) == 0 || refunds[0].paid || refunds[0].amount.Cmp(list[0].amount) != 0 {
			inv.broken("refund of %s was pulled %d times and not as it is owed", id, len(list))
		}
	}
}

// checkResults: an answer to a message comes once, and a failure brings exactly
// its value back.
func (h *history) checkResults(inv *rule) {
	for id, list := range h.rootResults {
		if len(list) > 1 {
			inv.brokenBy(uint64(len(list)-1), "message %s was answered %d times", id, len(list))
		}
		n, known := h.downID[id]
		if !known {
			inv.broken("a Result answers %s, which was never sent", id)
			continue
		}
		m, res, back := h.down[n], list[0], new(big.Int)
		if res.outcome != ipc.OutcomeOk {
			back = m.value
		}
		if res.value.Cmp(back) != 0 || (res.value.Sign() != 0 && res.to != m.from) {
			inv.broken("top-down message %d of %s by %s came back as %s to %s", n, m.value, m.from.Hex(), res.value, res.to.Hex())
		}
		if to, ok := h.downApplied[n]; ok && (to.outcome == ipc.OutcomeOk) != (res.outcome == ipc.OutcomeOk) {
			inv.broken("top-down message %d ended with outcome %d, its Result says %d", n, to.outcome, res.outcome)
		}
	}
}

// checkWithdrawals: settled at most once, as sent, and never without a message.
func (h *history) checkWithdrawals(inv *rule, r rootState) {
	byID := map[common.Hash]*sent{}
	for i := range h.sent {
		w := &h.sent[i]
		if byID[w.id] != nil {
			inv.broken("withdrawal %s was sent twice", w.id)
		}
		byID[w.id] = w
		m := h.up[w.messageNonce]
		if m == nil {
			continue // counted as missing
		}
		value := new(big.Int)
		if w.Token == h.sub.FLT {
			value = w.Gross
		}
		if m.withdrawal == nil || m.withdrawal.id != w.id || m.value.Cmp(value) != 0 {
			inv.broken("withdrawal %s is not what bottom-up message %d says", w.id, w.messageNonce)
		}
	}
	inv.term("withdrawals", len(byID))

	messages, arrived := map[common.Hash]int{}, map[common.Hash]int{}
	for u, m := range h.up {
		if m.withdrawal == nil {
			continue
		}
		messages[m.withdrawal.id]++
		if to, ok := h.upApplied[u]; u < r.upApplied && (!ok || to.disposition == executed) {
			arrived[m.withdrawal.id]++
		}
	}
	for id, n := range messages {
		if byID[id] == nil {
			inv.broken("a message carries withdrawal %s, which was never sent", id)
		} else if n > 1+h.resent[id] {
			inv.broken("withdrawal %s rides in %d messages and was resent %d times", id, n, h.resent[id])
		}
		if h.resent[id] > h.backAgain[id] {
			inv.broken("withdrawal %s was resent %d times and came back %d times", id, h.resent[id], h.backAgain[id])
		}
	}

	settled := map[common.Hash]settlement{}
	times := map[common.Hash]uint64{}
	for _, s := range h.settled {
		settled[s.id] = s
		times[s.id]++
	}
	for _, s := range settled {
		w := byID[s.id]
		switch {
		case times[s.id] > 1:
			// What was paid twice needs no second count.
			inv.brokenBy(times[s.id]-1, "withdrawal %s was settled %d times", s.id, times[s.id])
		case w == nil:
			inv.broken("withdrawal %s was settled and never sent", s.id)
		case arrived[s.id] == 0:
			inv.broken("withdrawal %s was settled without its message", s.id)
		case s.claimant != w.Recipient:
			inv.broken("withdrawal %s to %s was settled to %s", s.id, w.Recipient.Hex(), s.claimant.Hex())
		case s.token != w.Token:
			inv.broken("withdrawal %s of token %s was settled in %s", s.id, w.Token.Hex(), s.token.Hex())
		case s.gross.Cmp(w.Gross) != 0 || s.amount.Cmp(s.gross) > 0:
			inv.broken("withdrawal %s of %s was settled with %s of %s", s.id, w.Gross, s.amount, s.gross)
		default:
			h.checkPayout(inv, s)
		}
	}
	inv.term("settled", len(settled))
	for id := range arrived {
		if _, ok := settled[id]; !ok {
			inv.broken("the message of withdrawal %s was executed and nothing settled", id)
		}
	}
	for what, ids := range map[string][]common.Hash{
		"reserved": keys(h.reserved), "paid from the reserve": keys(h.reservePaid), "claimed": keys(h.credits),
	} {
		for _, id := range ids {
			if _, ok := settled[id]; !ok {
				inv.broken("withdrawal %s was %s and never settled", id, what)
			}
		}
	}
}

// checkPayout: what left for one settled withdrawal is at most its amount, once.
func (h *history) checkPayout(inv *rule, s settlement) {
	claims, pays, reserves := h.credits[s.id], h.reservePaid[s.id], h.reserved[s.id]
	times := len(claims)
	if s.paid {
		times++
	}
	if times > 1 {
		inv.brokenBy(uint64(times-1), "withdrawal %s was paid %d times", s.id, times)
		return
	}
	if len(claims) == 1 && claims[0].amount.Cmp(s.amount) != 0 {
		inv.broken("withdrawal %s is owed %s and was claimed with %s", s.id, s.amount, claims[0].amount)
	}
	if s.token != h.sub.USDC {
		if len(reserves)+len(pays) > 0 {
			inv.broken("withdrawal %s of another token took from the reserve", s.id)
		}
		return
	}
	if sum(reserves...).Cmp(s.amount) != 0 || (len(reserves) != 1 && s.amount.Sign() != 0) {
		inv.broken("withdrawal %s of %s reserved %s in %d parts", s.id, s.amount, sum(reserves...), len(reserves))
	}
	if len(pays) != times {
		inv.broken("withdrawal %s was paid %d times and left the reserve %d times", s.id, times, len(pays))
		return
	}
	if times == 1 && (pays[0].amount.Cmp(s.amount) != 0 || (s.paid && pays[0].to != s.claimant)) {
		inv.broken("withdrawal %s of %s to %s left the reserve as %s to %s", s.id, s.amount, s.claimant.Hex(), pays[0].amount, pays[0].to.Hex())
	}
}

func keys[T any](m map[common.Hash]T) []common.Hash {
	out := make([]common.Hash, 0, len(m))
	for id := range m {
		out = append(out, id)
	}
	return out
}
