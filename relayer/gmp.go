package relayer

import (
	"context"
	"fmt"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/ethereum/go-ethereum/common"
)

// probeGmp asks the contracts that calls go through whom they talk to: what they say
// must be what the deployment says. Zero where a crossing has none.
func probeGmp(ctx context.Context, d deploy.Crossing, c flow.Crossing, root, l1 evm.Reader) (flow.Gmp, error) {
	if !d.HasGmp() {
		return flow.Gmp{}, nil
	}
	out := flow.Gmp{Port: d.GmpPort, Router: d.GmpRouter, SubnetPort: d.GmpSubnetPort}
	for _, side := range []struct {
		name   string
		client evm.Reader
		at     common.Address
		want   axelar.GmpLink
	}{
		{"GmpPort on Ethereum", l1, d.GmpPort, axelar.GmpLink{Gateway: d.L1.Gateway, Chain: c.RootName, Account: d.GmpRouter}},
		{"GmpRouter on the root", root, d.GmpRouter, axelar.GmpLink{Gateway: d.Root.Gateway, Chain: c.L1Name, Account: d.GmpPort}},
	} {
		says, err := asked(ctx, side.client, axelar.GmpLinkOf(side.at), evm.AtLatest)
		if err != nil {
			return flow.Gmp{}, fmt.Errorf("ask %s: %w", side.name, err)
		}
		if says != side.want {
			return flow.Gmp{}, fmt.Errorf("%w: %s talks to %s on %q through %s, its deployment says %s on %q through %s", ErrConfig, side.name,
				says.Account, says.Chain, says.Gateway, side.want.Account, side.want.Chain, side.want.Gateway)
		}
	}
	var err error
	if out.Patience, err = asked(ctx, root, axelar.GmpPatienceOf(d.GmpRouter), evm.AtLatest); err != nil {
		return flow.Gmp{}, fmt.Errorf("ask GmpRouter: %w", err)
	}
	return out, nil
}

// gmpFilter is what a watcher reads of one of these contracts; nothing where there is
// none.
func (x *crossLink) gmpFilter(contract common.Address, topics []common.Hash) chains.Filter {
	if contract == (common.Address{}) {
		return chains.Filter{}
	}
	return chains.Filter{Addresses: []common.Address{contract}, Topics: topics}
}

// gmpFlows are those of calls between contracts, where there are any.
func (l *link) gmpFlows() []flow.Flow {
	x := l.cross
	if x.Gmp == (flow.Gmp{}) {
		return nil
	}
	d := flow.GmpDeps{
		Search: l.search, Entries: l.gmpEntries, Decide: l.decide, SendRoot: l.toRoot.Send,
		Now: func(ctx context.Context) (uint64, error) {
			b, err := l.root.Latest(ctx)
			return b.Time, err
		},
	}
	return []flow.Flow{flow.GmpCallIn(l.sub, x.Crossing, d), flow.GmpCallOut(l.sub, x.Crossing, d)}
}

// gmpEntries asks GmpRouter at one final root block.
func (l *link) gmpEntries(ctx context.Context, ids []common.Hash) ([]axelar.GmpEntry, error) {
	at, err := l.read(flow.Root, l.root.Head)(ctx)
	if err != nil {
		return nil, err
	}
	questions := make([]axelar.Question[axelar.GmpEntry], len(ids))
	for i, id := range ids {
		questions[i] = axelar.GmpEntryOf(l.cross.Gmp.Router, id)
	}
	return asked(ctx, l.root, axelar.All(questions), evm.AtHash(at.Hash))
}
