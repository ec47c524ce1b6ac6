package lotus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains/devchain"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// ErrClosed says that the root has been closed.
var ErrClosed = errors.New("dev root is closed")

// Root is a running chain. Its methods may be called from any goroutine.
type Root struct {
	cfg     Config
	log     *slog.Logger
	chain   *devchain.Chain
	genesis common.Hash // of the EVM chain below
	began   uint64      // time of genesis
	evm     *evmCaller
	records *records
	pool    *pool
	f3      *f3
	ids     *ids
	nodes   []*Node

	// grow is held while the chain changes: one epoch, one reorg at a time.
	grow  sync.Mutex
	nulls map[uint64]bool // epochs to come that are null rounds
	rate  float64         // share of null rounds besides
	tried uint64          // the newest epoch that had its chance
	floor *big.Int        // least base fee
	stuck bool            // Pause

	mu     sync.RWMutex
	tips   view
	byHash map[common.Hash]*tip // every tip ever, of each branch
	byEVM  map[common.Hash]*tip // the same by the block below

	stop context.CancelFunc
	done sync.WaitGroup
}

// Start opens or makes the chain, serves its nodes and begins to make epochs.
// Epochs end when ctx does; all else stays open until Close.
func Start(ctx context.Context, cfg Config) (*Root, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("dev root config: %w", err)
	}
	chain, err := devchain.Start(ctx, devchain.Config{
		DataDir: cfg.DataDir, ChainID: cfg.ChainID, Alloc: cfg.Alloc, GasLimit: blockGas,
		Manual: true, NoServer: true, GenesisTime: cfg.GenesisTime, FinalityDepth: cfg.FinalityDepth, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("start dev root: %w", err)
	}
	genesis := chain.Genesis()
	r := &Root{
		cfg: cfg, log: cfg.Log, chain: chain, genesis: genesis.Hash, began: genesis.Time,
		evm: &evmCaller{chain.RPC()}, nulls: map[uint64]bool{}, rate: cfg.NullRate, floor: big.NewInt(minBaseFee),
		byHash: map[common.Hash]*tip{}, byEVM: map[common.Hash]*tip{}, ids: &ids{account: map[uint64]common.Address{}},
	}
	r.pool = newPool(r)
	r.f3 = newF3(r)
	if err := r.restore(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("restore dev root: %w", err), r.Close())
	}
	for i, addr := range cfg.Addrs {
		n, err := startNode(r, i, addr)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("start node %d: %w", i, err), r.Close())
		}
		r.nodes = append(r.nodes, n)
	}
	ctx, r.stop = context.WithCancel(ctx)
	if !cfg.Manual {
		r.done.Go(func() { r.produce(ctx) })
	}
	r.log.Info("dev root up", "chain", cfg.ChainID, "epoch", r.Head(), "nodes", len(r.nodes))
	return r, nil
}

// Close ends epochs, nodes and the chain.
func (r *Root) Close() error {
	if r.stop != nil {
		r.stop()
	}
	r.done.Wait()
	var errs []error
	for _, n := range r.nodes {
		errs = append(errs, n.close())
	}
	r.evm.Close()
	if r.records != nil {
		errs = append(errs, r.records.close())
	}
	errs = append(errs, r.chain.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close dev root: %w", err)
	}
	return nil
}

// Node is one of the endpoints, counted from 0.
func (r *Root) Node(i int) *Node { return r.nodes[i] }

// Head is the epoch of the newest tipset.
func (r *Root) Head() uint64 { return r.view().head().epoch }

// Genesis is the hash of epoch 0 as eth_* names it.
func (r *Root) Genesis() common.Hash { return r.view()[0].hash }

// TimeOf is the timestamp of an epoch.
func (r *Root) TimeOf(epoch uint64) time.Time { return time.Unix(int64(r.timeOf(epoch)), 0) }

func (r *Root) timeOf(epoch uint64) uint64 { return r.began + epoch*r.cfg.delay() }

func (r *Root) view() view {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.tips
}

// find is a tip of any branch by its eth hash.
func (r *Root) find(hash common.Hash) *tip {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byHash[hash]
}

// above is the tip of any branch over a block of the EVM chain.
func (r *Root) above(block common.Hash) *tip {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byEVM[block]
}

// restore takes the chain up where it was, or begins it at genesis.
func (r *Root) restore(ctx context.Context) error {
	first := &tip{block: r.genesis, width: 1, baseFee: r.chain.Header(r.genesis).BaseFee}
	if err := r.name(first); err != nil {
		return err
	}
	r.keep(first)
	r.tips = view{first}
	if r.cfg.DataDir == "" {
		return nil
	}
	var err error
	r.records, err = openRecords(r.cfg.DataDir)
	if err != nil {
		return err
	}
	for _, rec := range r.records.kept {
		below := r.chain.Header(rec.Block)
		if below == nil {
			return fmt.Errorf("tipset of epoch %d: %w", rec.Epoch, devchain.ErrNoBlock)
		}
		t := &tip{
			parent: r.tips.head(), epoch: rec.Epoch, number: below.Number.Uint64(), block: rec.Block,
			salt: rec.Salt, width: rec.Width, baseFee: rec.BaseFee,
		}
		if err := r.name(t); err != nil {
			return err
		}
		r.keep(t)
		r.tips = append(r.tips, t)
	}
	r.tried = r.tips.head().epoch
	for _, final := range r.records.finals {
		r.f3.certify(r.tips, final)
	}
	// A block below without a tipset was never served: a kill came between.
	return r.chain.Adopt(r.tips.head().block)
}

// keep makes a tip findable.
func (r *Root) keep(t *tip) {
	r.byHash[t.hash] = t
	r.byEVM[t.block] = t
}

// evmHeader is the header of the block under a tip.
func (r *Root) evmHeader(t *tip) (*types.Header, error) {
	h := r.chain.Header(t.block)
	if h == nil {
		return nil, fmt.Errorf("[BUG] no block %s", t.block)
	}
	return h, nil
}
