// Package relayer wires the parts together: the one page that reads from top
// to bottom how an instance is made, run and stopped. It promises that what is
// started is waited for, and that a failing chain stops its own loops and
// nothing else.
package relayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/alerts/webhook"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/agree"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/contracts/bindings"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/work"
	"github.com/causeway-bridge/causeway/store"
	"github.com/cenkalti/backoff/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
)

// Ready is told where the listeners are, once.
type Ready struct {
	API   string
	Admin string
}

// Run runs an instance until ctx ends, then stops it in order.
func Run(ctx context.Context, cfg Config, version string, log *slog.Logger, ready func(Ready)) error {
	if err := cfg.Check(); err != nil {
		return err
	}
	// What the configuration points at, before anything is asked of the world.
	keys, err := loadKeys(cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	for _, s := range cfg.Subnets {
		if _, err := deploy.ReadDeployment(s.Deployment); err != nil {
			return fmt.Errorf("%w: subnet %s: %w", ErrConfig, s.Name, err)
		}
	}
	if err := os.MkdirAll(cfg.State, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	release, err := Lock(cfg.State, "a relayer")
	if err != nil {
		return err
	}
	defer func() { _ = release() }()
	if cfg.Instance == "" {
		host, _ := os.Hostname()
		cfg.Instance = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	var stop stopper
	defer stop.run(log)

	// Alerts first: everything below may raise one.
	manager, err := newAlerts(cfg.Alerts, log)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}

	// The listeners answer from now on: alive, not ready.
	tools := newTools(cfg, reg, manager, version)
	lateAPI, lateAdmin := &late{}, &late{}
	public, err := api.Listen(cfg.API.Listen, lateAPI)
	if err != nil {
		return err
	}
	stop.add("api", public.Close)
	lateAdmin.set(api.Admin(reg, tools.health, tools.status.read))
	admin, err := api.Listen(cfg.API.Admin, lateAdmin)
	if err != nil {
		return err
	}
	stop.add("admin", admin.Close)

	// The journal.
	redisURL, err := secretOf(cfg.Redis.URL, cfg.Redis.URLFile)
	if err != nil {
		return fmt.Errorf("%w: redis: %w", ErrConfig, err)
	}
	db, err := store.Open(ctx, store.Options{
		URL: redisURL, Namespace: cfg.Redis.Namespace, AllowUnsafe: cfg.Redis.AllowVolatile,
		Instance: cfg.Instance, EpochFile: filepath.Join(cfg.State, "epoch.json"), LeaseTime: time.Duration(cfg.Work.Lease), Rest: auditRest, Log: log,
	})
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	stop.add("journal", db.Close)
	lateAPI.set(api.New(api.Config{DB: db, Status: tools.status.public, Log: log}))
	if ready != nil {
		ready(Ready{API: public.Addr(), Admin: admin.Addr()})
	}

	told := make(chan struct{})
	background, cancel := context.WithCancel(ctx)
	go func() { defer close(told); _ = manager.Run(background) }()
	stop.add("alerts", func() error {
		cancel()
		<-told
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		manager.Flush(last)
		return nil
	})

	s := shared{cfg: cfg, tools: tools, Parts: Parts{
		Journal: db, Proposals: db, Signers: keys, Dial: evm.DialReader, Deployment: deploy.ReadDeployment, Alerts: manager, Log: log,
	}}
	return s.relay(ctx)
}

// lastWords is how long the end waits for alerts that are not delivered yet.
const lastWords = 3 * time.Second

// shared is what outlives a session.
type shared struct {
	cfg Config
	Parts
	tools
	books map[string]*audit.Auditor // what was read of the chains, by subnet name
}

// relay runs one session after another: a Redis that was restarted may have
// lost its last moments, so everything that trusted it is stopped, the journal
// is opened again, and the signed transactions on local disk are put back. Where
// it has lost more than that, the next session begins with a recovery.
func (s *shared) relay(ctx context.Context) error {
	for {
		err := s.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, store.ErrForgot) {
			return err
		}
		s.Log.Warn("the journal was restarted: opening it again", "err", err)
		if err := s.reopen(ctx); err != nil {
			return err
		}
	}
}

// reopen waits for Redis to come back. One that has nothing of the history ends
// the instance: what to do then is an operator's decision.
func (s *shared) reopen(ctx context.Context) error {
	retry := backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithInitialInterval(200*time.Millisecond), backoff.WithMaxInterval(5*time.Second))
	return backoff.RetryNotify(func() error {
		err := s.Journal.Reopen(ctx)
		s.health.set("journal", err)
		if errors.Is(err, store.ErrForgot) && !errors.Is(err, store.ErrRestarted) {
			s.Alerts.Raise(alerts.Alert{Name: alerts.RedisForgot, Key: "redis", Severity: alerts.Page, Summary: err.Error()})
			return backoff.Permanent(err)
		}
		if errors.Is(err, store.ErrSchema) || errors.Is(err, store.ErrUnfit) {
			return backoff.Permanent(err)
		}
		return err
	}, backoff.WithContext(retry, ctx), func(err error, _ time.Duration) {
		s.Log.Warn("open the journal: will retry", "err", err)
	})
}

