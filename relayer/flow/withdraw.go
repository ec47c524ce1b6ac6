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

// WithdrawDeps is what a withdrawal needs of the chains.
type WithdrawDeps struct {
	Search SearchFunc
	// Returned says, at one final subnet block, which of these withdrawals
	// stand returned in the outbox.
	Returned func(context.Context, []common.Hash) ([]bool, error)
	// ResendTx is the call that sends a returned withdrawal again; Value is the
	// exit fee.
	ResendTx func(context.Context, ipc.Withdrawal) (chains.Tx, error)
	Send     func(context.Context, chains.Tx) error // to the subnet
}

// withdraw is one file for both tokens: the same message, the same contracts.
//
// The story: the outbox takes the money and sends one message to
// FastWithdrawals; the checkpoint flow carries the message to the root and
// executes it; FastWithdrawals settles the id and pays, or keeps a credit. A
// withdrawal never refunds in the subnet: if the message itself fails on the
// root, the outbox gets the value back and the identical withdrawal is sent
// again.
func withdraw(name string, token common.Address, s Subnet, d WithdrawDeps) Flow {
	f := Flow{Name: name, Subnet: s.Actor, Chain: s.Name, Chains: s.chains(), Decode: s.decodeWithdrawal(name, token)}
	settle := Step{
		Name: "settle",
		Key:  func(t tokens.Transfer) Key { return s.settleKey("fw", t.Ref) }, Effect: s.settleEffect("fw", true),
		Next: map[Kind]string{Ok: string(tokens.Done), Failed: string(tokens.Credited), Superseded: "resend"},
		Lane: s.loose(name, "settle"), Poll: waitPoll,
	}
	settled := Search{Chain: Root, Contract: s.FastWithdrawals, Topics: []common.Hash{topicSettled, topicQuarantined}, Position: 1}
	ref := func(t tokens.Transfer) common.Hash { return t.Ref }
	onRoot := searched(settle, d.Search, settled, ref)
	settle.Done = func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		out, err := onRoot(ctx, batch)
		if err != nil {
			return nil, err
		}
		back, err := d.Returned(ctx, refs(batch))
		if err != nil {
			return nil, err
		}
		for i := range out {
			if out[i].Kind == Unknown && back[i] {
				out[i] = Outcome{Superseded, ReasonReturned}
			}
		}
		return out, nil
	}

	resend := Step{
		Name: "resend",
		Key:  func(t tokens.Transfer) Key { return s.settleKey("fw2", t.Ref) }, Effect: s.settleEffect("fw2", false),
		Next: map[Kind]string{Ok: string(tokens.Done), Failed: string(tokens.Credited)},
		Lane: s.loose(name, "resend"), Poll: 10 * time.Second,
		Do: d.resend,
	}
	again := searched(resend, d.Search, settled, ref)
	resend.Done = func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		out, err := again(ctx, batch)
		if err != nil {
			return nil, err
		}
		back, err := d.Returned(ctx, refs(batch))
		if err != nil {
			return nil, err
		}
		for i := range out {
			if out[i].Kind == Unknown && back[i] {
				out[i] = Outcome{Kind: Pending}
			}
		}
		return out, nil
	}
	f.Steps = []Step{settle, resend}
	return f
}

func (d WithdrawDeps) resend(ctx context.Context, b Batch) ([]error, error) {
	out := make([]error, len(b.Transfers))
	for i, t := range b.Transfers {
		w, err := ipc.DecodeWithdrawal(t.Payload)
		if err != nil {
			out[i] = Park(ReasonUndecodable, err)
			continue
		}
		tx, err := d.ResendTx(ctx, w)
		if err != nil {
			out[i] = err
			continue
		}
		// The outbox refuses a second resend of the same return; the key keeps
		// us from paying gas to find out.
		tx.Key, tx.Group, tx.Members, tx.Fence = "resend/"+t.Ref.Hex(), "resend", []common.Hash{t.ID}, b.Fence
		// Somebody else's resend makes ours revert before a final block shows it:
		// that is no failure.
		out[i] = classify(d.Send(ctx, tx))
	}
	return out, nil
}

func refs(batch []tokens.Transfer) []common.Hash {
	out := make([]common.Hash, len(batch))
	for i, t := range batch {
		out[i] = t.Ref
	}
	return out
}

// decodeWithdrawal reads WithdrawalSent(id, nonce indexed; messageNonce,
// withdrawal) for one root token, and checks the id against the struct.
func (s Subnet) decodeWithdrawal(name string, token common.Address) func(chains.Event) (tokens.Transfer, bool, error) {
	return func(e chains.Event) (tokens.Transfer, bool, error) {
		if e.Chain != s.ID || !from(e, s.Outbox, topicWithdrawal, 3, 15) {
			return tokens.Transfer{}, false, nil
		}
		w, err := ipc.DecodeWithdrawal(e.Data[32:])
		if err != nil {
			return tokens.Transfer{}, false, fmt.Errorf("decode withdrawal: %w", err)
		}
		if w.Token != token {
			return tokens.Transfer{}, false, nil
		}
		if id := ipc.WithdrawalID(uint64(s.RootID), s.FastWithdrawals, w); id != e.Topics[1] {
			return tokens.Transfer{}, false, fmt.Errorf("withdrawal %d hashes to %s, its event says %s", w.Nonce, id, e.Topics[1])
		}
		return tokens.Transfer{
			ID:    TransferID(name, s.ID, s.Outbox, s.Actor, w.Nonce),
			Route: name, Subnet: s.Actor, Sender: w.Sender, Recipient: w.Recipient,
			Amount: tokens.MustUnits(w.Gross), Nonce: w.Nonce, Ref: e.Topics[1],
			Origin: e.ID(), Height: e.Block, At: e.BlockTime, Payload: e.Data[32 : 32*15],
		}, true, nil
	}
}

func (s Subnet) settleKey(kind string, id common.Hash) Key {
	return Key(fmt.Sprintf("%s/%s/%s", kind, s.Actor.Hex(), id.Hex()))
}

// settleEffect reads what decides a withdrawal: settled (paid or credited) or
// quarantined on the root, or, where returns count, returned to the outbox.
func (s Subnet) settleEffect(kind string, returns bool) func(chains.Event) (Key, Outcome, bool) {
	return func(e chains.Event) (Key, Outcome, bool) {
		switch {
		case e.Chain == s.RootID && from(e, s.FastWithdrawals, topicSettled, 4, 2):
			if paid := new(big.Int).SetBytes(word(e.Data, 1)); paid.Sign() == 0 {
				return s.settleKey(kind, e.Topics[1]), Outcome{Failed, ReasonPayoutRefused}, true
			}
			return s.settleKey(kind, e.Topics[1]), Outcome{Kind: Ok}, true
		case e.Chain == s.RootID && from(e, s.FastWithdrawals, topicQuarantined, 4, 2):
			return s.settleKey(kind, e.Topics[1]), Outcome{Failed, ReasonQuarantined}, true
		case returns && e.Chain == s.ID && from(e, s.Outbox, topicReturned, 2, 1):
			return s.settleKey(kind, e.Topics[1]), Outcome{Superseded, ReasonReturned}, true
		}
		return "", Outcome{}, false
	}
}
