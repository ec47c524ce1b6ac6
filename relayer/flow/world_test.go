package flow_test

import (
	"bytes"
	"context"
	"math/big"
	"testing"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/stretchr/testify/require"
)

const (
	rootID = 31415926
	subID  = 2718281
	period = 10
)

func addr(n byte) common.Address { return common.Address{0: 0xaa, 19: n} }
func hash(n uint64) common.Hash  { return common.BigToHash(new(big.Int).SetUint64(n)) }

// sub is the subnet of every test, other another one beside it.
func sub() flow.Subnet {
	profile, err := ipc.ProfileOf(ipc.GenerationC)
	if err != nil {
		panic(err)
	}
	return flow.Subnet{
		Name: "subnet", RootID: rootID, ID: subID, IPC: ipc.NewSubnetID(rootID, addr(1)), Actor: addr(1),
		Gateway: addr(2), Controller: addr(3), FastWithdrawals: addr(4), FLT: addr(5), USDC: addr(6),
		SubnetGateway: addr(7), Replica: addr(8), Outbox: addr(9), Period: period, Profile: profile,
	}
}

// flows are all of the subnet's, with dependencies that answer nothing.
func flows() map[string]flow.Flow {
	s, none := sub(), func(context.Context, flow.Search) ([]chains.Event, error) { return nil, nil }
	out := map[string]flow.Flow{}
	for _, f := range []flow.Flow{
		flow.TopDown(s, flow.DeliverDeps{}), flow.Power(s, flow.DeliverDeps{}), flow.Checkpoint(s, flow.CheckpointDeps{}),
		flow.USDCDeposit(s, none), flow.FLTDeposit(s, none),
		flow.USDCWithdraw(s, flow.WithdrawDeps{Search: none}), flow.FLTWithdraw(s, flow.WithdrawDeps{Search: none}),
	} {
		out[f.Name] = f
	}
	return out
}

