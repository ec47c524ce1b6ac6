package relayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/cenkalti/backoff/v4"
	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
)

// probe asks a subnet's contracts what they can do and completes its
// description. What a deployment file says of them is compared, never believed.
// An endpoint that does not answer, or does not have the contracts yet, is
// waited for.
func (s *shared) probe(ctx context.Context, root, child evm.Reader, sub *flow.Subnet) (caps subnet.Capabilities, err error) {
	part := "contracts/" + sub.Name
	err = backoff.RetryNotify(func() error {
		caps, err = subnet.Probe(ctx, root, child, contractsOf(*sub))
		switch {
		case errors.Is(err, chains.ErrUnavailable), errors.Is(err, subnet.ErrNoContract):
			s.health.set(part, err)
			return err
		case err != nil:
			return backoff.Permanent(err)
		}
		return nil
	}, backoff.WithContext(backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithMaxInterval(10*time.Second)), ctx),
		func(err error, _ time.Duration) {
			s.Log.Warn("contracts cannot be asked what they can do: will retry", "subnet", sub.Name, "err", err)
		})
	if err != nil {
		return caps, fmt.Errorf("probe the contracts of %s: %w", sub.Name, err)
	}
	if err := complete(sub, caps); err != nil {
		return caps, err
	}
	s.health.set(part, nil)
	s.Log.Info("contracts probed", "subnet", sub.Name, "published", sub.Traits.Published(), "capabilities", caps.Names(), "period", caps.Period)
	return caps, nil
}

func contractsOf(sub flow.Subnet) subnet.Contracts {
	return subnet.Contracts{ID: sub.IPC, Gateway: sub.Gateway, Actor: sub.Actor, SubnetGateway: sub.SubnetGateway}
}

// complete puts what was found into a description, and refuses contracts that
// are not the described ones or that no flow is written for.
func complete(sub *flow.Subnet, caps subnet.Capabilities) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: subnet %s: %s", ErrConfig, sub.Name, fmt.Sprintf(format, args...))
	}
	none := common.Address{}
	sub.Traits = flow.Traits{Implicit: !caps.Explicit, Burning: !caps.Ordered}
	switch {
	case sub.Traits.Implicit != sub.Traits.Burning:
		return wrong("one side is of the published contracts and the other of Causeway's: %v", caps.Names())
	case sub.Period != 0 && sub.Period != caps.Period:
		return wrong("its deployment says a checkpoint every %d blocks, its actor %d", sub.Period, caps.Period)
	case sub.FLT != none && sub.FLT != caps.Supply:
		return wrong("its deployment says that its coin stands for %s, its actor %s", sub.FLT, caps.Supply)
	case sub.Traits.Published() && !(caps.Bundles && caps.Batches):
		return wrong("its gateway keeps neither what Causeway's nor what published gateways keep: %v", caps.Names())
	case !sub.Traits.Published() && (sub.FastWithdrawals == none || sub.Outbox == none || sub.Controller == none):
		return wrong("its contracts are Causeway's: use the file that `causeway deploy` wrote")
	}
	sub.Period, sub.FLT = caps.Period, caps.Supply
	return nil
}

// Found is what a subnet's contracts turned out to be.
type Found struct {
	Subnet       string         `json:"subnet"`
	Published    bool           `json:"published"`
	Capabilities []string       `json:"capabilities"`
	Period       uint64         `json:"period"`
	Supply       common.Address `json:"supply"` // root token that the coin stands for; zero: the root's own coin
	USDC         bool           `json:"usdc"`
}

// Probe asks the contracts of every subnet in a configuration what they can do.
func Probe(ctx context.Context, cfg Config, log *slog.Logger) ([]Found, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	s := &shared{cfg: cfg, Parts: Parts{Dial: evm.DialReader, Deployment: deploy.ReadDeployment, Alerts: alerts.New(log, 1), Log: log}}
	s.tools = newTools(cfg, prometheus.NewRegistry(), s.Alerts, "")
	root, err := s.dial(ctx, flow.Root, cfg.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	l1, err := s.openEthereum(ctx)
	if err != nil {
		return nil, err
	}
	defer l1.close()
	var out []Found
	for _, c := range cfg.Subnets {
		l, err := s.openSubnet(ctx, c, root, l1)
		if err != nil {
			return out, err
		}
		l.client.Close()
		out = append(out, Found{
			Subnet: c.Name, Published: l.sub.Traits.Published(), Capabilities: l.caps.Names(), Period: l.caps.Period,
			Supply: l.caps.Supply, USDC: l.sub.Controller != (common.Address{}),
		})
	}
	return out, nil
}
