// Package fake holds counterparts with behaviour for tests: an EVM node that
// speaks JSON-RPC over a real socket and lies, lags, forks and drops on
// command, and an in-memory journal with the semantics of the durable one. It
// is imported by _test.go files only.
package fake

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// Error is a JSON-RPC error.
type Error struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

// Call is one request as a fault sees it. Result and Err hold the answer once
// next has run. HangUp closes the connection instead of answering.
type Call struct {
	Method string
	Params []json.RawMessage
	Result any
	Err    *Error
	HangUp bool
}

// Fault stands between a request and the node: it may skip next, or change
// what next answered.
type Fault func(c *Call, next func())

// TB is what the node needs of a test.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// block is one height; nil header means a null round.
type block struct {
	header   *types.Header
	hash     common.Hash
	txs      []*types.Transaction
	receipts []*receipt
	madeUp   []*receipt // of transactions that exist only as their logs
	logs     []*types.Log
}

type receipt struct {
	TxHash    common.Hash    `json:"transactionHash"`
	BlockHash common.Hash    `json:"blockHash"`
	Block     hexutil.Uint64 `json:"blockNumber"`
	Status    hexutil.Uint64 `json:"status"`
	GasUsed   hexutil.Uint64 `json:"gasUsed"`
	Logs      []*types.Log   `json:"logs"`
}

// Node is a chain of one node with a transaction pool. All methods are safe for
// concurrent use.
type Node struct {
	server *httptest.Server

	mu       sync.Mutex
	chainID  uint64
	blocks   []*block
	seed     uint64 // makes the hashes of a fork differ
	time     uint64
	final    uint64 // depth of the finalized tag below the newest block
	pinned   *uint64
	pool     map[common.Address]map[uint64]*types.Transaction
	balances map[common.Address]*big.Int
	baseFee  *big.Int
	tip      *big.Int
	gas      uint64
	drops    bool
	execute  func(from common.Address, tx *types.Transaction) (ok bool, logs []*types.Log)
	reverts  func(from common.Address, to common.Address, data []byte) *Error
	call     func(to common.Address, data []byte) ([]byte, *Error)
	always   map[string]Fault
	once     map[string][]Fault
	raw      func(w http.ResponseWriter, body []byte) bool
	counts   map[string]int
	ranges   []uint64 // widths of the log queries
	maxRange uint64   // 0: any
	maxLogs  int      // 0: any
}

// NewNode starts a node with a genesis block. It stops with the test.
func NewNode(t TB, chainID uint64) *Node {
	t.Helper()
	n := &Node{
		chainID: chainID, time: 1_700_000_000, pool: map[common.Address]map[uint64]*types.Transaction{},
		balances: map[common.Address]*big.Int{}, baseFee: big.NewInt(1_000_000_000), tip: big.NewInt(1_000_000_000), gas: 50_000,
		always: map[string]Fault{}, once: map[string][]Fault{}, counts: map[string]int{},
	}
	n.mine(nil)
	n.server = httptest.NewServer(http.HandlerFunc(n.serve))
	t.Cleanup(n.server.Close)
	return n
}

// URL is the endpoint.
func (n *Node) URL() string { return n.server.URL }

// CloseConnections drops every open connection, as a restart of the endpoint
// would.
func (n *Node) CloseConnections() { n.server.CloseClientConnections() }

// locked runs f with the node's state.
func (n *Node) locked(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// On puts a fault before every call of a method ("*" for all) until Clear.
func (n *Node) On(method string, f Fault) { n.locked(func() { n.always[method] = f }) }

// Once puts a fault before the next call of a method; several queue up.
func (n *Node) Once(method string, f Fault) {
	n.locked(func() { n.once[method] = append(n.once[method], f) })
}

// Raw answers whole HTTP requests; false lets the node answer.
func (n *Node) Raw(f func(w http.ResponseWriter, body []byte) bool) { n.locked(func() { n.raw = f }) }

// Clear removes all faults.
func (n *Node) Clear() {
	n.locked(func() {
		n.always, n.once, n.raw, n.drops = map[string]Fault{}, map[string][]Fault{}, nil, false
		n.maxRange, n.maxLogs = 0, 0
	})
}

// Calls is how often a method was called.
func (n *Node) Calls(method string) (count int) {
	n.locked(func() { count = n.counts[method] })
	return count
}

// Ranges are the widths in blocks of the log queries so far.
func (n *Node) Ranges() (out []uint64) {
	n.locked(func() { out = append(out, n.ranges...) })
	return out
}

// LimitLogs makes the node refuse log queries wider than blocks or with more
// than logs results; 0 lifts a limit.
func (n *Node) LimitLogs(blocks uint64, logs int) {
	n.locked(func() { n.maxRange, n.maxLogs = blocks, logs })
}

// SetChainID makes the endpoint serve another chain.
func (n *Node) SetChainID(id uint64) { n.locked(func() { n.chainID = id }) }

// SetFees sets base fee and suggested tip, in wei.
func (n *Node) SetFees(base, tip int64) {
	n.locked(func() { n.baseFee, n.tip = big.NewInt(base), big.NewInt(tip) })
}

// SetFinal puts the finalized tag depth blocks below the newest one.
func (n *Node) SetFinal(depth uint64) { n.locked(func() { n.final, n.pinned = depth, nil }) }

// PinFinal holds the finalized tag at a height.
func (n *Node) PinFinal(height uint64) { n.locked(func() { n.pinned = &height }) }

// SetTime sets the time of the next block, in Unix seconds.
func (n *Node) SetTime(unix uint64) { n.locked(func() { n.time = unix }) }

// Fund gives an account a balance.
func (n *Node) Fund(a common.Address, wei *big.Int) {
	n.locked(func() { n.balances[a] = new(big.Int).Set(wei) })
}

// AcceptAndDrop makes the node accept transactions and forget them.
func (n *Node) AcceptAndDrop(on bool) { n.locked(func() { n.drops = on }) }

// DropPool forgets all pending transactions.
func (n *Node) DropPool() {
	n.locked(func() { n.pool = map[common.Address]map[uint64]*types.Transaction{} })
}

// Execute sets what mined transactions do; nil: they succeed without logs.
func (n *Node) Execute(f func(from common.Address, tx *types.Transaction) (bool, []*types.Log)) {
	n.locked(func() { n.execute = f })
}

// Reverts sets which simulations fail, and how; nil: none.
func (n *Node) Reverts(f func(from, to common.Address, data []byte) *Error) {
	n.locked(func() { n.reverts = f })
}

// OnCall answers eth_call; nil: empty.
func (n *Node) OnCall(f func(to common.Address, data []byte) ([]byte, *Error)) {
	n.locked(func() { n.call = f })
}

// Sign makes a transaction of a key that is not known to the code under test
// to have sent it.
func (n *Node) Sign(key *ecdsa.PrivateKey, nonce uint64, to common.Address, data []byte, tip, feeCap int64) *types.Transaction {
	var id uint64
	n.locked(func() { id = n.chainID })
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(new(big.Int).SetUint64(id)), &types.DynamicFeeTx{
		ChainID: new(big.Int).SetUint64(id), Nonce: nonce, To: &to, Data: data, Gas: 100_000,
		GasTipCap: big.NewInt(tip), GasFeeCap: big.NewInt(feeCap),
	})
	if err != nil {
		panic(fmt.Sprintf("fake: sign: %v", err))
	}
	return tx
}

