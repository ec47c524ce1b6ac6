package fake

import (
	"encoding/binary"
	"encoding/json"
	"math/big"
	"sort"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
)

// Mine makes one block of all pending transactions that can be mined and
// returns its height.
func (n *Node) Mine() (height uint64) {
	n.locked(func() { height = n.mine(nil) })
	return height
}

// MineN makes count blocks.
func (n *Node) MineN(count int) (height uint64) {
	n.locked(func() {
		for range count {
			height = n.mine(nil)
		}
	})
	return height
}

// madeUpLogs is how many logs a made-up transaction holds at most.
const madeUpLogs = 5000

// MineLogs makes a block that holds logs, of as few made-up transactions as
// hold them.
func (n *Node) MineLogs(logs ...*types.Log) (height uint64) {
	n.locked(func() { height = n.mine(logs) })
	return height
}

// MineNull leaves a height without a block.
func (n *Node) MineNull() (height uint64) {
	n.locked(func() {
		height = uint64(len(n.blocks))
		n.blocks = append(n.blocks, &block{})
	})
	return height
}

// Reorg throws away the newest depth blocks and mines as many empty ones
// instead. The transactions of the lost blocks return to the pool, or are
// forgotten.
func (n *Node) Reorg(depth int, forget bool) {
	n.locked(func() {
		n.seed++
		lost := n.blocks[len(n.blocks)-depth:]
		n.blocks = n.blocks[:len(n.blocks)-depth]
		held := n.pool
		n.pool = map[common.Address]map[uint64]*types.Transaction{}
		for range depth {
			n.mine(nil)
		}
		n.pool = held
		if forget {
			return
		}
		for _, b := range lost {
			for _, tx := range b.txs {
				n.put(tx)
			}
		}
	})
}

// Branch is a chain as it was, to come back to.
type Branch []*block

// Branch is the chain as it is.
func (n *Node) Branch() (b Branch) {
	n.locked(func() { b = append(b, n.blocks...) })
	return b
}

// Restore makes an earlier chain the canonical one again.
func (n *Node) Restore(b Branch) {
	n.locked(func() {
		n.seed++
		n.blocks = append([]*block{}, b...)
	})
}

// Hash is the canonical hash at a height.
func (n *Node) Hash(height uint64) (h common.Hash) {
	n.locked(func() { h = n.blocks[height].hash })
	return h
}

// Height is that of the newest block.
func (n *Node) Height() (h uint64) {
	n.locked(func() { h = n.top() })
	return h
}

// Mined is how many canonical transactions carry exactly these call data.
func (n *Node) Mined(data []byte) (count int) {
	n.locked(func() {
		for _, b := range n.blocks {
			for _, tx := range b.txs {
				if string(tx.Data()) == string(data) {
					count++
				}
			}
		}
	})
	return count
}

// Nonces are the nonces of an account's canonical transactions, in order.
func (n *Node) Nonces(a common.Address) (out []uint64) {
	n.locked(func() {
		for _, b := range n.blocks {
			for _, tx := range b.txs {
				if n.sender(tx) == a {
					out = append(out, tx.Nonce())
				}
			}
		}
	})
	return out
}

// Pending are an account's pending transactions, ascending by nonce.
func (n *Node) Pending(a common.Address) (out []*types.Transaction) {
	n.locked(func() {
		for _, tx := range n.pool[a] {
			out = append(out, tx)
		}
	})
	sort.Slice(out, func(i, j int) bool { return out[i].Nonce() < out[j].Nonce() })
	return out
}

// Submit puts a transaction into the pool as if another client had sent it.
func (n *Node) Submit(tx *types.Transaction) (err *Error) {
	n.locked(func() { err = n.accept(tx) })
	return err
}

func (n *Node) top() uint64 {
	for i := len(n.blocks) - 1; i > 0; i-- {
		if n.blocks[i].header != nil {
			return uint64(i)
		}
	}
	return 0
}

func (n *Node) sender(tx *types.Transaction) common.Address {
	from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
	if err != nil {
		return common.Address{}
	}
	return from
}

func (n *Node) put(tx *types.Transaction) {
	from := n.sender(tx)
	if n.pool[from] == nil {
		n.pool[from] = map[uint64]*types.Transaction{}
	}
	n.pool[from][tx.Nonce()] = tx
}

