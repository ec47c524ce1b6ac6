package evm

import (
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// verb is what to do about an intent.
type verb string

const (
	doWait        verb = "wait"        // nothing new
	doSign        verb = "sign"        // sign the payload for the first time
	doNoOp        verb = "no_op"       // sign a 0-value self-send for the nonce
	doBump        verb = "bump"        // sign the same with higher fees
	doRebroadcast verb = "rebroadcast" // send the newest attempt again
	doAbandon     verb = "abandon"     // give up the payload; the nonce is filled next
	doInclude     verb = "include"     // a receipt is there, its block not final
	doReopen      verb = "reopen"      // the receipt is gone: back to signed
	doDecide      verb = "decide"      // a final block says how it ended
)

const (
	whyCeiling     = "at the fee ceiling"
	whyCeilingNoOp = "at the fee ceiling, cannot replace by a no-op"
)

// action is a verb with its object.
type action struct {
	verb    verb
	state   chains.IntentState // doDecide: the final state
	receipt *Receipt           // doInclude, doDecide
	fees    price              // doSign, doNoOp, doBump
	why     string             // for the log; set on doWait only where a person should know
}

// price is what an attempt offers, in wei per gas.
type price struct{ tip, feeCap *big.Int }

// observation is what one look at the chain saw about one intent. Each field
// is either known or marked unknown: an unknown never decides anything.
type observation struct {
	now         time.Time
	receipts    map[common.Hash]*Receipt // by the hash asked for; all hashes were asked
	canonical   map[uint64]common.Hash   // canonical hashes of final heights, as far as read
	finalHead   uint64                   // newest final height
	latestNonce uint64                   // transactions of the account in the newest block
	finalNonce  uint64                   // in the final head block
	finalKnown  bool                     // finalNonce could be read
	minedHashes bool                     // the node says that one of our hashes is in a block
	misses      int                      // looks in a row with the nonce finally used and no receipt, this one included
	headSince   time.Time                // when this nonce became the account's next
	lastSent    time.Time                // last broadcast of the newest attempt
	underpriced bool                     // the newest attempt was refused for its price
	fees        *Fees                    // nil: unknown
}

// policy is the part of TxConfig that decides.
type policy struct {
	rebroadcastAfter, bumpAfter, abandonAfter time.Duration
	resumeAfter                               time.Duration
	bumpPermille, maxAttempts, foreignLooks   int
	maxFeeCap, maxTip, minTip                 *big.Int
	baseFeeFactor                             int
}

func policyOf(c TxConfig) policy {
	return policy{
		rebroadcastAfter: c.RebroadcastAfter, bumpAfter: c.BumpAfter, abandonAfter: c.AbandonAfter, resumeAfter: c.ResumeAfter,
		bumpPermille: c.BumpPermille, maxAttempts: c.MaxAttempts, foreignLooks: c.ForeignLooks,
		maxFeeCap: c.MaxFeeCapWei, maxTip: c.MaxTipWei, minTip: c.MinTipWei, baseFeeFactor: c.BaseFeeFactor,
	}
}

// decide says what to do about an undecided intent, from one observation and
// nothing else. The rules in order:
//
//  1. A receipt of one of our hashes rules. In a final, canonical block it
//     decides; in a block that is not final it includes; in a block that is
//     final but not canonical it is void.
//  2. Included without a receipt: the chain was reorganised.
//  3. The nonce is used in a final block and, look after look, none of our
//     hashes has a receipt: foreign. Until then, and while the nonce is used in
//     a block that is not final, wait: "nonce too low" is never "done".
//  4. Nothing signed: sign. Abandoned and no no-op signed: sign that.
//  5. Too old or refused for its price: bump, within the ceilings, the head of
//     the queue only. At the ceiling, and between bumps, send it again.
func decide(in chains.Intent, o observation, p policy) action {
	if in.State.Decided() {
		return action{verb: doWait}
	}

	receipt, attempt, contradiction := receiptOf(in, o)
	void := false
	if contradiction {
		return action{verb: doWait, why: "two hashes of one nonce have receipts"}
	}
	if receipt != nil && receipt.Block <= o.finalHead {
		canonical, known := o.canonical[receipt.Block]
		switch {
		case !known:
			return action{verb: doWait}
		case canonical != receipt.BlockHash:
			// A stale answer about a block that lost: no receipt at all.
			receipt, void = nil, true
		case !o.finalKnown || o.finalNonce <= in.Nonce:
			// The final state must agree that the nonce is used. It may lag by a
			// block where execution is deferred.
			return includeUnlessKnown(in, receipt)
		default:
			return action{verb: doDecide, state: outcome(receipt, attempt), receipt: receipt}
		}
	}
	if receipt != nil {
		return includeUnlessKnown(in, receipt)
	}

	if in.State == chains.IntentIncluded {
		return action{verb: doReopen, why: "receipt is gone"}
	}
	if o.finalKnown && o.finalNonce > in.Nonce {
		switch {
		case o.misses < p.foreignLooks:
			return action{verb: doWait}
		case o.minedHashes || void:
			return action{verb: doWait, why: "nonce is used in a final block, by a hash of ours without a final receipt"}
		}
		return action{verb: doDecide, state: chains.IntentForeign}
	}
	if o.latestNonce > in.Nonce {
		return action{verb: doWait}
	}
	return push(in, o, p)
}

// push gets an intent whose nonce is not used to the chain.
func push(in chains.Intent, o observation, p policy) action {
	last := lastAttempt(in)
	if last == nil {
		fees, ok := p.first(o.fees)
		switch {
		case o.now.Sub(in.CreatedAt) < p.resumeAfter && !in.Abandoned:
			// Whoever reserved it may be about to sign it.
			return action{verb: doWait}
		case !ok:
			return action{verb: doWait, why: "fees unknown or above the ceiling"}
		case in.Abandoned:
			return action{verb: doNoOp, fees: fees}
		}
		return action{verb: doSign, fees: fees}
	}
	if in.Abandoned && !hasNoOp(in) {
		if fees, ok := p.raise(*last, o.fees); ok {
			return action{verb: doNoOp, fees: fees}
		}
		// The ceiling forbids a replacement: whichever attempt lands fills the
		// nonce.
		return again(o, p, whyCeilingNoOp)
	}

	age := o.now.Sub(last.SentAt)
	if wait := o.now.Sub(o.headSince); wait < age {
		age = wait
	}
	head := in.Nonce == o.latestNonce
	if head && p.abandonAfter > 0 && !in.Abandoned && o.now.Sub(in.CreatedAt) >= p.abandonAfter && age >= p.bumpAfter {
		return action{verb: doAbandon, why: "too old"}
	}
	if head && (age >= p.bumpAfter || o.underpriced) {
		fees, ok := p.raise(*last, o.fees)
		switch {
		case !ok:
			return again(o, p, whyCeiling)
		case len(in.Attempts) >= p.maxAttempts:
			return again(o, p, "too many attempts")
		}
		return action{verb: doBump, fees: fees}
	}
	return again(o, p, "")
}

// again sends the newest attempt once more when it is time.
func again(o observation, p policy, why string) action {
	if o.now.Sub(o.lastSent) < p.rebroadcastAfter {
		return action{verb: doWait, why: why}
	}
	return action{verb: doRebroadcast, why: why}
}

// receiptOf finds the one attempt that was mined. An answer for another hash
// than the one asked for is no answer.
func receiptOf(in chains.Intent, o observation) (r *Receipt, a *chains.Attempt, contradiction bool) {
	for i := range in.Attempts {
		got := o.receipts[in.Attempts[i].Hash]
		if got == nil || got.TxHash != in.Attempts[i].Hash {
			continue
		}
		if r != nil {
			return nil, nil, true
		}
		r, a = got, &in.Attempts[i]
	}
	return r, a, false
}

func includeUnlessKnown(in chains.Intent, r *Receipt) action {
	if in.State == chains.IntentIncluded && in.TxHash == r.TxHash && in.BlockHash == r.BlockHash {
		return action{verb: doWait}
	}
	return action{verb: doInclude, receipt: r}
}

func outcome(r *Receipt, a *chains.Attempt) chains.IntentState {
	switch {
	case a.NoOp:
		return chains.IntentReplaced
	case r.OK:
		return chains.IntentSucceeded
	}
	return chains.IntentReverted
}

func lastAttempt(in chains.Intent) *chains.Attempt {
	if len(in.Attempts) == 0 {
		return nil
	}
	return &in.Attempts[len(in.Attempts)-1]
}

func hasNoOp(in chains.Intent) bool {
	for _, a := range in.Attempts {
		if a.NoOp {
			return true
		}
	}
	return false
}

// market is what the chain asks for, bounded by the ceilings. ok is false when
// the fees are unknown or absurd.
func (p policy) market(f *Fees) (price, bool) {
	if f == nil || f.BaseFee == nil || f.Tip == nil || f.BaseFee.Sign() < 0 || f.Tip.Sign() < 0 {
		return price{}, false
	}
	tip := clampBig(f.Tip, p.minTip, p.maxTip)
	feeCap := new(big.Int).Mul(f.BaseFee, big.NewInt(int64(p.baseFeeFactor)))
	feeCap.Div(feeCap, big.NewInt(100))
	feeCap.Add(feeCap, tip)
	feeCap = clampBig(feeCap, tip, p.maxFeeCap)
	return price{tip: tip, feeCap: feeCap}, true
}

// first is the price of a first attempt; ok is false when even the ceiling
// would not pay the base fee, since a nonce spent on that is stuck.
func (p policy) first(f *Fees) (price, bool) {
	m, ok := p.market(f)
	if !ok || new(big.Int).Add(f.BaseFee, p.minTip).Cmp(p.maxFeeCap) > 0 {
		return price{}, false
	}
	return m, true
}

// raise is the price of a replacement: the pool's minimum rise on both fields
// or the market, whichever is more; ok is false when the ceilings forbid the
// minimum.
func (p policy) raise(last chains.Attempt, f *Fees) (price, bool) {
	tip, feeCap := p.bumped(last.TipWei), p.bumped(last.FeeCapWei)
	if tip.Cmp(p.maxTip) > 0 || feeCap.Cmp(p.maxFeeCap) > 0 {
		return price{}, false
	}
	if m, ok := p.market(f); ok {
		tip, feeCap = maxBig(tip, m.tip), maxBig(feeCap, m.feeCap)
	}
	if feeCap.Cmp(tip) < 0 {
		feeCap = tip
	}
	return price{tip: tip, feeCap: feeCap}, true
}

// bumped is n·(1000+permille)/1000 rounded up, and at least n+1.
func (p policy) bumped(n *big.Int) *big.Int {
	if n == nil {
		n = new(big.Int)
	}
	out := new(big.Int).Mul(n, big.NewInt(int64(1000+p.bumpPermille)))
	out.Add(out, big.NewInt(999)).Div(out, big.NewInt(1000))
	return maxBig(out, new(big.Int).Add(n, big.NewInt(1)))
}

func maxBig(a, b *big.Int) *big.Int {
	if a.Cmp(b) >= 0 {
		return a
	}
	return b
}

func clampBig(n, low, high *big.Int) *big.Int {
	if n.Cmp(high) > 0 {
		return new(big.Int).Set(high)
	}
	return new(big.Int).Set(maxBig(n, low))
}
