package evm

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
)

// BlockRef says at which block a state is read.
type BlockRef struct {
	tag    string
	hash   common.Hash
	number uint64
}

// Latest and pending state, and the state at the node's own finalized tag.
var (
	AtLatest    = BlockRef{tag: "latest"}
	AtPending   = BlockRef{tag: "pending"}
	AtFinalized = BlockRef{tag: "finalized"}
)

// AtHash pins a block by its hash (EIP-1898): a node that does not know the
// block answers with an error instead of another block's state.
func AtHash(h common.Hash) BlockRef { return BlockRef{hash: h} }

// AtNumber names a block by its height.
func AtNumber(n uint64) BlockRef { return BlockRef{number: n} }

// Pinned says whether the block is the same whoever is asked, and its height where it
// is named by that.
func (r BlockRef) Pinned() (height uint64, ok bool) { return r.number, r.tag == "" }

// String names the block.
func (r BlockRef) String() string {
	switch {
	case r.tag != "":
		return r.tag
	case r.hash != (common.Hash{}):
		return r.hash.Hex()
	}
	return fmt.Sprintf("%d", r.number)
}

// MarshalJSON implements json.Marshaler.
func (r BlockRef) MarshalJSON() ([]byte, error) {
	switch {
	case r.tag != "":
		return json.Marshal(r.tag)
	case r.hash != (common.Hash{}):
		return json.Marshal(map[string]common.Hash{"blockHash": r.hash})
	}
	return json.Marshal(hexutil.Uint64(r.number))
}

// CallArg is one read-only call. From, Value and Gas may be zero.
type CallArg struct {
	From  common.Address
	To    common.Address
	Data  []byte
	Value *big.Int
	Gas   uint64
}

// MarshalJSON implements json.Marshaler. Both names of the call data are sent,
// since old nodes know only "data" and new ones prefer "input".
func (a CallArg) MarshalJSON() ([]byte, error) {
	m := map[string]any{"to": a.To, "data": hexutil.Bytes(a.Data)}
	if a.From != (common.Address{}) {
		m["from"] = a.From
	}
	if a.Value != nil && a.Value.Sign() != 0 {
		m["value"] = (*hexutil.Big)(a.Value)
	}
	if a.Gas != 0 {
		m["gas"] = hexutil.Uint64(a.Gas)
	}
	return json.Marshal(m)
}

// CallResult is the answer to one CallArg: data or an error.
type CallResult struct {
	Data []byte
	Err  error
}

// Call reads a contract. A revert is a *chains.RevertError. An address without
// code answers with no bytes.
func (c *Client) Call(ctx context.Context, to common.Address, data []byte, at BlockRef) ([]byte, error) {
	var out hexutil.Bytes
	err := c.RPC(ctx, &out, "eth_call", CallArg{To: to, Data: data}, at)
	return out, err
}

// BatchCall reads many calls at one block. The error is for the batch as a
// whole; each result has its own.
func (c *Client) BatchCall(ctx context.Context, calls []CallArg, at BlockRef) ([]CallResult, error) {
	reqs := make([]*request, len(calls))
	for i, a := range calls {
		reqs[i] = &request{method: "eth_call", args: []any{a, at}}
	}
	if err := c.batch(ctx, reqs); err != nil {
		return nil, err
	}
	out := make([]CallResult, len(calls))
	for i, r := range reqs {
		if r.err != nil {
			out[i].Err = r.err
			continue
		}
		var data hexutil.Bytes
		if err := json.Unmarshal(r.result, &data); err != nil || string(r.result) == "null" {
			out[i].Err = c.wrap(r.method, fmt.Errorf("%w: call result does not decode", errBadAnswer))
			continue
		}
		out[i].Data = data
	}
	return out, nil
}

// Balance is an account's balance in wei.
func (c *Client) Balance(ctx context.Context, account common.Address, at BlockRef) (*big.Int, error) {
	return c.bigNumber(ctx, "eth_getBalance", account, at)
}

// NonceAt is the number of transactions an account has sent, up to and
// including a block.
func (c *Client) NonceAt(ctx context.Context, account common.Address, at BlockRef) (uint64, error) {
	var n *hexutil.Uint64
	if err := c.RPC(ctx, &n, "eth_getTransactionCount", account, at); err != nil {
		return 0, err
	}
	if n == nil {
		return 0, c.wrap("eth_getTransactionCount", errBadAnswer)
	}
	return uint64(*n), nil
}

// CodeAt is the code of an account, empty for accounts without.
func (c *Client) CodeAt(ctx context.Context, account common.Address, at BlockRef) ([]byte, error) {
	var out hexutil.Bytes
	err := c.RPC(ctx, &out, "eth_getCode", account, at)
	return out, err
}

// StorageAt is one word of an account's storage.
func (c *Client) StorageAt(ctx context.Context, account common.Address, slot common.Hash, at BlockRef) (common.Hash, error) {
	var out hexutil.Bytes
	if err := c.RPC(ctx, &out, "eth_getStorageAt", account, slot, at); err != nil {
		return common.Hash{}, err
	}
	if len(out) > common.HashLength {
		return common.Hash{}, c.wrap("eth_getStorageAt", errBadAnswer)
	}
	return common.BytesToHash(out), nil
}

// EstimateGas simulates a call and returns the gas it needs. A revert is a
// *chains.RevertError.
func (c *Client) EstimateGas(ctx context.Context, call CallArg, at BlockRef) (uint64, error) {
	var n *hexutil.Uint64
	if err := c.RPC(ctx, &n, "eth_estimateGas", call, at); err != nil {
		return 0, err
	}
	if n == nil || *n == 0 {
		return 0, c.wrap("eth_estimateGas", errBadAnswer)
	}
	return uint64(*n), nil
}

