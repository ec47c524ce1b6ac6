package node

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/beacon/engine"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	_ "github.com/ethereum/go-ethereum/eth/tracers/js"     // debug_trace*
	_ "github.com/ethereum/go-ethereum/eth/tracers/native" // debug_trace*
	"github.com/ethereum/go-ethereum/miner"
	gethnode "github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/holiman/uint256"

	"github.com/causeway-bridge/causeway/chains"
)

// callGas bounds a read of a predeploy.
const callGas = 50_000_000

var errInvalidBlock = errors.New("block breaks the rules")

// evm is the only door to geth. State is kept in the hash scheme without
// pruning: every block's state is on disk when the block is, so that a kill
// never costs more than the blocks after the last fsync.
type evm struct {
	stack    *gethnode.Node
	eth      *eth.Ethereum
	chain    *core.BlockChain
	filters  *filters.FilterAPI
	gasLimit uint64 // the genesis block's, and every other's
}

// openEVM opens the database and makes the services.
func openEVM(cfg Config, g Genesis) (*evm, error) {
	nc := gethnode.DefaultConfig
	nc.Name, nc.UserIdent, nc.Version = "causeway", "", "subnet"
	nc.DataDir, nc.IPCPath = filepath.Join(cfg.Home, gethDir), ""
	nc.UseLightweightKDF = true
	nc.P2P = p2p.Config{NoDiscovery: true, NoDial: cfg.EVMP2PAddr == "", ListenAddr: cfg.EVMP2PAddr}
	if cfg.EVMP2PAddr != "" {
		nc.P2P.MaxPeers = 50
	}
	for _, u := range cfg.EVMPeers {
		n, err := enode.Parse(enode.ValidSchemes, u)
		if err != nil {
			return nil, fmt.Errorf("evm peer: %w", err)
		}
		nc.P2P.StaticNodes = append(nc.P2P.StaticNodes, n)
	}
	stack, err := gethnode.New(&nc)
	if err != nil {
		return nil, fmt.Errorf("make geth node: %w", err)
	}

	ec := ethconfig.Defaults
	ec.Genesis, ec.NetworkId = g.EVMGenesis(), uint64(g.ChainID)
	ec.SyncMode = ethconfig.FullSync
	ec.StateScheme, ec.NoPruning = rawdb.HashScheme, true
	ec.DatabaseCache, ec.TrieCleanCache, ec.TrieDirtyCache, ec.SnapshotCache = 64, 64, 0, 0
	ec.TransactionHistory, ec.LogHistory = 0, 0 // all
	ec.Miner.GasCeil, ec.Miner.GasPrice, ec.Miner.ExtraData = g.EVM.GasLimit, big.NewInt(1), []byte(extraData)
	ec.TxPool.PriceLimit, ec.TxPool.Journal = 1, ""
	ec.TxPool.AccountSlots, ec.TxPool.GlobalSlots = 1024, 16384
	ec.TxPool.AccountQueue, ec.TxPool.GlobalQueue = 1024, 16384
	ec.RPCTxFeeCap = 0 // the sender's own concern
	backend, err := eth.New(stack, &ec)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open geth: %w", err), stack.Close())
	}
	e := &evm{stack: stack, eth: backend, chain: backend.BlockChain(), gasLimit: g.EVM.GasLimit}
	if have, want := e.chain.Genesis().Hash(), g.Hash(); have != want {
		return nil, errors.Join(fmt.Errorf("geth database has genesis %s, want %s: %w", have, want, chains.ErrWrongChain), stack.Close())
	}
	e.filters = filters.NewFilterAPI(filters.NewFilterSystem(backend.APIBackend, filters.Config{LogQueryLimit: 1000}))
	return e, nil
}

// head is the newest committed block's header.
func (e *evm) head() *types.Header { return e.chain.CurrentBlock() }

// build makes the next block on parent from the transaction pool.
func (e *evm) build(ctx context.Context, parent *types.Header, unix uint64, coinbase common.Address) (*types.Block, error) {
	args := &miner.BuildPayloadArgs{
		Parent: parent.Hash(), Timestamp: unix, FeeRecipient: coinbase, Random: randao(parent.Hash()),
		Withdrawals: types.Withdrawals{}, BeaconRoot: &common.Hash{}, Version: engine.PayloadV3,
	}
	payload, err := e.eth.Miner().BuildPayload(ctx, args, false)
	if err != nil {
		return nil, fmt.Errorf("build block: %w", err)
	}
	// Resolve would return the empty block while the full one is being built.
	if payload.ResolveFull() == nil {
		return nil, errors.New("build block: stopped")
	}
	block, _, _, _ := payload.FullBlockAndReceipts()
	return block, nil
}

// randao is the block's PREVRANDAO: known to all, chosen by nobody.
func randao(parent common.Hash) common.Hash {
	return crypto.Keccak256Hash([]byte("causeway/randao"), parent[:])
}