// Log makes a log to mine with MineLogs.
func Log(address common.Address, topic common.Hash, data []byte) *types.Log {
	return &types.Log{Address: address, Topics: []common.Hash{topic}, Data: data}
}

func (n *Node) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	n.mu.Lock()
	raw := n.raw
	n.mu.Unlock()
	if raw != nil && raw(w, body) {
		return
	}

	type message struct {
		ID     json.RawMessage   `json:"id"`
		Method string            `json:"method"`
		Params []json.RawMessage `json:"params"`
	}
	type answer struct {
		Version string          `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Result  any             `json:"result,omitempty"`
		Error   *Error          `json:"error,omitempty"`
	}
	one := func(m message) (answer, bool) {
		c := &Call{Method: m.Method, Params: m.Params}
		n.handle(c)
		a := answer{Version: "2.0", ID: m.ID, Error: c.Err}
		if c.Err == nil {
			a.Result = c.Result
			if c.Result == nil {
				a.Result = json.RawMessage("null")
			}
		}
		return a, !c.HangUp
	}

	var out any
	if len(body) > 0 && body[0] == '[' {
		var many []message
		if err := json.Unmarshal(body, &many); err != nil {
			http.Error(w, "bad batch", http.StatusBadRequest)
			return
		}
		answers := make([]answer, 0, len(many))
		for _, m := range many {
			a, ok := one(m)
			if !ok {
				hangUp(w)
				return
			}
			answers = append(answers, a)
		}
		out = answers
	} else {
		var m message
		if err := json.Unmarshal(body, &m); err != nil {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		a, ok := one(m)
		if !ok {
			hangUp(w)
			return
		}
		out = a
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(out)
}

func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}

// handle runs one call through its faults.
func (n *Node) handle(c *Call) {
	n.mu.Lock()
	n.counts[c.Method]++
	var fault Fault
	for _, name := range []string{c.Method, "*"} {
		if queue := n.once[name]; len(queue) > 0 {
			fault, n.once[name] = queue[0], queue[1:]
			break
		}
		if f := n.always[name]; f != nil {
			fault = f
			break
		}
	}
	n.mu.Unlock()
	next := func() { c.Result, c.Err = n.answer(c.Method, c.Params) }
	if fault == nil {
		next()
		return
	}
	fault(c, next)
}

// Ready-made faults.

// Fail answers with an error instead of asking the node.
func Fail(code int, message string, data any) Fault {
	return func(c *Call, _ func()) { c.Err = &Error{Code: code, Message: message, Data: data} }
}

// Answer answers with a value instead of asking the node.
func Answer(v any) Fault {
	return func(c *Call, _ func()) { c.Result = v }
}

// LoseReply lets the node act and then hangs up.
func LoseReply(c *Call, next func()) { next(); c.HangUp = true }

// HangUp closes the connection without asking the node.
func HangUp(c *Call, _ func()) { c.HangUp = true }

// Edit changes a result that is a JSON object.
func Edit(f func(m map[string]any)) Fault {
	return func(c *Call, next func()) {
		next()
		b, err := json.Marshal(c.Result)
		var m map[string]any
		if err != nil || json.Unmarshal(b, &m) != nil || m == nil {
			return
		}
		f(m)
		c.Result = m
	}
}

// EditList changes a result that is a JSON list.
func EditList(f func(l []any) []any) Fault {
	return func(c *Call, next func()) {
		next()
		b, err := json.Marshal(c.Result)
		var l []any
		if err != nil || json.Unmarshal(b, &l) != nil {
			return
		}
		c.Result = f(l)
	}
}

// NewKey is a fresh key and its address.
func NewKey() (*ecdsa.PrivateKey, common.Address) {
	key, err := crypto.GenerateKey()
	if err != nil {
		panic(fmt.Sprintf("fake: key: %v", err))
	}
	return key, crypto.PubkeyToAddress(key.PublicKey)
}
