package sim

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/state"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/core/vm"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/holiman/uint256"
)

// rpcError is the error of a JSON-RPC answer.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    string `json:"data,omitempty"`
}

func (e *rpcError) Error() string { return e.Message }

func fault(message string) *rpcError { return &rpcError{Code: -32000, Message: message} }

var (
	errInvalid = &rpcError{Code: -32602, Message: "invalid argument"}
	null       = []byte("null")
)

// quoted hex, without the detour over reflection.
func hexBytes(b []byte) []byte {
	out := make([]byte, 0, 2*len(b)+4)
	out = append(out, '"', '0', 'x')
	out = hex.AppendEncode(out, b)
	return append(out, '"')
}

func hexNumber(n uint64) []byte {
	out := append(make([]byte, 0, 20), '"', '0', 'x')
	out = strconv.AppendUint(out, n, 16)
	return append(out, '"')
}

// object writes a JSON object of raw values.
func object(pairs ...any) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(pairs[i].(string))
		b.WriteString(`":`)
		b.Write(pairs[i+1].([]byte))
	}
	b.WriteByte('}')
	return b.Bytes()
}

func list(items [][]byte) []byte {
	return slices.Concat([]byte("["), bytes.Join(items, []byte(",")), []byte("]"))
}

// headerJSON is a header as nodes give it.
func headerJSON(h *types.Header) []byte {
	raw, err := json.Marshal(h)
	if err != nil {
		panic(err)
	}
	return raw
}

// briefJSON is all that our client reads of a header; decoding the rest would be
// most of a run.
func briefJSON(h *types.Header, hash common.Hash) []byte {
	fields := []any{
		"number", hexNumber(h.Number.Uint64()), "hash", hexBytes(hash[:]), "parentHash", hexBytes(h.ParentHash[:]),
		"timestamp", hexNumber(h.Time), "baseFeePerGas", []byte(`"` + hexutil.EncodeBig(h.BaseFee) + `"`),
	}
	if h.Bloom != (types.Bloom{}) {
		fields = append(fields, "logsBloom", hexBytes(h.Bloom[:]))
	}
	return object(fields...)
}

// selectorsOf is the code of a contract without what nobody looks for in it: a
// session begins with reading a dozen of them, and all of their bytes would be a
// third of a run. What is left are the comparisons with function selectors.
func selectorsOf(code []byte) []byte {
	const push1, push4, push32 = 0x60, 0x63, 0x7f
	if len(code) < 1024 {
		return code
	}
	h := crypto.Keccak256Hash(code)
	if out, ok := shortCodes.Load(h); ok {
		return out.([]byte)
	}
	var out []byte
	for i := 0; i < len(code); i++ {
		op := code[i]
		if op < push1 || op > push32 {
			continue
		}
		size := int(op-push1) + 1
		if op == push4 && i+size < len(code) {
			out = append(out, code[i:i+1+size]...)
		}
		i += size
	}
	shortCodes.Store(h, out)
	return out
}

var shortCodes sync.Map

func logJSON(l *types.Log) []byte {
	topics := make([][]byte, len(l.Topics))
	for i, t := range l.Topics {
		topics[i] = hexBytes(t[:])
	}
	return object("address", hexBytes(l.Address[:]), "topics", list(topics), "data", hexBytes(l.Data), "blockNumber", hexNumber(l.BlockNumber),
		"blockHash", hexBytes(l.BlockHash[:]), "transactionHash", hexBytes(l.TxHash[:]), "logIndex", hexNumber(uint64(l.Index)), "removed", []byte("false"))
}

// argument decodes the i-th parameter.
func argument[T any](params []json.RawMessage, i int) (v T, err error) {
	if i >= len(params) || json.Unmarshal(params[i], &v) != nil {
		return v, errInvalid
	}
	return v, nil
}

// view is how a node sees the chain. A node that lags does not know the newest
// blocks; one that ignores filters answers with every log of a range.
type view struct {
	lag        uint64
	unfiltered bool
	brief      bool // headers without what only their hash is for
}

