package devchain

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/core/types"
)

// ErrTooDeep says that a reorg would go below genesis or below blocks that the
// database has moved into its append-only store (those 90,000 below the head).
var ErrTooDeep = errors.New("reorg goes too deep")

// Pause stops the production of blocks. RPC goes on, Mine still works.
func (c *Chain) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = true
}

// Resume ends a Pause.
func (c *Chain) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = false
}

// Mine makes n blocks at once. Their times ascend by a second each, so the
// chain's clock may run ahead of the wall clock.
func (c *Chain) Mine(ctx context.Context, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	for range n {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("mine: %w", err)
		}
		if err := c.seal(ctx); err != nil {
			return fmt.Errorf("mine: %w", err)
		}
	}
	return nil
}

// SetFinalityDepth changes how far finality trails the head. A block that is
// final stays so when the depth grows.
func (c *Chain) SetFinalityDepth(depth uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.depth = depth
	return c.finalize()
}

// Reorg replaces the newest depth blocks by as many empty ones of the same
// height. The transactions of the replaced blocks go back to the pool; to lose
// them for good, Pause first and DropPending after. A depth beyond the finality
// depth replaces final blocks, which a real chain promises never to do.
func (c *Chain) Reorg(ctx context.Context, depth uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	bc := c.eth.BlockChain()
	head := bc.CurrentBlock().Number.Uint64()
	frozen, err := c.eth.ChainDb().Ancients()
	if err != nil {
		return fmt.Errorf("reorg: read frozen height: %w", err)
	}
	if depth == 0 {
		return nil
	}
	if depth > head || head-depth+1 < frozen {
		return fmt.Errorf("%w: depth %d at head %d", ErrTooDeep, depth, head)
	}

	// Build the other branch beside the chain, then switch to it as a whole.
	c.branch++
	parent := bc.GetHeaderByNumber(head - depth)
	var tip *types.Block
	for n := head - depth + 1; n <= head; n++ {
		old := bc.GetHeaderByNumber(n)
		block, err := c.build(ctx, parent, time.Unix(int64(old.Time), 0), empty)
		if err != nil {
			return fmt.Errorf("reorg: %w", err)
		}
		parent, tip = block.Header(), block
	}
	if _, err := bc.SetCanonical(tip); err != nil {
		return fmt.Errorf("reorg: move head: %w", err)
	}
	return c.finalize()
}

// SetMinTip leaves transactions with a smaller tip, in wei per gas, waiting in
// the pool: the market has gone up.
func (c *Chain) SetMinTip(wei *big.Int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if wei.Sign() < 0 {
		return errors.New("set tip: it is negative")
	}
	if err := c.eth.Miner().SetGasTip(wei); err != nil {
		return fmt.Errorf("set tip: %w", err)
	}
	return nil
}

// DropPending empties the transaction pool, as a node does that restarts.
func (c *Chain) DropPending() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.eth.TxPool().Clear()
	return nil
}
