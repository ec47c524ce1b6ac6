package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Where Axelar itself approves, a message gets its id from the hub, and at a
// legacy gateway its command id from the network: neither follows from the call
// that it began with. What follows is its content: the contract and the hash of
// the payload that the hub makes of what was sent. A leg therefore waits for an
// approval of its content. Messages of equal content are equal in all that
// matters (token, amount, both ends; a call between contracts has an id of its own
// in its payload), so each approval is that of the oldest leg which waits for one
// (PROTOCOL 46), and the id that it names is the leg's from then on.

// NetworkDeps is what carrying messages that Axelar itself approves needs of
// their destination.
type NetworkDeps struct {
	Search SearchFunc
	// Approvals are the events of the destination's gateway that decided the
	// approval of these legs, by the ids of their transfers; nil for one that has
	// none.
	Approvals func(ctx context.Context, legs []common.Hash) ([]*axelar.Approved, error)
	// StatesFinal asks the gateway at its final block, StatesLatest at its newest.
	StatesFinal  func(context.Context, []axelar.Approved) ([]axelar.State, error)
	StatesLatest func(context.Context, []axelar.Approved) ([]axelar.State, error)
	ExecuteTx    func(a axelar.Approved, payload []byte) (chains.Tx, error)
	// Circumstances are as in LegDeps.
	Circumstances func(ctx context.Context, a axelar.Approved, t *axelar.Transfer) (c axelar.Circumstances, now uint64, err error)
	Send          func(context.Context, chains.Tx) error // to the destination
	// Decide is as in CrossDeps.
	Decide func(ctx context.Context, chain string, key Key, out Outcome, e chains.Event) error
	// Report tells Axelar of messages that were executed, one result each, and
	// Reported says which of these legs it has taken note of. Both nil: nobody
	// there wants to know.
	Report   func(ctx context.Context, legs []tokens.Transfer) ([]error, error)
	Reported func(legs []common.Hash) []bool
}

// NetworkLegIn carries messages from Ethereum to the root as LegIn does, where
// Axelar approves them.
func NetworkLegIn(s Subnet, c Crossing, d NetworkDeps) Flow { return s.legIn(c).awaited(d) }

// NetworkLegOut carries them from the root to Ethereum.
func NetworkLegOut(s Subnet, c Crossing, d NetworkDeps) Flow { return s.legOut(c).awaited(d) }

// LegOutID is the id of the transfer of the leg to Ethereum that a call of the
// root's gateway begins: its transaction, and its position in the receipt.
func LegOutID(s Subnet, c Crossing, call axelar.MessageID) common.Hash {
	return s.legOut(c).id(call.Tx, uint(call.Index))
}

// MineOf says whether a message that Axelar approves at the destination of a leg
// is one that the leg carries, by its payload alone.
func MineOf(s Subnet, c Crossing, toRoot bool) func(m axelar.Message, payload []byte) bool {
	l := s.legOut(c)
	if toRoot {
		l = s.legIn(c)
	}
	return l.carries
}

// carries says whether a message with this payload is one of the leg's.
func (l leg) carries(m axelar.Message, payload []byte) bool {
	if !l.hears(m) || crypto.Keccak256Hash(payload) != m.PayloadHash {
		return false
	}
	if m.SourceChain != axelar.HubChain {
		return true
	}
	from, inner, err := axelar.Unwrap(payload)
	t, isTransfer := inner.(axelar.Transfer)
	return err == nil && isTransfer && from == l.from.name && t.TokenID == l.TokenID && l.ours(t)
}

// hears says whether a message is the hub's for the token service of the
// destination, or of one of our contracts for the other. Only capitals of the
// sender's address may be other ones than its own gateway writes.
func (l leg) hears(m axelar.Message) bool {
	if m.SourceChain == axelar.HubChain {
		return m.SourceAddress == l.Hub.Address && m.Contract == l.Hub.Services[l.to.name]
	}
	return l.caller != (common.Address{}) && m.SourceChain == l.from.name && strings.EqualFold(m.SourceAddress, l.caller.Hex()) && m.Contract == l.taker
}

// reportPoll is the time between two looks of what was told and not yet taken
// note of.
const reportPoll = time.Second

