package relayer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/axelar"
	"github.com/causeway-bridge/causeway/chains/ethereum"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/store"
	"github.com/cenkalti/backoff/v4"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
)

// ApproverReady is told where a signer's listener is, and who signs, once.
type ApproverReady struct {
	Admin  string         `json:"admin"`
	Signer common.Address `json:"signer"`
}

// RunApprover runs one signer of the local quorum until ctx ends.
func RunApprover(ctx context.Context, cfg ApproverConfig, version string, log *slog.Logger, ready func(ApproverReady)) error {
	if err := cfg.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	key, err := LoadKey(cfg.Signer)
	if err != nil {
		return fmt.Errorf("%w: signer: %w", ErrConfig, err)
	}
	if err := os.MkdirAll(cfg.State, 0o700); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	release, err := Lock(cfg.State, "an approver")
	if err != nil {
		return err
	}
	defer func() { _ = release() }()
	var stop stopper
	defer stop.run(log)

	// What was seen and signed before, first of all.
	a := &approver{cfg: cfg, address: crypto.PubkeyToAddress(key.PublicKey), log: log, health: newHealth(), version: version, heads: map[string]uint64{}}
	if a.ledger, err = approve.OpenLedger(cfg.State, a.address); err != nil {
		return err
	}
	stop.add("ledger", a.ledger.Close)
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.metrics, a.rpc = newApproverMetrics(reg, version), evm.NewMetrics(reg)
	if a.alerts, err = newAlerts(cfg.Alerts, log); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}

	// The listener answers from now on: alive, not ready.
	admin, err := api.Listen(cfg.Admin, api.Admin(reg, a.health, func(context.Context) any { return a.status() }))
	if err != nil {
		return err
	}
	stop.add("admin", admin.Close)
	if ready != nil {
		ready(ApproverReady{Admin: admin.Addr(), Signer: a.address})
	}
	told := make(chan struct{})
	background, cancel := context.WithCancel(ctx)
	go func() { defer close(told); _ = a.alerts.Run(background) }()
	stop.add("alerts", func() error {
		cancel()
		<-told
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		a.alerts.Flush(last)
		return nil
	})

	// The chains, then everything that reads them.
	if err := a.connect(ctx, &stop); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	proposals := &reopening{open: a.openStore}
	stop.add("store", proposals.Close)
	signer, err := approve.NewSigner(approve.SignerConfig{
		Address: a.address, Sign: func(digest common.Hash) ([]byte, error) { return ipc.Sign(key, digest) },
		Sets: cfg.sets(), Chains: a.chains, Rules: cfg.rules(), Ledger: a.ledger, Store: proposals,
		Tick: time.Duration(cfg.Tick), Log: log, Tell: a.tell(),
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	a.health.set("chains", nil)
	log.Info("approver started", "signer", a.address, "version", version, "chains", len(a.chains), "single_source", cfg.SingleSource)
	return signer.Run(ctx)
}

// approver is a signer in the making, and how it does.
type approver struct {
	cfg     ApproverConfig
	address common.Address
	ledger  *approve.Ledger
	chains  []approve.Chain
	log     *slog.Logger
	metrics *approverMetrics
	rpc     *evm.Metrics
	health  *health
	alerts  *alerts.Manager
	version string

	mu      sync.Mutex
	refused []RefusedProposal // newest last
	heads   map[string]uint64
}

// connect dials all chains at once and finds their gateways.
func (a *approver) connect(ctx context.Context, stop *stopper) error {
	a.chains = make([]approve.Chain, len(a.cfg.Chains))
	closers := make([][]*evm.Client, len(a.cfg.Chains))
	group, run := errgroup.WithContext(ctx)
	for i, c := range a.cfg.Chains {
		group.Go(func() (err error) {
			a.chains[i], closers[i], err = a.chain(run, c)
			return err
		})
	}
	err := group.Wait()
	for i, clients := range closers {
		stop.add(a.cfg.Chains[i].Name, func() error {
			for _, c := range clients {
				c.Close()
			}
			return nil
		})
	}
	return err
}

// chain connects to one chain and looks at what is there.
func (a *approver) chain(ctx context.Context, c ApproverChain) (approve.Chain, []*evm.Client, error) {
	var clients []*evm.Client
	urls, err := c.endpoints()
	if err != nil {
		return approve.Chain{}, nil, fmt.Errorf("%w: chain %s: %w", ErrConfig, c.Name, err)
	}
	for _, url := range urls {
		client, err := connect(ctx, evm.Dial, evm.Config{
			Name: c.Name, URL: url, ChainID: c.ChainID, Finality: c.Finality, StartBlock: c.StartBlock, MaxRange: c.MaxRange,
			CheckHeaders: c.Proofs == ProofsHeaders, Metrics: a.rpc,
		}, a.health, a.log)
		if err != nil {
			return approve.Chain{}, clients, fmt.Errorf("connect to %s: %w", c.Name, err)
		}
		clients = append(clients, client)
	}
	source, err := c.source(clients)
	if err != nil {
		return approve.Chain{}, clients, err
	}
	out := approve.Chain{Name: c.Name, ID: c.ChainID, Source: source, Start: c.StartBlock, Tick: time.Duration(c.Tick)}
	service, err := a.probe(ctx, c, clients, &out)
	if err != nil {
		return out, clients, err
	}
	if a.cfg.NextSet != nil {
		next := approve.SetFor(out.Gateway, a.cfg.NextSet.Set())
		out.Next = &next
	}
	out.Locate = func(ctx context.Context, tx common.Hash) (uint64, bool, error) {
		events, err := clients[0].TransactionEvents(ctx, tx)
		if err != nil || len(events) == 0 {
			return 0, false, err
		}
		return events[0].Block, true, nil
	}
	out.Decimals = func(ctx context.Context, token common.Hash) (uint8, bool, error) {
		return decimals(ctx, clients, service, token)
	}
	return out, clients, nil
}

// decimals asks every endpoint: what is kept of one that lies would keep the token
// from being signed for.
func decimals(ctx context.Context, clients []*evm.Client, service axelar.Service, token common.Hash) (n uint8, ok bool, err error) {
	for i, client := range clients {
		view, err := atFinal(ctx, client)
		if err != nil {
			return 0, false, err
		}
		theirs, known, err := service.Decimals(ctx, view, token)
		if err != nil {
			return 0, false, err
		}
		if i > 0 && (theirs != n || known != ok) {
			return 0, false, fmt.Errorf("endpoint %d of %s tells the decimals of %s otherwise than the first: %w", i+1, client.Name(), token, chains.ErrUnavailable)
		}
		n, ok = theirs, known
	}
	return n, ok, nil
}

// source reads the chain as it is configured to be believed.
func (c ApproverChain) source(clients []*evm.Client) (chains.Source, error) {
	if c.Proofs == ProofsEndpoints {
		return evm.NewAgreed(clients[0], clients[1:]...)
	}
	var witnesses []evm.Reader
	for _, w := range clients[1:] {
		witnesses = append(witnesses, w)
	}
	return ethereum.New(clients[0], witnesses...)
}

// endpoints lists the one that is asked for data first, then the witnesses.
func (c ApproverChain) endpoints() ([]string, error) {
	first, err := secretOf(c.URL, c.URLFile)
	if err != nil {
		return nil, err
	}
	out := append([]string{first}, c.Witnesses...)
	for _, file := range c.WitnessFiles {
		url, err := secretOf("", file)
		if err != nil {
			return nil, err
		}
		out = append(out, url)
	}
	return out, nil
}

// probe finds out which gateway and which token service a chain has; until they are
// in a final block, and all endpoints tell the same of them, it waits. What the
// service says of itself must be what is configured.
func (a *approver) probe(ctx context.Context, c ApproverChain, clients []*evm.Client, out *approve.Chain) (service axelar.Service, err error) {
	part := "contracts/" + c.Name
	err = backoff.RetryNotify(func() error {
		err := a.look(ctx, c, clients, out, &service)
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

// look believes of the contracts what every endpoint says. One that lies about the
// domain of a gateway would have signed for it what another gateway takes.
func (a *approver) look(ctx context.Context, c ApproverChain, clients []*evm.Client, out *approve.Chain, service *axelar.Service) error {
	for i, client := range clients {
		gateway, its, err := a.lookAt(ctx, c, client)
		if err != nil {
			return err
		}
		if i > 0 && (gateway != out.Gateway || its != *service) {
			return fmt.Errorf("endpoint %d of %s tells of another gateway or token service than the first: compare both with a third: %w", i+1, c.Name, chains.ErrUnavailable)
		}
		out.Gateway, *service = gateway, its
	}
	return nil
}

func (a *approver) lookAt(ctx context.Context, c ApproverChain, client *evm.Client) (gateway axelar.Gateway, service axelar.Service, err error) {
	view, err := atFinal(ctx, client)
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

// openStore opens the store as one who needs nothing of it: it may forget, and
// another one is as good.
func (a *approver) openStore(ctx context.Context) (*store.DB, error) {
	url, err := secretOf(a.cfg.Redis.URL, a.cfg.Redis.URLFile)
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Options{
		URL: url, Namespace: a.cfg.Redis.Namespace, Instance: "approver " + a.address.Hex(), AllowUnsafe: true, RetryFor: 5 * time.Second, PoolSize: 4, Log: a.log,
	})
}

// tell turns what a signer tells into health, metrics and alerts.
func (a *approver) tell() approve.Tell {
	return approve.Tell{
		Head: func(chain string, head chains.Block) {
			a.metrics.heads.WithLabelValues(chain).Set(float64(head.Number))
			a.mu.Lock()
			defer a.mu.Unlock()
			a.heads[chain] = head.Number
		},
		Read: func(chain string, next uint64, calls int) {
			a.metrics.next.WithLabelValues(chain).Set(float64(next - 1))
			a.metrics.calls.WithLabelValues(chain).Add(float64(calls))
			a.metrics.ledger.Set(float64(a.ledger.Size()))
		},
		Failed: a.failed,
		Signed: func(p store.Proposal) { a.metrics.signed.WithLabelValues(p.To).Inc() },
		Refused: func(p store.Proposal, why *approve.Refusal) {
			a.metrics.refused.WithLabelValues(p.To, string(why.Reason)).Inc()
			a.refuse(p, why)
		},
		Waiting: func(chain string, later map[approve.Reason]int, more int) {
			for _, r := range approve.Reasons() {
				if r.Later {
					a.metrics.waiting.WithLabelValues(chain, string(r.Reason)).Set(float64(later[r.Reason]))
				} else if more == 0 {
					a.alerts.Resolve(alerts.ApprovalRefused, chain+"/"+string(r.Reason))
				}
			}
		},
	}
}

// failed is told of each look at a chain or at the proposals.
func (a *approver) failed(part string, err error) {
	a.health.set(part, err)
	chain, is := strings.CutPrefix(part, "chain/")
	if !is {
		return
	}
	switch {
	case err == nil:
		a.alerts.Resolve(alerts.WatcherHalted, chain)
		a.alerts.Resolve(alerts.FinalityRegress, chain)
	case errors.Is(err, approve.ErrEvent):
		a.alerts.Raise(alerts.Alert{Name: alerts.WatcherHalted, Key: chain, Severity: alerts.Page, Summary: err.Error()})
	case errors.Is(err, chains.ErrReorg), errors.Is(err, approve.ErrContradiction):
		a.alerts.Raise(alerts.Alert{Name: alerts.FinalityRegress, Key: chain, Severity: alerts.Page, Summary: err.Error()})
	}
}

const keepRefused = 20

// refuse keeps a refusal for the status. Those that do not pass by themselves are
// told to a person: somebody wants a signature for what this signer did not see.
func (a *approver) refuse(p store.Proposal, why *approve.Refusal) {
	a.mu.Lock()
	a.refused = append(a.refused, RefusedProposal{
		Chain: p.To, Digest: p.Digest, Messages: len(p.Messages), Rotation: p.Next != nil, Reason: string(why.Reason), Later: why.Later, Why: why.Why, At: time.Now().UTC(),
	})
	if len(a.refused) > keepRefused {
		a.refused = a.refused[1:]
	}
	a.mu.Unlock()
	// Another set's proposals are another signer's business: so it is round a
	// rotation.
	if why.Later || why.Reason == approve.ReasonSet {
		return
	}
	severity := alerts.Ticket
	switch why.Reason {
	case approve.ReasonDigest, approve.ReasonRotation:
		severity = alerts.Page
	}
	a.alerts.Raise(alerts.Alert{
		Name: alerts.ApprovalRefused, Key: p.To + "/" + string(why.Reason), Severity: severity, Summary: why.Error(),
		Fields: map[string]string{"chain": p.To, "digest": p.Digest.Hex(), "reason": string(why.Reason)},
	})
}

// reopening is a store that is opened when it is needed, and again after it has
// forgotten. It is approve.Signatures.
type reopening struct {
	open func(context.Context) (*store.DB, error)

	mu sync.Mutex
	db *store.DB
}

func (r *reopening) with(ctx context.Context, do func(*store.DB) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.db == nil {
		db, err := r.open(ctx)
		if err != nil {
			return err
		}
		r.db = db
	}
	err := do(r.db)
	if errors.Is(err, store.ErrForgot) {
		err = errors.Join(err, r.db.Close())
		r.db = nil
	}
	return err
}

// Close ends the connections.
func (r *reopening) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.db == nil {
		return nil
	}
	db := r.db
	r.db = nil
	return db.Close()
}

// Proposals implements approve.Signatures.
func (r *reopening) Proposals(ctx context.Context, to, after string, max int) (page []store.Proposal, next string, err error) {
	err = r.with(ctx, func(db *store.DB) error {
		page, next, err = db.Proposals(ctx, to, after, max)
		return err
	})
	return page, next, err
}

// Signatures implements approve.Signatures.
func (r *reopening) Signatures(ctx context.Context, of []store.Proposal) (out [][][]byte, err error) {
	err = r.with(ctx, func(db *store.DB) error {
		out, err = db.Signatures(ctx, of)
		return err
	})
	return out, err
}

// Sign implements approve.Signatures.
func (r *reopening) Sign(ctx context.Context, p store.Proposal, signer common.Address, signature []byte) error {
	return r.with(ctx, func(db *store.DB) error { return db.Sign(ctx, p, signer, signature) })
}
