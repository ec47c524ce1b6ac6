package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// checkpoints is I7.
func (a *Auditor) checkpoints(r rootState) Invariant {
	inv, period := newRule("I7"), a.src.Sub.Period
	inv.term("accepted", len(a.hist.checkpoints))
	inv.terms["period"] = fmt.Sprint(period)
	inv.terms["recorded"] = r.lastCheckpoint.String()

	var last uint64
	for _, h := range a.hist.checkpoints {
		switch {
		case h%period != 0:
			inv.broken("checkpoint %d is no multiple of %d", h, period)
		case h <= last:
			inv.broken("checkpoint %d was accepted after %d", h, last)
		case h > last+period:
			n := (h-last)/period - 1
			inv.brokenBy(n, "%d checkpoints are missing between %d and %d", n, last, h)
		}
		last = max(last, h)
	}
	inv.terms["last"] = fmt.Sprint(last)

	// The actor's own record must end where its events end.
	d := new(big.Int).Sub(r.lastCheckpoint, new(big.Int).SetUint64(last))
	if d.Sign() == 0 {
		return inv.invariant()
	}
	n := d.Abs(d).Div(d, new(big.Int).SetUint64(period))
	count := uint64(1)
	if n.IsUint64() && n.Uint64() > 0 {
		count = n.Uint64()
	}
	inv.brokenBy(count, "the last checkpoint event is %d, the actor records %s", last, r.lastCheckpoint)
	return inv.invariant()
}

// burn is the base fee burnt according to the headers read so far, each linked
// to the one before.
type burn struct {
	height uint64 // last header summed; 0: none
	hash   common.Hash
	sum    *big.Int
}

// maxHeaders bounds how many headers one Check reads. Until the sum has caught
// up, the two are compared at the height it has reached.
const maxHeaders = 2000

// burnt recomputes the base fee burnt from the headers (PROTOCOL 30).
func (a *Auditor) burnt(ctx context.Context, s childState, report *Report) {
	if s.baseFee == nil {
		report.skip("BURNT", errors.New("the node does not say what was burnt"))
		return
	}
	if err := a.readHeaders(ctx, s.block); err != nil {
		report.skip("BURNT", err)
		return
	}
	counted := s.baseFee
	if a.burn.height != s.block.Number {
		var err error
		if counted, err = a.src.Child.Burnt(ctx, a.burn.height); err != nil {
			report.skip("BURNT", err)
			return
		}
	}
	d := new(big.Int).Sub(counted, a.burn.sum)
	inv := Invariant{ID: "BURNT", Token: "FLT", Drift: d.String(), OK: d.Sign() == 0, Terms: map[string]string{
		"height": fmt.Sprint(a.burn.height), "node": counted.String(), "headers": a.burn.sum.String(),
	}}
	if !inv.OK {
		inv.Detail = fmt.Sprintf("up to %d the node says %s was burnt, the headers say %s", a.burn.height, counted, a.burn.sum)
	}
	report.add(inv)
}

// readHeaders sums on towards a final block. Each header must hash to what it
// claims, follow the one before and, at the pinned height, be the pinned block:
// no endpoint can make one up.
func (a *Auditor) readHeaders(ctx context.Context, to chains.Block) error {
	b := &a.burn
	for range maxHeaders {
		if b.height >= to.Number {
			break
		}
		h, err := a.header(ctx, b.height+1)
		if err != nil {
			return err
		}
		hash := h.Hash()
		if b.height > 0 && h.ParentHash != b.hash {
			// A final block changed, or the endpoint errs: begin anew.
			a.burn = burn{sum: new(big.Int)}
			return fmt.Errorf("header %d does not follow: %w", h.Number, chains.ErrUnavailable)
		}
		if b.height+1 == to.Number && hash != to.Hash {
			return fmt.Errorf("header %d is %s, want %s: %w", to.Number, hash, to.Hash, chains.ErrUnavailable)
		}
		if h.BaseFee != nil {
			b.sum.Add(b.sum, new(big.Int).Mul(h.BaseFee, new(big.Int).SetUint64(h.GasUsed)))
		}
		b.height, b.hash = b.height+1, hash
	}
	return nil
}

func (a *Auditor) header(ctx context.Context, number uint64) (*types.Header, error) {
	var raw json.RawMessage
	if err := a.src.Child.RPC(ctx, &raw, "eth_getBlockByNumber", hexutil.Uint64(number), false); err != nil {
		return nil, fmt.Errorf("read header %d: %w", number, err)
	}
	var h *types.Header
	var claimed struct {
		Hash common.Hash `json:"hash"`
	}
	if err := errors.Join(json.Unmarshal(raw, &h), json.Unmarshal(raw, &claimed)); err != nil || h == nil {
		return nil, fmt.Errorf("read header %d: no header came: %w", number, chains.ErrUnavailable)
	}
	if h.Number == nil || h.Number.Cmp(new(big.Int).SetUint64(number)) != 0 || h.Hash() != claimed.Hash {
		return nil, fmt.Errorf("read header %d: it does not hash to its hash: %w", number, chains.ErrUnavailable)
	}
	return h, nil
}