// accept is the pool's gate, with geth's rules and words.
func (n *Node) accept(tx *types.Transaction) *Error {
	from := n.sender(tx)
	if from == (common.Address{}) || tx.ChainId().Uint64() != n.chainID {
		return &Error{Code: -32000, Message: "invalid sender"}
	}
	if old := n.pool[from][tx.Nonce()]; old != nil {
		if old.Hash() == tx.Hash() {
			return &Error{Code: -32000, Message: "already known"}
		}
		enough := func(new, old *big.Int) bool {
			want := new10(old)
			return new.Cmp(want) >= 0 && new.Cmp(old) > 0
		}
		if !enough(tx.GasTipCap(), old.GasTipCap()) || !enough(tx.GasFeeCap(), old.GasFeeCap()) {
			return &Error{Code: -32000, Message: "replacement transaction underpriced"}
		}
	}
	if next := n.nonce(from, n.top()); tx.Nonce() < next {
		return &Error{Code: -32000, Message: "nonce too low: next nonce " + hexutil.EncodeUint64(next)}
	}
	if b := n.balances[from]; b == nil || b.Cmp(tx.Cost()) < 0 {
		return &Error{Code: -32000, Message: "insufficient funds for gas * price + value"}
	}
	if !n.drops {
		n.put(tx)
	}
	return nil
}

func new10(old *big.Int) *big.Int {
	out := new(big.Int).Mul(old, big.NewInt(110))
	return out.Div(out, big.NewInt(100))
}

// nonce counts an account's transactions up to a height.
func (n *Node) nonce(a common.Address, height uint64) (count uint64) {
	for i := 0; i <= int(height) && i < len(n.blocks); i++ {
		for _, tx := range n.blocks[i].txs {
			if n.sender(tx) == a {
				count++
			}
		}
	}
	return count
}

// pendingNonce counts the pool's consecutive transactions too.
func (n *Node) pendingNonce(a common.Address) uint64 {
	next := n.nonce(a, n.top())
	for n.pool[a][next] != nil {
		next++
	}
	return next
}

// mine makes a block of the minable pool and of extra logs.
func (n *Node) mine(extra []*types.Log) uint64 {
	height := uint64(len(n.blocks))
	b := &block{header: &types.Header{
		Number: new(big.Int).SetUint64(height), Time: n.time, Difficulty: new(big.Int), GasLimit: 30_000_000,
		BaseFee: new(big.Int).Set(n.baseFee), Extra: binary.BigEndian.AppendUint64(nil, n.seed),
		UncleHash: types.EmptyUncleHash, TxHash: types.EmptyTxsHash, ReceiptHash: types.EmptyReceiptsHash,
	}}
	n.time += 12
	if height > 0 {
		b.header.ParentHash = n.blocks[n.top()].hash
	}

	var logs []*types.Log
	add := func(tx common.Hash, more []*types.Log) {
		for _, l := range more {
			c := *l
			c.TxHash, c.BlockNumber, c.Index = tx, height, uint(len(logs))
			logs = append(logs, &c)
		}
	}
	for from, queue := range n.pool {
		next := n.nonce(from, height)
		for {
			tx := queue[next]
			if tx == nil || tx.GasFeeCap().Cmp(n.baseFee) < 0 {
				break
			}
			delete(queue, next)
			ok, out := true, []*types.Log(nil)
			if n.execute != nil {
				ok, out = n.execute(from, tx)
			}
			status := hexutil.Uint64(0)
			if ok {
				status = 1
				add(tx.Hash(), out)
			}
			b.txs = append(b.txs, tx)
			b.receipts = append(b.receipts, &receipt{TxHash: tx.Hash(), Block: hexutil.Uint64(height), Status: status, GasUsed: 21_000})
			next++
		}
	}
	for k := uint64(0); len(extra) > 0; k++ {
		tx, part := common.BigToHash(new(big.Int).SetUint64(height+n.seed<<32+k<<48)), extra[:min(len(extra), madeUpLogs)]
		add(tx, part)
		b.madeUp, extra = append(b.madeUp, &receipt{TxHash: tx, Block: hexutil.Uint64(height), Status: 1, GasUsed: 21_000}), extra[len(part):]
	}

	var bloom types.Receipt
	bloom.Logs = logs
	b.header.Bloom = types.CreateBloom(&bloom)
	b.hash = b.header.Hash()
	for _, l := range logs {
		l.BlockHash = b.hash
	}
	for _, r := range append(append([]*receipt{}, b.receipts...), b.madeUp...) {
		r.BlockHash, r.Logs = b.hash, []*types.Log{}
		for _, l := range logs {
			if l.TxHash == r.TxHash {
				r.Logs = append(r.Logs, l)
			}
		}
	}
	b.logs = logs
	n.blocks = append(n.blocks, b)
	return height
}