// session runs everything that trusts the journal, until ctx ends or the
// journal says that it may have forgotten something.
func (s *shared) session(ctx context.Context) error {
	cfg, db, health, log := s.cfg, s.Journal, s.health, s.Log
	var stop stopper
	defer stop.run(log)
	group, run := errgroup.WithContext(ctx)
	fail := func(err error) error {
		group.Go(func() error { return err })
		return group.Wait()
	}

	// A loss that the opening has found is told before anything is connected; what
	// cannot be read now is read by the recovery below.
	_, _, _ = s.loss(run)

	// Chains: the root, Ethereum where FLT crosses from there, then each subnet, each
	// with its accounts.
	senders := map[string]*evm.TxManager{}
	open := func(name string, c Chain, client evm.Reader) (*evm.TxManager, error) {
		tx, err := s.accounts(name, c, client)
		if err == nil {
			senders[name] = tx
			stop.add("accounts of "+name, tx.Close)
		}
		return tx, err
	}
	root, err := s.dial(run, flow.Root, cfg.Root)
	if err != nil {
		return fail(err)
	}
	stop.add("root", func() error { root.Close(); return nil })
	rootTx, err := open(flow.Root, cfg.Root, root)
	if err != nil {
		return fail(err)
	}
	l1, err := s.openEthereum(run)
	if err != nil {
		return fail(err)
	}
	stop.add(flow.Ethereum, func() error { l1.close(); return nil })
	if l1 != nil {
		tx, err := open(flow.Ethereum, cfg.Ethereum.Chain, l1.client)
		if err != nil {
			return fail(err)
		}
		l1.sender = tx
	}
	var links []*link
	for _, sub := range cfg.Subnets {
		l, err := s.openSubnet(run, sub, root, l1)
		if err != nil {
			return fail(err)
		}
		stop.add(sub.Name, func() error { l.client.Close(); return nil })
		if err := s.awaitContracts(run, l); err != nil {
			return fail(err)
		}
		tx, err := open(sub.Name, sub.Chain, l.client.Reader)
		if err != nil {
			return fail(err)
		}
		l.toRoot, l.toChild = rootTx, tx
		links = append(links, l)
	}

	network, err := s.network(links, senders)
	if err != nil {
		return fail(err)
	}
	for _, n := range network {
		stop.add("GMP API of "+n.name, n.close)
	}

	// Flows, watchers, workers.
	var flows []flow.Flow
	for _, l := range links {
		flows = append(flows, l.flows()...)
	}
	s.sources.flows.Store(&flows)
	pool, err := work.New(work.Config{
		Queue: db, Flows: flows, Instance: cfg.Instance, Workers: cfg.Work.Workers, Batch: cfg.Work.Batch,
		Idle: time.Duration(cfg.Work.Idle), LookTime: time.Duration(cfg.Work.Lease), Log: log,
		Looked: s.metrics.looked, Trouble: troubles(s.Alerts),
	})
	if err != nil {
		return fail(err)
	}
	sides := s.sides(root, l1, links)
	watchers, err := s.newWatchers(sides, flows, pool)
	if err != nil {
		return fail(err)
	}
	keeper, err := s.newKeeper(root, links, senders)
	if err != nil {
		return fail(err)
	}
	recovery := s.newRecovery(sides, links, senders, keeper.auditors)
	s.status.set(db, sides, senders)

	group.Go(func() error { return s.watchSources(run) })
	for _, w := range watchers {
		group.Go(func() error { return w.Run(run) })
	}
	for _, tx := range senders {
		group.Go(func() error { return tx.Run(run) })
	}
	group.Go(func() error { return pool.Run(run) })
	group.Go(func() error { return keeper.run(run) })
	group.Go(func() error { return keeper.reap(run) })
	group.Go(func() error { return keeper.parents(run) })
	group.Go(func() error { return keeper.approvals(run) })
	group.Go(func() error { return keeper.thrift(run) })
	group.Go(func() error { return recovery.run(run) })
	for _, l := range links {
		if !l.sub.Traits.Published() {
			group.Go(func() error { return s.parentRecoveries(run, l) })
		}
	}
	for _, l := range links {
		if l.cross != nil && l.cross.in != nil {
			group.Go(func() error { return s.rotations(run, l) })
		}
	}
	for _, n := range network {
		group.Go(func() error { return n.run(run) })
	}
	if s.AuditEvery >= 0 {
		group.Go(func() error { return keeper.audit(run) })
		group.Go(func() error { return keeper.mend(run) })
	}
	health.set("chains", nil)
	log.Info("relayer started", "instance", cfg.Instance, "version", s.version, "subnets", len(links), "sources", Believed(cfg.Single()))
	return group.Wait()
}

