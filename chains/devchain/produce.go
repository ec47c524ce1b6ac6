package devchain

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/beacon/engine"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/miner"
)

// produce makes one block per period, on the wall clock's multiples of it.
func (c *Chain) produce(ctx context.Context) {
	defer close(c.done)
	for {
		now := time.Now()
		next := now.Truncate(c.cfg.Period).Add(c.cfg.Period)
		select {
		case <-ctx.Done():
			return
		case <-time.After(next.Sub(now)):
		}
		if err := c.step(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("make block, will retry", "err", err)
		}
	}
}

func (c *Chain) step(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused || c.closed {
		return nil
	}
	return c.seal(ctx)
}

// seal adds one block with what the pool offers. mu is held.
//
// The order makes a kill harmless: a block and its state are synced to disk
// before any block is called final because of it, so what was final is there
// after a restart. A block seen as latest only may be lost, and its
// transactions go back to their senders, as on any chain.
func (c *Chain) seal(ctx context.Context) error {
	parent := c.eth.BlockChain().CurrentBlock()
	if err := c.eth.TxPool().Sync(); err != nil {
		return fmt.Errorf("sync pool: %w", err)
	}
	block, err := c.build(ctx, parent, time.Now(), fromPool)
	if err != nil {
		return err
	}
	if _, err := c.eth.BlockChain().SetCanonical(block); err != nil {
		return fmt.Errorf("move head to %d: %w", block.NumberU64(), err)
	}
	return c.finalize()
}

type content bool

const (
	fromPool content = false
	empty    content = true
)

// build executes a child of parent and stores it beside the canonical chain.
func (c *Chain) build(ctx context.Context, parent *types.Header, at time.Time, txs content) (*types.Block, error) {
	var salt [8]byte
	binary.BigEndian.PutUint64(salt[:], c.branch)
	args := &miner.BuildPayloadArgs{
		Parent:      parent.Hash(),
		Timestamp:   max(parent.Time+1, uint64(at.Unix())),
		Random:      crypto.Keccak256Hash(parent.Hash().Bytes(), salt[:]),
		Withdrawals: types.Withdrawals{},
		BeaconRoot:  &common.Hash{},
		Version:     engine.PayloadV3,
	}
	// Named for tests, but the one builder that is synchronous and returns its
	// errors: without a list of transactions it takes the pool's.
	block, _, err := c.eth.Miner().BuildTestingPayload(args, nil, bool(txs), nil)
	if err != nil {
		return nil, fmt.Errorf("build block on %d: %w", parent.Number, err)
	}
	if _, err := c.eth.BlockChain().InsertBlockWithoutSetHead(ctx, block, false); err != nil {
		return nil, fmt.Errorf("execute block %d: %w", block.NumberU64(), err)
	}
	return block, nil
}

// finalize syncs the database and moves finality to head − depth. Finality
// goes back only when a reorg has cut the final block off. mu is held, or the
// chain has not begun to produce.
func (c *Chain) finalize() error {
	if err := c.eth.ChainDb().SyncKeyValue(); err != nil {
		return fmt.Errorf("sync database: %w", err)
	}
	bc := c.eth.BlockChain()
	head := bc.CurrentBlock().Number.Uint64()
	target := head - min(head, c.depth)
	if final := bc.CurrentFinalBlock(); final != nil && final.Number.Uint64() >= target &&
		bc.GetCanonicalHash(final.Number.Uint64()) == final.Hash() {
		return nil
	}
	h := bc.GetHeaderByNumber(target)
	if h == nil {
		return errors.New("[BUG] canonical header missing")
	}
	bc.SetFinalized(h)
	bc.SetSafe(h)
	// Finality is worked out anew at each start. Left in the database, it would
	// let geth move final blocks into its append-only store, every minute, and
	// no reorg could replace them any more.
	rawdb.WriteFinalizedBlockHash(c.eth.ChainDb(), common.Hash{})
	return nil
}
