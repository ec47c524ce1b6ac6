package flow

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// Traits say where the contracts of a subnet do other than ours do; they are
// found by asking the contracts (PROTOCOL 56). The zero value is our own.
type Traits struct {
	// Implicit: the subnet's nodes apply the root's messages by themselves, tell
	// only how many, and answer each with a Result.
	Implicit bool
	// Burning: the root executes a message of a wrong nonce into nothing, tells
	// only how far it is, and answers each message with a Result.
	Burning bool
}

// Published says that both sides are the published contracts.
func (t Traits) Published() bool { return t.Implicit && t.Burning }

// In the published contracts the answer to a message is another message: a
// Result, on every outcome, which carries the id of what it answers. It never
// begins a transfer (PROTOCOL 46). Ids of messages from the root repeat, since
// the published gateway leaves their originalNonce at 0: several transfers may
// wait for one key, and the answers come in the order of the messages, since
// each gateway applies in the order of nonces and queues as it applies.

// answerKey names the answer, read on the chain that the message came from or
// its outbox.
func (s Subnet) answerKey(direction string, id common.Hash) Key {
	return Key(fmt.Sprintf("answer/%s/%s/%s", direction, s.Actor.Hex(), id.Hex()))
}

const (
	answerDown = "down" // on the root, to a message from the subnet
	answerUp   = "up"   // in the subnet, to a message from the root
)

// verdictOf reads a Result. An answer that cannot be read is one of a message
// that failed: only a Result that says Ok ends a transfer well.
func verdictOf(env ipc.IpcEnvelope) (common.Hash, Outcome, bool) {
	if env.Kind != ipc.KindResult {
		return common.Hash{}, Outcome{}, false
	}
	result, err := ipc.DecodeResult(env.Message)
	switch {
	case err != nil:
		return common.Hash{}, Outcome{}, false
	case result.Outcome != ipc.OutcomeOk:
		return result.Id, Outcome{Failed, ReasonUnprovenRefund}, true
	}
	return result.Id, Outcome{Kind: Ok}, true
}

// answerDownEffect reads the root's answers, which go down as messages.
func (s Subnet) answerDownEffect(e chains.Event) (Key, Outcome, bool) {
	env, mine, err := s.decodeTopDown(e)
	if err != nil || !mine {
		return "", Outcome{}, false
	}
	id, out, mine := verdictOf(env)
	return s.answerKey(answerDown, id), out, mine
}

// answerUpEffect reads the subnet's answers, in the batch that its checkpoint
// commits to.
func (s Subnet) answerUpEffect(e chains.Event) (Key, Outcome, bool) {
	env, mine, err := s.decodeBottomUp(e)
	if err != nil || !mine {
		return "", Outcome{}, false
	}
	id, out, mine := verdictOf(env)
	return s.answerKey(answerUp, id), out, mine
}

// decodeBottomUp reads BottomUpMessage(epoch, nonce indexed; envelope), which
// the subnet's source makes of each message in a recorded batch. A batch that it
// could not take apart comes as it is.
func (s Subnet) decodeBottomUp(e chains.Event) (ipc.IpcEnvelope, bool, error) {
	if e.Chain != s.ID || e.Address != s.SubnetGateway || len(e.Topics) == 0 {
		return ipc.IpcEnvelope{}, false, nil
	}
	switch e.Topics[0] {
	case ipc.TopicBottomUpBatchRecorded:
		_, _, err := ipc.DecodeBottomUpBatch(e.Data)
		return ipc.IpcEnvelope{}, false, fmt.Errorf("a recorded batch cannot be taken apart: %w", orMalformed(err))
	case ipc.TopicBottomUpMessage:
		ev, err := ipc.DecodeBottomUpMessage(e.Topics, e.Data)
		return ev.Message, err == nil, err
	}
	return ipc.IpcEnvelope{}, false, nil
}

func orMalformed(err error) error {
	if err == nil {
		return ipc.ErrMalformed
	}
	return err
}

// countPoll is the time between two looks at a counter that no event follows.
const countPoll = 3 * time.Second