// serve answers one eth_ request.
func (c *chain) serve(v view, method string, params []json.RawMessage) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := uint64(len(c.blocks)) - min(uint64(len(c.blocks)-1), v.lag) // heights below it
	head := c.blocks[known-1]
	final := c.blocks[known-1-min(known-1, c.depth)]
	switch method {
	case "eth_chainId":
		return hexNumber(c.id), nil
	case "eth_getBlockByNumber":
		ref, err := argument[string](params, 0)
		if err != nil {
			return nil, err
		}
		var b *block
		switch ref {
		case "latest":
			b = head
		case "finalized":
			b = final
		default:
			n, bad := hexutil.DecodeUint64(ref)
			if bad != nil {
				return nil, errInvalid
			}
			if n >= known {
				return null, nil
			}
			b = c.blocks[n]
		}
		if v.brief {
			return b.brief, nil
		}
		if b.header == nil {
			b.header = headerJSON(b.head)
		}
		return b.header, nil
	case "eth_getLogs":
		return c.serveLogs(v, known, params)
	case "eth_getTransactionCount", "eth_getBalance":
		who, err := argument[common.Address](params, 0)
		if err != nil {
			return nil, err
		}
		db, _, err := c.stateAt(head, params, 1)
		if err != nil {
			return nil, err
		}
		if method == "eth_getBalance" {
			return []byte(`"` + hexutil.EncodeBig(db.GetBalance(who).ToBig()) + `"`), nil
		}
		return hexNumber(db.GetNonce(who)), nil
	case "eth_getCode", "eth_getStorageAt":
		who, err := argument[common.Address](params, 0)
		if err != nil {
			return nil, err
		}
		if method == "eth_getCode" {
			db, _, err := c.stateAt(head, params, 1)
			if err != nil {
				return nil, err
			}
			return hexBytes(selectorsOf(db.GetCode(who))), nil
		}
		slot, err := argument[common.Hash](params, 1)
		if err != nil {
			return nil, err
		}
		db, _, err := c.stateAt(head, params, 2)
		if err != nil {
			return nil, err
		}
		word := db.GetState(who, slot)
		return hexBytes(word[:]), nil
	case "eth_call":
		m, err := callArgument(params)
		if err != nil {
			return nil, err
		}
		_, b, err := c.stateAt(head, params, 1)
		if err != nil {
			return nil, err
		}
		out, err := c.call(b, m)
		if err != nil {
			return nil, callFault(err)
		}
		return hexBytes(out), nil
	case "eth_estimateGas":
		m, err := callArgument(params)
		if err != nil {
			return nil, err
		}
		gas, err := c.estimate(m)
		if err != nil {
			return nil, callFault(err)
		}
		return hexNumber(gas), nil
	case "eth_sendRawTransaction":
		raw, err := argument[hexutil.Bytes](params, 0)
		if err != nil {
			return nil, err
		}
		var tx types.Transaction
		if tx.UnmarshalBinary(raw) != nil {
			return nil, fault("rlp: value size exceeds available input length")
		}
		if err := c.accept(&tx); err != nil {
			return nil, fault(err.Error())
		}
		h := tx.Hash()
		return hexBytes(h[:]), nil
	case "eth_getTransactionReceipt":
		h, err := argument[common.Hash](params, 0)
		if err != nil {
			return nil, err
		}
		at, ok := c.mined[h]
		if !ok || at.block.number >= known {
			return null, nil
		}
		r := at.block.receipts[at.index]
		return object("transactionHash", hexBytes(h[:]), "blockHash", hexBytes(at.block.hash[:]), "blockNumber", hexNumber(at.block.number),
			"status", hexNumber(r.Status), "gasUsed", hexNumber(r.GasUsed)), nil
	case "eth_getTransactionByHash":
		h, err := argument[common.Hash](params, 0)
		if err != nil {
			return nil, err
		}
		if at, ok := c.mined[h]; ok && at.block.number < known {
			return object("hash", hexBytes(h[:]), "blockHash", hexBytes(at.block.hash[:])), nil
		}
		for _, queue := range c.pool {
			for _, tx := range queue {
				if tx.Hash() == h {
					return object("hash", hexBytes(h[:]), "blockHash", null), nil
				}
			}
		}
		return null, nil
	case "eth_maxPriorityFeePerGas":
		return []byte(`"` + hexutil.EncodeBig(c.tip) + `"`), nil
	}
	return nil, &rpcError{Code: -32601, Message: "the method " + method + " does not exist/is not available"}
}

