package relayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/cenkalti/backoff/v4"
	"github.com/ethereum/go-ethereum/common"
	"golang.org/x/sync/errgroup"
)

// connect dials all chains at once and finds their gateways.
func (a *approver) connect(ctx context.Context, stop *stopper) error {
	a.chains = make([]approve.Chain, len(a.cfg.Chains))
	closers := make([][]evm.Reader, len(a.cfg.Chains))
	group, run := errgroup.WithContext(ctx)
	for i, c := range a.cfg.Chains {
		group.Go(func() (err error) {
			a.chains[i], closers[i], err = a.chain(run, c)
			return err
		})
	}
	err := group.Wait()
	for i, readers := range closers {
		stop.add(a.cfg.Chains[i].Name, func() error {
			for _, r := range readers {
				r.Close()
			}
			return nil
		})
	}
	return err
}

// chain connects to one chain and looks at what is there. Of the readers the first
// is the chain as enough of its endpoints tell it; the others confirm its headers.
func (a *approver) chain(ctx context.Context, c ApproverChain) (out approve.Chain, readers []evm.Reader, err error) {
	if readers, err = a.dial(ctx, c); err != nil {
		return out, readers, err
	}
	out = approve.Chain{Name: c.Name, ID: c.ChainID, Source: readers[0], Start: c.StartBlock, Tick: time.Duration(c.Tick)}
	endpoints := func() error { return a.sources.trouble(c.Name) }
	out.Trouble = endpoints
	if c.Proofs == ProofsHeaders {
		proven, err := ethereum.New(readers[0], readers[1:]...)
		if err != nil {
			return out, readers, err
		}
		out.Source = proven
		out.Trouble = func() error { return errors.Join(endpoints(), proven.Trouble()) }
	}
	service, err := a.probe(ctx, c, readers, &out)
	if err != nil {
		return out, readers, err
	}
	if a.cfg.NextSet != nil {
		next := approve.SetFor(out.Gateway, a.cfg.NextSet.Set())
		out.Next = &next
	}
	out.Locate = func(ctx context.Context, tx common.Hash) (uint64, bool, error) {
		events, err := readers[0].TransactionEvents(ctx, tx)
		if err != nil || len(events) == 0 {
			return 0, false, err
		}
		return events[0].Block, true, nil
	}
	out.Decimals = func(ctx context.Context, token common.Hash) (uint8, bool, error) {
		return decimals(ctx, readers, service, token)
	}
	return out, readers, nil
}

// dial reaches the endpoints that must agree, and those that only confirm headers.
func (a *approver) dial(ctx context.Context, c ApproverChain) (readers []evm.Reader, err error) {
	list, err := c.sources()
	if err != nil {
		return nil, fmt.Errorf("%w: chain %s: %w", ErrConfig, c.Name, err)
	}
	witnesses, err := c.witnesses()
	if err != nil {
		return nil, fmt.Errorf("%w: chain %s: %w", ErrConfig, c.Name, err)
	}
	base := evm.Config{
		Name: c.Name, ChainID: c.ChainID, Finality: c.Finality, StartBlock: c.StartBlock, MaxRange: c.MaxRange,
		CheckHeaders: c.Proofs == ProofsHeaders, Metrics: a.rpc,
	}
	all := several{List: list, K: c.agree(), Lotus: c.Lotus, Dial: evm.DialReader, DialLotus: a.cfg.DialLotus}
	reach := func(ctx context.Context, base evm.Config, log *slog.Logger) (*agree.Client, error) {
		return all.reach(ctx, base, log)
	}
	client, err := connect(ctx, reach, base, a.health, a.log)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", c.Name, err)
	}
	a.sources.set(c.Name, client)
	readers = append(readers, client)
	for i, url := range witnesses {
		one := base
		one.URL = url
		w, err := connect(ctx, evm.DialReader, one, a.health, a.log)
		if err != nil {
			return readers, fmt.Errorf("connect to %s: witness %d: %w", c.Name, i+1, err)
		}
		readers = append(readers, w)
	}
	return readers, nil
}

