package flow

import (
	"context"
	"errors"
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// This file is what becomes of calls and results that GmpRouter keeps, since it
// could not hand them on.

var (
	selNotKept  = ipc.SelectorOf("NotKept(bytes32)")
	selTooEarly = ipc.SelectorOf("TooEarly(uint256)")
)

// kept is Done of a step that acts on what the router keeps: pending while it keeps
// it, else what its events say.
func (g gmp) kept(step Step, leg axelar.GmpLeg) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	events := g.routed(step)
	return func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		out, err := events(ctx, batch)
		if err != nil {
			return nil, err
		}
		entries, err := g.d.Entries(ctx, refs(batch))
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			if e.Stage == axelar.GmpKept && e.Leg == leg {
				out[i] = Outcome{Kind: Pending}
			}
		}
		return out, nil
	}
}

// again has the router send on what it keeps, or give up a call that it has kept for
// long enough. Whoever is first empties what is kept: the others revert.
func (g gmp) again(step string, leg axelar.GmpLeg) func(context.Context, Batch) ([]error, error) {
	return func(ctx context.Context, b Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		entries, err := g.d.Entries(ctx, refs(b.Transfers))
		if err != nil {
			return nil, err
		}
		messages, err := g.messages(ctx, b.Transfers, entries)
		if err != nil {
			return nil, err
		}
		now, err := g.d.Now(ctx)
		if err != nil {
			return nil, err
		}
		for i, t := range b.Transfers {
			e := entries[i]
			if e.Stage != axelar.GmpKept || e.Leg != leg {
				out[i] = fmt.Errorf("%w: it is kept no longer", ErrNotYet)
				continue
			}
			if messages[i] == nil {
				out[i] = fmt.Errorf("%w: the event with what is kept of %s is not read", ErrNotYet, t.Ref)
				continue
			}
			verb, data := step, axelar.RetryGmpCalldata(t.Ref, messages[i])
			if leg == g.call && now >= e.Since && now-e.Since >= g.Gmp.Patience {
				verb, data = "give_up", axelar.GiveUpGmpCalldata(t.Ref, messages[i])
			}
			out[i] = g.refused(g.d.SendRoot(ctx, chains.Tx{
				To: g.Gmp.Router, Data: data, Key: verb + "/" + g.name + "/" + t.Ref.Hex(), Group: "gmp/" + g.Gmp.Router.Hex(),
				Members: []common.Hash{t.ID}, Fence: b.Fence,
			}))
		}
		return out, nil
	}
}

// messages are what the router keeps of a batch, by the hash it keeps: its storage
// has no more, its events have the rest. nil where none is found.
func (g gmp) messages(ctx context.Context, batch []tokens.Transfer, entries []axelar.GmpEntry) ([][]byte, error) {
	out := make([][]byte, len(batch))
	byHash := map[common.Hash]int{}
	var missing []tokens.Transfer
	for i, t := range batch {
		if crypto.Keccak256Hash(t.Payload) == entries[i].Hash {
			out[i] = t.Payload
			continue
		}
		byHash[entries[i].Hash], missing = i, append(missing, t)
	}
	if len(missing) == 0 {
		return out, nil
	}
	events, err := g.d.Search(ctx, g.about(missing, Root, g.Gmp.Router, topicGmpKept))
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		if _, ok := g.heard(e); !ok {
			continue
		}
		message, ok := bytesAt(e.Data, 0)
		if i, wanted := byHash[crypto.Keccak256Hash(message)]; ok && wanted && e.Topics[1] == batch[i].Ref {
			out[i] = message
		}
	}
	return out, nil
}

// refused turns what the router refuses a retry with into what it means.
func (g gmp) refused(err error) error {
	var revert *chains.RevertError
	if !errors.As(err, &revert) {
		return err
	}
	if len(revert.Data) >= 4 {
		switch ipc.Selector(revert.Data[:4]) {
		case selNotKept:
			return fmt.Errorf("%w: somebody else was first", ErrNotYet)
		case selTooEarly:
			return fmt.Errorf("%w: it is not yet to be given up", ErrNotYet)
		}
	}
	if f := axelar.ClassifyRevert(revert.Data, 0); f.Class == axelar.ClassWait {
		return Later(pauseWait, ReasonPaused, fmt.Errorf("%s: %w", f.Name, err))
	}
	return Later(operatorWait, ReasonKept, fmt.Errorf("the router cannot send it on: %w", classify(err)))
}