func (l leg) awaited(d NetworkDeps) Flow {
	f := Flow{
		Name: l.name, Subnet: l.actor, Chain: l.from.chain, Chains: []string{l.from.chain, l.to.chain}, Decode: l.decodeAwaited,
	}
	// Whoever carries the approval to the gateway, this only waits for it.
	approve := Step{
		Name: "approve", Shared: true,
		Key:    func(t tokens.Transfer) Key { return l.contentKey(l.mustRoute(t).Message) },
		Effect: l.contentEffect,
		Next:   map[Kind]string{Ok: "execute"},
		Lane:   l.lane("approve"), Poll: waitPoll,
	}
	approve.Done = searched(approve, d.Search, Search{Chain: l.to.chain, Contract: l.to.gateway.Address(), Topics: l.to.gateway.Filter().Topics, Position: 3},
		func(t tokens.Transfer) common.Hash { return l.mustRoute(t).Message.PayloadHash })

	execute := Step{
		Name: "execute", Key: func(t tokens.Transfer) Key { return l.ownKey("execute", t) }, Effect: nothing, Searched: true,
		Done: l.executed(d),
		Do:   l.executeAwaited(d),
		Next: map[Kind]string{Ok: "report"},
		Lane: l.lane("execute"), Poll: legPoll,
	}
	// Money has arrived by now. That Axelar knows of it is between it and us, and
	// said by its service, by no block.
	report := Step{
		Name: "report", Key: func(t tokens.Transfer) Key { return l.ownKey("report", t) }, Effect: nothing,
		Done: reported(d),
		Next: map[Kind]string{Ok: string(tokens.Done)},
		Lane: l.lane("report"), Poll: reportPoll,
		Do: func(ctx context.Context, b Batch) ([]error, error) { return d.Report(ctx, b.Transfers) },
	}
	f.Steps = []Step{approve, execute, report}
	return f
}

// decodeAwaited is decode where nobody knows the command id yet: the content is
// what the transfer is looked up by.
func (l leg) decodeAwaited(e chains.Event) (tokens.Transfer, bool, error) {
	t, mine, err := l.decode(e)
	if err != nil || !mine {
		return t, mine, err
	}
	t.Ref = l.mustRoute(t).Message.PayloadHash
	return t, true, nil
}

func (l leg) contentKey(m axelar.Message) Key {
	return Key(fmt.Sprintf("%s/approved/%s/%s/%s", l.name, l.actor.Hex(), m.Contract.Hex(), m.PayloadHash.Hex()))
}

func (l leg) ownKey(step string, t tokens.Transfer) Key {
	return Key(fmt.Sprintf("%s/%s/%s/%s", l.name, step, l.actor.Hex(), t.ID.Hex()))
}

// contentEffect reads an approval of what the leg may carry.
func (l leg) contentEffect(e chains.Event) (Key, Outcome, bool) {
	if a, ok := l.said(e).(axelar.Approved); ok && l.hears(a.Message) {
		return l.contentKey(a.Message), Outcome{Kind: Ok}, true
	}
	return "", Outcome{}, false
}

// approvals are those of a batch, checked against what each leg carries: the
// journal's word for which event it was is not enough to execute anything.
func (l leg) approvals(ctx context.Context, d NetworkDeps, batch []tokens.Transfer) (out []*axelar.Approved, err error) {
	messages, err := l.messages(batch)
	if err != nil {
		return nil, err
	}
	if out, err = d.Approvals(ctx, ids(batch)); err != nil {
		return nil, err
	}
	for i, a := range out {
		if a != nil && l.contentKey(a.Message) != l.contentKey(messages[i]) {
			return nil, fmt.Errorf("[BUG] %s: the approval in its journal is of payload %s", batch[i], a.Message.PayloadHash)
		}
	}
	return out, nil
}

func ids(batch []tokens.Transfer) []common.Hash {
	out := make([]common.Hash, len(batch))
	for i, t := range batch {
		out[i] = t.ID
	}
	return out
}

