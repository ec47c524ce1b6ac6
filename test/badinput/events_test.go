package badinput

import (
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/test/fake"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/stretchr/testify/require"
)

// begins are an event of the root and one of the subnet for each way a transfer
// begins, of numbers that no honest transfer has.
func begins() (root, sub []*types.Log) {
	env := message(ipc.KindCall, 70, new(big.Int), ipc.FromEVM(addr(8)), []byte{1})
	return []*types.Log{
			topDown(env), topDown(message(ipc.KindTransfer, 71, big.NewInt(1), ipc.FromEVM(addr(0x66)), nil)),
			emit(controllerABI, "LinkedTokensSent", addr(3), addr(6), addr(0x66), addr(0x66), env.TracingID(), uint64(70), big.NewInt(1<<40)),
			emit(actorABI, "NewPowerChangeRequest", addr(1), uint8(0), addr(0x66), make([]byte, 32), uint64(1)),
		}, []*types.Log{
			withdrawalSent(withdrawal(addr(5), 70)), withdrawalSent(withdrawal(addr(6), 71)),
			{Address: addr(7), Topics: []common.Hash{flow.TopicCheckpointDue}, Data: hash(1 << 40).Bytes()},
		}
}

// fates are forged events about the honest transfers of a new world: refunds,
// returns, deliveries, settlements.
func fates() (root, sub []*types.Log) {
	for nonce := range uint64(4) {
		sub = append(sub,
			emit(subGatewayABI, "TopDownMessageApplied", addr(7), nonce, hash(1), uint8(2), uint8(2), []byte{}),
			emit(outboxABI, "WithdrawalReturned", addr(9), withdrawalID(withdrawal(addr(6), nonce)), big.NewInt(9)))
		call := message(ipc.KindCall, nonce, new(big.Int), ipc.FromEVM(addr(8)), []byte{1, 2, 3})
		root = append(root,
			emit(controllerABI, "DepositRefunded", addr(3), call.TracingID(), addr(0x51), big.NewInt(9), true),
			emit(gatewayABI, "ResultApplied", addr(2), addr(1), call.TracingID(), uint8(2), uint8(0), addr(0x51), big.NewInt(9)),
			emit(fastABI, "WithdrawalSettled", addr(4), withdrawalID(withdrawal(addr(6), nonce)), addr(0x72), addr(6), big.NewInt(9), false),
			emit(fastABI, "WithdrawalQuarantined", addr(4), withdrawalID(withdrawal(addr(6), nonce)), addr(0x72), addr(6), big.NewInt(9), big.NewInt(8)),
			emit(actorABI, "CheckpointAccepted", addr(1), big.NewInt(int64(10*nonce+10)), hash(1), uint64(0), uint64(0)),
			emit(actorABI, "BatchExecuted", addr(1), big.NewInt(int64(10*nonce+10)), uint64(1), uint64(1)))
	}
	return root, sub
}

// changed changes each of two lists of logs.
func changed(logs func() (a, b []*types.Log), change func(*types.Log)) (a, b []*types.Log) {
	a, b = logs()
	for _, l := range slices.Concat(a, b) {
		change(l)
	}
	return a, b
}

// ignored is a try of logs round, and in the transactions of, honest transfers.
func ignored(what string, logs func() (root, sub []*types.Log)) try {
	return bridged(what, func(w *world) {
		root, sub := logs()
		w.start(1)
		w.root.MineLogs(root...)
		w.sub.MineLogs(sub...)
		w.honest(root, sub)
		w.read()
	})
}

// halted is a try of an event of our own contract that cannot be read. What is
// before it is paid.
func halted(what, chain, why string, log func() *types.Log) try {
	return bridged(what, func(w *world) {
		w.start(1)
		w.honest(nil, nil)
		w.ends()
		w.read()
		node := w.root
		if chain != flow.Root {
			node = w.sub
		}
		node.MineLogs(log())
		w.halts(chain, why)
	})
}

func from(contract common.Address) func(*types.Log) {
	return func(l *types.Log) { l.Address = contract }
}

// everything makes the node answer for any contract and topic.
func everything(c *fake.Call, next func()) {
	var q map[string]any
	if json.Unmarshal(c.Params[0], &q) == nil {
		delete(q, "address")
		delete(q, "topics")
		c.Params[0], _ = json.Marshal(q)
	}
	next()
}

