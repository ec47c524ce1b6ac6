package evm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// wireLog is a log in JSON; pointers tell absent from zero.
type wireLog struct {
	Address   *common.Address `json:"address"`
	Topics    []common.Hash   `json:"topics"`
	Data      *hexutil.Bytes  `json:"data"`
	Block     *hexutil.Uint64 `json:"blockNumber"`
	BlockHash *common.Hash    `json:"blockHash"`
	Tx        *common.Hash    `json:"transactionHash"`
	Index     *hexutil.Uint64 `json:"logIndex"`
	Removed   bool            `json:"removed"`
}

// decodeLogs reads an answer to eth_getLogs: at most limit logs, all inside
// [from, to], filtered again by address and topics, without removed ones
// and without repetitions, in chain order. total is how many the node sent.
func decodeLogs(raw json.RawMessage, f chains.Filter, from, to uint64, limit int) (events []chains.Event, total int, err error) {
	var wire []*wireLog
	if err := json.Unmarshal(raw, &wire); err != nil || wire == nil {
		return nil, 0, fmt.Errorf("%w: not a list of logs", errBadAnswer)
	}
	if len(wire) > limit {
		return nil, len(wire), fmt.Errorf("%w: %d", errTooMany, len(wire))
	}
	for _, w := range wire {
		if w == nil {
			return nil, 0, fmt.Errorf("%w: log is null", errBadAnswer)
		}
		if w.Removed {
			continue
		}
		if w.Address == nil || w.Data == nil || w.Block == nil || w.BlockHash == nil || w.Tx == nil || w.Index == nil {
			return nil, 0, fmt.Errorf("%w: log lacks a field", errBadAnswer)
		}
		if len(w.Topics) > 4 || *w.Index > 1<<31 {
			return nil, 0, fmt.Errorf("%w: log is out of bounds", errBadAnswer)
		}
		if n := uint64(*w.Block); n < from || n > to {
			return nil, 0, fmt.Errorf("%w: log of block %d in the answer for %d to %d", errBadAnswer, n, from, to)
		}
		if !f.Selects(*w.Address, w.Topics) {
			continue
		}
		events = append(events, chains.Event{
			Block: uint64(*w.Block), BlockHash: *w.BlockHash, Tx: *w.Tx, Index: uint(*w.Index),
			Address: *w.Address, Topics: w.Topics, Data: *w.Data,
		})
	}
	slices.SortStableFunc(events, func(a, b chains.Event) int {
		if a.Block != b.Block {
			if a.Block < b.Block {
				return -1
			}
			return 1
		}
		return int(int64(a.Index) - int64(b.Index))
	})

	// The same log twice is one log; two logs at one place are a lie.
	out := events[:0]
	for _, e := range events {
		if len(out) > 0 && out[len(out)-1].Block == e.Block && out[len(out)-1].Index == e.Index {
			if !sameLog(out[len(out)-1], e) {
				return nil, 0, fmt.Errorf("%w: two logs at one index of block %d", errBadAnswer, e.Block)
			}
			continue
		}
		out = append(out, e)
	}
	return out, len(wire), nil
}

// topicsOf is a filter as JSON-RPC takes it: null is any.
func topicsOf(f chains.Filter) []any {
	out := []any{f.Topics}
	for _, values := range f.Later {
		if len(values) == 0 {
			out = append(out, nil)
			continue
		}
		out = append(out, values)
	}
	return out
}

func sameLog(a, b chains.Event) bool {
	return a.BlockHash == b.BlockHash && a.Tx == b.Tx && a.Address == b.Address &&
		slices.Equal(a.Topics, b.Topics) && bytes.Equal(a.Data, b.Data)
}

// rangeLogs is the usual reading: one question for the whole range.
func (c *Client) rangeLogs(ctx context.Context, f chains.Filter, from uint64, last header) ([]chains.Event, bool, error) {
	events, err := c.logs(ctx, f, from, last.Number)
	return events, false, err
}

// Logs asks for the logs of a range of blocks, final or not, as the node has them
// now. They are bound to no header and have neither time nor position: enough to
// leave something undone, never to do it.
func (c *Client) Logs(ctx context.Context, f chains.Filter, from, to uint64) ([]chains.Event, error) {
	return c.logs(ctx, f, from, to)
}

