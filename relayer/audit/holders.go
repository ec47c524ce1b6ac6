package audit

import (
	"context"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
)

// holder is an account of the replica: what its transfers leave it, and what
// its balance said beyond that when it was last compared.
type holder struct {
	owns    *big.Int
	excess  *big.Int
	touched bool
}

// maxHolders bounds how many balances one Check compares: those that moved
// first, then the others in turn.
const maxHolders = 200

func (h *history) moved(account common.Address, by *big.Int) {
	if account == (common.Address{}) {
		return
	}
	x := h.holders[account]
	if x == nil {
		x = &holder{owns: new(big.Int), excess: new(big.Int)}
		h.holders[account] = x
		h.order = append(h.order, account)
	}
	x.owns.Add(x.owns, by)
	x.touched = true
}

// readHolders compares balances of USDC in the subnet with the transfers to and
// from their accounts, at the pinned block the transfers were read up to.
func (a *Auditor) readHolders(ctx context.Context, s childState) error {
	h := a.hist
	var accounts []common.Address
	picked := map[common.Address]bool{}
	pick := func(account common.Address) {
		if len(accounts) < maxHolders && !picked[account] {
			accounts = append(accounts, account)
			picked[account] = true
		}
	}
	for _, account := range h.order {
		if h.holders[account].touched {
			pick(account)
		}
	}
	for range min(len(h.order), maxHolders-len(accounts)) {
		h.sweep = (h.sweep + 1) % len(h.order)
		pick(h.order[h.sweep])
	}

	queries := make([]query, len(accounts))
	balances := make([]*big.Int, len(accounts))
	for i, account := range accounts {
		queries[i] = ask(a.src.Sub.Replica, a.abis.replica.PackBalanceOf(account), a.abis.replica.UnpackBalanceOf, into(&balances[i]))
	}
	if err := run(ctx, a.src.Child, s.block, queries); err != nil {
		return fmt.Errorf("read holders: %w", err)
	}
	for i, account := range accounts {
		x := h.holders[account]
		x.excess.Sub(balances[i], x.owns)
		x.touched = false
	}
	return nil
}

// holdersExcess is what all compared balances have beyond what was transferred
// to them.
func (h *history) holdersExcess() *big.Int {
	n := new(big.Int)
	for _, x := range h.holders {
		n.Add(n, x.excess)
	}
	return n
}
