package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// FLTL1Withdraw is FLT from the subnet to Ethereum. The user's one call gives it
// to FltPortal, which sends one message; the checkpoint flow carries that to
// FltHandler on the root, which sends the amount on through the token service; a
// leg carries it to Ethereum, where the service unlocks it. What FltHandler
// cannot send on it keeps, and it is tried again; what never reached it comes
// back to FltPortal and is sent again.
func FLTL1Withdraw(s Subnet, c Crossing, d CrossDeps) Flow {
	x := cross{s, c, d, "flt_l1_withdraw"}
	f := Flow{Name: x.name, Subnet: s.Actor, Chain: s.Name, Chains: []string{s.Name, Root, Ethereum}, Decode: x.decodeWithdrawal}
	// What one step decides by the handler's events, and by those of the portal
	// where a return counts.
	sentOn := func(step string, returns bool) func(chains.Event) (Key, Outcome, bool) {
		onRoot := x.handler(step, map[common.Hash]Outcome{topicSentOn: {Kind: Ok}}, map[uint64]Outcome{keptUnsent: {Kind: Failed}})
		return func(e chains.Event) (Key, Outcome, bool) {
			if returns && e.Chain == x.ID && from(e, x.Portal, topicToL1Return, 2, 1) {
				return x.keyOf(step, e.Topics[1]), Outcome{Superseded, ReasonReturned}, true
			}
			return onRoot(e)
		}
	}
	send := Step{
		Name: "send_on", Key: x.key("send_on"), Effect: sentOn("send_on", true),
		Next: map[Kind]string{Ok: "unlock", Failed: "retry", Superseded: "resend"},
		Lane: x.lane("send_on"), Poll: waitPoll,
	}
	send.Done = x.orReturned(x.searched(send), Outcome{Superseded, ReasonReturned})

	resend := Step{
		Name: "resend", Key: x.key("resend"), Effect: sentOn("resend", false),
		Next: map[Kind]string{Ok: "unlock", Failed: "retry"},
		Lane: x.lane("resend"), Poll: 10 * time.Second,
		Do: x.resend,
	}
	resend.Done = x.orReturned(x.searched(resend), Outcome{Kind: Pending})

	retry := Step{
		Name: "retry", Key: x.key("retry"),
		Effect: x.handler("retry", map[common.Hash]Outcome{topicSentOn: {Kind: Ok}, topicClaimed: {Failed, ReasonClaimed}}, nil),
		Next:   map[Kind]string{Ok: "unlock", Failed: string(tokens.Refunded)},
		Lane:   x.lane("retry"), Poll: 10 * time.Second,
		Do: x.again("retry", func(t tokens.Transfer) ([]byte, error) {
			w, err := axelar.DecodeFltWithdrawal(t.Payload)
			if err != nil {
				return nil, err
			}
			return axelar.RetryWithdrawalCalldata(w), nil
		}),
	}
	retry.Done = x.kept(retry, func(c axelar.FltCredit) bool { return c.Amount.Sign() > 0 })

	unlock := Step{
		Name: "unlock", Key: x.key("unlock"), Effect: nothing, Searched: true,
		Done: x.unlocked,
		Next: map[Kind]string{Ok: string(tokens.Done)},
		Lane: x.lane("unlock"), Poll: crossPoll,
	}
	f.Steps = []Step{send, resend, retry, unlock}
	return f
}

// decodeWithdrawal reads WithdrawalToL1Sent(id, nonce indexed; messageNonce,
// withdrawal) of FltPortal and checks the id against the struct.
func (x cross) decodeWithdrawal(e chains.Event) (tokens.Transfer, bool, error) {
	if e.Chain != x.ID || !from(e, x.Portal, topicToL1, 3, 8) {
		return tokens.Transfer{}, false, nil
	}
	payload := e.Data[32 : 32*8]
	w, err := axelar.DecodeFltWithdrawal(payload)
	if err != nil {
		return tokens.Transfer{}, false, fmt.Errorf("decode withdrawal to Ethereum: %w", err)
	}
	if id := axelar.FltWithdrawalID(x.RootID, x.Handler, w); id != e.Topics[1] {
		return tokens.Transfer{}, false, fmt.Errorf("withdrawal to Ethereum %d hashes to %s, its event says %s", w.Nonce, id, e.Topics[1])
	}
	return tokens.Transfer{
		ID:    TransferID(x.name, x.ID, x.Portal, x.Actor, w.Nonce),
		Route: x.name, Subnet: x.Actor, Sender: w.Sender, Recipient: w.Recipient, Amount: tokens.MustUnits(w.Amount),
		Nonce: w.Nonce, Ref: e.Topics[1], Origin: e.ID(), Height: e.Block, At: e.BlockTime, Payload: payload,
	}, true, nil
}

