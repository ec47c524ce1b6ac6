package flow

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// cross is what both ways of FLT between Ethereum and a subnet share.
type cross struct {
	Subnet
	Crossing
	d    CrossDeps
	name string
}

func (x cross) lane(step string) func(tokens.Transfer) Lane { return x.loose(x.name, step) }

// key names a step by the id that the deposit or withdrawal got where it began.
func (x cross) key(step string) func(tokens.Transfer) Key {
	return func(t tokens.Transfer) Key { return x.keyOf(step, t.Ref) }
}

func (x cross) keyOf(step string, id common.Hash) Key {
	return Key(x.name + "/" + step + "/" + x.Actor.Hex() + "/" + id.Hex())
}

// nothing is the Effect of a step that a search alone decides.
func nothing(chains.Event) (Key, Outcome, bool) { return "", Outcome{}, false }

// handler reads the events of FltHandler that decide a step: by their topic, and
// Credited by its reason.
func (x cross) handler(step string, by map[common.Hash]Outcome, kept map[uint64]Outcome) func(chains.Event) (Key, Outcome, bool) {
	// Topics and words of each, as in contracts/src/interfaces/IFlt.sol.
	shape := map[common.Hash][2]int{topicFunded: {4, 2}, topicSentOn: {3, 1}, topicSentBack: {3, 1}, topicClaimed: {3, 2}, topicKept: {3, 2}}
	return func(e chains.Event) (Key, Outcome, bool) {
		if e.Chain != x.RootID || len(e.Topics) == 0 {
			return "", Outcome{}, false
		}
		n, known := shape[e.Topics[0]]
		if !known || !from(e, x.Handler, e.Topics[0], n[0], n[1]) {
			return "", Outcome{}, false
		}
		out, decides := by[e.Topics[0]]
		if e.Topics[0] == topicKept {
			reason, _ := wordUint(e.Topics[2][:])
			out, decides = kept[reason]
		}
		if !decides {
			return "", Outcome{}, false
		}
		return x.keyOf(step, e.Topics[1]), out, true
	}
}

// searched is Done of a step that FltHandler's events decide.
func (x cross) searched(step Step) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	return searched(step, x.d.Search,
		Search{Chain: Root, Contract: x.Handler, Topics: CrossRootTopics(), Position: 1},
		func(t tokens.Transfer) common.Hash { return t.Ref })
}

// kept is Done of a step that acts on what FltHandler keeps: pending while it
// keeps it, else what its events say.
func (x cross) kept(step Step, may func(axelar.FltCredit) bool) func(context.Context, []tokens.Transfer) ([]Outcome, error) {
	events := x.searched(step)
	return func(ctx context.Context, batch []tokens.Transfer) ([]Outcome, error) {
		out, err := events(ctx, batch)
		if err != nil {
			return nil, err
		}
		credits, err := x.d.Credits(ctx, refs(batch))
		if err != nil {
			return nil, err
		}
		for i, c := range credits {
			if may(c) {
				// Kept now, whatever was said of it before.
				out[i] = Outcome{Kind: Pending}
			}
		}
		return out, nil
	}
}

// again calls FltHandler for what it keeps. Whoever is first empties the credit:
// the others revert.
func (x cross) again(verb string, data func(tokens.Transfer) ([]byte, error)) func(context.Context, Batch) ([]error, error) {
	return func(ctx context.Context, b Batch) ([]error, error) {
		out := make([]error, len(b.Transfers))
		for i, t := range b.Transfers {
			call, err := data(t)
			if err != nil {
				out[i] = Park(ReasonUndecodable, err)
				continue
			}
			out[i] = x.refused(ctx, t, x.d.SendRoot(ctx, chains.Tx{
				To: x.Handler, Data: call, Key: verb + "/" + x.name + "/" + t.Ref.Hex(), Group: "flt/" + x.Handler.Hex(),
				Members: []common.Hash{t.ID}, Fence: b.Fence,
			}))
		}
		return out, nil
	}
}

var (
	selNothingCredited = ipc.SelectorOf("NothingCredited(bytes32)")
	selNotRetriable    = ipc.SelectorOf("NotRetriable(bytes32)")
	selUntrusted       = ipc.SelectorOf("UntrustedDestination(string)")
	selOverFlowLimit   = ipc.SelectorOf("OverFlowLimit(uint256,uint256)")
)

// refused turns what FltHandler refuses a retry with into what it means.
func (x cross) refused(ctx context.Context, t tokens.Transfer, err error) error {
	var revert *chains.RevertError
	if !errors.As(err, &revert) || len(revert.Data) < 4 {
		return err
	}
	switch ipc.Selector(revert.Data[:4]) {
	case selNothingCredited, selNotRetriable:
		return fmt.Errorf("%w: somebody else was first", ErrNotYet)
	case selUntrusted:
		return Later(operatorWait, ReasonUntrusted, fmt.Errorf("the token service on the root does not trust %s: %w", x.L1Name, err))
	case selOverFlowLimit:
		if len(revert.Data) < 4+64 {
			return err
		}
		limit := new(big.Int).SetBytes(revert.Data[4:36])
		if t.Amount.Big().Cmp(limit) > 0 {
			return Later(operatorWait, ReasonFlowLimit, fmt.Errorf("the flow limit of FLT on the root is %s wei, less than the amount: %w", limit, err))
		}
		now, asked := x.d.Now(ctx)
		if asked != nil {
			return asked
		}
		return Later(until(axelar.WindowEnd(now), now), ReasonFlowLimit, fmt.Errorf("the flow limit of FLT on the root is used up in this window: %w", err))
	}
	// The token service's own refusals.
	now, asked := x.d.Now(ctx)
	if asked != nil {
		return asked
	}
	f := axelar.ClassifyRevert(revert.Data, now)
	if f.Class == axelar.ClassWait || f.Class == axelar.ClassScheduled || f.Class == axelar.ClassOperator {
		return meaning(f, now, err)
	}
	return classify(err)
}
