package verify

import (
	"errors"
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// block is a block with the hashes of its transactions and, later, its events.
type block struct {
	chains.Block
	txs    []common.Hash
	events []chains.Event
}

// The shapes of JSON-RPC; pointers tell absent from zero.
type (
	wireBlock struct {
		Number       *hexutil.Uint64 `json:"number"`
		Hash         *common.Hash    `json:"hash"`
		Parent       *common.Hash    `json:"parentHash"`
		Time         *hexutil.Uint64 `json:"timestamp"`
		Transactions *[]common.Hash  `json:"transactions"`
	}
	wireReceipt struct {
		Tx        *common.Hash    `json:"transactionHash"`
		Block     *hexutil.Uint64 `json:"blockNumber"`
		BlockHash *common.Hash    `json:"blockHash"`
		Logs      *[]wireLog      `json:"logs"`
	}
	wireLog struct {
		Address   *common.Address `json:"address"`
		Topics    []common.Hash   `json:"topics"`
		Data      *hexutil.Bytes  `json:"data"`
		BlockHash *common.Hash    `json:"blockHash"`
		Tx        *common.Hash    `json:"transactionHash"`
		Index     *hexutil.Uint64 `json:"logIndex"`
		Removed   bool            `json:"removed"`
	}
)

// maxIndex bounds the place of a log in its block.
const maxIndex = 1 << 22

func (w wireBlock) decode(height uint64) (block, error) {
	if w.Number == nil || w.Hash == nil || w.Parent == nil || w.Time == nil || w.Transactions == nil {
		return block{}, errors.New("it is not there, or lacks a field")
	}
	if uint64(*w.Number) != height {
		return block{}, fmt.Errorf("the answer is block %d", uint64(*w.Number))
	}
	return block{
		Block: chains.Block{Number: height, Hash: *w.Hash, Parent: *w.Parent, Time: uint64(*w.Time)},
		txs:   *w.Transactions,
	}, nil
}

// eventsOf are the logs of all receipts of a block, in order. There must be one
// receipt for each of its transactions, and no log may be missing between two
// of a receipt.
func eventsOf(b block, receipts []*wireReceipt) ([]chains.Event, error) {
	if len(receipts) != len(b.txs) {
		return nil, fmt.Errorf("%d of them for %d transactions", len(receipts), len(b.txs))
	}
	var out []chains.Event
	for i, r := range receipts {
		if r == nil || r.Tx == nil || r.Block == nil || r.BlockHash == nil || r.Logs == nil {
			return nil, fmt.Errorf("that of %s is not there, or lacks a field", b.txs[i])
		}
		if *r.Tx != b.txs[i] || *r.BlockHash != b.Hash || uint64(*r.Block) != b.Number {
			return nil, fmt.Errorf("that of %s is of another transaction or block", b.txs[i])
		}
		for position, l := range *r.Logs {
			if err := l.check(r); err != nil {
				return nil, err
			}
			e := chains.Event{
				Block: b.Number, BlockHash: b.Hash, BlockTime: b.Time, Tx: *r.Tx, Index: uint(*l.Index), Position: uint(position),
				Address: *l.Address, Topics: l.Topics, Data: *l.Data,
			}
			if n := len(out); n > 0 && (out[n-1].Index >= e.Index || position > 0 && out[n-1].Index+1 != e.Index) {
				return nil, fmt.Errorf("log %d of %s does not follow log %d", e.Index, e.Tx, out[n-1].Index)
			}
			out = append(out, e)
		}
	}
	return out, nil
}

func (l wireLog) check(r *wireReceipt) error {
	switch {
	case l.Address == nil || l.Data == nil || l.BlockHash == nil || l.Tx == nil || l.Index == nil:
		return fmt.Errorf("a log of %s lacks a field", r.Tx)
	case len(l.Topics) > 4 || *l.Index >= maxIndex || l.Removed:
		return fmt.Errorf("a log of %s is out of bounds", r.Tx)
	case *l.Tx != *r.Tx || *l.BlockHash != *r.BlockHash:
		return fmt.Errorf("a log of %s is of another transaction or block", r.Tx)
	}
	return nil
}
