package evm

import (
	"context"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/sync/errgroup"
)

// Head is the newest final block, by the configured rule. It never goes
// backwards: an endpoint that has fallen behind an earlier answer is
// chains.ErrUnavailable.
func (c *Client) Head(ctx context.Context) (chains.Block, error) {
	c.mu.Lock()
	known := c.head.Number // what is told while this goes on may be newer
	c.mu.Unlock()
	latest := byTag("latest")
	reqs := []*request{latest}
	if c.tag {
		reqs = append(reqs, byTag("finalized"))
	}
	if err := c.batchHere(ctx, reqs); err != nil {
		return chains.Block{}, err
	}
	top, err := c.tagged(latest)
	if err != nil {
		return chains.Block{}, err
	}
	if age := time.Since(time.Unix(int64(top.Time), 0)); c.cfg.MaxHeadAge > 0 && age > c.cfg.MaxHeadAge {
		return chains.Block{}, c.unavailable("latest block is %s old", age.Truncate(time.Second))
	}

	var final header
	switch {
	case c.tag:
		final, err = c.tagged(reqs[1])
	case c.depth == 0:
		final = top
	case top.Number < c.depth:
		return chains.Block{}, c.unavailable("latest block %d is less than %d deep", top.Number, c.depth)
	default:
		final, err = c.atOrBelow(ctx, top.Number-c.depth)
	}
	if err != nil {
		return chains.Block{}, err
	}
	if final.Number > top.Number {
		return chains.Block{}, c.unavailable("final block %d above latest %d", final.Number, top.Number)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case final.Number < known:
		return chains.Block{}, c.unavailable("final block went back from %d to %d", known, final.Number)
	case final.Number < c.head.Number:
		return c.head, nil
	case final.Number == c.head.Number && c.head.Hash != (common.Hash{}) && final.Hash != c.head.Hash:
		return chains.Block{}, fmt.Errorf("%s: final block %d was %s and is %s: %w", c.cfg.Name, final.Number, c.head.Hash, final.Hash, chains.ErrReorg)
	}
	c.head = final.Block
	c.cfg.Metrics.Head.WithLabelValues(c.cfg.Name).Set(float64(final.Number))
	return final.Block, nil
}

// At is the block at a height or, where there is none, the next below.
func (c *Client) At(ctx context.Context, height uint64) (chains.Block, error) {
	h, err := c.atOrBelow(ctx, height)
	return h.Block, err
}

// maxNullRounds bounds the search for a block across heights without one.
const maxNullRounds = 64

// atOrBelow is the block at a height or, over null rounds, the next below.
func (c *Client) atOrBelow(ctx context.Context, n uint64) (header, error) {
	for range maxNullRounds {
		found, err := c.headers(ctx, []uint64{n})
		if err != nil {
			return header{}, err
		}
		if h, ok := found[n]; ok {
			return h, nil
		}
		if n == 0 {
			break
		}
		n--
	}
	return header{}, c.unavailable("no block at or below height %d", n)
}

// atOrAbove is the block at a height or, over null rounds, the next above, not
// above limit.
func (c *Client) atOrAbove(ctx context.Context, n, limit uint64) (header, error) {
	for range maxNullRounds {
		if n > limit {
			break
		}
		found, err := c.headers(ctx, []uint64{n})
		if err != nil {
			return header{}, err
		}
		if h, ok := found[n]; ok {
			return h, nil
		}
		n++
	}
	return header{}, c.unavailable("no block from height %d to %d", n, limit)
}

func (c *Client) unavailable(format string, args ...any) error {
	return fmt.Errorf("%s: "+format+": %w", append(append([]any{c.cfg.Name}, args...), chains.ErrUnavailable)...)
}

// Events implements chains.Source. It covers at most MaxRange blocks per call,
// fewer when the node objects, and never a block above the final head.
//
// In ranges up to FullRange blocks, which is how a chain is followed at its
// head, every header is read, parent by parent, and each block whose bloom may
// hold an event of ours is asked again by its hash.
// In wider ranges, which only catch up, the edges and the blocks with events
// are checked: an endpoint that leaves a log out there is not noticed here, and
// only a second endpoint or a counter of the contract tells.
//
// A single block with more logs than one answer may hold is read from the
// receipts of its transactions, which takes as many answers as it must.
func (c *Client) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	fail := func(err error) (chains.Block, []chains.Event, error) { return chains.Block{}, nil, err }
	if q.From.Chain != c.cfg.ChainID {
		return fail(fmt.Errorf("[BUG] cursor of chain %d given to %s (%d)", q.From.Chain, c.cfg.Name, c.cfg.ChainID))
	}
	to, err := c.clamp(ctx, q)
	if err != nil {
		return fail(err)
	}

	for {
		span := c.currentSpan()
		last, events, err := c.scan(ctx, q, min(to, q.From.Next+span-1), c.rangeLogs)
		switch ClassOf(err) {
		case "":
			c.grow(span)
			return last, events, nil
		case ClassRange, ClassResults, ClassOversize, ClassTimeout:
			// Ask for less.
			if ctx.Err() != nil {
				return fail(err)
			}
			if !c.halve(span) {
				// One block is the least a range can be.
				if class := ClassOf(err); class != ClassResults && class != ClassOversize {
					return fail(err)
				}
				c.log.DebugContext(ctx, "logs of one block are read from its receipts", "block", q.From.Next, "cause", err)
				return c.scan(ctx, q, q.From.Next, c.receiptLogs)
			}
			c.log.DebugContext(ctx, "log range halved", "blocks", span/2, "cause", err)
		default:
			return fail(err)
		}
	}
}

