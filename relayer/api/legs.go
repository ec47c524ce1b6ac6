package api

import (
	"bytes"
	"context"
	"strings"

	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// crosses says whether a transfer goes between Ethereum and the root, where the
// relayer carries Axelar's messages for it in transfers of its own.
func crosses(t tokens.Transfer) bool { return strings.HasPrefix(t.Route, "flt_l1_") || isCall(t) }

// isCall says whether a transfer is a call between contracts.
func isCall(t tokens.Transfer) bool { return strings.HasPrefix(t.Route, "gmp_call_") }

// withLegs puts what became of the messages that carry a transfer behind the
// steps that sent them: each leg was begun by the transaction of one of its steps.
// Times say nothing of the order: they are of clocks of three chains.
func (a *users) withLegs(ctx context.Context, j store.Job) (Transfer, error) {
	v := View(j)
	if !crosses(j.Transfer) {
		return v, nil
	}
	var steps []Step
	taken := map[common.Hash]bool{}
	for _, s := range v.Steps {
		steps = append(steps, s)
		if s.Tx == (common.Hash{}) {
			continue
		}
		leg, ok, err := a.leg(ctx, j.Transfer, s.Tx, taken)
		if err != nil {
			return v, err
		}
		if ok {
			taken[leg.Transfer.ID] = true
			of := View(leg)
			for _, l := range of.Steps[1:] {
				if l.Name == "report" {
					continue // between the relayer and Axelar
				}
				l.Name = leg.Transfer.Route + "/" + l.Name
				steps = append(steps, l)
			}
			v.waitsFor(of)
		}
	}
	v.Steps = steps
	return v, nil
}

// waitsFor says of a transfer on its way why its message is: the transfer itself
// only waits, and has no reason of its own.
func (v *Transfer) waitsFor(leg Transfer) {
	if v.Status != tokens.Pending || leg.Status == tokens.Done || v.Reason != "" || v.Error != "" {
		return
	}
	v.Reason, v.Error, v.Attempts, v.NextAttempt = leg.Reason, leg.Error, leg.Attempts, leg.NextAttempt
}

// leg finds the transfer of the relayer's own that a transaction began for t.
func (a *users) leg(ctx context.Context, t tokens.Transfer, tx common.Hash, taken map[common.Hash]bool) (store.Job, bool, error) {
	ids, err := a.cfg.DB.Lookup(ctx, tx.Hex())
	if err != nil {
		return store.Job{}, false, err
	}
	for _, id := range ids {
		if taken[id] {
			continue
		}
		j, ok, err := a.cfg.DB.Get(ctx, id)
		if err != nil {
			return store.Job{}, false, err
		}
		if ok && j.Transfer.Origin.Tx == tx && carries(j.Transfer, t) {
			return j, true, nil
		}
	}
	return store.Job{}, false, nil
}

// carries says whether a leg's message is that of a transfer: a deposit travels in
// its data; what goes to Ethereum is for its recipient or back to its sender. A call
// is all there is of its message, and so is its result. Nothing carries itself.
func carries(leg, t tokens.Transfer) bool {
	if !leg.Hidden {
		return false
	}
	if isCall(t) {
		r, err := axelar.DecodeGmpResult(leg.Payload)
		return bytes.Equal(leg.Payload, t.Payload) || err == nil && r.ID == t.Ref
	}
	m, ok := carried(leg)
	if !ok || m.Amount.Cmp(t.Amount.Big()) != 0 {
		return false
	}
	if leg.Route == "leg_in" {
		return bytes.Equal(m.Data, t.Payload)
	}
	to := common.BytesToAddress(m.Destination)
	return to == t.Recipient && t.Route == "flt_l1_withdraw" || to == t.Sender && t.Route == "flt_l1_deposit"
}
