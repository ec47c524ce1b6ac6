package ethereum

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/trie"
)

// proven is a block whose receipts and transactions hash to what its header,
// which hashes to the block's hash, says.
type proven struct {
	header   *types.Header
	hash     common.Hash
	txs      []common.Hash
	receipts types.Receipts
}

// several is a reader of more than one endpoint. What hashes to the block's hash may
// come from any of them.
type several interface{ Endpoints() []evm.Reader }

// block reads a block whole, from the first endpoint that gives what can be proven.
func (s *Source) block(ctx context.Context, number uint64, hash common.Hash) (p *proven, err error) {
	from := []evm.Reader{s.data}
	if many, ok := s.data.(several); ok {
		from = many.Endpoints()
	}
	for _, r := range from {
		var failed error
		if p, failed = s.blockOf(ctx, r, number, hash); failed == nil {
			return p, nil
		}
		if err == nil {
			err = failed
		}
	}
	return nil, err
}

// blockOf recomputes a block's three hashes. Whatever does not fit is ErrForged,
// which is chains.ErrUnavailable: nothing is known.
func (s *Source) blockOf(ctx context.Context, r evm.Reader, number uint64, hash common.Hash) (*proven, error) {
	forged := func(format string, args ...any) error {
		return fmt.Errorf("%s: block %d: %s: %w: %w", s.data.Name(), number, fmt.Sprintf(format, args...), ErrForged, chains.ErrUnavailable)
	}
	var raw json.RawMessage
	if err := r.RPC(ctx, &raw, "eth_getBlockByHash", hash, true); err != nil {
		return nil, err
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil, fmt.Errorf("%s: no block %s: %w", s.data.Name(), hash, chains.ErrUnavailable)
	}
	var header *types.Header
	var body struct {
		Txs []*types.Transaction `json:"transactions"`
	}
	if err := json.Unmarshal(raw, &header); err != nil || header == nil {
		return nil, forged("its header does not decode: %v", err)
	}
	if err := json.Unmarshal(raw, &body); err != nil || slices.Contains(body.Txs, nil) {
		return nil, forged("its transactions do not decode: %v", err)
	}
	if header.Hash() != hash || header.Number == nil || !header.Number.IsUint64() || header.Number.Uint64() != number {
		return nil, forged("its header does not hash to %s", hash)
	}
	if types.DeriveSha(types.Transactions(body.Txs), trie.NewStackTrie(nil)) != header.TxHash {
		return nil, forged("its transactions do not hash to its transactions root")
	}
	p := &proven{header: header, hash: hash}
	for _, tx := range body.Txs {
		p.txs = append(p.txs, tx.Hash())
	}
	if err := r.RPC(ctx, &raw, "eth_getBlockReceipts", map[string]common.Hash{"blockHash": hash}); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &p.receipts); err != nil || slices.Contains(p.receipts, nil) {
		return nil, forged("its receipts do not decode: %v", err)
	}
	if len(p.receipts) != len(p.txs) {
		return nil, forged("%d receipts for %d transactions", len(p.receipts), len(p.txs))
	}
	for _, r := range p.receipts {
		if slices.Contains(r.Logs, nil) {
			return nil, forged("a receipt with an empty log")
		}
	}
	if types.DeriveSha(p.receipts, trie.NewStackTrie(nil)) != header.ReceiptHash {
		return nil, forged("its receipts do not hash to its receipts root")
	}
	return p, nil
}

// events selects of the proven logs. Transaction and both positions are counted
// here: the receipts root says nothing of what receipts call themselves.
func (p *proven) events(chain chains.ID, f chains.Filter) (out []chains.Event) {
	index := uint(0)
	for i, r := range p.receipts {
		for position, l := range r.Logs {
			if f.Selects(l.Address, l.Topics) {
				out = append(out, chains.Event{
					Chain: chain, Block: p.header.Number.Uint64(), BlockHash: p.hash, BlockTime: p.header.Time,
					Tx: p.txs[i], Index: index, Position: uint(position), Address: l.Address, Topics: l.Topics, Data: l.Data,
				})
			}
			index++
		}
	}
	return out
}

// same compares what was said of a block's events with what is proven.
func same(said, proven []chains.Event) error {
	if len(said) != len(proven) {
		return fmt.Errorf("%d events were answered, its receipts have %d: %w", len(said), len(proven), ErrForged)
	}
	for i, e := range said {
		p := proven[i]
		if e.Index != p.Index || e.Tx != p.Tx || e.Address != p.Address || !slices.Equal(e.Topics, p.Topics) || !bytes.Equal(e.Data, p.Data) {
			return fmt.Errorf("the event at index %d is not in its receipts: %w", e.Index, ErrForged)
		}
	}
	return nil
}
