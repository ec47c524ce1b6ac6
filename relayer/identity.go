package relayer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/cenkalti/backoff/v4"
	"github.com/ethereum/go-ethereum/common"
)

// genesisOf is the first block of a chain, from what the deployments say: two
// chains may have one id, but not one first block. Zero where no file names it.
func genesisOf(name string, subnets []Subnet, read func(path string) (deploy.Deployment, error)) (common.Hash, error) {
	var found common.Hash
	said := ""
	for _, s := range subnets {
		d, err := read(s.Deployment)
		if err != nil {
			return found, fmt.Errorf("%w: subnet %s: %w", ErrConfig, s.Name, err)
		}
		switch {
		case name == s.Name:
			return d.Subnet.GenesisHash, nil
		case name != flow.Root || d.Root.GenesisHash == (common.Hash{}):
		case said != "" && d.Root.GenesisHash != found:
			return found, fmt.Errorf("%w: the deployments of %s and %s are of two roots with one chain id: run a relayer for each", ErrConfig, said, s.Name)
		default:
			found, said = d.Root.GenesisHash, s.Name
		}
	}
	return found, nil
}

// errNoCode says that a contract of the deployment is not on its chain.
var errNoCode = errors.New("there is no contract at an address of deployment.json: compare deployment.json with the endpoint, or wait until the endpoint has caught up")

// standing says whether every contract of the link has code on its chain.
func (l *link) standing(ctx context.Context) error {
	type side struct {
		chain     string
		client    evm.Reader
		contracts map[string]common.Address
	}
	sides := []side{
		{flow.Root, l.root, map[string]common.Address{
			"gateway": l.sub.Gateway, "subnet actor": l.sub.Actor, "linked token controller": l.sub.Controller,
			"fast withdrawals": l.sub.FastWithdrawals, "FLT": l.sub.FLT, "USDC": l.sub.USDC,
		}},
		{l.sub.Name, l.client.Reader, map[string]common.Address{
			"gateway": l.sub.SubnetGateway, "linked token replica": l.sub.Replica, "withdrawal outbox": l.sub.Outbox,
		}},
	}
	if l.cross != nil {
		sides = append(sides, side{flow.Root, l.root, l.cross.contracts}, side{flow.Ethereum, l.cross.l1.client, l.cross.onL1},
			side{l.sub.Name, l.client.Reader, map[string]common.Address{"FltPortal": l.cross.Portal, "GmpSubnetPort": l.cross.Gmp.SubnetPort}})
	}
	for _, side := range sides {
		for what, at := range side.contracts {
			if at == (common.Address{}) {
				continue
			}
			code, err := side.client.CodeAt(ctx, at, evm.AtLatest)
			if err != nil {
				return fmt.Errorf("read code of the %s on %s: %w", what, side.chain, err)
			}
			if len(code) == 0 {
				return fmt.Errorf("%s %s on %s: %w", what, at, side.chain, errNoCode)
			}
		}
	}
	return nil
}

// awaitContracts waits, not ready, until every contract is there: an endpoint
// that is still catching up has them later.
func (s *shared) awaitContracts(ctx context.Context, l *link) error {
	part := "contracts/" + l.sub.Name
	err := backoff.RetryNotify(func() error {
		err := l.standing(ctx)
		s.health.set(part, err)
		return err
	}, backoff.WithContext(backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithMaxInterval(10*time.Second)), ctx),
		func(err error, _ time.Duration) {
			s.Log.Warn("not every contract is there: will retry", "subnet", l.sub.Name, "err", err)
		})
	if err != nil {
		return fmt.Errorf("look at the contracts of %s: %w", l.sub.Name, err)
	}
	return nil
}