// consumed is the step of a deposit that nodes deliver by themselves: the
// counter of applied messages has passed it. That it was consumed says nothing
// about how; the answer does.
func (s Subnet) consumed(flow string, done func(context.Context, []tokens.Transfer) ([]Outcome, error)) Step {
	return Step{
		Name: "deliver",
		Key:  func(t tokens.Transfer) Key { return s.deliverKey(t.Nonce, t.Ref) }, Effect: s.deliverEffect, Done: done,
		Next: map[Kind]string{Ok: "answer"},
		Lane: s.loose(flow, "deliver"), Poll: countPoll,
	}
}

// answered is the step that waits for the Result. A message that failed keeps no
// credit anywhere, and no event says whether its value reached anyone.
func (s Subnet) answered(flow, direction string, effect func(chains.Event) (Key, Outcome, bool)) Step {
	return Step{
		Name: "answer",
		Key:  func(t tokens.Transfer) Key { return s.answerKey(direction, t.Ref) }, Effect: effect,
		Next: map[Kind]string{Ok: string(tokens.Done), Failed: string(tokens.Parked)},
		Lane: s.loose(flow, "answer"), Poll: waitPoll,
	}
}

// PublishedFLTDeposit is FLT from the root into a subnet of published contracts:
// locked by fundWithToken (or fund), paid out by the nodes, answered in the
// subnet's next checkpoint.
func PublishedFLTDeposit(s Subnet, d DeliverDeps) Flow {
	f := Flow{Name: "flt_deposit", Subnet: s.Actor, Chain: Root, Chains: s.chains(), Decode: s.decodeFunding}
	answer := s.answered(f.Name, answerUp, s.answerUpEffect)
	answer.Done, answer.Shared = onlyEvents, true
	f.Steps = []Step{s.consumed(f.Name, d.done), answer}
	return f
}

// PublishedUSDCDeposit is USDC from the root into a subnet of published
// contracts: locked by the controller's linkedTransfer, minted by the replica.
func PublishedUSDCDeposit(s Subnet, d DeliverDeps) Flow {
	f := Flow{Name: "usdc_deposit", Subnet: s.Actor, Chain: Root, Chains: s.chains(), Decode: s.decodeLinkedDeposit}
	answer := s.answered(f.Name, answerUp, s.answerUpEffect)
	answer.Done, answer.Shared = onlyEvents, true
	f.Steps = []Step{s.consumed(f.Name, d.done), answer}
	return f
}

// onlyEvents is the Done of an answer whose id repeats: which of several equal
// messages an answer belongs to is known only from the order of all of them, so
// there is no asking for one. A watcher reads every event, and a rescan reads
// them again.
func onlyEvents(_ context.Context, batch []tokens.Transfer) ([]Outcome, error) {
	return make([]Outcome, len(batch)), nil
}

// PublishedFLTWithdraw is FLT from a subnet of published contracts to the root:
// burnt by release, carried by the checkpoint flow, paid by the root gateway and
// answered in the same transaction.
func PublishedFLTWithdraw(s Subnet, search SearchFunc) Flow {
	return s.publishedWithdraw("flt_withdraw", s.decodeRelease, search)
}

// PublishedUSDCWithdraw is USDC the same way, burnt by the replica's
// linkedTransfer and paid by the controller.
func PublishedUSDCWithdraw(s Subnet, search SearchFunc) Flow {
	return s.publishedWithdraw("usdc_withdraw", s.decodeLinkedWithdrawal, search)
}

func (s Subnet) publishedWithdraw(name string, decode func(chains.Event) (tokens.Transfer, bool, error), search SearchFunc) Flow {
	f := Flow{Name: name, Subnet: s.Actor, Chain: s.Name, Chains: s.chains(), Decode: decode}
	answer := s.answered(name, answerDown, s.answerDownEffect)
	// Ids of messages from the subnet hold their nonce and do not repeat, so the
	// answer can be asked for.
	answer.Done = searched(answer, search,
		Search{Chain: Root, Contract: s.Gateway, Topics: []common.Hash{topicTopDown}, Position: 1},
		func(tokens.Transfer) common.Hash { return common.BytesToHash(s.Actor[:]) })
	f.Steps = []Step{answer}
	return f
}

