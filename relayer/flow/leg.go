package flow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
)

// Ethereum names the L1 as in cursors and metric labels.
const Ethereum = "ethereum"

// Crossing is everything the flows must know of how a subnet's root is joined to
// Ethereum: ids and addresses, never a client.
type Crossing struct {
	L1 chains.ID
	// L1Name and RootName are the chains' names at Axelar.
	L1Name, RootName        string
	L1Gateway, RootGateway  axelar.Gateway
	Hub                     axelar.Hub
	TokenID                 common.Hash
	Sender, Handler, Portal common.Address // FltSender, FltHandler, FltPortal
	// Foreign carries also what others send of the token: transfers that neither
	// come from FltSender or FltHandler nor go to FltHandler.
	Foreign bool
	// Gmp is what calls between contracts go through; zero where there is none.
	Gmp Gmp
}

// leg is one direction in which Axelar carries messages.
type leg struct {
	Crossing
	name     string
	actor    common.Address
	from, to end
	// ours says whether a transfer of the token is one of our contracts' own.
	ours func(axelar.Transfer) bool
	// caller calls taker without the hub; zero where nothing does.
	caller, taker common.Address
}

// end is one end of a leg.
type end struct {
	chain   string // as in cursors
	id      chains.ID
	name    string // at Axelar
	gateway axelar.Gateway
}

func (s Subnet) ends(c Crossing) (l1, root end) {
	return end{Ethereum, c.L1, c.L1Name, c.L1Gateway}, end{Root, s.RootID, c.RootName, c.RootGateway}
}

func (s Subnet) legIn(c Crossing) leg {
	l1, root := s.ends(c)
	return leg{c, "leg_in", s.Actor, l1, root, func(t axelar.Transfer) bool {
		return is(t.Source, c.Sender) && is(t.Destination, c.Handler)
	}, c.Gmp.Port, c.Gmp.Router}
}

func (s Subnet) legOut(c Crossing) leg {
	l1, root := s.ends(c)
	return leg{c, "leg_out", s.Actor, root, l1, func(t axelar.Transfer) bool { return is(t.Source, c.Handler) }, c.Gmp.Router, c.Gmp.Port}
}

func is(b []byte, a common.Address) bool { return len(b) == len(a) && common.BytesToAddress(b) == a }

// LegDeps is what carrying Axelar's messages to one chain needs of it.
type LegDeps struct {
	// StatesFinal asks the destination's gateway at its final block, StatesLatest
	// at its newest one; one answer per message.
	StatesFinal  func(context.Context, []axelar.Message) ([]axelar.State, error)
	StatesLatest func(context.Context, []axelar.Message) ([]axelar.State, error)
	Approve      ApproveFunc
	// ExecuteTx is the call that executes an approved message.
	ExecuteTx func(m axelar.Message, payload []byte) (chains.Tx, error)
	// Together executes many in one transaction; nil where nothing stands that does.
	Together *Together
	// Circumstances is what else is known of a message whose execution failed,
	// and the time of the destination's newest block, Unix seconds.
	Circumstances func(ctx context.Context, m axelar.Message, t *axelar.Transfer) (c axelar.Circumstances, now uint64, err error)
	Send          func(context.Context, chains.Tx) error // to the destination
}

// LegIn carries Axelar's messages from Ethereum to the root: each is approved by
// the signers of the root's gateway, then executed by us or by anybody. It
// promises that what was sent arrives once and knows nothing of what becomes of
// the money, or of a call between contracts.
func LegIn(s Subnet, c Crossing, d LegDeps) Flow { return s.legIn(c).flow(d) }

// LegOut carries them from the root to Ethereum.
func LegOut(s Subnet, c Crossing, d LegDeps) Flow { return s.legOut(c).flow(d) }

// legPoll is the time between two looks of a leg; events come first.
const legPoll = 5 * time.Second

