package lotus

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/filecoin-project/go-jsonrpc"
	fbig "github.com/filecoin-project/go-state-types/big"
	"github.com/filecoin-project/lotus/chain/types/ethtypes"
)

// rawParams are a request's parameters as they came.
type rawParams = jsonrpc.RawParams

// EthChainId is the chain id.
func (h *handler) EthChainId(context.Context) (hexutil.Uint64, error) {
	if other := h.n.Switches().ChainID; other != 0 {
		return hexutil.Uint64(other), nil
	}
	return hexutil.Uint64(h.n.root.cfg.ChainID), nil
}

// NetVersion is the same in decimal.
func (h *handler) NetVersion(ctx context.Context) (string, error) {
	id, err := h.EthChainId(ctx)
	return strconv.FormatUint(uint64(id), 10), err
}

// NetListening is true.
func (h *handler) NetListening(context.Context) (bool, error) { return true, nil }

// Web3ClientVersion says which Lotus this is.
func (h *handler) Web3ClientVersion(context.Context) (string, error) {
	return "lotus " + h.n.Switches().Version, nil
}

// EthSyncing is false: the chain is all there.
func (h *handler) EthSyncing(context.Context) (bool, error) { return false, nil }

// EthAccounts is empty.
func (h *handler) EthAccounts(context.Context) ([]common.Address, error) {
	return []common.Address{}, nil
}

// EthBlockNumber is the epoch of the newest tipset that is executed.
func (h *handler) EthBlockNumber(context.Context) (hexutil.Uint64, error) {
	return hexutil.Uint64(h.n.view().latest().epoch), nil
}

// EthGetBlockByNumber is a tipset as a block; a null round is an error.
func (h *handler) EthGetBlockByNumber(ctx context.Context, p rawParams) (json.RawMessage, error) {
	return h.ethBlock(p)
}

// EthGetBlockByHash is a tipset of any branch.
func (h *handler) EthGetBlockByHash(ctx context.Context, p rawParams) (json.RawMessage, error) {
	return h.ethBlock(p)
}

func (h *handler) ethBlock(p rawParams) (json.RawMessage, error) {
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return nil, err
	}
	var full bool
	if err := argument(args, 1, &full); err != nil {
		return nil, err
	}
	t, err := h.n.block(h.n.view(), args, 0)
	if err != nil {
		return nil, err
	}
	b, err := h.n.blockOf(t, full)
	if err != nil {
		return nil, err
	}
	return json.Marshal(b)
}

// blockOf is a tip as Lotus shows it to Ethereum: full bloom, no roots, size 0.
func (n *Node) blockOf(t *tip, full bool) (ethtypes.EthBlock, error) {
	below := n.root.chain.Block(t.block)
	if below == nil {
		return ethtypes.EthBlock{}, fmt.Errorf("[BUG] no block %s", t.block)
	}
	txs := below.Transactions()
	b := ethtypes.NewEthBlock(len(txs) > 0, t.width)
	for i, tx := range txs {
		if !full {
			b.Transactions = append(b.Transactions, tx.Hash().Hex())
			continue
		}
		wire, err := n.ethTx(tx, t, i)
		if err != nil {
			return ethtypes.EthBlock{}, err
		}
		b.Transactions = append(b.Transactions, wire)
	}
	parent, err := hashOf(t.parents())
	if err != nil {
		return ethtypes.EthBlock{}, err
	}
	b.Hash, b.ParentHash = ethtypes.EthHash(t.hash), ethtypes.EthHash(parent)
	b.Number = ethtypes.EthUint64(t.epoch)
	b.Timestamp = ethtypes.EthUint64(n.root.timeOf(t.epoch))
	b.BaseFeePerGas = bigOf(t.baseFee)
	b.GasUsed = ethtypes.EthUint64(below.GasUsed() * n.root.cfg.GasFactor)
	return b, nil
}

func bigOf(b *big.Int) ethtypes.EthBigInt { return ethtypes.EthBigInt(fbig.Int{Int: b}) }

