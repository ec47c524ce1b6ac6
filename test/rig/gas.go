package rig

import (
	"context"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"
)

// Heights are the newest blocks of both chains.
type Heights struct{ Root, Subnet uint64 }

// Heights reads them.
func (w *World) Heights(ctx context.Context) (h Heights, err error) {
	if h.Root, err = w.Bridge.Root.Client().BlockNumber(ctx); err != nil {
		return h, fmt.Errorf("read height of the root: %w", err)
	}
	if h.Subnet, err = w.Bridge.Subnet.Client().BlockNumber(ctx); err != nil {
		return h, fmt.Errorf("read height of the subnet: %w", err)
	}
	return h, nil
}

// Spent is what the relayers' account paid for in a stretch of both chains.
type Spent struct {
	Txs      int    `json:"txs"`
	Reverted int    `json:"reverted"`
	NoOps    int    `json:"no_ops"` // mined, and nothing happened
	Gas      uint64 `json:"gas"`
}

// Add sums.
func (s Spent) Add(o Spent) Spent {
	return Spent{s.Txs + o.Txs, s.Reverted + o.Reverted, s.NoOps + o.NoOps, s.Gas + o.Gas}
}

// Spent counts the relayers' transactions in the blocks above from, up to to.
func (w *World) Spent(ctx context.Context, from, to Heights) (Spent, error) {
	up, err := w.spent(ctx, w.Bridge.Root.Client(), from.Root, to.Root)
	if err != nil {
		return up, err
	}
	down, err := w.spent(ctx, w.Bridge.Subnet.Client(), from.Subnet, to.Subnet)
	return up.Add(down), err
}

func (w *World) spent(ctx context.Context, c *ethclient.Client, from, to uint64) (s Spent, err error) {
	for at := from + 1; at <= to; {
		n := min(to-at+1, 50)
		batch := make([]rpc.BatchElem, 0, 2*n)
		blocks, receipts := make([]struct {
			Transactions []*types.Transaction `json:"transactions"`
		}, n), make([][]*types.Receipt, n)
		for i := range n {
			batch = append(batch,
				rpc.BatchElem{Method: "eth_getBlockByNumber", Args: []any{hexutil.Uint64(at + i), true}, Result: &blocks[i]},
				rpc.BatchElem{Method: "eth_getBlockReceipts", Args: []any{hexutil.Uint64(at + i)}, Result: &receipts[i]})
		}
		if err := c.Client().BatchCallContext(ctx, batch); err != nil {
			return s, fmt.Errorf("read receipts: %w", err)
		}
		for _, b := range batch {
			if b.Error != nil {
				return s, fmt.Errorf("read receipts: %w", b.Error)
			}
		}
		for i := range n {
			by := map[common.Hash]*types.Receipt{}
			for _, r := range receipts[i] {
				by[r.TxHash] = r
			}
			for _, tx := range blocks[i].Transactions {
				sender, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
				r := by[tx.Hash()]
				if err != nil || sender != w.Carrier || r == nil {
					continue
				}
				s.Txs++
				s.Gas += r.GasUsed
				switch {
				case r.Status != types.ReceiptStatusSuccessful:
					s.Reverted++
				case len(r.Logs) == 0:
					s.NoOps++
				}
			}
		}
		at += n
	}
	return s, nil
}
