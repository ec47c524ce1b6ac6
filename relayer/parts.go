package relayer

import (
	"context"
	"log/slog"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/contracts/deploy"
	"github.com/causeway-bridge/causeway/relayer/approve"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/relayer/work"
	"github.com/causeway-bridge/causeway/store"
	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
)

// Journal is what an instance needs of the store; *store.DB is one.
type Journal interface {
	watch.Journal
	work.Queue
	evm.Journal
	reader
	upkeep
	durable
	forked
	forgetful
}

// forgetful is the way back after Redis has lost something.
type forgetful interface {
	Recovering(ctx context.Context) (store.Recovery, bool, error)
	Recovered(ctx context.Context, r store.Recovery, who, why string) error
}

// forked is the way out of a fork.
type forked interface {
	Reread(ctx context.Context, chain string, jobs []store.NewJob, facts []store.Fact) (created, advanced int, err error)
	AcceptFork(ctx context.Context, f store.Fork, to chains.Cursor, who string) (store.Accepted, error)
}

// reader reads transfers.
type reader interface {
	Get(ctx context.Context, id common.Hash) (store.Job, bool, error)
	List(ctx context.Context, f store.Filter) (jobs []store.Job, next string, err error)
	LaneJobs(ctx context.Context, lane string, fromSeq uint64, max int) ([]store.Job, error)
}

// upkeep is what the keeper does and shows.
type upkeep interface {
	Reap(ctx context.Context) (int, error)
	Audit(ctx context.Context) (repairs int, err error)
	Lanes(ctx context.Context) ([]store.LaneInfo, error)
	Stats(ctx context.Context) (store.Stats, error)
}

// durable says whether the journal still keeps what it is told.
type durable interface {
	Durable(ctx context.Context) error
	MayForget() error // why it may lose what it was told, where an operator has allowed that
	Full() bool
	Reopen(ctx context.Context) error
}

var _ Journal = (*store.DB)(nil)

// Parts are what an instance stands on: Run makes them of what the
// configuration names.
type Parts struct {
	Journal    Journal
	Proposals  approve.Proposals // where signers find what to approve; nil where nothing is sent
	Signers    map[Account]evm.Signer
	Dial       func(context.Context, evm.Config, *slog.Logger) (evm.Reader, error)
	Deployment func(path string) (deploy.Deployment, error)
	OpenDisk   func(path string) (evm.Disk, error) // nil: local files
	Alerts     *alerts.Manager
	AuditEvery time.Duration // between two audits; 0: 20 s, negative: none
	Log        *slog.Logger
}

// Relay runs one session after another on the parts, until ctx ends or the
// journal has forgotten what only an operator can give back (store.ErrForgot).
// It opens no listener and delivers no alert: that is Run's.
func Relay(ctx context.Context, cfg Config, p Parts) error {
	s := shared{cfg: cfg, Parts: p, tools: newTools(cfg, prometheus.NewRegistry(), p.Alerts, "")}
	return s.relay(ctx)
}

// tools show how an instance does.
type tools struct {
	metrics   *metrics
	txMetrics *evm.Metrics
	health    *health
	sources   *sources
	status    *statusBoard
	version   string
}

func newTools(cfg Config, reg prometheus.Registerer, a *alerts.Manager, version string) tools {
	h, from := newHealth(), newSources()
	return tools{
		metrics: newMetrics(reg, version), txMetrics: evm.NewMetrics(reg), health: h, sources: from, version: version,
		status: &statusBoard{instance: cfg.Instance, version: version, single: cfg.Single(), health: h, from: from, alerts: a},
	}
}
