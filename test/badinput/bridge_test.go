package badinput

import (
	"context"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
)

// bridge is what the transactions of the relayers do: it applies whatever they
// send, lists it as paid, and mines the events that the contracts emit.
type bridge struct {
	w *world

	mu      sync.Mutex
	owed    []string // what must be paid, each once
	paid    []string
	applied uint64 // messages into the subnet
	last    uint64 // checkpoint on the root
	final   *uint64
	up      uint64 // messages executed on the root
	pending []flow.PendingBatch
	batches map[uint64][]ipc.IpcEnvelope // of each checkpoint, as signed
	read    func(height uint64) []ipc.IpcEnvelope
	settles map[common.Hash]ipc.Withdrawal // by leaf
	back    []common.Hash                  // withdrawals that stand returned

	fails  func(ipc.IpcEnvelope) bool // in its recipient
	unpaid func(ipc.IpcEnvelope) bool // the refund or payout is refused
	refuse func(call) error           // instead of applying
}

// call is the data of a transaction here.
type call struct {
	Verb   string
	Height uint64
	Bodies [][]byte
}

func (c call) tx(to common.Address) (chains.Tx, error) {
	data, err := json.Marshal(c)
	return chains.Tx{To: to, Data: data}, err
}

func (b *bridge) locked(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *bridge) owe(what string) { b.locked(func() { b.owed = append(b.owed, what) }) }

func (b *bridge) paidFor() (out []string) {
	b.locked(func() { out = slices.Clone(b.paid) })
	return out
}

func (b *bridge) carry(height uint64, env ipc.IpcEnvelope, w ipc.Withdrawal) {
	b.locked(func() {
		b.batches[height] = append(b.batches[height], env)
		b.settles[env.Leaf()] = w
	})
}

// opened takes a transaction apart, unless it is refused.
func (b *bridge) opened(tx chains.Tx) (c call, err error) {
	if err := json.Unmarshal(tx.Data, &c); err != nil {
		return c, err
	}
	if b.refuse != nil {
		return c, b.refuse(c)
	}
	return c, nil
}

func (b *bridge) deliverDeps() flow.DeliverDeps {
	applied := func(context.Context) (a flow.Applied, err error) {
		b.locked(func() { a.Nonce = b.applied })
		return a, nil
	}
	return flow.DeliverDeps{
		AppliedFinal: applied, AppliedLatest: applied,
		CommittedAt: func(_ context.Context, nonce uint64) (flow.Pair, error) { return flow.Pair{Nonce: nonce}, nil },
		Bodies:      func(context.Context, string, uint64, uint64) ([][]byte, error) { return nil, nil }, // nothing is behind
		DeliverTx: func(bodies [][]byte, _ []common.Hash) (chains.Tx, error) {
			return call{Verb: "deliver", Bodies: bodies}.tx(b.w.s.SubnetGateway)
		},
		Send: b.deliver, MaxBytes: 64 << 10, MaxCount: 50,
	}
}

// powerDeps are of the other queue, in which nothing must ever be sent here.
func (b *bridge) powerDeps() flow.DeliverDeps {
	d := b.deliverDeps()
	d.AppliedFinal = func(context.Context) (flow.Applied, error) { return flow.Applied{}, nil }
	d.AppliedLatest = d.AppliedFinal
	d.Send = func(context.Context, chains.Tx) error {
		b.locked(func() { b.paid = append(b.paid, "power") })
		return nil
	}
	return d
}

func (b *bridge) deliver(_ context.Context, tx chains.Tx) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, err := b.opened(tx)
	if err != nil {
		return err
	}
	var below, above []*types.Log
	s := b.w.s
	for _, body := range c.Bodies {
		env, err := ipc.DecodeEnvelope(body)
		if err != nil {
			return err
		}
		b.paid = append(b.paid, "down "+env.Leaf().Hex())
		outcome := uint8(0)
		if b.fails != nil && b.fails(env) {
			outcome = 2
			ok := b.unpaid == nil || !b.unpaid(env)
			switch {
			case env.Kind == ipc.KindCall:
				above = append(above, emit(controllerABI, "DepositRefunded", s.Controller, env.TracingID(), addr(0x51), big.NewInt(1), ok))
			case ok:
				above = append(above, emit(gatewayABI, "ResultApplied", s.Gateway, s.Actor, env.TracingID(), uint8(2), uint8(0), addr(0x51), env.Value))
			default:
				above = append(above, emit(gatewayABI, "ResultApplied", s.Gateway, s.Actor, env.TracingID(), uint8(2), uint8(1), addr(0x51), env.Value))
			}
		}
		below = append(below, emit(subGatewayABI, "TopDownMessageApplied", s.SubnetGateway, b.applied, env.TracingID(), outcome, outcome, []byte{}))
		b.applied++
	}
	b.w.sub.MineLogs(below...)
	if len(above) > 0 {
		// The answer is later than what it answers, on the other chain's clock too.
		b.w.root.SetTime(1_700_000_000 + 12*(b.w.root.Height()+b.w.sub.Height()+2))
		b.w.root.MineLogs(above...)
	}
	return nil
}

