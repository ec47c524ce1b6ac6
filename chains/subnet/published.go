package subnet

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/ethereum/go-ethereum/common"
)

// This file reads what published gateways keep and emit in another way than
// ours: signatures in the gateway, a batch recorded as a whole.

// published says that Probe looked and did not find our own gateway.
func (c Capabilities) published() bool { return c.Period > 0 && !c.Explicit }

// implicit says that nodes apply the root's messages by themselves.
func (c Capabilities) implicit() bool { return c.published() }

// logs are the chain's own events. A batch that the gateway recorded as a whole
// is given as one BottomUpMessage for each of its messages, where that topic is
// asked for: what flows read is the same whoever made the gateway.
func (c *Client) logs(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	asked := q.Filter.Topics
	if !c.cfg.Caps.Batches || !slices.Contains(asked, ipc.TopicBottomUpMessage) {
		return c.Reader.Events(ctx, q)
	}
	q.Filter.Topics = append(slices.Clone(asked), ipc.TopicBottomUpBatchRecorded)
	last, events, err := c.Reader.Events(ctx, q)
	if err != nil {
		return chains.Block{}, nil, err
	}
	return last, c.expand(events), nil
}

// messageIndex is the log index of a block's first message: behind every real
// log and before an event that is added at the block's end.
const messageIndex = 1 << 22

// expand puts an event for each message in the place of a batch. A batch that
// cannot be read stays as it is: a watcher halts at it.
func (c *Client) expand(events []chains.Event) []chains.Event {
	var out, messages []chains.Event
	flush := func() {
		for i := range messages {
			messages[i].Index = messageIndex + uint(i)
		}
		out, messages = append(out, messages...), nil
	}
	for i, e := range events {
		if i > 0 && events[i-1].Block != e.Block {
			flush()
		}
		if e.Topics[0] != ipc.TopicBottomUpBatchRecorded {
			out = append(out, e)
			continue
		}
		if e.Address != c.cfg.Gateway {
			continue // a stranger's event of the same name
		}
		inner, err := messagesOf(e)
		if err != nil {
			out = append(out, e)
			continue
		}
		messages = append(messages, inner...)
	}
	flush()
	return out
}

// messagesOf reads BottomUpBatchRecorded(height, messages).
func messagesOf(e chains.Event) ([]chains.Event, error) {
	epoch, messages, err := ipc.DecodeBottomUpBatch(e.Data)
	if err != nil {
		return nil, err
	}
	out := make([]chains.Event, len(messages))
	for i, m := range messages {
		out[i] = e
		if out[i].Topics, out[i].Data, err = ipc.EncodeBottomUpMessage(epoch, m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// recorded reads a batch from the gateway's storage.
func (c *Client) recorded(ctx context.Context, epoch uint64) ([]ipc.IpcEnvelope, error) {
	raw, err := c.Call(ctx, c.cfg.Gateway, appendUint(ipc.SelBottomUpBatch, epoch), evm.AtLatest)
	if err != nil {
		return nil, fmt.Errorf("read batch %d: %w", epoch, err)
	}
	batch, err := ipc.DecodeBatch(raw)
	if err != nil {
		return nil, fmt.Errorf("read batch %d: %w: %w", epoch, err, chains.ErrUnavailable)
	}
	slices.SortStableFunc(batch.Messages, func(a, b ipc.IpcEnvelope) int {
		switch {
		case a.LocalNonce < b.LocalNonce:
			return -1
		case a.LocalNonce > b.LocalNonce:
			return 1
		}
		return 0
	})
	return batch.Messages, nil
}

// bundled reads a checkpoint and its signatures from the gateway. They are
// recovered and sorted here: the gateway keeps them in the order in which they
// came, and what weight they have is for the root to say.
func (c *Client) bundled(ctx context.Context, height uint64) (SignedCheckpoint, error) {
	raw, err := c.Call(ctx, c.cfg.Gateway, appendUint(ipc.SelGetCheckpointSignatureBundle, height), evm.AtLatest)
	if errors.Is(err, chains.ErrReverted) {
		return SignedCheckpoint{}, fmt.Errorf("checkpoint %d is not made yet: %w: %w", height, err, ErrNoQuorum)
	}
	if err != nil {
		return SignedCheckpoint{}, fmt.Errorf("read bundle %d: %w", height, err)
	}
	b, err := ipc.DecodeBundle(raw)
	if err != nil {
		return SignedCheckpoint{}, fmt.Errorf("read bundle %d: %w: %w", height, err, chains.ErrUnavailable)
	}
	cp := b.Checkpoint
	if cp.BlockHeight.Sign() == 0 && len(b.Signatures) == 0 {
		return SignedCheckpoint{}, fmt.Errorf("checkpoint %d is not made yet: %w", height, ErrNoQuorum)
	}
	if !cp.BlockHeight.IsUint64() || cp.BlockHeight.Uint64() != height || common.Hash(b.Info.Hash) != cp.Hash() {
		return SignedCheckpoint{}, fmt.Errorf("bundle %d is of checkpoint %s with hash %x: %w", height, cp.BlockHeight, b.Info.Hash, chains.ErrUnavailable)
	}
	if len(b.Signatures) > maxSignatures {
		return SignedCheckpoint{}, fmt.Errorf("bundle %d has %d signatures: %w", height, len(b.Signatures), chains.ErrUnavailable)
	}
	if len(b.Signatures) == 0 {
		return SignedCheckpoint{}, fmt.Errorf("checkpoint %d has no signature: %w", height, ErrNoQuorum)
	}
	return sortSigned(cp, b.Signatures)
}

// maxSignatures is more than any published subnet has active validators.
const maxSignatures = 1024

// appendUint is the call of a function of one number.
func appendUint(sel ipc.Selector, n uint64) []byte {
	var word common.Hash
	for i := range 8 {
		word[31-i] = byte(n >> (8 * i))
	}
	return append(sel.Bytes(), word[:]...)
}
