package axelar

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/ethereum/go-ethereum/common"
)

// Payment is a payment for gas and the log that says so.
type Payment struct {
	Log  chains.Event
	Paid GasPaid
}

// PaidCall is a call of a gateway, the message it begins, and what was paid for
// it in its own transaction; nil: nothing was.
type PaidCall struct {
	ID   MessageID
	Log  chains.Event
	Call Called
	Gas  *Payment
}

// paidFor is what a payment and the call it is for have in common.
type paidFor struct {
	sender         common.Address
	chain, address string
	payload        common.Hash
}

// PairGas reads the calls of one transaction and gives each the payment made
// for it: the first one before it, not yet taken, with the same sender,
// destination and payload. Equal calls in one transaction thereby get their
// payments in order, one each; a payment behind its call, and one too many, is
// spare. tx is events of one transaction in their order, whose Position is
// known, all of the gateway and of the gas service among them. ErrReceipt where
// they are none.
func PairGas(gateway Gateway, service GasService, tx []chains.Event) (calls []PaidCall, spare []Payment, err error) {
	waiting := map[paidFor][]*Payment{}
	var payments []*Payment
	for i, e := range tx {
		if i > 0 {
			if err := follows(tx[i-1], e); err != nil {
				return nil, nil, fmt.Errorf("pair gas: log %d: %w", i, err)
			}
		}
		paid, _, err := service.Decode(e)
		if err != nil {
			return nil, nil, fmt.Errorf("pair gas: log %d: %w", i, err)
		}
		if p, ok := paid.(GasPaid); ok {
			k := paidFor{p.Sender, p.DestinationChain, p.DestinationAddress, p.PayloadHash}
			payments = append(payments, &Payment{Log: e, Paid: p})
			waiting[k] = append(waiting[k], payments[len(payments)-1])
		}
		said, _, err := gateway.Decode(e)
		if err != nil {
			return nil, nil, fmt.Errorf("pair gas: log %d: %w", i, err)
		}
		if c, ok := said.(Called); ok {
			call := PaidCall{ID: MessageID{Tx: e.Tx, Index: uint64(e.Position)}, Log: e, Call: c}
			k := paidFor{c.Sender, c.DestinationChain, c.DestinationAddress, c.PayloadHash}
			if first := waiting[k]; len(first) > 0 {
				call.Gas, waiting[k] = first[0], first[1:]
			}
			calls = append(calls, call)
		}
	}

	// What no call took is spare, in the order of the logs.
	for _, p := range payments {
		if !slices.ContainsFunc(calls, func(c PaidCall) bool { return c.Gas == p }) {
			spare = append(spare, *p)
		}
	}
	return calls, spare, nil
}

// follows says whether b can be behind a in one receipt. Positions that nobody
// filled in are equal, and refused.
func follows(a, b chains.Event) error {
	switch {
	case b.Tx != a.Tx || b.BlockHash != a.BlockHash || b.Chain != a.Chain:
		return fmt.Errorf("it is of another transaction or block: %w", ErrReceipt)
	case b.Index <= a.Index:
		return fmt.Errorf("it has index %d after %d: %w", b.Index, a.Index, ErrReceipt)
	case b.Position <= a.Position:
		return fmt.Errorf("it has position %d after %d: %w", b.Position, a.Position, ErrReceipt)
	}
	return nil
}

// GasEntry is a final event of the gas service under its id.
type GasEntry struct {
	ID    chains.EventID
	Event GasEvent
}

// GasSum is what is known of one message's gas, in wei of the coin of its
// source chain. Payments in tokens are counted in Tokens and are worth nothing
// here: there is no price for them.
type GasSum struct {
	Paid     *big.Int
	Refunded *big.Int
	Tokens   int
}

