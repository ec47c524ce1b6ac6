package filecoin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// Events implements chains.Source, over the tipsets of a range. What the node's log
// index says is held against its receipts: each event must be in the receipt of its
// transaction, and in a range that follows the head every block's receipts are read,
// so that one that the index has lost or made up is found. What does not add up is
// chains.ErrUnavailable.
func (c *Client) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	fail := func(err error) (chains.Block, []chains.Event, error) { return chains.Block{}, nil, err }
	final, err := c.finalFor(ctx, q)
	if err != nil {
		return fail(err)
	}
	asked, first, end, err := c.edges(ctx, q, min(q.To, final))
	if err != nil {
		return fail(err)
	}
	ctx = knowing(ctx, first, end)
	// Each event is looked up in its receipt: in that of its transaction or, where all
	// of a block are read anyway, there.
	near := asked.To-asked.From.Next < c.fullRange() && !q.Counted
	if asked.Filter.Placed = nil; !near {
		asked.Filter.Placed = q.Filter.Addresses
	}
	last, events, err := c.Client.Events(ctx, asked)
	if err != nil {
		return fail(err)
	}
	if near {
		if err := c.whole(ctx, asked, last, events); err != nil {
			return fail(err)
		}
	}
	for i := range events {
		if !slices.Contains(q.Filter.Placed, events[i].Address) {
			events[i].Position = 0
		}
	}
	return c.deepEnough(ctx, q, last, events)
}

// finalFor is the newest final epoch, asked for where the query goes beyond the one
// that is known.
func (c *Client) finalFor(ctx context.Context, q chains.Query) (uint64, error) {
	c.mu.Lock()
	head := c.head.Number
	c.mu.Unlock()
	if q.To > head {
		b, err := c.Head(ctx)
		if err != nil {
			return 0, fmt.Errorf("final head: %w", err)
		}
		head = b.Number
	}
	if head < q.From.Next {
		return 0, c.unavailable("final epoch %d is behind %d", head, q.From.Next)
	}
	return head, nil
}

func (c *Client) fullRange() uint64 {
	if c.cfg.FullRange == 0 {
		return evm.Default().FullRange
	}
	return c.cfg.FullRange
}

// edges moves a query to the first and the last tipset of its range, however many
// null rounds lie before them, and checks that the first has the cursor's tipset for
// parent, as its headers name it: where it has not, and the cursor's is not on the
// chain, the chain has changed.
func (c *Client) edges(ctx context.Context, q chains.Query, to uint64) (asked chains.Query, first, last chains.Block, err error) {
	fail := func(err error) (chains.Query, chains.Block, chains.Block, error) { return q, first, last, err }
	asks := []*evm.Ask{
		{Method: "Filecoin.ChainGetTipSetAfterHeight", Args: []any{q.From.Next, heaviest}},
		{Method: "Filecoin.ChainGetTipSetByHeight", Args: []any{to, heaviest}},
	}
	id := &evm.Ask{Method: "eth_chainId"}
	if err := c.AskAll(ctx, append(asks, id)); err != nil {
		return fail(err)
	}
	if err := c.isHere(id); err != nil {
		return fail(err)
	}
	var found [2]chains.Block
	for i, a := range asks {
		if a.Err != nil {
			return fail(a.Err)
		}
		b, err := decodeTipset(a.Result)
		if err != nil {
			return fail(c.unavailable("tipset at an edge of %d to %d: %w", q.From.Next, to, err))
		}
		found[i] = b
	}
	first, last = found[0], found[1]
	if first.Number < q.From.Next || last.Number > to {
		return fail(c.unavailable("the edges of %d to %d are said to be %d and %d", q.From.Next, to, first.Number, last.Number))
	}
	if q.From.Parent != (common.Hash{}) && first.Parent != q.From.Parent {
		before, err := c.At(ctx, q.From.Next-1)
		if err != nil {
			return fail(err)
		}
		if before.Hash != q.From.Parent {
			return fail(fmt.Errorf("%s: epoch %d was %s and is %s: %w", c.cfg.Name, before.Number, q.From.Parent, before.Hash, chains.ErrReorg))
		}
		return fail(c.unavailable("the tipset of epoch %d does not follow that of %d", first.Number, before.Number))
	}
	if last.Number < first.Number {
		return fail(c.unavailable("no tipset from epoch %d to %d", q.From.Next, to))
	}
	q.From.Next, q.From.Parent, q.To = first.Number, first.Parent, last.Number
	return q, first, last, nil
}

// whole reads the receipts of every block of a range, compares the logs in them
// with what was said, and places those.
func (c *Client) whole(ctx context.Context, q chains.Query, last chains.Block, events []chains.Event) error {
	var heights []uint64
	for h := q.From.Next; h <= last.Number; h++ {
		heights = append(heights, h)
	}
	blocks, err := c.tipsets(ctx, heights)
	if err != nil {
		return err
	}
	blocks = slices.CompactFunc(blocks, func(a, b chains.Block) bool { return a.Number == b.Number })
	blocks = slices.DeleteFunc(blocks, func(b chains.Block) bool { return b.Number < q.From.Next })
	asks := make([]*evm.Ask, len(blocks))
	for i, b := range blocks {
		if i > 0 && b.Parent != blocks[i-1].Hash {
			return c.unavailable("the tipset of epoch %d does not follow that of %d", b.Number, blocks[i-1].Number)
		}
		asks[i] = &evm.Ask{Method: "eth_getBlockReceipts", Args: []any{map[string]common.Hash{"blockHash": b.Hash}}}
	}
	if err := c.AskAll(ctx, asks); err != nil {
		return err
	}
	var found []chains.Event
	for i, a := range asks {
		receipts, err := c.receiptsOf(ctx, a, blocks[i])
		if err != nil {
			return err
		}
		here, err := receiptEvents(receipts, blocks[i], q.Filter)
		if err != nil {
			return c.unavailable("receipts of epoch %d: %w", blocks[i].Number, err)
		}
		found = append(found, here...)
	}
	same := func(a, b chains.Event) bool {
		return a.Block == b.Block && a.Tx == b.Tx && a.Index == b.Index && a.Address == b.Address && slices.Equal(a.Topics, b.Topics) && bytes.Equal(a.Data, b.Data)
	}
	if !slices.EqualFunc(found, events, same) {
		return c.unavailable("the logs of epochs %d to %d are %d, their receipts have %d: the node's index has lost some, or made some up", q.From.Next, last.Number, len(events), len(found))
	}
	for i, e := range found {
		events[i].Position = e.Position
	}
	return nil
}

