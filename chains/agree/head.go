package agree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
)

// Head is the highest block that K endpoints have passed and give one hash. It
// never goes backwards.
func (c *Client) Head(ctx context.Context) (chains.Block, error) {
	known := c.final().Number
	said := gather(ctx, c, c.asked(), c.look, func(said []answer[chains.Block]) bool {
		// One that stands still below what was agreed is not of those that suffice.
		heights := told(said)
		return len(heights) >= c.cfg.K && heights[c.cfg.K-1] >= known
	})
	if ctx.Err() != nil {
		return chains.Block{}, fmt.Errorf("%s: final head: %w", c.cfg.Name, ctx.Err())
	}
	heads := map[*endpoint]chains.Block{}
	var failure error
	for _, a := range said {
		if a.err != nil {
			c.out(a.from, a.err.Error())
			failure = fmt.Errorf("endpoint %s: %w", a.from.name, a.err)
			continue
		}
		heads[a.from] = a.value
		c.judge(a.from)
	}
	numbers := told(said)
	if len(numbers) < c.cfg.K {
		if len(c.endpoints) == 1 {
			return chains.Block{}, failure // as the endpoint says it
		}
		return chains.Block{}, c.unavailable("final head: %d of %d endpoints answer, %d must agree: %v", len(numbers), len(c.endpoints), c.cfg.K, failure)
	}

	// From the highest that K have passed down to the lowest that any has told: one
	// that lies about its block keeps K others from agreeing only where too few of
	// them are.
	var err error
	for i := c.cfg.K - 1; i < len(numbers); i++ {
		if i >= c.cfg.K && numbers[i] == numbers[i-1] {
			continue
		}
		var b chains.Block
		if b, err = c.passed(ctx, numbers[i], heads, i < len(numbers)-1); err == nil {
			return c.advance(known, b)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return chains.Block{}, err
}

// told are the heights of the heads, the highest first.
func told(said []answer[chains.Block]) (numbers []uint64) {
	for _, a := range said {
		if a.err == nil {
			numbers = append(numbers, a.value.Number)
		}
	}
	slices.Sort(numbers)
	slices.Reverse(numbers)
	return numbers
}

// passed is the block at a height as K of those say who have passed it.
func (c *Client) passed(ctx context.Context, height uint64, heads map[*endpoint]chains.Block, quiet bool) (chains.Block, error) {
	q := c.block(height)
	q.quiet = quiet
	for e, b := range heads {
		if b.Number >= height {
			q.who = append(q.who, e)
		}
	}
	read := q.do
	q.again = func(ctx context.Context) { _, _ = c.BlockByNumber(ctx, height) } // not what was told then
	q.do = func(ctx context.Context, e *endpoint) (chains.Block, error) {
		if b := heads[e]; b.Number == height {
			return b, nil
		}
		return read(ctx, e)
	}
	return ask(ctx, c, q)
}

// advance takes a block that was agreed on as the head. One below what was known when
// it was asked for is a chain that goes back; one that another look has overtaken
// since is none.
func (c *Client) advance(known uint64, b chains.Block) (chains.Block, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case b.Number < known:
		return chains.Block{}, c.unavailable("final block went back from %d to %d", known, b.Number)
	case b.Number < c.head.Number:
		return c.head, nil
	case b.Number == c.head.Number && c.head.Hash != (common.Hash{}) && b.Hash != c.head.Hash:
		return chains.Block{}, fmt.Errorf("%s: final block %d was %s and is %s: %w", c.cfg.Name, b.Number, c.head.Hash, b.Hash, chains.ErrReorg)
	}
	c.head = b
	return b, nil
}

func (c *Client) final() chains.Block {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.head
}

// block asks for the one at a height.
func (c *Client) block(n uint64) question[chains.Block] {
	return question[chains.Block]{
		what: fmt.Sprintf("block %d", n), height: n, same: sameBlock, tell: tellBlock,
		do: func(ctx context.Context, e *endpoint) (chains.Block, error) { return e.reader.BlockByNumber(ctx, n) },
	}
}

func sameBlock(a, b chains.Block) bool { return a == b }

func tellBlock(b chains.Block) string { return fmt.Sprintf("block %d is %s", b.Number, b.Hash) }

// BlockByNumber is the block at a height as K say.
func (c *Client) BlockByNumber(ctx context.Context, n uint64) (chains.Block, error) {
	return ask(ctx, c, c.block(n))
}

// At is the block at a height or, where there is none, the next below, as K say.
func (c *Client) At(ctx context.Context, height uint64) (chains.Block, error) {
	return ask(ctx, c, question[chains.Block]{
		what: fmt.Sprintf("block at or below %d", height), height: height, same: sameBlock, tell: tellBlock,
		do: func(ctx context.Context, e *endpoint) (chains.Block, error) { return e.reader.At(ctx, height) },
	})
}

// BlocksByNumber reads many, as K say of all of them.
func (c *Client) BlocksByNumber(ctx context.Context, numbers []uint64) ([]chains.Block, error) {
	if len(numbers) == 0 {
		return nil, nil
	}
	return ask(ctx, c, question[[]chains.Block]{
		what: fmt.Sprintf("%d blocks from %d (%s)", len(numbers), numbers[0], tag(numbers)), height: slices.Max(numbers),
		same: slices.Equal[[]chains.Block],
		do: func(ctx context.Context, e *endpoint) ([]chains.Block, error) {
			return e.reader.BlocksByNumber(ctx, numbers)
		},
		part: func(a, b []chains.Block) string {
			for i := range min(len(a), len(b)) {
				if a[i] != b[i] {
					return tellBlock(a[i])
				}
			}
			return fmt.Sprintf("%d blocks", len(a))
		},
	})
}

// reading is a range of events and the block that ends it.
type reading struct {
	last   chains.Block
	events []chains.Event
}

// Events implements chains.Source: what K endpoints tell alike, each read to the
// same last block.
func (c *Client) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	fail := func(err error) (chains.Block, []chains.Event, error) { return chains.Block{}, nil, err }
	if len(c.endpoints) == 1 {
		e := c.endpoints[0]
		last, events, err := e.reader.Events(ctx, q)
		if ctx.Err() == nil {
			if !statement(err) {
				c.failed(e, err)
			}
			c.weigh(e, fmt.Sprintf("events from %d (%s)", q.From.Next, tag(q.Filter)), q.From.Next, err, func(ctx context.Context) error {
				_, _, err := e.reader.Events(ctx, q)
				return err
			})
		}
		return last, events, err
	}
	if q.To < q.From.Next {
		return fail(fmt.Errorf("%s: empty range [%d, %d]", c.cfg.Name, q.From.Next, q.To))
	}
	head := c.final()
	if q.To > head.Number {
		var err error
		if head, err = c.Head(ctx); err != nil {
			return fail(fmt.Errorf("final head: %w", err))
		}
	}
	if head.Number < q.From.Next {
		return fail(c.unavailable("final block %d is behind height %d", head.Number, q.From.Next))
	}
	last, err := c.end(ctx, q.From.Next, min(q.To, head.Number, q.From.Next+c.width()-1), head)
	if err != nil {
		return fail(err)
	}
	began := time.Now()
	got, reached, err := c.read(ctx, q, last)
	if err != nil && ctx.Err() == nil && time.Since(began) >= c.cfg.Timeout {
		c.shorten(last.Number - q.From.Next + 1)
	}
	if err != nil && reached >= q.From.Next && reached < last.Number {
		// K have read a part: what comes behind it is not known yet.
		if last, err = c.end(ctx, q.From.Next, reached, head); err == nil {
			got, _, err = c.read(ctx, q, last)
		}
	}
	if err != nil {
		return fail(err)
	}
	c.lengthen(last.Number - q.From.Next + 1)
	return got.last, got.events, nil
}

