package relayer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	gauges "runtime/metrics"
	"sync"
	"time"

	"github.com/causeway-bridge/causeway/alerts"
	"github.com/causeway-bridge/causeway/chains/evm"
	"github.com/causeway-bridge/causeway/chains/subnet"
	"github.com/causeway-bridge/causeway/relayer/audit"
	"github.com/causeway-bridge/causeway/relayer/flow"
	"github.com/causeway-bridge/causeway/store"
	"github.com/causeway-bridge/causeway/tokens"
	"github.com/ethereum/go-ethereum/common"
)

// keeper looks after the instance itself: expired leases, the journal's
// durability, accounts, lanes and invariants. It raises alerts and fills
// gauges; it moves nothing.
type keeper struct {
	*shared
	senders  map[string]*evm.TxManager
	auditors map[string]*auditor   // by subnet name
	nodes    map[string]nodeStatus // by subnet name
}

// auditor is one that the audit's loop and a recovery take turns with.
type auditor struct {
	*audit.Auditor
	turn sync.Mutex
}

// nodeStatus asks a subnet's node about itself.
type nodeStatus func(context.Context) (subnet.Status, error)

const (
	reapEvery  = 2 * time.Second
	keepEvery  = 2 * time.Second
	auditEvery = 20 * time.Second
	lookTime   = 10 * time.Second
	stuckAfter = 10 * time.Minute
)

func (s *shared) newKeeper(root evm.Reader, links []*link, senders map[string]*evm.TxManager) (*keeper, error) {
	k := &keeper{shared: s, senders: senders, auditors: map[string]*auditor{}, nodes: map[string]nodeStatus{}}
	for _, l := range links {
		if l.sub.Traits.Published() {
			// The invariants are written over counters that published contracts
			// do not keep.
			s.Log.Warn("no invariants are computed for published contracts", "subnet", l.sub.Name)
			continue
		}
		k.nodes[l.sub.Name] = l.client.Status
		a, err := audit.New(audit.Source{
			Sub: l.sub, Root: root, Child: l.client, Journal: AuditJournal(s.Journal), Treasury: l.treasury, Crossing: l.auditCrossing(addresses(senders[flow.Ethereum])),
			RootAccounts: addresses(senders[flow.Root]), ChildAccounts: addresses(senders[l.sub.Name]), Rest: readRest,
		})
		if err != nil {
			return nil, err
		}
		// What the session before has read of the chains need not be read again.
		if s.books == nil {
			s.books = map[string]*audit.Auditor{}
		}
		a.Inherit(s.books[l.sub.Name])
		s.books[l.sub.Name] = a
		k.auditors[l.sub.Name] = &auditor{Auditor: a}
	}
	return k, nil
}

// AuditJournal is a store as the audit compares it with the chains.
func AuditJournal(db auditStore) audit.Journal { return auditJournal{db} }

func addresses(tx *evm.TxManager) (out []common.Address) {
	if tx == nil {
		return nil
	}
	for _, a := range tx.Status() {
		out = append(out, a.Address)
	}
	return out
}

// reap hands expired leases to other workers. It has its own loop, since a slow
// chain must not hold it back.
func (k *keeper) reap(ctx context.Context) error {
	return every(ctx, reapEvery, func() error {
		n, err := k.Journal.Reap(ctx)
		if err != nil && ctx.Err() == nil {
			k.Log.Warn("reap leases: will retry", "err", err)
		}
		k.metrics.reaped.Add(float64(n))
		return nil
	})
}

// run ends with store.ErrForgot when the journal may have lost something.
func (k *keeper) run(ctx context.Context) error {
	return every(ctx, keepEvery, func() error {
		if err := k.journal(ctx); errors.Is(err, store.ErrForgot) {
			return err
		}
		k.accounts()
		k.lanes(ctx)
		return nil
	})
}

// auditRest keeps the walk over the journal's rows to a fiftieth of the time,
// Redis and this process together: over a million finished transfers it takes
// hours, and nobody notices.
const auditRest = 50

// mend checks the journal's own rows. It has its own loop, since a long history
// takes long.
func (k *keeper) mend(ctx context.Context) error {
	return every(ctx, cmp.Or(k.AuditEvery, auditEvery), func() error {
		n, _ := k.Journal.Audit(ctx) // the next walk finds what this one did not
		k.metrics.repairs.Add(float64(n))
		return nil
	})
}

// audit checks the money invariants. It has its own loop, since it reads long
// stretches of the chains. Each check adds up the whole history, so the longer it
// is the longer they rest.
func (k *keeper) audit(ctx context.Context) error {
	for {
		messages := 0
		for name, a := range k.auditors {
			a.turn.Lock()
			k.invariants(ctx, name, a.Auditor)
			messages += a.Messages()
			a.turn.Unlock()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(cmp.Or(k.AuditEvery, auditEvery), min(time.Duration(messages)*auditEach, auditAtLeast))):
		}
	}
}

