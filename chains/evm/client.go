package evm

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/gorilla/websocket"
)

// Client talks to one endpoint of one chain. It is safe for concurrent use.
type Client struct {
	cfg     Config
	log     *slog.Logger
	rpc     *rpc.Client
	dialer  *dialer
	base    *http.Transport // nil unless the network is used by http
	secrets []string
	tag     bool   // finality by tag
	depth   uint64 // else by depth

	checked atomic.Uint64 // the connection count whose chain id was asked

	mu   sync.Mutex
	head chains.Block // newest final block ever returned
	span uint64       // blocks of the next log query
}

// Dial connects to an endpoint and asks it for its chain id and, if
// configured, its genesis hash. It returns chains.ErrWrongChain when they
// differ and chains.ErrUnavailable when there is no answer.
func Dial(ctx context.Context, cfg Config, log *slog.Logger) (*Client, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, log: log.With("chain", cfg.Name), dialer: &dialer{}, secrets: secretsOf(cfg.URL), span: cfg.MaxRange}
	c.tag, c.depth, _ = parseFinality(cfg.Finality) // checked above

	options := []rpc.ClientOption{rpc.WithBatchItemLimit(0), rpc.WithBatchResponseSizeLimit(int(cfg.MaxBytes))}
	if strings.HasPrefix(cfg.URL, "ws") {
		options = append(options,
			rpc.WithWebsocketMessageSizeLimit(cfg.MaxBytes),
			rpc.WithWebsocketDialer(websocket.Dialer{NetDialContext: c.dialer.dial, HandshakeTimeout: cfg.Timeout}))
	} else {
		var hc *http.Client
		hc, c.base = httpClient(cfg, c.dialer)
		options = append(options, rpc.WithHTTPClient(hc))
	}

	dialCtx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	var err error
	c.rpc, err = rpc.DialOptions(dialCtx, cfg.URL, options...)
	if err != nil {
		return nil, c.wrap("dial", err)
	}
	if err := c.verify(dialCtx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends all connections.
func (c *Client) Close() {
	c.rpc.Close()
	if c.base != nil {
		c.base.CloseIdleConnections()
	}
}

// Name is the configured name of the chain.
func (c *Client) Name() string { return c.cfg.Name }

// ChainID is the configured (and verified) chain id.
func (c *Client) ChainID() chains.ID { return c.cfg.ChainID }

// StartBlock is the first height with events of ours.
func (c *Client) StartBlock() uint64 { return c.cfg.StartBlock }

// RPC sends one request and decodes its result into result (a pointer; nil to
// drop it). Errors are *Error.
func (c *Client) RPC(ctx context.Context, result any, method string, args ...any) error {
	bounded, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	began := time.Now()
	err := c.wrap(method, c.rpc.CallContext(bounded, result, method, args...))
	c.cfg.Metrics.rpc(c.cfg.Name, began, err)
	// An endpoint that was reconnected to may be another chain: its errors are
	// no more to be believed than its results.
	if fresh := c.checkChain(ctx, err); fresh != nil {
		return fresh
	}
	return err
}

// request is one member of a batch.
type request struct {
	method string
	args   []any
	result json.RawMessage
	err    error
}

// batch sends all requests in one message (chunked to the batch size). A
// returned error fails all of them; each request has its own besides.
func (c *Client) batch(ctx context.Context, reqs []*request) error {
	for start := 0; start < len(reqs); start += c.cfg.BatchSize {
		part := reqs[start:min(start+c.cfg.BatchSize, len(reqs))]
		if err := c.batchOnce(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) batchOnce(ctx context.Context, reqs []*request) error {
	bounded, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	elems := make([]rpc.BatchElem, len(reqs))
	for i, r := range reqs {
		elems[i] = rpc.BatchElem{Method: r.method, Args: r.args, Result: &r.result}
	}
	began := time.Now()
	err := c.wrap("batch", c.rpc.BatchCallContext(bounded, elems))
	c.cfg.Metrics.rpc(c.cfg.Name, began, err)
	if fresh := c.checkChain(ctx, err); fresh != nil {
		return fresh
	}
	if err != nil {
		return err
	}
	for i, r := range reqs {
		r.err = c.wrap(r.method, elems[i].Error)
	}
	return nil
}

// checkChain asks which chain this is (chain id and genesis hash) again when a
// connection was opened since it was last asked. An answer that never came (err) needs no such check, and
// nobody who stops wants to wait for another one.
func (c *Client) checkChain(ctx context.Context, err error) error {
	if class := ClassOf(err); class == ClassTimeout || class == ClassCanceled {
		return nil
	}
	if c.dialer.opened.Load() == c.checked.Load() {
		return nil
	}
	return c.verify(ctx)
}

// verify compares chain id and genesis hash with the configuration, until no
// connection was opened while it asked.
func (c *Client) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	for range 4 {
		opened := c.dialer.opened.Load()
		if err := c.identify(ctx); err != nil {
			return err
		}
		if opened == c.dialer.opened.Load() {
			c.checked.Store(opened)
			return nil
		}
	}
	// Connections come and go faster than one question: what is believed then
	// is only what carries the chain id in its own message (see batchHere).
	return nil
}

func (c *Client) identify(ctx context.Context) error {
	var id hexutil.Uint64
	if err := c.rpc.CallContext(ctx, &id, "eth_chainId"); err != nil {
		return c.wrap("eth_chainId", err)
	}
	if chains.ID(id) != c.cfg.ChainID {
		return fmt.Errorf("%s: chain id is %d, want %d: %w", c.cfg.Name, uint64(id), c.cfg.ChainID, chains.ErrWrongChain)
	}
	if c.cfg.GenesisHash == (common.Hash{}) {
		return nil
	}
	first := firstBlock
	if c.cfg.Genesis != nil {
		first = c.cfg.Genesis
	}
	var asked string
	hash, err := first(ctx, func(ctx context.Context, result any, method string, args ...any) error {
		asked = method
		return c.rpc.CallContext(ctx, result, method, args...)
	})
	if err != nil {
		return c.wrap(asked, err)
	}
	if hash != c.cfg.GenesisHash {
		return fmt.Errorf("%s: chain %d begins with block %s, want %s: %w", c.cfg.Name, c.cfg.ChainID, hash, c.cfg.GenesisHash, chains.ErrWrongChain)
	}
	return nil
}

// firstBlock is the hash of block 0 by eth_getBlockByNumber.
func firstBlock(ctx context.Context, ask Asker) (common.Hash, error) {
	var genesis *struct {
		Hash common.Hash `json:"hash"`
	}
	if err := ask(ctx, &genesis, "eth_getBlockByNumber", "0x0", false); err != nil {
		return common.Hash{}, err
	}
	if genesis == nil {
		return common.Hash{}, fmt.Errorf("%w: no block 0", errBadAnswer)
	}
	return genesis.Hash, nil
}
