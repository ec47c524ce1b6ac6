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
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/ipc"
	"github.com/causeway-bridge/causeway/relayer/api"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/store"
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
	a := &approver{cfg: cfg, address: crypto.PubkeyToAddress(key.PublicKey), log: log, health: newHealth(), sources: newSources(), version: version, heads: map[string]uint64{}}
	if a.ledger, err = approve.OpenLedger(cfg.State, a.address); err != nil {
		return err
	}
	stop.add("ledger", a.ledger.Close)
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	a.metrics, a.rpc, a.told = newApproverMetrics(reg, version), evm.NewMetrics(reg), NewSourceMetrics(reg)
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
	log.Info("approver started", "signer", a.address, "version", version, "chains", len(a.chains), "sources", Believed(cfg.Single()))
	group, run := errgroup.WithContext(ctx)
	group.Go(func() error { return signer.Run(run) })
	group.Go(func() error { return a.watchSources(run) })
	return group.Wait()
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
	sources *sources
	told    *SourceMetrics

	mu      sync.Mutex
	refused []RefusedProposal // newest last
	heads   map[string]uint64
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