// orReturned is Done where what came back to FltPortal counts too.
func (x cross) orReturned(done func(context.Context, []tokens.Transfer) ([]Outcome, error), back Outcome) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	return func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		out, err := done(ctx, batch)
		if err != nil {
			return nil, err
		}
		returned, err := x.d.Returned(ctx, refs(batch))
		if err != nil {
			return nil, err
		}
		for i := range out {
			if out[i].Kind == Unknown && returned[i] {
				out[i] = back
			}
		}
		return out, nil
	}
}

func (x cross) resend(ctx context.Context, b Batch) ([]error, error) {
	out := make([]error, len(b.Transfers))
	for i, t := range b.Transfers {
		w, err := axelar.DecodeFltWithdrawal(t.Payload)
		if err != nil {
			out[i] = Park(ReasonUndecodable, err)
			continue
		}
		tx, err := x.d.ResendTx(ctx, w)
		if err != nil {
			out[i] = err
			continue
		}
		// The portal refuses a second resend of one return.
		tx.Key, tx.Group, tx.Members, tx.Fence = "resend/"+x.name+"/"+t.Ref.Hex(), "resend", []common.Hash{t.ID}, b.Fence
		out[i] = classify(x.d.SendSubnet(ctx, tx))
	}
	return out, nil
}

// unlocked looks for the execution, on Ethereum, of the message that FltHandler's
// SentOn follows. Its id comes from the root's transaction, so no event of Ethereum
// names the withdrawal; what is found is journaled as what decides it.
func (x cross) unlocked(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
	out := make([]Outcome, len(batch))
	byID := map[common.Hash]int{}
	q := Search{Chain: Root, Contract: x.Handler, Topics: []common.Hash{topicSentOn}, Position: 1}
	for i, t := range batch {
		byID[t.Ref] = i
		q.Values = append(q.Values, t.Ref)
		if i == 0 || t.At < q.Since {
			q.Since = t.At
		}
	}
	found, err := x.d.Search(ctx, q)
	if err != nil {
		return nil, err
	}
	var sent []chains.Event
	var index []int
	for _, e := range found {
		if i, ours := byID[idOf(e)]; ours && from(e, x.Handler, topicSentOn, 3, 1) {
			sent, index = append(sent, e), append(index, i)
		}
	}
	if len(sent) == 0 {
		return out, nil
	}
	commands, err := x.commands(ctx, sent)
	if err != nil {
		return nil, err
	}
	gateway := x.L1Gateway
	there := Search{Chain: Ethereum, Contract: gateway.Address(), Topics: gateway.Filter().Topics, Position: 1, Since: q.Since}
	of := map[common.Hash]int{}
	for i, id := range commands {
		if id != (common.Hash{}) {
			of[id], there.Values = index[i], append(there.Values, id)
		}
	}
	if len(there.Values) == 0 {
		return out, nil
	}
	events, err := x.d.Search(ctx, there)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		said, ok, err := gateway.Decode(e)
		done, executed := said.(axelar.Executed)
		if err != nil || !ok || !executed {
			continue
		}
		if i, ours := of[done.CommandID]; ours {
			if err := x.d.Decide(ctx, Ethereum, x.keyOf("unlock", batch[i].Ref), Outcome{Kind: Ok}, e); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// commands are the command ids on Ethereum of the calls of the gateway that these
// events of FltHandler follow; zero for one that is not known yet.
func (x cross) commands(ctx context.Context, sent []chains.Event) ([]common.Hash, error) {
	onward, err := x.d.Onward(ctx, sent)
	if err != nil {
		return nil, err
	}
	out := make([]common.Hash, len(sent))
	if x.d.Approvals == nil {
		for i, o := range onward {
			out[i] = x.L1Gateway.CommandID(o.Message)
		}
		return out, nil
	}
	legs := make([]common.Hash, len(sent))
	for i, o := range onward {
		legs[i] = LegOutID(x.Subnet, x.Crossing, o.Call)
	}
	approvals, err := x.d.Approvals(ctx, legs)
	if err != nil {
		return nil, err
	}
	for i, a := range approvals {
		if a != nil && a.Message.PayloadHash == onward[i].Message.PayloadHash {
			out[i] = a.CommandID
		}
	}
	return out, nil
}
