package filecoin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
)

// Latest is the newest tipset whose messages are executed, less the epochs that are
// not read yet: those of the head are executed by the tipset after it.
func (c *Client) Latest(ctx context.Context) (chains.Block, error) {
	head, err := c.chainHead(ctx)
	if err != nil {
		return head, err
	}
	return c.At(ctx, head.Number-min(head.Number, max(1, c.cfg.Behind)))
}

// chainHead is the node's newest tipset: one that has grown too old, or lies in the
// future, is that of a node that stands still or lies.
func (c *Client) chainHead(ctx context.Context) (chains.Block, error) {
	var raw json.RawMessage
	if err := c.RPC(ctx, &raw, "Filecoin.ChainHead"); err != nil {
		return chains.Block{}, err
	}
	b, err := decodeTipset(raw)
	if err != nil {
		return chains.Block{}, c.unavailable("head: %w", err)
	}
	at := time.Unix(int64(b.Time), 0)
	if max := c.cfg.MaxHeadAge; max > 0 && time.Since(at) > max {
		return chains.Block{}, c.unavailable("the newest tipset, of epoch %d, is %s old", b.Number, time.Since(at).Truncate(time.Second))
	}
	ahead := c.cfg.MaxAhead
	if ahead == 0 {
		ahead = evm.Default().MaxAhead
	}
	if ahead > 0 && time.Until(at) > ahead {
		return chains.Block{}, c.unavailable("the newest tipset, of epoch %d, is %s in the future", b.Number, time.Until(at).Truncate(time.Second))
	}
	return b, nil
}

// Head is the newest tipset that is final: so deep below the node's head, or sooner
// where a certificate or the node's own word may say so. It never goes back. One look
// goes on at a time: an answer that is lower than one before it was asked for after
// that one, so it is a node that goes back, never one that is merely overtaken. Where
// the chain no longer has the tipset that was final it is chains.ErrReorg.
func (c *Client) Head(ctx context.Context) (chains.Block, error) {
	select {
	case c.looking <- struct{}{}:
		defer func() { <-c.looking }()
	case <-ctx.Done():
		return chains.Block{}, fmt.Errorf("%s: wait for another look at the head: %w", c.cfg.Name, ctx.Err())
	}
	top, err := c.chainHead(ctx)
	if err != nil {
		return chains.Block{}, err
	}
	// The same tipset has the same chain below it; only what others call final may be
	// news.
	if c.seen.Hash == top.Hash && c.f3 == nil && !c.cfg.TrustFinalized {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.head, nil
	}
	deep, final, err := c.finals(ctx, top)
	if err != nil {
		return chains.Block{}, fmt.Errorf("final tipset: %w", err)
	}
	if final, err = c.kept(ctx, top, deep, final); err != nil {
		return chains.Block{}, err
	}
	c.seen = top
	c.mu.Lock()
	defer c.mu.Unlock()
	c.head, c.deep, c.top = final, deep.Number, top.Number
	return final, nil
}

// finals are the newest tipset that is final by its depth, and the newest that is
// final at all: what is called final sooner counts where it is on the node's chain,
// and as far as it is as deep as the floor. A tipset below one that is final is final.
func (c *Client) finals(ctx context.Context, top chains.Block) (deep, final chains.Block, err error) {
	depth, floor := top.Number-min(top.Number, c.cfg.Depth), top.Number-min(top.Number, max(c.cfg.Floor, c.cfg.Behind))
	called := c.called(ctx, top, depth)
	heights := []uint64{depth, floor}
	for _, b := range called {
		heights = append(heights, b.Number)
	}
	if len(called) == 0 {
		heights = heights[:1]
	}
	tips, err := c.tipsets(ctx, heights)
	if err != nil {
		return deep, final, err
	}
	deep, final = tips[0], tips[0]
	for i, b := range called {
		sooner := tips[2+i]
		if sooner.Hash != b.Hash {
			c.log.Debug("a tipset is called final that is not on the chain", "chain", c.cfg.Name, "epoch", b.Number, "hash", b.Hash, "is", sooner.Hash)
			continue
		}
		if sooner.Number > tips[1].Number {
			sooner = tips[1]
		}
		if sooner.Number > final.Number {
			final = sooner
		}
	}
	return deep, final, nil
}

// called are the tipsets between what is final by depth and the head that others than
// the depth call final.
func (c *Client) called(ctx context.Context, top chains.Block, depth uint64) (out []chains.Block) {
	if c.f3 != nil {
		if c.follow(ctx, top, depth); c.f3.block.Hash != (common.Hash{}) {
			out = append(out, c.f3.block)
		}
	}
	if c.cfg.TrustFinalized {
		b, err := c.finalized(ctx)
		if err == nil {
			out = append(out, b)
		} else {
			c.log.Debug("what the node calls final does not count", "chain", c.cfg.Name, "err", err)
		}
	}
	return slices.DeleteFunc(out, func(b chains.Block) bool { return b.Number > top.Number || b.Number <= depth })
}

// kept is the final tipset after one that was final before: the one that was, where
// nothing calls a newer one final. Where the final epoch went back, the tipset that
// was final tells a node that is behind from a chain that has changed: its epoch may
// be a null round now.
func (c *Client) kept(ctx context.Context, top, deep, final chains.Block) (chains.Block, error) {
	c.mu.Lock()
	old, oldDeep := c.head, c.deep
	c.mu.Unlock()
	if old.Hash == (common.Hash{}) || final.Number > old.Number {
		return final, nil
	}
	now := final
	if final.Number < old.Number && top.Number >= old.Number {
		var err error
		if now, err = c.At(ctx, old.Number); err != nil {
			return final, fmt.Errorf("final epoch went back from %d to %d: %w", old.Number, final.Number, err)
		}
	}
	switch {
	case top.Number >= old.Number && now.Hash != old.Hash:
		return final, fmt.Errorf("%s: the final tipset of epoch %d was %s and is %s, of epoch %d: %w", c.cfg.Name, old.Number, old.Hash, now.Hash, now.Number, chains.ErrReorg)
	case top.Number < old.Number || deep.Number < oldDeep:
		return final, c.unavailable("final epoch went back from %d to %d", max(old.Number, oldDeep), final.Number)
	}
	return old, nil
}

// BlockByNumber is the tipset of an epoch; an epoch without one is evm.ErrNullRound,
// one that has not come yet chains.ErrUnavailable.
func (c *Client) BlockByNumber(ctx context.Context, n uint64) (chains.Block, error) {
	b, err := c.At(ctx, n)
	if err == nil && b.Number != n {
		return chains.Block{}, fmt.Errorf("%s: epoch %d: %w", c.cfg.Name, n, evm.ErrNullRound)
	}
	return b, err
}

// BlocksByNumber is BlockByNumber for many.
func (c *Client) BlocksByNumber(ctx context.Context, numbers []uint64) ([]chains.Block, error) {
	out, err := c.tipsets(ctx, numbers)
	if err != nil {
		return nil, err
	}
	for i, b := range out {
		if b.Number != numbers[i] {
			return nil, fmt.Errorf("%s: epoch %d: %w", c.cfg.Name, numbers[i], evm.ErrNullRound)
		}
	}
	return out, nil
}

// At is the tipset of an epoch or, over null rounds, the next below.
func (c *Client) At(ctx context.Context, epoch uint64) (chains.Block, error) {
	out, err := c.tipsets(ctx, []uint64{epoch})
	if err != nil {
		return chains.Block{}, err
	}
	return out[0], nil
}