func callArgument(params []json.RawMessage) (message, error) {
	c, err := argument[struct {
		From  common.Address `json:"from"`
		To    common.Address `json:"to"`
		Data  hexutil.Bytes  `json:"data"`
		Value *hexutil.Big   `json:"value"`
	}](params, 0)
	m := message{from: c.From, to: c.To, data: c.Data, value: new(uint256.Int)}
	if c.Value != nil {
		m.value.SetFromBig(c.Value.ToInt())
	}
	return m, err
}

func callFault(err error) error {
	var r *reverted
	if !errors.As(err, &r) {
		return fault(err.Error())
	}
	if errors.Is(r.res.Err, vm.ErrExecutionReverted) {
		return &rpcError{Code: 3, Message: "execution reverted", Data: hexutil.Encode(r.res.Revert())}
	}
	return fault(r.res.Err.Error())
}

// stateAt reads a block reference: a tag, a number or a hash.
func (c *chain) stateAt(head *block, params []json.RawMessage, i int) (*state.StateDB, *block, error) {
	if i >= len(params) {
		return nil, nil, errInvalid
	}
	raw := params[i]
	if len(raw) > 0 && raw[0] == '{' {
		pin, err := argument[struct {
			BlockHash common.Hash `json:"blockHash"`
		}](params, i)
		if err != nil {
			return nil, nil, err
		}
		if b := c.byHash[pin.BlockHash]; b != nil && b.number <= head.number {
			return b.state, b, nil
		}
		return nil, nil, fault("header for hash not found")
	}
	var b *block
	switch string(raw) {
	case `"latest"`:
		b = head
	case `"pending"`:
		b = c.top()
	default:
		return nil, nil, fmt.Errorf("%w: %s", errInvalid, raw)
	}
	return b.state, b, nil
}

// asked says whether each topic is among those of its place; none there is any.
func asked(lists [][]common.Hash, topics []common.Hash) bool {
	for i, list := range lists {
		if len(list) > 0 && (i >= len(topics) || !slices.Contains(list, topics[i])) {
			return false
		}
	}
	return true
}

func (c *chain) serveLogs(v view, known uint64, params []json.RawMessage) ([]byte, error) {
	q, err := argument[struct {
		From      *hexutil.Uint64  `json:"fromBlock"`
		To        *hexutil.Uint64  `json:"toBlock"`
		BlockHash *common.Hash     `json:"blockHash"`
		Address   []common.Address `json:"address"`
		Topics    [][]common.Hash  `json:"topics"`
	}](params, 0)
	if err != nil || len(q.Topics) == 0 || len(q.Topics) > 4 {
		return nil, errInvalid
	}
	var in []*block
	switch {
	case q.BlockHash != nil:
		b := c.byHash[*q.BlockHash]
		if b == nil || b.number >= known {
			return nil, fault("unknown block")
		}
		in = []*block{b}
	case q.From == nil || q.To == nil || *q.To < *q.From:
		return nil, errInvalid
	default:
		from, to := uint64(*q.From), min(uint64(*q.To)+1, known)
		if from < to {
			in = c.blocks[from:to]
		}
	}
	var out [][]byte
	for _, b := range in {
		for i, l := range b.logs {
			if v.unfiltered || slices.Contains(q.Address, l.Address) && asked(q.Topics, l.Topics) {
				out = append(out, b.wire[i])
			}
		}
	}
	return list(out), nil
}