// readRest leaves three quarters of a core to what earns the events that the
// invariants are about.
const readRest = 3

// A check takes some twenty microseconds for each message of the history and
// rests auditEach for each, so that it takes half a percent of a core;
// auditAtLeast is the longest time between two of them.
const (
	auditEach    = 5 * time.Millisecond
	auditAtLeast = 10 * time.Minute
)

// thrift gives back what the runtime holds after a burst. It keeps freed memory
// for the next one, which may be days away. Nothing is given back while much is
// allocated, which would only fetch it again.
func (k *keeper) thrift(ctx context.Context) error {
	var before uint64
	return every(ctx, thriftEvery, func() error {
		at := []gauges.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
		gauges.Read(at)
		if at[0].Value.Kind() != gauges.KindUint64 || at[1].Value.Kind() != gauges.KindUint64 {
			return nil // a runtime that has no such figures
		}
		free, allocated := at[0].Value.Uint64(), at[1].Value.Uint64()
		if free > thriftAbove && before > 0 && allocated-before < thriftAbove {
			debug.FreeOSMemory()
		}
		before = allocated
		return nil
	})
}

const (
	thriftEvery = 5 * time.Second
	thriftAbove = 24 << 20
)

// parents asks each subnet's node whether its root is still the one that the
// subnet has committed (PROTOCOL 10). It has its own loop, since a node that
// hangs must not hold the others back.
func (k *keeper) parents(ctx context.Context) error {
	return every(ctx, keepEvery, func() error {
		for name, status := range k.nodes {
			k.parent(ctx, name, status)
		}
		return nil
	})
}

// parent leaves the alert as it is while a node does not answer, or is of
// another make.
func (k *keeper) parent(ctx context.Context, name string, status nodeStatus) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	s, err := status(ctx)
	switch {
	case err != nil:
	case s.Diverged:
		k.Alerts.Raise(alerts.Alert{
			Name: alerts.ParentDiverged, Key: name, Severity: alerts.Page,
			Summary: fmt.Sprintf("the node of %s signs nothing about the root any more: %.300s: compare the root's endpoints; if the root has really forked, `causeway recovery show --subnet %s`", name, s.DivergedReason, name),
		})
	default:
		k.Alerts.Resolve(alerts.ParentDiverged, name)
	}
}

