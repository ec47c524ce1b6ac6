// Package filecoin is the root chain as Filecoin really is: an evm.Reader over one
// Lotus node. Calls, logs, receipts and transactions go through the node's eth_*;
// what a block is comes from Lotus' own tipsets.
//
// What it promises. A block is a tipset whose headers hash to its key, and whose key
// is the block's hash: the node cannot give a height another hash, parent or time
// than its headers have. A height without a tipset is a null round
// (evm.ErrNullRound), never an error of the endpoint and never a block. A block is
// final by depth, which is ours to choose and not the node's to say, since
// "finalized" means another thing in each version of Lotus. Certificates of F3 and,
// where it is allowed, the node's word may make it final sooner (Config.F3,
// TrustFinalized), but never with fewer epochs above it than a floor, and never later:
// whatever is wrong with them, the depth stays. Events are those that
// the logs, the receipts of their transactions and, in the ranges that follow the
// head, the receipts of every block tell alike; a removed log is none. An event that
// needs more depth than others (Config.Deep) ends the range before its block.
//
// What it cannot promise: that the content of a receipt is what the chain executed;
// for that, several endpoints must agree (chains/agree) and the contracts' own
// counters must add up (the auditor, the node's parent watcher).
package filecoin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
)

// Config is one Lotus node.
type Config struct {
	// Config is of the endpoint. Where its URL names a websocket the node's head is
	// followed there; all else is asked over HTTP, since Lotus takes no batches on the
	// other. Finality, bloom and header
	// checks are set by this package.
	evm.Config
	// Depth is how many epochs below the head a tipset is final.
	Depth uint64
	// Behind is how many epochs below the head nothing is read, not even what is not
	// final: logs of the newest epochs come late.
	Behind uint64
	// F3 are certificates that may call a tipset final sooner; nil: none do.
	// TrustFinalized lets the node call one final sooner, where its version knows
	// more of finality than a depth. Neither does with fewer epochs than Floor, or
	// than Behind, between it and the head.
	F3             *F3
	TrustFinalized bool
	Floor          uint64
	// Deep is the depth that an event needs beyond Depth, by what it moves; nil, or 0
	// from it: none.
	Deep func(chains.Event) uint64
}

// MaxDepth bounds depths: the deepest reorganization that Filecoin allows is 900
// epochs.
const MaxDepth = 9000

// Check joins every complaint about the configuration.
func (c Config) Check() error {
	var errs []error
	if c.Depth < 1 || c.Depth > MaxDepth {
		errs = append(errs, fmt.Errorf("chain %q: depth of 1 to %d epochs", c.Name, MaxDepth))
	}
	if c.Behind > c.Depth {
		errs = append(errs, fmt.Errorf("chain %q: behind is deeper than what is final", c.Name))
	}
	if (c.F3 != nil || c.TrustFinalized) && c.Floor < 1 || c.Floor > c.Depth {
		errs = append(errs, fmt.Errorf("chain %q: what is final sooner than by depth needs a floor of 1 to as many epochs", c.Name))
	}
	return errors.Join(append(errs, c.F3.check(c.Name))...)
}

// Client reads and writes through one node. Its methods may be called from any
// goroutine; Close ends them.
type Client struct {
	*evm.Client
	cfg Config
	log *slog.Logger
	f3  *follower // nil: off

	bell    chains.Bell
	quit    context.CancelFunc
	running sync.WaitGroup

	// looking is taken by the one look at the head that goes on.
	looking chan struct{}

	mu   sync.Mutex
	head chains.Block // the newest final tipset seen
	deep uint64       // the newest epoch seen that is final by its depth
	top  uint64       // the newest epoch seen
}

// Dial connects and checks that the node serves the chain, by its id, by its first
// block, and that it speaks Lotus' API. It returns chains.ErrWrongChain or
// chains.ErrUnavailable.
func Dial(ctx context.Context, cfg Config, log *slog.Logger) (*Client, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	socket := cfg.URL
	cfg.URL = overHTTP(cfg.URL)
	cfg.Finality = "depth:0" // nothing is asked of it above what is final here
	// Hashes are the tipsets', checked below; every bloom has all bits.
	cfg.CheckHeaders, cfg.NoBloom = false, true
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f3, err := newFollower(cfg.F3)
	if err != nil {
		return nil, err
	}
	inner, err := evm.Dial(ctx, cfg.Config, log)
	if err != nil {
		return nil, err
	}
	c := &Client{Client: inner, cfg: cfg, log: log, f3: f3, looking: make(chan struct{}, 1)}
	if _, err := c.Latest(ctx); err != nil {
		inner.Close()
		return nil, fmt.Errorf("ask for the head as Lotus has it: %w", err)
	}
	// The subscription ends with Close, not with the dialing.
	listening, quit := context.WithCancel(context.WithoutCancel(ctx))
	c.quit = quit
	if isWS(socket) {
		c.running.Go(func() { c.listen(listening, socket) })
	}
	return c, nil
}

func overHTTP(url string) string {
	for from, to := range map[string]string{"ws://": "http://", "wss://": "https://"} {
		if rest, ok := strings.CutPrefix(url, from); ok {
			return to + rest
		}
	}
	return url
}

func (c *Client) unavailable(format string, args ...any) error {
	return fmt.Errorf("%s: "+format+": %w", append(append([]any{c.cfg.Name}, args...), chains.ErrUnavailable)...)
}

var (
	_ evm.Reader   = (*Client)(nil)
	_ chains.Waker = (*Client)(nil)
)