// decimals asks every reader: what is kept of one that lies would keep the token
// from being signed for.
func decimals(ctx context.Context, readers []evm.Reader, service axelar.Service, token common.Hash) (n uint8, ok bool, err error) {
	for i, reader := range readers {
		view, err := atFinal(ctx, reader)
		if err != nil {
			return 0, false, err
		}
		theirs, known, err := service.Decimals(ctx, view, token)
		if err != nil {
			return 0, false, err
		}
		if i > 0 && (theirs != n || known != ok) {
			return 0, false, fmt.Errorf("witness %d of %s tells the decimals of %s otherwise than the others: %w", i, reader.Name(), token, chains.ErrUnavailable)
		}
		n, ok = theirs, known
	}
	return n, ok, nil
}

// probe finds out which gateway and which token service a chain has; until they are
// in a final block, and enough endpoints tell the same of them, it waits. What the
// service says of itself must be what is configured.
func (a *approver) probe(ctx context.Context, c ApproverChain, readers []evm.Reader, out *approve.Chain) (service axelar.Service, err error) {
	part := "contracts/" + c.Name
	err = backoff.RetryNotify(func() error {
		err := a.look(ctx, c, readers, out, &service)
		if errors.Is(err, ErrConfig) {
			return backoff.Permanent(err)
		}
		a.health.set(part, err)
		return err
	}, backoff.WithContext(backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithMaxInterval(10*time.Second)), ctx),
		func(err error, _ time.Duration) {
			a.log.Warn("approver: contracts cannot be asked what they are: will retry", "chain", c.Name, "err", err)
		})
	if err != nil {
		return service, fmt.Errorf("probe the contracts of %s: %w", c.Name, err)
	}
	a.log.Info("approver: contracts probed", "chain", c.Name, "gateway", out.Gateway.Kind(), "token_service", service.Version)
	return service, nil
}

// look believes of the contracts what every reader says, and that while none of
// their endpoints says otherwise: one that lies about the domain of a gateway would
// have signed for it what another gateway takes.
func (a *approver) look(ctx context.Context, c ApproverChain, readers []evm.Reader, out *approve.Chain, service *axelar.Service) error {
	for i, reader := range readers {
		gateway, its, err := a.lookAt(ctx, c, reader)
		if err != nil {
			return err
		}
		if i > 0 && (gateway != out.Gateway || its != *service) {
			return fmt.Errorf("witness %d of %s tells of another gateway or token service than the others: compare them with a third: %w", i, c.Name, chains.ErrUnavailable)
		}
		out.Gateway, *service = gateway, its
	}
	return out.Trouble()
}

func (a *approver) lookAt(ctx context.Context, c ApproverChain, reader evm.Reader) (gateway axelar.Gateway, service axelar.Service, err error) {
	view, err := atFinal(ctx, reader)
	if err != nil {
		return nil, service, err
	}
	if gateway, err = axelar.Probe(ctx, view, c.ChainID, c.Gateway); err != nil || c.TokenService == (common.Address{}) {
		return gateway, service, err
	}
	if service, err = axelar.ProbeService(ctx, view, c.TokenService); err != nil {
		return nil, service, err
	}
	if service.Gateway != c.Gateway || service.Chain != c.Name || service.Hub != a.cfg.Hub {
		return nil, service, fmt.Errorf("%w: the token service %s calls its chain %q, its gateway %s and its hub %q", ErrConfig, c.TokenService, service.Chain, service.Gateway, service.Hub)
	}
	return gateway, service, nil
}

// watchSources tells how the endpoints do.
func (a *approver) watchSources(ctx context.Context) error {
	return every(ctx, sourcesEvery, func() error {
		a.tellSources(time.Now())
		return nil
	})
}

func (a *approver) tellSources(now time.Time) {
	tell := sourceTeller{a.told, a.alerts, "nothing is signed there"}
	for _, name := range slices.Sorted(maps.Keys(a.sources.all())) {
		a.health.set("sources/"+name, a.sources.trouble(name))
		for _, e := range a.sources.status(name).Endpoints {
			tell.source(name, e, now)
		}
	}
	for _, c := range a.chains {
		a.tellWitnesses(c)
	}
}

// tellWitnesses tells of a witness that knows another block.
func (a *approver) tellWitnesses(c approve.Chain) {
	proven, is := c.Source.(*ethereum.Source)
	if !is {
		return
	}
	key := c.Name + "/witnesses"
	var split *ethereum.DisagreementError
	if !errors.As(proven.Trouble(), &split) {
		a.alerts.Resolve(alerts.SourcesDisagree, key)
		return
	}
	a.alerts.Raise(witnessAlert(c.Name, key, split))
}