// ethTx is a transaction in JSON; t is nil while it is in the pool.
func (n *Node) ethTx(tx *types.Transaction, t *tip, index int) (ethtypes.EthTx, error) {
	from, err := types.Sender(n.root.pool.signer, tx)
	if err != nil {
		return ethtypes.EthTx{}, fmt.Errorf("sender of %s: %w", tx.Hash(), err)
	}
	v, r, s := tx.RawSignatureValues()
	out := ethtypes.EthTx{
		ChainID: ethtypes.EthUint64(n.root.cfg.ChainID), Nonce: ethtypes.EthUint64(tx.Nonce()), Hash: ethtypes.EthHash(tx.Hash()),
		From: ethtypes.EthAddress(from), Value: bigOf(tx.Value()), Type: ethtypes.EthUint64(tx.Type()),
		Input: tx.Data(), Gas: ethtypes.EthUint64(tx.Gas()), AccessList: []ethtypes.EthHash{}, V: bigOf(v), R: bigOf(r), S: bigOf(s),
	}
	if to := tx.To(); to != nil {
		out.To = (*ethtypes.EthAddress)(to)
	}
	if tx.Type() == types.LegacyTxType {
		price := bigOf(tx.GasPrice())
		out.GasPrice = &price
	} else {
		cap, premium := bigOf(tx.GasFeeCap()), bigOf(tx.GasTipCap())
		out.MaxFeePerGas, out.MaxPriorityFeePerGas = &cap, &premium
	}
	if t != nil {
		hash, number, at := ethtypes.EthHash(t.hash), ethtypes.EthUint64(t.epoch), ethtypes.EthUint64(index)
		out.BlockHash, out.BlockNumber, out.TransactionIndex = &hash, &number, &at
	}
	return out, nil
}

// place finds an executed transaction in a view.
func (n *Node) place(v view, tx common.Hash) (t *tip, index int, ok bool) {
	block, i, ok := n.root.chain.Place(tx)
	if !ok {
		return nil, 0, false
	}
	t = n.root.above(block)
	if t == nil || !v.executed(t) || n.reach(t.epoch) != nil {
		return nil, 0, false
	}
	return t, int(i), true
}

// meant is the transaction that a hash means: an old node takes a replaced one
// for what took its place.
func (n *Node) meant(hash common.Hash) common.Hash {
	if n.Switches().ReplacedReceipts {
		if next, ok := n.root.pool.successor(hash); ok {
			return next
		}
	}
	return hash
}

// EthGetTransactionByHash is an executed transaction, or one in the pool; one
// that the head has and nobody executed yet is in neither.
func (h *handler) EthGetTransactionByHash(_ context.Context, hash common.Hash) (*ethtypes.EthTx, error) {
	hash = h.n.meant(hash)
	t, index, ok := h.n.place(h.n.view(), hash)
	if !ok {
		tx := h.n.root.pool.get(hash)
		if tx == nil {
			return nil, nil
		}
		wire, err := h.n.ethTx(tx, nil, 0)
		return &wire, err
	}
	below := h.n.root.chain.Block(t.block)
	if below == nil || index >= len(below.Transactions()) {
		return nil, nil
	}
	wire, err := h.n.ethTx(below.Transactions()[index], t, index)
	return &wire, err
}

// EthGetBlockTransactionCountByNumber counts the messages of a tipset.
func (h *handler) EthGetBlockTransactionCountByNumber(_ context.Context, p rawParams) (hexutil.Uint64, error) {
	return h.count(p)
}

// EthGetBlockTransactionCountByHash is the same by hash.
func (h *handler) EthGetBlockTransactionCountByHash(_ context.Context, p rawParams) (hexutil.Uint64, error) {
	return h.count(p)
}

func (h *handler) count(p rawParams) (hexutil.Uint64, error) {
	args, err := arguments(json.RawMessage(p))
	if err != nil {
		return 0, err
	}
	t, err := h.n.block(h.n.view(), args, 0)
	if err != nil {
		return 0, err
	}
	below := h.n.root.chain.Block(t.block)
	if below == nil {
		return 0, fmt.Errorf("[BUG] no block %s", t.block)
	}
	return hexutil.Uint64(len(below.Transactions())), nil
}
