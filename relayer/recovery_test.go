package relayer

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/relayer/watch"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/store/storetest"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// lossy is a journal whose Redis can be made to forget, and recoveries over it.
type lossy struct {
	t    *testing.T
	s    *storetest.Server
	raw  *redis.Client
	db   *store.DB
	reg  *prometheus.Registry
	next uint64 // cursor

	head     uint64
	restored bool
	compare  func() ([]audit.Reconciliation, error)
}

func newLossy(t *testing.T) *lossy {
	l := &lossy{t: t, s: storetest.StartRedis(t), next: 1, restored: true, reg: prometheus.NewRegistry()}
	l.raw = l.s.Client()
	l.db = l.open()
	t.Cleanup(func() { _ = l.raw.Close() })
	require.NoError(t, l.db.InitCursor(t.Context(), flow.Root, chains.Cursor{Chain: 1, Next: 1}))
	_, _, err := l.db.Backfill(t.Context(), flow.Root, []store.NewJob{watch.Plan(carriage(), tokens.Transfer{ID: idOf(1), Route: "carriage", Nonce: 1})}, nil)
	require.NoError(t, err)
	l.compare = func() ([]audit.Reconciliation, error) { return []audit.Reconciliation{{OK: true}}, nil }
	return l
}

func (l *lossy) open() *store.DB {
	db, err := store.Open(l.t.Context(), store.Options{URL: l.s.URL(), Namespace: "test", Instance: "a"})
	require.NoError(l.t, err)
	l.t.Cleanup(func() { _ = db.Close() })
	return db
}

// read moves the cursor behind a height.
func (l *lossy) read(to uint64) {
	from := chains.Cursor{Chain: 1, Next: l.next, Parent: common.BigToHash(idOf(l.next).Big())}
	if l.next == 1 {
		from.Parent = common.Hash{}
	}
	l.next = to + 1
	require.NoError(l.t, l.db.Ingest(l.t.Context(), flow.Root, from, chains.Cursor{Chain: 1, Next: l.next, Parent: idOf(l.next)}, nil, nil))
}

// forget makes Redis lack the last thing it said, and opens it again.
func (l *lossy) forget() {
	require.NoError(l.t, l.raw.Decr(l.t.Context(), "{test}:fence").Err())
	require.ErrorIs(l.t, l.db.Durable(l.t.Context()), store.ErrForgot)
	require.NoError(l.t, l.db.Reopen(l.t.Context()))
}

func (l *lossy) recovery(db *store.DB, reg *prometheus.Registry) *recovery {
	s := instance(db, reg)
	s.Log, s.cfg.Instance = slog.New(slog.DiscardHandler), "a"
	s.health.set("chains", nil)
	return &recovery{
		shared: s,
		heads: map[string]func(context.Context) (chains.Block, error){
			flow.Root: func(context.Context) (chains.Block, error) { return chains.Block{Number: l.head}, nil },
		},
		restored: map[string]func() bool{flow.Root: func() bool { return l.restored }},
		compare:  func(context.Context) ([]audit.Reconciliation, error) { return l.compare() },
	}
}

func (l *lossy) claims() bool {
	lease, ok, err := l.db.Claim(l.t.Context(), "w", 1)
	require.NoError(l.t, err)
	if ok {
		require.NoError(l.t, l.db.Settle(l.t.Context(), lease, nil))
	}
	return ok
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no gauge %s", name)
	return 0
}

// saidOf is what operators see of a recovery that waits.
func saidOf(t *testing.T, r *recovery, reg *prometheus.Registry, waits string) *RecoveryStatus {
	t.Helper()
	require.ErrorIs(t, r.health.Ready(), errForgetful)
	require.ErrorContains(t, r.health.Ready(), waits)
	require.EqualValues(t, 1, gauge(t, reg, "causeway_recovering"))
	open := r.Alerts.Open()
	require.Len(t, open, 1)
	require.Equal(t, alerts.RedisForgot, open[0].Name)
	require.Equal(t, alerts.Page, open[0].Severity)
	require.Contains(t, open[0].Summary, waits)
	seen := r.status.read(t.Context()).(Status).Recovery
	require.NotNil(t, seen)
	require.Contains(t, seen.WaitsFor, waits)
	return seen
}

func notRecovering(t *testing.T, r *recovery, reg *prometheus.Registry) {
	t.Helper()
	require.NoError(t, r.health.Ready())
	require.Zero(t, gauge(t, reg, "causeway_recovering"))
	require.Empty(t, r.Alerts.Open())
	require.Nil(t, r.status.read(t.Context()).(Status).Recovery)
}