func newAlerts(cfg Alerts, log *slog.Logger) (*alerts.Manager, error) {
	var sinks []alerts.Sink
	if cfg.WebhookFile != "" {
		url, err := secretOf("", cfg.WebhookFile)
		if err != nil {
			return nil, fmt.Errorf("webhook: %w", err)
		}
		sink, err := webhook.New(url)
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, sink)
	}
	return alerts.New(log, time.Duration(cfg.Repeat), sinks...), nil
}

// dial connects to a chain. Too many endpoints that are down are waited for; one of
// another chain, by its id or by its first block, ends the start.
func (s *shared) dial(ctx context.Context, name string, c Chain) (evm.Reader, error) {
	genesis, err := genesisOf(name, s.cfg.Subnets, s.Deployment)
	if err != nil {
		return nil, err
	}
	reach := func(ctx context.Context, cfg evm.Config, log *slog.Logger) (*agree.Client, error) {
		return s.reach(ctx, c, cfg, log)
	}
	client, err := connect(ctx, reach, evm.Config{
		Name: name, ChainID: c.ChainID, GenesisHash: genesis, Finality: c.Finality,
		StartBlock: c.StartBlock, MaxRange: c.MaxRange, Metrics: s.txMetrics,
		// Events on Ethereum are proven by what the header's hash commits to.
		CheckHeaders: strings.HasPrefix(name, flow.Ethereum),
	}, s.health, s.Log)
	if errors.Is(err, chains.ErrWrongChain) {
		return nil, fmt.Errorf("connect to %s: %w: give the URL of the chain that the deployment was made on, or the deployment.json of this chain", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", name, err)
	}
	return client, nil
}

// connect dials until the endpoint answers; until then the chain is not well.
func connect[C evm.Reader](ctx context.Context, dial func(context.Context, evm.Config, *slog.Logger) (C, error), cfg evm.Config, h *health, log *slog.Logger) (client C, err error) {
	err = backoff.RetryNotify(func() error {
		client, err = dial(ctx, cfg, log)
		if errors.Is(err, chains.ErrUnavailable) {
			h.set("chain/"+cfg.Name, err)
			return err
		}
		if err != nil {
			return backoff.Permanent(err)
		}
		return nil
	}, backoff.WithContext(backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithMaxInterval(10*time.Second)), ctx),
		func(err error, _ time.Duration) {
			log.Warn("chain is not reachable: will retry", "chain", cfg.Name, "err", err)
		})
	if err != nil {
		return client, err
	}
	h.set("chain/"+cfg.Name, nil)
	return client, nil
}

