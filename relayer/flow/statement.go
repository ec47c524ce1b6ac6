package flow

import (
	"context"
	"fmt"
	"math"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// cover sends the next statement that helps message nonce, if there is one, and
// says what is waited for.
func (d DeliverDeps) cover(ctx context.Context, fence chains.Fence, q reach, nonce uint64) error {
	after, err := d.LatestStatement(ctx)
	if err != nil {
		return err
	}
	st, err := d.next(ctx, q, after, nonce)
	if err == nil {
		err = d.commit(ctx, fence, q, st, true)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: the statement on parent %d is on its way", ErrNotYet, st.ParentHeight)
}

// next is the statement above a parent height that helps message nonce.
func (d DeliverDeps) next(ctx context.Context, q reach, after, nonce uint64) (Statement, error) {
	// The first one that reaches the message is at most the gateway's limit
	// ahead of what is applied; a later one may be further.
	st, ok, err := d.firstReaching(ctx, after, q, nonce)
	if err != nil {
		return Statement{}, err
	}
	if !ok || q.bound > 0 && q.own(st) > q.bound {
		return Statement{}, fmt.Errorf("%w: no statement with a quorum covers %d", ErrNotYet, nonce)
	}
	return st, nil
}

// commit sends a statement. It goes under the lane's fence, since it is part of
// the delivery.
func (d DeliverDeps) commit(ctx context.Context, fence chains.Fence, q reach, st Statement, simulate bool) error {
	tx, err := st.Commit()
	if err != nil {
		return err
	}
	if !simulate {
		tx.Gas = commitGas + commitGasPerByte*uint64(len(tx.Data))
	}
	// Another relayer's newer one makes ours revert at the simulation, which the
	// next look sees.
	tx.Key, tx.Group, tx.Fence = fmt.Sprintf("finality/%s/%d", q.actor.Hex(), st.ParentHeight), "into/"+q.actor.Hex(), fence
	if err := d.Send(ctx, tx); err != nil {
		return fmt.Errorf("commit parent %d: %w", st.ParentHeight, classify(err))
	}
	return nil
}

// A statement costs 142,000 gas with one signature, and less than 10,000 for
// each further one, which is 128 bytes of the call.
const (
	commitGas        = 300_000
	commitGasPerByte = 100
)

// reach reads a statement for one of the two queues: how far it goes in this
// one and in the other, and how far ahead of what is applied it may go. The
// gateway allows 1,024 messages and 256 power changes. What is below known has
// been read: a statement beyond would make the delivery wait for the rest.
type reach struct {
	actor      common.Address
	own, other func(Statement) uint64
	ahead      uint64
	most       uint64 // what the gateway takes at most, counted from what is applied
	known      uint64
	bound      uint64 // no statement beyond this is sent; 0: the gateway says
}

func reachOf(verb string, actor common.Address, known uint64) reach {
	messages := func(s Statement) uint64 { return s.TopDownNonce }
	changes := func(s Statement) uint64 { return s.PowerChangeNonce }
	if verb == "power" {
		return reach{actor: actor, own: changes, other: messages, ahead: 200, most: 256, known: known}
	}
	return reach{actor: actor, own: messages, other: changes, ahead: 512, most: 1024, known: known}
}

// furthest is the newest statement of a page, from the first that reaches on,
// that the gateway takes in one step: one that covers what many root blocks
// sent saves a commit for each of them. It goes no further in the other queue
// than the first does, whose own limit is not known here.
func (q reach) furthest(page []Statement, first int, nonce uint64) Statement {
	best := page[first]
	for _, s := range page[first+1:] {
		if q.own(s) > min(nonce+q.ahead, q.known) || q.other(s) != q.other(page[first]) {
			break
		}
		if q.own(s) > q.own(best) {
			best = s
		}
	}
	return best
}

// firstReaching finds the first statement above a parent height that covers
// message nonce, or a newer one that the gateway takes as well.
// One statement is made per parent block, moved or not, and a page holds few of
// them: after a quiet night the one that is wanted lies thousands of pages
// ahead. Nonces never go down from one to the next, so it is searched for by
// doubling and halving.
func (d DeliverDeps) firstReaching(ctx context.Context, after uint64, q reach, nonce uint64) (Statement, bool, error) {
	reaches := func(s Statement) bool { return q.own(s) > nonce }
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
			return q.furthest(page, found, nonce), true, nil
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