func step(t *testing.T, f, name string) flow.Step {
	t.Helper()
	for _, s := range flows()[f].Steps {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no step %s in %s", name, f)
	return flow.Step{}
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
func emit(a abi.ABI, name string, chain chains.ID, contract common.Address, args ...any) chains.Event {
	ev, ok := a.Events[name]
	if !ok {
		panic("no event " + name)
	}
	e := chains.Event{
		Chain: chain, Block: 77, BlockHash: hash(770), BlockTime: 1_700_000_000, Tx: hash(771), Index: 3,
		Address: contract, Topics: []common.Hash{ev.ID},
	}
	var plain []any
	for i, in := range ev.Inputs {
		if !in.Indexed {
			plain = append(plain, args[i])
			continue
		}
		switch v := args[i].(type) {
		case common.Address:
			e.Topics = append(e.Topics, common.BytesToHash(v[:]))
		case common.Hash:
			e.Topics = append(e.Topics, v)
		case uint64:
			e.Topics = append(e.Topics, hash(v))
		case *big.Int:
			e.Topics = append(e.Topics, common.BytesToHash(math.U256Bytes(new(big.Int).Set(v))))
		default:
			panic("topic of unknown type")
		}
	}
	data, err := ev.Inputs.NonIndexed().Pack(plain...)
	if err != nil {
		panic(err)
	}
	e.Data = data
	return e
}

func envelope(kind uint8, nonce uint64, value int64, message []byte) ipc.IpcEnvelope {
	return ipc.IpcEnvelope{
		Kind: kind, LocalNonce: nonce, OriginalNonce: nonce, Value: big.NewInt(value),
		From: ipc.NewAddress(ipc.NewSubnetID(rootID), addr(0x51)), To: ipc.NewAddress(sub().IPC, addr(0x52)), Message: message,
	}
}

func topDown(env ipc.IpcEnvelope) chains.Event {
	return emit(gatewayABI, "NewTopDownMessage", rootID, addr(2), addr(1), env, env.TracingID())
}

func power(number uint64) chains.Event {
	return emit(actorABI, "NewPowerChangeRequest", rootID, addr(1),
		uint8(0), addr(0x61), math.U256Bytes(big.NewInt(100)), number)
}

func withdrawal(token common.Address, nonce uint64) ipc.Withdrawal {
	return ipc.Withdrawal{
		SubnetKey: sub().IPC.Hash(), Outbox: addr(9), Nonce: nonce, Token: token, Sender: addr(0x71), Recipient: addr(0x72),
		FallbackRecipient: addr(0x73), Gross: big.NewInt(5_000_000), MinOut: big.NewInt(4_900_000), Height: 77, MaxFeeBps: 30,
	}
}

func withdrawalID(w ipc.Withdrawal) common.Hash { return ipc.WithdrawalID(rootID, addr(4), w) }

func withdrawalSent(w ipc.Withdrawal) chains.Event {
	return emit(outboxABI, "WithdrawalSent", subID, addr(9), withdrawalID(w), w.Nonce, uint64(12), w)
}

func due(height uint64) chains.Event {
	data := hash(height)
	return chains.Event{
		Chain: subID, Block: height, BlockHash: hash(height + 900), BlockTime: 1_700_000_000, Index: 1 << 30, Address: addr(7),
		Topics: []common.Hash{flow.TopicCheckpointDue}, Data: data[:],
	}
}

func with(e chains.Event, change func(*chains.Event)) chains.Event {
	e.Topics, e.Data = append([]common.Hash(nil), e.Topics...), bytes.Clone(e.Data)
	change(&e)
	return e
}

// origins are one event that begins a transfer of each flow.
func origins() map[string]chains.Event {
	call := envelope(ipc.KindCall, 5, 0, []byte{1, 2, 3})
	return map[string]chains.Event{
		"topdown":    topDown(call),
		"power":      power(6),
		"checkpoint": due(20),
		"usdc_deposit": emit(controllerABI, "LinkedTokensSent", rootID, addr(3),
			addr(6), addr(0x51), addr(0x52), call.TracingID(), uint64(5), big.NewInt(7_000_000)),
		"flt_deposit":   topDown(envelope(ipc.KindTransfer, 5, 900, nil)),
		"usdc_withdraw": withdrawalSent(withdrawal(addr(6), 3)),
		"flt_withdraw":  withdrawalSent(withdrawal(addr(5), 3)),
	}
}

// effect is a final event and what it means to whom: "flow/step" to outcome.
type effect struct {
	name  string
	event chains.Event
	means map[string]flow.Outcome
}

func effects() []effect {
	id, ok := hash(0xabc), flow.Outcome{Kind: flow.Ok}
	failed := func(r flow.Reason) flow.Outcome { return flow.Outcome{Kind: flow.Failed, Reason: r} }
	applied := func(outcome, disposition uint8) chains.Event {
		return emit(subGatewayABI, "TopDownMessageApplied", subID, addr(7), uint64(5), id, outcome, disposition, []byte("ret"))
	}
	result := func(disposition uint8) chains.Event {
		return emit(gatewayABI, "ResultApplied", rootID, addr(2), addr(1), id, uint8(2), disposition, addr(0x51), big.NewInt(9))
	}
	both := func(step string, o flow.Outcome) map[string]flow.Outcome {
		return map[string]flow.Outcome{"usdc_withdraw/" + step: o, "flt_withdraw/" + step: o}
	}
	settled := func(o flow.Outcome) map[string]flow.Outcome {
		m := both("settle", o)
		for k, v := range both("resend", o) {
			m[k] = v
		}
		return m
	}
	delivered := func(o flow.Outcome) map[string]flow.Outcome {
		return map[string]flow.Outcome{"topdown/deliver": o, "usdc_deposit/deliver": o, "flt_deposit/deliver": o}
	}
	return []effect{
		{"a message applied", applied(0, 0), delivered(ok)},
		{"a message that failed in the system", applied(1, 2), delivered(failed(flow.ReasonRecipientFailed))},
		{"a message that failed in its recipient", applied(2, 2), delivered(failed(flow.ReasonRecipientFailed))},
		{"a result paid", result(0), map[string]flow.Outcome{"flt_deposit/refund": ok}},
		{"a result kept as a credit", result(1), map[string]flow.Outcome{"flt_deposit/refund": failed(flow.ReasonRefundRefused)}},
		{"a refund paid", emit(controllerABI, "DepositRefunded", rootID, addr(3), id, addr(0x51), big.NewInt(9), true),
			map[string]flow.Outcome{"usdc_deposit/refund": ok}},
		{"a refund refused", emit(controllerABI, "DepositRefunded", rootID, addr(3), id, addr(0x51), big.NewInt(9), false),
			map[string]flow.Outcome{"usdc_deposit/refund": failed(flow.ReasonRefundRefused)}},
		{"a withdrawal paid", emit(fastABI, "WithdrawalSettled", rootID, addr(4), id, addr(0x72), addr(6), big.NewInt(9), true), settled(ok)},
		{"a withdrawal credited", emit(fastABI, "WithdrawalSettled", rootID, addr(4), id, addr(0x72), addr(6), big.NewInt(9), false),
			settled(failed(flow.ReasonPayoutRefused))},
		{"a withdrawal quarantined", emit(fastABI, "WithdrawalQuarantined", rootID, addr(4), id, addr(0x72), addr(6), big.NewInt(9), big.NewInt(8)),
			settled(failed(flow.ReasonQuarantined))},
		{"a withdrawal returned", emit(outboxABI, "WithdrawalReturned", subID, addr(9), id, big.NewInt(9)),
			both("settle", flow.Outcome{Kind: flow.Superseded, Reason: flow.ReasonReturned})},
		{"a checkpoint with messages", emit(actorABI, "CheckpointAccepted", rootID, addr(1), big.NewInt(20), hash(1), uint64(3), uint64(0)),
			map[string]flow.Outcome{"checkpoint/submit": ok}},
		{"a checkpoint without messages", emit(actorABI, "CheckpointAccepted", rootID, addr(1), big.NewInt(20), hash(1), uint64(0), uint64(4)),
			map[string]flow.Outcome{"checkpoint/submit": ok, "checkpoint/execute": ok}},
		{"a batch executed in part", emit(actorABI, "BatchExecuted", rootID, addr(1), big.NewInt(20), uint64(2), uint64(3)), nil},
		{"a batch executed", emit(actorABI, "BatchExecuted", rootID, addr(1), big.NewInt(20), uint64(3), uint64(3)),
			map[string]flow.Outcome{"checkpoint/execute": ok}},
		{"power changes stored", emit(subGatewayABI, "PowerChangesStored", subID, addr(7), uint64(6)),
			map[string]flow.Outcome{"power/deliver": ok}},
	}
}

// requireNobody demands that no step of any flow takes an event for its own.
func requireNobody(t *testing.T, e chains.Event, why string) {
	t.Helper()
	for name, f := range flows() {
		for _, s := range f.Steps {
			_, _, mine := s.Effect(e)
			require.False(t, mine, "%s: %s/%s", why, name, s.Name)
		}
	}
}
