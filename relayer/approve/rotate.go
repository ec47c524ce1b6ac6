package approve

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/crash"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
)

// ErrRotated says that the gateway has had the set before: it never takes one
// twice.
var ErrRotated = errors.New("the gateway has had this signer set")

// ProposeRotation puts a rotation to another set up for the signatures of the set
// in force. Signers sign it only where their own configuration names it.
func (q *Quorum) ProposeRotation(ctx context.Context, next axelar.WeightedSigners) (store.Proposal, error) {
	next = SetFor(q.cfg.Gateway, next)
	if err := q.cfg.Gateway.CheckSigners(next); err != nil {
		return store.Proposal{}, fmt.Errorf("rotate the signers of %s: %w", q.cfg.To, err)
	}
	f, err := q.inForce(ctx)
	if err != nil {
		return store.Proposal{}, err
	}
	if f.latest == (common.Hash{}) {
		return store.Proposal{}, fmt.Errorf("gateway of %s: %w", q.cfg.To, ErrSigners)
	}
	had, err := ask(ctx, q.cfg.Final, q.cfg.Gateway.Standing(next))
	if err != nil {
		return store.Proposal{}, fmt.Errorf("ask the gateway of %s for its signers: %w", q.cfg.To, err)
	}
	if had != axelar.StandingUnknown {
		return store.Proposal{}, fmt.Errorf("rotate the signers of %s (%s): %w", q.cfg.To, had, ErrRotated)
	}
	p, err := q.proposal(f.latest, store.Proposal{Next: &next})
	if err != nil {
		return store.Proposal{}, err
	}
	there, err := q.cfg.Store.Propose(ctx, p)
	if err != nil {
		return store.Proposal{}, fmt.Errorf("propose to %s: %w", q.cfg.To, err)
	}
	crash.At("approve.after_propose")
	return there, nil
}

// Rotations lists the rotations that enough has been signed of, for somebody to
// send: once one is final, Tidy drops it.
func (q *Quorum) Rotations(ctx context.Context) ([]flow.Signed, error) {
	var out []flow.Signed
	var f *force
	err := q.each(ctx, func(p store.Proposal) error {
		if p.Next == nil {
			return nil
		}
		if f == nil {
			now, err := q.inForce(ctx)
			if err != nil {
				return err
			}
			f = &now
		}
		if q.amiss(p, *f) != "" {
			return nil
		}
		signatures, err := q.cfg.Store.Signatures(ctx, []store.Proposal{p})
		if err != nil {
			return fmt.Errorf("read signatures for %s: %w", q.cfg.To, err)
		}
		data, err := q.cfg.Gateway.Calldata(q.sets[p.Set], command(p), signatures[0])
		if errors.Is(err, axelar.ErrQuorum) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("[BUG] rotate by %s at %s: %w", p.Digest, q.cfg.To, err)
		}
		s := flow.Signed{Key: "rotate/" + q.cfg.To + "/" + p.Digest.Hex()}
		s.Tx = chains.Tx{Key: s.Key, To: q.cfg.Gateway.Address(), Data: data, Value: new(big.Int)}
		out = append(out, s)
		return nil
	})
	return out, err
}

// each visits what is up, as much of it as the store lets be up.
func (q *Quorum) each(ctx context.Context, visit func(store.Proposal) error) error {
	after := ""
	for range maxKept / tidyPage {
		page, next, err := q.cfg.Store.Proposals(ctx, q.cfg.To, after, tidyPage)
		if err != nil {
			return fmt.Errorf("read proposals to %s: %w", q.cfg.To, err)
		}
		for _, p := range page {
			if err := visit(p); err != nil {
				return err
			}
		}
		if after = next; next == "" {
			break
		}
	}
	return nil
}

// Tidy drops what is of no more use: proposals whose messages are all approved or
// whose rotation has happened, those that can become no call, and those that
// nobody has asked for for an hour. It is to be called now and then.
func (q *Quorum) Tidy(ctx context.Context) (dropped int, err error) {
	f, err := q.inForce(ctx)
	if err != nil {
		return 0, err
	}
	err = q.each(ctx, func(p store.Proposal) error {
		why, err := q.useless(ctx, p, f)
		if err != nil || why == "" {
			return err
		}
		dropped++
		return q.drop(ctx, p, why)
	})
	return dropped, err
}

func (q *Quorum) useless(ctx context.Context, p store.Proposal, f force) (string, error) {
	if p.Next != nil {
		had, err := ask(ctx, q.cfg.Final, q.cfg.Gateway.Standing(*p.Next))
		if err != nil {
			return "", fmt.Errorf("ask the gateway of %s for its signers: %w", q.cfg.To, err)
		}
		if had != axelar.StandingUnknown {
			return "the signers have rotated", nil
		}
	}
	if why := q.amiss(p, f); why != "" {
		return why, nil
	}
	if p.Next == nil {
		questions := make([]axelar.Question[axelar.State], len(p.Messages))
		for i, m := range p.Messages {
			questions[i] = q.cfg.Gateway.State(m.Message)
		}
		states, err := ask(ctx, q.cfg.Final, axelar.All(questions))
		if err != nil {
			return "", fmt.Errorf("ask the gateway of %s for messages: %w", q.cfg.To, err)
		}
		open := false
		for _, s := range states {
			open = open || s == axelar.StateNone
		}
		if !open {
			return "approved", nil
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.cfg.Clock()
	since := remember(q.first, p.Digest, now)
	if at := q.asked[p.Digest]; at.After(since) {
		since = at
	}
	if p.Next == nil && now.Sub(since) > forgetAfter {
		return "nobody asks for it", nil
	}
	return "", nil
}