// SendRaw hands a signed transaction to the node. A nil error means only that
// the node did not object.
func (c *Client) SendRaw(ctx context.Context, raw []byte) error {
	return c.RPC(ctx, nil, "eth_sendRawTransaction", hexutil.Bytes(raw))
}

// TransactionKnown says whether the node knows a transaction, and whether it
// is in a block.
func (c *Client) TransactionKnown(ctx context.Context, hash common.Hash) (known, mined bool, err error) {
	var tx *struct {
		Hash      common.Hash  `json:"hash"`
		BlockHash *common.Hash `json:"blockHash"`
	}
	if err := c.RPC(ctx, &tx, "eth_getTransactionByHash", hash); err != nil {
		return false, false, err
	}
	// A node may answer for another transaction of the same nonce.
	if tx == nil || tx.Hash != hash {
		return false, false, nil
	}
	return true, tx.BlockHash != nil && *tx.BlockHash != (common.Hash{}), nil
}

// Receipt is what a transaction did, as far as we read it.
type Receipt struct {
	TxHash    common.Hash
	Block     uint64
	BlockHash common.Hash
	OK        bool // status 1
	GasUsed   uint64
}

type wireReceipt struct {
	TxHash    *common.Hash    `json:"transactionHash"`
	BlockHash *common.Hash    `json:"blockHash"`
	Block     *hexutil.Uint64 `json:"blockNumber"`
	Status    *hexutil.Uint64 `json:"status"`
	GasUsed   *hexutil.Uint64 `json:"gasUsed"`
}

// decodeReceipt reads the receipt asked for by hash; nil when there is none, or
// when it is another transaction's (old Lotus answers for a replacement).
func decodeReceipt(raw json.RawMessage, asked common.Hash) (*Receipt, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var w wireReceipt
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, fmt.Errorf("%w: receipt does not decode", errBadAnswer)
	}
	if w.TxHash == nil || w.BlockHash == nil || w.Block == nil || w.Status == nil || w.GasUsed == nil || *w.Status > 1 {
		return nil, fmt.Errorf("%w: receipt lacks a field", errBadAnswer)
	}
	if *w.TxHash != asked || *w.BlockHash == (common.Hash{}) {
		return nil, nil
	}
	return &Receipt{TxHash: asked, Block: uint64(*w.Block), BlockHash: *w.BlockHash, OK: *w.Status == 1, GasUsed: uint64(*w.GasUsed)}, nil
}

// Receipt reads one receipt; ok is false when the node has none for this hash.
func (c *Client) Receipt(ctx context.Context, hash common.Hash) (r Receipt, ok bool, err error) {
	all, err := c.Receipts(ctx, []common.Hash{hash})
	if err != nil || all[0] == nil {
		return Receipt{}, false, err
	}
	return *all[0], true, nil
}

// Receipts reads many, in the order asked; nil where the node has none. One
// failed answer fails all: a missing receipt must mean "none", never "unknown".
func (c *Client) Receipts(ctx context.Context, hashes []common.Hash) ([]*Receipt, error) {
	reqs := make([]*request, len(hashes))
	for i, h := range hashes {
		reqs[i] = &request{method: "eth_getTransactionReceipt", args: []any{h}}
	}
	if err := c.batch(ctx, reqs); err != nil {
		return nil, err
	}
	out := make([]*Receipt, len(hashes))
	for i, r := range reqs {
		if r.err != nil {
			return nil, r.err
		}
		receipt, err := decodeReceipt(r.result, hashes[i])
		if err != nil {
			return nil, c.wrap(r.method, err)
		}
		out[i] = receipt
	}
	return out, nil
}

// Fees is what the chain charges now, in wei per gas.
type Fees struct {
	BaseFee *big.Int // of the newest block
	Tip     *big.Int // the node's suggestion
}

// Fees reads base fee and suggested tip. Both are foreign numbers: whoever
// signs with them bounds them first.
func (c *Client) Fees(ctx context.Context) (Fees, error) {
	latest, tip := byTag("latest"), &request{method: "eth_maxPriorityFeePerGas"}
	if err := c.batchHere(ctx, []*request{latest, tip}); err != nil {
		return Fees{}, err
	}
	h, err := c.tagged(latest)
	if err != nil {
		return Fees{}, err
	}
	if h.BaseFee == nil {
		return Fees{}, c.wrap("eth_getBlockByNumber", fmt.Errorf("%w: no base fee", errBadAnswer))
	}
	if tip.err != nil {
		return Fees{}, tip.err
	}
	n, err := decodeBig(tip.result)
	if err != nil {
		return Fees{}, c.wrap(tip.method, err)
	}
	return Fees{BaseFee: h.BaseFee, Tip: n}, nil
}

func (c *Client) bigNumber(ctx context.Context, method string, args ...any) (*big.Int, error) {
	var raw json.RawMessage
	if err := c.RPC(ctx, &raw, method, args...); err != nil {
		return nil, err
	}
	n, err := decodeBig(raw)
	return n, c.wrap(method, err)
}

// decodeBig reads a hex quantity of at most 256 bits; hexutil refuses signs,
// leading zeros and longer numbers.
func decodeBig(raw json.RawMessage) (*big.Int, error) {
	var n *hexutil.Big
	if err := json.Unmarshal(raw, &n); err != nil || n == nil {
		return nil, fmt.Errorf("%w: number does not decode", errBadAnswer)
	}
	return n.ToInt(), nil
}

var _ chains.Source = (*Client)(nil)
