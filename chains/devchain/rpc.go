package devchain

import (
	"context"

	"github.com/ethereum/go-ethereum/common/hexutil"
)

// controls are the run-time controls as JSON-RPC, namespace "dev": a test that
// runs the chain as a process of its own makes it behave badly through them.
type controls struct {
	chain *Chain
	ready chan struct{} // closed once chain is set
}

func (c *controls) get(ctx context.Context) (*Chain, error) {
	select {
	case <-c.ready:
		return c.chain, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Reorg is dev_reorg: see Chain.Reorg.
func (c *controls) Reorg(ctx context.Context, depth hexutil.Uint64) error {
	chain, err := c.get(ctx)
	if err != nil {
		return err
	}
	return chain.Reorg(ctx, uint64(depth))
}

// SetMinTip is dev_setMinTip: see Chain.SetMinTip.
func (c *controls) SetMinTip(ctx context.Context, wei hexutil.Big) error {
	chain, err := c.get(ctx)
	if err != nil {
		return err
	}
	return chain.SetMinTip(wei.ToInt())
}
