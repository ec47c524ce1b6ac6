package lotus

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

// EthGetTransactionReceipt is the receipt of an executed transaction, null for
// any other.
func (h *handler) EthGetTransactionReceipt(_ context.Context, hash common.Hash) (*ethtypes.EthTxReceipt, error) {
	t, index, ok := h.n.place(h.n.view(), h.n.meant(hash))
	if !ok {
		return nil, nil
	}
	all, err := h.n.receiptsOf(t)
	if err != nil || index >= len(all) {
		return nil, err
	}
	return all[index], nil
}

// EthGetBlockReceipts are the receipts of a tipset. For a null round, those of
// the one before; since v1.36.2, none.
func (h *handler) EthGetBlockReceipts(_ context.Context, p rawParams) ([]*ethtypes.EthTxReceipt, error) {
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return nil, err
	}
	find := h.n.state
	if h.n.Switches().since(36, 2) {
		find = h.n.block
	}
	t, err := find(h.n.view(), args, 0)
	if err != nil {
		return nil, err
	}
	return h.n.receiptsOf(t)
}

// receiptsOf are the receipts of a tip, in order.
func (n *Node) receiptsOf(t *tip) ([]*ethtypes.EthTxReceipt, error) {
	below := n.root.chain.Block(t.block)
	if below == nil {
		return nil, fmt.Errorf("[BUG] no block %s", t.block)
	}
	txs, receipts := below.Transactions(), n.root.chain.Receipts(t.block)
	if len(txs) != len(receipts) {
		return nil, fmt.Errorf("receipts and message array lengths didn't match for tipset: %s", t.key)
	}
	set := n.Switches()
	out := make([]*ethtypes.EthTxReceipt, len(txs))
	for i, tx := range txs {
		r, err := n.receipt(t, tx, receipts[i])
		if err != nil {
			return nil, err
		}
		if n.late(tx.Hash()) || (set.LieInReceipts && set.hides(t.epoch)) {
			r.Logs, r.LogsBloom = []ethtypes.EthLog{}, ethtypes.NewEmptyEthBloom()
		}
		out[i] = r
	}
	return out, nil
}

func (n *Node) receipt(t *tip, tx *types.Transaction, r *types.Receipt) (*ethtypes.EthTxReceipt, error) {
	from, err := types.Sender(n.root.pool.signer, tx)
	if err != nil {
		return nil, fmt.Errorf("sender of %s: %w", tx.Hash(), err)
	}
	out := &ethtypes.EthTxReceipt{
		TransactionHash: ethtypes.EthHash(tx.Hash()), TransactionIndex: ethtypes.EthUint64(r.TransactionIndex),
		BlockHash: ethtypes.EthHash(t.hash), BlockNumber: ethtypes.EthUint64(t.epoch),
		From: ethtypes.EthAddress(from), Status: ethtypes.EthUint64(r.Status), Type: ethtypes.EthUint64(tx.Type()),
		GasUsed: ethtypes.EthUint64(r.GasUsed * n.root.cfg.GasFactor), EffectiveGasPrice: bigOf(r.EffectiveGasPrice),
		LogsBloom: r.Bloom[:], Logs: make([]ethtypes.EthLog, len(r.Logs)),
	}
	if to := tx.To(); to != nil {
		out.To = (*ethtypes.EthAddress)(to)
	} else if r.Status == types.ReceiptStatusSuccessful {
		out.ContractAddress = (*ethtypes.EthAddress)(&r.ContractAddress)
	}
	for i, l := range r.Logs {
		out.Logs[i] = ethLog(l, t)
	}
	return out, nil
}

// ethLog is a log of a tip's block.
func ethLog(l *types.Log, t *tip) ethtypes.EthLog {
	topics := make([]ethtypes.EthHash, len(l.Topics))
	for i, topic := range l.Topics {
		topics[i] = ethtypes.EthHash(topic)
	}
	return ethtypes.EthLog{
		Address: ethtypes.EthAddress(l.Address), Data: l.Data, Topics: topics,
		LogIndex: ethtypes.EthUint64(l.Index), TransactionIndex: ethtypes.EthUint64(l.TxIndex),
		TransactionHash: ethtypes.EthHash(l.TxHash), BlockHash: ethtypes.EthHash(t.hash), BlockNumber: ethtypes.EthUint64(t.epoch),
	}
}
