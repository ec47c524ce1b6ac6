// Package devchain is a root chain for development and tests: geth in this
// process with a block producer of its own. Blocks come at a fixed pace whether
// or not there are transactions, and finality trails the head by a fixed number
// of blocks, so that everything which waits for finality can be tried on one
// machine.
//
// With a data directory the chain survives kill -9: a block is on disk before
// it is called final, and a restart goes on from the last block written. The
// run-time controls (Pause, Mine, SetFinalityDepth, Reorg) make the chain behave
// badly on purpose.
package devchain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/rpc"
)

// Config of a dev chain. Only ChainID is required.
type Config struct {
	// DataDir keeps the chain; "" keeps it in memory.
	DataDir string
	ChainID chains.ID
	// Alloc is the genesis balances, in wei. With a DataDir that already holds
	// a chain it must be what that chain began with.
	Alloc map[common.Address]*big.Int
	// Period between blocks, 1 s when 0. Below one second the chain's clock
	// runs ahead of the wall clock, since block times are whole seconds.
	Period time.Duration
	// FinalityDepth: finalized = head − FinalityDepth. 0 makes every block
	// final at once.
	FinalityDepth uint64
	// HTTPAddr and WSAddr are host:port; port 0 picks a free one. An empty
	// host is the loopback. WSAddr "" shares the HTTP port.
	HTTPAddr string
	WSAddr   string
	// GasLimit of a block, 60 M when 0.
	GasLimit uint64
	// Manual makes no blocks but those that Mine or Build are asked for.
	Manual bool
	// NoServer opens no port: the chain is read through its methods and RPC.
	NoServer bool
	// GenesisTime of a new chain, in Unix seconds; 0 is now.
	GenesisTime uint64
	Log         *slog.Logger
}

// DefaultFinalityDepth is the depth used on devnets.
const DefaultFinalityDepth = 2

const (
	defaultPeriod   = time.Second
	defaultGasLimit = 60_000_000
	loopback        = "127.0.0.1"
)

// ErrClosed says that the chain has been closed.
var ErrClosed = errors.New("dev chain is closed")

// Chain is a running dev chain. Its methods may be called from any goroutine.
type Chain struct {
	cfg   Config
	log   *slog.Logger
	stack *node.Node
	eth   *eth.Ethereum
	logs  *filters.FilterSystem

	// mu is held while the chain changes: one block, one reorg at a time.
	mu     sync.Mutex
	depth  uint64
	branch uint64 // tells blocks of one parent and time apart
	paused bool
	closed bool

	stop context.CancelFunc
	done chan struct{}
}

// Start opens or makes the chain and begins to produce blocks. Production ends
// when ctx does; the RPC servers and the database stay open until Close.
func Start(ctx context.Context, cfg Config) (*Chain, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("dev chain config: %w", err)
	}
	gen, err := openGenesis(cfg)
	if err != nil {
		return nil, fmt.Errorf("dev chain genesis: %w", err)
	}
	ctl := &controls{ready: make(chan struct{})}
	stack, backend, logs, err := startGeth(cfg, gen, ctl)
	if err != nil {
		return nil, err
	}

	c := &Chain{cfg: cfg, log: cfg.Log, stack: stack, eth: backend, logs: logs, depth: cfg.FinalityDepth, done: make(chan struct{})}
	c.branch = uint64(time.Now().UnixNano()) // no branch of an earlier run is built again
	if err := c.finalize(); err != nil {
		return nil, errors.Join(fmt.Errorf("restore finality: %w", err), stack.Close())
	}
	ctl.chain = c
	close(ctl.ready)
	ctx, c.stop = context.WithCancel(ctx)
	if cfg.Manual {
		close(c.done)
	} else {
		go c.produce(ctx)
	}
	head := c.Head()
	c.log.Info("dev chain up", "chain", cfg.ChainID, "head", head.Number, "http", c.HTTP(), "ws", c.WS())
	return c, nil
}

func (cfg Config) withDefaults() (Config, error) {
	if cfg.ChainID == 0 {
		return cfg, errors.New("chain id is 0")
	}
	if cfg.Period < 0 {
		return cfg, errors.New("period is negative")
	}
	if cfg.Period == 0 {
		cfg.Period = defaultPeriod
	}
	if cfg.GasLimit == 0 {
		cfg.GasLimit = defaultGasLimit
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.HTTPAddr == "" {
		cfg.HTTPAddr = loopback + ":0"
	}
	if cfg.WSAddr == "" {
		cfg.WSAddr = cfg.HTTPAddr
	}
	return cfg, nil
}

// Close stops production, the servers and the database.
func (c *Chain) Close() error {
	c.stop()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if err := c.stack.Close(); err != nil {
		return fmt.Errorf("close dev chain: %w", err)
	}
	return nil
}

// ChainID is the chain's id.
func (c *Chain) ChainID() chains.ID { return c.cfg.ChainID }

// HTTP is the URL of the JSON-RPC server.
func (c *Chain) HTTP() string { return c.stack.HTTPEndpoint() }

// WS is the URL of the WebSocket server.
func (c *Chain) WS() string { return c.stack.WSEndpoint() }

// HTTPAddr is host:port of the JSON-RPC server.
func (c *Chain) HTTPAddr() string { return trimScheme(c.HTTP()) }

// WSAddr is host:port of the WebSocket server.
func (c *Chain) WSAddr() string { return trimScheme(c.WS()) }

// RPC is a client that needs no port. The caller closes it.
func (c *Chain) RPC() *rpc.Client { return c.stack.Attach() }

// Genesis is block 0.
func (c *Chain) Genesis() chains.Block { return blockOf(c.eth.BlockChain().Genesis().Header()) }

// Head is the newest block.
func (c *Chain) Head() chains.Block { return blockOf(c.eth.BlockChain().CurrentBlock()) }

// Finalized is the newest final block.
func (c *Chain) Finalized() chains.Block { return blockOf(c.eth.BlockChain().CurrentFinalBlock()) }

func blockOf(h *types.Header) chains.Block {
	if h == nil {
		return chains.Block{}
	}
	return chains.Block{Number: h.Number.Uint64(), Hash: h.Hash(), Parent: h.ParentHash, Time: h.Time}
}
