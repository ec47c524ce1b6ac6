package evm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Agreed reads a chain whose headers commit to nothing that can be computed anew,
// as Filecoin's do not. A block is final when all endpoints say so and give it one
// hash; an event is what all of them tell alike, at the position that all of them
// give it in its transaction's receipt. One that lies or lags leaves us without an
// answer (chains.ErrUnavailable), but not with a wrong one, as long as one of them
// is honest.
type Agreed struct {
	clients []*Client

	mu   sync.Mutex
	head chains.Block // the newest block that all agreed on
}

// NewAgreed makes a source of endpoints of one chain. With one alone, everything
// rests on it.
func NewAgreed(first *Client, others ...*Client) (*Agreed, error) {
	for _, c := range others {
		if c.ChainID() != first.ChainID() {
			return nil, fmt.Errorf("endpoint of chain %d for chain %d: %w", c.ChainID(), first.ChainID(), chains.ErrWrongChain)
		}
	}
	return &Agreed{clients: append([]*Client{first}, others...)}, nil
}

// Head is the newest block that is final for all endpoints and the same for all.
func (a *Agreed) Head(ctx context.Context) (chains.Block, error) {
	var low chains.Block
	for i, c := range a.clients {
		b, err := c.Head(ctx)
		if err != nil {
			return chains.Block{}, fmt.Errorf("endpoint %d: %w", i+1, err)
		}
		if i == 0 || b.Number < low.Number {
			low = b
		}
	}
	if err := a.same(ctx, low); err != nil {
		return chains.Block{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if low.Number < a.head.Number {
		return chains.Block{}, a.clients[0].unavailable("final block went back from %d to %d", a.head.Number, low.Number)
	}
	a.head = low
	return low, nil
}

// same asks every endpoint for the block at a final height.
func (a *Agreed) same(ctx context.Context, b chains.Block) error {
	for i, c := range a.clients {
		theirs, err := c.BlockByNumber(ctx, b.Number)
		if err != nil {
			return fmt.Errorf("endpoint %d: %w", i+1, err)
		}
		if theirs.Hash != b.Hash {
			return c.unavailable("final block %d is %s, and %s by endpoint %d: compare them with a third, then replace the one that is wrong", b.Number, b.Hash, theirs.Hash, i+1)
		}
	}
	return nil
}

// Events implements chains.Source, with Position set. It covers nothing above the
// newest block that Head has given.
func (a *Agreed) Events(ctx context.Context, q chains.Query) (chains.Block, []chains.Event, error) {
	fail := func(err error) (chains.Block, []chains.Event, error) { return chains.Block{}, nil, err }
	a.mu.Lock()
	head := a.head
	a.mu.Unlock()
	if q.To > head.Number {
		var err error
		if head, err = a.Head(ctx); err != nil {
			return fail(fmt.Errorf("final head: %w", err))
		}
		q.To = min(q.To, head.Number)
	}
	if q.To < q.From.Next {
		return fail(a.clients[0].unavailable("final block %d is behind height %d", head.Number, q.From.Next))
	}
	last, events, err := a.clients[0].Events(ctx, q)
	if err != nil {
		return fail(err)
	}
	for i, c := range a.clients[1:] {
		theirs, err := c.upTo(ctx, q, last)
		if err != nil {
			return fail(fmt.Errorf("endpoint %d: %w", i+2, err))
		}
		if !slices.EqualFunc(events, theirs, func(x, y chains.Event) bool {
			return x.Block == y.Block && x.BlockTime == y.BlockTime && x.Index == y.Index && sameLog(x, y)
		}) {
			return fail(c.unavailable("endpoints 1 and %d give other events for heights %d to %d: compare them with a third, then replace the one that is wrong", i+2, q.From.Next, last.Number))
		}
	}
	for i, c := range a.clients {
		positions, err := c.positions(ctx, events)
		if err != nil {
			return fail(fmt.Errorf("endpoint %d: %w", i+1, err))
		}
		for j := range events {
			if i > 0 && events[j].Position != positions[j] {
				return fail(c.unavailable("log %d of block %d is number %d of its receipt, and number %d by endpoint %d",
					events[j].Index, events[j].Block, events[j].Position, positions[j], i+1))
			}
			events[j].Position = positions[j]
		}
	}
	return last, events, nil
}

// upTo reads the events of a range that ends with a block, in as many parts as it
// takes.
func (c *Client) upTo(ctx context.Context, q chains.Query, last chains.Block) (out []chains.Event, err error) {
	for q.To = last.Number; ; {
		to, events, err := c.Events(ctx, q)
		if err != nil {
			return nil, err
		}
		out = append(out, events...)
		if to.Number == last.Number {
			if to.Hash != last.Hash {
				return nil, c.unavailable("final block %d is %s here and %s elsewhere", to.Number, to.Hash, last.Hash)
			}
			return out, nil
		}
		q.From.Next, q.From.Parent = to.Number+1, to.Hash
	}
}

// positions says where in its transaction's receipt each event stands; the log
// there must be the event.
func (c *Client) positions(ctx context.Context, events []chains.Event) ([]uint, error) {
	var txs []common.Hash
	blocks := map[common.Hash]common.Hash{}
	for _, e := range events {
		if _, there := blocks[e.Tx]; !there {
			txs, blocks[e.Tx] = append(txs, e.Tx), e.BlockHash
		}
	}
	logs := make(map[common.Hash][]wireLog, len(txs))
	for start := 0; start < len(txs); start += receiptBatch {
		part := txs[start:min(start+receiptBatch, len(txs))]
		receipts, err := c.rawReceipts(ctx, part)
		if err != nil {
			return nil, err
		}
		for i, raw := range receipts {
			if logs[part[i]], err = allLogs(raw, part[i], blocks[part[i]]); err != nil {
				return nil, c.wrap("eth_getTransactionReceipt", err)
			}
		}
	}
	out := make([]uint, len(events))
	for i, e := range events {
		at := slices.IndexFunc(logs[e.Tx], func(l wireLog) bool { return uint(*l.Index) == e.Index })
		if at < 0 || blocks[e.Tx] != e.BlockHash || !isLog(e, logs[e.Tx][at]) {
			return nil, c.unavailable("log %d of block %d is not in the receipt of its transaction", e.Index, e.Block)
		}
		out[i] = uint(at)
	}
	return out, nil
}

func isLog(e chains.Event, l wireLog) bool {
	return e.Address == *l.Address && slices.Equal(e.Topics, l.Topics) && bytes.Equal(e.Data, *l.Data)
}

// allLogs reads the logs of a receipt that must be in a block, whatever they are.
func allLogs(raw json.RawMessage, tx, block common.Hash) ([]wireLog, error) {
	receipt, err := decodeReceipt(raw, tx)
	if err != nil {
		return nil, err
	}
	var w struct {
		Logs *[]wireLog `json:"logs"`
	}
	if receipt == nil || receipt.BlockHash != block || json.Unmarshal(raw, &w) != nil || w.Logs == nil {
		return nil, fmt.Errorf("%w: no receipt of %s in block %s", errBadAnswer, tx, block)
	}
	for i, l := range *w.Logs {
		if l.Address == nil || l.Data == nil || l.Index == nil || l.Tx == nil || *l.Tx != tx || *l.Index > 1<<31 {
			return nil, fmt.Errorf("%w: receipt of %s has a log without a field, or of another transaction", errBadAnswer, tx)
		}
		if i > 0 && *l.Index <= *(*w.Logs)[i-1].Index {
			return nil, fmt.Errorf("%w: logs of %s are out of order", errBadAnswer, tx)
		}
	}
	return *w.Logs, nil
}

var _ chains.Source = (*Agreed)(nil)
