package evm

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// receiptBatch is how many receipts are asked for at once; fewer where they are
// large together.
const receiptBatch = 64

// receiptLogs reads the logs of one block from the receipts of its
// transactions. No limit on what a log query returns holds here: each receipt
// is bounded by the gas of one transaction, and only what the filter selects is
// kept. That no log was left out is checked against the header's bloom.
func (c *Client) receiptLogs(ctx context.Context, f chains.Filter, _ uint64, block header) ([]chains.Event, bool, error) {
	txs, err := c.transactions(ctx, block)
	if err != nil {
		return nil, false, err
	}
	var out []chains.Event
	var bloom types.Bloom
	size := receiptBatch
	for len(txs) > 0 {
		part := txs[:min(size, len(txs))]
		receipts, err := c.rawReceipts(ctx, part)
		if err != nil {
			if ClassOf(err) == ClassOversize && len(part) > 1 {
				size = len(part) / 2
				continue
			}
			return nil, false, err
		}
		for i, raw := range receipts {
			events, err := decodeReceiptLogs(raw, part[i], block, f, &bloom)
			if err != nil {
				return nil, false, c.wrap("eth_getTransactionReceipt", err)
			}
			if n := len(out); n > 0 && len(events) > 0 && events[0].Index <= out[n-1].Index {
				return nil, false, c.wrap("eth_getTransactionReceipt", fmt.Errorf("%w: logs of two transactions at one index", errBadAnswer))
			}
			out = append(out, events...)
		}
		txs = txs[len(part):]
	}
	// Lotus sets every bit, which says nothing.
	if full := fullBloom(); !c.cfg.NoBloom && block.Bloom != full && bloom != block.Bloom {
		return nil, false, c.unavailable("the receipts of block %d are not all of its logs", block.Number)
	}
	return out, true, nil
}

func fullBloom() (b types.Bloom) {
	for i := range b {
		b[i] = 0xff
	}
	return b
}

// transactions lists the hashes of a block's transactions.
func (c *Client) transactions(ctx context.Context, block header) ([]common.Hash, error) {
	req := byNumber(block.Number)
	if err := c.batchHere(ctx, []*request{req}); err != nil {
		return nil, err
	}
	h, err := c.answer(req, block.Number)
	if err != nil {
		return nil, err
	}
	if h.Hash != block.Hash {
		return nil, c.unavailable("block %d changed while it was read", block.Number)
	}
	var w struct {
		Transactions *[]common.Hash `json:"transactions"`
	}
	if err := json.Unmarshal(req.result, &w); err != nil || w.Transactions == nil {
		return nil, c.wrap(req.method, fmt.Errorf("%w: block does not list its transactions", errBadAnswer))
	}
	return *w.Transactions, nil
}

func (c *Client) rawReceipts(ctx context.Context, txs []common.Hash) ([]json.RawMessage, error) {
	reqs := make([]*request, len(txs))
	for i, h := range txs {
		reqs[i] = &request{method: "eth_getTransactionReceipt", args: []any{h}}
	}
	if err := c.batch(ctx, reqs); err != nil {
		return nil, err
	}
	out := make([]json.RawMessage, len(txs))
	for i, r := range reqs {
		if r.err != nil {
			return nil, r.err
		}
		out[i] = r.result
	}
	return out, nil
}

// decodeReceiptLogs reads what a filter selects of a receipt that must be in a
// block, and adds all of its logs to a bloom.
func decodeReceiptLogs(raw json.RawMessage, tx common.Hash, block header, f chains.Filter, bloom *types.Bloom) ([]chains.Event, error) {
	receipt, err := decodeReceipt(raw, tx)
	if err != nil {
		return nil, err
	}
	if receipt == nil || receipt.BlockHash != block.Hash || receipt.Block != block.Number {
		return nil, fmt.Errorf("%w: no receipt of %s in block %d", errBadAnswer, tx, block.Number)
	}
	var w struct {
		Logs json.RawMessage `json:"logs"`
	}
	var all []wireLog
	if json.Unmarshal(raw, &w) != nil || json.Unmarshal(w.Logs, &all) != nil || all == nil {
		return nil, fmt.Errorf("%w: receipt has no list of logs", errBadAnswer)
	}
	for _, l := range all {
		if l.Address == nil || l.Tx == nil || *l.Tx != tx {
			return nil, fmt.Errorf("%w: receipt has a log of another transaction", errBadAnswer)
		}
		bloom.Add(l.Address[:])
		for _, t := range l.Topics {
			bloom.Add(t[:])
		}
	}
	events, _, err := decodeLogs(w.Logs, f, block.Number, block.Number, math.MaxInt)
	return events, err
}