func (l leg) flow(d LegDeps) Flow {
	return Flow{
		Name: l.name, Subnet: l.actor, Chain: l.from.chain, Chains: []string{l.from.chain, l.to.chain}, Decode: l.decode,
		Steps: []Step{
			{
				Name: "approve",
				Key:  func(t tokens.Transfer) Key { return l.approveKey(l.mustRoute(t).Message) }, Effect: l.approveEffect,
				Done: l.asked(d.StatesFinal, func(s axelar.State) bool { return s == axelar.StateApproved || s == axelar.StateExecuted }),
				Do:   l.approve(d),
				Next: map[Kind]string{Ok: "execute"},
				Lane: l.lane("approve"), Poll: legPoll,
			},
			{
				Name: "execute",
				Key:  func(t tokens.Transfer) Key { return l.executeKey(t.Ref) }, Effect: l.executeEffect,
				Done: l.asked(d.StatesFinal, func(s axelar.State) bool { return s == axelar.StateExecuted }),
				Do:   l.execute(d),
				Next: map[Kind]string{Ok: string(tokens.Done)},
				Lane: l.lane("execute"), Poll: legPoll,
			},
		},
	}
}

func (l leg) lane(step string) func(tokens.Transfer) Lane {
	name := l.name + "/" + step + "/" + l.actor.Hex()
	return func(tokens.Transfer) Lane { return Lane{Name: name} }
}

// decode reads ContractCall of the source's gateway where the token service
// sends our token through the hub, or one of our contracts calls the other.
// Anybody may make the gateway say anything else, of any length: that is nobody's.
func (l leg) decode(e chains.Event) (tokens.Transfer, bool, error) {
	if e.Chain != l.from.id || e.Address != l.from.gateway.Address() || len(e.Topics) < 2 || !l.speaks(topicAddress(e.Topics[1])) {
		return tokens.Transfer{}, false, nil
	}
	decoded, ok, err := l.from.gateway.Decode(e)
	called, isCall := decoded.(axelar.Called)
	if !ok || err != nil || !isCall {
		return tokens.Transfer{}, false, nil
	}
	t := tokens.Transfer{
		ID:    l.id(e.Tx, e.Position),
		Route: l.name, Subnet: l.actor, Nonce: uint64(e.Position),
		Origin: e.ID(), Height: e.Block, At: e.BlockTime, Payload: called.Payload, Hidden: true,
	}
	if r, err := axelar.Direct(l.from.name, source(t), called); err == nil {
		if called.Sender != l.caller || r.To != l.to.name || r.Message.Contract != l.taker {
			return tokens.Transfer{}, false, nil
		}
		t.Sender, t.Recipient, t.Ref = called.Sender, r.Message.Contract, l.to.gateway.CommandID(r.Message)
		return t, true, nil
	}
	r, err := l.Hub.Route(l.from.name, source(t), called)
	if err != nil || r.To != l.to.name {
		return tokens.Transfer{}, false, nil
	}
	inner, isTransfer := r.Inner.(axelar.Transfer)
	if !isTransfer || inner.TokenID != l.TokenID || !(l.Foreign || l.ours(inner)) {
		return tokens.Transfer{}, false, nil
	}
	t.Ref = l.to.gateway.CommandID(r.Message)
	return t, true, nil
}

// speaks says whether what a contract calls may be carried at all.
func (l leg) speaks(sender common.Address) bool {
	return sender == l.Hub.Services[l.from.name] || sender == l.caller && l.caller != (common.Address{})
}

// direct says whether a leg's transfer goes without the hub: then it has both of
// the contracts, else neither.
func direct(t tokens.Transfer) bool { return t.Sender != (common.Address{}) }

// id is the content id of a leg's transfer (PROTOCOL 41, 46).
func (l leg) id(tx common.Hash, position uint) common.Hash {
	return crypto.Keccak256Hash(fmt.Appendf(nil, "causeway/1|%s|%d|%s|%s|%s|%d",
		l.name, l.from.id, l.from.gateway.Address().Hex(), l.actor.Hex(), tx.Hex(), position))
}

// source is the id of the call that began a transfer.
func source(t tokens.Transfer) axelar.MessageID {
	return axelar.MessageID{Tx: t.Origin.Tx, Index: t.Nonce}
}

// route is the message of a transfer, made again from what was called.
func (l leg) route(t tokens.Transfer) (axelar.Routed, error) {
	if direct(t) {
		return axelar.Direct(l.from.name, source(t), axelar.Called{
			Sender: t.Sender, DestinationChain: l.to.name, DestinationAddress: t.Recipient.Hex(),
			PayloadHash: crypto.Keccak256Hash(t.Payload), Payload: t.Payload,
		})
	}
	return l.Hub.Route(l.from.name, source(t), axelar.Called{
		Sender: l.Hub.Services[l.from.name], DestinationChain: axelar.HubChain, DestinationAddress: l.Hub.Address,
		PayloadHash: crypto.Keccak256Hash(t.Payload), Payload: t.Payload,
	})
}

