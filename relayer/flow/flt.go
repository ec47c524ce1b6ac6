package flow

import (
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// FLTDeposit is FLT from the root into the subnet: locked by the root gateway,
// released from the subnet's treasury when the Transfer is delivered. A
// Transfer that fails there carries its value back in a failure Result.
func FLTDeposit(s Subnet, search SearchFunc) Flow {
	f := Flow{Name: "flt_deposit", Subnet: s.Actor, Chain: Root, Chains: s.chains(), Decode: s.decodeFunding}
	deliver := Step{
		Name: "deliver",
		Key:  func(t tokens.Transfer) Key { return s.deliverKey(t.Nonce, t.Ref) }, Effect: s.deliverEffect,
		Next: map[Kind]string{Ok: string(tokens.Done), Failed: "refund"},
		Lane: s.loose(f.Name, "deliver"), Poll: waitPoll,
	}
	deliver.Done = searched(deliver, search,
		Search{Chain: s.Name, Contract: s.SubnetGateway, Topics: []common.Hash{topicTopDownApplied}, Position: 1},
		func(t tokens.Transfer) common.Hash { return nonceWord(t.Nonce) })

	refund := Step{
		Name: "refund",
		Key:  func(t tokens.Transfer) Key { return s.resultKey(t.Ref) }, Effect: s.resultEffect, Shared: true,
		Next: map[Kind]string{Ok: string(tokens.Refunded), Failed: string(tokens.Credited)},
		Lane: s.loose(f.Name, "refund"), Poll: waitPoll,
	}
	refund.Done = searched(refund, search,
		Search{Chain: Root, Contract: s.Gateway, Topics: []common.Hash{topicRootResult}, Position: 2},
		func(t tokens.Transfer) common.Hash { return t.Ref })
	f.Steps = []Step{deliver, refund}
	return f
}

// decodeFunding reads the top-down Transfers of this subnet. Other kinds are
// carried by the topdown flow alone.
func (s Subnet) decodeFunding(e chains.Event) (tokens.Transfer, bool, error) {
	env, mine, err := s.decodeTopDown(e)
	if err != nil || !mine || env.Kind != ipc.KindTransfer {
		return tokens.Transfer{}, false, err
	}
	// A payload that names no EVM account is a fact all the same (PROTOCOL 50):
	// the message is carried, fails and comes back.
	sender, _ := env.From.RawAddress.EVM()
	recipient, _ := env.To.RawAddress.EVM()
	return tokens.Transfer{
		ID:    TransferID("flt_deposit", s.RootID, s.Gateway, s.Actor, env.LocalNonce),
		Route: "flt_deposit", Subnet: s.Actor, Sender: sender, Recipient: recipient,
		Amount: tokens.MustUnits(env.Value), Nonce: env.LocalNonce, Ref: e.Topics[2],
		Origin: e.ID(), Height: e.Block, At: e.BlockTime,
		// What FltHandler funds is a stretch of somebody's way from Ethereum.
		Hidden: s.FLTHandler != common.Address{} && sender == s.FLTHandler,
	}, true, nil
}

func (s Subnet) resultKey(id common.Hash) Key {
	return Key(fmt.Sprintf("result/%s/%s", s.Actor.Hex(), id.Hex()))
}

// resultEffect reads ResultApplied(subnet, id indexed; outcome, disposition,
// to, value) on the root: what became of the value that came back.
func (s Subnet) resultEffect(e chains.Event) (Key, Outcome, bool) {
	if e.Chain != s.RootID || !from(e, s.Gateway, topicRootResult, 3, 4) || topicAddress(e.Topics[1]) != s.Actor {
		return "", Outcome{}, false
	}
	switch d, _ := wordUint(word(e.Data, 1)); d {
	case dispositionExecuted:
		return s.resultKey(e.Topics[2]), Outcome{Kind: Ok}, true
	default:
		return s.resultKey(e.Topics[2]), Outcome{Failed, ReasonRefundRefused}, true
	}
}

// Dispositions of an applied message (contracts/src/ipc/Types.sol).
const dispositionExecuted = 0

// decodeTopDown reads NewTopDownMessage(subnet indexed, envelope, id indexed)
// of this subnet. The event's data is abi.encode(envelope).
func (s Subnet) decodeTopDown(e chains.Event) (ipc.IpcEnvelope, bool, error) {
	if e.Chain != s.RootID || !from(e, s.Gateway, topicTopDown, 3, 1) || topicAddress(e.Topics[1]) != s.Actor {
		return ipc.IpcEnvelope{}, false, nil
	}
	env, err := ipc.DecodeEnvelope(e.Data)
	if err != nil {
		return ipc.IpcEnvelope{}, false, fmt.Errorf("decode top-down envelope: %w", err)
	}
	if id := env.TracingID(); id != e.Topics[2] {
		return ipc.IpcEnvelope{}, false, fmt.Errorf("top-down envelope %d hashes to %s, its event says %s", env.LocalNonce, id, e.Topics[2])
	}
	return env, true, nil
}