// wireReceipt is what is read of one receipt of a block.
type wireReceipt struct {
	Tx    *common.Hash `json:"transactionHash"`
	Block *common.Hash `json:"blockHash"`
	Logs  *[]struct {
		Address *common.Address `json:"address"`
		Topics  []common.Hash   `json:"topics"`
		Data    *hexutil.Bytes  `json:"data"`
		Index   *hexutil.Uint   `json:"logIndex"`
		Removed bool            `json:"removed"`
	} `json:"logs"`
}

// receiptsOf reads the answer to a question for all receipts of a block. Where it is
// larger than an answer may be, they are asked for by transaction.
func (c *Client) receiptsOf(ctx context.Context, a *evm.Ask, block chains.Block) (out []wireReceipt, err error) {
	bad := func(what string) error { return c.unavailable("receipts of epoch %d: %s", block.Number, what) }
	switch {
	case evm.ClassOf(a.Err) == evm.ClassOversize:
	case a.Err != nil:
		return nil, a.Err
	case json.Unmarshal(a.Result, &out) != nil || out == nil:
		return nil, bad("they do not decode")
	default:
		return out, nil
	}
	var said struct {
		Hash         common.Hash   `json:"hash"`
		Transactions []common.Hash `json:"transactions"`
	}
	if err := c.RPC(ctx, &said, "eth_getBlockByHash", block.Hash, false); err != nil {
		return nil, err
	}
	if said.Hash != block.Hash || len(said.Transactions) > maxLogs {
		return nil, bad("their block is another, or has too many")
	}
	asks := make([]*evm.Ask, len(said.Transactions))
	for i, tx := range said.Transactions {
		asks[i] = &evm.Ask{Method: "eth_getTransactionReceipt", Args: []any{tx}}
	}
	if err := c.AskAll(ctx, asks); err != nil {
		return nil, err
	}
	out = make([]wireReceipt, len(asks))
	for i, a := range asks {
		if a.Err != nil {
			return nil, a.Err
		}
		if json.Unmarshal(a.Result, &out[i]) != nil || out[i].Tx == nil || *out[i].Tx != said.Transactions[i] {
			return nil, bad("one does not decode, or is of another transaction")
		}
	}
	return out, nil
}

// maxLogs bounds the logs of one block: Filecoin's gas allows no more.
const maxLogs = 100_000

// receiptEvents are the events of a filter in the receipts of a block, in order, with
// their places: the indexes of a receipt's logs follow each other, so that one that is
// left out is missed.
func receiptEvents(receipts []wireReceipt, block chains.Block, f chains.Filter) (out []chains.Event, err error) {
	next := uint(0)
	for _, r := range receipts {
		if r.Tx == nil || r.Block == nil || r.Logs == nil || *r.Block != block.Hash {
			return nil, fmt.Errorf("one is of another block, or lacks a field")
		}
		for place, l := range *r.Logs {
			if l.Address == nil || l.Data == nil || l.Index == nil || uint(*l.Index) < next || *l.Index > maxLogs || place > 0 && uint(*l.Index) != next {
				return nil, fmt.Errorf("a log lacks a field, or is out of order")
			}
			next = uint(*l.Index) + 1
			if l.Removed || !f.Selects(*l.Address, l.Topics) {
				continue
			}
			out = append(out, chains.Event{Block: block.Number, BlockHash: block.Hash, Tx: *r.Tx, Index: uint(*l.Index), Address: *l.Address, Topics: l.Topics, Data: *l.Data, Position: uint(place)})
		}
	}
	return out, nil
}

// deepEnough ends a range before the first block with an event that needs to lie
// deeper than it does.
func (c *Client) deepEnough(ctx context.Context, q chains.Query, last chains.Block, events []chains.Event) (chains.Block, []chains.Event, error) {
	if c.cfg.Deep == nil {
		return last, events, nil
	}
	c.mu.Lock()
	top := c.top
	c.mu.Unlock()
	at := slices.IndexFunc(events, func(e chains.Event) bool { return c.cfg.Deep(e) > top-min(top, e.Block) })
	if at < 0 {
		return last, events, nil
	}
	shallow := events[at]
	if shallow.Block > 0 {
		before, err := c.At(ctx, shallow.Block-1)
		if err != nil {
			return chains.Block{}, nil, err
		}
		if before.Number >= q.From.Next {
			return before, slices.DeleteFunc(events[:at], func(e chains.Event) bool { return e.Block >= shallow.Block }), nil
		}
	}
	return chains.Block{}, nil, c.unavailable("an event of epoch %d waits for a depth of %d epochs, %d so far: %w", shallow.Block, c.cfg.Deep(shallow), top-shallow.Block, chains.ErrShallow)
}