// mustRoute is route for what decode has routed before; what it cannot route has
// no message, and so no key that an event could carry.
func (l leg) mustRoute(t tokens.Transfer) axelar.Routed {
	r, err := l.route(t)
	if err != nil {
		return axelar.Routed{}
	}
	return r
}

// approveKey names an approval by all that was approved: the same id with other
// content is another key.
func (l leg) approveKey(m axelar.Message) Key {
	return l.approvalKey(l.to.gateway.CommandID(m), m.Contract, m.PayloadHash)
}

func (l leg) approvalKey(command common.Hash, contract common.Address, payload common.Hash) Key {
	return Key(fmt.Sprintf("%s/approve/%s/%s/%s/%s", l.name, l.actor.Hex(), command.Hex(), contract.Hex(), payload.Hex()))
}

func (l leg) executeKey(command common.Hash) Key {
	return Key(fmt.Sprintf("%s/execute/%s/%s", l.name, l.actor.Hex(), command.Hex()))
}

// said reads an event of the destination's gateway.
func (l leg) said(e chains.Event) axelar.Event {
	if e.Chain != l.to.id || e.Address != l.to.gateway.Address() {
		return nil
	}
	decoded, ok, err := l.to.gateway.Decode(e)
	if !ok || err != nil {
		return nil
	}
	return decoded
}

func (l leg) approveEffect(e chains.Event) (Key, Outcome, bool) {
	if a, ok := l.said(e).(axelar.Approved); ok {
		return l.approvalKey(a.CommandID, a.Message.Contract, a.Message.PayloadHash), Outcome{Kind: Ok}, true
	}
	return "", Outcome{}, false
}

func (l leg) executeEffect(e chains.Event) (Key, Outcome, bool) {
	if x, ok := l.said(e).(axelar.Executed); ok {
		return l.executeKey(x.CommandID), Outcome{Kind: Ok}, true
	}
	return "", Outcome{}, false
}

// asked is Done: what the destination's gateway says at a final block.
func (l leg) asked(states func(context.Context, []axelar.Message) ([]axelar.State, error), done func(axelar.State) bool) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	return func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		messages, err := l.messages(batch)
		if err != nil {
			return nil, err
		}
		got, err := states(ctx, messages)
		if err != nil {
			return nil, err
		}
		out := make([]Outcome, len(batch))
		for i, s := range got {
			out[i].Kind = Pending
			if done(s) {
				out[i].Kind = Ok
			}
		}
		return out, nil
	}
}

func (l leg) messages(batch []tokens.Transfer) ([]axelar.Message, error) {
	out := make([]axelar.Message, len(batch))
	for i, t := range batch {
		r, err := l.route(t)
		if err != nil {
			return nil, fmt.Errorf("[BUG] %s was routed before: %w", t, err)
		}
		out[i] = r.Message
	}
	return out, nil
}

// errConflict says that a gateway has another message under an id of ours.
var errConflict = errors.New("another message is approved under its id")

// approve hands over what the signers have signed by now. Anybody may approve
// what they signed: a gateway skips what it has, so a second time is no harm.
func (l leg) approve(d LegDeps) func(context.Context, Batch) ([]error, error) {
	return func(ctx context.Context, b Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		messages, err := l.messages(b.Transfers)
		if err != nil {
			return nil, err
		}
		states, err := d.StatesLatest(ctx, messages)
		if err != nil {
			return nil, err
		}
		var wanted []Wanted
		var index []int
		for i, s := range states {
			switch s {
			case axelar.StateConflict:
				out[i] = Park(ReasonConflict, fmt.Errorf("message %s: %w", messages[i].ID, errConflict))
			case axelar.StateNone:
				wanted = append(wanted, Wanted{From: l.from.name, ID: source(b.Transfers[i]), Message: messages[i]})
				index = append(index, i)
				out[i] = fmt.Errorf("%w: its approval is not signed", ErrNotYet)
			}
		}
		if len(wanted) == 0 {
			return out, nil
		}
		signed, err := d.Approve(ctx, wanted)
		if err != nil {
			return nil, err
		}
		for _, s := range signed {
			tx := s.Tx
			tx.Key, tx.Group, tx.Fence = l.name+"/approve/"+s.Key, "into/"+l.to.chain, b.Fence
			for _, n := range s.Covers {
				tx.Members = append(tx.Members, b.Transfers[index[n]].ID)
			}
			err := l.told(d.Send(ctx, tx))
			for _, n := range s.Covers {
				out[index[n]] = err
			}
		}
		return out, nil
	}
}