// answer is the honest node.
func (n *Node) answer(method string, params []json.RawMessage) (any, *Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	arg := func(i int, v any) bool { return i < len(params) && json.Unmarshal(params[i], v) == nil }
	bad := &Error{Code: -32602, Message: "invalid argument"}
	switch method {
	case "eth_chainId":
		return hexutil.Uint64(n.chainID), nil
	case "eth_blockNumber":
		return hexutil.Uint64(n.top()), nil
	case "eth_getBlockByNumber":
		var ref string
		if !arg(0, &ref) {
			return nil, bad
		}
		return n.getBlock(ref)
	case "eth_getLogs":
		var q logQuery
		if !arg(0, &q) {
			return nil, bad
		}
		return n.getLogs(q)
	case "eth_getTransactionCount", "eth_getBalance":
		var who common.Address
		if !arg(0, &who) || len(params) < 2 {
			return nil, bad
		}
		height, pending, err := n.resolve(params[1])
		if err != nil {
			return nil, err
		}
		if method == "eth_getBalance" {
			b := n.balances[who]
			if b == nil {
				b = new(big.Int)
			}
			return (*hexutil.Big)(b), nil
		}
		if pending {
			return hexutil.Uint64(n.pendingNonce(who)), nil
		}
		return hexutil.Uint64(n.nonce(who, height)), nil
	case "eth_estimateGas", "eth_call":
		var c struct {
			From common.Address `json:"from"`
			To   common.Address `json:"to"`
			Data hexutil.Bytes  `json:"data"`
		}
		if !arg(0, &c) {
			return nil, bad
		}
		if n.reverts != nil {
			if err := n.reverts(c.From, c.To, c.Data); err != nil {
				return nil, err
			}
		}
		if method == "eth_estimateGas" {
			return hexutil.Uint64(n.gas), nil
		}
		if n.call == nil {
			return hexutil.Bytes{}, nil
		}
		out, err := n.call(c.To, c.Data)
		return hexutil.Bytes(out), err
	case "eth_sendRawTransaction":
		var raw hexutil.Bytes
		var tx types.Transaction
		if !arg(0, &raw) || tx.UnmarshalBinary(raw) != nil {
			return nil, &Error{Code: -32000, Message: "rlp: value size exceeds available input length"}
		}
		if err := n.accept(&tx); err != nil {
			return nil, err
		}
		return tx.Hash(), nil
	case "eth_getTransactionReceipt", "eth_getTransactionByHash":
		var h common.Hash
		if !arg(0, &h) {
			return nil, bad
		}
		return n.getTx(method, h), nil
	case "eth_maxPriorityFeePerGas":
		return (*hexutil.Big)(n.tip), nil
	}
	return nil, &Error{Code: -32601, Message: "the method " + method + " does not exist/is not available"}
}

func (n *Node) finalHeight() uint64 {
	if n.pinned != nil {
		return min(*n.pinned, n.top())
	}
	return n.top() - min(n.final, n.top())
}