// accounts makes the accounts of a chain ready; it puts back what the local
// intents file knows and the journal has forgotten.
func (s *shared) accounts(name string, c Chain, client evm.Reader) (*evm.TxManager, error) {
	var signers []evm.Signer
	for _, a := range c.Accounts {
		signers = append(signers, s.Signers[a])
	}
	how := evm.TxConfig{RebroadcastAfter: 5 * time.Second}
	switch {
	case name == flow.Ethereum:
		how = ethereum.Tx()
	case c.Lotus != nil:
		how = c.Lotus.tx()
	}
	how.MaxInFlight, how.Tick, how.Idle = c.Fees.MaxPending, time.Duration(c.Tick), 5*time.Second
	how.BumpAfter, how.MaxFeeCapWei, how.MaxTipWei = time.Duration(c.Fees.BumpAfter), c.Fees.MaxFeeWei.Int, c.Fees.MaxTipWei.Int
	how.Gate = func() error { return s.sources.trouble(name) }
	how.IntentsFile, how.OpenDisk, how.Metrics = filepath.Join(s.cfg.State, "intents-"+name+".log"), s.OpenDisk, s.txMetrics
	tx, err := evm.NewTxManager(client, s.Journal, signers, how, s.Log)
	if err != nil {
		return nil, fmt.Errorf("accounts of %s: %w", name, err)
	}
	return tx, nil
}

// openSubnet joins a subnet to its root; its accounts come later.
func (s *shared) openSubnet(ctx context.Context, c Subnet, root evm.Reader, l1 *mainnet) (*link, error) {
	d, err := s.Deployment(c.Deployment)
	if err != nil {
		return nil, err
	}
	if d.Root.ChainID != s.cfg.Root.ChainID || d.Subnet.ChainID != c.ChainID {
		return nil, fmt.Errorf("subnet %s: its deployment is of root %d and subnet %d, the configuration says %d and %d: %w",
			c.Name, d.Root.ChainID, d.Subnet.ChainID, s.cfg.Root.ChainID, c.ChainID, chains.ErrWrongChain)
	}
	sub, err := Describe(c.Name, d)
	if err != nil {
		return nil, err
	}
	client, err := s.dial(ctx, c.Name, c.Chain)
	if err != nil {
		return nil, err
	}
	caps, err := s.probe(ctx, root, client, &sub)
	if err != nil {
		client.Close()
		return nil, err
	}
	wrapped, err := subnet.New(client, subnet.Config{
		Gateway: sub.SubnetGateway, Outbox: sub.Outbox, Period: sub.Period, DueTopic: flow.TopicCheckpointDue, Caps: caps,
	})
	if err != nil {
		return nil, err
	}
	record, err := subnet.NewRoot(root, contractsOf(sub), caps)
	if err != nil {
		return nil, err
	}
	x, err := s.cross(ctx, c.Name, d, root, l1)
	if err != nil {
		client.Close()
		return nil, err
	}
	return &link{
		cross: x, sub: sub, limits: c.Chain, up: s.cfg.Root, root: root, client: wrapped, record: record, caps: caps,
		db: s.Journal, toRoot: noSender{}, toChild: noSender{}, outbox: bindings.NewWithdrawalOutbox(), treasury: d.Settings.Treasury.Int(),
	}, nil
}

// noSender stands in where nothing may be sent, as in a rescan.
type noSender struct{}

func (noSender) Send(context.Context, chains.Tx) error {
	return errors.New("[BUG] nothing may be sent here")
}