// decodeRelease reads the Transfers that leave the subnet. Calls are the linked
// token's or another contract's, Results answer something.
func (s Subnet) decodeRelease(e chains.Event) (tokens.Transfer, bool, error) {
	env, mine, err := s.decodeBottomUp(e)
	if err != nil || !mine || env.Kind != ipc.KindTransfer {
		return tokens.Transfer{}, false, err
	}
	sender, _ := env.From.RawAddress.EVM()
	recipient, _ := env.To.RawAddress.EVM()
	return tokens.Transfer{
		ID:    TransferID("flt_withdraw", s.ID, s.SubnetGateway, s.Actor, env.LocalNonce),
		Route: "flt_withdraw", Subnet: s.Actor, Sender: sender, Recipient: recipient,
		Amount: tokens.MustUnits(env.Value), Nonce: env.LocalNonce, Ref: env.TracingID(),
		Origin: e.ID(), Height: e.Block, At: e.BlockTime,
	}, true, nil
}

// decodeLinkedDeposit reads LinkedTokensSent on the root.
func (s Subnet) decodeLinkedDeposit(e chains.Event) (tokens.Transfer, bool, error) {
	t, mine, err := s.decodeTokensSent(e)
	if err != nil || !mine {
		return t, mine, err
	}
	root := ipc.IPCAddress{SubnetId: ipc.NewSubnetID(uint64(s.RootID)), RawAddress: ipc.FromEVM(s.Controller)}
	there := ipc.IPCAddress{SubnetId: s.IPC, RawAddress: ipc.FromEVM(s.Replica)}
	t.Ref = linkedID(t, e, linkedMessage(root, there, t, 0))
	return t, true, nil
}

// decodeLinkedWithdrawal reads LinkedTokensSent in the subnet.
func (s Subnet) decodeLinkedWithdrawal(e chains.Event) (tokens.Transfer, bool, error) {
	if e.Chain != s.ID || !from(e, s.Replica, topicTokensSent, 4, 3) {
		return tokens.Transfer{}, false, nil
	}
	nonce, ok := wordUint(word(e.Data, 1))
	if !ok {
		return tokens.Transfer{}, false, fmt.Errorf("nonce above 2^64 in LinkedTokensSent")
	}
	t := tokens.Transfer{
		ID:    TransferID("usdc_withdraw", s.ID, s.Replica, s.Actor, nonce),
		Route: "usdc_withdraw", Subnet: s.Actor,
		Sender: topicAddress(e.Topics[2]), Recipient: topicAddress(e.Topics[3]),
		Amount: tokens.MustUnits(new(big.Int).SetBytes(word(e.Data, 2))), Nonce: nonce,
		Origin: e.ID(), Height: e.Block, At: e.BlockTime,
	}
	here := ipc.IPCAddress{SubnetId: s.IPC, RawAddress: ipc.FromEVM(s.Replica)}
	root := ipc.IPCAddress{SubnetId: ipc.NewSubnetID(uint64(s.RootID)), RawAddress: ipc.FromEVM(s.Controller)}
	t.Ref = linkedID(t, e, linkedMessage(here, root, t, nonce))
	return t, true, nil
}

// linkedMessage is the Call that linkedTransfer sends.
func linkedMessage(from, to ipc.IPCAddress, t tokens.Transfer, originalNonce uint64) ipc.IpcEnvelope {
	params := make([]byte, 64)
	copy(params[12:32], t.Recipient[:])
	t.Amount.Big().FillBytes(params[32:])
	return ipc.IpcEnvelope{
		Kind: ipc.KindCall, LocalNonce: t.Nonce, OriginalNonce: originalNonce, Value: new(big.Int), To: to, From: from,
		Message: ipc.EncodeCall(ipc.CallMsg{Method: ipc.SelReceiveLinked.Bytes(), Params: params}),
	}
}

// linkedID is the id that the answer will carry. The event carries the id or,
// in some versions, the hash of the same message; a linked token that sends
// something else is taken at its word.
func linkedID(t tokens.Transfer, e chains.Event, m ipc.IpcEnvelope) common.Hash {
	said := common.BytesToHash(word(e.Data, 0))
	if id := m.TracingID(); said == id || said == m.Hash() {
		return id
	}
	return said
}