// width is how many heights are asked for at once.
func (c *Client) width() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.span == 0 {
		c.span = c.cfg.MaxRange
	}
	return c.span
}

// shorten makes the next ranges half as long as one that took all the time there is.
func (c *Client) shorten(was uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.span = max(1, min(c.span, was/2))
}

// lengthen makes them longer again, by a quarter at each that could be read.
func (c *Client) lengthen(was uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was >= c.span {
		c.span = min(c.cfg.MaxRange, c.span+c.span/4+1)
	}
}

// read asks for the events up to a block. reached is how far K endpoints came where
// the answer is an error other than that they differ.
func (c *Client) read(ctx context.Context, q chains.Query, last chains.Block) (got reading, reached uint64, err error) {
	q.To = last.Number
	var mu sync.Mutex
	var far []uint64
	got, err = ask(ctx, c, question[reading]{
		what: fmt.Sprintf("events of %d to %d (%s)", q.From.Next, last.Number, tag(q.Filter)), height: last.Number,
		do: func(ctx context.Context, e *endpoint) (reading, error) {
			r, err := c.upTo(ctx, e, q)
			mu.Lock()
			defer mu.Unlock()
			far = append(far, r.last.Number)
			return r, err
		},
		same: func(a, b reading) bool {
			return a.last.Hash == b.last.Hash && slices.EqualFunc(a.events, b.events, sameEvent)
		},
		part: partEvents,
	})
	var split *DisagreementError
	mu.Lock()
	defer mu.Unlock()
	if err != nil && !errors.As(err, &split) && len(far) >= c.cfg.K {
		slices.Sort(far)
		reached = far[len(far)-c.cfg.K]
	}
	return got, reached, err
}

