// Package agree reads one chain through N endpoints of which K must agree. It
// implements evm.Reader.
//
// What it promises. A block is final when K endpoints have passed it and give it
// one hash; the head never goes back. Events of final blocks, and whatever is read
// at a pinned block, are what K endpoints tell alike: fewer than K that lie, lag or
// hang leave a true answer or none (chains.ErrUnavailable), never a wrong one. One
// that is slow is waited for a moment and then left alone until it answers again.
// What is asked of the newest state (pending nonces, fees, estimates) is the word
// of one endpoint that does well, and nothing final is to rest on it.
//
// Two endpoints that differ about what is final are a trouble (Trouble): reading
// goes on while K agree, but who sends new transactions is to ask first. It ends
// when the same question gets the same answer again.
package agree

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
)

// Config is how the endpoints of one chain are believed. Zero fields take their
// defaults.
type Config struct {
	Name       string    // of the chain: "root"
	ChainID    chains.ID // every endpoint must be configured for it
	StartBlock uint64    // first height with events of ours
	K          int       // endpoints that must agree, at least 1
	MaxRange   uint64    // blocks per question for events; 2000

	Grace   time.Duration // how long those that K do not need are waited for; 2s
	Timeout time.Duration // for one question to one endpoint, however many requests it takes; 1m
	Late    time.Duration // a head that stands still for so long after others have passed it is out; 5m
	Retry   time.Duration // between two looks at endpoints that are out and at troubles; 5s, negative: only when told
}

func (c Config) withDefaults() Config {
	if c.MaxRange == 0 {
		c.MaxRange = 2000
	}
	if c.Grace == 0 {
		c.Grace = 2 * time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	if c.Late == 0 {
		c.Late = 5 * time.Minute
	}
	if c.Retry == 0 {
		c.Retry = 5 * time.Second
	}
	return c
}

// Endpoint is one of them. Name is a label for logs, alerts and status, never a
// URL. Dial is called until it succeeds once.
type Endpoint struct {
	Name string
	Dial func(context.Context) (evm.Reader, error)
}

// Client is the chain as K of its endpoints tell it. It is safe for concurrent use.
type Client struct {
	cfg       Config
	log       *slog.Logger
	endpoints []*endpoint
	now       func() time.Time
	cancel    context.CancelFunc
	done      <-chan struct{} // closed by cancel
	bell      chains.Bell
	running   sync.WaitGroup

	mu   sync.Mutex
	head chains.Block // the newest block that K agreed on
	span uint64       // heights that are asked for at once; 0 before the first time
}

var (
	_ evm.Reader   = (*Client)(nil)
	_ chains.Waker = (*Client)(nil)
)

// Dial connects to the endpoints at once. K of them must answer; the others are
// tried again while the client is in use. One of another chain ends it
// (chains.ErrWrongChain).
func Dial(ctx context.Context, cfg Config, endpoints []Endpoint, log *slog.Logger) (*Client, error) {
	if cfg.K < 1 || cfg.K > len(endpoints) {
		return nil, fmt.Errorf("%s: %d of %d endpoints cannot agree", cfg.Name, cfg.K, len(endpoints))
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// The goroutines end with Close, not with the dialing.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Client{cfg: cfg.withDefaults(), log: log.With("chain", cfg.Name), now: time.Now, cancel: cancel, done: background.Done()}
	names := map[string]bool{}
	for _, e := range endpoints {
		if names[e.Name] {
			cancel()
			return nil, fmt.Errorf("%s: two endpoints are called %q", cfg.Name, e.Name)
		}
		names[e.Name] = true
		c.endpoints = append(c.endpoints, &endpoint{name: e.Name, dial: e.Dial, why: "not connected yet", since: c.now(), differs: map[string]difference{}})
	}
	if err := c.connect(ctx); err != nil {
		c.Close()
		return nil, err
	}
	if c.cfg.Retry > 0 {
		c.running.Add(1)
		go func() {
			defer c.running.Done()
			c.tend(background)
		}()
	}
	return c, nil
}

// connect dials all and wants K.
func (c *Client) connect(ctx context.Context) error {
	errs := make([]error, len(c.endpoints))
	var wait sync.WaitGroup
	for i, e := range c.endpoints {
		wait.Add(1)
		go func() {
			defer wait.Done()
			errs[i] = c.join(ctx, e)
		}()
	}
	wait.Wait()
	// That is a mistake of the configuration, which no waiting for others mends.
	var wrong []error
	for _, err := range errs {
		if errors.Is(err, chains.ErrWrongChain) {
			wrong = append(wrong, err)
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	if n := len(c.connected()); n < c.cfg.K {
		return fmt.Errorf("%s: %d of %d endpoints can be reached, %d must agree: %w", c.cfg.Name, n, len(c.endpoints), c.cfg.K, errors.Join(errs...))
	}
	return nil
}

// join dials one endpoint.
func (c *Client) join(ctx context.Context, e *endpoint) error {
	r, err := e.dial(ctx)
	if err == nil && r.ChainID() != c.cfg.ChainID {
		r.Close()
		err = fmt.Errorf("endpoint of chain %d for chain %d: %w", r.ChainID(), c.cfg.ChainID, chains.ErrWrongChain)
	}
	if err != nil {
		err = fmt.Errorf("endpoint %s: %w", e.name, err)
		c.out(e, err.Error())
		return err
	}
	e.mu.Lock()
	e.reader = r
	e.mu.Unlock()
	c.in(e)
	c.heed(r)
	return nil
}

// heed passes on what wakes one endpoint: any of them is reason enough to look.
func (c *Client) heed(r evm.Reader) {
	w, ok := r.(chains.Waker)
	if !ok {
		return
	}
	c.running.Go(func() {
		for next := w.Wake(); ; {
			select {
			case <-next:
			case <-c.done:
				return
			}
			next = w.Wake() // before those who listen look
			c.bell.Ring()
		}
	})
}

// Wake implements chains.Waker: any endpoint that is one wakes.
func (c *Client) Wake() <-chan struct{} { return c.bell.Wake() }

// Close ends all connections and waits for what runs.
func (c *Client) Close() {
	c.cancel()
	for _, e := range c.endpoints {
		e.mu.Lock()
		r := e.reader
		e.mu.Unlock()
		if r != nil {
			r.Close()
		}
	}
	c.running.Wait()
}

// Name is the configured name of the chain.
func (c *Client) Name() string { return c.cfg.Name }

// ChainID is the configured (and verified) chain id.
func (c *Client) ChainID() chains.ID { return c.cfg.ChainID }

// StartBlock is the first height with events of ours.
func (c *Client) StartBlock() uint64 { return c.cfg.StartBlock }

// Endpoints are the readers that are connected, those that do best first: for who
// can prove by itself what one of them says.
func (c *Client) Endpoints() []evm.Reader {
	var out []evm.Reader
	for _, e := range c.best() {
		out = append(out, e.reader)
	}
	return out
}

func (c *Client) unavailable(format string, args ...any) error {
	return fmt.Errorf("%s: "+format+": %w", append(append([]any{c.cfg.Name}, args...), chains.ErrUnavailable)...)
}
