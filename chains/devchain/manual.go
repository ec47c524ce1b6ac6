package devchain

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/beacon/engine"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus/misc/eip1559"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/miner"
)

// ErrNoBlock says that the chain does not hold a block.
var ErrNoBlock = errors.New("no such block")

// Draft is a block that somebody else has put together: another chain's rules
// stand above this one, which only executes.
type Draft struct {
	Parent common.Hash
	Time   uint64 // Unix seconds, after the parent's
	// Txs in order; each must be valid where it stands.
	Txs []*types.Transaction
}

// Build executes a draft and stores the block beside the canonical chain. Two
// drafts alike make two different blocks.
func (c *Chain) Build(ctx context.Context, d Draft) (*types.Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrClosed
	}
	c.branch++
	args := &miner.BuildPayloadArgs{
		Parent:      d.Parent,
		Timestamp:   d.Time,
		Random:      crypto.Keccak256Hash(d.Parent.Bytes(), new(big.Int).SetUint64(c.branch).Bytes()),
		Withdrawals: types.Withdrawals{},
		BeaconRoot:  &common.Hash{},
		Version:     engine.PayloadV3,
	}
	block, _, err := c.eth.Miner().BuildTestingPayload(args, d.Txs, len(d.Txs) == 0, nil)
	if err != nil {
		return nil, fmt.Errorf("build block: %w", err)
	}
	if _, err := c.eth.BlockChain().InsertBlockWithoutSetHead(ctx, block, false); err != nil {
		return nil, fmt.Errorf("execute block %d: %w", block.NumberU64(), err)
	}
	return block, nil
}

// Adopt makes a built block the head, be it on the branch of the old head or
// not, and syncs it to disk.
func (c *Chain) Adopt(hash common.Hash) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	block := c.eth.BlockChain().GetBlockByHash(hash)
	if block == nil {
		return fmt.Errorf("%w: %s", ErrNoBlock, hash)
	}
	if _, err := c.eth.BlockChain().SetCanonical(block); err != nil {
		return fmt.Errorf("move head to %d: %w", block.NumberU64(), err)
	}
	return c.finalize()
}

// Block is a block of any branch, nil when unknown.
func (c *Chain) Block(hash common.Hash) *types.Block {
	return c.eth.BlockChain().GetBlockByHash(hash)
}

// Header is the header of a block of any branch, nil when unknown.
func (c *Chain) Header(hash common.Hash) *types.Header {
	return c.eth.BlockChain().GetHeaderByHash(hash)
}

// Receipts are those of a block of any branch, in order.
func (c *Chain) Receipts(hash common.Hash) types.Receipts {
	return c.eth.BlockChain().GetReceiptsByHash(hash)
}

// Canonical is the hash of the canonical block of a height, zero for none.
func (c *Chain) Canonical(number uint64) common.Hash {
	return c.eth.BlockChain().GetCanonicalHash(number)
}

// Place finds a transaction in the canonical chain.
func (c *Chain) Place(tx common.Hash) (block common.Hash, index uint64, ok bool) {
	at, _ := c.eth.BlockChain().GetCanonicalTransaction(tx)
	if at == nil {
		return common.Hash{}, 0, false
	}
	return at.BlockHash, at.Index, true
}

// NextBaseFee is the base fee of a child of a block, in wei.
func (c *Chain) NextBaseFee(parent *types.Header) *big.Int {
	return eip1559.CalcBaseFee(c.eth.BlockChain().Config(), parent)
}

// State is the state after a block.
func (c *Chain) State(h *types.Header) (*state.StateDB, error) {
	return c.eth.BlockChain().StateAt(h.Root, h.Number, h.Time)
}

// LogsBetween are the logs of the canonical blocks from one number to another.
func (c *Chain) LogsBetween(ctx context.Context, from, to uint64, addresses []common.Address, topics [][]common.Hash) ([]*types.Log, error) {
	return c.logs.NewRangeFilter(int64(from), int64(to), addresses, topics, 0).Logs(ctx)
}

// LogsOf are the logs of one block of any branch.
func (c *Chain) LogsOf(ctx context.Context, block common.Hash, addresses []common.Address, topics [][]common.Hash) ([]*types.Log, error) {
	return c.logs.NewBlockFilter(block, addresses, topics).Logs(ctx)
}
