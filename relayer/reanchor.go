package relayer

import (
	"context"
	"errors"
	"time"

	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/relayer/flow"
)

const anchorEvery = 5 * time.Second

// parentRecoveries carries what lets a subnet go on after its root forked below what
// it had committed (PROTOCOL 10). It has its own loop, since the lanes into the
// subnet stand still then.
func (s *shared) parentRecoveries(ctx context.Context, l *link) error {
	d := l.parentRecovery()
	return every(ctx, anchorEvery, func() error {
		look, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		err := d.Recover(look)
		if err != nil && !errors.Is(err, subnet.ErrForeignNode) && ctx.Err() == nil {
			s.Log.Warn("carry a recovery: will retry", "subnet", l.sub.Name, "err", err)
		}
		return nil
	})
}

func (l *link) parentRecovery() flow.RecoverDeps {
	return flow.RecoverDeps{
		Actor: l.sub.Actor,
		Signed: func(ctx context.Context) (flow.Recovery, bool, error) {
			signed, ok, err := l.client.Recovery(ctx)
			return flow.Recovery{Number: signed.Recovery.Number, Commit: func() (chains.Tx, error) {
				data, err := l.client.RecoverCalldata(signed)
				return chains.Tx{To: l.sub.SubnetGateway, Data: data}, err
			}}, ok, err
		},
		Committed: func(ctx context.Context) (uint64, error) { return l.client.Recovered(ctx, evm.AtLatest) },
		Send:      l.toChild.Send,
	}
}