// statesOf asks a gateway for those that have an approval; which says whose each
// answer is.
func statesOf(ctx context.Context, approvals []*axelar.Approved, states func(context.Context, []axelar.Approved) ([]axelar.State, error)) (got []axelar.State, which []int, err error) {
	var asked []axelar.Approved
	for i, a := range approvals {
		if a != nil {
			asked, which = append(asked, *a), append(which, i)
		}
	}
	if len(asked) == 0 {
		return nil, nil, nil
	}
	if got, err = states(ctx, asked); err == nil && len(got) != len(asked) {
		err = fmt.Errorf("[BUG] %d states of %d messages", len(got), len(asked))
	}
	return got, which, err
}

// executed is Done of the execution: what the gateway says, at a final block, of
// the id that the approval named. The event that says it is journaled as what
// decides the step. A leg without an approval says nothing.
func (l leg) executed(d NetworkDeps) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	return func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		out := make([]Outcome, len(batch))
		approvals, err := l.approvals(ctx, d, batch)
		if err != nil {
			return nil, err
		}
		got, which, err := statesOf(ctx, approvals, d.StatesFinal)
		if err != nil {
			return nil, err
		}
		of := map[common.Hash]int{}
		there := Search{Chain: l.to.chain, Contract: l.to.gateway.Address(), Topics: l.to.gateway.Filter().Topics, Position: 1}
		for i, s := range got {
			n := which[i]
			out[n].Kind = Pending
			if s != axelar.StateExecuted {
				continue
			}
			out[n].Kind = Ok
			id := approvals[n].CommandID
			of[id], there.Values = n, append(there.Values, id)
			if len(there.Values) == 1 || batch[n].At < there.Since {
				there.Since = batch[n].At
			}
		}
		if len(there.Values) == 0 {
			return out, nil
		}
		events, err := d.Search(ctx, there)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			x, isExecuted := l.said(e).(axelar.Executed)
			n, ours := of[x.CommandID]
			if !isExecuted || !ours {
				continue
			}
			if err := d.Decide(ctx, l.to.chain, l.ownKey("execute", batch[n]), Outcome{Kind: Ok}, e); err != nil {
				return nil, err
			}
			out[n].Kind = Unknown // decided, by the event
		}
		return out, nil
	}
}

// executeAwaited has the token service take what is approved. Axelar's own
// relayers may be first, which the service refuses the second time.
func (l leg) executeAwaited(d NetworkDeps) func(context.Context, Batch) ([]error, error) {
	return func(ctx context.Context, b Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		approvals, err := l.approvals(ctx, d, b.Transfers)
		if err != nil {
			return nil, err
		}
		got, which, err := statesOf(ctx, approvals, d.StatesLatest)
		if err != nil {
			return nil, err
		}
		for i := range out {
			out[i] = fmt.Errorf("%w: its approval is in no block any more", ErrNotYet)
		}
		for i, s := range got {
			n := which[i]
			switch s {
			case axelar.StateExecuted:
				out[n] = nil
			case axelar.StateConflict:
				out[n] = Park(ReasonConflict, fmt.Errorf("message %s: %w", approvals[n].Message.ID, errConflict))
			case axelar.StateApproved:
				out[n] = l.executeApproved(ctx, d, b.Fence, b.Transfers[n], *approvals[n])
			}
		}
		return out, nil
	}
}

func (l leg) executeApproved(ctx context.Context, d NetworkDeps, fence chains.Fence, t tokens.Transfer, a axelar.Approved) error {
	r, err := l.route(t)
	if err != nil {
		return err
	}
	tx, err := d.ExecuteTx(a, r.Payload)
	if err != nil {
		return err
	}
	tx.Key, tx.Group, tx.Members, tx.Fence = l.name+"/execute/"+a.CommandID.Hex(), "into/"+l.to.chain, []common.Hash{t.ID}, fence
	err = d.Send(ctx, tx)
	var revert *chains.RevertError
	if !errors.As(err, &revert) {
		return err
	}
	c, now, asked := d.Circumstances(ctx, a, transferOf(r))
	if asked != nil {
		return asked
	}
	return meaning(axelar.ClassifyRevert(revert.Data, now).Given(c), now, err)
}

func reported(d NetworkDeps) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	return func(_ context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		out := make([]Outcome, len(batch))
		known := make([]bool, len(batch))
		if d.Reported != nil {
			known = d.Reported(ids(batch))
		}
		for i := range out {
			out[i].Kind = Pending
			if d.Reported == nil || known[i] {
				out[i].Kind = Ok
			}
		}
		return out, nil
	}
}
