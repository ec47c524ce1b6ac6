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
)

// place fills in where events of some contracts stand among the logs of their own
// transactions. Only a receipt says that: a log's index counts from the first of
// its block.
func (c *Client) place(ctx context.Context, contracts []common.Address, events []chains.Event) error {
	var txs []common.Hash
	for _, e := range events {
		if slices.Contains(contracts, e.Address) && !slices.Contains(txs, e.Tx) {
			txs = append(txs, e.Tx)
		}
	}
	if len(txs) == 0 {
		return nil
	}
	logs := make(map[common.Hash][]placed, len(txs))
	for part := range slices.Chunk(txs, receiptBatch) {
		raw, err := c.rawReceipts(ctx, part)
		if err != nil {
			return err
		}
		for i, tx := range part {
			if logs[tx], err = decodePlaced(raw[i], tx); err != nil {
				// It answers, but what it says of a log and of its transaction differ.
				return c.unavailable("a log of %s was told, and its receipt: %w", tx, err)
			}
		}
	}
	for i := range events {
		e := &events[i]
		if !slices.Contains(contracts, e.Address) {
			continue
		}
		at := slices.IndexFunc(logs[e.Tx], func(p placed) bool { return p.index == e.Index })
		if at < 0 || !logs[e.Tx][at].is(*e) {
			return c.unavailable("the receipt of %s does not have the event at index %d of block %d", e.Tx, e.Index, e.Block)
		}
		e.Position = uint(at)
	}
	return nil
}

// placed is what a receipt says of one of its logs.
type placed struct {
	block   common.Hash
	index   uint
	address common.Address
	topics  []common.Hash
	data    []byte
}

func (p placed) is(e chains.Event) bool {
	return p.block == e.BlockHash && p.address == e.Address && slices.Equal(p.topics, e.Topics) && bytes.Equal(p.data, e.Data)
}

// decodePlaced reads the logs of a receipt in order. Their indexes follow each
// other: an endpoint that leaves one out would name every later one wrong.
func decodePlaced(raw json.RawMessage, tx common.Hash) ([]placed, error) {
	var w struct {
		TxHash *common.Hash `json:"transactionHash"`
		Logs   []struct {
			BlockHash *common.Hash    `json:"blockHash"`
			Index     *hexutil.Uint64 `json:"logIndex"`
			Address   *common.Address `json:"address"`
			Topics    []common.Hash   `json:"topics"`
			Data      *hexutil.Bytes  `json:"data"`
		} `json:"logs"`
	}
	if err := json.Unmarshal(raw, &w); err != nil || w.TxHash == nil || *w.TxHash != tx {
		return nil, fmt.Errorf("%w: no receipt of %s", errBadAnswer, tx)
	}
	out := make([]placed, len(w.Logs))
	for i, l := range w.Logs {
		if l.BlockHash == nil || l.Index == nil || l.Address == nil || l.Data == nil {
			return nil, fmt.Errorf("%w: a log of the receipt lacks a field", errBadAnswer)
		}
		out[i] = placed{*l.BlockHash, uint(*l.Index), *l.Address, l.Topics, *l.Data}
		if i > 0 && (out[i].index != out[i-1].index+1 || out[i].block != out[0].block) {
			return nil, fmt.Errorf("%w: the logs of the receipt do not follow each other", errBadAnswer)
		}
	}
	return out, nil
}

// TransactionEvents are all events of a transaction that a block has, in order and
// with their positions; chains.ErrUnavailable where none has it. Times are 0.
func (c *Client) TransactionEvents(ctx context.Context, tx common.Hash) ([]chains.Event, error) {
	raw, err := c.rawReceipts(ctx, []common.Hash{tx})
	if err != nil {
		return nil, err
	}
	places, err := decodePlaced(raw[0], tx)
	if err != nil {
		return nil, c.wrap("eth_getTransactionReceipt", err)
	}
	var w struct {
		Logs []wireLog `json:"logs"`
	}
	if err := json.Unmarshal(raw[0], &w); err != nil || len(w.Logs) != len(places) {
		return nil, c.wrap("eth_getTransactionReceipt", fmt.Errorf("%w: receipt has no list of logs", errBadAnswer))
	}
	out := make([]chains.Event, len(places))
	for i, l := range w.Logs {
		if l.Data == nil || l.Block == nil || len(l.Topics) > 4 || l.Removed {
			return nil, c.wrap("eth_getTransactionReceipt", fmt.Errorf("%w: a log of the receipt lacks a field", errBadAnswer))
		}
		out[i] = chains.Event{
			Chain: c.cfg.ChainID, Block: uint64(*l.Block), BlockHash: places[i].block, Tx: tx, Index: places[i].index, Position: uint(i),
			Address: places[i].address, Topics: l.Topics, Data: *l.Data,
		}
	}
	return out, nil
}