func (b *bridge) checkpointDeps() flow.CheckpointDeps {
	state := func(final bool) func(context.Context) (flow.RootState, error) {
		return func(context.Context) (st flow.RootState, err error) {
			b.locked(func() {
				st = flow.RootState{LastHeight: b.last, Pending: slices.Clone(b.pending), Applied: b.up}
				if final && b.final != nil {
					st = flow.RootState{LastHeight: *b.final}
				}
			})
			return st, nil
		}
	}
	return flow.CheckpointDeps{
		StateFinal: state(true), StateLatest: state(false),
		Bundle: func(_ context.Context, height uint64) (flow.Bundle, error) {
			return flow.Bundle{Checkpoint: ipc.BottomUpCheckpoint{BlockHeight: new(big.Int).SetUint64(height)}}, nil
		},
		Batch: func(_ context.Context, height uint64) (out []ipc.IpcEnvelope, err error) {
			b.locked(func() {
				if out = b.batches[height]; b.read != nil {
					out = b.read(height)
				}
			})
			return out, nil
		},
		SubmitTx: func(in flow.Bundle) (chains.Tx, error) {
			return call{Verb: "submit", Height: in.Checkpoint.BlockHeight.Uint64()}.tx(b.w.s.Actor)
		},
		ExecuteTx: func(height uint64, in []ipc.Inclusion) (chains.Tx, error) {
			c := call{Verb: "execute", Height: height}
			for _, m := range in {
				body, err := ipc.EncodeEnvelope(m.Msg)
				if err != nil {
					return chains.Tx{}, err
				}
				c.Bodies = append(c.Bodies, body)
			}
			return c.tx(b.w.s.Actor)
		},
		SendRoot: b.onto, MaxBytes: 64 << 10, MaxCount: 50, MaxSend: 4,
	}
}

func (b *bridge) onto(_ context.Context, tx chains.Tx) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, err := b.opened(tx)
	if err != nil {
		return err
	}
	s, height := b.w.s, new(big.Int).SetUint64(c.Height)
	if c.Verb == "submit" {
		b.last = c.Height
		signed := ipc.Commit(b.batches[c.Height])
		if signed.TotalNumMsgs > 0 {
			b.pending = append(b.pending, flow.PendingBatch{Height: c.Height, Commitment: signed})
		}
		b.w.root.MineLogs(emit(actorABI, "CheckpointAccepted", s.Actor, height, hash(1), signed.TotalNumMsgs, uint64(0)))
		return nil
	}
	var logs []*types.Log
	for _, body := range c.Bodies {
		env, err := ipc.DecodeEnvelope(body)
		if err != nil {
			return err
		}
		b.paid = append(b.paid, "up "+env.Leaf().Hex())
		if w, ok := b.settles[env.Leaf()]; ok {
			logs = append(logs, emit(fastABI, "WithdrawalSettled", s.FastWithdrawals, withdrawalID(w), w.Recipient, w.Token, w.Gross, b.unpaid == nil || !b.unpaid(env)))
		}
		b.up++
	}
	i := slices.IndexFunc(b.pending, func(p flow.PendingBatch) bool { return p.Height == c.Height })
	if all := b.batches[c.Height]; all[len(all)-1].LocalNonce < b.up {
		b.pending = slices.Delete(b.pending, i, i+1)
		logs = append(logs, emit(actorABI, "BatchExecuted", s.Actor, height, uint64(len(all)), uint64(len(all))))
	}
	b.w.root.MineLogs(logs...)
	return nil
}