// logs asks for the logs of a range. An empty filter selects nothing and asks
// nothing.
func (c *Client) logs(ctx context.Context, f chains.Filter, from, to uint64) ([]chains.Event, error) {
	if len(f.Addresses) == 0 || len(f.Topics) == 0 {
		return nil, nil
	}
	query := map[string]any{
		"fromBlock": hexutil.Uint64(from), "toBlock": hexutil.Uint64(to),
		"address": f.Addresses, "topics": topicsOf(f),
	}
	var raw json.RawMessage
	if err := c.RPC(ctx, &raw, "eth_getLogs", query); err != nil {
		return nil, err
	}
	events, total, err := decodeLogs(raw, f, from, to, c.cfg.MaxLogs)
	if err != nil {
		return nil, c.wrap("eth_getLogs", err)
	}
	// Some providers cut an answer at a round number without saying so.
	if to > from && total >= 100 && total%100 == 0 {
		return nil, &Error{Chain: c.cfg.Name, Method: "eth_getLogs", Class: ClassResults,
			Message: fmt.Sprintf("suspiciously round count of %d", total), cause: chains.ErrUnavailable}
	}
	return events, nil
}

// events binds each log to the canonical header of its block: the hash must be
// the header's and the header's bloom must admit the log. It fills chain and
// time.
func (c *Client) events(logs []chains.Event, headers map[uint64]header) ([]chains.Event, error) {
	for i := range logs {
		l := &logs[i]
		h, ok := headers[l.Block]
		if !ok {
			return nil, c.unavailable("log in height %d, which has no block", l.Block)
		}
		if l.BlockHash != h.Hash {
			return nil, c.unavailable("log of block %d carries another block's hash", l.Block)
		}
		if !c.cfg.NoBloom && !admits(h.Bloom, l.Address, l.Topics) {
			return nil, c.unavailable("bloom of block %d excludes its log", l.Block)
		}
		l.Chain, l.BlockTime = c.cfg.ChainID, h.Time
	}
	return logs, nil
}

func admits(b types.Bloom, address common.Address, topics []common.Hash) bool {
	if !b.Test(address[:]) {
		return false
	}
	for _, t := range topics {
		if !b.Test(t[:]) {
			return false
		}
	}
	return true
}

// complete looks for logs that the node left out: each block whose bloom may
// hold an event of ours is asked again by its hash, which a node that has not
// indexed the block cannot answer with silence about another one, and must give
// the same logs.
func (c *Client) complete(ctx context.Context, f chains.Filter, headers map[uint64]header, events []chains.Event) error {
	if c.cfg.NoBloom || len(f.Addresses) == 0 || len(f.Topics) == 0 {
		return nil
	}
	have := map[uint64][]chains.Event{}
	for _, e := range events {
		have[e.Block] = append(have[e.Block], e)
	}
	var reqs []*request
	var numbers []uint64
	for n, h := range headers {
		if maybe(h.Bloom, f) {
			numbers = append(numbers, n)
			reqs = append(reqs, &request{method: "eth_getLogs", args: []any{map[string]any{
				"blockHash": h.Hash, "address": f.Addresses, "topics": topicsOf(f)}}})
		}
	}
	if err := c.batch(ctx, reqs); err != nil {
		return err
	}
	for i, n := range numbers {
		if reqs[i].err != nil {
			return reqs[i].err
		}
		again, _, err := decodeLogs(reqs[i].result, f, n, n, c.cfg.MaxLogs)
		if err != nil {
			return c.wrap("eth_getLogs", err)
		}
		if !slices.EqualFunc(again, have[n], func(a, b chains.Event) bool { return a.Index == b.Index && sameLog(a, b) }) {
			return c.unavailable("two answers about the logs of block %d", n)
		}
	}
	return nil
}

func maybe(b types.Bloom, f chains.Filter) bool {
	any := func(n int, at func(int) []byte) bool {
		for i := range n {
			if b.Test(at(i)) {
				return true
			}
		}
		return false
	}
	for _, values := range f.Later {
		if len(values) > 0 && !any(len(values), func(i int) []byte { return values[i][:] }) {
			return false
		}
	}
	return any(len(f.Addresses), func(i int) []byte { return f.Addresses[i][:] }) &&
		any(len(f.Topics), func(i int) []byte { return f.Topics[i][:] })
}
