package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
)

// This file executes messages on a root that burns them: a published gateway
// marks a message of a wrong nonce executed, pays it to nobody and reports
// success, so neither the simulation nor the receipt tells. One message burnt
// leaves a hole at its nonce, and everything behind it burns too.

// ErrHole says that a message was executed out of its turn by somebody, so that
// its nonce can never be applied. Nothing is sent any more: each further message
// would burn.
var ErrHole = errors.New("a message was executed out of its turn: the root can never apply those behind it")

// committedEffect reads CheckpointCommitted(subnet indexed; height), which
// published gateways emit. Ours say more with CheckpointAccepted.
func (s Subnet) committedEffect(e chains.Event) (Key, Outcome, bool) {
	if e.Chain != s.RootID || !from(e, s.Gateway, ipc.TopicCheckpointCommitted, 2, 1) || topicAddress(e.Topics[1]) != s.Actor {
		return "", Outcome{}, false
	}
	height, ok := wordUint(word(e.Data, 0))
	return s.heightKey("submit", height), Outcome{Kind: Ok}, ok
}

// executeGently sends at most one transaction, and only when nothing else can
// come between: the final, the newest and the pending state agree on the next
// nonce, so that no execution of ours or of anybody known is undecided. What it
// sends begins with exactly that message. Its leaf makes the transaction revert
// as a whole if somebody else executes the message first, whatever the order in
// which blocks take the two.
func (d CheckpointDeps) executeGently(s Subnet) func(context.Context, Batch) ([]error, error) {
	shape := &shape{}
	return func(ctx context.Context, b Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		states, err := d.three(ctx)
		if err != nil {
			return nil, err
		}
		final, pending := states[0], states[2]
		if states[1].Applied != final.Applied || pending.Applied != final.Applied {
			return fill(out, 0, fmt.Errorf("%w: an execution is undecided: %d is next by the final block, %d by the newest, %d by the pending one",
				ErrNotYet, final.Applied, states[1].Applied, pending.Applied)), nil
		}
		// The lowest batch comes first, whoever its transfer is: a batch behind
		// one that is not done would burn.
		for i, t := range b.Transfers {
			p, ok := find(pending.Pending, t.Nonce)
			if !ok {
				continue // executed in a block that is not final yet
			}
			if pending.Pending[0].Height != p.Height {
				return fill(out, i, fmt.Errorf("%w: batch %d is before batch %d", ErrNotYet, pending.Pending[0].Height, p.Height)), nil
			}
			chunk, err := d.turn(ctx, p, final.Applied)
			if err == nil {
				if n, dear := shape.of(final.Applied); dear {
					chunk = chunk[:min(n, len(chunk))]
				}
				err = d.executeChunk(ctx, s, b, p.Height, chunk, 0, shape)
				for len(chunk) > 1 && tooDear(err) {
					chunk = chunk[:len(chunk)/2]
					shape.keep(final.Applied, len(chunk))
					err = d.executeChunk(ctx, s, b, p.Height, chunk, 0, shape)
				}
			}
			if err != nil {
				return fill(out, i, err), nil
			}
			return fill(out, i, fmt.Errorf("%w: messages from %d of batch %d are on their way", ErrNotYet, final.Applied, p.Height)), nil
		}
		return out, nil
	}
}

// three are the final, the newest and the pending state, read in this order.
func (d CheckpointDeps) three(ctx context.Context) (out [3]RootState, err error) {
	for i, read := range []func(context.Context) (RootState, error){d.StateFinal, d.StateLatest, d.StatePending} {
		if out[i], err = read(ctx); err != nil {
			return out, err
		}
	}
	return out, nil
}

// turn is what of a batch may be executed now: from message next on, up to the
// first that somebody has executed out of its turn.
func (d CheckpointDeps) turn(ctx context.Context, p PendingBatch, next uint64) ([]ipc.Inclusion, error) {
	messages, err := d.proven(ctx, p)
	if err != nil {
		return nil, err
	}
	first := slices.IndexFunc(messages, func(in ipc.Inclusion) bool { return in.Msg.LocalNonce >= next })
	if first < 0 {
		return nil, fmt.Errorf("batch %d ends before message %d, which is next: %w", p.Height, next, ErrHole)
	}
	messages = messages[first:]
	if got := messages[0].Msg.LocalNonce; got != next {
		return nil, fmt.Errorf("message %d is next, batch %d goes on with %d: %w", next, p.Height, got, ErrHole)
	}
	done := map[common.Hash]bool{}
	for _, leaf := range p.Executed {
		done[leaf] = true
	}
	for i, in := range messages {
		if in.Msg.LocalNonce != next+uint64(i) || done[in.Msg.Leaf()] {
			messages = messages[:i]
			break
		}
	}
	if len(messages) == 0 {
		return nil, fmt.Errorf("message %d of batch %d was executed and not applied: %w", next, p.Height, ErrHole)
	}
	return d.cut(messages), nil
}