// clamp bounds the range by the final head: what is above it may still change.
func (c *Client) clamp(ctx context.Context, q chains.Query) (uint64, error) {
	if q.To < q.From.Next {
		return 0, fmt.Errorf("%s: empty range [%d, %d]", c.cfg.Name, q.From.Next, q.To)
	}
	c.mu.Lock()
	head := c.head.Number
	c.mu.Unlock()
	if q.To <= head {
		return q.To, nil
	}
	final, err := c.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("final head: %w", err)
	}
	if final.Number < q.From.Next {
		return 0, c.unavailable("final block %d is behind height %d", final.Number, q.From.Next)
	}
	return min(q.To, final.Number), nil
}

func (c *Client) currentSpan() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.span
}

func (c *Client) halve(from uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from <= 1 {
		return false
	}
	c.span = min(c.span, from/2)
	return true
}

// grow returns to wide ranges by a quarter each time.
func (c *Client) grow(from uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.span == from {
		c.span = min(c.cfg.MaxRange, from+from/4+1)
	}
}

// reading reads the logs of the blocks from a height to a last block. whole says
// that nothing of ours can have been left out, by what the last block's own
// header says.
type reading func(ctx context.Context, f chains.Filter, from uint64, last header) (logs []chains.Event, whole bool, err error)

// scan reads one range: edges, logs, edges again.
func (c *Client) scan(ctx context.Context, q chains.Query, to uint64, read reading) (chains.Block, []chains.Event, error) {
	fail := func(err error) (chains.Block, []chains.Event, error) { return chains.Block{}, nil, err }
	from := q.From.Next

	// Before: the edges, or every header of a short range.
	wanted := []uint64{from, to}
	full := to-from < c.cfg.FullRange
	if full {
		wanted = wanted[:0]
		for n := from; n <= to; n++ {
			wanted = append(wanted, n)
		}
	}
	before, err := c.headers(ctx, unique(wanted))
	if err != nil {
		return fail(err)
	}
	first, last, err := c.edges(ctx, before, from, to)
	if err != nil {
		return fail(err)
	}
	if err := c.follows(ctx, q.From, first); err != nil {
		return fail(err)
	}

	// The logs, by numbers: not every node takes tags here.
	logs, whole, err := read(ctx, q.Filter, from, last)
	if err != nil {
		return fail(err)
	}

	// After: the last block again, and each block that holds an event.
	again := []uint64{last.Number}
	for _, l := range logs {
		again = append(again, l.Block)
	}
	// Their receipts meanwhile; neither waits for what the other says.
	var after map[uint64]header
	both, with := errgroup.WithContext(ctx)
	both.Go(func() (err error) { after, err = c.headers(with, unique(again)); return err })
	both.Go(func() error { return c.place(with, q.Filter.Placed, logs) })
	if err := both.Wait(); err != nil {
		return fail(err)
	}
	if after[last.Number].Hash != last.Hash {
		return fail(c.unavailable("block %d changed while it was read", last.Number))
	}
	if err := c.linked(before, after); err != nil {
		return fail(err)
	}
	events, err := c.events(logs, after)
	if err != nil {
		return fail(err)
	}
	if full && !whole && !q.Counted {
		if err := c.complete(ctx, q.Filter, before, events); err != nil {
			return fail(err)
		}
	}
	return last.Block, events, nil
}

// edges finds the first and last block of a range over null rounds.
func (c *Client) edges(ctx context.Context, found map[uint64]header, from, to uint64) (first, last header, err error) {
	first, ok := found[from]
	if !ok {
		c.mu.Lock()
		limit := c.head.Number
		c.mu.Unlock()
		if first, err = c.atOrAbove(ctx, from+1, limit); err != nil {
			return first, last, err
		}
	}
	if to <= first.Number {
		return first, first, nil
	}
	last, ok = found[to]
	if !ok {
		last, err = c.atOrBelow(ctx, to-1)
	}
	if err == nil && last.Time < first.Time {
		err = c.unavailable("block %d is older than block %d", last.Number, first.Number)
	}
	return first, last, err
}

// follows checks that a block is the child of the cursor's. It says ErrReorg
// only when the endpoint contradicts the cursor about the parent height too;
// an endpoint that contradicts itself is merely unusable.
func (c *Client) follows(ctx context.Context, cursor chains.Cursor, first header) error {
	if cursor.Parent == (common.Hash{}) || first.Parent == cursor.Parent {
		return nil
	}
	if cursor.Next == 0 {
		return fmt.Errorf("[BUG] cursor at height 0 with a parent")
	}
	parent, err := c.atOrBelow(ctx, cursor.Next-1)
	if err != nil {
		return err
	}
	if parent.Hash == cursor.Parent {
		return c.unavailable("block %d does not follow block %d", first.Number, parent.Number)
	}
	return fmt.Errorf("%s: block %d was %s and is %s: %w", c.cfg.Name, parent.Number, cursor.Parent, parent.Hash, chains.ErrReorg)
}

// linked checks all headers at hand against each other: the same height has
// one hash, a child names its parent, time does not run back.
func (c *Client) linked(sets ...map[uint64]header) error {
	all := map[uint64]header{}
	for _, set := range sets {
		for n, h := range set {
			if old, ok := all[n]; ok && old.Hash != h.Hash {
				return c.unavailable("block %d has two hashes", n)
			}
			all[n] = h
		}
	}
	for n, h := range all {
		if n == 0 {
			continue
		}
		parent, ok := all[n-1]
		if ok && (h.Parent != parent.Hash || h.Time < parent.Time) {
			return c.unavailable("block %d does not follow block %d", n, n-1)
		}
	}
	return nil
}

func unique(in []uint64) []uint64 {
	seen := make(map[uint64]bool, len(in))
	out := in[:0:0]
	for _, n := range in {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