func (b *bridge) returned(_ context.Context, ids []common.Hash) ([]bool, error) {
	out := make([]bool, len(ids))
	b.locked(func() {
		for i, id := range ids {
			out[i] = slices.Contains(b.back, id)
		}
	})
	return out, nil
}

func (b *bridge) resendTx(_ context.Context, w ipc.Withdrawal) (chains.Tx, error) {
	return call{Verb: "resend", Height: w.Nonce}.tx(b.w.s.Outbox)
}

func (b *bridge) resend(_ context.Context, tx chains.Tx) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := b.opened(tx); err != nil {
		return err
	}
	b.paid = append(b.paid, tx.Key)
	id := common.HexToHash(strings.TrimPrefix(tx.Key, "resend/"))
	b.back = slices.DeleteFunc(b.back, func(h common.Hash) bool { return h == id })
	b.w.root.MineLogs(emit(fastABI, "WithdrawalSettled", b.w.s.FastWithdrawals, id, addr(0x72), addr(6), big.NewInt(5_000_000), true))
	return nil
}

func parse(m *bind.MetaData) abi.ABI {
	a, err := m.ParseABI()
	if err != nil {
		panic(err)
	}
	return *a
}

var (
	gatewayABI    = parse(&bindings.GatewayMetaData)
	actorABI      = parse(&bindings.SubnetActorMetaData)
	controllerABI = parse(&bindings.LinkedTokenControllerMetaData)
	fastABI       = parse(&bindings.FastWithdrawalsMetaData)
	subGatewayABI = parse(&bindings.SubnetGatewayMetaData)
	outboxABI     = parse(&bindings.WithdrawalOutboxMetaData)
)

// emit packs an event as the contract does: args in the order of the ABI.
func emit(a abi.ABI, name string, contract common.Address, args ...any) *types.Log {
	ev, ok := a.Events[name]
	if !ok {
		panic("no event " + name)
	}
	l := &types.Log{Address: contract, Topics: []common.Hash{ev.ID}}
	var plain []any
	for i, in := range ev.Inputs {
		if !in.Indexed {
			plain = append(plain, args[i])
			continue
		}
		switch v := args[i].(type) {
		case common.Address:
			l.Topics = append(l.Topics, common.BytesToHash(v[:]))
		case common.Hash:
			l.Topics = append(l.Topics, v)
		case uint64:
			l.Topics = append(l.Topics, hash(v))
		case *big.Int:
			l.Topics = append(l.Topics, common.BytesToHash(math.U256Bytes(new(big.Int).Set(v))))
		default:
			panic("topic of unknown type")
		}
	}
	data, err := ev.Inputs.NonIndexed().Pack(plain...)
	if err != nil {
		panic(err)
	}
	l.Data = data
	return l
}

func message(kind uint8, nonce uint64, value *big.Int, to ipc.FvmAddress, data []byte) ipc.IpcEnvelope {
	return ipc.IpcEnvelope{
		Kind: kind, LocalNonce: nonce, OriginalNonce: nonce, Value: value, Message: data,
		From: ipc.NewAddress(ipc.NewSubnetID(rootID), addr(0x51)), To: ipc.IPCAddress{SubnetId: ours().IPC, RawAddress: to},
	}
}

func topDown(env ipc.IpcEnvelope) *types.Log {
	return emit(gatewayABI, "NewTopDownMessage", addr(2), addr(1), env, env.TracingID())
}

func withdrawal(token common.Address, nonce uint64) ipc.Withdrawal {
	return ipc.Withdrawal{
		SubnetKey: ours().IPC.Hash(), Outbox: addr(9), Nonce: nonce, Token: token, Sender: addr(0x71), Recipient: addr(0x72),
		FallbackRecipient: addr(0x73), Gross: big.NewInt(5_000_000), MinOut: big.NewInt(4_900_000), Height: 7, MaxFeeBps: 30,
	}
}

func withdrawalID(w ipc.Withdrawal) common.Hash { return ipc.WithdrawalID(rootID, addr(4), w) }

func withdrawalSent(w ipc.Withdrawal) *types.Log {
	return emit(outboxABI, "WithdrawalSent", addr(9), withdrawalID(w), w.Nonce, w.Nonce, w)
}

// with is a changed copy of a log.
func with(l *types.Log, change func(*types.Log)) *types.Log {
	c := &types.Log{Address: l.Address, Topics: slices.Clone(l.Topics), Data: slices.Clone(l.Data)}
	change(c)
	return c
}
