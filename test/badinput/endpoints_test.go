package badinput

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/stretchr/testify/require"
)

// refused is a try of a root that lies for a while: as long as it does nothing of
// it is read, and the honest deposit behind the lie is paid afterwards.
func refused(what, why string, lie func(*fake.Node)) try {
	return bridged(what, func(w *world) {
		w.start(1)
		w.honest(nil, nil)
		w.ends()
		w.read()
		from, paid := w.next(flow.Root), len(w.bridge.paidFor())
		w.root.PinFinal(w.root.Height()) // until there is something to lie about
		w.root.Mine()
		w.root.MineLogs(w.usdc(addr(0x52), big.NewInt(5))...)
		lie(w.root)
		w.root.SetFinal(0)
		w.until("the lie is refused", func() bool { return w.said(flow.Root) != nil })
		for range 10 {
			require.Equal(w.t, from, w.next(flow.Root))
			require.Len(w.t, w.bridge.paidFor(), paid)
			time.Sleep(2 * time.Millisecond)
		}
		w.mu.Lock()
		require.True(w.t, slices.ContainsFunc(w.all, func(err error) bool {
			return errors.Is(err, chains.ErrUnavailable) && strings.Contains(err.Error(), why)
		}), "no %q in %v", why, w.all)
		w.mu.Unlock()
		w.root.Clear()
	})
}

// onLogs edits the answers to questions about logs, over ranges and of one
// block.
func onLogs(f func([]any) []any) func(*fake.Node) {
	return func(n *fake.Node) { n.On("eth_getLogs", fake.EditList(f)) }
}

// onBlocks edits every header.
func onBlocks(f func(map[string]any)) func(*fake.Node) {
	return func(n *fake.Node) { n.On("eth_getBlockByNumber", fake.Edit(f)) }
}

// ofRanges lies about ranges; what is asked of one block is answered honestly.
func ofRanges(n *fake.Node, lie fake.Fault) {
	n.On("eth_getLogs", func(c *fake.Call, next func()) {
		if strings.Contains(string(c.Params[0]), "fromBlock") {
			lie(c, next)
			return
		}
		next()
	})
}

// copyOf is a log to change.
func copyOf(log any) map[string]any {
	out := map[string]any{}
	for k, v := range log.(map[string]any) {
		out[k] = v
	}
	return out
}

// raw answers every request with bytes.
func raw(contentType, body string) func(*fake.Node) {
	return func(n *fake.Node) {
		n.Raw(func(w http.ResponseWriter, _ []byte) bool {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write([]byte(body))
			return true
		})
	}
}

// bounded is a client that takes little, so that little is too much.
func bounded(t *testing.T, n *fake.Node) *evm.Client {
	return dial(t, n, rootID, func(c *evm.Config) { c.MaxBytes, c.Timeout, c.MaxLogs = 64<<10, time.Second, 50 })
}

// limit is a try of one answer that is out of a bound.
func limit(what, why string, lie func(*fake.Node)) try {
	return alone(what, func(t *testing.T) {
		n := fake.NewNode(t, rootID)
		for range 80 {
			n.MineLogs(topDown(message(ipc.KindTransfer, 1, big.NewInt(1), ipc.FromEVM(addr(0x52)), nil)))
		}
		c := bounded(t, n)
		ask := func() error {
			if _, err := c.Head(t.Context()); err != nil {
				return err
			}
			_, _, err := c.Events(t.Context(), chains.Query{From: chains.Cursor{Chain: rootID, Next: 1, Parent: n.Hash(0)}, To: 20,
				Filter: chains.Filter{Addresses: ours().RootContracts(), Topics: ours().RootTopics()}})
			return err
		}
		require.NoError(t, ask())
		lie(n)
		began := time.Now()
		err := ask()
		require.ErrorIs(t, err, chains.ErrUnavailable)
		require.ErrorContains(t, err, why)
		require.Less(t, time.Since(began), 5*time.Second)
		n.Clear()
		require.NoError(t, ask())
	})
}

