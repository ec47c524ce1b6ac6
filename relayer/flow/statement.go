package flow

import (
	"context"
	"fmt"
	"math"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// commit sends the next statement that helps message nonce, if there is one.
func (d DeliverDeps) commit(ctx context.Context, verb string, actor common.Address, nonce uint64) error {
	after, err := d.LatestStatement(ctx)
	if err != nil {
		return err
	}
	// The first one that reaches the message is at most the gateway's limit
	// ahead of what is applied; a later one may be further.
	st, ok, err := d.firstReaching(ctx, after, func(s Statement) bool {
		if verb == "power" {
			return s.PowerChangeNonce > nonce
		}
		return s.TopDownNonce > nonce
	})
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: no statement with a quorum covers %d", ErrNotYet, nonce)
	}
	tx, err := st.Commit()
	if err != nil {
		return err
	}
	// Another relayer's newer one makes ours revert at the simulation, which the
	// next look sees.
	tx.Key, tx.Group = fmt.Sprintf("finality/%s/%d", actor.Hex(), st.ParentHeight), "into/"+actor.Hex()
	if err := d.Send(ctx, tx); err != nil {
		return fmt.Errorf("commit parent %d: %w", st.ParentHeight, classify(err))
	}
	return fmt.Errorf("%w: the statement on parent %d is on its way", ErrNotYet, st.ParentHeight)
}

// firstReaching finds the first statement above a parent height that reaches.
// One statement is made per parent block, moved or not, and a page holds few of
// them: after a quiet night the one that is wanted lies thousands of pages
// ahead. Nonces never go down from one to the next, so it is searched for by
// doubling and halving.
func (d DeliverDeps) firstReaching(ctx context.Context, after uint64, reaches func(Statement) bool) (Statement, bool, error) {
	// Nothing at or below lo reaches; the first above hi does, or there is none.
	lo, hi := after, uint64(math.MaxUint64)
	for step := uint64(0); step < math.MaxUint64/4; {
		at := lo + min(step, (hi-lo)/2)

		page, err := d.Statements(ctx, at)
		if err != nil {
			return Statement{}, false, err
		}
		found := 0
		for found < len(page) && !reaches(page[found]) {
			found++
		}
		switch {
		case len(page) > 0 && page[0].ParentHeight <= at:
			return Statement{}, false, fmt.Errorf("statements above parent %d begin at %d: %w", at, page[0].ParentHeight, chains.ErrUnavailable)
		case found < len(page) && (found > 0 || at == lo):
			return page[found], true, nil
		case len(page) > 0 && found == len(page):
			lo = page[found-1].ParentHeight
			hi = max(hi, lo)
		case at == lo:
			return Statement{}, false, nil
		default:
			hi = at
		}
		step = max(64, 2*step)
	}
	return Statement{}, false, fmt.Errorf("search for a statement above parent %d: %w", after, chains.ErrUnavailable)
}