// check compares every attribute a proposer could choose with the only value
// that is right. Execution checks the rest.
func (e *evm) check(block, parent *types.Header, txs types.Transactions, unix uint64, coinbase common.Address) error {
	switch {
	case block.ParentHash != parent.Hash() || block.Number.Uint64() != parent.Number.Uint64()+1:
		return fmt.Errorf("parent or number: %w", errInvalidBlock)
	case block.Time != unix:
		return fmt.Errorf("time %d, want %d: %w", block.Time, unix, errInvalidBlock)
	case block.Coinbase != coinbase:
		return fmt.Errorf("coinbase %s, want the proposer %s: %w", block.Coinbase, coinbase, errInvalidBlock)
	case block.MixDigest != randao(parent.Hash()):
		return fmt.Errorf("randao: %w", errInvalidBlock)
	case string(block.Extra) != extraData:
		return fmt.Errorf("extra data: %w", errInvalidBlock)
	case block.GasLimit != core.CalcGasLimit(parent.GasLimit, e.gasLimit):
		return fmt.Errorf("gas limit %d: %w", block.GasLimit, errInvalidBlock)
	case block.ParentBeaconRoot == nil || *block.ParentBeaconRoot != (common.Hash{}):
		return fmt.Errorf("beacon root: %w", errInvalidBlock)
	case block.WithdrawalsHash == nil || *block.WithdrawalsHash != types.EmptyWithdrawalsHash:
		return fmt.Errorf("withdrawals: %w", errInvalidBlock)
	case block.BlobGasUsed == nil || *block.BlobGasUsed != 0 || block.ExcessBlobGas == nil || *block.ExcessBlobGas != 0:
		return fmt.Errorf("blob gas: %w", errInvalidBlock)
	}
	for _, tx := range txs {
		if tx.Type() == types.BlobTxType {
			return fmt.Errorf("blob transaction: %w", errInvalidBlock)
		}
	}
	return nil
}

// execute runs a block and writes it with its state, without moving the head.
func (e *evm) execute(ctx context.Context, block *types.Block) error {
	if e.chain.HasBlockAndState(block.Hash(), block.NumberU64()) {
		return nil
	}
	if !e.chain.HasBlockAndState(block.ParentHash(), block.NumberU64()-1) {
		return fmt.Errorf("execute block %d: parent %s is unknown", block.NumberU64(), block.ParentHash())
	}
	if _, err := e.chain.InsertBlockWithoutSetHead(ctx, block, false); err != nil {
		return fmt.Errorf("execute block %d: %w", block.NumberU64(), err)
	}
	return nil
}

// setHead makes an executed block the head. It is durable after sync.
func (e *evm) setHead(hash common.Hash) error {
	block := e.chain.GetBlockByHash(hash)
	if block == nil {
		return fmt.Errorf("[BUG] head block %s was not executed", hash)
	}
	if e.chain.CurrentBlock().Hash() != hash {
		if _, err := e.chain.SetCanonical(block); err != nil {
			return fmt.Errorf("set head: %w", err)
		}
	}
	e.eth.SetSynced()
	return nil
}

// sync makes everything written so far survive a crash, and then says so to
// geth: blocks at or below "finalized" move to the freezer, so it may only
// name a head that is on disk.
func (e *evm) sync() error {
	if err := e.eth.ChainDb().SyncKeyValue(); err != nil {
		return fmt.Errorf("sync chain database: %w", err)
	}
	head := e.chain.CurrentBlock()
	e.chain.SetFinalized(head)
	e.chain.SetSafe(head)
	return nil
}

// rewind drops the blocks above height.
func (e *evm) rewind(height uint64) error {
	if err := e.chain.SetHead(height); err != nil {
		return fmt.Errorf("rewind to %d: %w", height, err)
	}
	if have := e.chain.CurrentBlock().Number.Uint64(); have != height {
		return fmt.Errorf("rewind to %d: geth stands at %d", height, have)
	}
	return nil
}

// call runs a read-only call on the state after a block.
func (e *evm) call(header *types.Header, to common.Address, data []byte) ([]byte, error) {
	state, err := e.chain.StateAt(header.Root, header.Number, header.Time)
	if err != nil {
		return nil, fmt.Errorf("open state of block %d: %w", header.Number, err)
	}
	machine := vm.NewEVM(core.NewEVMBlockContext(header, e.chain, nil), state, e.chain.Config(), vm.Config{NoBaseFee: true})
	machine.SetTxContext(vm.TxContext{GasPrice: new(uint256.Int)})
	out, _, err := machine.StaticCall(common.Address{}, to, data, vm.NewGasBudget(callGas, 0))
	if err != nil {
		return nil, fmt.Errorf("call %s at block %d: %w", to, header.Number, &chains.RevertError{Data: out})
	}
	if machine.StateDB.GetCodeSize(to) == 0 {
		return nil, fmt.Errorf("call %s at block %d: %w", to, header.Number, errNoCode)
	}
	return out, nil
}

var errNoCode = errors.New("no contract there")

// start begins the transaction gossip, where there is any.
func (e *evm) start() error {
	if err := e.stack.Start(); err != nil {
		return fmt.Errorf("start geth: %w", err)
	}
	return nil
}

// close stops geth and closes its database.
func (e *evm) close() error {
	if err := e.stack.Close(); err != nil {
		return fmt.Errorf("stop geth: %w", err)
	}
	return nil
}

// nextTime is the timestamp of the block after parent.
func nextTime(parent *types.Header, consensus time.Time) uint64 {
	return max(parent.Time+1, uint64(max(consensus.Unix(), 0)))
}