// TestALossIsWaitedOutStepByStep: the chains are read up to where they were, the
// file is back, the comparison is made until it is green. Nothing is given out
// before, and everything after.
func TestALossIsWaitedOutStepByStep(t *testing.T) {
	l, ctx := newLossy(t), t.Context()
	r := l.recovery(l.db, l.reg)
	r.step(ctx)
	notRecovering(t, r, l.reg)
	require.True(t, l.claims())

	compared := 0
	answers := []func() ([]audit.Reconciliation, error){
		func() ([]audit.Reconciliation, error) { return nil, errors.New("the root is away") },
		func() ([]audit.Reconciliation, error) {
			behind := audit.Difference{Route: "usdc_deposit", Kind: audit.Behind, Journal: tokens.Pending, Chains: tokens.Done, Fix: "causeway rescan"}
			return []audit.Reconciliation{{OK: true, Subnet: "one"}, {
				Subnet: "two", Differences: []audit.Difference{behind},
				Audit: audit.Report{Invariants: []audit.Invariant{{ID: "I6", Drift: "1", Detail: "nonce 7 has no intent"}}, Skipped: []string{"I1: no answer"}},
			}}, nil
		},
		func() ([]audit.Reconciliation, error) { return []audit.Reconciliation{{OK: true}, {OK: true}}, nil },
	}
	l.compare = func() ([]audit.Reconciliation, error) { compared++; return answers[compared-1]() }
	l.read(2)
	l.forget()
	l.head, l.restored, r.settle = 5, false, time.Hour

	// As a session begins, before anything is connected.
	_, _, err := r.loss(ctx)
	require.NoError(t, err)
	seen := saidOf(t, r, l.reg, "the chains to be connected")
	require.Contains(t, seen.Why, "redis is back at epoch 1, mark 2; a has seen 1, 3")

	r.step(ctx)
	saidOf(t, r, l.reg, "root to be read up to 5, it is read below 3")
	l.head = 9 // only what was final when it began is waited for
	l.read(4)
	r.step(ctx)
	saidOf(t, r, l.reg, "root to be read up to 5, it is read below 5")
	l.read(5)
	r.step(ctx)
	saidOf(t, r, l.reg, "the transactions on root to be put back")
	l.restored = true
	r.step(ctx)
	saidOf(t, r, l.reg, "other instances")
	require.Zero(t, compared)
	require.False(t, l.claims())

	r.settle = 0
	r.step(ctx)
	saidOf(t, r, l.reg, "a comparison with the chains (the root is away)")
	r.step(ctx)
	require.Equal(t, 1, compared, "not at once again")
	r.next = time.Time{}
	r.step(ctx)
	seen = saidOf(t, r, l.reg, "the journal to agree with the chains")
	require.Len(t, seen.Findings, 3)
	require.Regexp(t, `^two: behind usdc_deposit 0x0+: journal "pending", chains "done": causeway rescan$`, seen.Findings[0])
	require.Equal(t, []string{"two: I6  is off by 1: nonce 7 has no intent", "two: not judged: I1: no answer"}, seen.Findings[1:])
	require.Contains(t, r.Alerts.Open()[0].Summary, "causeway reconcile --resume --why REASON")
	require.False(t, l.claims())

	r.next = time.Time{}
	r.step(ctx)
	notRecovering(t, r, l.reg)
	require.True(t, l.claims())
	r.step(ctx)
	require.Equal(t, 3, compared)
}

func TestAComparisonThatFailsWithoutAWordIsNotGreen(t *testing.T) {
	l := newLossy(t)
	r := l.recovery(l.db, l.reg)
	l.compare = func() ([]audit.Reconciliation, error) { return []audit.Reconciliation{{Subnet: "one"}}, nil }
	l.forget()
	r.step(t.Context())
	seen := saidOf(t, r, l.reg, "the journal to agree with the chains")
	require.Equal(t, []string{"one: it does not agree with the chains: `causeway reconcile` says where"}, seen.Findings)
	require.False(t, l.claims())
}

func TestWhatIsLostDuringAComparisonWasNotCompared(t *testing.T) {
	l, ctx := newLossy(t), t.Context()
	r := l.recovery(l.db, l.reg)
	l.read(2)
	l.forget()
	compared := 0
	l.compare = func() ([]audit.Reconciliation, error) {
		if compared++; compared == 1 {
			l.forget()
		}
		return []audit.Reconciliation{{OK: true}}, nil
	}
	r.step(ctx)
	require.False(t, l.claims(), "green, but of what was there before")
	r.step(ctx)
	require.Equal(t, 2, compared)
	require.True(t, l.claims())
}

func TestOfTwoInstancesOneEndsARecoveryAndTheOtherGoesOn(t *testing.T) {
	l, ctx := newLossy(t), t.Context()
	other := l.open()
	l.read(2)
	l.forget()
	reg := prometheus.NewRegistry()
	a, b := l.recovery(l.db, l.reg), l.recovery(other, reg)
	// b ends it while a compares.
	l.compare = func() ([]audit.Reconciliation, error) {
		l.compare = func() ([]audit.Reconciliation, error) { return []audit.Reconciliation{{OK: true}}, nil }
		b.step(ctx)
		require.True(t, l.claims())
		return []audit.Reconciliation{{OK: true}}, nil
	}
	a.step(ctx)
	notRecovering(t, a, l.reg)
	notRecovering(t, b, reg)

	// One that dies leaves it to the next.
	l.forget()
	l.compare = func() ([]audit.Reconciliation, error) { return nil, errors.New("dies here") }
	a.step(ctx)
	require.False(t, l.claims())
	l.compare = func() ([]audit.Reconciliation, error) { return []audit.Reconciliation{{OK: true}}, nil }
	l.recovery(other, prometheus.NewRegistry()).step(ctx)
	require.True(t, l.claims())
}

func TestARelayerWhoseRedisHasNothingOfItsHistoryEndsAndPages(t *testing.T) {
	l, ctx := newLossy(t), t.Context()
	r := l.recovery(l.db, l.reg)
	require.NoError(t, l.raw.FlushAll(ctx).Err())
	require.ErrorIs(t, l.db.Durable(ctx), store.ErrForgot)
	require.ErrorIs(t, r.reopen(ctx), store.ErrForgot)
	open := r.Alerts.Open()
	require.Len(t, open, 1)
	require.Equal(t, alerts.RedisForgot, open[0].Name)
	require.Contains(t, open[0].Summary, "causeway rescan --accept-forgotten")
}