func eventRows() []row {
	gateway, deposit, sent := func() *types.Log {
		return topDown(message(ipc.KindTransfer, 70, big.NewInt(9), ipc.FromEVM(addr(0x52)), nil))
	},
		func() *types.Log {
			return emit(controllerABI, "LinkedTokensSent", addr(3), addr(6), addr(0x51), addr(0x52), hash(1), uint64(70), big.NewInt(9))
		},
		func() *types.Log { return withdrawalSent(withdrawal(addr(6), 70)) }
	change := func(l func() *types.Log, f func(*types.Log)) func() *types.Log {
		return func() *types.Log { return with(l(), f) }
	}
	cut := func(n int) func(*types.Log) { return func(l *types.Log) { l.Data = l.Data[:len(l.Data)-n] } }
	word := func(i int, h common.Hash) func(*types.Log) {
		return func(l *types.Log) { copy(l.Data[32*i:], h[:]) }
	}
	huge := common.BigToHash(new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)))

	return []row{
		{id: "B1", what: "a log with our topics from another contract", tries: []try{
			ignored("from a contract whose events are read, alone and beside real ones", func() (a, b []*types.Log) { return changed(begins, from(stranger)) }),
			ignored("from a contract of ours that does not emit it", func() (a, b []*types.Log) {
				return changed(begins, func(l *types.Log) {
					l.Address = map[common.Address]common.Address{addr(2): addr(3), addr(3): addr(2), addr(1): addr(4), addr(9): addr(7), addr(7): addr(9)}[l.Address]
				})
			}),
			ignored("from our address on the other chain", func() (a, b []*types.Log) { a, b = begins(); return b, a }),
			bridged("from an endpoint that ignores the question", func(w *world) {
				w.root.On("eth_getLogs", everything)
				w.sub.On("eth_getLogs", everything)
				a, b := changed(begins, from(addr(0xef)))
				w.start(1)
				w.honest(a, b)
				w.read()
			}),
		}},
		{id: "B2", what: "a wrapper calls the gateway with value 0 and is itself called with 200", tries: []try{
			bridged("the event's amount counts, not the transaction's", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				key, from := fake.NewKey()
				w.root.Fund(from, big.NewInt(1e18))
				logs := w.flt(ipc.FromEVM(addr(0x52)), new(big.Int))
				w.root.Execute(func(common.Address, *types.Transaction) (bool, []*types.Log) { return true, logs })
				tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(rootID)), &types.DynamicFeeTx{
					ChainID: big.NewInt(rootID), To: &stranger, Value: big.NewInt(200), Gas: 100_000, GasFeeCap: big.NewInt(5e9), GasTipCap: big.NewInt(1e9)})
				require.NoError(w.t, err)
				require.Nil(w.t, w.root.Submit(tx))
				w.root.Mine()
				w.ends()
				j, ok, err := w.db.Get(w.t.Context(), w.newest("flt_deposit"))
				require.NoError(w.t, err)
				require.True(w.t, ok)
				require.Equal(w.t, tx.Hash(), j.Transfer.Origin.Tx)
				require.Equal(w.t, "0", j.Transfer.Amount.String())
			}),
		}},
		{id: "B3", what: "a malformed or forged fate from a foreign contract opens no refund", tries: []try{
			ignored("refunds, failures and returns of honest transfers", func() (a, b []*types.Log) { return changed(fates, from(stranger)) }),
			ignored("the same with a payload that does not decode", func() (a, b []*types.Log) {
				return changed(fates, func(l *types.Log) { l.Address, l.Data = stranger, []byte{0xff} })
			}),
			bridged("of our own contract about transfers that there are not", func(w *world) {
				w.start(1)
				none := withdrawal(addr(6), 90)
				w.honest([]*types.Log{
					emit(controllerABI, "DepositRefunded", addr(3), hash(5), addr(0x51), big.NewInt(9), true),
					emit(fastABI, "WithdrawalSettled", addr(4), withdrawalID(none), addr(0x72), addr(6), big.NewInt(9), true),
				}, []*types.Log{
					emit(subGatewayABI, "TopDownMessageApplied", addr(7), uint64(90), hash(1), uint8(2), uint8(2), []byte{}),
					emit(outboxABI, "WithdrawalReturned", addr(9), withdrawalID(none), big.NewInt(9)),
				})
				w.read()
			}),
		}},
		{id: "B4", what: "an event of a token that is none of ours", tries: []try{
			ignored("a deposit, a withdrawal, of zero, of an account without code, of the gateway", func() (a, b []*types.Log) {
				for _, token := range []common.Address{{}, addr(0x99), addr(2)} {
					a = append(a, emit(controllerABI, "LinkedTokensSent", addr(3), token, addr(0x51), addr(0x52), hash(1), uint64(70), big.NewInt(9)))
					b = append(b, withdrawalSent(withdrawal(token, 70)))
				}
				return a, b
			}),
		}},
		{id: "B5", what: "an amount from call data instead of the change of a balance",
			absent: "there are no new tokens: the two are fixed when the contracts are deployed, which refuse a deposit that does not arrive whole (C2)"},
		{id: "B6", what: "a valid envelope round an altered payload", tries: []try{
			halted("another value", flow.Root, "hashes to", change(gateway, word(4, hash(10)))),
			halted("the id of another message", flow.Root, "hashes to", change(gateway, func(l *types.Log) { l.Topics[2] = hash(3) })),
			halted("a withdrawal of another amount", "subnet", "hashes to", change(sent, word(1+7, hash(6_000_000)))),
			halted("a withdrawal to another recipient", "subnet", "hashes to", change(sent, word(1+5, hash(0x99)))),
			bridged("a batch with a message that nobody signed", func(w *world) {
				w.bridge.read = func(height uint64) []ipc.IpcEnvelope {
					out := slices.Clone(w.bridge.batches[height])
					for i := range out {
						out[i].Value = big.NewInt(1)
					}
					return out
				}
				w.start(1)
				w.honest(nil, nil)
				id := flow.TransferID("checkpoint", subID, addr(7), addr(1), w.due)
				w.until("the batch is refused", func() bool { return w.state(id) == "pending batch_mismatch" })
				require.False(w.t, slices.ContainsFunc(w.bridge.paidFor(), func(s string) bool { return strings.HasPrefix(s, "up") }))
				w.bridge.locked(func() { w.bridge.read = nil }) // the endpoint is changed
			}),
		}},
		{id: "B7", what: "a message whose target is the gateway, the actor or a token", tries: []try{
			bridged("it is carried once, fails there and changes nothing of ours", func(w *world) {
				w.bridge.fails = func(e ipc.IpcEnvelope) bool { to, _ := e.To.RawAddress.EVM(); return to != addr(0x52) && to != addr(8) }
				w.start(1)
				for _, to := range []common.Address{addr(1), addr(2), addr(3), addr(5), addr(6), addr(7)} {
					w.root.MineLogs(w.send(message(ipc.KindCall, w.down, new(big.Int), ipc.FromEVM(to), crypto.Keccak256([]byte("setGateway(address)"))))...)
				}
				w.honest(nil, nil)
			}),
		}},
		{id: "B8", what: "the same event again and again", tries: []try{
			bridged("a hundred times, shuffled, to three instances", func(w *world) {
				again := fake.EditList(func(l []any) []any {
					var out []any
					for range 100 {
						out = append(out, l...)
					}
					rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
					if len(out) > 0 && len(out)%100 == 0 {
						out = out[1:] // a round count would be asked for again in halves
					}
					return out
				})
				w.root.On("eth_getLogs", again)
				w.sub.On("eth_getLogs", again)
				w.start(3)
				for range 3 {
					w.honest(nil, nil)
				}
				w.read()
			}),
			bridged("fates that are told again after the end", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				w.ends()
				root, sub := fates()
				w.root.MineLogs(root[:3]...)
				w.sub.MineLogs(sub[:6]...)
				w.read()
			}),
		}},
		{id: "B9", what: "topics and data of impossible shapes", tries: []try{
			ignored("a topic more, or one less where there are four", func() (a, b []*types.Log) {
				return changed(begins, func(l *types.Log) {
					if len(l.Topics) == 4 {
						l.Topics = l.Topics[:3]
						return
					}
					l.Topics = append(l.Topics, hash(1))
				})
			}),
			ignored("our contracts with too few topics", func() (a, b []*types.Log) {
				a, b = changed(fates, func(l *types.Log) { l.Topics = l.Topics[:1] })
				return append(a, with(gateway(), func(l *types.Log) { l.Topics = l.Topics[:2] }), with(deposit(), func(l *types.Log) { l.Topics = l.Topics[:3] })),
					append(b, with(sent(), func(l *types.Log) { l.Topics = l.Topics[:2] }))
			}),
			ignored("our contracts with data that is cut short", func() (a, b []*types.Log) {
				for _, n := range []int{0, 1, 31, 32, 95} {
					a = append(a, with(deposit(), func(l *types.Log) { l.Data = l.Data[:n] }))
				}
				return a, []*types.Log{with(sent(), cut(1)), with(sent(), func(l *types.Log) { l.Data = nil })}
			}),
			ignored("dirty upper bytes of an address under a foreign contract", func() (a, b []*types.Log) {
				return changed(begins, func(l *types.Log) {
					l.Address = stranger
					for i := range l.Topics[1:] {
						l.Topics[i+1][0] = 0xff
					}
				})
			}),
			bridged("an anonymous log and one of five topics", func(w *world) {
				w.root.On("eth_getLogs", fake.EditList(func(l []any) []any {
					for i, x := range slices.Clone(l) {
						c := copyOf(x)
						c["topics"], c["logIndex"] = []any{}, "0x7"+string("0123456789abcdef"[i%16])
						l = append(l, c)
					}
					return l
				}))
				w.start(1)
				w.honest(nil, nil)
				w.read()
			}),
			halted("a truncated envelope", flow.Root, "decode top-down envelope", change(gateway, cut(32))),
			halted("an envelope and more", flow.Root, "decode top-down envelope", change(gateway, func(l *types.Log) { l.Data = append(l.Data, make([]byte, 32)...) })),
			halted("an offset outside", flow.Root, "decode top-down envelope", change(gateway, word(0, hash(1<<20)))),
			halted("an offset of 2^256-1", flow.Root, "decode top-down envelope", change(gateway, word(5, huge))),
			halted("a length of 2^256-1", flow.Root, "decode top-down envelope", change(gateway, func(l *types.Log) { copy(l.Data[len(l.Data)-32:], huge[:]) })),
			halted("a kind that there is not", flow.Root, "decode top-down envelope", change(gateway, word(1, hash(9)))),
			halted("a nonce above 2^64 in an envelope", flow.Root, "decode top-down envelope", change(gateway, word(2, huge))),
			halted("a nonce above 2^64 of a deposit", flow.Root, "nonce above 2^64", change(deposit, word(1, huge))),
			halted("an address of 32 bytes in a withdrawal", "subnet", "decode withdrawal", change(sent, word(1+1, huge))),
			halted("a withdrawal and more", "subnet", "decode withdrawal", change(sent, func(l *types.Log) { l.Data = append(l.Data, make([]byte, 32)...) })),
			halted("a power change of number 0", flow.Root, "power change with number 0", func() *types.Log {
				return emit(actorABI, "NewPowerChangeRequest", addr(1), uint8(0), addr(0x61), make([]byte, 32), uint64(0))
			}),
			halted("a power change of no known kind", flow.Root, "flow power", func() *types.Log {
				return emit(actorABI, "NewPowerChangeRequest", addr(1), uint8(9), addr(0x61), make([]byte, 32), uint64(1))
			}),
			halted("oversize data of rubbish", flow.Root, "decode top-down envelope", change(gateway, func(l *types.Log) { l.Data = []byte(strings.Repeat("\xff", 1<<20)) })),
		}},
		{id: "B10", what: "contracts that are no longer those that were deployed", tries: []try{
			alone("other code, or none, behind the addresses is refused at start", func(t *testing.T) {
				root, sub := fake.NewNode(t, rootID), fake.NewNode(t, subID)
				s, gone := ours(), common.Address{}
				for _, n := range []*fake.Node{root, sub} {
					require.NoError(t, n.Contracts(func(a common.Address) (fake.Actor, bool) {
						return fake.Actor{Period: period, Supply: s.FLT}, a == s.Actor
					},
						func(a common.Address) bool { return a != gone }))
				}
				probe := func() error {
					_, err := subnet.Probe(t.Context(), dial(t, root, rootID), dial(t, sub, subID), subnet.Contracts{ID: s.IPC, Gateway: s.Gateway, Actor: s.Actor, SubnetGateway: s.SubnetGateway})
					return err
				}
				require.NoError(t, probe())
				for _, at := range []common.Address{s.Gateway, s.Actor, s.SubnetGateway} {
					gone = at
					require.ErrorIs(t, probe(), subnet.ErrNoContract)
				}
				root.On("eth_getCode", fake.Answer("0x6080604052"))
				require.ErrorIs(t, probe(), subnet.ErrGeneration)
			}),
			halted("an event of another layout under the old topic", flow.Root, "decode top-down envelope", change(gateway, func(l *types.Log) {
				l.Data = slices.Concat(hash(32).Bytes(), hash(1).Bytes(), l.Data)
			})),
			bridged("what halted it goes through once it can be read", func(w *world) {
				w.start(1)
				w.honest(nil, nil)
				w.ends()
				w.read()
				w.root.On("eth_getLogs", fake.EditList(func(l []any) []any {
					for _, x := range l {
						m := x.(map[string]any)
						data, _ := m["data"].(string)
						m["data"] = data[:len(data)-64]
					}
					return l
				}))
				w.root.MineLogs(w.flt(ipc.FromEVM(addr(0x52)), big.NewInt(5))...)
				w.halts(flow.Root, "decode top-down envelope")
				w.root.Clear()
			}),
		}},
	}
}