// SumGas adds up what was paid for a call: with it, and by top-ups that name
// its message, less what was refunded. entries are events of the gas service on
// the call's chain, in any order, any of them more than once.
func SumGas(call PaidCall, entries []GasEntry) GasSum {
	sum := GasSum{Paid: new(big.Int), Refunded: new(big.Int)}
	take := func(to *big.Int, token common.Address, amount *big.Int) {
		if token != (common.Address{}) {
			sum.Tokens++
			return
		}
		to.Add(to, amount)
	}
	if call.Gas != nil {
		take(sum.Paid, call.Gas.Paid.Token, call.Gas.Paid.Amount)
	}
	seen := map[chains.EventID]bool{}
	for _, e := range entries {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		switch g := e.Event.(type) {
		case GasAdded:
			if id, ok := g.For(); ok && id == call.ID {
				take(sum.Paid, g.Token, g.Amount)
			}
		case GasRefunded:
			if id, ok := g.For(); ok && id == call.ID && g.Token == (common.Address{}) {
				sum.Refunded.Add(sum.Refunded, g.Amount)
			}
		}
	}
	return sum
}

// Left is what was paid and not given back, never below zero.
func (s GasSum) Left() *big.Int {
	left := new(big.Int).Sub(s.Paid, s.Refunded)
	if left.Sign() < 0 {
		return new(big.Int)
	}
	return left
}

// ErrGasNeed says when what a delivery costs is not fully known.
var ErrGasNeed = errors.New("not the price of a delivery")

// Whole is a margin of nothing: 10000 hundredths of a percent.
const Whole = 10_000

// Rate is what two coins are worth: Source wei of the source chain's coin buy
// Destination wei of the destination chain's.
type Rate struct{ Source, Destination *big.Int }

// GasNeed is what the delivery of one message takes: gas for its approval and
// its execution at the destination, at GasPriceWei of the destination's coin
// each; ExtraWei of the source's coin for what lies between (the hub; nil:
// nothing); and all of it times MarginBps / 10000.
type GasNeed struct {
	ApproveGas  uint64
	ExecuteGas  uint64
	GasPriceWei *big.Int
	ExtraWei    *big.Int
	Rate        Rate
	MarginBps   uint64
}

func (n GasNeed) check() error {
	for _, v := range []struct {
		name  string
		value *big.Int
		least int
	}{
		{"gas price", n.GasPriceWei, 0}, {"rate of the source's coin", n.Rate.Source, 1},
		{"rate of the destination's coin", n.Rate.Destination, 1},
	} {
		if v.value == nil || v.value.Sign() < v.least {
			return fmt.Errorf("%s is %v: %w", v.name, v.value, ErrGasNeed)
		}
	}
	if n.ExtraWei != nil && n.ExtraWei.Sign() < 0 {
		return fmt.Errorf("extra is %s: %w", n.ExtraWei, ErrGasNeed)
	}
	if n.MarginBps < Whole {
		return fmt.Errorf("margin of %d, below %d: %w", n.MarginBps, Whole, ErrGasNeed)
	}
	return nil
}

// Wei is the least amount of the source chain's coin that suffices, exactly and
// rounded up; ErrGasNeed where a price is missing or negative, or the margin is
// below Whole.
func (n GasNeed) Wei() (*big.Int, error) {
	if err := n.check(); err != nil {
		return nil, fmt.Errorf("price a delivery: %w", err)
	}
	// (gas × price × source + extra × destination) × margin, over destination × 10000.
	need := new(big.Int).Add(new(big.Int).SetUint64(n.ApproveGas), new(big.Int).SetUint64(n.ExecuteGas))
	need.Mul(need, n.GasPriceWei).Mul(need, n.Rate.Source)
	if n.ExtraWei != nil {
		need.Add(need, new(big.Int).Mul(n.ExtraWei, n.Rate.Destination))
	}
	need.Mul(need, new(big.Int).SetUint64(n.MarginBps))
	per := new(big.Int).Mul(n.Rate.Destination, big.NewInt(Whole))
	need.Add(need, new(big.Int).Sub(per, big.NewInt(1)))
	return need.Quo(need, per), nil
}

// Short is what is missing for the delivery when paidWei of the source chain's
// coin was paid: zero says that it is enough.
func (n GasNeed) Short(paidWei *big.Int) (*big.Int, error) {
	need, err := n.Wei()
	if err != nil {
		return nil, err
	}
	if need.Sub(need, paidWei).Sign() < 0 {
		return new(big.Int), nil
	}
	return need, nil
}
