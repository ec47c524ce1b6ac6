// Package evm speaks eth_* to any chain that answers it. It holds two things:
// a Client, which is a chains.Source of final blocks and believes no endpoint
// more than it must, and a TxManager, which is a chains.Sender that records an
// intent before it signs and signs before it sends.
//
// What it promises. Reads: an answer is bounded in bytes, depth, time and
// count; it comes from the configured chain; events come from final blocks
// whose hashes were seen to be canonical, each at most once, in order, and only
// those of the filter; what cannot be known is chains.ErrUnavailable, never an
// empty list. Writes: a nonce belongs to one intent for ever, every hash signed
// for it is kept, and only a receipt in a final block decides it.
package evm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Asker puts one request to an endpoint, as rpc.Client.CallContext does.
type Asker func(ctx context.Context, result any, method string, args ...any) error

// Config is one endpoint of one chain. Zero fields take the value of Default.
type Config struct {
	Name        string      // of the chain, as in logs and labels: "root"
	URL         string      // http, https, ws or wss; never shown
	ChainID     chains.ID   // asked at start and after each reconnect
	GenesisHash common.Hash // hash of block 0, asked with the chain id; zero: not asked
	Finality    string      // "finalized" (the tag) or "depth:N" (N blocks below latest)
	StartBlock  uint64      // first height with events of ours
	MaxRange    uint64      // blocks per log query; halved when the node objects

	Timeout    time.Duration // per request
	MaxBytes   int64         // per answer
	MaxDepth   int           // JSON nesting per answer
	MaxLogs    int           // per log query
	BatchSize  int           // requests per batch
	FullRange  uint64        // ranges up to this many blocks have every header read; see Events
	MaxHeadAge time.Duration // a latest block older than this is a frozen endpoint; 0: not checked
	MaxAhead   time.Duration // a block this far in the future is refused; negative: not checked

	// Genesis finds the hash of block 0 with requests to the endpoint; nil: as
	// eth_getBlockByNumber says it.
	Genesis func(ctx context.Context, ask Asker) (common.Hash, error)
	// Blocks reads the blocks of heights in another way than eth_getBlockByNumber; a
	// height without a block is absent. nil: by that.
	Blocks func(ctx context.Context, heights []uint64) (map[uint64]chains.Block, error)
	// Transport carries the requests to an http endpoint; nil: the network.
	Transport    http.RoundTripper
	CheckHeaders bool // recompute each header's hash (chains whose block hash is Ethereum's)
	NoBloom      bool // headers of this chain carry no usable logs bloom
	Metrics      *Metrics
}

// Default is the configuration of an ordinary Ethereum-like chain.
func Default() Config {
	return Config{
		Finality:  "finalized",
		MaxRange:  2000,
		Timeout:   20 * time.Second,
		MaxBytes:  32 << 20,
		MaxDepth:  32,
		MaxLogs:   20_000,
		BatchSize: 100,
		FullRange: 64,
		MaxAhead:  15 * time.Minute,
	}
}

func (c Config) withDefaults() Config {
	d := Default()
	if c.Finality == "" {
		c.Finality = d.Finality
	}
	if c.MaxRange == 0 {
		c.MaxRange = d.MaxRange
	}
	if c.Timeout == 0 {
		c.Timeout = d.Timeout
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = d.MaxBytes
	}
	if c.MaxDepth == 0 {
		c.MaxDepth = d.MaxDepth
	}
	if c.MaxLogs == 0 {
		c.MaxLogs = d.MaxLogs
	}
	if c.BatchSize == 0 {
		c.BatchSize = d.BatchSize
	}
	if c.FullRange == 0 {
		c.FullRange = d.FullRange
	}
	if c.MaxAhead == 0 {
		c.MaxAhead = d.MaxAhead
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return c
}

// Check joins every complaint about the configuration.
func (c Config) Check() error {
	c = c.withDefaults()
	var errs []error
	complain := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	complain(c.Name == "", "name is empty")
	complain(c.ChainID == 0, "chain id is zero")
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		errs = append(errs, errors.New("endpoint is not a URL"))
	case u.Host == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ws" && u.Scheme != "wss"):
		errs = append(errs, errors.New("endpoint must begin with http, https, ws or wss"))
	}
	if _, _, err := parseFinality(c.Finality); err != nil {
		errs = append(errs, err)
	}
	complain(c.Timeout < 0, "timeout is negative")
	complain(c.MaxBytes < 1<<10, "max bytes below 1 KiB")
	complain(c.MaxDepth < 6, "max depth below 6")
	complain(c.MaxLogs < 1, "max logs below 1")
	complain(c.BatchSize < 4, "batch size below 4")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("chain %q: %w", c.Name, err)
	}
	return nil
}

// parseFinality reads "finalized" or "depth:N".
func parseFinality(s string) (tag bool, depth uint64, err error) {
	if s == "finalized" {
		return true, 0, nil
	}
	n, ok := strings.CutPrefix(s, "depth:")
	if !ok {
		return false, 0, fmt.Errorf("finality %q is neither \"finalized\" nor \"depth:N\"", s)
	}
	depth, err = strconv.ParseUint(n, 10, 32)
	if err != nil {
		return false, 0, fmt.Errorf("finality %q: depth is not a number", s)
	}
	return false, depth, nil
}