// told turns what a gateway refuses an approval with into what it means.
func (l leg) told(err error) error {
	var revert *chains.RevertError
	if !errors.As(err, &revert) {
		return err
	}
	f := axelar.ClassifyRevert(revert.Data, 0)
	switch f.Class {
	case axelar.ClassProof, axelar.ClassState, axelar.ClassDone:
		// Of a set that the gateway no longer takes: signed anew by a later look.
		return fmt.Errorf("%w: the approval was refused: %s", ErrNotYet, f.Name)
	case axelar.ClassWait:
		return Later(pauseWait, ReasonPaused, fmt.Errorf("%s: %w", f.Name, err))
	}
	return fmt.Errorf("approve: %s: %w", f.Name, err)
}

// pauseWait and operatorWait are the time between two looks at what a person has
// to change.
const (
	pauseWait    = 10 * time.Second
	operatorWait = 30 * time.Second
)

// execute has the token service take what is approved. Somebody else may be
// first, which the service refuses the second time.
func (l leg) execute(d LegDeps) func(context.Context, Batch) ([]error, error) {
	return func(ctx context.Context, b Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		messages, err := l.messages(b.Transfers)
		if err != nil {
			return nil, err
		}
		states, err := d.StatesLatest(ctx, messages)
		if err != nil {
			return nil, err
		}
		var ready []int
		for i, s := range states {
			switch s {
			case axelar.StateNone:
				out[i] = fmt.Errorf("%w: its approval is in no block any more", ErrNotYet)
			case axelar.StateConflict:
				out[i] = Park(ReasonConflict, fmt.Errorf("message %s: %w", messages[i].ID, errConflict))
			case axelar.StateApproved:
				ready = append(ready, i)
			}
		}
		return out, l.executeReady(ctx, d, b, ready, out)
	}
}

func (l leg) executeOne(ctx context.Context, d LegDeps, fence chains.Fence, t tokens.Transfer, r axelar.Routed) error {
	tx, err := d.ExecuteTx(r.Message, r.Payload)
	if err != nil {
		return err
	}
	tx.Key, tx.Group, tx.Members, tx.Fence = l.executing()+"/"+t.Ref.Hex(), "into/"+l.to.chain, []common.Hash{t.ID}, fence
	return why(ctx, d, r, d.Send(ctx, tx))
}

// why turns what an execution reverted with into what it means.
func why(ctx context.Context, d LegDeps, r axelar.Routed, err error) error {
	var revert *chains.RevertError
	if !errors.As(err, &revert) {
		return err
	}
	c, now, asked := d.Circumstances(ctx, r.Message, transferOf(r))
	if asked != nil {
		return asked
	}
	return meaning(axelar.ClassifyRevert(revert.Data, now).Given(c), now, err)
}

// transferOf is the token's transfer in a message, nil where it goes without the hub.
func transferOf(r axelar.Routed) *axelar.Transfer {
	if inner, is := r.Inner.(axelar.Transfer); is {
		return &inner
	}
	return nil
}

// meaning is what a worker does about a failed execution. The destination's
// contracts choose what they revert with, so it concerns this message alone.
func meaning(f axelar.Failure, now uint64, err error) error {
	name := cmp.Or(f.Name, "it fails without a word: nothing is there that could take it, or the gas was too little")
	switch named := fmt.Errorf("%s: %w", name, err); f.Class {
	case axelar.ClassDone:
		return nil
	case axelar.ClassWait:
		if f.Name == "Pause()" {
			return Later(pauseWait, ReasonPaused, named)
		}
		return fmt.Errorf("%w: %s", ErrNotYet, f.Name)
	case axelar.ClassScheduled:
		return Later(until(f.Until, now), ReasonFlowLimit, named)
	case axelar.ClassOperator:
		if f.Limit != nil {
			return Later(operatorWait, ReasonFlowLimit, named)
		}
		return Later(operatorWait, ReasonUntrusted, named)
	case axelar.ClassPermanent:
		return Park(ReasonRejected, named)
	default:
		return named
	}
}

// until is the time from now to a time of the chain, both Unix seconds, and a
// moment more: the block that is built then must be of the next window.
func until(at, now uint64) time.Duration {
	if at <= now {
		return time.Second
	}
	return time.Duration(at-now)*time.Second + time.Second
}
