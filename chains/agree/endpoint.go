package agree

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
)

// endpoint is one of the N and what is known of how it does.
type endpoint struct {
	name string
	dial func(context.Context) (evm.Reader, error)

	mu      sync.Mutex
	reader  evm.Reader   // nil until it was reached; then for ever the same
	head    chains.Block // the newest final block it has told
	behind  time.Time    // since when others have passed it; zero: they have not
	why     string       // it is out; "" = in
	since   time.Time    // when it went out
	differs map[string]difference
	refused *refusal // its own reader does not believe it; nil: none
}

// connected are those that were reached once, in the order of the configuration.
func (c *Client) connected() (out []*endpoint) {
	for _, e := range c.endpoints {
		e.mu.Lock()
		if e.reader != nil {
			out = append(out, e)
		}
		e.mu.Unlock()
	}
	return out
}

// asked are those that a question goes to: the ones that do well or, where those
// are fewer than must agree, all.
func (c *Client) asked() []*endpoint {
	all := c.connected()
	well := slices.DeleteFunc(slices.Clone(all), func(e *endpoint) bool { return e.isOut() })
	if len(well) < c.cfg.K {
		return all
	}
	return well
}

// best are all, the ones that do well first, those that differ from the others
// last.
func (c *Client) best() []*endpoint {
	all := c.connected()
	rank := map[*endpoint]int{}
	for _, e := range all {
		e.mu.Lock()
		if e.why != "" || e.refused != nil {
			rank[e]++
		}
		if len(e.differs) > 0 {
			rank[e] += 2
		}
		e.mu.Unlock()
	}
	slices.SortStableFunc(all, func(a, b *endpoint) int { return rank[a] - rank[b] })
	return all
}

func (e *endpoint) isOut() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.why != ""
}

func (e *endpoint) passed(height uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.head.Number >= height
}

// out leaves an endpoint alone until it answers again.
func (c *Client) out(e *endpoint, why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.why == "" {
		e.since = c.now()
		c.log.Warn("endpoint is out", "endpoint", e.name, "why", why)
	}
	e.why = why
}

// in takes it back.
func (c *Client) in(e *endpoint) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.why != "" {
		e.why = ""
		c.log.Info("endpoint answers", "endpoint", e.name, "out_since", e.since)
	}
}

// failed notes an answer that never came. What is said of a transaction, a range or
// a block that is not there yet says nothing against the endpoint.
func (c *Client) failed(e *endpoint, err error) {
	if errors.Is(err, chains.ErrWrongChain) {
		c.out(e, "it serves another chain")
		return
	}
	if errors.Is(err, context.DeadlineExceeded) {
		c.out(e, "no answer in time")
		return
	}
	switch evm.ClassOf(err) {
	case evm.ClassTimeout, evm.ClassTransport, evm.ClassOversize, evm.ClassBadAnswer, evm.ClassRateLimited:
		c.out(e, err.Error())
	}
}

// look asks an endpoint for its head, which is how it shows that it is well.
func (c *Client) look(ctx context.Context, e *endpoint) (chains.Block, error) {
	e.mu.Lock()
	known := e.head.Number // what is told while this look goes on may be newer
	e.mu.Unlock()
	b, err := e.reader.Head(ctx)
	if err != nil {
		return b, err
	}
	e.mu.Lock()
	old := e.head
	if b.Number > old.Number || old.Time == 0 && old.Number == 0 {
		e.head, e.behind = b, time.Time{}
	}
	e.mu.Unlock()
	if b.Number < known {
		return b, c.unavailable("final block went back from %d to %d", known, b.Number)
	}
	return b, nil
}

// judge says whether an endpoint that told its head is in: one whose head stands
// still long after K others have passed it is frozen, however well it answers. One
// alone that runs ahead freezes nobody.
func (c *Client) judge(e *endpoint) {
	var others []uint64
	for _, other := range c.endpoints {
		if other != e {
			other.mu.Lock()
			others = append(others, other.head.Number)
			other.mu.Unlock()
		}
	}
	slices.Sort(others)
	var top uint64
	if n := len(others); n > 0 {
		top = others[n-min(c.cfg.K, n)]
	}
	e.mu.Lock()
	head, now := e.head.Number, c.now()
	if head >= top {
		e.behind = time.Time{}
	} else if e.behind.IsZero() {
		e.behind = now
	}
	frozen := head < top && now.Sub(e.behind) >= c.cfg.Late
	e.mu.Unlock()
	if frozen {
		c.out(e, fmt.Sprintf("its final block stands still at %d; others are at %d", head, top))
		return
	}
	c.in(e)
}

// tend looks after endpoints that are out and after troubles, until ctx ends.
func (c *Client) tend(ctx context.Context) {
	tick := time.NewTicker(c.cfg.Retry)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.Tend(ctx)
		}
	}
}

// Tend looks once: at every endpoint that is out, and again at each question that
// two endpoints answered otherwise, or one so that its own reader refused it.
func (c *Client) Tend(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var wait sync.WaitGroup
	for _, e := range c.endpoints {
		if !e.isOut() {
			continue
		}
		wait.Add(1)
		go func() {
			defer wait.Done()
			c.revive(ctx, e)
		}()
	}
	for _, again := range append(c.doubts(), c.refusals()...) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			again(ctx)
		}()
	}
	wait.Wait()
}

func (c *Client) revive(ctx context.Context, e *endpoint) {
	e.mu.Lock()
	known := e.reader != nil
	e.mu.Unlock()
	if !known && c.join(ctx, e) != nil {
		return
	}
	if _, err := c.look(ctx, e); err != nil {
		if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
			c.out(e, err.Error())
		}
		return
	}
	c.judge(e)
}