// regressed is a try of a root whose final blocks change, depth of them, above a
// deposit that nothing was sent for yet.
func regressed(depth int) try {
	return bridged(fmt.Sprintf("depth %d", depth), func(w *world) {
		w.start(1)
		w.honest(nil, nil)
		w.ends()
		w.read()
		w.bridge.locked(func() { w.bridge.refuse = func(call) error { return chains.ErrUnavailable } })
		owed := slices.Clone(w.bridge.owed)
		w.root.MineLogs(w.usdc(addr(0x52), big.NewInt(5))...)
		w.root.MineN(depth - 1)
		w.read()
		for _, route := range []string{"topdown", "usdc_deposit"} {
			w.want[w.newest(route)] = "parked finality_regress"
		}
		w.bridge.locked(func() { w.bridge.owed = owed })

		w.root.Reorg(depth, true)
		w.root.Mine()
		w.until("the fork is found", func() bool { var f *watch.ForkError; return errors.As(w.said(flow.Root), &f) })
		w.ends()
		w.bridge.locked(func() { w.bridge.refuse = nil })
		_, ok, err := w.db.Claim(w.t.Context(), "whoever", 9)
		require.NoError(w.t, err)
		require.False(w.t, ok, "lanes that rest on the root stand still")
	})
}

func endpointRows() []row {
	forged := func(n *fake.Node, block uint64) any {
		var l any
		b, _ := json.Marshal(&types.Log{Address: addr(2), Topics: topDown(message(ipc.KindTransfer, 70, big.NewInt(1e9), ipc.FromEVM(addr(0x66)), nil)).Topics,
			Data: topDown(message(ipc.KindTransfer, 70, big.NewInt(1e9), ipc.FromEVM(addr(0x66)), nil)).Data, BlockNumber: block, BlockHash: n.Hash(block), TxHash: hash(5), Index: 9})
		_ = json.Unmarshal(b, &l)
		return l
	}
	return []row{
		{id: "B11", what: "an endpoint that forges logs under right headers", tries: []try{
			refused("in a block whose bloom has none of ours", "bloom", func(n *fake.Node) {
				at := n.Height() - 1
				onLogs(func(l []any) []any { return append(l, forged(n, at)) })(n)
			}),
			refused("under a hash that the block has not", "block", func(n *fake.Node) {
				at := n.Height()
				onLogs(func(l []any) []any {
					f := forged(n, at)
					f.(map[string]any)["blockHash"] = hash(6)
					return append(l, f)
				})(n)
			}),
			refused("in one of two answers", "two answers", func(n *fake.Node) {
				ofRanges(n, fake.EditList(func(l []any) []any {
					twin := copyOf(l[0])
					twin["data"], twin["logIndex"] = "0xff", "0x9"
					return append(l, twin)
				}))
			}),
			refused("two logs at one place", "two logs at one index", func(n *fake.Node) {
				onLogs(func(l []any) []any {
					twin := copyOf(l[0])
					twin["data"] = "0xff"
					return append(l, twin)
				})(n)
			}),
			alone("one endpoint by itself must be admitted to", func(t *testing.T) {
				require.ErrorContains(t, relayer.Default().Check(), "single_source")
			}),
		}},
		{id: "B12", what: "an endpoint that lags and answers with nothing", tries: []try{
			refused("an empty list near the head: the cursor stays", "two answers", func(n *fake.Node) { ofRanges(n, fake.Answer([]any{})) }),
			refused("null", "eth_getLogs", func(n *fake.Node) { n.On("eth_getLogs", fake.Answer(nil)) }),
			refused("no header", "eth_getBlockByNumber", func(n *fake.Node) { n.On("eth_getBlockByNumber", fake.Answer(nil)) }),
		}},
		{id: "B13", what: "an endpoint that stands still and answers", tries: []try{
			alone("a head older than is allowed is no head", func(t *testing.T) {
				n := fake.NewNode(t, rootID)
				n.MineN(3)
				c := dial(t, n, rootID, func(c *evm.Config) { c.MaxHeadAge = time.Minute })
				_, err := c.Head(t.Context())
				require.ErrorIs(t, err, chains.ErrUnavailable)
				n.SetTime(uint64(time.Now().Unix()))
				n.Mine()
				_, err = c.Head(t.Context())
				require.NoError(t, err)
			}),
		}},
		{id: "B14", what: "final blocks that change, 1 to 900 deep", tries: []try{regressed(1), regressed(2), regressed(5), regressed(7), regressed(30), regressed(32), regressed(64), regressed(900)}},
		{id: "B15", what: "a deposit in a block that goes before it is final", tries: []try{
			bridged("it does not come back", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				w.ends()
				w.root.PinFinal(w.root.Height())
				w.root.MineLogs(topDown(message(ipc.KindTransfer, w.down, big.NewInt(5), ipc.FromEVM(addr(0x66)), nil)))
				w.root.MineN(3)
				w.rootIs(w.root.Height() - 4)
				w.root.Reorg(4, true)
				w.root.SetFinal(0)
				w.read()
			}),
			bridged("it comes back with another amount and recipient", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				w.ends()
				w.root.PinFinal(w.root.Height())
				w.root.MineLogs(topDown(message(ipc.KindTransfer, w.down, big.NewInt(5), ipc.FromEVM(addr(0x66)), nil)))
				w.root.MineN(3)
				w.rootIs(w.root.Height() - 4)
				w.root.Reorg(4, true)
				w.root.MineLogs(w.flt(ipc.FromEVM(addr(0x52)), big.NewInt(4))...)
				w.root.SetFinal(0)
				w.ends()
				j, _, err := w.db.Get(w.t.Context(), w.newest("flt_deposit"))
				require.NoError(w.t, err)
				require.Equal(w.t, "4", j.Transfer.Amount.String())
				require.Equal(w.t, addr(0x52), j.Transfer.Recipient)
			}),
		}},
		{id: "B16", what: "two hashes of one nonce, receipts that lie, logs that were removed", tries: []try{
			alone("two hashes are one transaction", func(t *testing.T) {
				r := newSender(t)
				r.send("a")
				r.node.SetFees(20e9, 2e9)
				r.until("another hash is signed", func() bool { return len(r.intent(0).Attempts) > 1 })
				r.node.SetFees(1e9, 1e9)
				r.mineUntil("it is decided", func() bool { return r.intent(0).State.Decided() })
				require.Equal(t, chains.IntentSucceeded, r.intent(0).State)
				require.Equal(t, []uint64{0}, r.node.Nonces(r.from))
				require.Equal(t, 1, r.node.Mined([]byte("a")))
			}),
			receipt("missing", fake.Answer(nil)),
			receipt("of another transaction", fake.Edit(func(m map[string]any) { m["transactionHash"] = hash(7) })),
			receipt("of a block that is not", fake.Edit(func(m map[string]any) { m["blockHash"] = hash(7) })),
			receipt("without a status", fake.Edit(func(m map[string]any) { delete(m, "status") })),
			receipt("of a negative height", fake.Edit(func(m map[string]any) { m["blockNumber"] = "-0x6" })),
			bridged("logs marked as removed are none", func(w *world) {
				w.root.On("eth_getLogs", fake.EditList(func(l []any) []any {
					for _, x := range slices.Clone(l) {
						gone := copyOf(x)
						gone["removed"], gone["logIndex"] = true, "0x77"
						l = append(l, gone)
					}
					return l
				}))
				w.start(1)
				w.honest(nil, nil)
				w.read()
			}),
			bridged("a list without the newest log first, the whole one later", func(w *world) {
				var cut atomic.Int64
				ofRanges(w.root, fake.EditList(func(l []any) []any {
					if len(l) > 0 && cut.Add(1) <= 4 {
						l = l[:len(l)-1]
					}
					return l
				}))
				w.start(1)
				w.honest(nil, nil)
				w.read()
				require.Greater(w.t, cut.Load(), int64(4))
			}),
		}},
		{id: "B17", what: "an endpoint of another chain", tries: []try{
			alone("at start and at each new connection", func(t *testing.T) {
				n := fake.NewNode(t, rootID)
				n.Mine()
				cfg := evm.Config{Name: "root", URL: n.URL(), ChainID: 1, Timeout: 5 * time.Second}
				_, err := evm.Dial(t.Context(), cfg, nil)
				require.ErrorIs(t, err, chains.ErrWrongChain)
				cfg.ChainID, cfg.GenesisHash = rootID, hash(3)
				_, err = evm.Dial(t.Context(), cfg, nil)
				require.ErrorIs(t, err, chains.ErrWrongChain)
				c := dial(t, n, rootID, func(c *evm.Config) { c.GenesisHash = n.Hash(0) })
				n.SetChainID(5)
				n.CloseConnections()
				require.Eventually(t, func() bool {
					_, err = c.NonceAt(t.Context(), addr(1), evm.AtLatest)
					return errors.Is(err, chains.ErrWrongChain)
				}, 10*time.Second, 5*time.Millisecond)
			}),
			bridged("while it is read", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				w.ends()
				w.read()
				w.root.SetChainID(5)
				w.root.MineLogs(w.flt(ipc.FromEVM(addr(0x52)), big.NewInt(4))...)
				w.until("it is noticed", func() bool { return errors.Is(w.said(flow.Root), chains.ErrWrongChain) })
				require.LessOrEqual(w.t, w.next(flow.Root), w.root.Height())
				w.root.SetChainID(rootID)
			}),
		}},
		{id: "B18", what: "an answer of too many bytes", tries: []try{
			limit("of one request", "oversize", raw("application/json", `{"jsonrpc":"2.0","id":1,"result":"0x`+strings.Repeat("0", 80<<10)+`"}`)),
		}},
		{id: "B19", what: "an answer that never ends", tries: []try{
			limit("a byte now, the rest never", "", func(n *fake.Node) {
				n.Raw(func(w http.ResponseWriter, _ []byte) bool {
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(`{"jsonrpc":`))
					w.(http.Flusher).Flush()
					time.Sleep(1500 * time.Millisecond)
					return true
				})
			}),
		}},
		{id: "B20", what: "negative numbers", tries: []try{
			refused("as a height", "eth_getBlockByNumber", onBlocks(func(m map[string]any) { m["number"] = "-0x1" })),
			refused("as a place in a block", "eth_getLogs", onLogs(func(l []any) []any { l[0].(map[string]any)["logIndex"] = "-0x1"; return l })),
		}},
		{id: "B21", what: "numbers that are none", tries: []try{
			refused("0x without a digit", "eth_getBlockByNumber", onBlocks(func(m map[string]any) { m["number"] = "0x" })),
			refused("beyond 64 bits", "eth_getBlockByNumber", onBlocks(func(m map[string]any) { m["timestamp"] = "0x" + strings.Repeat("f", 20) })),
			refused("a JSON number", "eth_getLogs", onLogs(func(l []any) []any { l[0].(map[string]any)["blockNumber"] = 3; return l })),
			refused("a leading zero", "eth_getLogs", onLogs(func(l []any) []any { l[0].(map[string]any)["blockNumber"] = "0x03"; return l })),
		}},
		{id: "B22", what: "the same JSON key twice", tries: []try{
			bridged("the log of a stranger with a second address of ours", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				w.ends()
				w.read()
				w.root.On("eth_getLogs", func(c *fake.Call, next func()) {
					everything(c, next)
					b, _ := json.Marshal(c.Result)
					c.Result = json.RawMessage(strings.ReplaceAll(string(b), `{"address":`, `{"address":"`+w.s.Gateway.Hex()+`","address":`))
				})
				a, _ := changed(begins, from(addr(0xef)))
				w.root.MineLogs(a...)
				w.read()
			}),
			refused("a header with two hashes", "", func(n *fake.Node) {
				n.On("eth_getBlockByNumber", func(c *fake.Call, next func()) {
					next()
					b, _ := json.Marshal(c.Result)
					c.Result = json.RawMessage(strings.TrimSuffix(string(b), "}") + `,"hash":"` + hash(5).Hex() + `"}`)
				})
			}),
		}},
		{id: "B23", what: "JSON nested ten thousand deep", tries: []try{
			limit("as an answer", "oversize", raw("application/json", strings.Repeat(`{"a":`, 10_000))),
			refused("as a block", "", func(n *fake.Node) {
				n.On("eth_getBlockByNumber", fake.Answer(json.RawMessage(strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000))))
			}),
		}},
		{id: "B24", what: "a head that goes backwards", tries: []try{
			alone("it is not followed", func(t *testing.T) {
				n := fake.NewNode(t, rootID)
				n.MineN(20)
				c := dial(t, n, rootID)
				head, err := c.Head(t.Context())
				require.NoError(t, err)
				require.Equal(t, uint64(20), head.Number)
				n.PinFinal(15)
				_, err = c.Head(t.Context())
				require.ErrorIs(t, err, chains.ErrUnavailable)
			}),
		}},
		{id: "B25", what: "a time in 2099", tries: []try{
			refused("of a block", "", onBlocks(func(m map[string]any) { m["timestamp"] = hexutil.Uint64(4_073_000_000) })),
		}},
		{id: "B26", what: "a gas price of 10^30", tries: []try{
			alone("a tip is cut to the ceiling", func(t *testing.T) {
				r := newSender(t)
				r.node.On("eth_maxPriorityFeePerGas", fake.Answer("0xc9f2c9cd04674edea40000000"))
				r.send("a")
				a := r.intent(0).Attempts[0]
				require.LessOrEqual(t, a.TipWei.Cmp(evm.DefaultTx().MaxTipWei), 0)
				require.LessOrEqual(t, a.FeeCapWei.Cmp(evm.DefaultTx().MaxFeeCapWei), 0)
			}),
			unsent("a base fee above the ceiling", evm.ErrFees, func(r *sender) { r.node.SetFees(600e9, 1e9); r.node.Mine() }),
			unsent("a negative tip", chains.ErrUnavailable, func(r *sender) { r.node.On("eth_maxPriorityFeePerGas", fake.Answer("-0x1")) }),
			unsent("more gas than is allowed", chains.ErrGasLimit, func(r *sender) { r.node.On("eth_estimateGas", fake.Answer("0xffffffffff")) }),
		}},
		{id: "B27", what: "an answer of another kind than was asked for, or of too many parts", tries: []try{
			limit("HTML", "", raw("text/html", "<html>down for maintenance</html>")),
			limit("HTML that says it is JSON", "", raw("application/json", "<html>")),
			limit("a string", "", raw("application/json", `"hello"`)),
			limit("nothing", "", raw("application/json", "")),
			alone("a list that is too long is read in another way, and each log once", func(t *testing.T) {
				n := fake.NewNode(t, rootID)
				for range 20 {
					n.MineLogs(topDown(message(ipc.KindTransfer, 1, big.NewInt(1), ipc.FromEVM(addr(0x52)), nil)))
				}
				c := bounded(t, n)
				onLogs(func(l []any) []any {
					for range 6 {
						l = append(l, l...)
					}
					return l
				})(n)
				got := 0
				for cur := (chains.Cursor{Chain: rootID, Next: 1, Parent: n.Hash(0)}); cur.Next <= 20; {
					last, events, err := c.Events(t.Context(), chains.Query{From: cur, To: 20, Filter: chains.Filter{Addresses: ours().RootContracts(), Topics: ours().RootTopics()}})
					require.NoError(t, err)
					got, cur.Next, cur.Parent = got+len(events), last.Number+1, last.Hash
				}
				require.Equal(t, 20, got)
			}),
		}},
		{id: "B28", what: "a guard file that is damaged", tries: []try{
			alone("intents that were signed", func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "intents")
				r := newSender(t, func(c *evm.TxConfig) { c.IntentsFile = file })
				r.send("a")
				r.send("b")
				r.stop()
				whole, err := os.ReadFile(file)
				require.NoError(t, err)
				for _, at := range []int{0, 40} {
					damaged := slices.Clone(whole)
					damaged[at] ^= 1
					require.NoError(t, os.WriteFile(file, damaged, 0o600))
					_, err = r.manager()
					require.ErrorContains(t, err, "open intents file")
				}
			}),
			alone("what was last seen of the store", func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "epoch")
				open := func() error {
					db, err := store.Open(t.Context(), store.Options{URL: server.URL(), Namespace: t.Name()[len(t.Name())-5:] + fmt.Sprint(worlds.Load()), EpochFile: file})
					if err == nil {
						err = db.Close()
					}
					return err
				}
				require.NoError(t, open())
				for _, text := range []string{"", "rubbish", "-1 ab 0", "1 xyz 0"} {
					require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
					require.Error(t, open(), "%q", text)
				}
			}),
			alone("what was last seen of a store of another history", func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "epoch")
				require.NoError(t, os.WriteFile(file, []byte("9 "+strings.Repeat("ab", 16)+" 0"), 0o600))
				_, err := store.Open(t.Context(), store.Options{URL: server.URL(), Namespace: fmt.Sprint("other", worlds.Add(1)), EpochFile: file})
				require.ErrorIs(t, err, store.ErrForgot)
			}),
		}},
	}
}

// receipt is a try of a receipt that lies: it decides nothing.
func receipt(what string, lie fake.Fault) try {
	return alone("a receipt "+what, func(t *testing.T) {
		r := newSender(t)
		r.send("a")
		r.node.On("eth_getTransactionReceipt", lie)
		r.node.MineN(8)
		asked := r.node.Calls("eth_getTransactionReceipt")
		r.until("it is asked for again and again", func() bool { return r.node.Calls("eth_getTransactionReceipt") > asked+8 })
		require.False(t, r.intent(0).State.Decided())
		require.Len(t, r.intent(0).Attempts, 1)
		r.node.Clear()
		r.until("the honest one decides", func() bool { return r.intent(0).State == chains.IntentSucceeded })
		require.Equal(t, []uint64{0}, r.node.Nonces(r.from))
	})
}

// unsent is a try in which nothing is signed.
func unsent(what string, want error, lie func(*sender)) try {
	return alone(what, func(t *testing.T) {
		r := newSender(t)
		lie(r)
		require.ErrorIs(t, r.m.Send(t.Context(), r.tx("a")), want)
		require.Empty(t, r.journal.All(rootID, r.from))
		require.Empty(t, r.node.Pending(r.from))
	})
}