func every(ctx context.Context, d time.Duration, do func() error) error {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		if err := do(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// journal checks that Redis still keeps what it acknowledges.
func (k *keeper) journal(ctx context.Context) error {
	err := k.Journal.Durable(ctx)
	if ctx.Err() != nil {
		return nil
	}
	k.health.set("journal", err)
	k.metrics.durable.Set(1)
	switch {
	case err == nil:
		k.Alerts.Resolve(alerts.RedisUndurable, "redis")
	case errors.Is(err, store.ErrRestarted):
		return err // opened again by itself
	case errors.Is(err, store.ErrForgot):
		k.metrics.durable.Set(0)
		k.Alerts.Raise(alerts.Alert{Name: alerts.RedisForgot, Key: "redis", Severity: alerts.Page, Summary: err.Error()})
		return err
	default:
		k.metrics.durable.Set(0)
		k.Alerts.Raise(alerts.Alert{Name: alerts.RedisUndurable, Key: "redis", Severity: alerts.Page, Summary: err.Error()})
	}

	// An operator has allowed it, so nobody is called; but it is said.
	remark := ""
	if allowed := k.Journal.MayForget(); err == nil && allowed != nil {
		k.metrics.durable.Set(0)
		remark = allowed.Error() + " (redis.allow_volatile is true)"
	}
	k.health.remark("journal", remark)

	// Watchers stand still meanwhile: nothing is lost, and nothing new begins.
	if k.Journal.Full() {
		k.Alerts.Raise(alerts.Alert{Name: alerts.RedisUndurable, Key: "memory", Severity: alerts.Page, Summary: store.ErrFull.Error()})
	} else {
		k.Alerts.Resolve(alerts.RedisUndurable, "memory")
	}

	stats, err := k.Journal.Stats(ctx)
	if err != nil {
		return err
	}
	k.metrics.depth.Reset()
	for _, c := range stats.Counts {
		k.metrics.depth.WithLabelValues(c.Route, string(c.Status)).Add(float64(c.N))
	}
	k.metrics.oldest.Set(0)
	if !stats.OldestPending.IsZero() {
		k.metrics.oldest.Set(time.Since(stats.OldestPending).Seconds())
	}
	k.metrics.parked.Set(float64(stats.Parked))
	k.metrics.memory.Set(stats.MemoryRatio)
	if stats.Parked > 0 {
		k.Alerts.Raise(alerts.Alert{
			Name: alerts.TransferParked, Key: anyTransfer, Severity: alerts.Ticket,
			Summary: fmt.Sprintf("%d transfers are parked: `causeway queue ls --status parked`", stats.Parked),
		})
	} else {
		k.Alerts.Resolve(alerts.TransferParked, anyTransfer)
	}
	return nil
}

// accounts looks at balances and at transactions that do not move.
func (k *keeper) accounts() {
	for name, tx := range k.senders {
		low := k.cfg.Root.Fees.LowGasWei.Int
		if name == flow.Ethereum && k.cfg.Ethereum != nil {
			low = k.cfg.Ethereum.Fees.LowGasWei.Int
		}
		for _, s := range k.cfg.Subnets {
			if s.Name == name {
				low = s.Fees.LowGasWei.Int
			}
		}
		for _, a := range tx.Status() {
			key := name + "/" + a.Address.Hex()
			if a.BalanceWei != nil && low != nil && a.BalanceWei.Cmp(low) < 0 {
				k.Alerts.Raise(alerts.Alert{
					Name: alerts.GasLow, Key: key, Severity: alerts.Page,
					Summary: fmt.Sprintf("%s holds %s wei on %s, the alarm is at %s", a.Address.Hex(), a.BalanceWei, name, low),
				})
			} else if a.BalanceWei != nil {
				k.Alerts.Resolve(alerts.GasLow, key)
			}
			if a.ForeignNonces > 0 {
				k.Alerts.Raise(alerts.Alert{
					Name: alerts.ForeignNonce, Key: key, Severity: alerts.Page,
					Summary: fmt.Sprintf("%d nonces of %s on %s were used by transactions that are not ours: someone else has the key", a.ForeignNonces, a.Address.Hex(), name),
				})
			}
			if a.Pending > 0 && !a.Oldest.IsZero() && time.Since(a.Oldest) > stuckAfter {
				k.Alerts.Raise(alerts.Alert{
					Name: alerts.StuckTx, Key: key, Severity: alerts.Page,
					Summary: fmt.Sprintf("the oldest of %d transactions of %s on %s is %s old", a.Pending, a.Address.Hex(), name, time.Since(a.Oldest).Truncate(time.Second)),
				})
			} else {
				k.Alerts.Resolve(alerts.StuckTx, key)
			}
		}
	}
}

// anyTransfer is the key of the alert that counts parked transfers.
const anyTransfer = "any"

// lanes tells of paused lanes, and closes the alerts of lanes and transfers that
// go on.
func (k *keeper) lanes(ctx context.Context) {
	lanes, err := k.Journal.Lanes(ctx)
	if err != nil {
		return
	}
	paused, troubled := map[string]bool{}, map[string]bool{}
	for _, l := range lanes {
		troubled[l.Name] = l.LastErr != ""
		if l.Paused != "" {
			paused[l.Name] = true
			k.Alerts.Raise(alerts.Alert{Name: alerts.LanePaused, Key: l.Name, Severity: alerts.Ticket,
				Summary: fmt.Sprintf("lane %s was paused by %s with %d transfers: `causeway lane resume %s`", l.Name, l.Paused, l.Depth, l.Name)})
		}
	}
	k.metrics.paused.Set(float64(len(paused)))
	for _, a := range k.Alerts.Open() {
		switch {
		// An empty lane is not listed once it runs again.
		case a.Name == alerts.LanePaused && !paused[a.Key]:
			k.Alerts.Resolve(a.Name, a.Key)
		case a.Name == alerts.LaneStuck && !troubled[a.Key]:
			k.Alerts.Resolve(a.Name, a.Key)
		case a.Name == alerts.TransferParked && a.Key != anyTransfer:
			job, ok, err := k.Journal.Get(ctx, common.HexToHash(a.Key))
			if err == nil && (!ok || job.Status != tokens.Parked || job.Discarded) {
				k.Alerts.Resolve(a.Name, a.Key)
			}
		}
	}
}

func (k *keeper) invariants(ctx context.Context, name string, a *audit.Auditor) {
	report, err := a.Check(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		k.Log.Warn("audit: will retry", "subnet", name, "err", err)
		return
	}
	for _, inv := range report.Invariants {
		key := name + "/" + inv.ID + "/" + inv.Token
		ok, alert := 0.0, alerts.InvariantBroken
		if inv.ID == "I1" {
			alert = alerts.SupplyDrift
		}
		if inv.OK {
			ok = 1
			k.Alerts.Resolve(alert, key)
		} else {
			k.Alerts.Raise(alerts.Alert{Name: alert, Key: key, Severity: alerts.Page,
				Summary: fmt.Sprintf("%s %s on %s is off by %s: %s", inv.ID, inv.Token, name, inv.Drift, inv.Detail)})
		}
		k.metrics.invariant.WithLabelValues(name, inv.ID, inv.Token).Set(ok)
		if inv.ID == "I1" {
			if drift, err := inv.DriftFloat(); err == nil {
				k.metrics.drift.WithLabelValues(name, inv.Token).Set(drift)
			}
		}
	}
}
