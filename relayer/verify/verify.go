// Package verify reads a chain a second time, in another way than the watchers:
// block by block, from the receipts of every transaction, by code of its own. It
// promises that what it gives is all that the endpoint's receipts hold of a
// filter, in an unbroken chain of blocks; it never asks for logs, and neither
// blooms nor filters of a node can hide an event from it.
package verify

import (
	"context"
	"errors"
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"golang.org/x/sync/errgroup"
)

// What one answer covers, and how many blocks are asked for at once.
const (
	pageBlocks = 64
	atOnce     = 4
)

// Reader is a chain whose events come from receipts; all else is as it was.
type Reader struct{ evm.Reader }

// Events implements chains.Source, with each event's Position.
func (r Reader) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	none := func(err error) (chains.Block, []chains.Event, error) { return chains.Block{}, nil, err }
	head, err := r.Head(ctx)
	if err != nil {
		return none(fmt.Errorf("final head: %w", err))
	}
	end := min(q.To, head.Number)
	to := min(end, q.From.Next+pageBlocks-1)
	if to < q.From.Next {
		return none(r.unusable("nothing final from height %d to %d", q.From.Next, q.To))
	}
	blocks, err := r.blocks(ctx, q.From.Next, to)
	if err != nil {
		return none(err)
	}
	// A page of heights without a block goes on to the next block there is.
	for ; len(blocks) == 0 && to < end; to++ {
		if blocks, err = r.blocks(ctx, to+1, to+1); err != nil {
			return none(err)
		}
	}
	if len(blocks) == 0 {
		return none(r.unusable("no block from height %d to %d", q.From.Next, to))
	}

	var events []chains.Event
	parent := q.From.Parent
	for _, b := range blocks {
		switch {
		case parent == (common.Hash{}) || b.Parent == parent:
		case parent == q.From.Parent:
			return none(fmt.Errorf("%s: block %d does not follow %s: %w", r.Name(), b.Number, parent, chains.ErrReorg))
		default:
			return none(r.unusable("block %d does not follow the one before it", b.Number))
		}
		parent = b.Hash
		for _, e := range b.events {
			if e.Chain = r.ChainID(); q.Filter.Selects(e.Address, e.Topics) {
				events = append(events, e)
			}
		}
	}
	return blocks[len(blocks)-1].Block, events, nil
}

func (r Reader) unusable(format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", r.Name(), fmt.Sprintf(format, args...), chains.ErrUnavailable)
}

// blocks reads the blocks of a range, in order; a height may have none.
func (r Reader) blocks(ctx context.Context, from, to uint64) ([]block, error) {
	found := make([]*block, to-from+1)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range found {
		group.Go(func() (err error) {
			found[i], err = r.block(ctx, from+uint64(i))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var out []block
	for _, b := range found {
		if b != nil {
			out = append(out, *b)
		}
	}
	return out, nil
}

// block reads one block with all of its events; nil where the height has none.
func (r Reader) block(ctx context.Context, height uint64) (*block, error) {
	var raw wireBlock
	err := r.RPC(ctx, &raw, "eth_getBlockByNumber", hexutil.Uint64(height), false)
	if errors.Is(err, evm.ErrNullRound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read block %d: %w", height, err)
	}
	b, err := raw.decode(height)
	if err != nil {
		return nil, r.unusable("block %d: %v", height, err)
	}
	if len(b.txs) == 0 {
		return &b, nil
	}
	receipts, err := r.receipts(ctx, b)
	if err != nil {
		return nil, err
	}
	if b.events, err = eventsOf(b, receipts); err != nil {
		return nil, r.unusable("receipts of block %d: %v", height, err)
	}
	return &b, nil
}

// receipts asks for all of a block at once or, where the node cannot, one by one.
func (r Reader) receipts(ctx context.Context, b block) ([]*wireReceipt, error) {
	var all []*wireReceipt
	err := r.RPC(ctx, &all, "eth_getBlockReceipts", hexutil.Uint64(b.Number))
	switch evm.ClassOf(err) {
	case "":
		return all, nil
	case evm.ClassUnsupported, evm.ClassOversize, evm.ClassResults, evm.ClassTimeout:
	default:
		return nil, fmt.Errorf("read receipts of block %d: %w", b.Number, err)
	}
	all = make([]*wireReceipt, len(b.txs))
	for i, tx := range b.txs {
		if err := r.RPC(ctx, &all[i], "eth_getTransactionReceipt", tx); err != nil {
			return nil, fmt.Errorf("read receipt of %s: %w", tx, err)
		}
	}
	return all, nil
}