// end is the block that a range ends with: the one at or below to or, where all
// heights down to from are empty, the next above.
func (c *Client) end(ctx context.Context, from, to uint64, head chains.Block) (chains.Block, error) {
	if to == head.Number {
		return head, nil
	}
	b, err := c.At(ctx, to)
	for to++; err == nil && b.Number < from && to <= head.Number; to++ {
		if b, err = c.BlockByNumber(ctx, to); errors.Is(err, evm.ErrNullRound) {
			b, err = chains.Block{}, nil
		}
	}
	return b, err
}

// upTo reads a range of one endpoint in as many parts as it takes.
func (c *Client) upTo(ctx context.Context, e *endpoint, q chains.Query) (out reading, err error) {
	for {
		last, events, err := e.reader.Events(ctx, q)
		if err != nil {
			return out, err
		}
		if last.Number < q.From.Next || last.Number > q.To {
			return out, c.unavailable("range %d to %d ends with block %d", q.From.Next, q.To, last.Number)
		}
		out.last, out.events = last, append(out.events, events...)
		if last.Number == q.To {
			return out, nil
		}
		q.From.Next, q.From.Parent = last.Number+1, last.Hash
	}
}

func sameEvent(a, b chains.Event) bool {
	return a.Chain == b.Chain && a.Block == b.Block && a.BlockHash == b.BlockHash && a.BlockTime == b.BlockTime && a.Tx == b.Tx &&
		a.Index == b.Index && a.Position == b.Position && a.Address == b.Address && slices.Equal(a.Topics, b.Topics) && bytes.Equal(a.Data, b.Data)
}

// partEvents tells the first event of one that the other does not tell alike.
func partEvents(a, b reading) string {
	if a.last.Hash != b.last.Hash {
		return tellBlock(a.last)
	}
	for _, e := range a.events {
		if !slices.ContainsFunc(b.events, func(x chains.Event) bool { return sameEvent(e, x) }) {
			return fmt.Sprintf("%d events, one of them at index %d of block %d (transaction %s)", len(a.events), e.Index, e.Block, e.Tx)
		}
	}
	return fmt.Sprintf("%d events and nothing else", len(a.events))
}