func (n *Node) getBlock(ref string) (any, *Error) {
	var height uint64
	switch ref {
	case "latest", "pending":
		height = n.top()
	case "finalized", "safe":
		height = n.finalHeight()
	default:
		h, err := hexutil.DecodeUint64(ref)
		if err != nil {
			return nil, &Error{Code: -32602, Message: "invalid block number"}
		}
		height = h
	}
	if height >= uint64(len(n.blocks)) {
		return nil, nil
	}
	b := n.blocks[height]
	if b.header == nil {
		return nil, &Error{Code: 12, Message: "requested epoch was a null round (" + ref + ")", Data: height}
	}
	raw, err := json.Marshal(b.header)
	var m map[string]any
	if err != nil || json.Unmarshal(raw, &m) != nil {
		return nil, &Error{Code: -32603, Message: "fake: header does not encode"}
	}
	m["hash"] = b.hash
	txs := []common.Hash{}
	for _, r := range append(append([]*receipt{}, b.receipts...), b.madeUp...) {
		txs = append(txs, r.TxHash)
	}
	m["transactions"] = txs
	return m, nil
}

// resolve reads a block reference of a state query.
func (n *Node) resolve(raw json.RawMessage) (height uint64, pending bool, err *Error) {
	var tag string
	if json.Unmarshal(raw, &tag) == nil {
		switch tag {
		case "latest":
			return n.top(), false, nil
		case "pending":
			return n.top(), true, nil
		case "finalized":
			return n.finalHeight(), false, nil
		}
		h, bad := hexutil.DecodeUint64(tag)
		if bad != nil || h >= uint64(len(n.blocks)) {
			return 0, false, &Error{Code: -32000, Message: "header not found"}
		}
		return h, false, nil
	}
	var pin struct {
		BlockHash common.Hash `json:"blockHash"`
	}
	if json.Unmarshal(raw, &pin) == nil {
		for i, b := range n.blocks {
			if b.header != nil && b.hash == pin.BlockHash {
				return uint64(i), false, nil
			}
		}
	}
	return 0, false, &Error{Code: -32000, Message: "header for hash not found"}
}

type logQuery struct {
	From      *hexutil.Uint64  `json:"fromBlock"`
	To        *hexutil.Uint64  `json:"toBlock"`
	BlockHash *common.Hash     `json:"blockHash"`
	Address   []common.Address `json:"address"`
	Topics    [][]common.Hash  `json:"topics"`
}

func (n *Node) getLogs(q logQuery) (any, *Error) {
	var from, to uint64
	switch {
	case q.BlockHash != nil:
		found := false
		for i, b := range n.blocks {
			if b.header != nil && b.hash == *q.BlockHash {
				from, to, found = uint64(i), uint64(i), true
			}
		}
		if !found {
			return nil, &Error{Code: -32000, Message: "unknown block"}
		}
	case q.From == nil || q.To == nil:
		return nil, &Error{Code: -32602, Message: "invalid block range"}
	default:
		from, to = uint64(*q.From), uint64(*q.To)
		n.ranges = append(n.ranges, to-from+1)
		if n.maxRange > 0 && to-from+1 > n.maxRange {
			return nil, &Error{Code: -32005, Message: "block range exceeds maximum of " + hexutil.EncodeUint64(n.maxRange)}
		}
	}
	out := []*types.Log{}
	for h := from; h <= to && h < uint64(len(n.blocks)); h++ {
		for _, l := range n.blocks[h].logs {
			fits := has(q.Address, l.Address)
			for i, list := range q.Topics {
				fits = fits && (len(list) == 0 || i < len(l.Topics) && has(list, l.Topics[i]))
			}
			if fits {
				out = append(out, l)
			}
		}
	}
	if n.maxLogs > 0 && len(out) > n.maxLogs {
		return nil, &Error{Code: -32005, Message: "query returned more than 10000 results"}
	}
	return out, nil
}

func has[T comparable](list []T, v T) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return len(list) == 0
}

func (n *Node) getTx(method string, h common.Hash) any {
	for _, b := range n.blocks {
		for i, tx := range b.txs {
			if tx.Hash() != h {
				continue
			}
			if method == "eth_getTransactionReceipt" {
				return b.receipts[i]
			}
			return map[string]any{"hash": h, "blockHash": b.hash}
		}
	}
	if method == "eth_getTransactionReceipt" {
		for _, b := range n.blocks {
			for _, r := range b.madeUp {
				if r.TxHash == h {
					return r
				}
			}
		}
		return nil
	}
	for _, queue := range n.pool {
		for _, tx := range queue {
			if tx.Hash() == h {
				return map[string]any{"hash": h, "blockHash": nil}
			}
		}
	}
	return nil
}
